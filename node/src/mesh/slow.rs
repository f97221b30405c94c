//! Peers that do not take what we send. For some seconds our publishing slows down for them; a link
//! over which it goes on is closed, since it fills our memory and brings its owner nothing. Given the
//! time.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

/// How long it is remembered that a link was closed for slowness; until then its owner slows down
/// nobody.
const MEMORY: Duration = Duration::from_secs(10 * 60);

/// What is done about a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// Our publishing slows down.
    SlowDown,
    /// Nothing.
    Wait,
    /// The link is closed.
    HangUp,
}

/// Who was reported slow.
#[derive(Debug)]
pub(super) struct Slow {
    /// How long a peer may be slow before its link is closed.
    patience: Duration,
    cases: HashMap<PeerId, Case>,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    since: Instant,
    last: Instant,
    hung_up: Option<Instant>,
}

impl Slow {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            cases: HashMap::new(),
        }
    }

    /// How long a peer's slowness slows down our publishing: beyond that it is no burst that is too
    /// much for it, and the others need not wait.
    fn sympathy(&self) -> Duration {
        self.patience / 3
    }

    /// How long after a report another counts as the same slowness.
    fn lull(&self) -> Duration {
        self.patience * 2 / 3
    }

    /// A peer was reported slow, which happens once a heartbeat as long as it is.
    pub(super) fn report(&mut self, peer: PeerId, now: Instant) -> Response {
        let (patience, sympathy, lull) = (self.patience, self.sympathy(), self.lull());
        let lately = |at: Instant, span| now.saturating_duration_since(at) < span;
        self.cases
            .retain(|_, case| lately(case.last, lull) || case.hung_up.is_some_and(|at| lately(at, MEMORY)));
        let case = self.cases.entry(peer).or_insert(Case {
            since: now,
            last: now,
            hung_up: None,
        });
        if !lately(case.last, lull) {
            case.since = now;
        }
        case.last = now;
        if !lately(case.since, patience) {
            (case.since, case.hung_up) = (now, Some(now));
            return Response::HangUp;
        }
        if case.hung_up.is_none() && lately(case.since, sympathy) {
            Response::SlowDown
        } else {
            Response::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn one_that_takes_nothing_slows_us_down_for_ten_seconds_and_is_hung_up_on_after_thirty() {
        let start = Instant::now();
        let (mut slow, peer) = (Slow::new(30 * SECOND), PeerId::random());
        let responses: Vec<_> = (0..45).map(|n| slow.report(peer, start + n * SECOND)).collect();
        assert!(
            responses[..10]
                .iter()
                .all(|response| *response == Response::SlowDown)
        );
        assert!(
            responses[10..30]
                .iter()
                .all(|response| *response == Response::Wait)
        );
        assert_eq!(responses[30], Response::HangUp);
        assert!(
            responses[31..].iter().all(|response| *response == Response::Wait),
            "when it comes back the others do not wait for it again"
        );
        assert_eq!(
            slow.report(peer, start + MEMORY * 2),
            Response::SlowDown,
            "some day it is forgiven"
        );
    }

    #[tokio::test]
    async fn one_that_is_slow_now_and_then_is_never_hung_up_on() {
        let start = Instant::now();
        let (mut slow, peer) = (Slow::new(30 * SECOND), PeerId::random());
        for n in 0..100 {
            assert_eq!(slow.report(peer, start + n * 20 * SECOND), Response::SlowDown);
        }
    }
}
