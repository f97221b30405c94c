//! What time the other members' nodes say it is, and whether ours is astray from it. Each signed
//! presence tells its node's clock; the median of the members' clocks, ours among them, is the
//! community's. What our clock does after a word was heard shows at once, since the words age by the
//! machine's steady clock.
//!
//! Anybody may keep a word and play it to us later, when its node is silent, and then it is of an
//! earlier time. So what others passed on cannot say that our clock is ahead; only what came over the
//! node's own link can.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hanse_protocol::identity::{Handle, NodeId};
use hanse_protocol::limits;
use hanse_protocol::timestamp::Timestamp;

/// How long a word counts: three times what passes between two.
const FRESH: Duration = Duration::from_secs(3 * 60);

/// One node's word.
#[derive(Clone, Copy, Debug)]
struct Word {
    said: Timestamp,
    heard: Instant,
}

impl Word {
    /// What its node's clock shows at `at`, if it counts still.
    fn aged(&self, at: Instant) -> Option<Timestamp> {
        let age = at.saturating_duration_since(self.heard);
        (age < FRESH).then(|| self.said.after(age))
    }
}

/// What one node said.
#[derive(Clone, Debug)]
struct Voice {
    member: Handle,
    /// The latest it ever said: what is not later may have been kept and played again.
    latest: Timestamp,
    /// Its last word over its own link.
    direct: Option<Word>,
    /// Its last word by whichever way.
    any: Word,
}

impl Voice {
    /// By how many milliseconds our clock, which shows `now` at `at`, is behind this node's, and when
    /// that was heard. Nothing if it says nothing that counts.
    fn behind(&self, now: i128, at: Instant) -> Option<(Instant, i128)> {
        let behind = |word: Word| {
            let aged = word.aged(at)?;
            Some((word.heard, i128::from(aged.as_millis()) - now))
        };
        let skew = i128::try_from(limits::SKEW.as_millis()).unwrap_or(i128::MAX);
        let passed_on = behind(self.any).filter(|(_, behind)| *behind >= -skew);
        passed_on.or_else(|| behind(self.direct?))
    }
}

/// Other nodes' clocks, shared by who hears presence and who publishes.
#[derive(Clone, Debug, Default)]
pub struct Clocks(Arc<Mutex<HashMap<NodeId, Voice>>>);

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
    /// Notes that a member's node said what time it is, over its own link or passed on by others. A word
    /// that is not newer than any of that node before says nothing.
    pub fn hear(&self, node: NodeId, member: Handle, said: Timestamp, heard: Instant, direct: bool) {
        let word = Word { said, heard };
        let mut voices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let voice = voices.entry(node);
        let known = matches!(voice, Entry::Occupied(_));
        let voice = voice.or_insert_with(|| Voice {
            member: member.clone(),
            latest: said,
            direct: None,
            any: word,
        });
        if known && said <= voice.latest {
            return;
        }
        (voice.member, voice.latest, voice.any) = (member, said, word);
        if direct {
            voice.direct = Some(word);
        }
    }

    /// Whether some other member says that `now` is about what time it is, at the steady clock's `at`,
    /// and most do not say otherwise.
    pub fn vouch(&self, now: Timestamp, at: Instant) -> bool {
        let agrees = |voice: &Voice| {
            let aged = voice.any.aged(at);
            aged.is_some_and(|aged| aged.since(now).max(now.since(aged)) <= limits::SKEW)
        };
        let agreed = {
            let voices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            voices.values().any(agrees)
        };
        agreed && self.astray(now, at).is_none()
    }

    /// Whether our clock is astray, if it says `now` at the steady clock's `at`.
    pub fn astray(&self, now: Timestamp, at: Instant) -> Option<Astray> {
        let now = i128::from(now.as_millis());
        // One voice a member, however many nodes it has: the node that spoke last.
        let mut voices: HashMap<Handle, (Instant, i128)> = HashMap::new();
        {
            let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for node in heard.values() {
                let Some(said) = node.behind(now, at) else {
                    continue;
                };
                let voice = voices.entry(node.member.clone()).or_insert(said);
                if said.0 > voice.0 {
                    *voice = said;
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

    fn hear(clocks: &Clocks, (node, member): (u8, &str), said: Timestamp, at: Instant, direct: bool) {
        clocks.hear(NodeId([node; 32]), member.parse().unwrap(), said, at, direct);
    }

    fn heard(voices: &[(u8, &str, Timestamp)], at: Instant) -> Clocks {
        let clocks = Clocks::default();
        for (node, member, said) in voices {
            hear(&clocks, (*node, member), *said, at, true);
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
        for node in [(1, "port-city"), (2, "st-mary")] {
            hear(&clocks, node, noon().before(HOUR), at, true);
        }
        assert_eq!(clocks.astray(noon(), at), None);
        assert_eq!(
            clocks.astray(noon().after(HOUR), at + FRESH),
            None,
            "nobody spoke lately"
        );
    }

    /// Mallory kept what two nodes said that are off since, and plays it again, with a word of her own.
    #[test]
    fn words_of_nodes_that_are_off_count_for_nothing_when_played_again() {
        let start = Instant::now();
        let clocks = heard(&[(1, "port-city", noon()), (2, "st-mary", noon())], start);
        let at = start + HOUR;
        let now = noon().after(HOUR);
        // What was heard then is not fresh any longer; what was heard of then is known all the same.
        for (node, kept) in [((1, "port-city"), noon()), ((2, "st-mary"), noon().before(HOUR))] {
            hear(&clocks, node, kept, at, false);
        }
        hear(&clocks, (3, "mallory"), noon(), at, true);
        assert_eq!(clocks.astray(now, at), None);
        // After a restart nothing of them is known.
        let anew = Clocks::default();
        for node in [(1, "port-city"), (2, "st-mary")] {
            hear(&anew, node, noon(), at, false);
        }
        hear(&anew, (3, "mallory"), noon(), at, true);
        assert_eq!(anew.astray(now, at), None);
        // Over their own links they would count, and passed on if they say that ours is behind.
        for node in [(1, "port-city"), (2, "st-mary")] {
            hear(&anew, node, noon().after(Duration::from_secs(1)), at, true);
        }
        assert!(anew.astray(now, at).unwrap().ahead);
        let passed_on = Clocks::default();
        for node in [(1, "port-city"), (2, "st-mary")] {
            hear(&passed_on, node, now.after(HOUR), at, false);
        }
        assert!(!passed_on.astray(now, at).unwrap().ahead);
    }

    /// A word over the node's own link is not made void by a later one that others were quicker to bring.
    #[test]
    fn what_others_pass_on_hides_nothing_that_was_said_directly() {
        let at = Instant::now();
        let clocks = heard(&[(1, "port-city", noon()), (2, "st-mary", noon())], at);
        let later = Duration::from_secs(60);
        for node in [(1, "port-city"), (2, "st-mary")] {
            hear(&clocks, node, noon().after(later), at + later, false);
        }
        assert!(clocks.astray(noon().after(HOUR), at + later).unwrap().ahead);
    }
}
