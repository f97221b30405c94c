//! The engine's part in charter calls: our questions and those of others.

use futures::FutureExt;
use hanse_protocol::identity::NodeId;
use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, Message, OutboundFailure};
use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;

use super::super::charter::{AnswerTo, CALL_TIME, CallEvent};
use super::super::door::Hearing;
use super::super::names::node_of;
use super::super::{CharterAnswer, MeshError, MeshEvent};
use super::{Asked, Asker, CALLS, Engine};

impl Engine {
    pub(super) fn call(&mut self, node: NodeId, question: Vec<u8>, reply: Asker) {
        let Some(peer) = self.connected(&node) else {
            let _ = reply.send(Err(MeshError::NotConnected(node)));
            return;
        };
        if self.asking.len() >= CALLS {
            let _ = reply.send(Err(MeshError::Busy));
            return;
        }
        let request = self.swarm.behaviour_mut().calls.send_request(&peer, question);
        self.asking.insert(request, (node, reply));
    }

    pub(super) fn on_call(&mut self, event: CallEvent) {
        match event {
            CallEvent::Message {
                peer,
                connection_id,
                message:
                    Message::Request {
                        request_id,
                        request,
                        channel,
                    },
            } => self.on_question(peer, connection_id, request_id, request, channel),
            CallEvent::Message {
                message: Message::Response { request_id, response },
                ..
            } => {
                if let Some((_, reply)) = self.asking.remove(&request_id) {
                    let _ = reply.send(Ok(response.unwrap_or_default()));
                }
            }
            CallEvent::OutboundFailure {
                request_id, error, ..
            } => {
                if let Some((node, reply)) = self.asking.remove(&request_id) {
                    let _ = reply.send(Err(unanswered(node, &error)));
                }
            }
            CallEvent::ResponseSent {
                peer,
                connection_id,
                request_id,
            } => self.on_answered(peer, connection_id, request_id),
            CallEvent::InboundFailure {
                peer,
                connection_id,
                request_id,
                ..
            } => {
                // A question that was never heard whole, or is still thought about, is not open here.
                if self.answering.contains_key(&request_id) {
                    self.on_answered(peer, connection_id, request_id);
                }
            }
        }
    }

    fn on_question(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        request: InboundRequestId,
        question: Vec<u8>,
        channel: AnswerTo,
    ) {
        let Some(from) = node_of(&peer) else { return };
        let listed = match self.door().hear(peer, connection) {
            Hearing::Refused => return self.meters.charter_call("refused"),
            Hearing::Member => true,
            Hearing::Stranger => false,
        };
        self.meters
            .charter_call(if listed { "member" } else { "stranger" });
        let (answer, thought) = oneshot::channel();
        let call = MeshEvent::CharterCall {
            from,
            listed,
            question,
            answer,
        };
        // A node too busy to take the question drops it here, and with it the sender of its answer.
        let _ = self.events.try_send(call);
        let thought = async move {
            let answer = tokio::time::timeout(CALL_TIME, thought).await;
            (
                channel,
                peer,
                connection,
                request,
                answer.ok().and_then(Result::ok),
            )
        };
        self.asked.push(thought.boxed());
    }

    pub(super) fn on_answer(&mut self, (channel, peer, connection, request, answer): Asked) {
        let (bytes, close) = match answer {
            Some(CharterAnswer::Send(bytes)) => (Some(bytes), false),
            Some(CharterAnswer::SendThenClose(bytes)) => (Some(bytes), true),
            Some(CharterAnswer::Close) => (None, true),
            // Too busy to say. A member's link is not closed for that.
            None => (None, false),
        };
        if self
            .swarm
            .behaviour_mut()
            .calls
            .send_response(channel, bytes)
            .is_ok()
        {
            self.answering.insert(request, close);
        } else {
            self.door().answered(peer, connection, close);
        }
    }

    fn on_answered(&mut self, peer: PeerId, connection: ConnectionId, request: InboundRequestId) {
        let close = self.answering.remove(&request).unwrap_or(false);
        self.door().answered(peer, connection, close);
    }
}

fn unanswered(node: NodeId, error: &OutboundFailure) -> MeshError {
    match error {
        OutboundFailure::Timeout => MeshError::Timeout(node),
        OutboundFailure::DialFailure => MeshError::NotConnected(node),
        other => MeshError::Refused {
            node,
            reason: other.to_string(),
        },
    }
}
