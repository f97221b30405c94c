//! The exchange's thread: drain the inbox, take each piece of work up to the commit, commit, answer.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hanse_protocol::charter::CharterChain;
use hanse_protocol::charter::proposal::Proposal;
use hanse_protocol::identity::RecordId;
use hanse_protocol::timestamp::Timestamp;
use tokio::sync::{mpsc, watch};

use super::accepting::{Accepting, Quarantined};
use super::batch::Batch;
use super::beyond::Beyond;
use super::budget::Ledger;
use super::complaints::Complaints;
use super::held::{ASIDE, RUNS, Shared};
use super::keeping::{Keeping, Retention};
use super::membership::signed::Signed;
use super::rates::Rates;
use super::receipts::Owed;
use super::recent::Recent;
use super::restored::{Asked, Home, Restored};
use super::shedding::Opaque;
use super::turns::Work;
use super::{Command, Exchange, Nudge, Standing};
use crate::clock;
use crate::clocks::Clocks;
use crate::heads::{self, Freeze};
use crate::member::Member;
use crate::metrics::Metrics;
use crate::store::entry::{AuditEntry, Entry, Position, TEXT};
use crate::store::{ChainLink, Holding, Reader, Store, StoreError, unless_damaged};

/// Most entries of one commit.
const COMMIT_ENTRIES: usize = 1_000;

/// Most bytes of one commit, about.
const COMMIT_BYTES: usize = 1 << 20;

/// How long the thread waits for work before it looks after the store.
const IDLE: Duration = Duration::from_secs(1);

/// How long it waits while there is something to look after.
const BRIEF: Duration = Duration::from_millis(2);

/// What the exchange is made of.
pub struct Parts {
    /// The store, written by the exchange alone.
    pub store: Store,
    /// Who we are.
    pub member: Arc<Member>,
    /// The charters found in the log.
    pub charters: Option<CharterChain>,
    /// Where this node may be dialled, for its request and its charter entry.
    pub addresses: Vec<String>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where it says what others should do; when full, timers do it later.
    pub nudges: mpsc::Sender<Nudge>,
    /// What time the others say it is.
    pub clocks: Clocks,
    /// Bytes of bodies sealed for others that are kept; beyond that the oldest of the heaviest author
    /// are given up.
    pub opaque_max: u64,
    /// How long things are kept.
    pub retention: Retention,
    /// Whether the store lost entries that it had acknowledged.
    pub lost: bool,
    /// Where the store is at home, if that can be told.
    pub home: Option<Home>,
}

/// The place in our own lane where the next record goes.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnChain {
    pub(super) epoch: u32,
    pub(super) seq: u64,
    pub(super) last: Option<RecordId>,
    /// Epoch and number of `last` while nothing was signed in this epoch.
    pub(super) known: (u32, u64),
    pub(super) created: Timestamp,
}

pub(super) struct Worker {
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) member: Arc<Member>,
    pub(super) charters: Option<Arc<CharterChain>>,
    pub(super) addresses: Vec<String>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) held: Shared,
    pub(super) recent: Recent,
    pub(super) ledger: Ledger,
    pub(super) complaints: Complaints,
    pub(super) clocks: Clocks,
    pub(super) opaque: Opaque,
    /// The policies that answer for what arrives.
    pub(super) accepting: Accepting,
    /// The policies that were kept last.
    pub(super) filed: Option<[u8; 32]>,
    pub(super) rates: Rates,
    pub(super) quarantined: Quarantined,
    /// What authors are to be told of their records.
    pub(super) owed: Owed,
    pub(super) keeping: Keeping,
    pub(super) beyond: Beyond,
    /// Whether our own chain may go on elsewhere, so that nothing is signed.
    pub(super) restored: Option<Restored>,
    /// Whether the store is to be told, after the next commit, that its loss was noted.
    pub(super) lost: bool,
    /// What the present frame came to so far.
    pub(super) sum: super::judging::Sum,
    /// Who was asked for our own records since.
    pub(super) asked: Asked,
    /// When what was turned away for now was last let be asked for again.
    asked_again: Timestamp,
    pub(super) own: OwnChain,
    /// What was admitted and waits for being read.
    pub(super) unread: Vec<super::receive::Unread>,
    pub(super) batch: Batch,
    nudges: mpsc::Sender<Nudge>,
    /// Nudges that wait for the commit.
    later: Vec<Nudge>,
    /// Whether the disk is too full for new work.
    pub(super) full: bool,
    /// What stewards said last.
    pub(super) heads: heads::Shared,
    /// Which charters this node signed.
    pub(super) signed: Signed,
    /// Proposals that may still come into force, by the slot each is kept in.
    pub(super) proposals: std::collections::BTreeMap<usize, Proposal>,
    /// Why nothing was sealed when it was looked at last.
    frozen: Option<Freeze>,
    /// Whether the standing changed with what waits for the commit.
    stands_anew: bool,
    standing: watch::Sender<Arc<Standing>>,
    position: watch::Sender<Position>,
}

