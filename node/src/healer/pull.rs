//! Bodies that did not come along with their headers: pulled one by one, from whoever has them. Who said
//! that one is gone is not asked for it again for a day.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hanse_protocol::heal::{Answer, Question};
use hanse_protocol::identity::{NodeId, RecordId};
use rand::seq::SliceRandom;
use tokio::time::Instant;

use super::Healer;
use super::ask::{AskError, Line};
use crate::exchange::BodyFate;
use crate::store::entry::Origin;

/// Bodies said to be gone that are remembered; of others it is asked again.
const GONE: usize = 16_384;

/// How long that is remembered: whoever says so may be wrong.
const GONE_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Who said of which awaited bodies that they are gone: taken back, or their time has passed.
#[derive(Clone, Default)]
pub(super) struct Gone(Arc<Mutex<HashMap<RecordId, Word>>>);

/// Since when, and who.
type Word = (Instant, HashSet<NodeId>);

impl Gone {
    fn lock(&self) -> MutexGuard<'_, HashMap<RecordId, Word>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn says(&self, id: &RecordId, peer: &NodeId) -> bool {
        self.say_all(id, std::slice::from_ref(peer))
    }

    /// Whether all of these peers, and at least one, said so of a body.
    pub(super) fn say_all(&self, id: &RecordId, peers: &[NodeId]) -> bool {
        let gone = self.lock();
        let said = gone.get(id).filter(|(since, _)| since.elapsed() < GONE_FOR);
        !peers.is_empty() && said.is_some_and(|(_, said)| peers.iter().all(|peer| said.contains(peer)))
    }

    fn note(&self, id: RecordId, peer: NodeId) {
        let mut gone = self.lock();
        if gone.len() >= GONE && !gone.contains_key(&id) {
            gone.retain(|_, (since, _)| since.elapsed() < GONE_FOR);
            if gone.len() >= GONE {
                return;
            }
        }
        let said = gone.entry(id).or_insert_with(|| (Instant::now(), HashSet::new()));
        if said.0.elapsed() >= GONE_FOR {
            *said = (Instant::now(), HashSet::new());
        }
        said.1.insert(peer);
    }

    fn forget(&self, id: &RecordId) {
        self.lock().remove(id);
    }
}

/// What a peer answered.
enum Pulled {
    Body(BodyFate),
    Gone,
    NotHeld,
}

impl Healer {
    /// Pulls a body: from who announced it, then from others, until one gives the true one.
    pub(super) async fn pull_body(&self, id: RecordId, courier: Option<NodeId>) -> &'static str {
        let mut peers: Vec<NodeId> = self.links.now().into_iter().collect();
        if self.gone.say_all(&id, &peers) {
            return "gone";
        }
        peers.shuffle(&mut rand::rng());
        peers.retain(|peer| Some(*peer) != courier);
        let mut peers: Vec<NodeId> = courier.into_iter().chain(peers).collect();
        peers.retain(|peer| !self.gone.says(&id, peer));
        // Who lately wasted our time is asked last.
        peers.sort_by_key(|peer| self.shunned.is(peer));
        let mut gone = true;
        for peer in peers {
            match self.pull_from(peer, id).await {
                Ok(Pulled::Body(BodyFate::Kept | BodyFate::NotAwaited)) => {
                    self.gone.forget(&id);
                    return "kept";
                }
                Ok(Pulled::Body(BodyFate::Wrong)) => {
                    gone = false;
                    tracing::warn!(record = %id, peer = %peer, "a peer sent a body that is not the record's");
                }
                Ok(Pulled::Gone) => self.gone.note(id, peer),
                Ok(Pulled::NotHeld) => gone = false,
                Err(error) => {
                    gone = false;
                    if error.is_waste() {
                        self.shunned.add(peer);
                    }
                    tracing::debug!(record = %id, peer = %peer, %error, "body not pulled");
                }
            }
        }
        if gone { "gone" } else { "not-found" }
    }

    async fn pull_from(&self, peer: NodeId, id: RecordId) -> Result<Pulled, AskError> {
        let mut line = Line::open(self, peer).await?;
        line.ask(&Question::Body(id)).await?;
        match line.hear().await? {
            Answer::Body(body) => {
                self.progress.came(0, body.len());
                let fate = self.exchange.body(id, body, Origin::Heal).await?;
                Ok(Pulled::Body(fate))
            }
            Answer::NotHeld => Ok(Pulled::NotHeld),
            Answer::Gone => Ok(Pulled::Gone),
            _ => Err(AskError::Protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_said_that_a_body_is_gone_is_not_asked_again_and_others_are() {
        let gone = Gone::default();
        let (id, a, b) = (RecordId([1; 32]), NodeId([1; 32]), NodeId([2; 32]));
        assert!(!gone.say_all(&id, &[]), "nobody is there to say so");
        gone.note(id, a);
        assert!(gone.says(&id, &a) && !gone.says(&id, &b));
        assert!(gone.say_all(&id, &[a]) && !gone.say_all(&id, &[a, b]));
        gone.forget(&id);
        assert!(!gone.says(&id, &a));
        for number in 0..GONE as u64 + 10 {
            let mut id = RecordId([0; 32]);
            id.0[..8].copy_from_slice(&number.to_be_bytes());
            gone.note(id, a);
        }
        assert_eq!(gone.lock().len(), GONE);
    }
}
