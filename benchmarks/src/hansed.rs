//! One real daemon as a child of this program: started, asked, told to end, killed.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hanse_node::command::init;
use hanse_node::store::index::Engine;
use hanse_node::tokens::Tokens;
use hanse_node::{clock, settings};
use hanse_protocol::local::Role;
use hanse_protocol::tlp::Tlp;
use hanse_sdk::Client;
use tokio::process::{Child, Command};

use crate::measure::{Failure, name};

/// How long a daemon may take until it answers.
const ANSWERING: Duration = Duration::from_secs(120);

/// How often it is asked whether it is up: what start-up is measured to.
const LOOK: Duration = Duration::from_millis(2);

/// A node's folder, and how to run it.
pub(crate) struct Node {
    folder: PathBuf,
    engine: Engine,
    token: PathBuf,
    port: u16,
}

/// A node that runs. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    /// Talks to it with every role.
    pub(crate) client: Client,
    /// From its start to its first answer.
    pub(crate) answered: Duration,
}

impl Node {
    /// Makes a node in a folder that does not exist yet.
    pub(crate) fn create(folder: &Path, engine: Engine) -> Result<Self, Failure> {
        init::init(folder, &hanse_testnet::league::profile(0))?;
        let roles = [Role::Read, Role::Publish, Role::Admin];
        let token = Tokens::open(folder)?.add("benchmark", roles, Tlp::Red, clock::now())?;
        Ok(Self {
            folder: folder.to_owned(),
            engine,
            token,
            port: free_port()?,
        })
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its settings, as the daemon has them.
    pub(crate) fn settings(&self) -> Result<settings::Settings, Failure> {
        let mut settings = settings::Settings::load(&self.folder)?;
        settings.store.engine = match self.engine {
            Engine::Fjall => settings::Engine::Fjall,
            Engine::Sled => settings::Engine::Sled,
            Engine::Memory => settings::Engine::Memory,
        };
        Ok(settings)
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) async fn start(&self) -> Result<Running, Failure> {
        let api = format!("127.0.0.1:{}", self.port);
        let client = Client::from_files(&format!("http://{api}"), &self.token)?;
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["node", "serve", "--until-stdin-closes", "--dir"])
            .arg(&self.folder)
            .env_clear()
            .env("HANSED__API__LISTEN", &api)
            .env("HANSED__MESH__LISTEN", "/ip4/127.0.0.1/tcp/0")
            .env("HANSED__STORE__ENGINE", name(self.engine))
            .env("HANSED__LOG__LEVEL", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        // A bare connection tells at once when it listens; a client would back off.
        while client.status().await.is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the daemon ended: {status}").into());
            }
            if started.elapsed() > ANSWERING {
                return Err("the daemon does not answer".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Running {
            child,
            client,
            answered: started.elapsed(),
        })
    }
}

impl Running {
    /// Ends it in order, and waits for it.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let status = self.child.wait().await?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the daemon ended badly: {status}").into()),
        }
    }

    /// Kills it, as a power cut would.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }

    /// Memory it holds now and held at most, in megabytes.
    pub(crate) fn memory(&self) -> Result<Memory, Failure> {
        let pid = self.child.id().ok_or("the daemon is gone")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let megabytes = |key: &str| -> Result<f64, Failure> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|line| line.split_whitespace().next());
            let kibibytes: f64 = word.ok_or("the system does not tell memory")?.parse()?;
            Ok(kibibytes * 1_024.0 / 1e6)
        };
        Ok(Memory {
            now: megabytes("VmRSS:")?,
            peak: megabytes("VmHWM:")?,
        })
    }
}

/// Resident memory of a process, megabytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

/// A TCP port of the loopback address that is free now, below those that the system gives to
/// outgoing connections.
pub(crate) fn free_port() -> Result<u16, Failure> {
    for _ in 0..1_000 {
        let port = rand::random_range(20_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free".into())
}
