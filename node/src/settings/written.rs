//! The settings as they are written, and what is checked before they count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use hanse_protocol::charter::member::Profile;
use hanse_protocol::limits;
use hanse_protocol::local::span;
use serde::Deserialize;

use super::further::{self, WrittenFurther};
use super::{
    Api, Engine, Healing, Keys, Log, LogFormat, Master, Mesh, MeshProfile, Settings, SettingsError, Store,
};
use crate::exchange::Retention;
use crate::keystore::is_credential;

/// Most host names, listen addresses or external addresses.
const LIST: usize = 32;

/// How severe a message is at least.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The settings as they are written, before what their values mean is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    member: WrittenMember,
    api: WrittenApi,
    mesh: WrittenMesh,
    store: WrittenStore,
    keys: WrittenKeys,
    healing: WrittenHealing,
    log: WrittenLog,
    #[serde(default)]
    communities: BTreeMap<String, WrittenFurther>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenMember {
    pub(super) handle: Option<String>,
    pub(super) name: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) sector: Option<String>,
    pub(super) country: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenApi {
    listen: String,
    hosts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenMesh {
    pub(super) listen: Vec<String>,
    pub(super) external: Vec<String>,
    pub(super) profile: MeshProfile,
    pub(super) quic: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStore {
    engine: Engine,
    opaque_max: u64,
    retain_days: u32,
    erase_within: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKeys {
    master: Master,
    passphrase: String,
    credential: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHealing {
    every: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLog {
    format: LogFormat,
    level: String,
}

impl Written {
    pub(super) fn check(self) -> Result<Settings, SettingsError> {
        let mut settings = Settings {
            member: self.member.check()?,
            api: self.api.check()?,
            mesh: self.mesh.check()?,
            store: self.store.check()?,
            keys: self.keys.check()?,
            healing: self.healing.check()?,
            log: self.log.check()?,
            communities: BTreeMap::new(),
        };
        settings.communities = further::check(self.communities, &settings)?;
        Ok(settings)
    }
}

impl WrittenMember {
    pub(super) fn check(self) -> Result<Profile, SettingsError> {
        let profile = Profile {
            handle: parse("member.handle", self.handle)?,
            name: self.name.ok_or(SettingsError::NotSet("member.name"))?,
            kind: parse("member.kind", self.kind)?,
            sector: self.sector.unwrap_or_default(),
            country: self.country.ok_or(SettingsError::NotSet("member.country"))?,
        };
        check_member(&profile)?;
        Ok(profile)
    }
}

fn parse<T: FromStr>(key: &'static str, text: Option<String>) -> Result<T, SettingsError>
where
    T::Err: std::fmt::Display,
{
    let text = text.ok_or(SettingsError::NotSet(key))?;
    text.parse()
        .map_err(|error: T::Err| refused(key, error.to_string()))
}

pub(super) fn check_member(profile: &Profile) -> Result<(), SettingsError> {
    profile.check_form().map_err(|reason| refused("member", reason))
}

impl WrittenApi {
    fn check(self) -> Result<Api, SettingsError> {
        let listen: SocketAddr = parse("api.listen", Some(self.listen))?;
        if !listen.ip().is_loopback() {
            let reason = format!(
                "`{listen}` is no loopback address: the API is not encrypted, so it listens on this machine only"
            );
            return Err(refused("api.listen", reason));
        }
        check_list("api.hosts", &self.hosts)?;
        Ok(Api {
            listen,
            hosts: self.hosts,
        })
    }
}

impl WrittenMesh {
    pub(super) fn check(self) -> Result<Mesh, SettingsError> {
        check_list("mesh.listen", &self.listen)?;
        check_list("mesh.external", &self.external)?;
        for (key, addresses) in [("mesh.listen", &self.listen), ("mesh.external", &self.external)] {
            if let Some(address) = addresses.iter().find(|address| !address.starts_with('/')) {
                let reason = format!("`{address}` is no multiaddress: `/ip4/192.0.2.1/tcp/7475` is");
                return Err(refused(key, reason));
            }
        }
        if self.quic && !cfg!(feature = "quic") {
            let reason = "this program was built without QUIC: the feature `quic` builds it in";
            return Err(refused("mesh.quic", reason));
        }
        if self.profile == MeshProfile::Leaf && !self.external.is_empty() {
            let reason = "a leaf cannot be dialled: it has no external addresses";
            return Err(refused("mesh.external", reason));
        }
        if self.external.len() > limits::ADDRESSES {
            return Err(refused(
                "mesh.external",
                format!("more than {} addresses", limits::ADDRESSES),
            ));
        }
        Ok(Mesh {
            listen: self.listen,
            external: self.external,
            profile: self.profile,
            quic: self.quic,
        })
    }
}

impl WrittenStore {
    fn check(self) -> Result<Store, SettingsError> {
        let erase_within = span::parse(&self.erase_within)
            .map_err(|error| refused("store.erase_within", error.to_string()))?;
        let day = Duration::from_secs(24 * 3_600);
        match self.engine {
            Engine::Fjall | Engine::Sled => Ok(Store {
                engine: self.engine,
                opaque_max: self.opaque_max,
                retention: Retention {
                    keep: (self.retain_days > 0).then(|| day * self.retain_days),
                    erase_within,
                },
            }),
            Engine::Memory => Err(refused("store.engine", "`memory` keeps nothing: it is for tests")),
        }
    }
}

impl WrittenKeys {
    fn check(self) -> Result<Keys, SettingsError> {
        if !is_credential(&self.credential) {
            let reason = format!("`{}` is no plain file name", self.credential);
            return Err(refused("keys.credential", reason));
        }
        Ok(Keys {
            master: self.master,
            passphrase: parse("keys.passphrase", Some(self.passphrase))?,
            credential: self.credential,
        })
    }
}

impl WrittenHealing {
    fn check(self) -> Result<Healing, SettingsError> {
        let every = span::parse(&self.every).map_err(|error| refused("healing.every", error.to_string()))?;
        if every < Duration::from_secs(1) {
            return Err(refused(
                "healing.every",
                format!("`{}` is under a second", self.every),
            ));
        }
        Ok(Healing { every })
    }
}

impl WrittenLog {
    /// A word that is no level would be taken for a target, and silence all others.
    fn check(self) -> Result<Log, SettingsError> {
        let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word.trim()));
        let holds = |directive: &str| match directive.rsplit_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level),
            None => is_level(directive),
        };
        match self.level.split(',').find(|directive| !holds(directive)) {
            None => Ok(Log {
                format: self.format,
                level: self.level,
            }),
            Some(directive) => Err(refused(
                "log.level",
                format!(
                    "`{directive}` is no level: {} are, and `target=level`",
                    LEVELS.join(", ")
                ),
            )),
        }
    }
}

fn check_list(key: &'static str, texts: &[String]) -> Result<(), SettingsError> {
    if texts.len() > LIST {
        return Err(refused(key, format!("more than {LIST} entries")));
    }
    match texts
        .iter()
        .find(|text| text.is_empty() || text.len() > limits::ADDRESS)
    {
        Some(_) => Err(refused(
            key,
            format!("an entry is empty or longer than {} bytes", limits::ADDRESS),
        )),
        None => Ok(()),
    }
}

pub(super) fn refused(key: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Value {
        key,
        reason: reason.into(),
    }
}
