//! A token bucket, and the pace of our own publishing made from one. Both are given the time.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens that come at a steady rate, up to a most.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    most: f64,
    a_second: f64,
    counted: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(most: f64, a_second: f64, now: Instant) -> Self {
        Self {
            tokens: most,
            most,
            a_second,
            counted: now,
        }
    }

    /// Takes `price` tokens if they are there.
    pub(super) fn take(&mut self, price: f64, now: Instant) -> bool {
        self.refill(now);
        let enough = self.tokens >= price;
        if enough {
            self.tokens -= price;
        }
        enough
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.a_second).min(self.most);
        self.counted = now;
    }
}

/// Bytes a second a node publishes when nobody is slow.
const FASTEST: f64 = (8 << 20) as f64;

/// Bytes a second below which slow peers do not push it; healing serves them.
const SLOWEST: f64 = (256 << 10) as f64;

/// Bytes that may go at once. With [`LEAST`] a burst stays under half of a peer's queue.
const BURST: f64 = (2 << 20) as f64;

/// Bytes a frame counts for at least, since a peer's queue counts packets.
const LEAST: usize = 4 << 10;

/// How often at most the pace is halved: a peer is reported slow once a heartbeat.
const PATIENCE: Duration = Duration::from_secs(1);

/// How fast we publish: halved when a peer cannot keep up, regained by a tenth each quiet second.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    bucket: Bucket,
    changed: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bucket: Bucket::new(BURST, FASTEST, now),
            changed: now,
        }
    }

    /// Whether a frame of this many bytes may go now.
    pub(super) fn allows(&mut self, frame: usize, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.changed);
        if quiet >= PATIENCE && self.bucket.a_second < FASTEST {
            let regained = self.bucket.a_second * 1.1_f64.powf(quiet.as_secs_f64().min(60.0));
            self.bucket.a_second = regained.min(FASTEST);
            self.changed = now;
        }
        self.bucket.take(frame.max(LEAST) as f64, now)
    }

    /// A peer was reported slow.
    pub(super) fn slow(&mut self, now: Instant) {
        if now.saturating_duration_since(self.changed) >= PATIENCE || self.bucket.a_second >= FASTEST {
            self.bucket.refill(now);
            self.bucket.a_second = (self.bucket.a_second / 2.0).max(SLOWEST);
            self.changed = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(pace: &mut Pace, now: Instant) -> usize {
        (0..100_000).take_while(|_| pace.allows(1, now)).count()
    }

    #[tokio::test]
    async fn a_burst_stays_under_half_a_queue_and_then_keeps_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(taken(&mut pace, start), 512);
        assert_eq!(taken(&mut pace, start + SECOND / 8), 256);
    }

    #[tokio::test]
    async fn slow_peers_halve_the_pace_once_a_second_and_quiet_brings_it_back() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..10 {
            pace.slow(now);
        }
        assert_eq!(pace.bucket.a_second, FASTEST / 2.0);
        for _ in 0..20 {
            now += SECOND;
            pace.slow(now);
        }
        assert_eq!(pace.bucket.a_second, SLOWEST);
        for _ in 0..60 {
            now += SECOND;
            pace.allows(1, now);
        }
        assert_eq!(pace.bucket.a_second, FASTEST);
    }
}
