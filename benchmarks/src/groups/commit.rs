//! Admission to durable commit: records as healing brings them, a hundred at a time, through the
//! real exchange into a store on disk, beside nothing but the verification of their signatures on
//! all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use hanse_node::clock;
use hanse_node::store::entry::Origin;
use hanse_node::store::index::Engine;
use hanse_protocol::compress;
use hanse_protocol::content::Content;
use hanse_protocol::frame::Carried;
use hanse_protocol::identity::NodeId;
use hanse_protocol::record::{BodyHash, Header, Kind};
use hanse_protocol::seal::{self, Binding, Body};
use hanse_protocol::tlp::Tlp;

use super::protocol::Sealed;
use crate::material;
use crate::measure::{Failure, Scale, name};
use crate::site::{Site, community};
use crate::table::{Aim, Figure, Table};

const GROUP: &str = "commit";
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Records handed over at once.
const BATCH: usize = 100;

/// Batches on their way at once: while one is committed the next is ready.
const WAITING: usize = 8;

pub(super) async fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    for engine in &scale.engines {
        for (sealed, count) in [(false, scale.size(40_000, 300)), (true, scale.size(10_000, 200))] {
            one(scale, table, *engine, sealed, count).await?;
        }
    }
    Ok(())
}

async fn one(
    scale: &Scale,
    table: &mut Table,
    engine: Engine,
    sealed: bool,
    count: usize,
) -> Result<(), Failure> {
    let (mut ours, mut bare, mut opening) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        let sites = community(1, engine).await?;
        let [author, receiver] = sites.as_slice() else {
            return Err("a community of two".into());
        };
        let records = records(author, receiver, sealed, count, 1)?;
        bare.push(verify(author, count, None)?);
        if sealed {
            let key = receiver.member.sealing().ok_or("no sealing key")?;
            opening.push(verify(author, count, Some(&Sealed::to(key)?))?);
        }
        let started = Instant::now();
        let batches: Vec<Vec<Carried>> = records.chunks(BATCH).map(<[Carried]>::to_vec).collect();
        let mut admitted = 0;
        let mut under_way = futures::stream::iter(batches)
            .map(|batch| receiver.exchange.heal(NodeId([0; 32]), batch, Origin::Heal))
            .buffered(WAITING);
        while let Some(healed) = under_way.next().await {
            admitted += healed?.admitted;
        }
        let took = started.elapsed();
        if admitted != count {
            return Err(format!("{admitted} of {count} records were admitted").into());
        }
        ours.push(count as f64 / took.as_secs_f64());
    }
    let kind = if sealed { "sealed to us" } else { "open" };
    let what = format!("admit and commit, {kind}, {}", name(engine));
    let figure = Figure::new(GROUP, what, "records/s", ours);
    let half = Aim::TimesAtLeast(0.5);
    table.add(figure.clone().beside("verify_strict, all cores", bare).aim(half));
    // Opening one costs as much as verifying three: this is what a sealed record asks of any node.
    if sealed {
        let beside = "verify_strict and HPKE open, all cores";
        table.add(figure.beside(beside, opening).aim(half));
    }
    Ok(())
}

/// A chain of records with so many indicators each.
pub(super) fn records(
    author: &Site,
    reader: &Site,
    sealed: bool,
    count: usize,
    objects: usize,
) -> Result<Vec<Carried>, Failure> {
    let charters = author.charters()?;
    let community = *charters.community();
    let member = &author.member;
    let own = member.sealing().ok_or("no sealing key")?;
    let handle = &reader.member.profile.handle;
    let theirs = charters.charter().member(handle);
    let theirs = theirs.and_then(|member| member.sealing_key());
    let readers = [*theirs.ok_or("no key to seal to")?];
    // A millisecond each, as an author in a hurry makes them; ahead by less than clocks may differ.
    let first_made = clock::now();
    let mut prev = None;
    let mut records = Vec::with_capacity(count);
    for (seq, number) in (1..).zip(0..count) {
        let created = first_made.after(Duration::from_millis(seq));
        let expires = created.after(DAY);
        let first = u64::try_from(number * objects)?;
        let texts: Vec<String> = (first..).take(objects).map(material::indicator).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let packed = compress::pack(&Content::write(Tlp::Green, Tlp::Clear, &texts))?;
        let binding = Binding {
            community: &community,
            author: &member.profile.handle,
            kind: Kind::Objects,
            created,
            expires,
            replaces: None,
        };
        let body = if sealed {
            Body::Sealed(seal::seal(&packed, &readers, own, &binding, &mut rand::rng())?)
        } else {
            Body::Open(packed)
        };
        let body = body.encode();
        let header = Header {
            author: member.profile.handle.clone(),
            lane: 0,
            charter: charters.newest().reference(),
            epoch: 0,
            seq,
            prev,
            created,
            expires,
            kind: Kind::Objects,
            replaces: None,
            body_length: u32::try_from(body.len())?,
            body_hash: BodyHash::of(&body),
        };
        prev = Some(header.id(&community, &member.signing.verifying_key()));
        records.push(Carried {
            header: header.sign(&community, &member.signing),
            body: Some(body),
        });
    }
    Ok(records)
}

/// Signatures that all cores together verify a second, each over as many bytes as a header has; with
/// a wrapped key to open beside each.
fn verify(author: &Site, count: usize, sealed: Option<&Sealed>) -> Result<f64, Failure> {
    const HEADER: usize = 330;
    let (key, message) = (&author.member.signing, [7; HEADER]);
    let (signature, public) = (key.sign(&message), key.verifying_key());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, verified) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let opens = sealed.is_none_or(|sealed| sealed.open().is_ok());
                    let holds = opens && public.verifies(&message, &signature);
                    verified.fetch_add(usize::from(holds), Ordering::Relaxed);
                }
            });
        }
    });
    let took = started.elapsed();
    match verified.into_inner() == count {
        true => Ok(count as f64 / took.as_secs_f64()),
        false => Err("a signature does not verify".into()),
    }
}