/// The exchange's thread. It ends with the error that made the store fail, if one did.
pub type Thread = JoinHandle<Result<(), Arc<StoreError>>>;

/// Why the exchange did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// The system gave no thread.
    #[error("no thread for the exchange")]
    Thread(#[source] std::io::Error),
}

/// Starts the thread. It ends, after a last checkpoint, when every [`Exchange`] is dropped; it ends
/// with an error when the store fails, since what is in memory is then ahead of the disk.
///
/// # Errors
/// [`StartError`].
pub fn start(parts: Parts) -> Result<(Exchange, Thread), StartError> {
    let Parts {
        store,
        member,
        charters,
        addresses,
        metrics,
        nudges,
        clocks,
        opaque_max,
        retention,
        lost,
        home,
    } = parts;
    let reader = store.reader();
    let charters = charters.map(Arc::new);
    let standing = Arc::new(Standing {
        profile: member.profile.clone(),
        node: member.node_id(),
        charters: charters.clone(),
        proposals: Arc::default(),
        frozen: None,
    });
    let (standing, standings) = watch::channel(standing);
    let (position, positions) = watch::channel(reader.newest());
    let (inbox, desk, work) = super::turns::queues();
    // Only its timer is used: the thread waits for work or for the time to look after the store.
    let clockwork = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let clockwork = clockwork.map_err(StartError::Thread)?;
    let mut worker = Worker {
        store,
        reader,
        member,
        charters,
        addresses,
        metrics,
        held: Shared::default(),
        recent: Recent::default(),
        ledger: Ledger::default(),
        complaints: Complaints::default(),
        clocks,
        opaque: Opaque::new(opaque_max),
        accepting: Accepting::default(),
        filed: None,
        rates: Rates::default(),
        quarantined: Quarantined::default(),
        owed: Owed::default(),
        keeping: Keeping::new(retention),
        beyond: Beyond::default(),
        restored: None,
        lost,
        sum: super::judging::Sum::default(),
        asked: Asked::default(),
        asked_again: clock::now(),
        own: OwnChain::default(),
        unread: Vec::new(),
        batch: Batch::default(),
        nudges,
        later: Vec::new(),
        full: false,
        heads: heads::Shared::default(),
        signed: Signed::default(),
        proposals: std::collections::BTreeMap::new(),
        frozen: None,
        stands_anew: false,
        standing,
        position,
    };
    worker.load(lost, home)?;
    worker.settle_in()?;
    let (held, heads) = (worker.held.clone(), worker.heads.clone());
    let member = Arc::clone(&worker.member);
    let overdrafts = worker.ledger.overdrafts();
    let clocks = worker.clocks.clone();
    let accepting = worker.accepting.clone();
    let judged = worker.beyond.told();
    let thread = std::thread::Builder::new()
        .name("exchange".to_owned())
        .spawn(move || worker.run(&clockwork, work));
    let thread = thread.map_err(StartError::Thread)?;
    Ok((
        Exchange {
            inbox,
            desk,
            reading: Arc::default(),
            standing: standings,
            position: positions,
            held,
            heads,
            member,
            accepting,
            overdrafts,
            clocks,
            judged,
        },
        thread,
    ))
}

