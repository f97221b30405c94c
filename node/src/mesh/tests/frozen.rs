//! Links that stand and carry nothing, as behind a firewall that forgot them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A way to a node that can be frozen: what is connected stays so, and nothing passes any longer.
struct Way {
    address: String,
    /// Connections up to this number are frozen.
    frozen: Arc<AtomicUsize>,
    /// Set while nothing is taken from either end.
    stalled: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
}

impl Way {
    async fn to(address: &str) -> Self {
        let port: u16 = address.rsplit('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let way = Self {
            address: format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port()),
            frozen: Arc::default(),
            stalled: Arc::default(),
            made: Arc::default(),
        };
        let (state, made) = ((way.frozen.clone(), way.stalled.clone()), way.made.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(carry(near_in, far_out, number, state.clone()));
                tokio::spawn(carry(far_in, near_out, number, state.clone()));
            }
        });
        way
    }

    fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    fn freeze(&self) {
        self.frozen
            .store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    number: usize,
    (frozen, stalled): (Arc<AtomicUsize>, Arc<AtomicBool>),
) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        // What is frozen is swallowed, and neither end is told.
        if number > frozen.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    if number <= frozen.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_half_open_link_is_noticed_and_made_anew_and_one_that_speaks_is_left_alone() {
    let mut acme = Node::start(
        1,
        MeshSettings {
            silence: Duration::from_secs(2),
            ..MeshSettings::default()
        },
    )
    .await;
    let borea = Node::start(2, listening()).await;
    let way = Way::to(&borea.addresses[0]).await;
    acme.lists_at(HashMap::from([(borea.id, vec![way.address.clone()])]));
    borea.lists(&[&acme]);
    acme.connected(borea.id).await;
    acme.has_neighbours(1).await;
    borea.has_neighbours(1).await;
    // Longer than the bound, but it speaks.
    for number in 0..6_u8 {
        borea.publishes(vec![number]).await;
        assert_eq!(acme.frame().await.2, [number]);
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let silent = "hanse_mesh_connections_closed_total{kind=\"silent\"}";
    assert_eq!(acme.metric(silent), 0.0);
    way.freeze();
    acme.disconnected(borea.id).await;
    assert_eq!(acme.metric(silent), 1.0);
    acme.connected(borea.id).await;
    acme.has_neighbours(1).await;
    let heard = async {
        // Borea may still believe in the old link for a moment.
        loop {
            borea.publishes(rand::random::<[u8; 8]>().to_vec()).await;
            tokio::select! {
                _ = acme.frame() => return,
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    };
    timeout(DEADLINE, heard)
        .await
        .expect("frames pass over the new link");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_takes_nothing_is_hung_up_on_and_keeps_nobody_waiting() {
    let acme = Node::start(
        1,
        MeshSettings {
            patience: Duration::from_secs(3),
            ..MeshSettings::default()
        },
    )
    .await;
    let borea = Node::start(2, listening()).await;
    let mut comet = Node::start(3, listening()).await;
    let way = Way::to(&borea.addresses[0]).await;
    acme.lists_at(HashMap::from([
        (borea.id, vec![way.address.clone()]),
        (comet.id, comet.addresses.clone()),
    ]));
    borea.lists(&[&acme]);
    comet.lists(&[&acme]);
    acme.has_neighbours(2).await;
    comet.has_neighbours(1).await;
    // From now on borea's end takes nothing in: the socket fills, then the queue before it.
    way.stall();
    let slow = "hanse_mesh_connections_closed_total{kind=\"slow\"}";
    let mut number = 0_u64;
    let hung_up = async {
        while !number.is_multiple_of(64) || acme.metric(slow) < 1.0 {
            let mut frame = vec![0; 4 << 10];
            frame[..8].copy_from_slice(&number.to_be_bytes());
            acme.publishes(frame.clone()).await;
            // Comet gets each in its time.
            assert_eq!(comet.frame().await.2, frame);
            number += 1;
        }
    };
    let hung_up = timeout(DEADLINE, hung_up).await;
    let reports = acme.metric("hanse_mesh_slow_peers_total");
    assert!(
        hung_up.is_ok(),
        "{number} frames, {reports} reports and borea's link is not closed"
    );
    assert!(number > 2_000, "{number} frames");
}
