//! Bare gossipsub, to be measured beside a league: as many processes, everybody connected to
//! everybody, the settings of Hanse's own mesh, frames of the same size, and no cryptography but
//! libp2p's.
//!
//! A child is told on standard input, a line each: `await ROUND COUNT` and
//! `send ROUND SIZE COUNT PAUSE_US`; it answers a JSON line to each once it is done.

use std::io::{BufRead, Write, stdin, stdout};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use hanse_node::mesh::gossip_settings;
use hanse_protocol::identity::CommunityId;
use libp2p::gossipsub::{Behaviour, Event, IdentTopic, MessageAcceptance, MessageAuthenticity};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::hansed::free_port;
use crate::measure::Failure;

const TOPIC: CommunityId = CommunityId([9; 32]);

/// How long a round may take, and how long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes before a message's padding: its round, its number, and when it was sent.
const STAMP: usize = 16;

/// One node of a bare mesh.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where it listens.
    #[arg(long)]
    port: u16,
    /// Whom it dials.
    #[arg(long, value_delimiter = ',')]
    dial: Vec<u16>,
    /// How many others there are.
    #[arg(long)]
    others: usize,
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// It is connected to all others and they have subscribed.
    Ready,
    /// When it sent the first message of a round, nanoseconds since 1970.
    Sent { first: u64 },
    /// How long each message of a round took, microseconds, and when the last came.
    Received { waits: Vec<f64>, last: u64 },
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs a child until its standard input closes.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (told, orders) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if told.blocking_send(line).is_err() {
                break;
            }
        }
    });
    runtime.block_on(node(arguments, orders))
}

fn say(said: &Said) -> Result<(), Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{}", serde_json::to_string(said)?)?;
    Ok(out.flush()?)
}

/// The state of a child.
struct Node {
    swarm: Swarm<Behaviour>,
    topic: IdentTopic,
    /// The round it listens for, with how many messages that has.
    awaited: Option<(u32, usize, Instant)>,
    waits: Vec<f64>,
    last: u64,
    sending: Option<Sending>,
}

/// What it still has to send.
struct Sending {
    round: u32,
    size: usize,
    left: u32,
    pause: Duration,
    next: Instant,
    first: Option<u64>,
}

async fn node(arguments: &Arguments, mut orders: mpsc::Receiver<String>) -> Result<(), Failure> {
    let (topic, config) = gossip_settings(&TOPIC)?;
    let mut gossip: Behaviour = Behaviour::new(MessageAuthenticity::Anonymous, config)?;
    gossip.subscribe(&topic)?;
    let mut swarm = SwarmBuilder::with_existing_identity(Keypair::generate_ed25519())
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|_| gossip)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3_600)))
        .build();
    swarm.listen_on(address(arguments.port)?)?;
    for port in &arguments.dial {
        swarm.dial(address(*port)?)?;
    }
    let mut node = Node {
        swarm,
        topic,
        awaited: None,
        waits: Vec::new(),
        last: 0,
        sending: None,
    };
    let mut ready = false;
    loop {
        let due = node.due();
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => node.order(&order)?,
                None => return Ok(()),
            },
            event = node.swarm.select_next_some() => node.event(event),
            () = tokio::time::sleep_until(due) => node.tick()?,
        }
        if !ready
            && node
                .swarm
                .behaviour()
                .all_peers()
                .filter(|(_, topics)| !topics.is_empty())
                .count()
                >= arguments.others
        {
            ready = true;
            say(&Said::Ready)?;
        }
        node.report()?;
    }
}

fn address(port: u16) -> Result<Multiaddr, Failure> {
    Ok(format!("/ip4/127.0.0.1/tcp/{port}").parse()?)
}

impl Node {
    fn due(&self) -> Instant {
        let looking = Instant::now() + Duration::from_millis(500);
        self.sending.as_ref().map_or(looking, |sending| sending.next)
    }

    fn order(&mut self, order: &str) -> Result<(), Failure> {
        let words: Vec<&str> = order.split_whitespace().collect();
        match words.as_slice() {
            ["await", round, count] => {
                self.awaited = Some((round.parse()?, count.parse()?, Instant::now() + PATIENCE));
                self.waits.clear();
            }
            ["send", round, size, count, pause] => {
                self.sending = Some(Sending {
                    round: round.parse()?,
                    size: size.parse()?,
                    left: count.parse()?,
                    pause: Duration::from_micros(pause.parse()?),
                    next: Instant::now(),
                    first: None,
                });
            }
            _ => return Err(format!("`{order}` is no order").into()),
        }
        Ok(())
    }