impl Worker {
    /// Takes up from the store what is kept in memory.
    fn load(&mut self, lost: bool, home: Option<Home>) -> Result<(), StoreError> {
        self.load_keeping()?;
        self.metrics.quarantined(super::accepting::count(&self.reader)?);
        self.load_owed()?;
        let Some(charters) = self.charters.clone() else {
            return self.load_restored(lost, home);
        };
        self.load_membership()?;
        self.frozen = self.freeze(clock::now());
        self.metrics.frozen(self.frozen.is_some());
        self.metrics.forked(charters.fork_open());
        self.tell_standing();
        for member in &charters.charter().members {
            let kept = unless_damaged(self.reader.note(&super::shedding::note(&member.handle)))?;
            self.opaque.kept_before(&member.handle, kept.as_deref());
            let holdings = self.reader.holdings(charters.community(), &member.handle, RUNS)?;
            for Holding {
                lane,
                epoch,
                runs,
                twins,
            } in holdings
            {
                for run in runs {
                    self.held.insert_run(&member.handle, lane, epoch, run);
                }
                for seq in twins {
                    self.held.twin(&member.handle, lane, epoch, seq);
                }
            }
        }
        self.load_own_chain()?;
        self.load_rates(&charters)?;
        self.load_restored(lost, home)?;
        self.find_beyond(&charters)?;
        self.make_good()
    }

    /// Commits what taking up found to be done, before anybody reads.
    fn settle_in(&mut self) -> Result<(), StoreError> {
        if !self.store.is_full() {
            let (entries, _) = self.batch.take();
            if !entries.is_empty() {
                self.store.commit(entries)?;
                if std::mem::take(&mut self.lost) {
                    self.store.loss_is_noted()?;
                }
                self.position.send_replace(self.reader.newest());
            }
        }
        Ok(())
    }

    /// Finds where our own lane goes on.
    pub(super) fn load_own_chain(&mut self) -> Result<(), StoreError> {
        let (Some(charters), Some(lane)) = (&self.charters, self.own_lane()) else {
            return Ok(());
        };
        if let Some(newest) = self.newest_own(charters, lane)? {
            let ChainLink { epoch, seq, id, .. } = newest;
            let created = self.created_of(&id)?.unwrap_or_default();
            self.own = OwnChain {
                epoch,
                seq,
                last: Some(id),
                known: (0, 0),
                created,
            };
        }
        Ok(())
    }

    /// Our lane under the charter in force, if we are an active member.
    pub(super) fn own_lane(&self) -> Option<u16> {
        let charters = self.charters.as_ref()?;
        let (member, lane) = charters.charter().owner_of(&self.member.node_id())?;
        (member.handle == self.member.profile.handle).then_some(lane)
    }

    /// When a held record was created.
    pub(super) fn created_of(&self, id: &RecordId) -> Result<Option<Timestamp>, StoreError> {
        let Some(stored) = unless_damaged(self.reader.record(id))? else {
            return Ok(None);
        };
        let admitted = hanse_protocol::admission::Admitted::from_log(&stored.header, &stored.community).ok();
        Ok(admitted.map(|admitted| admitted.header().created))
    }

