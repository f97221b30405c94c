//! Carrying bytes from one end of a connection to the other, as late as the link's shape says.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Net, Shape, Way};
use crate::dice::Dice;

/// Most bytes that share one fate, as a few packets in a row do.
const PACKET: usize = 4 << 10;

/// Packets under way at once in one direction: a window of 1 MiB.
const WINDOW: usize = 256;

/// How long TCP waits before it sends a packet again (the least that Linux waits; RFC 6298 has a second).
const AGAIN: Duration = Duration::from_millis(200);

/// How often a packet is lost in a row at most.
const IN_A_ROW: u32 = 6;

/// Carries both ways of a connection until both are closed or one fails.
pub(super) async fn both(
    net: &Net,
    (from, to): Way,
    inbound: TcpStream,
    outbound: TcpStream,
    connection: u64,
    dice: &mut Dice,
) -> io::Result<()> {
    inbound.set_nodelay(true)?;
    outbound.set_nodelay(true)?;
    let (from_dialler, to_dialler) = inbound.into_split();
    let (from_host, to_host) = outbound.into_split();
    let (there, back) = (dice.split(), dice.split());
    let there = one(net, (from, to), from_dialler, to_host, connection * 2, there);
    let back = one(net, (to, from), from_host, to_dialler, connection * 2 + 1, back);
    tokio::try_join!(there, back).map(drop)
}

async fn one(
    net: &Net,
    way: Way,
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    piece: u64,
    mut dice: Dice,
) -> io::Result<()> {
    let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(WINDOW);
    let reading = async move {
        let mut line = Line::default();
        loop {
            let mut packet = vec![0; PACKET];
            let length = read.read(&mut packet).await?;
            packet.truncate(length);
            let (at, losses) = line.arrives(Instant::now(), length, &net.now(way), &mut dice);
            net.0.counts.losses.fetch_add(losses, Ordering::Relaxed);
            // The end is under way as long as bytes are.
            if queue.send((at, packet)).await.is_err() || length == 0 {
                return Ok::<(), io::Error>(());
            }
        }
    };
    let writing = async move {
        while let Some((at, packet)) = due.recv().await {
            sleep_until(at).await;
            net.is_open(way).await;
            if packet.is_empty() {
                return write.shutdown().await;
            }
            net.passes(piece, &packet);
            write.write_all(&packet).await?;
        }
        Ok(())
    };
    tokio::try_join!(reading, writing).map(drop)
}

/// When what is sent now arrives.
#[derive(Default)]
struct Line {
    /// When the line has sent what was given to it.
    free: Option<Instant>,
    /// When the last packet arrives: the next does not before it.
    last: Option<Instant>,
}

impl Line {
    /// When a packet given to the line now arrives, and how often it was lost on the way.
    fn arrives(&mut self, now: Instant, length: usize, shape: &Shape, dice: &mut Dice) -> (Instant, u64) {
        let begins = self.free.map_or(now, |free| free.max(now));
        let takes = shape.bandwidth.map_or(Duration::ZERO, |bandwidth| {
            let bits = u64::try_from(length)
                .unwrap_or(u64::MAX)
                .saturating_mul(1_000_000);
            Duration::from_micros(bits / bandwidth.max(1))
        });
        let free = begins + takes;
        self.free = Some(free);
        let mut at = free + shape.delay;
        if !shape.jitter.is_zero() {
            at += shape.jitter.mul_f64(dice.unit());
        }
        let mut losses = 0;
        while losses < IN_A_ROW && shape.loss > 0.0 && dice.unit() < shape.loss {
            at += AGAIN * (1 << losses);
            losses += 1;
        }
        let at = self.last.map_or(at, |last| last.max(at));
        self.last = Some(at);
        (at, u64::from(losses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thin_line_takes_its_time_and_order_is_kept() {
        let shape = Shape {
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(50),
            loss: 0.2,
            bandwidth: Some(1_000),
            reset_every: None,
        };
        let (mut line, mut dice, now) = (Line::default(), Dice::new(7, "line"), Instant::now());
        let arrivals: Vec<Instant> = (0..50)
            .map(|_| line.arrives(now, 100, &shape, &mut dice).0)
            .collect();
        assert!(arrivals.is_sorted());
        assert!(
            arrivals[49] >= now + Duration::from_secs(5),
            "5,000 bytes at 1,000 a second"
        );
        assert!(arrivals[0] >= now + Duration::from_millis(110));
    }

    #[tokio::test]
    async fn a_line_without_a_shape_is_at_once() {
        let (mut line, mut dice, now) = (Line::default(), Dice::new(7, "line"), Instant::now());
        let arrives = line.arrives(now, PACKET, &Shape::default(), &mut dice);
        assert_eq!(arrives, (now, 0));
    }
}
