//! A league: some members' nodes on this machine, each a process and a folder of its own, joined in
//! one community the way operators join: request, admission, invite.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use hanse_protocol::identity::Handle;
use hanse_sdk::SdkError;
use tempfile::TempDir;

mod cast;
mod daemon;
mod founding;
mod ledger;
mod ports;

pub use cast::profile;
pub use daemon::{Daemon, Program};
pub use ledger::FILE as LEDGER;

use ports::Claims;

use crate::proxy::Net;

/// Fewest nodes: an author, a partner, and one who is neither.
pub const FEWEST: usize = 3;

/// Most nodes: a machine has only so much memory.
pub const MOST: usize = 64;

/// How long a node may take until its API answers.
const ANSWERING: Duration = Duration::from_secs(60);

/// How long all nodes may take until each is connected to all.
const CONNECTING: Duration = Duration::from_secs(90);

/// How often a node is looked at while the league comes up.
const LOOK: Duration = Duration::from_millis(50);

/// Why a league is not up.
#[derive(Debug, thiserror::Error)]
pub enum LeagueError {
    /// A number of nodes that no league has.
    #[error("a league has {FEWEST} to {MOST} nodes, not {0}")]
    Nodes(usize),
    /// The folder holds something already.
    #[error("`{}` is not empty: name a folder that is, or that does not exist yet", .0.display())]
    NotEmpty(PathBuf),
    /// A file or folder could not be made, read or written.
    #[error("`{}` could not be made, read or written", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No port is free.
    #[error("no port is free")]
    Ports,
    /// A node's folder could not be made.
    #[error("the node of `{member}` could not be made")]
    Init {
        /// Whose.
        member: String,
        /// Why.
        #[source]
        source: hanse_node::command::init::InitError,
    },
    /// A token could not be made.
    #[error("the token of `{member}` could not be made")]
    Token {
        /// Whose.
        member: String,
        /// Why.
        #[source]
        source: hanse_node::tokens::TokenError,
    },
    /// A daemon's program could not be started.
    #[error("`{}` could not be started", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A daemon ended, or never answered.
    #[error("the node of `{member}` {what}; its messages are in `{}`", log.display())]
    Silent {
        /// Whose.
        member: String,
        /// What it did.
        what: &'static str,
        /// Its messages.
        log: PathBuf,
    },
    /// A node's API refused.
    #[error("the node of `{member}` did not do what was asked")]
    Api {
        /// Whose.
        member: String,
        /// Why.
        #[source]
        source: SdkError,
    },
    /// Not every node reached every other.
    #[error("the node of `{member}` is connected to {connected} of {others} members")]
    Apart {
        /// Whose.
        member: String,
        /// How many it reached.
        connected: usize,
        /// How many there are.
        others: usize,
    },
}

