//! What one record costs: signing, verifying, sealing, opening, compressing, each beside the bare
//! primitive below it.

use std::time::Duration;

use hanse_node::clock;
use hanse_node::store::index::Engine;
use hanse_protocol::admission::{Arrival, By, Signed};
use hanse_protocol::charter::CharterChain;
use hanse_protocol::compress::{self, Packed};
use hanse_protocol::content::Content;
use hanse_protocol::identity::keys::{SealingKey, SealingPublic};
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::{self, Binding};
use hanse_protocol::tlp::Tlp;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, OpModeR, OpModeS};

use crate::material;
use crate::measure::{Failure, Scale, rate};
use crate::site::{Site, community};
use crate::table::{Figure, Table};

const GROUP: &str = "protocol";
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// zstd's level, as `compress` uses it.
const LEVEL: i32 = 3;

type Aead = hpke::aead::ChaCha20Poly1305;
type Kdf = hpke::kdf::HkdfSha256;

pub(super) async fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let sites = community(1, Engine::Memory).await?;
    let author = sites.first().ok_or("no author")?;
    let charters = author.charters()?;
    let header = header(author, &charters);
    signing(scale, table, author, &charters, &header)?;
    for readers in [1, 10, 100] {
        sealing(scale, table, readers, author, &charters)?;
    }
    for objects in [1, 10, 200] {
        compressing(scale, table, objects)?;
    }
    Ok(())
}

/// Takes a figure and the one beside it, run by run in turn, so that a busy moment of the machine
/// meets both.
fn pair(
    scale: &Scale,
    mut ours: impl FnMut() -> Result<(), Failure>,
    mut bare: impl FnMut() -> Result<(), Failure>,
) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        first.push(rate(scale.span, &mut ours)?);
        second.push(rate(scale.span, &mut bare)?);
    }
    Ok((first, second))
}

fn header(author: &Site, charters: &CharterChain) -> Header {
    let created = clock::now();
    Header {
        author: author.member.profile.handle.clone(),
        lane: 0,
        charter: charters.newest().reference(),
        epoch: 0,
        seq: 1,
        prev: None,
        created,
        expires: created.after(DAY),
        kind: Kind::Objects,
        replaces: None,
        body_length: 4,
        body_hash: BodyHash::of(b"body"),
    }
}

fn signing(
    scale: &Scale,
    table: &mut Table,
    author: &Site,
    charters: &CharterChain,
    header: &Header,
) -> Result<(), Failure> {
    let key = &author.member.signing;
    let bytes = header.sign(charters.community(), key);
    let signature = key.sign(&bytes);
    let verifying = key.verifying_key();
    let (ours, bare) = pair(
        scale,
        || {
            std::hint::black_box(header.sign(charters.community(), key));
            Ok(())
        },
        || {
            std::hint::black_box(key.sign(&bytes));
            Ok(())
        },
    )?;
    table.add(Figure::new(GROUP, "sign a header", "1/s a core", ours).beside("Ed25519 sign", bare));
    let arrival = || Arrival {
        now: clock::now(),
        by: By::Gossip,
    };
    let (ours, bare) = pair(
        scale,
        || {
            let signed = Signed::decode(&bytes, charters.community())?;
            std::hint::black_box(signed.admit(charters, arrival())?);
            Ok(())
        },
        || match verifying.verifies(&bytes, &signature) {
            true => Ok(()),
            false => Err("the signature does not verify".into()),
        },
    )?;
    table.add(
        Figure::new(GROUP, "decode, verify and admit a header", "1/s a core", ours)
            .beside("verify_strict", bare),
    );
    Ok(())
}

fn content(objects: u64) -> Vec<u8> {
    let objects: Vec<String> = (0..objects).map(material::indicator).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    Content::write(Tlp::Green, Tlp::Clear, &objects)
}

