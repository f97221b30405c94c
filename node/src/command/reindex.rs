//! `hansed reindex`: the index made anew from the log.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use super::{Failure, say};
use crate::daemon;
use crate::exchange::Deriver;
use crate::settings::Settings;
use crate::store::{Progress, Store};

pub(super) fn run(dir: &Path) -> Result<ExitCode, Failure> {
    for place in Settings::load(dir)?.places(dir) {
        if !place.is_first() {
            say(&format!("community `{}`: ", place.name));
        }
        reindex(&place.folder, &place.settings)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn reindex(dir: &Path, settings: &Settings) -> Result<(), Failure> {
    let (keystore, member) = daemon::open_member(dir, settings)?;
    let mut deriver = Deriver::new(member);
    let terminal = std::io::stderr().is_terminal();
    let mut shown = u64::MAX;
    let mut progress = |at: Progress| {
        let percent = at.done * 100 / at.total.max(1);
        if terminal && percent != shown {
            shown = percent;
            drop(write!(std::io::stderr(), "\r{percent:3} %"));
        }
    };
    let (store, opening) = Store::reindex(
        &daemon::store_folder(dir),
        keystore.master(),
        &daemon::store_settings(settings),
        &mut deriver,
        &mut progress,
    )?;
    let stats = store.reader().stats()?;
    store.close()?;
    if terminal {
        drop(writeln!(std::io::stderr(), "\r100 %"));
    }
    say(&format!(
        "{} entries read, {} records indexed\n",
        opening.replayed, stats.records
    ));
    for finding in daemon::findings(&opening) {
        say(&format!("found: {}\n", finding.found));
    }
    Ok(())
}