impl LeagueError {
    /// For `map_err`: an error at a path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// What a league is made of.
#[derive(Debug, Default)]
pub struct Builder {
    nodes: usize,
    folder: Option<PathBuf>,
    program: Option<Program>,
    net: Option<Net>,
}

impl Builder {
    /// How many nodes; five unless told.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Where everything is kept: a folder that is empty or does not exist yet. Without one it is a
    /// temporary folder, which is removed when the league is dropped.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The program that runs a node. Without one it is this program with `node` as its first
    /// argument, which `hanse-testnet` understands.
    #[must_use]
    pub fn program(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// Leads every link between two nodes through these shaped links. Without them nodes dial each other.
    #[must_use]
    pub fn behind(mut self, net: Net) -> Self {
        self.net = Some(net);
        self
    }

    /// Makes the folders and starts the daemons; they belong to no community yet.
    ///
    /// # Errors
    /// [`LeagueError`]. What was started is ended again.
    pub async fn start(self) -> Result<League, LeagueError> {
        if !(FEWEST..=MOST).contains(&self.nodes) {
            return Err(LeagueError::Nodes(self.nodes));
        }
        let program = match self.program {
            Some(program) => program,
            None => Program::own()?,
        };
        let home = Home::make(self.folder)?;
        let mut league = League {
            daemons: Vec::new(),
            claims: Claims::default(),
            program,
            net: self.net,
            home,
        };
        for number in 0..self.nodes {
            league.add(number)?;
        }
        for daemon in &mut league.daemons {
            daemon.start()?;
        }
        for number in 0..self.nodes {
            league.answering(number).await?;
        }
        Ok(league)
    }

    /// Starts the daemons, founds a community at the first of them and brings the others into it;
    /// returns once every node is connected to every other.
    ///
    /// # Errors
    /// [`LeagueError`]. What was started is ended again.
    pub async fn up(self) -> Result<League, LeagueError> {
        let league = self.start().await?;
        founding::found(&league.daemons).await?;
        league.connected().await?;
        Ok(league)
    }
}

/// Where a league's files are.
#[derive(Debug)]
enum Home {
    /// The caller's folder, which stays.
    Kept(PathBuf),
    /// Removed with the league.
    Temporary(TempDir),
}

impl Home {
    fn make(folder: Option<PathBuf>) -> Result<Self, LeagueError> {
        let Some(folder) = folder else {
            let made = tempfile::Builder::new().prefix("hanse-testnet-").tempdir();
            return made
                .map(Self::Temporary)
                .map_err(LeagueError::io(&std::env::temp_dir()));
        };
        std::fs::create_dir_all(&folder).map_err(LeagueError::io(&folder))?;
        let folder = std::path::absolute(&folder).map_err(LeagueError::io(&folder))?;
        let mut entries = std::fs::read_dir(&folder).map_err(LeagueError::io(&folder))?;
        if entries.next().is_some() {
            return Err(LeagueError::NotEmpty(folder));
        }
        Ok(Self::Kept(folder))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Daemons that run. Dropping it ends them at once; [`League::stop`] lets them finish.
#[derive(Debug)]
pub struct League {
    daemons: Vec<Daemon>,
    claims: Claims,
    program: Program,
    net: Option<Net>,
    home: Home,
}

impl League {
    /// A league of five in a temporary folder, to be described further.
    pub fn builder() -> Builder {
        Builder {
            nodes: 5,
            ..Builder::default()
        }
    }

    /// The nodes; the first is the steward's.
    pub fn daemons(&self) -> &[Daemon] {
        &self.daemons
    }

    /// The nodes, to start and end them.
    pub fn daemons_mut(&mut self) -> &mut [Daemon] {
        &mut self.daemons
    }

    /// The node of this member.
    pub fn daemon(&self, handle: &str) -> Option<&Daemon> {
        self.daemons
            .iter()
            .find(|daemon| daemon.member().as_str() == handle)
    }

    /// Where everything is kept.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Writes `league.json` into the league's folder, whole or not at all; returns its path.
    ///
    /// # Errors
    /// [`LeagueError::Io`].
    pub fn write_ledger(&self) -> Result<PathBuf, LeagueError> {
        ledger::write(self.folder(), &self.daemons)
    }

    /// Adds one more node, starts it and waits until it answers; it belongs to no community yet.
    ///
    /// # Errors
    /// [`LeagueError`].
    pub async fn grow(&mut self) -> Result<&Daemon, LeagueError> {
        let number = self.daemons.len();
        if number >= MOST {
            return Err(LeagueError::Nodes(number + 1));
        }
        self.add(number)?;
        if let Some(daemon) = self.daemons.get_mut(number) {
            daemon.start()?;
        }
        self.answering(number).await
    }

    /// Brings a node into the community of the first one.
    ///
    /// # Errors
    /// [`LeagueError::Api`].
    pub async fn admit(&self, newcomer: &Daemon) -> Result<(), LeagueError> {
        match self.daemons.first() {
            Some(steward) => founding::admit(steward, newcomer).await,
            None => Ok(()),
        }
    }

    /// Waits until every node is connected to every other.
    ///
    /// # Errors
    /// [`LeagueError::Apart`] when that takes too long, [`LeagueError::Api`].
    pub async fn connected(&self) -> Result<(), LeagueError> {
        let deadline = tokio::time::Instant::now() + CONNECTING;
        for daemon in &self.daemons {
            daemon.connected_to(self.daemons.len() - 1, deadline).await?;
        }
        Ok(())
    }

    /// Nodes that ended since this was last asked, without having been told to: each with how.
    pub fn newly_ended(&mut self) -> Vec<(Handle, ExitStatus)> {
        let ended = |daemon: &mut Daemon| Some((daemon.newly_exited()?, daemon.member().clone()));
        let ended = self.daemons.iter_mut().filter_map(ended);
        ended.map(|(status, member)| (member, status)).collect()
    }

    /// Ends every daemon that still runs: each is told, then waited for, then killed.
    pub async fn stop(mut self) {
        for daemon in &mut self.daemons {
            daemon.tell_to_end();
        }
        for daemon in &mut self.daemons {
            daemon.ended().await;
        }
    }

    fn add(&mut self, number: usize) -> Result<(), LeagueError> {
        let profile = cast::profile(number);
        let folder = self.folder().join(profile.handle.as_str());
        let ports = (self.claims.claim()?, self.claims.claim()?);
        let door = match &self.net {
            Some(net) => {
                let port = self.claims.claim()?;
                net.open_door(number, port).map_err(|_| LeagueError::Ports)?;
                Some((net.clone(), number, port))
            }
            None => None,
        };
        self.daemons.push(Daemon::create(
            profile,
            folder,
            ports,
            door,
            self.program.clone(),
        )?);
        Ok(())
    }

    /// Waits until a node answers; one that finds its API's port taken gets another.
    async fn answering(&mut self, number: usize) -> Result<&Daemon, LeagueError> {
        const TRIES: usize = 4;
        for _ in 1..TRIES {
            let Some(daemon) = self.daemons.get_mut(number) else {
                break;
            };
            match daemon.answering().await {
                Err(LeagueError::Silent { .. }) if daemon.found_port_taken() => {
                    daemon.move_to((self.claims.claim()?, self.claims.claim()?))?;
                    daemon.start()?;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        let daemon = self.daemons.get_mut(number).ok_or(LeagueError::Nodes(number))?;
        daemon.answering().await?;
        Ok(daemon)
    }
}
