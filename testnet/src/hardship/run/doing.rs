//! Carrying a plan's actions out, each at its time, and looking meanwhile whether every daemon that
//! should run does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hanse_protocol::local::Readable;
use hanse_sdk::{Client, SdkError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{HardshipError, Listeners};
use crate::hardship::kept::{Kept, Promise};
use crate::hardship::ledger::Ledger;
use crate::hardship::plan::Action;
use crate::hardship::publishing::Astray;
use crate::league::League;
use crate::progress::Progress;
use crate::proxy::Net;

/// How often is looked whether all daemons run.
const LOOK: Duration = Duration::from_millis(200);

/// How long a daemon may take until it answers: the machine may have much to do.
const ANSWERS: Duration = Duration::from_secs(90);

/// What passes between two questions whether it does.
const ASK: Duration = Duration::from_millis(40);

/// How many of its newest records a node is asked for after a start; all of them in the end.
const NEWEST: usize = 20;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Deeds {
    /// Daemons that were killed.
    pub kills: usize,
    /// Of those, daemons that had not answered yet since their start.
    pub killed_while_starting: usize,
    /// Daemons that were told to end.
    pub stops: usize,
    /// Daemons that were started again.
    pub starts: usize,
    /// Starts after which a daemon answered: all but those that were killed before.
    pub answered: usize,
    /// The longest from a start to an answer, seconds.
    pub slowest_start: f64,
    /// Ways that were cut.
    pub cuts: usize,
    /// Clocks that were set off.
    pub clocks: usize,
    /// Members that joined.
    pub joined: usize,
}

/// How often each node was ended or started: who waits for one learns that it is another now.
type Turns = Arc<BTreeMap<usize, AtomicU64>>;

/// The league while things are done to it.
pub(super) struct Stage<'a> {
    league: &'a mut League,
    net: &'a Net,
    kept: &'a Kept,
    ledger: &'a Ledger,
    astray: Astray,
    listeners: Listeners,
    /// Whether a daemon is killed that nobody said would be: sabotage.
    pub(super) sabotaged: bool,
    up: BTreeMap<usize, bool>,
    turns: Turns,
    starts: JoinSet<Option<Duration>>,
    /// Nodes of members that are not admitted yet, since the steward was away.
    waiting: Vec<usize>,
    deeds: Deeds,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        league: &'a mut League,
        net: &'a Net,
        kept: &'a Kept,
        ledger: &'a Ledger,
        astray: Astray,
        listeners: Listeners,
    ) -> Self {
        let up = (0..league.daemons().len()).map(|node| (node, true)).collect();
        let turns = (0..crate::league::MOST).map(|node| (node, AtomicU64::new(0)));
        Self {
            league,
            net,
            kept,
            ledger,
            astray,
            listeners,
            sabotaged: false,
            up,
            turns: Arc::new(turns.collect()),
            starts: JoinSet::new(),
            waiting: Vec::new(),
            deeds: Deeds::default(),
        }
    }

    /// Does everything at its time, and returns when all is done and `lasts` is over.
    pub(super) async fn carry_out(
        &mut self,
        actions: &[(Duration, Action)],
        lasts: Duration,
        start: Instant,
        progress: &Progress,
    ) -> Result<(), HardshipError> {
        let mut left = actions.iter();
        let mut next = left.next();
        loop {
            let now = start.elapsed();
            match next {
                Some((at, action)) if *at <= now => {
                    self.does(action).await?;
                    next = left.next();
                    continue;
                }
                None if now >= lasts => return Ok(()),
                _ => {}
            }
            if self.sabotaged && now >= lasts / 2 {
                self.kill_unannounced().await?;
            }
            self.all_run()?;
            self.collect();
            // Who is turned away because the steward is down asks again.
            drop(self.admit().await);
            let (seconds, of) = (now.as_secs(), lasts.as_secs());
            progress.step(format!("{seconds} of {of} s, {} things done", self.done()));
            let look = start + now + LOOK;
            let until = next.map_or(look, |(at, _)| look.min(start + *at));
            sleep_until(until).await;
        }
    }

    /// Starts whoever is down, sets every clock right and waits until all answer.
    pub(super) async fn over(mut self) -> Result<(Deeds, Listeners), HardshipError> {
        let astray: Vec<usize> = {
            let astray = self.astray.lock().unwrap_or_else(PoisonError::into_inner);
            astray.keys().copied().collect()
        };
        for node in astray {
            self.does(&Action::Skew(node, 0)).await?;
        }
        let down: Vec<usize> = self
            .up
            .iter()
            .filter(|(_, up)| !**up)
            .map(|(node, _)| *node)
            .collect();
        for node in down {
            self.start(node)?;
        }
        while let Some(answered) = self.starts.join_next().await {
            self.note(answered.ok().flatten());
        }
        self.all_run()?;
        while let Some(answered) = self.starts.join_next().await {
            self.note(answered.ok().flatten());
        }
        self.admit().await?;
        Ok((self.deeds, self.listeners))
    }

    fn done(&self) -> usize {
        let Deeds {
            kills,
            stops,
            cuts,
            clocks,
            joined,
            ..
        } = self.deeds;
        kills + stops + cuts + clocks + joined
    }

    async fn does(&mut self, action: &Action) -> Result<(), HardshipError> {
        match action {
            Action::Kill(node) => {
                self.deeds.kills += 1;
                self.turn(*node);
                self.up.insert(*node, false);
                if let Some(daemon) = self.league.daemons_mut().get_mut(*node) {
                    daemon.kill().await?;
                }
            }
            Action::Stop(node) => {
                self.deeds.stops += 1;
                self.end(*node).await;
            }
            Action::Start(node) => self.start(*node)?,
            Action::Skew(node, by) => {
                self.end(*node).await;
                if let Some(daemon) = self.league.daemons_mut().get_mut(*node) {
                    daemon.set_astray(*by);
                }
                {
                    let mut astray = self.astray.lock().unwrap_or_else(PoisonError::into_inner);
                    match by {
                        0 => drop(astray.remove(node)),
                        by => drop(astray.insert(*node, *by)),
                    }
                }
                self.deeds.clocks += usize::from(*by != 0);
                self.start(*node)?;
            }
            Action::Cut(ways, reset) => {
                self.deeds.cuts += ways.len();
                self.net.cut(ways, *reset);
            }
            Action::Mend(ways) => self.net.mend(ways),
            Action::Join(node) => {
                let newcomer = self.league.grow().await?;
                self.listeners.listen(*node, newcomer, false)?;
                self.up.insert(*node, true);
                self.waiting.push(*node);
            }
        }
        Ok(())
    }

    /// Admits who waits for it, the first first.
    async fn admit(&mut self) -> Result<(), HardshipError> {
        while let Some(node) = self.waiting.first().copied() {
            if let Some(newcomer) = self.league.daemons().get(node) {
                self.league.admit(newcomer).await?;
            }
            self.waiting.remove(0);
            self.deeds.joined += 1;
        }
        Ok(())
    }

    async fn end(&mut self, node: usize) {
        self.turn(node);
        self.up.insert(node, false);
        if let Some(daemon) = self.league.daemons_mut().get_mut(node) {
            daemon.end().await;
        }
    }

    fn turn(&self, node: usize) -> u64 {
        let turn = self.turns.get(&node);
        turn.map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn start(&mut self, node: usize) -> Result<(), HardshipError> {
        let turn = self.turn(node);
        let Some(daemon) = self.league.daemons_mut().get_mut(node) else {
            return Ok(());
        };
        daemon.start()?;
        self.deeds.starts += 1;
        self.up.insert(node, true);
        let opening = Opening {
            node,
            member: daemon.member().to_string(),
            client: daemon.client()?,
            turn,
            turns: Arc::clone(&self.turns),
            kept: self.kept.clone(),
            ledger: self.ledger.clone(),
        };
        self.starts.spawn(opening.answers());
        Ok(())
    }

    /// Notes daemons that ended though nobody ended them, and starts them again.
    fn all_run(&mut self) -> Result<(), HardshipError> {
        let up: Vec<usize> = self
            .up
            .iter()
            .filter(|(_, up)| **up)
            .map(|(node, _)| *node)
            .collect();
        for node in up {
            let Some(daemon) = self.league.daemons_mut().get_mut(node) else {
                continue;
            };
            if !daemon.runs() {
                let reason = format!("the daemon of {} ended by itself", daemon.member());
                self.kept.broken(Promise::EveryStartOpens, reason);
                self.start(node)?;
            }
        }
        Ok(())
    }

    fn collect(&mut self) {
        while let Some(answered) = self.starts.try_join_next() {
            self.note(answered.ok().flatten());
        }
    }

    fn note(&mut self, answered: Option<Duration>) {
        match answered {
            Some(took) => {
                self.deeds.answered += 1;
                self.deeds.slowest_start = self.deeds.slowest_start.max(took.as_secs_f64());
            }
            None => self.deeds.killed_while_starting += 1,
        }
    }

    async fn kill_unannounced(&mut self) -> Result<(), HardshipError> {
        let up = self.up.iter().rev().find(|(_, up)| **up).map(|(node, _)| *node);
        if let Some(daemon) = up.and_then(|node| self.league.daemons_mut().get_mut(node)) {
            self.sabotaged = false;
            daemon.kill().await?;
        }
        Ok(())
    }
}

