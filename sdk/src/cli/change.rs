//! The commands that change a charter and have nothing else to do.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hanse_protocol::charter::join::Request;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::{AdmitRequest, Change};
use hanse_protocol::tlp::Tlp;

use super::failure::Failure;
use super::propose::Terms;
use super::{Console, Exit, confirm, files, propose};
use crate::client::Client;

#[derive(Subcommand)]
pub(super) enum Stewards {
    Set(SetStewards),
}

/// Say who the stewards are and how many of them must sign
///
/// More than half must sign. Three stewards of whom two must sign are a good beginning: one may be
/// away, and one key that is stolen decides nothing.
///
/// With --json: {"proposal":{"version","hash","fingerprint","issued","changes","endorsed","recovery",
/// "valid","needed"},"file","in_force"}.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community stewards set acme-water,port-city,st-mary --threshold 2")]
pub(super) struct SetStewards {
    /// Their handles
    #[arg(value_name = "HANDLES", value_delimiter = ',', required = true)]
    stewards: Vec<Handle>,
    /// How many must sign
    #[arg(long, value_name = "N")]
    threshold: u32,
    #[command(flatten)]
    terms: Terms,
}

impl SetStewards {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let handles: Vec<&str> = self.stewards.iter().map(Handle::as_str).collect();
        let what = format!(
            "Have {} decide, {} of them together",
            handles.join(", "),
            self.threshold
        );
        let change = Change::Stewards {
            stewards: self.stewards.clone(),
            threshold: self.threshold,
        };
        self.terms.propose(client, console, &what, change).await
    }
}

