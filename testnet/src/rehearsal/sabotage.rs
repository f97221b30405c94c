//! Breaking a promise on purpose, to see that it is noticed. Promises about who reads what are
//! broken where it is published; the others here.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::{RehearsalError, Run};
use crate::expected::Wanted;
use crate::league::{Daemon, LeagueError};
use crate::promises::Promise;
use crate::scene;

impl Run<'_> {
    /// A member whom the league did not invite is admitted all the same.
    pub(super) async fn sabotage_before_publishing(&mut self) -> Result<(), RehearsalError> {
        if self.plan.sabotage == Some(Promise::LinksAreMembersOnly) {
            let league = &mut self.stage.league;
            league.grow().await?;
            if let Some(stranger) = league.daemons().last() {
                league.admit(stranger).await?;
            }
            league.connected().await?;
        }
        Ok(())
    }

    /// Objects that nobody published are expected, and plaintext is left lying about.
    pub(super) fn sabotage_before_looking(&mut self) -> Result<(), RehearsalError> {
        let unpublished = scene::bulletin(hanse_node::clock::now()).map_err(std::io::Error::from)?;
        let texts = scene::telling_texts(&scene::sealed()?);
        let text = texts.first().map(String::as_str).unwrap_or_default();
        match self.plan.sabotage {
            Some(Promise::NothingMissing) => self.published.input.add_unsought(u64::MAX, unpublished.get()),
            Some(Promise::SearchesFindIt) => {
                Wanted::new(unpublished.get())
                    .into_iter()
                    .for_each(|wanted| self.published.input.want(wanted));
            }
            Some(Promise::NoPlaintextOnDisk) => {
                if let Some(victim) = self.victim() {
                    let path = victim.folder().join("left-behind");
                    fs::write(&path, text).map_err(LeagueError::io(&path))?;
                }
            }
            Some(Promise::NoPlaintextInLogsAndMetrics) => {
                if let Some(victim) = self.victim() {
                    let path = victim.log_folder().join("daemon.log");
                    let opened = OpenOptions::new().append(true).open(&path);
                    let written = opened.and_then(|mut log| writeln!(log, "published: {text}"));
                    written.map_err(LeagueError::io(&path))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A node is killed.
    pub(super) async fn sabotage_before_the_end(&mut self) -> Result<(), RehearsalError> {
        if self.plan.sabotage == Some(Promise::DaemonsStillRun)
            && let Some(victim) = self.stage.league.daemons_mut().last_mut()
        {
            victim.kill().await?;
        }
        Ok(())
    }

    fn victim(&self) -> Option<&Daemon> {
        self.stage.league.daemons().last()
    }
}