/// A daemon that was started and does not answer yet.
struct Opening {
    node: usize,
    member: String,
    client: Client,
    turn: u64,
    turns: Turns,
    kept: Kept,
    ledger: Ledger,
}

impl Opening {
    /// Waits until it answers, and asks it for what it last said it had published. Tells how long it
    /// took; nothing if it was ended before.
    async fn answers(self) -> Option<Duration> {
        let start = Instant::now();
        while self.client.status().await.is_err() {
            if !self.is_current() {
                return None;
            }
            if start.elapsed() > ANSWERS {
                let reason = format!(
                    "the daemon of {} did not answer {ANSWERS:?} after its start",
                    self.member
                );
                self.kept.broken(Promise::EveryStartOpens, reason);
                return None;
            }
            sleep(ASK).await;
        }
        let took = start.elapsed();
        for told in self.ledger.told_by(self.node).iter().rev().take(NEWEST) {
            let missing = match self.client.record(&told.record).await {
                Ok(record) => record.state == Readable::Awaited,
                Err(SdkError::Problem(problem)) => problem.status == 404,
                // It may have been killed meanwhile; all are looked at in the end.
                Err(_) => return Some(took),
            };
            if missing {
                let reason = format!(
                    "{} acknowledged {} and has it no longer after a start",
                    self.member, told.record
                );
                self.kept.broken(Promise::NothingLost, reason);
            }
        }
        Some(took)
    }

    fn is_current(&self) -> bool {
        let turn = self.turns.get(&self.node);
        turn.is_some_and(|turn| turn.load(Ordering::Relaxed) == self.turn)
    }
}
