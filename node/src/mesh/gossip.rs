//! How gossipsub is set up: one topic a community, anonymous messages named by their hash, sizes at
//! which no link falls silent, and scores that only punish forgeries. The figures are those of the
//! project's measurements; the tests hold what must stay true between them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use data_encoding::HEXLOWER;
use hanse_protocol::identity::CommunityId;
use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, IdentTopic, IdentityTransform, Message, MessageAuthenticity, MessageId,
    MetricsConfig, PeerScoreParams, PeerScoreThresholds, TopicScoreParams, ValidationMode,
    WhitelistSubscriptionFilter, score_parameter_decay,
};
use prometheus_client::registry::Registry;

use super::{MeshError, MeshSettings, Profile};

/// Gossipsub with peers held to our one topic, so that no peer can make us remember others.
pub(super) type Gossip = Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// Bytes of a message's name. Twenty are collision-proof among members and keep a full IHAVE small.
const MESSAGE_ID: usize = 20;

/// Largest gossipsub packet, bytes. Twice the largest frame: a packet near the limit silences a link.
const TRANSMIT: usize = 256 << 10;

/// Most bytes of control messages in one packet; a larger packet silences the link.
const CONTROL: usize = 128 << 10;

/// Most message names in one IHAVE or IWANT.
const CONTROL_IDS: usize = 4_000;

/// Heartbeats for which a frame waits for its verdict and can be asked for by IWANT.
const HISTORY: usize = 30;

/// Frames above this many bytes are announced as already held, so that a peer does not send a
/// second copy. Lower than usual, because in a small league every member is every member's neighbour.
pub(super) const IDONTWANT: usize = 4 << 10;

/// Packets that may wait for one peer.
const QUEUE: usize = 2_000;

/// How long a packet may wait for a slow peer. What is dropped after it comes back by healing.
const QUEUE_TIME: Duration = Duration::from_secs(30);

/// How many neighbours a node keeps in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degree {
    /// As many as it has when it chooses.
    pub target: usize,
    /// With fewer it looks for more.
    pub low: usize,
    /// With more it lets some go.
    pub high: usize,
    /// How many it dialled itself, at least.
    pub outbound: usize,
}

impl Degree {
    /// Among equals.
    ///
    /// A frame comes to a node about once from each neighbour but those it passes it on to first: one copy
    /// less than there are neighbours. With 6 (4 to 12), as is usual, a simulated thousand nodes paid 5.3
    /// copies a delivery.
    pub const PEER: Self = Self {
        target: 5,
        low: 4,
        high: 10,
        outbound: 2,
    };
    /// A leaf has hubs for neighbours, and hubs carry everything.
    const LEAF: Self = Self {
        target: 3,
        low: 2,
        high: 6,
        outbound: 1,
    };
    /// A hub carries many members that can only dial out and so have no neighbours but hubs.
    const HUB: Self = Self {
        target: 32,
        low: 24,
        high: 96,
        outbound: 2,
    };

    fn of(profile: Profile) -> Self {
        match profile {
            Profile::Peer => Self::PEER,
            Profile::Hub => Self::HUB,
            Profile::Leaf => Self::LEAF,
        }
    }
}

/// The one topic of a community: `/hanse/1/` and a hash of the community id in hex. The id itself opens
/// a link to any member, and topics are named in metrics.
pub(super) fn topic(community: &CommunityId) -> IdentTopic {
    let hash = blake3::derive_key("hanse gossip topic v1", community.as_bytes());
    IdentTopic::new(format!("/hanse/1/{}", HEXLOWER.encode(&hash)))
}

/// The name of a frame on the wire: the first bytes of its BLAKE3 hash.
pub(super) fn frame_name(frame: &[u8]) -> MessageId {
    let hash = blake3::hash(frame);
    MessageId::new(hash.as_bytes().get(..MESSAGE_ID).unwrap_or_default())
}