    fn event(&mut self, event: SwarmEvent<Event>) {
        let SwarmEvent::Behaviour(Event::Message {
            propagation_source,
            message_id,
            message,
        }) = event
        else {
            return;
        };
        let arrived = now();
        self.swarm.behaviour_mut().report_message_validation_result(
            &message_id,
            &propagation_source,
            MessageAcceptance::Accept,
        );
        let stamp = |at: usize| {
            message
                .data
                .get(at..at + 8)?
                .try_into()
                .ok()
                .map(u64::from_be_bytes)
        };
        let (Some(number), Some(sent)) = (stamp(0), stamp(8)) else {
            return;
        };
        if self
            .awaited
            .is_some_and(|(round, _, _)| u64::from(round) == number >> 32)
        {
            self.waits.push(arrived.saturating_sub(sent) as f64 / 1e3);
            self.last = arrived;
        }
    }

    fn tick(&mut self) -> Result<(), Failure> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let at = now();
        let number = u64::from(sending.round) << 32 | u64::from(sending.left);
        let mut message = number.to_be_bytes().to_vec();
        message.extend_from_slice(&at.to_be_bytes());
        message.resize(sending.size.max(STAMP), 7);
        match self.swarm.behaviour_mut().publish(self.topic.clone(), message) {
            Ok(_) => {
                sending.left -= 1;
                sending.next += sending.pause;
                sending.first.get_or_insert(at);
            }
            // Nobody there yet, or their queues are full.
            Err(_) => sending.next = Instant::now() + Duration::from_millis(10),
        }
        if sending.left == 0 {
            let first = sending.first.unwrap_or(at);
            self.sending = None;
            say(&Said::Sent { first })?;
        }
        Ok(())
    }

    /// Tells of a round that is complete, or as complete as it will be.
    fn report(&mut self) -> Result<(), Failure> {
        let Some((_, count, until)) = self.awaited else {
            return Ok(());
        };
        if self.waits.len() < count && Instant::now() < until {
            return Ok(());
        }
        self.awaited = None;
        say(&Said::Received {
            waits: std::mem::take(&mut self.waits),
            last: self.last,
        })
    }
}

/// A bare mesh that runs; its processes end with it.
pub(crate) struct Mesh {
    nodes: Vec<Process>,
    round: u32,
}

struct Process {
    _child: Child,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

/// What came of a round.
pub(crate) struct Round {
    /// How long each message took to each node, microseconds.
    pub(crate) waits: Vec<f64>,
    /// From the first message sent to the last that came, seconds.
    pub(crate) took: f64,
}

impl Mesh {
    /// Starts so many nodes and waits until all are connected.
    pub(crate) async fn up(count: usize) -> Result<Self, Failure> {
        let ports = (0..count).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let mut nodes = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let before: Vec<String> = ports.iter().take(number).map(u16::to_string).collect();
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["gossip", "--port", &port.to_string()]);
            command.args(["--others", &(count - 1).to_string()]);
            if !before.is_empty() {
                command.args(["--dial", &before.join(",")]);
            }
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let orders = child.stdin.take().ok_or("a child without standard input")?;
            let said = child.stdout.take().ok_or("a child without standard output")?;
            nodes.push(Process {
                _child: child,
                orders,
                said: BufReader::new(said).lines(),
            });
            // Whoever dials it is to find it listening.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for node in &mut nodes {
            match node.hear().await? {
                Said::Ready => {}
                other => return Err(format!("a bare node said {other:?} before it was ready").into()),
            }
        }
        // Meshes are grafted at heartbeats, a second apart.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Self { nodes, round: 0 })
    }

    /// The first node sends messages; every other times them.
    pub(crate) async fn round(
        &mut self,
        size: usize,
        count: usize,
        pause: Duration,
    ) -> Result<Round, Failure> {
        self.round += 1;
        let round = self.round;
        let Some((sender, others)) = self.nodes.split_first_mut() else {
            return Err("an empty mesh".into());
        };
        for node in others.iter_mut() {
            node.tell(&format!("await {round} {count}")).await?;
        }
        let send = format!("send {round} {size} {count} {}", pause.as_micros());
        sender.tell(&send).await?;
        let Said::Sent { first } = sender.hear().await? else {
            return Err("a bare node did not send".into());
        };
        let (mut all, mut latest) = (Vec::new(), first);
        for node in others {
            let Said::Received { waits, last } = node.hear().await? else {
                return Err("a bare node did not receive".into());
            };
            if waits.len() < count {
                let came = waits.len();
                crate::measure::say(&format!("bare gossipsub: {came} of {count} messages came"));
            }
            all.extend(waits);
            latest = latest.max(last);
        }
        Ok(Round {
            waits: all,
            took: latest.saturating_sub(first) as f64 / 1e9,
        })
    }
}

impl Process {
    async fn tell(&mut self, order: &str) -> Result<(), Failure> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        Ok(self.orders.flush().await?)
    }

    async fn hear(&mut self) -> Result<Said, Failure> {
        let line = tokio::time::timeout(PATIENCE + PATIENCE, self.said.next_line()).await??;
        Ok(serde_json::from_str(&line.ok_or("a bare node ended")?)?)
    }
}
