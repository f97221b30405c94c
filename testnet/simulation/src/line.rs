//! A connection made of memory: two lines, one each way, on which bytes take their time. Bytes arrive in
//! order and none is missing, as over TCP: a lost segment is one that came late, and what was behind it
//! with it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::draws::Draws;
use crate::network::Uplink;

/// Bytes under way after which a writer waits, as for the buffers of a socket.
const WINDOW: usize = 256 << 10;

/// Bytes of one segment.
const SEGMENT: usize = 1_400;

/// How long a sender waits before it sends a last segment again that nothing followed (the least
/// retransmission timeout that systems use).
const TIMEOUT: Duration = Duration::from_millis(200);

/// How far a segment's delay may lie from that of its line, as a share of it.
const JITTER: f64 = 0.1;

/// What a line does to what goes over it.
#[derive(Clone, Debug)]
pub(crate) struct Quality {
    /// The time from one end to the other.
    pub(crate) delay: Duration,
    /// Probability that a segment is lost.
    pub(crate) loss: f64,
    /// Where the uncertain is drawn from.
    pub(crate) draws: Draws,
}

/// Both ends of a new connection: that of who dialled, and that of who listened.
pub(crate) fn connect(there: Quality, back: Quality, dialler: &Uplink, listener: &Uplink) -> (End, End) {
    let (there, back) = (
        Line::new(there, dialler.clone()),
        Line::new(back, listener.clone()),
    );
    (
        End::new(Arc::clone(&back), Arc::clone(&there)),
        End::new(there, back),
    )
}

/// One direction.
struct Line(Mutex<State>);

struct State {
    quality: Quality,
    uplink: Uplink,
    /// What is under way, and when it arrives.
    flight: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes of the first that were read already.
    read: usize,
    /// Bytes under way or arrived and not read.
    waiting: usize,
    /// When the last of it arrives.
    last: Instant,
    /// The writing end was closed; when the reading end learns it.
    closed: Option<Instant>,
    /// Nobody will read any more.
    gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Line {
    fn new(quality: Quality, uplink: Uplink) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            quality,
            uplink,
            flight: VecDeque::new(),
            read: 0,
            waiting: 0,
            last: Instant::now(),
            closed: None,
            gone: false,
            reader: None,
            writer: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        if state.closed.is_none() {
            let end = (Instant::now() + state.quality.delay).max(state.last);
            state.closed = Some(end);
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
        }
    }

    fn abandon(&self) {
        let mut state = self.state();
        state.gone = true;
        state.flight.clear();
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

impl State {
    /// When bytes that are written now arrive.
    fn arrival(&mut self, bytes: usize, now: Instant) -> Instant {
        let sent = self.uplink.send(bytes, now);
        let jitter = 1.0 + JITTER * (2.0 * self.quality.draws.unit() - 1.0);
        let mut arrival = sent + self.quality.delay.mul_f64(jitter);
        let segments = i32::try_from(bytes.div_ceil(SEGMENT)).unwrap_or(i32::MAX);
        let lost = 1.0 - (1.0 - self.quality.loss).powi(segments);
        if self.quality.loss > 0.0 && self.quality.draws.happens(lost) {
            let round_trip = self.quality.delay * 2;
            // What follows tells at once that something is missing; the last waits for its timer.
            arrival += round_trip;
            if self.flight.is_empty() {
                arrival += TIMEOUT;
            }
        }
        self.last = self.last.max(arrival);
        self.last
    }

    fn take(&mut self, buffer: &mut [u8], now: Instant) -> usize {
        let mut taken = 0;
        while let Some((when, bytes)) = self.flight.front()
            && *when <= now
            && taken < buffer.len()
        {
            let rest = bytes.get(self.read..).unwrap_or_default();
            let room = buffer.get_mut(taken..).unwrap_or_default();
            let count = rest.len().min(room.len());
            for (to, from) in room.iter_mut().zip(rest) {
                *to = *from;
            }
            let finished = count == rest.len();
            taken += count;
            self.read += count;
            if finished {
                self.flight.pop_front();
                self.read = 0;
            }
        }
        self.waiting -= taken;
        taken
    }
}

/// One end of a connection.
pub(crate) struct End {
    incoming: Arc<Line>,
    outgoing: Arc<Line>,
    alarm: Pin<Box<Sleep>>,
}

impl End {
    fn new(incoming: Arc<Line>, outgoing: Arc<Line>) -> Self {
        Self {
            incoming,
            outgoing,
            alarm: Box::pin(sleep_until(Instant::now())),
        }
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let mut state = this.incoming.state();
            let now = Instant::now();
            let taken = state.take(buffer, now);
            if taken > 0 {
                if let Some(writer) = state.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(taken));
            }
            let next = state.flight.front().map(|(when, _)| *when).or(state.closed);
            match next {
                Some(when) if when <= now => return Poll::Ready(Ok(0)),
                Some(when) => {
                    // A close, or nothing, may be told before: only what is under way is waited for.
                    state.reader = Some(cx.waker().clone());
                    drop(state);
                    if this.alarm.deadline() != when {
                        this.alarm.as_mut().reset(when);
                    }
                    if this.alarm.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                None => {
                    state.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.state();
        if state.gone || state.closed.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(state.waiting);
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let arrival = state.arrival(bytes.len(), Instant::now());
        let idle = state.flight.is_empty();
        state.waiting += bytes.len();
        state.flight.push_back((arrival, bytes.to_vec()));
        if idle && let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outgoing.close();
        self.incoming.abandon();
    }
}
