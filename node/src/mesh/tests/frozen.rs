//! Links that stand and carry nothing, as behind a firewall that forgot them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A way to a node that can be frozen: what is connected stays so, and nothing passes any longer.
struct Way {
    address: String,
    /// Connections up to this number are frozen.
    frozen: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
}

impl Way {
    async fn to(address: &str) -> Self {
        let port: u16 = address.rsplit('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let way = Self {
            address: format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port()),
            frozen: Arc::default(),
            made: Arc::default(),
        };
        let (frozen, made) = (way.frozen.clone(), way.made.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(carry(near_in, far_out, number, frozen.clone()));
                tokio::spawn(carry(far_in, near_out, number, frozen.clone()));
            }
        });
        way
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
    frozen: Arc<AtomicUsize>,
) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
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
