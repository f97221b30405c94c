//! What the audit log says of tokens: made and revoked, even while no daemon ran, and used. A use is
//! one line an hour for a token: searching a log of a million addresses must not write a million.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use hanse_protocol::local::Role;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::auth::Presented;
use super::backend::Backend;
use crate::exchange::{Actor, Deed};
use crate::tokens::Tokens;

/// The note that holds the tokens the audit log knows of.
pub(super) const NOTE: &str = "audited-tokens";

/// Uses that may wait to be written; one that finds no room is told with the next.
pub(super) const WAITING: usize = 256;

/// How long one line stands for all uses of a token.
const HOUR: Duration = Duration::from_secs(3_600);

/// Most tokens whose last line is remembered: more than can be known at once, twice over.
const REMEMBERED: usize = 1_024;

/// What a request did with a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// A known token, by name, let a request through.
    Known(String),
    /// A known token lacks a role.
    Lacking(String),
    /// What was borne is no token of this node.
    Unknown,
}

/// A use with the route it was for.
pub(super) type Used = (Use, String);

/// Method and route of a request, for the line about it.
pub(super) fn place(request: &Request) -> String {
    let route = request.extensions().get::<MatchedPath>();
    format!(
        "{} {}",
        request.method(),
        route.map_or("none", MatchedPath::as_str)
    )
}

/// What to tell of a request, if anything.
pub(super) fn used(presented: &Presented, allowed: bool) -> Option<Use> {
    match presented {
        Presented::Nothing => None,
        Presented::Unknown => Some(Use::Unknown),
        Presented::Known(token) if allowed => Some(Use::Known(token.name.clone())),
        Presented::Known(token) => Some(Use::Lacking(token.name.clone())),
    }
}

/// A token as the audit log knows it. Two of one name differ at least in when they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    roles: BTreeSet<Role>,
    ceiling: Tlp,
    created: Timestamp,
}

type Book = BTreeMap<String, Seen>;

fn book(tokens: &Tokens) -> Book {
    let seen = |token: &crate::tokens::Token| {
        let seen = Seen {
            roles: token.roles.clone(),
            ceiling: token.ceiling,
            created: token.created,
        };
        (token.name.clone(), seen)
    };
    tokens.list().map(seen).collect()
}

/// What happened between two looks at the tokens.
fn deeds(before: &Book, after: &Book) -> Vec<Deed> {
    let operator = || Actor("operator".to_owned());
    let revoked = before
        .iter()
        .filter(|(name, seen)| after.get(*name) != Some(*seen));
    let revoked = revoked.map(|(name, _)| Deed {
        actor: operator(),
        action: "revoke-token",
        subject: name.clone(),
    });
    let added = after
        .iter()
        .filter(|(name, seen)| before.get(*name) != Some(*seen));
    let added = added.map(|(name, seen)| {
        let roles: Vec<String> = seen
            .roles
            .iter()
            .map(|role| format!("{role:?}").to_lowercase())
            .collect();
        Deed {
            actor: operator(),
            action: "add-token",
            subject: format!("{name} {} {}", roles.join(","), seen.ceiling),
        }
    });
    revoked.chain(added).collect()
}

fn deed((used, place): Used) -> Deed {
    let (actor, action) = match used {
        Use::Known(name) => (format!("token {name}"), "use-token"),
        Use::Lacking(name) => (format!("token {name}"), "refuse-token"),
        Use::Unknown => ("unknown".to_owned(), "refuse-token"),
    };
    Deed {
        actor: Actor(actor),
        action,
        subject: place,
    }
}

/// Writes what becomes of tokens until `stop`.
pub(super) fn start<B: Backend>(
    backend: B,
    mut tokens: watch::Receiver<Arc<Tokens>>,
    mut uses: mpsc::Receiver<Used>,
    stop: CancellationToken,
) {
    let witnessing = async move {
        let mut known = None;
        let mut told: HashMap<Use, Instant> = HashMap::new();
        loop {
            if let Err(error) = compare(&backend, &mut tokens, &mut known).await {
                tracing::warn!(error, "the audit log does not yet know of changed tokens");
            }
            tokio::select! {
                // A token is known to be made before it is told of that it was used.
                biased;
                changed = tokens.changed() => if changed.is_err() { return },
                used = uses.recv() => match used {
                    None => return,
                    Some(used) => {
                        let now = Instant::now();
                        if told.get(&used.0).is_some_and(|at| now.duration_since(*at) < HOUR) {
                            continue;
                        }
                        if told.len() >= REMEMBERED {
                            told.clear();
                        }
                        told.insert(used.0.clone(), now);
                        if let Err(error) = backend.witness(vec![deed(used)], None).await {
                            tracing::warn!(%error, "the use of a token was not written to the audit log");
                        }
                    }
                },
            }
        }
    };
    tokio::spawn(async move { stop.run_until_cancelled(witnessing).await });
}

/// Writes how the tokens differ from those the audit log knows, with what it knows from now on in
/// the same commit.
async fn compare<B: Backend>(
    backend: &B,
    tokens: &mut watch::Receiver<Arc<Tokens>>,
    known: &mut Option<Book>,
) -> Result<(), String> {
    let after = book(&tokens.borrow_and_update().clone());
    if known.as_ref() == Some(&after) {
        return Ok(());
    }
    let before = match known.take() {
        Some(before) => before,
        None => {
            let reader = backend.clone();
            let noted = tokio::task::spawn_blocking(move || reader.noted(NOTE));
            let noted = noted.await.map_err(|error| error.to_string())?;
            let noted = noted.map_err(|error| error.to_string())?;
            noted
                .map_or_else(|| Ok(Book::new()), |bytes| serde_json::from_slice(&bytes))
                .map_err(|error| error.to_string())?
        }
    };
    let deeds = deeds(&before, &after);
    if !deeds.is_empty() {
        let note = serde_json::to_vec(&after).map_err(|error| error.to_string())?;
        let written = backend.witness(deeds, Some((NOTE, note))).await;
        written.map_err(|error| error.to_string())?;
    }
    *known = Some(after);
    Ok(())
}
