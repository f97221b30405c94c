//! A way to end a connection that will not close. Closing says goodbye to the other end and waits until
//! that is sent; one that does not read, or is no longer there, could keep us waiting, and with it a
//! place at the door.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::{Multiaddr, PeerId};

/// The switch of one connection.
#[derive(Debug, Default)]
struct Switch {
    cut: AtomicBool,
    task: AtomicWaker,
}

type OfPeer = Vec<(Multiaddr, Weak<Switch>)>;

/// The switches of all living connections, the older first.
#[derive(Clone, Debug, Default)]
pub(super) struct Switches(Arc<Mutex<HashMap<PeerId, OfPeer>>>);

impl Switches {
    /// An upgrade that hands on a socket with a switch.
    pub(super) fn on<U>(&self, upgrade: U, peer: PeerId, address: Multiaddr) -> Switched<U> {
        let switch = Arc::new(Switch::default());
        let mut switches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        switches.retain(|_, of_peer| {
            of_peer.retain(|(_, switch)| switch.strong_count() > 0);
            !of_peer.is_empty()
        });
        switches
            .entry(peer)
            .or_default()
            .push((address, Arc::downgrade(&switch)));
        Switched { upgrade, switch }
    }

    /// Cuts the oldest living connection to a peer at an address: if two are alive, the older was
    /// superseded by the newer.
    pub(super) fn cut(&self, peer: &PeerId, address: &Multiaddr) {
        let switches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = switches.get(peer).into_iter().flatten();
        let mut living = of_peer
            .filter(|(at, _)| at == address)
            .filter_map(|(_, switch)| switch.upgrade());
        if let Some(switch) = living.next() {
            switch.cut.store(true, Ordering::Release);
            switch.task.wake();
        }
    }
}

/// An upgrade over a socket with a switch.
#[derive(Clone, Debug)]
pub(super) struct Switched<U> {
    upgrade: U,
    switch: Arc<Switch>,
}

impl<U: UpgradeInfo> UpgradeInfo for Switched<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> U::InfoIter {
        self.upgrade.protocol_info()
    }
}

impl<C, U: InboundConnectionUpgrade<Cuttable<C>>> InboundConnectionUpgrade<C> for Switched<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_inbound(self, socket: C, info: U::Info) -> U::Future {
        let switch = self.switch;
        self.upgrade.upgrade_inbound(Cuttable { socket, switch }, info)
    }
}

impl<C, U: OutboundConnectionUpgrade<Cuttable<C>>> OutboundConnectionUpgrade<C> for Switched<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_outbound(self, socket: C, info: U::Info) -> U::Future {
        let switch = self.switch;
        self.upgrade.upgrade_outbound(Cuttable { socket, switch }, info)
    }
}

/// A socket that fails once its switch is cut. One task reads and writes it, so one waker is enough.
#[derive(Debug)]
pub(super) struct Cuttable<C> {
    socket: C,
    switch: Arc<Switch>,
}

impl<C: Unpin> Cuttable<C> {
    fn poll<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        this.switch.task.register(cx.waker());
        if this.switch.cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        step(Pin::new(&mut this.socket), cx)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Cuttable<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |socket, cx| socket.poll_read(cx, buffer))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Cuttable<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |socket, cx| socket.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |socket, cx| socket.poll_close(cx))
    }
}

#[cfg(test)]
mod tests {
    use futures::AsyncWriteExt;

    use super::*;

    /// An upgrade that gives the socket back, to see what was handed on.
    #[derive(Clone)]
    struct Bare;

    impl UpgradeInfo for Bare {
        type Info = &'static str;
        type InfoIter = std::iter::Once<&'static str>;

        fn protocol_info(&self) -> Self::InfoIter {
            std::iter::once("/bare")
        }
    }

    impl<C> OutboundConnectionUpgrade<C> for Bare {
        type Output = C;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<C>>;

        fn upgrade_outbound(self, socket: C, _: &'static str) -> Self::Future {
            std::future::ready(Ok(socket))
        }
    }

    /// The other end of such a socket never reads.
    async fn stuck(
        switches: &Switches,
        peer: PeerId,
        address: &str,
    ) -> Cuttable<impl AsyncWrite + Unpin + Send + use<>> {
        let (near, far) = tokio::io::duplex(1);
        std::mem::forget(far);
        let near = tokio_util::compat::TokioAsyncReadCompatExt::compat(near);
        let switched = switches.on(Bare, peer, address.parse().unwrap());
        switched.upgrade_outbound(near, "/bare").await.unwrap()
    }

    #[tokio::test]
    async fn a_writer_that_waits_for_ever_is_woken_with_an_error() {
        let switches = Switches::default();
        let (peer, here) = (PeerId::random(), "/ip4/192.0.2.1/tcp/1");
        let mut older = stuck(&switches, peer, here).await;
        let mut newer = stuck(&switches, peer, here).await;
        let mut elsewhere = stuck(&switches, peer, "/ip4/192.0.2.2/tcp/1").await;
        let waiting = tokio::spawn(async move { older.write_all(b"goodbye").await });
        tokio::task::yield_now().await;
        switches.cut(&peer, &here.parse().unwrap());
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        newer.write_all(b"1").await.unwrap();
        elsewhere.write_all(b"1").await.unwrap();
    }
}
