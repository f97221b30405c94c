//! `hansed rotate`: new keys for this node, and the file that asks the stewards to list them.

use std::path::Path;
use std::process::ExitCode;

use hanse_protocol::charter::join::Request;

use super::{Failure, say};
use crate::settings::Settings;
use crate::{clock, daemon};

pub(super) fn run(dir: &Path, community: &str, out: &Path) -> Result<ExitCode, Failure> {
    let place = Settings::load(dir)?.place(dir, community)?;
    let (keystore, member) = daemon::open_member(&place.folder, &place.settings)?;
    let (signing, sealing) = member.rotate(&keystore)?;
    let request = Request::new(
        member.profile.clone(),
        &signing,
        sealing.public(),
        &member.node,
        place.settings.mesh.dialable(),
        clock::now(),
    );
    std::fs::write(out, request.write(&signing))?;
    say(&format!(
        "request      {}\nfingerprint  {}\n\n\
         Start the node anew now: it opens what is sealed to the new key, and signs with the old one\n\
         until a charter lists the new. Then give the request to a steward for `hanse community rotate`\n\
         and read the fingerprint to them.\n",
        out.display(),
        request.fingerprint()
    ));
    Ok(ExitCode::SUCCESS)
}