/// Gossipsub subscribed to the community's topic.
pub(super) fn gossip(
    community: &CommunityId,
    settings: &MeshSettings,
    registry: &mut Registry,
) -> Result<Gossip, MeshError> {
    let topic = topic(community);
    let filter = WhitelistSubscriptionFilter(HashSet::from([topic.hash()]));
    #[cfg(test)]
    let transmit = settings.transmit.unwrap_or(TRANSMIT);
    #[cfg(not(test))]
    let transmit = TRANSMIT;
    let degree = Degree::of(settings.profile);
    #[cfg(feature = "simulation")]
    let degree = settings.degree.unwrap_or(degree);
    let config = config(&topic, degree, transmit)?;
    let mut gossip = Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .map_err(|reason| MeshError::Gossip(reason.to_owned()))?
        .with_metrics(
            registry.sub_registry_with_prefix("hanse_gossip"),
            MetricsConfig {
                max_topics: 1,
                max_never_subscribed_topics: 1,
                score_buckets: vec![-800.0, -400.0, -200.0, -100.0, 0.0],
            },
        );
    let (params, thresholds) = score(&topic);
    gossip
        .with_peer_score(params, thresholds)
        .map_err(MeshError::Gossip)?;
    gossip
        .subscribe(&topic)
        .map_err(|reason| MeshError::Gossip(reason.to_string()))?;
    Ok(gossip)
}

/// The topic of a community and the settings of an ordinary member's gossipsub, bare: for
/// benchmarks, which measure a mesh of the same settings beside ours.
///
/// # Errors
/// [`MeshError::Gossip`] if the settings do not fit each other, which tests hold.
pub fn bare(community: &CommunityId) -> Result<(IdentTopic, Config), MeshError> {
    let topic = topic(community);
    let config = config(&topic, Degree::PEER, TRANSMIT)?;
    Ok((topic, config))
}

fn config(topic: &IdentTopic, degree: Degree, transmit: usize) -> Result<Config, MeshError> {
    let hash = topic.hash();
    ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .allow_self_origin(true)
        .message_id_fn(|message: &Message| frame_name(&message.data))
        .max_transmit_size(transmit)
        .max_transmit_size_for_topic(transmit, hash.clone())
        .max_control_message_size(CONTROL)
        .max_control_messages_sent(CONTROL_IDS)
        .history_length(HISTORY)
        .history_gossip(3)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .heartbeat_interval(Duration::from_secs(1))
        .duplicate_cache_time(Duration::from_secs(600))
        .flood_publish(false)
        .idontwant_message_size_threshold(IDONTWANT)
        .idontwant_on_publish(true)
        .connection_handler_queue_len(QUEUE)
        .publish_queue_duration(QUEUE_TIME)
        .forward_queue_duration(QUEUE_TIME)
        .mesh_n(degree.target)
        .mesh_n_low(degree.low)
        .mesh_n_high(degree.high)
        .mesh_outbound_min(degree.outbound)
        // The builder checks mesh sizes only of topics it knows, so they are named for ours as well.
        .mesh_n_for_topic(degree.target, hash.clone())
        .mesh_n_low_for_topic(degree.low, hash.clone())
        .mesh_n_high_for_topic(degree.high, hash.clone())
        .mesh_outbound_min_for_topic(degree.outbound, hash)
        .build()
        .map_err(|reason| MeshError::Gossip(reason.to_string()))
}

/// Only a frame refused as forged costs a courier anything: the square of their number, times a
/// hundred, fading over ten minutes. Quiet members, slow members and members behind one address are
/// normal here and cost nothing.
fn score(topic: &IdentTopic) -> (PeerScoreParams, PeerScoreThresholds) {
    let frames = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -100.0,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_secs(600)),
        ..TopicScoreParams::default()
    };
    let params = PeerScoreParams {
        topics: HashMap::from([(topic.hash(), frames)]),
        topic_score_cap: 0.0,
        app_specific_weight: 0.0,
        ip_colocation_factor_weight: 0.0,
        // Broken IWANT promises count here, and a slow link breaks promises.
        behaviour_penalty_weight: 0.0,
        slow_peer_weight: 0.0,
        retain_score: Duration::from_secs(600),
        ..PeerScoreParams::default()
    };
    let thresholds = PeerScoreThresholds {
        gossip_threshold: -200.0,
        publish_threshold: -400.0,
        graylist_threshold: -800.0,
        accept_px_threshold: 0.0,
        opportunistic_graft_threshold: 0.0,
    };
    (params, thresholds)
}

