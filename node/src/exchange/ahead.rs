//! What can be found out of records before their turn comes, on all cores: whether their signatures
//! are their authors', and what their bodies hold. It decides nothing: the exchange's thread asks
//! everything else, and whatever was not found ahead it finds itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hanse_protocol::admission::{Signed, Unsealed, Verified};
use hanse_protocol::charter::CharterChain;
use hanse_protocol::frame::Carried;

use super::ExchangeError;
use crate::member::Member;

/// Fewer records than this are not worth a thread.
const WORTH: usize = 8;

/// Bytes of content that may be opened ahead in one batch and wait for their turn: a body of a few
/// hundred bytes may hold megabytes. What finds no room is opened when its turn comes.
const OPENED: usize = 16 << 20;

/// What is left of it, for all cores.
struct Room(AtomicUsize);

impl Room {
    /// Takes so many bytes, if they are left.
    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

/// What was found of a record.
pub(super) struct Found {
    pub(super) verified: Verified,
    pub(super) unsealed: Option<Unsealed>,
}

/// A record, and what was found of it ahead.
pub(super) type Looked = (Carried, Option<Found>);

/// Looks at records ahead, in order.
///
/// # Errors
/// [`ExchangeError::Stopped`] if the runtime is ending.
pub(super) async fn look(
    mut records: Vec<Carried>,
    charters: Arc<CharterChain>,
    member: Arc<Member>,
) -> Result<Vec<Looked>, ExchangeError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = records.len().div_ceil(cores).max(WORTH);
    let room = Arc::new(Room(AtomicUsize::new(OPENED)));
    let mut shares = Vec::new();
    while !records.is_empty() {
        let rest = records.split_off(share.min(records.len()));
        let some = std::mem::replace(&mut records, rest);
        let (charters, member, room) = (Arc::clone(&charters), Arc::clone(&member), Arc::clone(&room));
        shares.push(tokio::task::spawn_blocking(move || {
            let look = |carried| look_at(carried, &charters, &member, &room);
            some.into_iter().map(look).collect::<Vec<_>>()
        }));
    }
    let mut looked = Vec::new();
    for share in shares {
        looked.extend(share.await.map_err(|_| ExchangeError::Stopped)?);
    }
    Ok(looked)
}

fn look_at(carried: Carried, charters: &CharterChain, member: &Member, room: &Room) -> Looked {
    let verified = Signed::decode(&carried.header, charters.community())
        .and_then(|signed| signed.verify(charters))
        .ok();
    let found = verified.map(|verified| Found {
        unsealed: carried
            .body
            .as_ref()
            .and_then(|body| verified.unseal(body, &member.reader, charters, |bytes| room.take(bytes))),
        verified,
    });
    (carried, found)
}
