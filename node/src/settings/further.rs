//! Further communities of a node: what each sets for itself, and where each one's part of the node lies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hanse_protocol::charter::member::Profile;
use hanse_protocol::identity::Handle;
use serde::Deserialize;

use super::written::{WrittenMember, WrittenMesh, refused};
use super::{Mesh, MeshProfile, Settings, SettingsError, quoted};
use crate::keystore::Source;

/// What the first community of a node is called on its own machine.
pub const FIRST: &str = "first";

/// The folder of the further communities' folders in a node's folder.
pub const FOLDER: &str = "communities";

/// Most further communities of one node: each has a swarm, a writing thread and a store of its own.
pub const MOST: usize = 15;

/// The keys that a further community may set.
pub(super) const KEYS: [&str; 8] = [
    "listen", "external", "profile", "handle", "name", "kind", "sector", "country",
];

/// What a further community sets for itself; the rest holds for all of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Further {
    /// Who this organisation is there.
    pub member: Profile,
    /// Its mesh.
    pub mesh: Mesh,
}

/// A community's part of a node: where it lies, and the settings that hold for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the community is called on this machine.
    pub name: String,
    /// The folder of its keys and its store.
    pub folder: PathBuf,
    /// Its settings: member and mesh its own, the rest the node's.
    pub settings: Settings,
}

impl Place {
    /// Whether this is the community of the node's folder itself.
    pub fn is_first(&self) -> bool {
        self.name == FIRST
    }
}

impl Settings {
    /// Every community of the node in `folder`, the first one first.
    pub fn places(&self, folder: &Path) -> Vec<Place> {
        let first = Place {
            name: FIRST.to_owned(),
            folder: folder.to_owned(),
            settings: self.clone(),
        };
        let further = self.communities.iter().map(|(name, further)| {
            let mut settings = Self {
                member: further.member.clone(),
                mesh: further.mesh.clone(),
                communities: BTreeMap::new(),
                ..self.clone()
            };
            // One passphrase opens all: it lies where it lies for the first.
            if let Source::File(path) = &settings.keys.passphrase {
                settings.keys.passphrase = Source::File(absolute(folder).join(path));
            }
            Place {
                name: name.clone(),
                folder: place_of(folder, name),
                settings,
            }
        });
        std::iter::once(first).chain(further).collect()
    }

    /// The community called `name`, of the node in `folder`.
    ///
    /// # Errors
    /// [`SettingsError::Value`] if the node belongs to none of that name.
    pub fn place(&self, folder: &Path, name: &str) -> Result<Place, SettingsError> {
        let mut places = self.places(folder);
        let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
        match places.iter().position(|place| place.name == name) {
            Some(at) => Ok(places.swap_remove(at)),
            None => {
                let reason = format!("there is none called `{name}`; there are: {}", names.join(", "));
                Err(refused("communities", reason))
            }
        }
    }
}

/// The folder of a further community in a node's folder.
pub fn place_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(FOLDER).join(name)
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Checks what a further community may be called on this machine: it is part of paths and addresses.
///
/// # Errors
/// The rule that is broken.
pub fn check_name(name: &str) -> Result<(), String> {
    if name == FIRST {
        return Err(format!("`{FIRST}` is the community of the node's folder itself"));
    }
    let spelt: Result<Handle, _> = name.parse();
    spelt.map(drop).map_err(|_| {
        format!("`{name}` is no name: two to 40 lower-case letters, digits and inner hyphens are")
    })
}

/// The table of a further community, to be written into the settings.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// What it is called on this machine.
    pub name: &'a str,
    /// Where to listen for its nodes.
    pub listen: &'a [String],
    /// Where others dial this node, if elsewhere.
    pub external: &'a [String],
    /// What is otherwise there than with the first community: keys of `[member]` with their values.
    pub member: &'a [(&'static str, String)],
}

impl Table<'_> {
    pub(super) fn written(&self) -> String {
        let list = |texts: &[String]| {
            texts
                .iter()
                .map(|text| quoted(text))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut text = format!("[communities.{}]\nlisten = [{}]\n", self.name, list(self.listen));
        if !self.external.is_empty() {
            text.push_str(&format!("external = [{}]\n", list(self.external)));
        }
        for (key, value) in self.member {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        }
        text
    }
}

/// A further community as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenFurther {
    listen: Option<Vec<String>>,
    #[serde(default)]
    external: Vec<String>,
    profile: Option<MeshProfile>,
    handle: Option<String>,
    name: Option<String>,
    kind: Option<String>,
    sector: Option<String>,
    country: Option<String>,
}

impl WrittenFurther {
    fn check(self, first: &Settings) -> Result<Further, SettingsError> {
        let Some(listen) = self.listen else {
            return Err(refused(
                "listen",
                "it is not set: each community has a port of its own",
            ));
        };
        let mesh = WrittenMesh {
            listen,
            external: self.external,
            profile: self.profile.unwrap_or(first.mesh.profile),
            quic: first.mesh.quic,
        };
        let known = &first.member;
        let member = WrittenMember {
            handle: Some(self.handle.unwrap_or_else(|| known.handle.to_string())),
            name: Some(self.name.unwrap_or_else(|| known.name.clone())),
            kind: Some(self.kind.unwrap_or_else(|| known.kind.to_string())),
            sector: Some(self.sector.unwrap_or_else(|| known.sector.clone())),
            country: Some(self.country.unwrap_or_else(|| known.country.clone())),
        };
        Ok(Further {
            member: member.check()?,
            mesh: mesh.check()?,
        })
    }
}

/// Checks the further communities, each alone and beside the others.
pub(super) fn check(
    written: BTreeMap<String, WrittenFurther>,
    first: &Settings,
) -> Result<BTreeMap<String, Further>, SettingsError> {
    if written.len() > MOST {
        return Err(refused(
            "communities",
            format!("more than {MOST} beside the first"),
        ));
    }
    let mut checked = BTreeMap::new();
    let mut taken: BTreeMap<String, String> = ports(FIRST, &first.mesh).collect();
    for (name, further) in written {
        check_name(&name).map_err(|reason| refused("communities", reason))?;
        let further = further.check(first).map_err(|error| within(&name, error))?;
        for (port, of) in ports(&name, &further.mesh) {
            if let Some(other) = taken.insert(port.clone(), of) {
                let reason =
                    format!("`{other}` and `{name}` both listen on `{port}`: each has a port of its own");
                return Err(refused("communities", reason));
            }
        }
        checked.insert(name, further);
    }
    Ok(checked)
}

/// The addresses that only one can listen on, and who does.
fn ports<'a>(name: &'a str, mesh: &'a Mesh) -> impl Iterator<Item = (String, String)> + 'a {
    let chosen_by_the_system = |address: &&String| address.split('/').any(|part| part == "0");
    let fixed = mesh
        .listen
        .iter()
        .filter(move |address| !chosen_by_the_system(address));
    fixed.map(move |address| (address.clone(), name.to_owned()))
}

/// Says of which community's table an error is.
fn within(name: &str, error: SettingsError) -> SettingsError {
    match error {
        SettingsError::Value { key, reason } => refused("communities", format!("`{name}`: {key}: {reason}")),
        other => other,
    }
}
