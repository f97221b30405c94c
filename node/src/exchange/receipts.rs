//! Telling authors what became of their records, where the receiving policy gives receipts, and being
//! told. What is owed is on paper until the receipt that tells it is in the log, in the same commit: a kill
//! neither loses nor repeats it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::{Duration, Instant};

use hanse_protocol::admission::Opened;
use hanse_protocol::charter::CharterChain;
use hanse_protocol::compress;
use hanse_protocol::identity::{Handle, RecordId};
use hanse_protocol::receipt::{self, Outcome, Told};
use hanse_protocol::record::{Header, Kind};
use hanse_protocol::refusal::Refusal;
use hanse_protocol::timestamp::Timestamp;
use minicbor::{Decode, Encode};

use super::publish::Terms;
use super::worker::Worker;
use super::{ExchangeError, derive};
use crate::clock;
use crate::store::entry::{BodyState, Drawer, Entry, PaperEntry};
use crate::store::{Reader, StoreError};

/// How long what is owed waits for more, and the least time between two receipts to one author.
const PAUSE: Duration = Duration::from_secs(2);

/// Records that are worth a receipt at once.
const WORTH: usize = 200;

/// How long nothing is told after it could not be: no lane, a full budget, sealing frozen.
const LATER: Duration = Duration::from_secs(30);

/// How long a receipt travels.
const LIFE: Duration = Duration::from_secs(30 * 86_400);

/// The share of our own budget of records that goes into receipts at most: one in so many.
const SHARE: u64 = 4;

/// Most that is owed to one author; what comes beyond it, while nothing can be told, is not told of.
const MOST: usize = 20_000;

/// Bytes drawn for the key of what is owed, before the author's handle.
const DRAWN: usize = 16;

/// Papers read at once when the node starts.
const CHUNK: usize = 512;

/// Receipts of one record that are told.
const TOLD: usize = 1_000;

/// What a reader said became of a record of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who says so.
    pub reader: Handle,
    /// What became of the record there.
    pub outcome: Outcome,
    /// When, by its clock.
    pub at: Timestamp,
    /// The record that says so.
    pub receipt: RecordId,
}

/// As it is on paper.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Heard {
    #[n(0)]
    outcome: u8,
    #[n(1)]
    at: Timestamp,
    #[n(2)]
    receipt: RecordId,
}

/// What readers said became of a record of ours, by their handles.
///
/// # Errors
/// Those of the store.
pub fn receipts(reader: &Reader, record: &RecordId) -> Result<Vec<Receipt>, StoreError> {
    let papers = reader.papers_under(Drawer::Receipts, record.as_bytes(), TOLD)?;
    let mut receipts: Vec<Receipt> = papers
        .iter()
        .filter_map(|(key, bytes)| {
            let handle = std::str::from_utf8(key.get(32..)?).ok()?;
            let heard: Heard = minicbor::decode(bytes).ok()?;
            Some(Receipt {
                reader: handle.parse().ok()?,
                outcome: Outcome::of_code(heard.outcome)?,
                at: heard.at,
                receipt: heard.receipt,
            })
        })
        .collect();
    receipts.sort_by(|a, b| a.reader.cmp(&b.reader));
    Ok(receipts)
}

/// What is owed to authors.
#[derive(Default)]
pub(super) struct Owed {
    authors: BTreeMap<Handle, Account>,
    /// Receipts of a day: its number, and how many.
    sent: (u64, u64),
    /// Until when nothing is tried.
    later: Option<Instant>,
    /// What was heard with the commit in the making, by the paper's key.
    heard: HashMap<Vec<u8>, (Outcome, Timestamp)>,
}

/// What is owed to one author.
#[derive(Default)]
struct Account {
    told: Vec<Told>,
    /// How many of them are on paper, and the papers' keys.
    noted: usize,
    papers: Vec<Vec<u8>>,
    /// When the oldest came.
    since: Option<Instant>,
    /// When the last receipt was made.
    last: Option<Instant>,
}

impl Account {
    fn add(&mut self, told: Told, now: Instant) {
        if self.told.len() >= MOST {
            return;
        }
        self.told.push(told);
        self.since.get_or_insert(now);
    }

    fn is_due(&self, now: Instant) -> bool {
        let waited = |since: Instant| now.saturating_duration_since(since) >= PAUSE;
        let full = self.told.len() >= WORTH;
        self.since.is_some_and(|since| full || waited(since)) && self.last.is_none_or(waited)
    }
}