#[cfg(test)]
mod tests {
    use hanse_protocol::limits;

    use super::*;

    const PROFILES: [Profile; 3] = [Profile::Peer, Profile::Hub, Profile::Leaf];

    /// An IHAVE carries each name with a tag and a length byte.
    const NAME_ON_WIRE: usize = MESSAGE_ID + 2;

    #[test]
    fn no_packet_of_ours_can_silence_a_link() {
        let topic = topic(&CommunityId([7; 32]));
        for profile in PROFILES {
            let config = config(&topic, Degree::of(profile), TRANSMIT).unwrap();
            assert_eq!(frame_name(b"a frame").0.len(), MESSAGE_ID);
            assert!(config.max_control_messages_sent() * NAME_ON_WIRE < config.max_control_message_size());
            assert!(config.max_control_message_size() < config.max_transmit_size());
            assert!(config.max_transmit_size() >= 2 * limits::FRAME);
            assert!(config.max_transmit_size_for_topic(&topic.hash()) >= 2 * limits::FRAME);
        }
    }

    #[test]
    fn mesh_sizes_fit_each_other_by_default_and_for_the_topic() {
        let topic = topic(&CommunityId([7; 32]));
        for profile in PROFILES {
            let degree = Degree::of(profile);
            let config = config(&topic, Degree::of(profile), TRANSMIT).unwrap();
            let hash = topic.hash();
            assert!(
                degree.outbound <= degree.low && degree.low <= degree.target && degree.target <= degree.high
            );
            assert!(degree.outbound * 2 <= degree.target);
            assert_eq!(
                (config.mesh_n(), config.mesh_n_low(), config.mesh_n_high()),
                (degree.target, degree.low, degree.high)
            );
            assert_eq!(config.mesh_n_for_topic(&hash), degree.target);
            assert_eq!(config.mesh_n_low_for_topic(&hash), degree.low);
            assert_eq!(config.mesh_n_high_for_topic(&hash), degree.high);
            assert_eq!(config.mesh_outbound_min_for_topic(&hash), degree.outbound);
        }
    }

    #[test]
    fn frames_wait_for_their_verdict_longer_than_they_are_gossiped() {
        let config = config(&topic(&CommunityId([7; 32])), Degree::PEER, TRANSMIT).unwrap();
        assert!(config.validate_messages() && !config.flood_publish() && config.allow_self_origin());
        assert!(config.history_length() > config.history_gossip());
        assert!(config.heartbeat_interval() * HISTORY as u32 <= config.duplicate_cache_time());
        assert!(config.idontwant_message_size_threshold() < limits::FRAME_FLUSH);
    }

    #[test]
    fn only_forgeries_cost_score_and_one_is_forgiven() {
        let (params, thresholds) = score(&topic(&CommunityId([7; 32])));
        params.validate().unwrap();
        thresholds.validate().unwrap();
        let frames = params.topics.values().next().unwrap();
        let after = |forgeries: f64| frames.invalid_message_deliveries_weight * forgeries * forgeries;
        assert!(after(1.0) > thresholds.gossip_threshold);
        assert!(after(3.0) < thresholds.graylist_threshold);
        assert_eq!(params.behaviour_penalty_weight + params.slow_peer_weight, 0.0);
        assert_eq!(
            frames.mesh_message_deliveries_weight + params.ip_colocation_factor_weight,
            0.0
        );
    }
}
