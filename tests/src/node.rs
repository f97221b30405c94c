//! A real daemon in a folder of its own. It dies with the story, and when the story fails it leaves
//! its messages behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hanse_protocol::identity::Handle;
use tempfile::TempDir;

use crate::api::Api;
use crate::{DEADLINE, eventually};

/// Ports below those that the system gives out itself, so that no outgoing connection takes one
/// while its node is down.
const PORTS: std::ops::Range<u16> = 20_000..31_000;

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that was free a moment ago and that no other story of this process gets.
pub fn free_port() -> u16 {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = rand::random_range(PORTS);
        if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
}

/// A node: its folder, and its daemon while that runs.
pub struct Node {
    /// Its member's handle.
    pub handle: Handle,
    /// Where its API listens.
    pub api_port: u16,
    /// Where its mesh listens.
    pub mesh_port: u16,
    hansed: &'static str,
    root: TempDir,
    http: reqwest::Client,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// The daemon ends when this closes, even if the story is killed.
    stdin: Option<ChildStdin>,
}

impl Node {
    /// Makes a node with `hansed init`, listening on ports of its own on loopback and healing every
    /// second.
    pub fn init(hansed: &'static str, handle: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build();
        let node = Self {
            handle: handle.parse().expect("a handle"),
            api_port: free_port(),
            mesh_port: free_port(),
            hansed,
            root: TempDir::with_prefix(format!("hanse-{handle}-")).expect("a folder"),
            http: http.expect("a client"),
            running: None,
        };
        let name = format!("The {handle}");
        let made = node.hansed(&[
            "init",
            "--handle",
            handle,
            "--name",
            &name,
            "--kind",
            "utility",
            "--sector",
            "water",
            "--country",
            "DE",
        ]);
        assert!(made.status.success(), "hansed init: {}", said(&made));
        node.set(
            "#listen = \"127.0.0.1:7474\"",
            &format!("listen = \"127.0.0.1:{}\"", node.api_port),
        );
        node.set(
            "#listen = [\"/ip4/0.0.0.0/tcp/7475\"]",
            &format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]", node.mesh_port),
        );
        node.set("#every = \"30s\"", "every = \"1s\"");
        node
    }

    /// Adds a further community with `hansed community add`, on a port of its own. The daemon knows it from
    /// its next start on.
    pub fn add_community(&self, name: &str, port: u16, arguments: &[&str]) {
        let listen = format!("/ip4/127.0.0.1/tcp/{port}");
        let made = self.hansed(&[&["community", "add", name, "--listen", &listen], arguments].concat());
        assert!(made.status.success(), "hansed community add: {}", said(&made));
    }

    /// Changes a line of the settings.
    pub fn set(&self, from: &str, to: &str) {
        let path = self.folder().join("hansed.toml");
        let text = std::fs::read_to_string(&path).expect("settings are there");
        assert!(text.contains(from), "the settings have no line `{from}`");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("settings are written");
    }

    /// The node's folder.
    pub fn folder(&self) -> PathBuf {
        self.root.path().join("node")
    }

    /// What the daemon has said so far.
    pub fn messages(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("messages.log")
    }

    /// Runs `hansed` with arguments on this folder.
    pub fn hansed(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).output().expect("hansed runs")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.hansed);
        command.arg("--dir").arg(self.folder());
        command
    }

    /// Starts the daemon without waiting for it.
    pub fn launch(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.handle);
        let log = File::options().create(true).append(true).open(self.log());
        let mut command = self.command();
        command.args(["serve", "--until-stdin-closes"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(log.expect("a file for messages"));
        let mut child = command.spawn().expect("hansed runs");
        let stdin = child.stdin.take();
        self.running = Some(Running { child, stdin });
    }

    /// Waits until the daemon answers.
    pub async fn is_up(&mut self) {
        let api = Api::new(self.http.clone(), self.api_port, "");
        let Self { running, handle, .. } = self;
        let running = running.as_mut().expect("it was launched");
        eventually(&format!("the node of {handle} is up"), async || {
            if let Some(status) = running.child.try_wait().expect("a child") {
                panic!("the daemon of {handle} ended with {status}");
            }
            api.healthy().await.then_some(())
        })
        .await;
    }

    /// Starts the daemon and waits until it answers.
    pub async fn start(&mut self) {
        self.launch();
        self.is_up().await;
    }

    /// Kills the daemon with SIGKILL.
    pub fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().expect("it is killed");
        running.child.wait().expect("it is gone");
    }

    /// Asks the daemon to end, and waits until it has, with success.
    pub async fn stop(&mut self) {
        drop(self.running.as_mut().expect("it runs").stdin.take());
        let status = self.has_ended().await;
        assert!(
            status.success(),
            "the daemon of {} ended with {status}",
            self.handle
        );
    }

    /// Ends the daemon with SIGTERM, and waits until it has, with success.
    pub async fn terminate(&mut self) {
        let process = self.running.as_ref().expect("it runs").child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &process]).status();
        assert!(told.expect("kill runs").success());
        let status = self.has_ended().await;
        assert!(
            status.success(),
            "the daemon of {} ended with {status}",
            self.handle
        );
    }

    /// Has the daemon read its policies again, by SIGHUP.
    pub fn reloads(&self) {
        let process = self.running.as_ref().expect("it runs").child.id().to_string();
        let told = Command::new("kill").args(["-HUP", &process]).status();
        assert!(told.expect("kill runs").success());
    }

    /// Writes a file of its policies.
    pub fn rule_by(&self, name: &str, text: &str) {
        let folder = self.folder().join("policies");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(name), text).expect("a policy is written");
    }

    async fn has_ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        let what = format!("the daemon of {} ends", self.handle);
        let ended = async || running.child.try_wait().expect("a child");
        tokio::time::timeout(DEADLINE + Duration::from_secs(5), eventually(&what, ended))
            .await
            .expect("eventually has a deadline")
    }

    /// Stops and starts the daemon.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    /// A client with the token that `init` made.
    pub fn api(&self) -> Api {
        self.api_as("admin")
    }

    /// A client with a named token.
    pub fn api_as(&self, token: &str) -> Api {
        let path = self.folder().join("tokens").join(format!("{token}.token"));
        let text = std::fs::read_to_string(path).expect("the token's file");
        Api::new(self.http.clone(), self.api_port, &text)
    }

    /// Makes a token and waits until the daemon knows it.
    pub async fn add_token(&self, name: &str, arguments: &[&str]) -> Api {
        let made = self.hansed(&[&["token", "add", name], arguments].concat());
        assert!(made.status.success(), "hansed token add: {}", said(&made));
        let api = self.api_as(name);
        eventually("the new token counts", async || match api.members().await {
            Err(crate::Failure::Problem(problem)) if problem.status == 401 => None,
            _ => Some(()),
        })
        .await;
        api
    }
}

/// What a command printed, both ways.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended by itself.
            drop(running.child.kill());
            drop(running.child.wait());
        }
        let panicked = self.messages().contains("panicked at");
        if std::thread::panicking() {
            let messages = self.messages();
            let lines: Vec<&str> = messages.lines().collect();
            let last = lines.len().saturating_sub(120);
            eprintln!("---- the last messages of {} ----", self.handle);
            lines[last..].iter().for_each(|line| eprintln!("{line}"));
        } else {
            // Whatever the story was about: no input may make a daemon panic.
            assert!(
                !panicked,
                "the daemon of {} panicked:\n{}",
                self.handle,
                self.messages()
            );
        }
    }
}
