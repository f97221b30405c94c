//! `league.json`: what a script needs to know of a league's nodes, and to start one of them again.

use std::fs;
use std::path::{Path, PathBuf};

use hanse_protocol::identity::Handle;
use serde::Serialize;

use super::{Daemon, LeagueError};

/// Its name in the league's folder.
pub const FILE: &str = "league.json";

#[derive(Serialize)]
struct Ledger<'a> {
    nodes: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    member: &'a Handle,
    api: String,
    token_file: &'a Path,
    folder: &'a Path,
    pid: Option<u32>,
    command: Vec<String>,
}

pub(super) fn write(folder: &Path, daemons: &[Daemon]) -> Result<PathBuf, LeagueError> {
    let line = |daemon| {
        let command = Daemon::command(daemon);
        Line {
            member: daemon.member(),
            api: daemon.api(),
            token_file: daemon.token_file(),
            folder: daemon.folder(),
            pid: daemon.pid(),
            command: command
                .iter()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
        }
    };
    let ledger = Ledger {
        nodes: daemons.iter().map(line).collect(),
    };
    let path = folder.join(FILE);
    let mut text = serde_json::to_vec_pretty(&ledger)
        .map_err(|error| LeagueError::io(&path)(std::io::Error::other(error)))?;
    text.push(b'\n');
    // Whoever waits for the file must find it whole.
    let beside = folder.join(format!("{FILE}.new"));
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, &path))
        .map_err(LeagueError::io(&path))?;
    Ok(path)
}
