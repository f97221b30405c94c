//! The daemon's settings: the commented example is the lowest layer and the documentation of every
//! key, above it the node's `hansed.toml`, above that the environment. The only file that names
//! the `config` crate.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, ConfigError, Environment, File, FileFormat, Value};
use hanse_protocol::charter::member::Profile;
use serde::Deserialize;

use crate::exchange::Retention;
use crate::keystore::Source;

pub mod further;
#[cfg(test)]
mod tests;
mod written;

pub use further::{FIRST, Further, Place};
use written::{Written, check_member};

/// The settings file's name in the node's folder.
pub const FILE: &str = "hansed.toml";

/// Every key with its default, its unit and its reason.
pub const EXAMPLE: &str = include_str!("settings/example.toml");

/// Largest settings file, bytes: the example with every key set stays under a tenth of it.
const LARGEST: u64 = 64 << 10;

/// Keys of the member section: the only ones without a default, so the example cannot list them.
const MEMBER: [&str; 5] = [
    "member.handle",
    "member.name",
    "member.kind",
    "member.sector",
    "member.country",
];

/// The settings of one node, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who this organisation is.
    pub member: Profile,
    /// The local HTTP API.
    pub api: Api,
    /// The mesh of nodes.
    pub mesh: Mesh,
    /// What is kept on disk.
    pub store: Store,
    /// The key that guards all others.
    pub keys: Keys,
    /// Comparing holdings with peers.
    pub healing: Healing,
    /// Messages of the daemon.
    pub log: Log,
    /// Communities beside the first, by what they are called on this machine.
    pub communities: BTreeMap<String, Further>,
}

/// The local HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where it listens: a loopback address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Values of the Host header that are accepted besides the loopback ones.
    pub hosts: Vec<String>,
}

/// The mesh of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses others dial, if they differ from those listened on.
    pub external: Vec<String>,
    /// What part it takes in carrying gossip.
    pub profile: MeshProfile,
    /// Whether it speaks QUIC beside TCP.
    pub quic: bool,
}

/// What part a node takes in carrying gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeshProfile {
    /// One among equals.
    Peer,
    /// It serves many nodes that only dial out.
    Hub,
    /// It only dials out.
    Leaf,
}

impl Mesh {
    /// The addresses that others may dial: the external ones, or else those listened on that name
    /// a host and a port of their own. None of a leaf.
    pub fn dialable(&self) -> Vec<String> {
        if self.profile == MeshProfile::Leaf {
            return Vec::new();
        }
        if !self.external.is_empty() {
            return self.external.clone();
        }
        let names_a_host = |address: &&String| {
            let mut parts = address.split('/');
            !parts.any(|part| matches!(part, "0.0.0.0" | "::" | "0"))
        };
        self.listen.iter().filter(names_a_host).cloned().collect()
    }
}

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The index engine.
    pub engine: Engine,
    /// Bytes of bodies sealed for others that are kept.
    pub opaque_max: u64,
    /// How long things are kept.
    pub retention: Retention,
}

/// An index engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// An LSM tree on disk.
    Fjall,
    /// A tree of log-structured pages on disk.
    Sled,
    /// Nothing on disk: for tests and simulation, never from a settings file.
    Memory,
}

/// The key that guards all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// How the master key is kept.
    pub master: Master,
    /// Where the passphrase comes from.
    pub passphrase: Source,
    /// Name of the credential.
    pub credential: String,
}

/// How the master key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Master {
    /// Bare, in a private file.
    File,
    /// Wrapped under a passphrase.
    Passphrase,
    /// Wrapped under a key that systemd hands the service.
    Credential,
}

/// Comparing holdings with peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healing {
    /// How long between two comparisons with a connected peer.
    pub every: Duration,
}