    fn run(mut self, clockwork: &tokio::runtime::Runtime, mut work: Work) -> Result<(), Arc<StoreError>> {
        let mut busy = self.beyond.is_due();
        loop {
            let patience = if busy { BRIEF } else { IDLE };
            match clockwork.block_on(async { tokio::time::timeout(patience, work.next()).await }) {
                Ok(Some(command)) => {
                    self.look_for_room();
                    self.handle(command);
                    self.drain(&mut work);
                    self.look_at_freeze();
                    self.send_receipts();
                    // A cursor that moves on with every record would double the syncs.
                    if !self.batch.may_wait() || self.batch.len() >= COMMIT_ENTRIES {
                        self.commit()?;
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    self.look_for_room();
                    self.look_at_freeze();
                    self.send_receipts();
                    self.shed();
                    self.commit()?;
                    self.maintain()?;
                }
            }
            busy = self.look_after().map_err(Arc::new)?;
            if !self.batch.is_empty() && !self.batch.may_wait() {
                self.commit()?;
            }
        }
        self.commit()?;
        self.store.settle().map_err(Arc::new)
    }

    /// Takes what else is ready, up to the size of a commit.
    fn drain(&mut self, work: &mut Work) {
        while self.batch.len() < COMMIT_ENTRIES && self.batch.bytes() < COMMIT_BYTES {
            let Some(command) = work.ready() else { break };
            self.handle(command);
        }
    }

    /// Asked once for every commit, before any of its work is taken up: what is in memory runs
    /// ahead of the disk from then on, and could not be taken back.
    fn look_for_room(&mut self) {
        let full = self.store.is_full();
        if full != self.full {
            self.full = full;
            if full {
                tracing::error!("the disk is full: nothing new is taken before there is room again");
            } else {
                tracing::info!("the disk has room again");
            }
        }
    }

    /// Why nothing may be sealed at `now`, if nothing may.
    pub(super) fn freeze(&self, now: Timestamp) -> Option<Freeze> {
        let charters = self.charters.as_ref()?;
        let own = &self.member.profile.handle;
        let key = self.member.signing_under(charters.charter()).verifying_key();
        let speaks = self.own_lane().is_some()
            && charters.charter().member(own).is_some_and(|member| {
                let mut keys = member.signing.iter();
                keys.any(|signing| signing.key == key && signing.closed.is_none())
            });
        let own = Some(own).filter(|_| speaks);
        self.heads.with(|heads| heads.freeze(charters, own, now))
    }

    /// Takes note when sealing ends or may begin again.
    fn look_at_freeze(&mut self) {
        let frozen = self.freeze(clock::now());
        if frozen.is_some() == self.frozen.is_some() || self.full {
            return;
        }
        self.frozen = frozen;
        self.metrics.frozen(frozen.is_some());
        match frozen {
            Some(freeze) => tracing::error!("{freeze}"),
            None => tracing::info!("stewards confirm the charter again: sealing goes on"),
        }
        let (action, subject) = match frozen {
            Some(Freeze::Expired(_)) => ("freeze", "charter expired"),
            Some(Freeze::Silent { .. }) => ("freeze", "stewards silent"),
            None => ("thaw", "charter confirmed"),
        };
        self.audit("node", action, subject.to_owned(), None);
        self.stands_anew = true;
    }

    fn handle(&mut self, command: Command) {
        let command = if self.full {
            command.refuse_for_room()
        } else {
            Some(command)
        };
        let command = match self.restored {
            Some(_) => command.and_then(Command::refuse_restored),
            None => command,
        };
        let Some(command) = command else { return };
        match command {
            Command::Publish(actor, request, reply) => self.publish(&actor, request, reply),
            Command::Request(actor, reply) => self.request(&actor, reply),
            Command::Found(actor, request, reply) => self.found(&actor, &request, reply),
            Command::Admit(actor, request, reply) => self.admit(&actor, &request, reply),
            Command::Expel(actor, handle, reply) => self.expel(&actor, &handle, reply),
            Command::Join(actor, request, reply) => self.join(&actor, &request, reply),
            Command::Propose(actor, request, reply) => self.propose(&actor, request, reply),
            Command::Endorse(actor, file, reply) => self.endorse(&actor, &file, reply),
            Command::Submit(actor, file, reply) => self.submit(&actor, &file, reply),
            Command::Head {
                courier,
                head,
                verdict,
            } => self.head(courier, &head, verdict),
            Command::Frame {
                courier,
                records,
                verdict,
            } => self.frame(courier, records, verdict),
            Command::Records {
                courier,
                records,
                origin,
                reply,
            } => {
                self.records(courier, records, origin, reply);
            }
            Command::Body {
                id,
                body,
                origin,
                reply,
            } => self.body(&id, body, origin, reply),
            Command::Charters { charters, reply } => self.offered_charters(charters, reply),
            Command::Note { kind, bytes } => {
                let note = crate::store::entry::NoteEntry { kind, bytes };
                self.batch.push(Entry::Note(note), None);
            }
            Command::Retain(actor, confirm, reply) => self.retain(&actor, confirm, reply),
            Command::Forward(forward, reply) => self.forward(&forward, reply),
            Command::Retract(actor, id, reply) => self.retract(&actor, &id, reply),
            Command::Review(actor, id, review, reply) => self.review(&actor, id, review, reply),
            Command::Compared {
                peer,
                whole,
                connected,
            } => self.compared(peer, whole, &connected),
            Command::Witness(deeds, note, reply) => {
                for deed in deeds {
                    self.audit(&deed.actor.0, deed.action, deed.subject, None);
                }
                if let Some((kind, bytes)) = note {
                    self.batch
                        .push(Entry::Note(crate::store::entry::NoteEntry { kind, bytes }), None);
                }
                self.batch.answer(reply, |_| ());
            }
        }
    }

    /// Makes the batch durable, then tells everybody.
    fn commit(&mut self) -> Result<(), Arc<StoreError>> {
        if self.batch.is_empty() {
            self.send_nudges();
            return Ok(());
        }
        self.shed();
        self.note_owed();
        for note in self.ledger.notes().into_iter().chain(self.opaque.notes()) {
            self.batch.push(note, None);
        }
        let (entries, told) = self.batch.take();
        let started = Instant::now();
        let count = entries.len();
        let committed = if entries.is_empty() {
            Ok(Vec::new())
        } else {
            self.store.commit(entries)
        };
        match committed {
            Ok(positions) => {
                self.metrics.committed(count, started.elapsed());
                if let Some(newest) = positions.last() {
                    self.position.send_replace(*newest);
                }
                if std::mem::take(&mut self.lost) {
                    self.store.loss_is_noted().map_err(Arc::new)?;
                }
                self.count_quarantined().map_err(Arc::new)?;
                self.forget_heard();
                if std::mem::take(&mut self.stands_anew) {
                    self.tell_standing();
                }
                told.into_iter().for_each(|tell| tell(Ok(&positions)));
                self.send_nudges();
                self.maintain()
            }
            Err(error) => {
                let error = Arc::new(error);
                told.into_iter().for_each(|tell| tell(Err(&error)));
                Err(error)
            }
        }
    }

    fn maintain(&mut self) -> Result<(), Arc<StoreError>> {
        let now = clock::now();
        // Either way: a clock that went back must not make this wait for ever.
        if now.since(self.asked_again).max(self.asked_again.since(now)) >= ASIDE {
            self.asked_again = now;
            self.held.ask_again();
        }
        self.store.maintain(clock::now()).map_err(Arc::new)
    }

    /// Adds an audit line to the commit in the making.
    pub(super) fn audit(&mut self, actor: &str, action: &str, mut subject: String, ruling: Option<[u8; 32]>) {
        // A line that is too long would be no commit, and no commit ends the node.
        if subject.len() > TEXT {
            let end = subject.floor_char_boundary(TEXT - '…'.len_utf8());
            subject.truncate(end);
            subject.push('…');
        }
        let line = AuditEntry::new(clock::now(), actor, action, subject, ruling);
        self.batch.push(Entry::Audit(line), None);
    }

    /// Says what others should do, once what this batch holds is durable: they may look for it.
    pub(super) fn nudge(&mut self, nudge: Nudge) {
        self.later.push(nudge);
    }

    fn send_nudges(&mut self) {
        for nudge in self.later.drain(..) {
            if self.nudges.try_send(nudge).is_err() {
                self.metrics.nudge_dropped();
            }
        }
    }

    /// Puts new charters in force. Others are told after the commit: what leaves this node must not
    /// be forgotten by it. Records that follow in this very batch already stand under them.
    pub(super) fn stand_under(&mut self, charters: CharterChain) {
        // A new charter may know what was unknown, and allow more.
        self.held.judge_anew();
        self.beyond.judge_anew();
        self.recent.judge_again();
        self.metrics.forked(charters.fork_open());
        self.charters = Some(Arc::new(charters));
        self.stands_anew = true;
    }

    /// Has the standing told once the batch is durable.
    pub(super) fn stand_anew(&mut self) {
        self.stands_anew = true;
    }

    fn tell_standing(&self) {
        let standing = Standing {
            profile: self.member.profile.clone(),
            node: self.member.node_id(),
            charters: self.charters.clone(),
            proposals: Arc::new(self.proposals.values().cloned().collect()),
            frozen: self.frozen,
        };
        self.standing.send_replace(Arc::new(standing));
    }
}