/// Add another node of a member
///
/// On the new node, `hansed init` with the member's handle and `hanse request` write the request. It
/// gets a lane, a signing key and a sealing key of its own, so no secret leaves either node. Confirm the
/// fingerprint with the member. Once the charter is in force, `hanse community admit` with the same
/// request gives the invite.
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`; with an invite and its
/// fingerprint beside if it is in force.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community add-lane second.request --out second.invite")]
pub(super) struct AddLane {
    /// The new node's request
    #[arg(value_name = "REQUEST_FILE")]
    request: PathBuf,
    /// The request's fingerprint as the member read it to you
    #[arg(long)]
    fingerprint: Option<String>,
    /// File for the invite or the proposal; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Sign although this node has signed another charter of that version
    #[arg(long)]
    again: bool,
}

impl AddLane {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let given = self.fingerprint.as_deref();
        let (file, fingerprint) = confirmed(console, &self.request, given, "another node")?;
        let change = Change::AddLane {
            file: file.clone(),
            fingerprint: fingerprint.clone(),
        };
        let asked = hanse_protocol::local::ProposeRequest {
            change,
            again: self.again,
        };
        let reply = client.propose(&asked).await?;
        if !reply.in_force {
            return propose::told(console, &reply, self.out.as_deref());
        }
        let admission = client.admit(&AdmitRequest { file, fingerprint }).await?;
        if let Some(path) = &self.out {
            files::write(path, &admission.invite)?;
        }
        if console.json {
            console.document(&serde_json::json!({
                "proposal": reply.proposal, "file": reply.file, "in_force": true,
                "invite": admission.invite, "fingerprint": admission.fingerprint,
            }))?;
            return Ok(Exit::Done);
        }
        if self.out.is_none() {
            console.say(&admission.invite)?;
        }
        console.note(&format!(
            "{}charter {} is in force\ninvite fingerprint  {}",
            propose::view(&reply.proposal),
            admission.charter,
            admission.fingerprint
        ))?;
        Ok(Exit::Done)
    }
}

/// List the new keys of a member's node
///
/// `hansed rotate` on that node drew them and wrote the request. Once the charter is in force the node
/// signs with the new key. The old one stays open, since what it signed is still on its way: close it
/// with `hanse community close-key` a day later.
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community rotate acme-water.rotation")]
pub(super) struct Rotate {
    /// The node's request
    #[arg(value_name = "REQUEST_FILE")]
    request: PathBuf,
    /// The request's fingerprint as the member read it to you
    #[arg(long)]
    fingerprint: Option<String>,
    /// File for the proposal, where several stewards must sign; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Sign although this node has signed another charter of that version
    #[arg(long)]
    again: bool,
}

impl Rotate {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let (file, fingerprint) = confirmed(console, &self.request, self.fingerprint.as_deref(), "new keys")?;
        let change = Change::Rotate { file, fingerprint };
        propose::change(client, console, change, self.again, self.out.as_deref()).await
    }
}

/// Reads a request of a member's node and has its fingerprint confirmed.
fn confirmed(
    console: &mut Console<'_>,
    path: &Path,
    given: Option<&str>,
    what: &str,
) -> Result<(String, String), Failure> {
    let file = files::read(path)?;
    let request = Request::read(&file)
        .map_err(|error| Failure::new(Exit::Refused, format!("`{}` is refused: {error}", path.display())))?;
    let (handle, own) = (&request.profile.handle, request.fingerprint());
    console.note(&format!("{what} of {handle}\nfingerprint  {own}"))?;
    let fingerprint = confirm::fingerprint(console, &own, given, &format!("`{handle}`"))?;
    Ok((file, fingerprint))
}

/// Close a lane: shut out one node of a member
///
/// What is held of that lane counts; nothing that its node signs from now on does. The member's other
/// nodes go on. If the node was stolen, close its signing key with it: it could sign for another lane.
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community close-lane acme-water 1 --key 6b0f2c9d11a3e7f4")]
pub(super) struct CloseLane {
    /// The member's handle
    member: Handle,
    /// The lane; `hanse community show` lists them
    lane: u16,
    /// Id of the signing key to close as well
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

impl CloseLane {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let what = format!("Close lane {} of {} for good", self.lane, self.member);
        if self.key.is_none() {
            console.note("its signing key stays open: if the node was stolen, close that too, with --key")?;
        }
        let change = Change::CloseLane {
            member: self.member.clone(),
            lane: self.lane,
            key: self.key.clone(),
        };
        self.terms.propose(client, console, &what, change).await
    }
}

/// Close a signing key of a member
///
/// What is held that it signed counts; nothing that it signs from now on does, whatever date it bears.
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community close-key acme-water 6b0f2c9d11a3e7f4")]
pub(super) struct CloseKey {
    /// The member's handle
    member: Handle,
    /// The key's id; `hanse community show` lists them
    #[arg(value_name = "KEY_ID")]
    key: String,
    #[command(flatten)]
    terms: Terms,
}

impl CloseKey {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let what = format!("Close key {} of {} for good", self.key, self.member);
        let change = Change::CloseKey {
            member: self.member.clone(),
            key: self.key.clone(),
        };
        self.terms.propose(client, console, &what, change).await
    }
}

/// Change what the community agreed on: one thing at a time
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community set --horizon-days 180")]
pub(super) struct Set {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Marking of objects that bear none
    #[arg(long, value_name = "TLP")]
    tlp_default: Option<Tlp>,
    /// Days that records are kept
    #[arg(long, value_name = "DAYS")]
    horizon_days: Option<u32>,
    /// What one author may send a day
    #[arg(long, num_args = 2, value_names = ["RECORDS", "BYTES"])]
    budget: Option<Vec<u64>>,
    /// All recovery keys that are to count, public keys of 64 hexadecimal digits
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    recovery: Option<Vec<String>>,
}

impl Set {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let What {
            tlp_default,
            horizon_days,
            budget,
            recovery,
        } = self.what;
        let unmarked = tlp_default.map(|tlp| Change::Unmarked { tlp });
        let horizon = horizon_days.map(|days| Change::Horizon { days });
        let recovery = recovery.map(|keys| Change::Recovery { keys });
        let budget = match budget.as_deref() {
            Some([records, bytes]) => {
                let records = u32::try_from(*records).map_err(|_| {
                    Failure::new(Exit::Usage, format!("`{records}` is too many records a day"))
                })?;
                Some(Change::Budget {
                    bytes: *bytes,
                    records,
                })
            }
            _ => None,
        };
        let change = unmarked.or(horizon).or(budget).or(recovery);
        let change = change.ok_or_else(|| Failure::new(Exit::Usage, "nothing is to change"))?;
        self.terms
            .propose(client, console, "Change what the community agreed on", change)
            .await
    }
}

/// Say where a member's node may be dialled
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community addresses acme-water 0 /dns4/hanse.acme.example/tcp/7475")]
pub(super) struct Addresses {
    /// The member's handle
    member: Handle,
    /// The lane
    lane: u16,
    /// Multiaddresses; none for a node that only dials out
    addresses: Vec<String>,
    #[command(flatten)]
    terms: Terms,
}

impl Addresses {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let what = format!("Change the addresses of lane {} of {}", self.lane, self.member);
        let change = Change::Addresses {
            member: self.member.clone(),
            lane: self.lane,
            addresses: self.addresses.clone(),
        };
        self.terms.propose(client, console, &what, change).await
    }
}

/// Change nothing but the charter's dates
///
/// A charter counts for a year; past its expiry nodes seal nothing.
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community renew --yes")]
pub(super) struct Renew {
    #[command(flatten)]
    terms: Terms,
}

impl Renew {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        self.terms
            .propose(client, console, "Renew the charter", Change::Renew {})
            .await
    }
}

/// Join the two sides of a fork
///
/// The charter that joins them says what is in force here, and takes over whom and what the other side
/// admitted and ended. Nodes that stand under the other side follow when its stewards have signed too.
///
/// With --json: {"proposal":{…},"file","in_force"} as for `stewards set`.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community join-fork --out joint.proposal")]
pub(super) struct JoinFork {
    /// Hash of the other side's charter, if more than one stands beside the one in force
    #[arg(value_name = "HASH")]
    with: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

impl JoinFork {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let with = self.with.clone();
        let change = Change::JoinFork { with };
        self.terms
            .propose(client, console, "Join the two sides", change)
            .await
    }
}