/// Messages of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How they are written.
    pub format: LogFormat,
    /// The least severe level shown, or directives for single targets.
    pub level: String,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file is not there.
    #[error("`{0}` does not exist: run `hansed init` first")]
    Missing(PathBuf),
    /// There is a settings file already.
    #[error("`{0}` exists already and is left as it is")]
    Exists(PathBuf),
    /// It could not be read or written.
    #[error("`{path}` could not be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than a settings file may be.
    #[error("`{0}` is larger than 64 KiB")]
    TooLarge(PathBuf),
    /// It is no TOML, or the layers do not fit together.
    #[error("{layer} cannot be read as settings")]
    Syntax {
        /// The file, or the environment.
        layer: String,
        /// Where and why.
        #[source]
        source: Box<ConfigError>,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {layer}")]
    UnknownKey {
        /// The key with its section.
        key: String,
        /// The file, or the environment.
        layer: String,
    },
    /// A key of the member section that is not there.
    #[error("`{0}` is not set: run `hansed init`")]
    NotSet(&'static str),
    /// A key's value breaks a rule.
    #[error("`{key}`: {reason}")]
    Value {
        /// The key with its section.
        key: &'static str,
        /// Which rule.
        reason: String,
    },
}

impl Settings {
    /// Reads the settings of the node in `folder`.
    ///
    /// # Errors
    /// [`SettingsError`]; an unknown key is one, and the message names it and where it stands.
    pub fn load(folder: &Path) -> Result<Self, SettingsError> {
        Self::load_with(folder, None)
    }

    /// As [`Settings::load`], with these variables instead of the process's environment.
    pub(crate) fn load_with(
        folder: &Path,
        variables: Option<HashMap<String, String>>,
    ) -> Result<Self, SettingsError> {
        let path = folder.join(FILE);
        let text = read(&path)?;
        let environment = "the environment".to_owned();
        let example = layer("the built-in example".to_owned(), text_source(EXAMPLE))?;
        let file = layer(format!("`{}`", path.display()), text_source(&text))?;
        let variables = layer(environment.clone(), environment_source(variables))?;
        let known: BTreeSet<String> = example
            .keys
            .iter()
            .map(String::as_str)
            .chain(MEMBER)
            .map(str::to_owned)
            .collect();
        for layer in [&file, &variables] {
            if let Some(key) = layer.keys.iter().find(|key| !is_known(&known, key)) {
                let (key, layer) = (key.clone(), layer.name.clone());
                return Err(SettingsError::UnknownKey { key, layer });
            }
        }
        let whole = Config::builder()
            .add_source(example.config)
            .add_source(file.config)
            .add_source(variables.config)
            .build()
            .and_then(Config::try_deserialize::<Written>)
            .map_err(|source| {
                let layer = format!("`{}` with {environment}", path.display());
                SettingsError::Syntax {
                    layer,
                    source: Box::new(source),
                }
            })?;
        whole.check()
    }

    /// Writes the settings file of a new node: the commented example, with every default left to
    /// the program and the member filled in. Returns the file's path.
    ///
    /// # Errors
    /// [`SettingsError::Exists`] when there is one; [`SettingsError::Value`] for a profile that no
    /// charter would take; [`SettingsError::Io`].
    pub fn write_new(folder: &Path, member: &Profile) -> Result<PathBuf, SettingsError> {
        check_member(member)?;
        let path = folder.join(FILE);
        let text = filled_in(member);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::File::open(folder)?.sync_all());
        match written {
            Ok(()) => Ok(path),
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(SettingsError::Exists(path))
            }
            Err(source) => Err(SettingsError::Io { path, source }),
        }
    }
}

impl Settings {
    /// Writes the table of a further community into the settings file of a node, in one step. The file is
    /// left as it was if what it holds then would not be read.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn add_community(folder: &Path, table: &further::Table<'_>) -> Result<(), SettingsError> {
        let path = folder.join(FILE);
        let io = |source| SettingsError::Io {
            path: path.clone(),
            source,
        };
        let text = format!("{}\n\n{}", read(&path)?.trim_end(), table.written());
        let draft = tempfile_beside(folder);
        std::fs::create_dir(&draft).map_err(io)?;
        let tried = std::fs::write(draft.join(FILE), &text)
            .map_err(io)
            .and_then(|()| Self::load(&draft).map(drop))
            .and_then(|()| {
                let file = std::fs::File::open(draft.join(FILE)).map_err(io)?;
                file.set_permissions(std::fs::metadata(&path).map_err(io)?.permissions())
                    .and_then(|()| file.sync_all())
                    .and_then(|()| std::fs::rename(draft.join(FILE), &path))
                    .and_then(|()| std::fs::File::open(folder)?.sync_all())
                    .map_err(io)
            });
        // Only what was made here is in it.
        drop(std::fs::remove_dir_all(&draft));
        tried
    }
}

