//! Stands in for the crate of this name, by which libp2p waits: an alarm here follows Tokio's clock,
//! which the simulation stops and turns on by hand. An alarm must be made and polled inside a runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Goes off once, a while from now.
#[derive(Debug)]
pub struct Delay(Pin<Box<Sleep>>);

impl Delay {
    /// An alarm that goes off after `wait`.
    pub fn new(wait: Duration) -> Self {
        Self(Box::pin(sleep(wait)))
    }

    /// Sets it anew, whether it went off or not.
    pub fn reset(&mut self, wait: Duration) {
        // So far off that it never comes, if the clock cannot tell it.
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);
        let now = Instant::now();
        let when = now.checked_add(wait).unwrap_or_else(|| now + FAR);
        self.0.as_mut().reset(when);
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().0.as_mut().poll(cx)
    }
}
