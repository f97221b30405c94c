//! A command that did not succeed: why, with its causes, and what to do next.

use std::error::Error;
use std::io;

use hanse_protocol::local::Problem;

use super::{Console, Exit};
use crate::error::SdkError;
use crate::publish::{PreviewError, PublishError};
use crate::source::SourceError;

/// Why a command ends without success.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    /// What the node said, if it was the node.
    problem: Option<Box<Problem>>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            exit,
            message,
            hint: None,
            problem: None,
        }
    }

    /// The problem that the node told, or one that is told like it.
    pub(super) fn problem(&self) -> serde_json::Value {
        let (name, title) = match self.exit {
            Exit::Done => ("done", "done"),
            Exit::Nothing => ("nothing", "nothing matched"),
            Exit::Usage => ("usage", "the arguments cannot be used"),
            Exit::Partly => ("partly", "some objects were refused"),
            Exit::Refused => ("refused", "refused before the node was asked"),
            Exit::Unreachable => ("unreachable", "the node cannot be reached"),
        };
        let mut problem = match &self.problem {
            Some(problem) => serde_json::json!(problem),
            None => serde_json::json!({
                "type": format!("urn:hanse:command:{name}"), "title": title, "detail": self.message,
            }),
        };
        if let (Some(hint), Some(problem)) = (&self.hint, problem.as_object_mut()) {
            problem.insert("hint".to_owned(), hint.as_str().into());
        }
        problem
    }

    pub(super) fn usage(mut self) -> Self {
        self.exit = Exit::Usage;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn no_token() -> Self {
        Self::new(Exit::Usage, "no token was given").hint(
            "pass --token-file FILE or set HANSE_TOKEN_FILE: `hansed init` made tokens/admin.token in the node's \
             folder, and `hansed token add NAME --role read --dir DIR` makes a token and prints its file's path",
        )
    }

    pub(super) fn runtime(error: io::Error) -> Self {
        Self::new(
            Exit::Usage,
            format!("the system gave no resources: {}", chain(&error)),
        )
    }

    /// Output that nobody takes any longer, as with `hanse … | head`, is no error.
    pub(super) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::new(
                Exit::Usage,
                format!("the output cannot be written: {}", chain(&error)),
            ),
        }
    }

    /// Tells it on standard error and returns the exit code.
    pub(super) fn tell(&self, console: &mut Console<'_>) -> u8 {
        let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}\n"));
        if console.json && !console.told && !self.message.is_empty() {
            // As below.
            let _ = writeln!(console.out, "{}", serde_json::json!({"error": self.problem()}));
            let _ = console.out.flush();
        }
        if !self.message.is_empty() {
            // Nothing is left to be done where even this cannot be written.
            let _ = write!(
                console.err,
                "error: {}\n{}",
                self.message,
                hint.unwrap_or_default()
            );
        }
        self.exit as u8
    }
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        source = cause.source();
    }
    super::text::shown(&text)
}

fn exit_of(error: &SdkError) -> Exit {
    match error {
        SdkError::Api(_) | SdkError::TokenFile { .. } | SdkError::Token | SdkError::Setup(_) => Exit::Usage,
        SdkError::Problem(problem) if problem.kind.ends_with(":not-found") => Exit::Nothing,
        SdkError::Problem(_) | SdkError::Busy { .. } | SdkError::Request(_) | SdkError::TooLarge { .. } => {
            Exit::Refused
        }
        SdkError::Unreachable { .. }
        | SdkError::Silent { .. }
        | SdkError::Broken { .. }
        | SdkError::Answer { .. } => Exit::Unreachable,
    }
}

impl From<SdkError> for Failure {
    fn from(error: SdkError) -> Self {
        let mut failure = Self::new(exit_of(&error), chain(&error));
        if let SdkError::Problem(problem) | SdkError::Busy { problem, .. } = &error {
            failure.problem = Some(Box::new(problem.clone()));
        }
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::new(Exit::Usage, chain(&error)).hint(
            "a STIX 2.1 bundle, an array of objects, a single object or one object a line can be published, \
             plain or gzipped",
        )
    }
}

impl From<PreviewError> for Failure {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Node(source) => source.into(),
            PreviewError::Source(source) => source.into(),
            PreviewError::TooMuch => Self::new(Exit::Usage, error.to_string()).hint("split the file"),
            PreviewError::Empty | PreviewError::Line(_) => Self::new(Exit::Refused, error.to_string()),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let message = chain(&error);
        match error {
            PublishError::Source(error) => error.into(),
            PublishError::Node { source, .. } => Self {
                message,
                ..source.into()
            },
        }
    }
}
