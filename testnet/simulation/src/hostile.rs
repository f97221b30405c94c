//! Members that are no friends: each is listed, connected and believed until it shows.

use std::time::Duration;

use hanse_node::sender::Filling;
use hanse_protocol::frame::{Carried, Frame};

use crate::desk::Held;

/// What a hostile member does beside taking part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malice {
    /// It passes on frames whose records somebody else is said to have signed.
    Forger,
    /// It sends records of others again and again, in frames nobody has seen.
    Replayer,
    /// It passes nothing on, and says to whoever compares that there is nothing to be had.
    Withholder,
}

impl Malice {
    /// That of the `number`-th hostile member.
    pub(crate) fn of(number: usize) -> Self {
        match number % 3 {
            0 => Self::Forger,
            1 => Self::Replayer,
            _ => Self::Withholder,
        }
    }

    /// How long it waits between two misdeeds; none commits none.
    pub(crate) fn pause(self) -> Option<Duration> {
        match self {
            Self::Forger => Some(Duration::from_secs(1)),
            Self::Replayer => Some(Duration::from_millis(200)),
            Self::Withholder => None,
        }
    }

    /// The next misdeed's frame, of what it holds.
    pub(crate) fn misdeed(self, held: &Held, number: usize) -> Option<Frame> {
        let mut frame = Filling::default();
        let victim = Carried::clone(held.shelf.some(number)?);
        match self {
            Self::Forger => drop(frame.put(forged(victim, number))),
            Self::Replayer => {
                // The same record so often that the frame is a new one.
                for _ in 0..2 + number % 200 {
                    drop(frame.put(victim.clone()));
                }
            }
            Self::Withholder => return None,
        }
        frame.take()
    }
}

/// The record with another signature, of the right length.
fn forged(mut record: Carried, number: usize) -> Carried {
    let end = record.header.len();
    for (place, byte) in record.header.iter_mut().skip(end.saturating_sub(8)).enumerate() {
        *byte ^= number.to_le_bytes().get(place % 8).copied().unwrap_or_default() | 1;
    }
    record
}
