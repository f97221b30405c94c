//! Whether anything that was published can be read where it should not be: on disk, in messages, in
//! metrics.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Kept, Promise};
use crate::league::Daemon;
use crate::plaintext::{Leak, Search, SearchError};

/// Largest answer of `GET /metrics` that is read, bytes.
const METRICS: u64 = 16 << 20;

/// Where one node might leak.
struct Places {
    member: String,
    folder: PathBuf,
    log: PathBuf,
    metrics: io::Result<Vec<u8>>,
}

/// Searches every byte of every node's folder, messages and metrics for these texts.
///
/// # Errors
/// [`SearchError::Texts`].
pub async fn judge(daemons: &[Daemon], texts: Vec<String>, kept: &mut Kept) -> Result<(), SearchError> {
    let search = std::sync::Arc::new(Search::new(&texts)?);
    for daemon in daemons {
        let places = Places {
            member: daemon.member().to_string(),
            folder: daemon.folder().to_owned(),
            log: daemon.log_folder(),
            metrics: metrics(daemon.api_port()).await,
        };
        let search = std::sync::Arc::clone(&search);
        let looked = tokio::task::spawn_blocking(move || places.look(&search)).await;
        for (promise, reason) in looked.unwrap_or_else(|_| vec![unsearched(daemon.member().as_str())]) {
            kept.broken(promise, reason);
        }
    }
    Ok(())
}

fn unsearched(member: &str) -> (Promise, String) {
    (
        Promise::NoPlaintextOnDisk,
        format!("{member}: the search ended early"),
    )
}

impl Places {
    fn look(&self, search: &Search) -> Vec<(Promise, String)> {
        let disk = search.in_folder(&self.folder, Some(&self.log));
        let mut told = self.reasons(Promise::NoPlaintextOnDisk, disk);
        let logs = search.in_folder(&self.log, None);
        told.extend(self.reasons(Promise::NoPlaintextInLogsAndMetrics, logs));
        let promise = Promise::NoPlaintextInLogsAndMetrics;
        match &self.metrics {
            Ok(bytes) => {
                let leaks = search.in_bytes("its metrics", bytes);
                told.extend(self.reasons(promise, Ok(leaks)));
            }
            Err(error) => told.push((promise, format!("{}: no metrics: {error}", self.member))),
        }
        told
    }

    fn reasons(&self, promise: Promise, looked: Result<Vec<Leak>, SearchError>) -> Vec<(Promise, String)> {
        let tell = |leak: Leak| {
            let within = if leak.compressed { ", compressed" } else { "" };
            let (text, form, place) = (leak.text, leak.form, leak.place);
            (
                promise,
                format!("{}: text {text} as {form:?}{within} in {place}", self.member),
            )
        };
        match looked {
            Ok(leaks) => leaks.into_iter().map(tell).collect(),
            Err(error) => vec![(promise, format!("{}: {error}", self.member))],
        }
    }
}

/// What a node's `GET /metrics` answers: the SDK has no need of it, so it is asked here in the
/// simplest HTTP there is (RFC 1945).
async fn metrics(port: u16) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(METRICS).read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200") {
        Ok(answer)
    } else {
        Err(io::Error::other("the node did not answer with its metrics"))
    }
}
