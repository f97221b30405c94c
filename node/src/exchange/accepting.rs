//! What becomes of what arrived: the receiving policy is asked in this one place, once a record was found
//! sound and before it is shown to anybody. It never changes what travels: the record is held, served,
//! compared and passed on whatever the answer is.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hanse_protocol::admission::{Opened, Sound};
use hanse_protocol::charter::{Charter, CharterChain, CharterHash};
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::local::{AcceptanceView, Accepted};
use hanse_protocol::record::Header;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode};

use super::worker::Worker;
use crate::clock;
use crate::policy::{Acceptance, Arriving, Item, Policies, Roster, Verdict};
use crate::sharing::items::items;
use crate::store::entry::{BodyState, Drawer, Entry, PaperEntry};
use crate::store::{Reader, StoreError, unless_damaged};

/// Longest reason and longest list of policies that is kept and audited, bytes.
const TOLD: usize = 320;

/// Most records in quarantine that are counted.
pub(crate) const COUNTED: usize = 10_000;

fn kept() -> Acceptance {
    Acceptance {
        verdict: Verdict::Keep,
        deciding: BTreeSet::new(),
        reason: None,
        receipt: false,
    }
}

/// The policies that answer now: replaced as a whole. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Accepting(Arc<RwLock<Arc<Policies>>>, Arc<Mutex<Option<Classed>>>);

/// The partners by class, under policies and a charter of these hashes.
struct Classed {
    policies: [u8; 32],
    charter: CharterHash,
    roster: Arc<Roster>,
}

impl Default for Accepting {
    fn default() -> Self {
        Self(
            Arc::new(RwLock::new(Arc::new(Policies::built_in()))),
            Arc::default(),
        )
    }
}

impl Accepting {
    /// Has these policies answer for what arrives from now on. What is here already stays as it is.
    pub fn replace(&self, policies: Arc<Policies>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = policies;
    }

    /// The policies that answer now.
    pub fn now(&self) -> Arc<Policies> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The partners by class. Made once for policies and charter, so that what was decided of a class is found.
    pub(crate) fn roster(&self, policies: &Policies, charters: &CharterChain, own: &Handle) -> Arc<Roster> {
        let (hash, charter) = (policies.hash(), charters.newest().hash());
        let mut classed = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = classed
            .as_ref()
            .filter(|known| (known.policies, known.charter) == (hash, charter))
        {
            return Arc::clone(&known.roster);
        }
        let roster = Arc::new(policies.roster(charters.charter(), own));
        *classed = Some(Classed {
            policies: hash,
            charter,
            roster: Arc::clone(&roster),
        });
        roster
    }

    /// The answer for a record: the strictest of those for its objects.
    pub(crate) fn ask(
        &self,
        charter: &Charter,
        author: &Handle,
        sound: &Sound<'_>,
        arriving: Arriving,
        now: Timestamp,
    ) -> Acceptance {
        let policies = self.now();
        let mut answer = kept();
        if policies.keeps_all() {
            return answer;
        }
        let (unmarked, floor) = (sound.content.unmarked, sound.content.floor);
        // Objects of equal attributes get one answer.
        let distinct: BTreeSet<Item> = items(&sound.objects, unmarked, floor).into_iter().collect();
        for item in &distinct {
            add(&mut answer, policies.accept(charter, author, item, arriving, now));
        }
        answer
    }
}

/// The stricter answer counts, with all that decided so; a receipt is given if any asks for one.
fn add(sum: &mut Acceptance, other: Acceptance) {
    sum.receipt |= other.receipt;
    match other.verdict.cmp(&sum.verdict) {
        std::cmp::Ordering::Less => {}
        std::cmp::Ordering::Equal => {
            sum.deciding.extend(other.deciding);
            sum.reason = sum.reason.take().or(other.reason);
        }
        std::cmp::Ordering::Greater => {
            (sum.verdict, sum.deciding, sum.reason) = (other.verdict, other.deciding, other.reason);
        }
    }
}

/// What the receiving policy said of a record that is here.
pub(super) struct Ruled {
    pub(super) acceptance: Acceptance,
    arriving: Arriving,
}

impl Ruled {
    /// How the record's body stands by it.
    pub(super) fn state(&self) -> BodyState {
        match self.acceptance.verdict {
            Verdict::Keep => BodyState::Readable,
            Verdict::Quarantine => BodyState::Quarantined,
            Verdict::Drop => BodyState::Refused,
        }
    }
}

/// Why a record is in quarantine: the paper of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Kept {
    /// Since when.
    #[n(0)]
    pub(crate) since: Timestamp,
    /// The policies that decided.
    #[n(1)]
    pub(crate) policies: Vec<String>,
    /// Why, in their words.
    #[n(2)]
    pub(crate) reason: Option<String>,
    /// Whether its author is told what becomes of it.
    #[n(3)]
    pub(crate) receipt: bool,
    /// How many records its author had signed in the hour before it, as far as was known.
    #[n(4)]
    pub(crate) rate: u32,
}

impl Kept {
    /// The paper of a record in quarantine.
    pub(crate) fn load(reader: &Reader, id: &RecordId) -> Result<Option<Self>, StoreError> {
        let paper = unless_damaged(reader.paper(Drawer::Quarantine, id.as_bytes()))?;
        Ok(paper.and_then(|paper| minicbor::decode(&paper).ok()))
    }

