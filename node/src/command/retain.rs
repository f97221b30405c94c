//! `hansed retain`: lets what has passed its time leave a node that does not run, and has it rewrite
//! its log, all at once.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::{Failure, say};
use crate::exchange::{self, Deriver};
use crate::settings::Settings;
use crate::store::entry::{AuditEntry, Entry};
use crate::store::{Rules, Store, Tended};
use crate::{clock, daemon};

/// How far the clock may be ahead of the time that was trusted last.
const JUMP: Duration = Duration::from_secs(24 * 3_600);

/// The clock is not to be trusted with deleting.
#[derive(Debug, thiserror::Error)]
#[error("the clock shows {now}, more than a day after it was last trusted, at {last}")]
struct Jumped {
    now: hanse_protocol::timestamp::Timestamp,
    last: hanse_protocol::timestamp::Timestamp,
}

pub(super) fn run(dir: &Path, confirm: bool) -> Result<ExitCode, Failure> {
    for place in Settings::load(dir)?.places(dir) {
        if !place.is_first() {
            say(&format!("community `{}`: ", place.name));
        }
        retain(&place.folder, &place.settings, confirm)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn retain(dir: &Path, settings: &Settings, confirm: bool) -> Result<(), Failure> {
    let (keystore, member) = daemon::open_member(dir, settings)?;
    let mut deriver = Deriver::new(member);
    let folder = daemon::store_folder(dir);
    let store_settings = daemon::store_settings(settings);
    let (mut store, _) = Store::open(&folder, keystore.master(), &store_settings, &mut deriver)?;
    let Some((community, horizon)) = deriver.community() else {
        say("this node belongs to no community yet: there is nothing that could have passed its time\n");
        return Ok(());
    };
    let now = clock::now();
    let reader = store.reader();
    let last = exchange::trusted(&reader)?.unwrap_or(now);
    if !confirm && now > last.after(JUMP) {
        return Err(Failure {
            error: Box::new(Jumped { now, last }),
            hint: Some("if the clock is right, say so with --confirm; what it deletes does not come back"),
        });
    }
    let mut rules = Rules {
        community,
        now,
        clock: now,
        horizon,
        keep: settings.store.retention.keep,
        // Nobody waits for more to gather here.
        erase_within: Duration::ZERO,
        expire: true,
    };
    let mut done = Tended::default();
    loop {
        let step = store.tend(&rules, &mut deriver)?;
        rules.expire = false;
        done.bodies += step.bodies;
        done.records += step.records;
        done.freed += step.freed;
        done.damaged.extend(step.damaged);
        if !step.more {
            break;
        }
    }
    let subject = format!("{} bodies, {} records", done.bodies, done.records);
    let line = AuditEntry::new(now, "operator", "expire", subject, None);
    store.commit(vec![(Entry::Audit(line), None), (exchange::trusting(now), None)])?;
    drop(reader);
    store.close()?;
    say(&format!(
        "{} bodies and {} whole records left, {} bytes of log came back\n",
        done.bodies, done.records, done.freed
    ));
    for span in done.damaged {
        say(&format!("a damaged stretch went with its segment: {span}\n"));
    }
    Ok(())
}
