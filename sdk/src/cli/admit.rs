//! `hanse community admit`: admits who wrote a request.

use std::path::PathBuf;

use clap::Args;
use hanse_protocol::charter::join::Request;
use hanse_protocol::local::{AdmitRequest, Change};

use super::failure::Failure;
use super::text::{facts, shown};
use super::{Console, Exit, confirm, files, propose, status};
use crate::client::Client;

/// Admit the organisation that wrote a request
///
/// Shows who asks and their fingerprint, and asks whether it is the one they read to you. Without a
/// terminal --fingerprint is needed. Give the invite that comes back to them. Where several stewards
/// must sign, a proposal comes instead, to pass on; once it is in force the same command gives the
/// invite, at any steward's node.
///
/// With --json: {"member","charter","invite","fingerprint"} where `invite` is the invite's text,
/// whether or not --out writes it too, and `fingerprint` is the invite's.
#[derive(Args)]
#[command(after_long_help = "Example:
  hanse community admit acme-water.request --out acme-water.invite")]
pub(super) struct Admit {
    /// The request
    #[arg(value_name = "REQUEST_FILE")]
    request: PathBuf,
    /// The request's fingerprint as the other side read it to you
    #[arg(long)]
    fingerprint: Option<String>,
    /// File to write the invite or the proposal to; standard output if it is left out
    #[arg(long, value_name = "INVITE_FILE")]
    out: Option<PathBuf>,
}

impl Admit {
    pub(super) async fn run(self, client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let file = files::read(&self.request)?;
        let request = Request::read(&file).map_err(|error| {
            let message = format!("`{}` is refused: {error}", self.request.display());
            Failure::new(Exit::Refused, message).hint("ask for the file again; `hanse request` writes it")
        })?;
        let own = request.fingerprint();
        console.note(told(&request).trim_end())?;
        let other = format!("`{}`", request.profile.handle);
        let fingerprint = confirm::fingerprint(console, &own, self.fingerprint.as_deref(), &other)?;
        let before = client.status().await.ok().and_then(|status| status.community);
        let admission = AdmitRequest { file, fingerprint };
        let admission = match client.admit(&admission).await {
            Err(error) if error.problem_name() == Some("endorsements") => {
                let AdmitRequest { file, fingerprint } = admission;
                let change = Change::Admit { file, fingerprint };
                return propose::change(client, console, change, false, self.out.as_deref()).await;
            }
            done => done?,
        };
        if let Some(path) = &self.out {
            files::write(path, &admission.invite)?;
        }
        if console.json {
            console.document(&admission)?;
            status::warn(client, console).await?;
            return Ok(Exit::Done);
        }
        // No new charter was made for it: it is the invite of a member once more.
        let again = before.is_some_and(|before| before.charter == admission.charter);
        let done = match again {
            true => "listed",
            false => "admitted",
        };
        let told = format!(
            "{done:<13}{} {} charter {}\nfingerprint  {}\n\n\
             Give the invite to them, and read this fingerprint to them when they join.\n",
            admission.member,
            if again { "already, in" } else { "with" },
            admission.charter,
            admission.fingerprint
        );
        match &self.out {
            Some(path) => console.say(&format!("invite       {}\n{told}", path.display()))?,
            None => {
                console.say(&admission.invite)?;
                console.note(told.trim_end())?;
            }
        }
        status::warn(client, console).await?;
        Ok(Exit::Done)
    }
}

fn told(request: &Request) -> String {
    let profile = &request.profile;
    let addresses = match request.addresses.as_slice() {
        [] => "none: it only dials out".to_owned(),
        addresses => shown(&addresses.join(", ")),
    };
    facts(&[
        ("handle", profile.handle.to_string()),
        ("name", shown(&profile.name)),
        ("kind", profile.kind.to_string()),
        ("sector", shown(&profile.sector)),
        ("country", shown(&profile.country)),
        ("addresses", addresses),
        ("written", request.at.to_string()),
        ("fingerprint", request.fingerprint().to_string()),
    ])
}
