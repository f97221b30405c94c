//! What can go wrong between a client and its node, each with what to do next.

use std::path::PathBuf;
use std::time::Duration;

use hanse_protocol::local::Problem;

/// Why a call of the API did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdkError {
    /// The API's address is none that can be used.
    #[error("`{0}` is no address of an API: `http://127.0.0.1:7474` is")]
    Api(String),
    /// The file with the token cannot be read.
    #[error("the token file `{path}` cannot be read")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What was given as token is none.
    #[error("what was given is no token: one begins with `hanse_` and has 49 characters")]
    Token,
    /// The client could not be set up.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// A request could not be written as JSON.
    #[error("the request cannot be written as JSON")]
    Request(#[source] serde_json::Error),
    /// Nothing answers at the API's address; nothing was sent.
    #[error("no node answers at `{api}`")]
    Unreachable {
        /// The API's address.
        api: String,
        /// What the transport said.
        #[source]
        source: reqwest::Error,
    },
    /// The exchange broke off after it had begun: what was asked may have been done.
    #[error("the exchange with the node at `{api}` broke off: what was asked may or may not have been done")]
    Broken {
        /// The API's address.
        api: String,
        /// What the transport said.
        #[source]
        source: reqwest::Error,
    },
    /// The node took the connection and did not answer in time.
    #[error("the node at `{api}` does not answer")]
    Silent {
        /// The API's address.
        api: String,
    },
    /// The node refused, and says why.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// The node is busy or shutting down, and did nothing.
    #[error("{}", .problem.detail)]
    Busy {
        /// What it says.
        problem: Problem,
        /// After how long to ask again.
        after: Duration,
    },
    /// The answer is none that a node of this version gives.
    #[error("`{api}` answered with status {status} and what is no answer of a node")]
    Answer {
        /// The API's address.
        api: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the body, if it was read as an answer.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The answer is larger than any that is expected.
    #[error("the node's answer is larger than {limit} bytes")]
    TooLarge {
        /// The bound, bytes.
        limit: usize,
    },
}

impl SdkError {
    /// The name of the problem the node told, after `urn:hanse:problem:`, if it told one.
    pub fn problem_name(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) | Self::Busy { problem, .. } => {
                problem.kind.strip_prefix("urn:hanse:problem:")
            }
            _ => None,
        }
    }
}

impl SdkError {
    /// What to do next, where that can be told.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => {
                Some("start the node with `hansed serve --dir DIR`, or name its API with --api or HANSE_API")
            }
            Self::Broken { .. } => {
                Some("look at `hanse status`, and search before publishing the same again")
            }
            Self::TokenFile { .. } | Self::Token => Some(
                "`hansed token add NAME --role read --dir DIR` makes a token and prints the path of its file; pass that \
                 with --token-file",
            ),
            Self::Answer { .. } => Some("check that a Hanse node of this version listens at that address"),
            Self::Busy { .. } => Some("try again in a moment"),
            Self::TooLarge { .. } => Some("ask for less, such as with a lower limit"),
            Self::Problem(problem) => match problem.kind.rsplit(':').next().unwrap_or_default() {
                "unauthenticated" => Some(
                    "the token was revoked or belongs to another node; \
                     `hansed token add NAME --role read --dir DIR` makes a new one",
                ),
                "role" => Some(
                    "use a token with that role; `hansed token add NAME --role ROLE --dir DIR` makes one",
                ),
                "host" => Some("name the API by a loopback address, or add the name to `api.hosts`"),
                "no-community" => Some(
                    "`hanse community create --name NAME` founds one; `hanse request` and `hanse join` join one",
                ),
                "fingerprint" => {
                    Some("have the fingerprint read to you again over the telephone, not by mail")
                }
                "unknown-member" => Some("`hanse members` lists the members"),
                "internal" => Some("the daemon's messages say what failed"),
                _ => None,
            },
            _ => None,
        }
    }
}
