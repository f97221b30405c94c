//! Reading policies again while the node runs: a set that does not hold never takes the place of one that does.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::community::{POLICIES, is_absent};
use crate::exchange::{Actor, Deed, Exchange};
use crate::policy::{Policies, PolicyErrors};

/// Reads the policies of a community again.
#[derive(Clone)]
pub(super) struct Reload {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) exchange: Exchange,
    pub(super) policies: Arc<watch::Sender<Option<Arc<Policies>>>>,
}

impl Reload {
    /// Reads the folder and puts what it holds in force. Says in the log
    /// and in the audit log what came of it.
    pub(super) async fn now(&self, by: &str) {
        let folder = self.folder.join(POLICIES);
        let shown = folder.display().to_string();
        let standing = self.exchange.standing();
        // A folder that was in force and is gone, was moved: what is built in would open what it closed.
        let had = self.policies.borrow().is_some();
        let read = tokio::task::spawn_blocking(move || -> Result<_, PolicyErrors> {
            if !had && is_absent(&folder) {
                return Ok(None);
            }
            let charter = standing.charters.as_ref().map(|charters| charters.charter());
            Ok(Some(Arc::new(Policies::load(&folder, charter)?)))
        });
        let policies = match read.await {
            Ok(Ok(policies)) => policies,
            Ok(Err(errors)) => {
                tracing::error!(
                    community = self.name,
                    folder = shown,
                    "the policies do not hold, those in force stay: {errors}"
                );
                return;
            }
            Err(error) => {
                tracing::error!(community = self.name, %error, "the policies could not be read");
                return;
            }
        };
        let in_force = policies.clone().unwrap_or_else(|| Arc::new(Policies::built_in()));
        let hash = data_encoding::HEXLOWER.encode(&in_force.hash());
        self.exchange.accepting().replace(in_force);
        self.policies.send_replace(policies);
        tracing::info!(
            community = self.name,
            policies = hash,
            "the policies were read again"
        );
        let deed = Deed {
            actor: Actor(by.to_owned()),
            action: "policies",
            subject: hash,
        };
        if let Err(error) = self.exchange.witness(vec![deed], None).await {
            tracing::error!(community = self.name, %error, "the audit log could not be told of new policies");
        }
    }
}
