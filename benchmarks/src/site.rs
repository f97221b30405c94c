//! Members' nodes in this process: store, exchange and keys, without mesh and API.

use std::sync::Arc;

use hanse_node::clocks::Clocks;
use hanse_node::exchange::{self, Actor, Deriver, Exchange, Nudge, Parts, Retention};
use hanse_node::keystore::Keystore;
use hanse_node::member::Member;
use hanse_node::metrics::Metrics;
use hanse_node::store::index::Engine;
use hanse_node::store::{Reader, Store, StoreSettings};
use hanse_protocol::charter::CharterChain;
use hanse_protocol::charter::member::Profile;
use hanse_protocol::local;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::measure::Failure;

/// Who asks, for the audit log.
pub(crate) fn actor() -> Actor {
    Actor("benchmark".to_owned())
}

/// One member's exchange over a store of its own.
pub(crate) struct Site {
    pub(crate) exchange: Exchange,
    pub(crate) member: Arc<Member>,
    /// What it holds.
    pub(crate) reader: Reader,
    pub(crate) metrics: Arc<Metrics>,
    /// What a healer would be told, until there is one.
    pub(crate) nudges: Option<mpsc::Receiver<Nudge>>,
    /// Removed last: the store lies in it.
    _folder: TempDir,
}

impl Site {
    /// A member that belongs to no community yet.
    pub(crate) fn new(profile: Profile, engine: Engine) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let keystore = Keystore::create(&folder.path().join("keys"))?;
        Member::create(&keystore)?;
        let member = Arc::new(Member::open(profile, &keystore)?);
        let settings = StoreSettings {
            engine,
            ..StoreSettings::default()
        };
        let mut deriver = Deriver::new(Arc::clone(&member));
        let place = folder.path().join("store");
        let (store, _) = Store::open(&place, keystore.master(), &settings, &mut deriver)?;
        let (nudges, nudged) = mpsc::channel(1);
        let reader = store.reader();
        let metrics = Arc::new(Metrics::new(&mut Registry::default()));
        let parts = Parts {
            store,
            member: Arc::clone(&member),
            charters: None,
            addresses: Vec::new(),
            metrics: Arc::clone(&metrics),
            nudges,
            clocks: Clocks::default(),
            opaque_max: u64::MAX,
            retention: Retention::default(),
            lost: false,
            home: None,
        };
        // The thread ends when the last handle of the exchange is dropped.
        let (exchange, _) = exchange::start(parts)?;
        Ok(Self {
            exchange,
            member,
            reader,
            metrics,
            nudges: Some(nudged),
            _folder: folder,
        })
    }

    /// The charters it stands under.
    pub(crate) fn charters(&self) -> Result<Arc<CharterChain>, Failure> {
        let charters = self.exchange.standing().charters.clone();
        charters.ok_or_else(|| "it belongs to no community".into())
    }
}

/// A community: the first site founds it with its keys in memory, `others` members join, each
/// with an index of this engine.
pub(crate) async fn community(others: usize, engine: Engine) -> Result<Vec<Site>, Failure> {
    let founder = Site::new(hanse_testnet::league::profile(0), Engine::Memory)?;
    let found = local::FoundRequest {
        name: "Benchmark".to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    founder.exchange.found(actor(), found).await?;
    let mut sites = vec![founder];
    for number in 1..=others {
        let site = Site::new(hanse_testnet::league::profile(number), engine)?;
        if let Some(founder) = sites.first() {
            join(founder, &site).await?;
        }
        sites.push(site);
    }
    // Everybody is to stand under the newest charter.
    let newest = match sites.first() {
        Some(founder) => founder.charters()?.encode(),
        None => Vec::new(),
    };
    for site in sites.iter().skip(1) {
        site.exchange.charters(newest.clone()).await?;
    }
    Ok(sites)
}

async fn join(founder: &Site, site: &Site) -> Result<(), Failure> {
    let local::RequestReply {
        file, fingerprint, ..
    } = site.exchange.request(actor()).await?;
    let admit = local::AdmitRequest { file, fingerprint };
    let admission = founder.exchange.admit(actor(), admit).await?;
    let join = local::JoinRequest {
        file: admission.invite,
        fingerprint: admission.fingerprint,
    };
    site.exchange.join(actor(), join).await?;
    Ok(())
}
