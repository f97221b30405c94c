//! The engine's part in gossip: frames in, verdicts, frames out.

use hanse_protocol::limits;
use libp2p::PeerId;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError};
use tokio::time::Instant;

use super::super::gossip::{self, Gossip};
use super::super::handle::Ticket;
use super::super::slow::Response;
use super::super::{MeshEvent, Publish, Verdict};
use super::{COURTESY, COURTESY_UNDER_LOAD, Engine, MOST_COURTESY};

impl Engine {
    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => self.on_frame(propagation_source, message_id, message.data),
            gossipsub::Event::SlowPeer { peer_id, .. } => self.on_slow(peer_id),
            _ => {}
        }
    }

    fn on_slow(&mut self, peer: PeerId) {
        self.meters.slow();
        let now = Instant::now();
        match self.slow.report(peer, now) {
            Response::SlowDown => self.pace.slow(now),
            Response::Wait => {}
            Response::HangUp => {
                tracing::warn!(%peer, "a peer takes nothing of what it is sent: its link is closed");
                self.door().hang_up(&peer, "slow");
            }
        }
    }

    fn on_frame(&mut self, peer: PeerId, name: MessageId, bytes: Vec<u8>) {
        let Some(courier) = self.swarm.behaviour().door.link(&peer).map(|link| link.node) else {
            return self.turn_away(&peer, &name, MessageAcceptance::Ignore, "unlisted");
        };
        if bytes.len() > limits::FRAME {
            return self.turn_away(&peer, &name, MessageAcceptance::Reject, "oversize");
        }
        let (Ok(place), Ok(room)) = (self.places.clone().try_acquire_owned(), self.events.try_reserve())
        else {
            return self.turn_away(&peer, &name, MessageAcceptance::Ignore, "full");
        };
        self.meters.frame_in();
        let ticket = Ticket {
            name,
            courier: peer,
            courtesy: bytes.len() > gossip::IDONTWANT,
            place,
        };
        room.send(MeshEvent::Frame {
            courier,
            ticket,
            bytes,
        });
    }

    /// Answers a frame ourselves that the node will not see.
    fn turn_away(
        &mut self,
        courier: &PeerId,
        name: &MessageId,
        verdict: MessageAcceptance,
        why: &'static str,
    ) {
        self.meters.dropped(why);
        self.gossip()
            .report_message_validation_result(name, courier, verdict);
    }

    fn gossip(&mut self) -> &mut Gossip {
        self.swarm.behaviour_mut().gossip.inner_mut()
    }

    pub(super) fn on_verdict(&mut self, ticket: Ticket, verdict: Verdict) {
        match verdict {
            Verdict::Accept if ticket.courtesy => self.wait(ticket),
            Verdict::Accept => self.report(ticket, MessageAcceptance::Accept, "accept"),
            Verdict::Reject => self.report(ticket, MessageAcceptance::Reject, "reject"),
            Verdict::Ignore => self.report(ticket, MessageAcceptance::Ignore, "ignore"),
        }
    }

    fn wait(&mut self, ticket: Ticket) {
        let waiting = u32::try_from(self.courteous.len()).unwrap_or(u32::MAX);
        let courtesy = COURTESY.saturating_add(COURTESY_UNDER_LOAD.saturating_mul(waiting));
        self.courteous
            .push_back((Instant::now() + courtesy.min(MOST_COURTESY), ticket));
    }

    /// Passes on the frames that have waited long enough.
    pub(super) fn pass_on(&mut self) {
        let now = Instant::now();
        while let Some((_, ticket)) = self.courteous.pop_front_if(|(when, _)| *when <= now) {
            self.report(ticket, MessageAcceptance::Accept, "accept");
        }
    }

    fn report(&mut self, ticket: Ticket, acceptance: MessageAcceptance, kind: &'static str) {
        let Ticket { name, courier, .. } = ticket;
        let known = self
            .gossip()
            .report_message_validation_result(&name, &courier, acceptance);
        self.meters.verdict(if known { kind } else { "late" });
    }

    pub(super) fn publish(&mut self, frame: Vec<u8>) -> Publish {
        if !self.pace.allows(frame.len(), Instant::now()) {
            return Publish::Full;
        }
        let topic = self.topic.clone();
        match self.gossip().publish(topic, frame) {
            Ok(_) => {
                self.meters.frame_out();
                Publish::Taken
            }
            Err(PublishError::Duplicate) => Publish::Taken,
            Err(PublishError::AllQueuesFull(_)) => Publish::Full,
            Err(_) => Publish::NoPeers,
        }
    }
}
