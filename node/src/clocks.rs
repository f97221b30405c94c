//! What time the other members' nodes say it is, and whether ours is astray from it. Each signed
//! presence tells its node's clock; the median of the members' clocks, ours among them, is the
//! community's. What our clock does after a word was heard shows at once, since the words age by the
//! machine's steady clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hanse_protocol::identity::{Handle, NodeId};
use hanse_protocol::limits;
use hanse_protocol::timestamp::Timestamp;

/// How long a word counts: three times what passes between two.
const FRESH: Duration = Duration::from_secs(3 * 60);

/// One node's word.
#[derive(Clone, Debug)]
struct Word {
    member: Handle,
    said: Timestamp,
    heard: Instant,
}

/// Other nodes' clocks, shared by who hears presence and who publishes.
#[derive(Clone, Debug, Default)]
pub struct Clocks(Arc<Mutex<HashMap<NodeId, Word>>>);

/// Our clock is further from the community's than clocks may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Astray {
    /// By how much.
    pub by: Duration,
    /// Whether ours is ahead.
    pub ahead: bool,
    /// How many other members' clocks were asked.
    pub members: usize,
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, ahead, members } = self;
        let way = if *ahead { "ahead of" } else { "behind" };
        let seconds = by.as_secs();
        write!(
            f,
            "this node's clock is {seconds}s {way} those of {members} other members: nothing is published before it is right"
        )
    }
}

impl Clocks {
    /// Notes that a member's node said what time it is. A word that is not newer than the last one of
    /// that node says nothing: it may have been kept and played again.
    pub fn hear(&self, node: NodeId, member: Handle, said: Timestamp, heard: Instant) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |word: &Word| heard.saturating_duration_since(word.heard) < FRESH;
        if words
            .get(&node)
            .is_some_and(|word| word.said >= said && fresh(word))
        {
            return;
        }
        words.insert(node, Word { member, said, heard });
    }

    /// Whether some other member says that `now` is about what time it is, at the steady clock's `at`,
    /// and most do not say otherwise.
    pub fn vouch(&self, now: Timestamp, at: Instant) -> bool {
        let agrees = |word: &Word| {
            let age = at.saturating_duration_since(word.heard);
            let aged = word.said.after(age);
            age < FRESH && aged.since(now).max(now.since(aged)) <= limits::SKEW
        };
        let agreed = {
            let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            words.values().any(agrees)
        };
        agreed && self.astray(now, at).is_none()
    }

    /// Whether our clock is astray, if it says `now` at the steady clock's `at`.
    pub fn astray(&self, now: Timestamp, at: Instant) -> Option<Astray> {
        let now = i128::from(now.as_millis());
        // One voice a member, however many nodes it has: the node that spoke last.
        let mut voices: HashMap<Handle, (Instant, i128)> = HashMap::new();
        {
            let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            words.retain(|_, word| at.saturating_duration_since(word.heard) < FRESH);
            for word in words.values() {
                let aged = word.said.after(at.saturating_duration_since(word.heard));
                let behind = i128::from(aged.as_millis()) - now;
                let voice = voices.entry(word.member.clone()).or_insert((word.heard, behind));
                if word.heard > voice.0 {
                    *voice = (word.heard, behind);
                }
            }
        }
        let members = voices.len();
        let mut behind: Vec<i128> = voices.into_values().map(|(_, behind)| behind).collect();
        // Ours is one of the community's clocks, and of two that differ nobody knows which is right.
        behind.push(0);
        let median = median(behind);
        let by = Duration::from_millis(u64::try_from(median.unsigned_abs()).unwrap_or(u64::MAX));
        (by > limits::SKEW).then_some(Astray {
            by,
            ahead: median < 0,
            members,
        })
    }
}

/// The middle one; of two in the middle, the one nearer to zero.
fn median(mut values: Vec<i128>) -> i128 {
    values.sort_unstable();
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    let lower = values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default();
    if lower.unsigned_abs() < upper.unsigned_abs() {
        lower
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn noon() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn heard(voices: &[(u8, &str, Timestamp)], at: Instant) -> Clocks {
        let clocks = Clocks::default();
        for (node, member, said) in voices {
            clocks.hear(NodeId([*node; 32]), member.parse().unwrap(), *said, at);
        }
        clocks
    }

    #[test]
    fn a_clock_that_most_others_disagree_with_is_astray() {
        let at = Instant::now();
        let ahead = noon().after(HOUR);
        let three = [
            (1, "port-city", ahead),
            (2, "st-mary", ahead),
            (3, "region-cert", noon()),
        ];
        let two = heard(&three[..2], at);
        let astray = two.astray(noon(), at).unwrap();
        assert_eq!((astray.by, astray.ahead, astray.members), (HOUR, false, 2));
        assert!(two.astray(noon().after(2 * HOUR), at).unwrap().ahead);
        assert_eq!(two.astray(noon().after(HOUR).before(limits::SKEW), at), None);
        assert_eq!(heard(&three[..1], at).astray(noon(), at), None, "one against one");
        assert!(!heard(&three[..1], at).vouch(noon(), at) && heard(&three, at).vouch(noon(), at));
        assert!(!two.vouch(noon(), at) && two.vouch(ahead, at) && !Clocks::default().vouch(noon(), at));
        assert_eq!(heard(&three, at).astray(noon(), at), None, "two against two");
    }

    #[test]
    fn a_member_with_many_nodes_has_one_voice() {
        let at = Instant::now();
        let ahead = noon().after(HOUR);
        let voices = [
            (1, "mallory", ahead),
            (2, "mallory", ahead),
            (3, "mallory", ahead),
            (4, "st-mary", noon()),
        ];
        assert_eq!(heard(&voices, at).astray(noon(), at), None);
    }

    #[test]
    fn our_clocks_jump_shows_before_the_next_word_and_is_over_when_it_is_right_again() {
        let at = Instant::now();
        let clocks = heard(&[(1, "port-city", noon()), (2, "st-mary", noon())], at);
        let minute = Duration::from_secs(60);
        assert_eq!(clocks.astray(noon().after(minute), at + minute), None);
        let jumped = clocks.astray(noon().before(HOUR), at + minute).unwrap();
        assert_eq!((jumped.by, jumped.ahead), (HOUR + minute, false));
        assert_eq!(clocks.astray(noon().after(minute), at + minute), None);
    }

    #[test]
    fn words_played_again_and_words_grown_old_do_not_count() {
        let at = Instant::now();
        let clocks = heard(&[(1, "port-city", noon()), (2, "st-mary", noon())], at);
        for (node, member) in [(1, "port-city"), (2, "st-mary")] {
            clocks.hear(
                NodeId([node; 32]),
                member.parse().unwrap(),
                noon().before(HOUR),
                at,
            );
        }
        assert_eq!(clocks.astray(noon(), at), None);
        assert_eq!(
            clocks.astray(noon().after(HOUR), at + FRESH),
            None,
            "nobody spoke lately"
        );
    }
}