fn sealing(
    scale: &Scale,
    table: &mut Table,
    readers: usize,
    author: &Site,
    charters: &CharterChain,
) -> Result<(), Failure> {
    let packed = compress::pack(&content(1))?;
    let keys: Vec<SealingKey> = (0..readers)
        .map(|_| SealingKey::generate(&mut rand::rng()))
        .collect();
    let publics: Vec<SealingPublic> = keys.iter().map(SealingKey::public).collect();
    let own = author.member.sealing().ok_or("no sealing key")?;
    let header = header(author, charters);
    let binding = Binding {
        community: charters.community(),
        author: &header.author,
        kind: header.kind,
        created: header.created,
        expires: header.expires,
        replaces: None,
    };
    let (ours, bare) = pair(
        scale,
        || {
            std::hint::black_box(seal::seal(&packed, &publics, own, &binding, &mut rand::rng())?);
            Ok(())
        },
        || publics.iter().try_for_each(|public| wrap(public).map(drop)),
    )?;
    table.add(
        Figure::new(
            GROUP,
            format!("seal an indicator to {readers}"),
            "1/s a core",
            ours,
        )
        .beside(format!("{readers} HPKE seals"), bare),
    );
    let sealed = seal::seal(&packed, &publics, own, &binding, &mut rand::rng())?;
    let (reader, public) = (keys.last().ok_or("no reader")?, own.public());
    let bare = Sealed::to(reader)?;
    let ours_and_bare = pair(
        scale,
        || {
            let opened = sealed.open(std::slice::from_ref(reader), &[public], &binding)?;
            opened.map(drop).ok_or_else(|| "it is not sealed to us".into())
        },
        || bare.open(),
    )?;
    table.add(
        Figure::new(
            GROUP,
            format!("open one sealed to {readers}"),
            "1/s a core",
            ours_and_bare.0,
        )
        .beside("an HPKE open", ours_and_bare.1),
    );
    Ok(())
}

/// A reader's key and what was wrapped for it, to be opened by bare HPKE.
pub(super) struct Sealed {
    secret: <X25519HkdfSha256 as Kem>::PrivateKey,
    wrapped: Wrapped,
}

impl Sealed {
    /// Wraps for a reader.
    pub(super) fn to(reader: &SealingKey) -> Result<Self, Failure> {
        Ok(Self {
            secret: <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(reader.to_bytes().as_slice())?,
            wrapped: wrap(&reader.public())?,
        })
    }

    /// Opens once.
    pub(super) fn open(&self) -> Result<(), Failure> {
        let (enc, wrapped) = &self.wrapped;
        hpke::single_shot_open::<Aead, Kdf, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.secret,
            enc,
            b"benchmark",
            wrapped,
            b"",
        )?;
        Ok(())
    }
}

type Wrapped = (<X25519HkdfSha256 as Kem>::EncappedKey, Vec<u8>);

/// A content key wrapped for one reader by bare HPKE.
fn wrap(public: &SealingPublic) -> Result<Wrapped, Failure> {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public.as_bytes())?;
    let sealed = hpke::single_shot_seal_with_rng::<Aead, Kdf, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        b"benchmark",
        &[7; 32],
        b"",
        &mut rand::rng(),
    )?;
    Ok(sealed)
}

fn compressing(scale: &Scale, table: &mut Table, objects: u64) -> Result<(), Failure> {
    let content = content(objects);
    let megabytes = content.len() as f64 / 1e6;
    let mut bare_zstd = zstd::bulk::Compressor::new(LEVEL)?;
    let packed = compress::pack(&content)?;
    let bare_packed = bare_zstd.compress(&content)?;
    let what = |verb: &str| match objects {
        1 => format!("{verb} an indicator"),
        _ => format!("{verb} {objects} indicators"),
    };
    let beside = "zstd 3, no dictionary";
    let factor = |bytes: &[u8]| vec![content.len() as f64 / bytes.len() as f64];
    table.add(
        Figure::new(GROUP, what("pack"), "x smaller", factor(&packed.bytes))
            .beside(beside, factor(&bare_packed)),
    );
    let scaled = |rates: Vec<f64>| rates.into_iter().map(|rate| rate * megabytes).collect();
    let (ours, bare) = pair(
        scale,
        || {
            std::hint::black_box(compress::pack(&content)?);
            Ok(())
        },
        || {
            std::hint::black_box(bare_zstd.compress(&content)?);
            Ok(())
        },
    )?;
    table.add(Figure::new(GROUP, what("pack"), "MB/s a core", scaled(ours)).beside(beside, scaled(bare)));
    let mut bare_zstd = zstd::bulk::Decompressor::new()?;
    let (ours, bare) = pair(
        scale,
        || {
            std::hint::black_box(Packed::unpack(&packed)?);
            Ok(())
        },
        || {
            std::hint::black_box(bare_zstd.decompress(&bare_packed, content.len())?);
            Ok(())
        },
    )?;
    table.add(Figure::new(GROUP, what("unpack"), "MB/s a core", scaled(ours)).beside(beside, scaled(bare)));
    Ok(())
}
