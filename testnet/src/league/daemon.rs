//! One node of a league: a folder, two ports, and the process that runs it.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hanse_node::tokens::Tokens;
use hanse_node::{clock, command::init, settings};
use hanse_protocol::charter::member::Profile;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::{PeerStatus, Role};
use hanse_protocol::tlp::Tlp;
use hanse_sdk::{Client, SdkError};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::{ANSWERING, LOOK, LeagueError};
use crate::proxy::Net;

/// The token of a league's own requests, and of `league.json`.
const TOKEN: &str = "league";

/// The token that `hansed init` makes.
const ADMIN: &str = "admin.token";

/// How long a daemon that was told to end may take.
const FAREWELL: Duration = Duration::from_secs(20);

/// What comes before the arguments of a node whose clock is off: `hanse-testnet astray MILLIS node ...`.
const ASTRAY: &str = "astray";

/// How often nodes compare what they hold: often, for nobody wants to wait in a testnet.
const HEALING: &str = "5s";

/// A program that runs a node when it is given the arguments of `hansed` behind its own.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable; absolute, so that it can be started from any folder.
    pub path: PathBuf,
    /// What comes before `serve`.
    pub prefix_args: Vec<OsString>,
}

impl Program {
    /// This very program, with `node` as its first argument.
    ///
    /// # Errors
    /// [`LeagueError::Io`] if the system does not tell where it is.
    pub fn own() -> Result<Self, LeagueError> {
        let path = std::env::current_exe().map_err(LeagueError::io(Path::new("/proc/self/exe")))?;
        Ok(Self {
            path,
            prefix_args: vec!["node".into()],
        })
    }
}

/// A member's node. It is killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    profile: Profile,
    folder: PathBuf,
    token_file: PathBuf,
    ports: (u16, u16),
    /// The links that lead here, and the number and port under which they do, if they are shaped.
    door: Option<(Net, usize, u16)>,
    program: Program,
    /// How far its clock is off, milliseconds.
    astray: i64,
    child: Option<Child>,
    pid: Option<u32>,
    end_was_told: bool,
}

impl Daemon {
    /// Makes the node's folder; `ports` are those of its API and of the mesh, `door` where others dial
    /// it instead.
    pub(super) fn create(
        profile: Profile,
        folder: PathBuf,
        ports: (u16, u16),
        door: Option<(Net, usize, u16)>,
        program: Program,
    ) -> Result<Self, LeagueError> {
        let member = profile.handle.to_string();
        init::init(&folder, &profile).map_err(|source| LeagueError::Init {
            member: member.clone(),
            source,
        })?;
        // RED is seen by explicit grant only; who looks after a testnet is to see everything.
        let token_file = Tokens::open(&folder)
            .and_then(|mut tokens| tokens.add(TOKEN, [Role::Read, Role::Publish], Tlp::Red, clock::now()))
            .map_err(|source| LeagueError::Token { member, source })?;
        let mut daemon = Self {
            profile,
            folder,
            token_file,
            ports,
            door,
            program,
            astray: 0,
            child: None,
            pid: None,
            end_was_told: false,
        };
        fs::create_dir(daemon.log_folder()).map_err(LeagueError::io(&daemon.log_folder()))?;
        daemon.move_to(ports)?;
        Ok(daemon)
    }

    /// Whose node it is.
    pub fn member(&self) -> &Handle {
        &self.profile.handle
    }

