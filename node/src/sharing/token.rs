//! The token of a preview: it stands for all that a plan hangs on, part by part, so that whoever publishes with
//! it is told what changed since.

use std::fmt;
use std::str::FromStr;

use hanse_protocol::audience::Audience;
use hanse_protocol::charter::CharterHash;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::PublishRequest;

use super::plan::{Plan, Variant};

/// Bytes of each part.
const PART: usize = 12;

/// What a preview was made of: 48 bytes, written as 96 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    objects: [u8; PART],
    policies: [u8; PART],
    charter: [u8; PART],
    plan: [u8; PART],
}

/// What changed since a preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// What is published is not what was previewed.
    #[error("the objects, or what was asked for with them, are not those of the preview")]
    Objects,
    /// The policies were changed.
    #[error("the policies changed since the preview")]
    Policies,
    /// Another charter is in force.
    #[error("the community's charter changed since the preview")]
    Charter,
    /// The same policies say something else by now.
    #[error("who gets what changed since the preview")]
    Plan,
}

impl Token {
    /// The token of a plan for this request.
    pub(crate) fn of(
        request: &PublishRequest,
        policies: &[u8; 32],
        charter: &CharterHash,
        plan: &Plan<'_>,
    ) -> Self {
        let mut given = Digest::new("hanse preview objects v1");
        given.add(format!("{:?} {:?}", request.to, request.tlp).as_bytes());
        let objects = request.objects.iter();
        objects.for_each(|object| given.add(object.get().as_bytes()));
        let mut sent = Digest::new("hanse preview plan v1");
        plan.variants.iter().for_each(|variant| add(&mut sent, variant));
        for (number, reason) in &plan.refused {
            sent.number(*number);
            sent.add(reason.as_bytes());
        }
        Self {
            objects: given.part(),
            policies: Digest::part_of("hanse preview policies v1", policies),
            charter: Digest::part_of("hanse preview charter v1", &charter.0),
            plan: sent.part(),
        }
    }

    /// Whether what `now` stands for is still what was previewed.
    pub(crate) fn check(&self, now: &Self) -> Result<(), Stale> {
        if self.objects != now.objects {
            Err(Stale::Objects)
        } else if self.policies != now.policies {
            Err(Stale::Policies)
        } else if self.charter != now.charter {
            Err(Stale::Charter)
        } else if self.plan != now.plan {
            Err(Stale::Plan)
        } else {
            Ok(())
        }
    }
}

fn add(digest: &mut Digest, variant: &Variant<'_>) {
    match &variant.audience {
        Audience::Community => digest.add(b"community"),
        Audience::Members(members) => {
            digest.number(members.len());
            members
                .iter()
                .map(Handle::as_str)
                .for_each(|member| digest.add(member.as_bytes()));
        }
    }
    digest.number(usize::try_from(variant.delay.as_secs()).unwrap_or(usize::MAX));
    for piece in &variant.pieces {
        digest.number(piece.object);
        digest.add(piece.text.as_bytes());
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.objects, &self.policies, &self.charter, &self.plan] {
            f.write_str(&data_encoding::HEXLOWER.encode(part))?;
        }
        Ok(())
    }
}

/// A text is no token of a preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a preview's token is 96 hexadecimal digits, as `hanse preview` prints it")]
pub(crate) struct NoToken;

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(text.trim().as_bytes())
            .map_err(|_| NoToken)?;
        let mut parts = bytes.chunks_exact(PART).map(<[u8; PART]>::try_from);
        let mut part = || parts.next().ok_or(NoToken)?.map_err(|_| NoToken);
        let token = Self {
            objects: part()?,
            policies: part()?,
            charter: part()?,
            plan: part()?,
        };
        if bytes.len() == 4 * PART {
            Ok(token)
        } else {
            Err(NoToken)
        }
    }
}

/// A hash over parts of any length, each told apart from the next.
struct Digest(blake3::Hasher);

impl Digest {
    fn new(domain: &'static str) -> Self {
        Self(blake3::Hasher::new_derive_key(domain))
    }

    fn part_of(domain: &'static str, bytes: &[u8]) -> [u8; PART] {
        let mut digest = Self::new(domain);
        digest.add(bytes);
        digest.part()
    }

    fn number(&mut self, number: usize) {
        self.0.update(&(number as u64).to_be_bytes());
    }

    fn add(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn part(&self) -> [u8; PART] {
        let mut part = [0; PART];
        self.0.finalize_xof().fill(&mut part);
        part
    }
}
