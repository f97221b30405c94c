//! Bodies that did not come along with their headers: pulled one by one, from whoever has them.

use hanse_protocol::heal::{Answer, Question};
use hanse_protocol::identity::{NodeId, RecordId};
use rand::seq::SliceRandom;

use super::Healer;
use super::ask::{AskError, Line};
use crate::exchange::BodyFate;
use crate::store::entry::Origin;

impl Healer {
    /// Pulls a body: from who announced it, then from others, until one gives the true one.
    pub(super) async fn pull_body(&self, id: RecordId, courier: Option<NodeId>) -> &'static str {
        let mut peers: Vec<NodeId> = self.links.now().into_iter().collect();
        peers.shuffle(&mut rand::rng());
        peers.retain(|peer| Some(*peer) != courier);
        let mut peers: Vec<NodeId> = courier.into_iter().chain(peers).collect();
        // Who lately wasted our time is asked last.
        peers.sort_by_key(|peer| self.shunned.is(peer));
        for peer in peers {
            match self.pull_from(peer, id).await {
                Ok(Some(BodyFate::Kept | BodyFate::NotAwaited)) => return "kept",
                Ok(Some(BodyFate::Wrong)) => {
                    tracing::warn!(record = %id, peer = %peer, "a peer sent a body that is not the record's");
                }
                Ok(None) => {}
                Err(error) => {
                    if error.is_waste() {
                        self.shunned.add(peer);
                    }
                    tracing::debug!(record = %id, peer = %peer, %error, "body not pulled");
                }
            }
        }
        "not-found"
    }

    async fn pull_from(&self, peer: NodeId, id: RecordId) -> Result<Option<BodyFate>, AskError> {
        let mut line = Line::open(self, peer).await?;
        line.ask(&Question::Body(id)).await?;
        match line.hear().await? {
            Answer::Body(body) => {
                self.progress.came(0, body.len());
                Ok(Some(self.exchange.body(id, body, Origin::Heal).await?))
            }
            Answer::NotHeld | Answer::Gone => Ok(None),
            _ => Err(AskError::Protocol),
        }
    }
}