/// Where a new settings file is tried before it counts.
fn tempfile_beside(folder: &Path) -> PathBuf {
    folder.join(format!(".settings-{}", std::process::id()))
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => SettingsError::Missing(path.to_owned()),
        _ => SettingsError::Io {
            path: path.to_owned(),
            source,
        },
    };
    if std::fs::metadata(path).map_err(io)?.len() > LARGEST {
        return Err(SettingsError::TooLarge(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(io)
}

/// One layer, and the keys it sets.
struct Layer {
    name: String,
    config: Config,
    keys: BTreeSet<String>,
}

fn layer<S>(name: String, source: S) -> Result<Layer, SettingsError>
where
    S: config::Source + Send + Sync + 'static,
{
    let built = Config::builder().add_source(source).build();
    let read = built.and_then(|config| {
        let table: HashMap<String, Value> = config.clone().try_deserialize()?;
        Ok((config, table))
    });
    let (config, table) = read.map_err(|source| SettingsError::Syntax {
        layer: name.clone(),
        source: Box::new(source),
    })?;
    let mut keys = BTreeSet::new();
    for (section, value) in table {
        match value.into_table() {
            Ok(entries) if section == further::FOLDER => {
                for (name, value) in entries {
                    let section = format!("{section}.{name}");
                    match value.into_table() {
                        Ok(own) => keys.extend(own.into_keys().map(|key| format!("{section}.{key}"))),
                        Err(_) => drop(keys.insert(section)),
                    }
                }
            }
            Ok(entries) => keys.extend(entries.into_keys().map(|key| format!("{section}.{key}"))),
            // A key outside of every section.
            Err(_) => {
                keys.insert(section);
            }
        }
    }
    Ok(Layer { name, config, keys })
}

/// Whether there is such a key.
fn is_known(known: &BTreeSet<String>, key: &str) -> bool {
    let own = key
        .strip_prefix("communities.")
        .and_then(|own| own.split_once('.'));
    known.contains(key) || own.is_some_and(|(_, own)| further::KEYS.contains(&own))
}

fn text_source(text: &str) -> impl config::Source + Send + Sync + 'static + use<> {
    File::from_str(text, FileFormat::Toml)
}

fn environment_source(variables: Option<HashMap<String, String>>) -> Environment {
    Environment::with_prefix("HANSED")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("api.hosts")
        .with_list_parse_key("mesh.listen")
        .with_list_parse_key("mesh.external")
        .ignore_empty(true)
        .source(variables)
}

/// The example with the member's values in place and every other key commented out, so that a
/// later program's better default is not held back by a file that never meant to choose.
fn filled_in(member: &Profile) -> String {
    let values = [
        ("handle", member.handle.as_str()),
        ("name", &member.name),
        ("kind", &member.kind.to_string()),
        ("sector", &member.sector),
        ("country", &member.country),
    ]
    .map(|(key, value)| (format!("#{key} = "), format!("{key} = {}", quoted(value))));
    let mut text = String::with_capacity(EXAMPLE.len() + 512);
    for line in EXAMPLE.lines() {
        let value = values.iter().find(|(start, _)| line.starts_with(start.as_str()));
        match value {
            Some((_, filled)) => text.push_str(filled),
            None => {
                let sets = !line.is_empty() && !line.starts_with(['#', '[']);
                text.push_str(if sets { "#" } else { "" });
                text.push_str(line);
            }
        }
        text.push('\n');
    }
    text
}

/// A TOML basic string. Control characters never get here: a profile has none.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