    /// Its member's profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its messages are.
    pub fn log_folder(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The address of its API.
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.0)
    }

    /// The port of its API.
    pub fn api_port(&self) -> u16 {
        self.ports.0
    }

    /// The file of a token that may read everything, RED too, and publish.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// The file of the token that `init` made: it may change membership.
    pub fn admin_token_file(&self) -> PathBuf {
        self.folder.join("tokens").join(ADMIN)
    }

    /// The process that was last started for it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// A client that reads and publishes.
    ///
    /// # Errors
    /// [`LeagueError::Api`] if the token cannot be read.
    pub fn client(&self) -> Result<Client, LeagueError> {
        Client::from_files(&self.api(), &self.token_file).map_err(|source| self.api_error(source))
    }

    /// A client that may change membership.
    ///
    /// # Errors
    /// [`LeagueError::Api`] if the token cannot be read.
    pub fn admin(&self) -> Result<Client, LeagueError> {
        Client::from_files(&self.api(), &self.admin_token_file()).map_err(|source| self.api_error(source))
    }

    /// What starts this node again, from any folder and without any environment.
    pub fn command(&self) -> Vec<OsString> {
        let Program { path, prefix_args } = &self.program;
        let serve = ["serve".into(), "--dir".into(), self.folder.clone().into()];
        std::iter::once(path.clone().into())
            .chain(prefix_args.iter().cloned())
            .chain(serve)
            .collect()
    }

    /// Starts the process, which ends when this one does.
    ///
    /// # Errors
    /// [`LeagueError::Spawn`], [`LeagueError::Io`].
    pub fn start(&mut self) -> Result<(), LeagueError> {
        let log = self.log();
        let messages = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(LeagueError::io(&log))?;
        let command = self.command();
        let mut spawning = Command::new(&self.program.path);
        if self.astray != 0 {
            spawning.arg(ASTRAY).arg(self.astray.to_string());
        }
        spawning
            .args(command.iter().skip(1))
            .arg("--until-stdin-closes")
            // Nothing of the caller's environment may change a setting.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(messages)
            // A Ctrl-C at the terminal is for the league, which then ends its nodes in order.
            .process_group(0)
            .kill_on_drop(true);
        let child = spawning.spawn().map_err(|source| LeagueError::Spawn {
            program: self.program.path.clone(),
            source,
        })?;
        self.pid = child.id();
        if let Some((net, number, _)) = &self.door {
            net.runs_as(*number, self.pid);
        }
        self.end_was_told = false;
        self.child = Some(child);
        Ok(())
    }

    /// Sets its clock off by so many milliseconds from the next start on. Only for nodes that this very
    /// program runs ([`Program::own`]).
    pub fn set_astray(&mut self, by_millis: i64) {
        self.astray = by_millis;
    }

    /// Kills the process, as a power cut would.
    ///
    /// # Errors
    /// [`LeagueError::Io`] if the system refuses.
    pub async fn kill(&mut self) -> Result<(), LeagueError> {
        match self.child.take() {
            Some(mut child) => child.kill().await.map_err(LeagueError::io(&self.folder)),
            None => Ok(()),
        }
    }

    /// Ends the process in order, and waits for it.
    pub async fn end(&mut self) {
        self.tell_to_end();
        self.ended().await;
    }

    /// How the process ended, if it did by itself or at another's hand.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten())
    }

    /// Whether the process that this league started runs still.
    pub fn runs(&mut self) -> bool {
        self.child.is_some() && self.exited().is_none()
    }

    /// How the process ended, once: for whoever tells the user.
    pub(super) fn newly_exited(&mut self) -> Option<ExitStatus> {
        let exited = self.exited().filter(|_| !self.end_was_told);
        self.end_was_told |= exited.is_some();
        exited
    }

    /// The most memory the process ever held, bytes; `None` if it is gone.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    }

    /// Waits until the API answers.
    ///
    /// # Errors
    /// [`LeagueError::Silent`] if the process ends, or a minute passes.
    pub async fn answering(&mut self) -> Result<(), LeagueError> {
        let client = self.client()?;
        let deadline = Instant::now() + ANSWERING;
        loop {
            if client.status().await.is_ok() {
                return Ok(());
            }
            let what = match (self.runs(), Instant::now() > deadline) {
                (false, _) => "ended",
                (true, true) => "does not answer",
                (true, false) => {
                    sleep(LOOK).await;
                    continue;
                }
            };
            return Err(LeagueError::Silent {
                member: self.member().to_string(),
                what,
                log: self.log(),
            });
        }
    }

    /// Waits until the node is connected to this many members.
    pub(super) async fn connected_to(&self, others: usize, deadline: Instant) -> Result<(), LeagueError> {
        let client = self.client()?;
        loop {
            let peers = client
                .status()
                .await
                .map_err(|source| self.api_error(source))?
                .peers;
            let connected = members(&peers);
            if connected >= others {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(LeagueError::Apart {
                    member: self.member().to_string(),
                    connected,
                    others,
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Closes the pipe that the daemon watches.
    pub(super) fn tell_to_end(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
        }
    }

    /// Waits for a process that was told to end, and kills it when that takes too long.
    pub(super) async fn ended(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
            // It is gone, or nothing more can be done about it.
            drop(child.kill().await);
        }
    }

    /// Whether the daemon ended because somebody else listens on one of its ports.
    pub(super) fn found_port_taken(&self) -> bool {
        fs::read_to_string(self.log()).is_ok_and(|log| log.to_ascii_lowercase().contains("in use"))
    }

    /// Gives the node other ports, in its settings file; for a node that does not run.
    pub(super) fn move_to(&mut self, ports: (u16, u16)) -> Result<(), LeagueError> {
        self.ports = ports;
        let path = self.folder.join(settings::FILE);
        let text = fs::read_to_string(&path).map_err(LeagueError::io(&path))?;
        let door = self.door.as_ref().map(|(net, number, door)| {
            net.leads_to(*number, ports.1);
            *door
        });
        fs::write(&path, with_ports(&text, ports, door)).map_err(LeagueError::io(&path))
    }

    fn log(&self) -> PathBuf {
        self.log_folder().join("daemon.log")
    }

    fn api_error(&self, source: SdkError) -> LeagueError {
        LeagueError::Api {
            member: self.member().to_string(),
            source,
        }
    }
}

/// How many members the peers belong to.
pub(crate) fn members(peers: &[PeerStatus]) -> usize {
    let handles: std::collections::BTreeSet<&Handle> =
        peers.iter().filter_map(|peer| peer.member.as_ref()).collect();
    handles.len()
}

/// A settings file with these ports and a brisk healing in place of whatever it says of them.
fn with_ports(text: &str, (api, mesh): (u16, u16), door: Option<u16>) -> String {
    let external = door.map_or_else(String::new, |port| format!("\"/ip4/127.0.0.1/tcp/{port}\""));
    let ours = [
        ("[api]", "listen", format!("\"127.0.0.1:{api}\"")),
        ("[mesh]", "listen", format!("[\"/ip4/127.0.0.1/tcp/{mesh}\"]")),
        ("[mesh]", "external", format!("[{external}]")),
        ("[healing]", "every", format!("\"{HEALING}\"")),
    ];
    let mut section = "";
    let mut changed = String::with_capacity(text.len() + 128);
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim_end();
        }
        let is_set = |(of, key, _): &&(&str, &str, String)| {
            *of == section && line.split('=').next().is_some_and(|start| start.trim() == *key)
        };
        if !ours.iter().any(|ours| is_set(&ours)) {
            changed.push_str(line);
            changed.push('\n');
        }
        if line.starts_with('[') {
            for (_, key, value) in ours.iter().filter(|(of, _, _)| *of == section) {
                changed.push_str(&format!("{key} = {value}\n"));
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_moves_has_only_its_new_ports_in_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        init::init(folder.path(), &crate::league::profile(1)).unwrap();
        let path = folder.path().join(settings::FILE);
        let moved = with_ports(
            &fs::read_to_string(&path).unwrap(),
            (20_001, 20_002),
            Some(20_009),
        );
        fs::write(&path, with_ports(&moved, (20_003, 20_004), None)).unwrap();
        let read = settings::Settings::load(folder.path()).unwrap();
        assert_eq!(read.api.listen.to_string(), "127.0.0.1:20003");
        assert_eq!(read.mesh.dialable(), ["/ip4/127.0.0.1/tcp/20004"]);
        assert_eq!(read.member.handle.as_str(), "acme-water");
    }
}
