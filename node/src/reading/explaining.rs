//! What is to be said of policies, and why a partner got a record or did not: then, and now.

use std::sync::Arc;

use hanse_protocol::admission::Admitted;
use hanse_protocol::charter::Charter;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::{
    self, Explained, ExplainedItem, Explanation, PolicyCheckReply, PolicyLint, PolicyPlace, PolicyTest,
};

use super::preview::why_not;
use super::{Reading, ReadingError};
use crate::clock;
use crate::exchange::elsewhere::ruling_of;
use crate::policy::{Policies, PolicyFile};
use crate::sharing::Terms;
use crate::sharing::answers::answer;
use crate::sharing::papers::Ruling;
use crate::store::entry::Drawer;
use crate::store::unless_damaged;

impl Reading {
    /// Errors, likely mistakes and expectations of policies. Changes nothing.
    ///
    /// # Errors
    /// [`ReadingError::Value`] if the node belongs to no community.
    pub fn check_policies(
        &self,
        request: local::PolicyCheckRequest,
    ) -> Result<PolicyCheckReply, ReadingError> {
        let standing = self.exchange.standing();
        let charters = standing.charters.as_ref().ok_or_else(no_community)?;
        let charter = charters.charter();
        let in_force = self.exchange.accepting().now();
        let policies = match request.files {
            None => Arc::clone(&in_force),
            Some(files) => {
                let files = files
                    .into_iter()
                    .map(|file| PolicyFile::new(file.name, file.text));
                match Policies::from_files(files.collect(), Some(charter)) {
                    Ok(policies) => Arc::new(policies),
                    Err(errors) => {
                        return Ok(PolicyCheckReply {
                            errors: errors.0.iter().map(ToString::to_string).collect(),
                            ..PolicyCheckReply::default()
                        });
                    }
                }
            }
        };
        Ok(checked(&policies, charter, policies.hash() == in_force.hash()))
    }

    /// Why a partner got a record of this node's own, or did not.
    ///
    /// # Errors
    /// [`ReadingError::NotFound`], [`ReadingError::Value`].
    pub fn explain(&self, request: &local::ExplainRequest) -> Result<Explanation, ReadingError> {
        let standing = self.exchange.standing();
        let charters = standing.charters.as_ref().ok_or_else(no_community)?;
        let stored = unless_damaged(self.store.record(&request.record))?.ok_or(ReadingError::NotFound)?;
        let admitted = Admitted::from_log(&stored.header, &stored.community);
        let created = admitted.map_err(|_| ReadingError::NotFound)?.header().created;
        let none =
            || ReadingError::Value("no ruling is kept on this record: it is not of this node".to_owned());
        let ruling = ruling_of(&self.store, created, &request.record)?.ok_or_else(none)?;
        let now = self.exchange.accepting().now();
        let asked = |policies: &Policies, charter: &Charter, at| {
            let terms = Terms {
                own: &self.member.profile.handle,
                unmarked: charter.unmarked,
                floor: hanse_protocol::tlp::Tlp::Clear,
                to: ruling.to.as_ref(),
                now: at,
                frozen: None,
            };
            explained(policies, charter, &ruling, &request.partner, &terms)
        };
        let then = charters.find(&ruling.charter).and_then(|charter| {
            let policies = self.policies_of(&ruling.policies)?;
            Some(asked(&policies, charter.charter(), ruling.at))
        });
        let reader = |readers: &std::collections::BTreeSet<Handle>| readers.contains(&request.partner);
        Ok(Explanation {
            reader: ruling.readers.as_ref().is_none_or(reader),
            then,
            now: asked(&now, charters.charter(), clock::now()),
        })
    }

    /// The policies of a hash, as they were kept.
    fn policies_of(&self, hash: &[u8; 32]) -> Option<Policies> {
        let paper = self.store.paper(Drawer::Policies, hash).ok()??;
        let files: Vec<(String, String)> = minicbor::decode(&paper).ok()?;
        let files = files.into_iter().map(|(name, text)| PolicyFile::new(name, text));
        let policies = Policies::from_files(files.collect(), None).ok()?;
        (policies.hash() == *hash).then_some(policies)
    }
}

fn no_community() -> ReadingError {
    ReadingError::Value("this node belongs to no community yet".to_owned())
}

fn checked(policies: &Policies, charter: &Charter, in_force: bool) -> PolicyCheckReply {
    let now = clock::now();
    let places = policies.ids().map(|(id, file, line)| PolicyPlace {
        id: id.to_owned(),
        file: file.to_owned(),
        line,
    });
    let lints = policies
        .lint(charter, None, now)
        .into_iter()
        .map(|lint| PolicyLint {
            finding: lint.finding.to_string(),
            file: lint.file,
            line: lint.line,
            policy: lint.policy,
        });
    let tests = policies
        .check_expectations(charter, now)
        .into_iter()
        .map(|test| PolicyTest {
            name: test.name,
            line: test.line,
            answered: test.answered,
            policies: test.deciding.into_iter().collect(),
            failure: test.failure,
        });
    PolicyCheckReply {
        hash: Some(data_encoding::HEXLOWER.encode(&policies.hash())),
        in_force,
        policies: places.collect(),
        errors: Vec::new(),
        lints: lints.collect(),
        tests: tests.collect(),
    }
}

/// What policies say of a record's items for one partner.
fn explained(
    policies: &Policies,
    charter: &Charter,
    ruling: &Ruling,
    partner: &Handle,
    terms: &Terms<'_>,
) -> Explained {
    let roster = policies.roster(charter, terms.own);
    let items = ruling.items.iter().enumerate().map(|(number, item)| {
        let objects = ruling
            .pieces
            .iter()
            .filter(|piece| usize::from(piece.item) == number)
            .count();
        let answer = answer(policies, &roster, terms, item, partner);
        ExplainedItem {
            kind: item.kind.clone(),
            tlp: item.tlp,
            objects,
            shared: answer.as_ref().is_some_and(|answer| answer.allows()),
            policies: answer
                .iter()
                .flat_map(|answer| answer.decision.deciding.iter().cloned())
                .collect(),
            reason: match &answer {
                Some(answer) => why_not(answer),
                None => Some("it is no partner of that time".to_owned()),
            },
        }
    });
    Explained {
        at: terms.now,
        policies: data_encoding::HEXLOWER.encode(&policies.hash()),
        charter: charter.version,
        items: items.collect(),
    }
}
