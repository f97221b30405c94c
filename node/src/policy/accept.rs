//! What becomes of what arrived: kept, quarantined or dropped here. What travels on is not asked.

use cedar_policy::{Effect, Entities};
use hanse_protocol::charter::Charter;
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;

use super::Policies;
use super::decision::{Acceptance, Verdict};
use super::entities::{Person, Situation, minute};
use super::item::Item;
use super::schema::Action;
use super::share::with_item;
use super::sheet::ask;

/// What is known of a record beside its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// Bytes of the record.
    pub size: u64,
    /// Records of its author in the last hour.
    pub rate: u32,
    /// Whether it came sealed.
    pub sealed: bool,
}

impl Arriving {
    pub(super) fn situation(self) -> Situation {
        let Self { size, rate, sealed } = self;
        Situation::Accept { size, rate, sealed }
    }
}

impl Policies {
    /// Rules on one object of a record that `author` signed. A set without any permit of `accept` keeps
    /// what none of its policies forbids.
    pub fn accept(
        &self,
        charter: &Charter,
        author: &Handle,
        item: &Item,
        arriving: Arriving,
        now: Timestamp,
    ) -> Acceptance {
        let member = charter.member(author);
        let person = member.map(|member| Person::of(member, charter, &self.terms));
        let person = person.unwrap_or_else(Person::nobody);
        self.accept_in(author.as_str(), &person, item, &arriving.situation(), now)
    }

    pub(super) fn accept_in(
        &self,
        author: &str,
        person: &Person,
        item: &Item,
        situation: &Situation,
        now: Timestamp,
    ) -> Acceptance {
        let entities = person.entity(author).and_then(|person| {
            let entities = Entities::from_entities([person], None);
            with_item(&entities.map_err(|error| error.to_string()), item)
        });
        let said = entities.and_then(|entities| {
            let situation = (situation, minute(now));
            ask(&self.accept, Action::Accept, author, situation, &entities)
        });
        let mut answer = Acceptance {
            verdict: Verdict::Quarantine,
            deciding: Default::default(),
            reason: None,
            receipt: false,
        };
        let said = match said {
            Ok(said) => said,
            Err(error) => {
                answer.reason = Some(error);
                return answer;
            }
        };
        answer.deciding = said.deciding.iter().map(ToString::to_string).collect();
        if let Some(error) = said.error {
            answer.reason = Some(error);
            return answer;
        }
        let deciding: Vec<_> = said.deciding.iter().filter_map(|id| self.rule(id)).collect();
        let forbidden = deciding.iter().any(|rule| rule.policy.effect() == Effect::Forbid);
        let waits = deciding.iter().filter_map(|rule| rule.duty.quarantine.as_deref());
        let reasons: Vec<&str> = waits.collect();
        // Of several that forbid, one without the word quarantine is the strictest.
        let dropped = forbidden && reasons.len() < deciding.len();
        let silent = deciding.is_empty() && self.accept.permits;
        answer.verdict = if dropped {
            Verdict::Drop
        } else if !reasons.is_empty() || silent {
            Verdict::Quarantine
        } else {
            Verdict::Keep
        };
        answer.reason = match answer.verdict {
            Verdict::Quarantine if silent => Some("no policy says that it may be kept".to_owned()),
            Verdict::Keep => None,
            _ => {
                let notes = deciding.iter().filter_map(|rule| rule.duty.note.as_deref());
                let mut told: Vec<&str> = reasons.into_iter().chain(notes).collect();
                told.sort_unstable();
                told.dedup();
                Some(if told.is_empty() {
                    "a policy forbids it".to_owned()
                } else {
                    told.join("; ")
                })
            }
        };
        answer.receipt = !forbidden && deciding.iter().any(|rule| rule.duty.obligations.receipt);
        answer
    }
}