    /// As people are told.
    pub(crate) fn view(&self) -> AcceptanceView {
        AcceptanceView {
            verdict: Accepted::Quarantine,
            policies: self.policies.clone(),
            reason: self.reason.clone(),
        }
    }
}

/// An answer, as people are told.
pub(crate) fn view(acceptance: &Acceptance) -> AcceptanceView {
    AcceptanceView {
        verdict: match acceptance.verdict {
            Verdict::Keep => Accepted::Keep,
            Verdict::Quarantine => Accepted::Quarantine,
            Verdict::Drop => Accepted::Drop,
        },
        policies: acceptance.deciding.iter().cloned().collect(),
        reason: acceptance.reason.clone(),
    }
}

/// What policies are told of a record beside its objects.
pub(crate) fn arriving(opened: &Opened, rate: u32) -> Arriving {
    Arriving {
        size: u64::from(opened.admitted().header().body_length),
        rate,
        sealed: opened.is_sealed(),
    }
}

/// Records in quarantine, counted up to [`COUNTED`].
pub(crate) fn count(reader: &Reader) -> Result<u64, StoreError> {
    let mut count = 0;
    for key in reader.paper_keys(Drawer::Quarantine, None, COUNTED)? {
        count += u64::from(is_quarantined(reader, &key)?.is_some());
    }
    Ok(count)
}

/// The record of a key of that drawer, if it is in quarantine still.
pub(crate) fn is_quarantined(reader: &Reader, key: &[u8]) -> Result<Option<RecordId>, StoreError> {
    let Ok(id) = key.try_into().map(RecordId) else {
        return Ok(None);
    };
    let held = reader.holds(&id)? == Some(BodyState::Quarantined);
    Ok(held.then_some(id))
}

/// The records in quarantine that changed with the commit in the making.
#[derive(Default)]
pub(super) struct Quarantined {
    /// Those that came.
    came: HashSet<RecordId>,
    /// Whether their number may have changed.
    pub(super) changed: bool,
}

impl Worker {
    /// Asks the receiving policy of a record that is ours to read and sound. What we or our other nodes
    /// signed is not asked for.
    pub(super) fn rule_on(
        &self,
        charters: &CharterChain,
        header: &Header,
        opened: &Opened,
        sound: &Sound<'_>,
    ) -> Option<Ruled> {
        if header.author == self.member.profile.handle {
            return None;
        }
        let rate = self.rates.hour_before(&header.author, header.created);
        let arriving = arriving(opened, rate);
        let (charter, author) = (charters.charter(), &header.author);
        let acceptance = self.accepting.ask(charter, author, sound, arriving, clock::now());
        Some(Ruled { acceptance, arriving })
    }

    /// Adds to the commit in the making what was ruled on a record of it.
    pub(super) fn note_ruling(&mut self, id: &RecordId, header: &Header, ruled: &Ruled) {
        let Ruled { acceptance, arriving } = ruled;
        if acceptance.receipt {
            self.owe(id, &header.author, ruled.state());
        }
        let action = match acceptance.verdict {
            Verdict::Keep => {
                self.metrics.ruled("kept");
                return;
            }
            Verdict::Quarantine => {
                self.metrics.ruled("quarantined");
                let policies = acceptance.deciding.iter();
                let kept = Kept {
                    since: clock::now(),
                    policies: policies.map(|policy| cut(policy)).take(16).collect(),
                    reason: acceptance.reason.as_deref().map(cut),
                    receipt: acceptance.receipt,
                    rate: arriving.rate,
                };
                let bytes = minicbor::to_vec(&kept).unwrap_or_default();
                let paper = PaperEntry::put(Drawer::Quarantine, *id.as_bytes(), bytes, clock::now());
                self.batch.push(Entry::Paper(paper.until(header.expires)), None);
                self.quarantined.came.insert(*id);
                self.quarantined.changed = true;
                "quarantine"
            }
            Verdict::Drop => {
                self.metrics.ruled("dropped");
                "refuse-policy"
            }
        };
        let policies: Vec<&str> = acceptance.deciding.iter().map(String::as_str).collect();
        let subject = match policies.as_slice() {
            [] => format!("{id} by no policy"),
            policies => cut(&format!("{id} by {}", policies.join(", "))),
        };
        self.audit(header.author.as_str(), action, subject, None);
    }

    /// Takes a record's paper out of quarantine, if it is there or comes there with this commit.
    pub(super) fn leave_quarantine(&mut self, id: &RecordId) {
        let came = self.quarantined.came.remove(id);
        if came || matches!(self.reader.holds(id), Ok(Some(BodyState::Quarantined))) {
            let paper = PaperEntry::take_away(Drawer::Quarantine, *id.as_bytes(), clock::now());
            self.batch.push(Entry::Paper(paper), None);
            self.quarantined.changed = true;
        }
    }

    /// To be called once a commit is durable: what it changed can be counted.
    pub(super) fn count_quarantined(&mut self) -> Result<(), StoreError> {
        self.quarantined.came.clear();
        if std::mem::take(&mut self.quarantined.changed) {
            self.metrics.quarantined(count(&self.reader)?);
        }
        Ok(())
    }
}

/// As much of a text as is kept.
fn cut(text: &str) -> String {
    let mut end = text.len().min(TOLD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