impl Worker {
    /// Takes up what was owed when the node ended.
    pub(super) fn load_owed(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let papers = self.reader.papers(Drawer::Owed, from, Bound::Unbounded, CHUNK)?;
            let more = papers.len() == CHUNK;
            for (key, bytes) in papers {
                let handle = key.get(DRAWN..).and_then(|bytes| std::str::from_utf8(bytes).ok());
                let Some(author) = handle.and_then(|handle| handle.parse().ok()) else {
                    continue;
                };
                let account = self.owed.authors.entry(author).or_default();
                for told in receipt::decode(&bytes).unwrap_or_default() {
                    account.add(told, now);
                }
                account.noted = account.told.len();
                account.papers.push(key.clone());
                after = Some(key);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Notes that an author is to be told how a record of it stands.
    pub(super) fn owe(&mut self, id: &RecordId, author: &Handle, state: BodyState) {
        let outcome = match state {
            BodyState::Readable => Outcome::Kept,
            BodyState::Quarantined => Outcome::Quarantined,
            BodyState::Refused => Outcome::Refused,
            // Nothing was ruled.
            BodyState::Awaited
            | BodyState::Opaque
            | BodyState::Unsound
            | BodyState::Gone
            | BodyState::Shed => {
                return;
            }
        };
        let told = Told {
            record: *id,
            outcome,
            at: clock::now(),
        };
        let account = self.owed.authors.entry(author.clone()).or_default();
        account.add(told, Instant::now());
    }

    /// Adds to the commit in the making, as papers, what is owed since the last one.
    pub(super) fn note_owed(&mut self) {
        let mut papers = Vec::new();
        for (author, account) in &mut self.owed.authors {
            let new = account.told.get(account.noted..).unwrap_or_default();
            for some in new.chunks(receipt::RECORDS) {
                let drawn: [u8; DRAWN] = rand::random();
                let key = [drawn.as_slice(), author.as_str().as_bytes()].concat();
                papers.push(PaperEntry::put(
                    Drawer::Owed,
                    key.clone(),
                    receipt::encode(some),
                    clock::now(),
                ));
                account.papers.push(key);
            }
            account.noted = account.told.len();
        }
        for paper in papers {
            self.batch.push(Entry::Paper(paper), None);
        }
    }

    /// Adds the receipts that are due to the commit in the making. What cannot be told now is told later.
    pub(super) fn send_receipts(&mut self) {
        let now = Instant::now();
        if self.owed.authors.is_empty() || self.owed.later.is_some_and(|later| now < later) {
            return;
        }
        self.owed.later = None;
        let due = self
            .owed
            .authors
            .iter()
            .filter(|(_, account)| account.is_due(now));
        let due: Vec<Handle> = due.map(|(author, _)| author.clone()).collect();
        for author in due {
            if let Err(error) = self.send_receipt(&author, now) {
                tracing::debug!(%author, %error, "a receipt waits");
                self.owed.later = Some(now + LATER);
            }
        }
        // What was told lately is remembered only as long as it keeps the next one waiting.
        let idle = |account: &Account| {
            account.told.is_empty()
                && account
                    .last
                    .is_none_or(|last| now.saturating_duration_since(last) >= PAUSE)
        };
        self.owed.authors.retain(|_, account| !idle(account));
    }

    fn send_receipt(&mut self, author: &Handle, now: Instant) -> Result<(), ExchangeError> {
        let charters = self.charters.clone().ok_or(ExchangeError::NoCommunity)?;
        let Some(account) = self.owed.authors.get(author) else {
            return Ok(());
        };
        let told: Vec<Told> = account.told.iter().take(receipt::RECORDS).copied().collect();
        let member = charters.charter().member(author);
        let sent = match member.is_some_and(|member| member.ended.is_none()) {
            true => Some(self.issue_receipt(&charters, author, &told)?),
            // Who left is told nothing any more.
            false => None,
        };
        let Some(account) = self.owed.authors.get_mut(author) else {
            return Ok(());
        };
        account.told.drain(..told.len());
        account.since = Some(now).filter(|_| !account.told.is_empty());
        account.last = Some(now);
        // What is left is noted anew.
        account.noted = 0;
        let papers = std::mem::take(&mut account.papers);
        for key in papers {
            let paper = PaperEntry::take_away(Drawer::Owed, key, clock::now());
            self.batch.push(Entry::Paper(paper), None);
        }
        if let Some(id) = sent {
            self.metrics.receipts("sent", told.len());
            let subject = format!("{id} to {author}, of {} records", told.len());
            self.audit("node", "receipt", subject, None);
        }
        Ok(())
    }

    /// Signs a receipt, sealed to an author alone, as far as we may seal and our budget goes.
    fn issue_receipt(
        &mut self,
        charters: &CharterChain,
        author: &Handle,
        told: &[Told],
    ) -> Result<RecordId, ExchangeError> {
        if self.restored.is_some() {
            return Err(ExchangeError::Restored);
        }
        if self.full {
            return Err(ExchangeError::Full);
        }
        if let Some(freeze) = self.freeze(clock::now()) {
            return Err(ExchangeError::Frozen(freeze));
        }
        let budget = charters.charter().budget;
        let terms = self.receipt_terms(charters)?;
        let day = terms.created.as_millis() / 86_400_000;
        let sent = if self.owed.sent.0 == day {
            self.owed.sent.1
        } else {
            0
        };
        if sent >= u64::from(budget.records) / SHARE {
            let reason = "the share of the day's budget that is for receipts is used up";
            return Err(ExchangeError::Invalid(reason.to_owned()));
        }
        let content = receipt::encode(told);
        let packed = compress::pack(&content);
        let packed = packed.map_err(|error| ExchangeError::Invalid(error.to_string()))?;
        let readers = [author.clone()].into();
        let body = self
            .seal_to(charters, &terms, Kind::Receipt, &packed, &readers)?
            .encode();
        self.check_room(charters, &terms, [body.len()].into_iter())?;
        self.fits_content(&budget, terms.created, [content.len()].into_iter())?;
        let header = Header {
            kind: Kind::Receipt,
            ..self.next_header(charters, &terms, &body)
        };
        self.afford(&budget, &header, content.len());
        let facts = derive::header_facts(&header);
        let (_, id) = self.log_own(charters, header, body, facts);
        self.owed.sent = (day, sent + 1);
        Ok(id)
    }

    fn receipt_terms(&self, charters: &CharterChain) -> Result<Terms, ExchangeError> {
        let mut terms = self.plain_terms(charters)?;
        terms.expires = terms.expires.min(terms.created.after(LIFE));
        Ok(terms)
    }

    /// A receipt that came: what it says of our records is kept.
    pub(super) fn take_receipt(
        &mut self,
        id: &RecordId,
        header: &Header,
        opened: &Opened,
    ) -> Result<(), Refusal> {
        let told = opened.receipts()?;
        let own = self.member.profile.handle.clone();
        let Some(charters) = self.charters.clone() else {
            return Ok(());
        };
        // Our own receipts, which our other nodes can open, are none for us.
        if header.author == own {
            return Ok(());
        }
        let until = clock::now().after(charters.charter().horizon());
        let mut heard = 0;
        for Told { record, outcome, at } in told {
            // Whose it is says the index; a receipt for what is not ours, or not here, says nothing.
            if !matches!(self.reader.is_by(charters.community(), &own, &record), Ok(true)) {
                continue;
            }
            let key = [record.as_bytes(), header.author.as_str().as_bytes()].concat();
            if !self.is_news(&key, outcome, at) {
                continue;
            }
            let receipt = Heard {
                outcome: outcome.code(),
                at,
                receipt: *id,
            };
            self.owed.heard.insert(key.clone(), (outcome, at));
            let bytes = minicbor::to_vec(&receipt).unwrap_or_default();
            let paper = PaperEntry::put(Drawer::Receipts, key, bytes, clock::now());
            self.batch.push(Entry::Paper(paper.until(until)), None);
            heard += 1;
        }
        self.metrics.receipts("received", heard);
        Ok(())
    }

    /// Whether it says something else, and said it later, than what is known: receipts come in any order, and
    /// whoever repeats itself fills no disk.
    fn is_news(&self, key: &[u8], outcome: Outcome, at: Timestamp) -> bool {
        let heard = self.owed.heard.get(key).copied().or_else(|| {
            let known = self.reader.paper(Drawer::Receipts, key).ok().flatten()?;
            let known = minicbor::decode::<Heard>(&known).ok()?;
            Some((Outcome::of_code(known.outcome)?, known.at))
        });
        heard.is_none_or(|(known, last)| known != outcome && last < at)
    }

    /// To be called once a commit is durable: what was heard with it can be read.
    pub(super) fn forget_heard(&mut self) {
        self.owed.heard.clear();
    }
}
