//! Where the daemon's messages go: standard error, for people or as JSON lines.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::settings::{Log, LogFormat};

/// Why messages cannot be written as the settings ask.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is none.
    #[error("`log.level` is `{level}`, which is no level and no list of directives")]
    Level {
        /// What the settings say.
        level: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Something in this process writes messages already.
    #[error("messages are written elsewhere already")]
    Taken(#[source] TryInitError),
}

/// Sends this process's messages to standard error. To be called once, before anything is said.
///
/// # Errors
/// [`LoggingError`].
pub fn start(log: &Log) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder()
        .parse(&log.level)
        .map_err(|source| LoggingError::Level {
            level: log.level.clone(),
            source,
        })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    let started = match log.format {
        LogFormat::Human => builder.finish().try_init(),
        LogFormat::Json => builder.json().with_ansi(false).finish().try_init(),
    };
    started.map_err(LoggingError::Taken)
}
