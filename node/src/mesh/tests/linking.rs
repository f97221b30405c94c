//! Links: one a member whoever dials, dialled again when lost, streams over them, the end.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn two_that_dial_each_other_at_once_keep_the_same_one_link() {
    let mut met = 0.0;
    for round in 0..8_u8 {
        let acme = Node::start(10 + round, listening()).await;
        let borea = Node::start(60 + round, listening()).await;
        // Both hurry, so that neither waits for the other's head start.
        acme.lists(&[&borea]);
        borea.lists(&[&acme]);
        let (one, other) = tokio::join!(acme.handle.redial(borea.id), borea.handle.redial(acme.id));
        one.and(other).unwrap();
        acme.has_neighbours(1).await;
        borea.has_neighbours(1).await;
        let (here, there) = (acme.handle.peers().await, borea.handle.peers().await);
        assert_eq!((here.len(), there.len()), (1, 1));
        assert_ne!(here[0].inbound, there[0].inbound, "each keeps another connection");
        acme.publishes(b"over the one".to_vec()).await;
        let mut borea = borea;
        assert_eq!(borea.frame().await.2, b"over the one");
        for kind in ["twin", "superseded"] {
            let closed = format!("hanse_mesh_connections_closed_total{{kind=\"{kind}\"}}");
            met += acme.metric(&closed) + borea.metric(&closed);
        }
    }
    assert!(met > 0.0, "no two connections ever met");
}

#[tokio::test]
async fn a_link_that_is_closed_comes_back_and_gossips() {
    let mut nodes = league(2).await;
    let (one, other) = (nodes[0].id, nodes[1].id);
    nodes[0].connected(other).await;
    nodes[1].connected(one).await;
    nodes[0].handle.close(other).await;
    nodes[0].disconnected(other).await;
    nodes[1].disconnected(one).await;
    nodes[0].connected(other).await;
    nodes[0].has_neighbours(1).await;
    nodes[1].has_neighbours(1).await;
    nodes[1].publishes(b"again".to_vec()).await;
    assert_eq!(nodes[0].frame().await.2, b"again");
    nodes[1].handle.redial(one).await.unwrap();
    nodes[0].disconnected(other).await;
    nodes[0].connected(other).await;
    let stranger = id(99);
    assert!(
        matches!(nodes[0].handle.redial(stranger).await, Err(MeshError::Unlisted(node)) if node == stranger)
    );
}

#[tokio::test]
async fn one_that_only_dials_out_is_reached_through_a_hub() {
    let mut hub = Node::start(
        1,
        MeshSettings {
            profile: Profile::Hub,
            ..listening()
        },
    )
    .await;
    let mut acme = Node::start(2, MeshSettings::default()).await;
    let mut borea = Node::start(3, MeshSettings::default()).await;
    for node in [&hub, &acme, &borea] {
        node.lists(&[&hub, &acme, &borea]);
    }
    hub.has_neighbours(2).await;
    acme.has_neighbours(1).await;
    borea.has_neighbours(1).await;
    acme.publishes(b"through".to_vec()).await;
    let (_, ticket, _) = hub.frame().await;
    hub.handle.verdict(ticket, Verdict::Accept);
    let (courier, _, bytes) = borea.frame().await;
    assert_eq!((courier, &bytes[..]), (hub.id, &b"through"[..]));
    assert!(acme.handle.listening().await.is_empty());
    acme.connected(hub.id).await;
}

#[tokio::test]
async fn ten_megabytes_flow_over_a_stream_only_as_fast_as_they_are_read() {
    const SIZE: usize = 10 << 20;
    let mut nodes = league(2).await;
    let to = nodes[1].id;
    let mut out = timeout(DEADLINE, nodes[0].handle.open_stream(to))
        .await
        .unwrap()
        .unwrap();
    let progress = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let written = progress.clone();
    let writer = tokio::spawn(async move {
        for block in 0..SIZE / (64 << 10) {
            out.write_all(&[block as u8; 64 << 10]).await.unwrap();
            written.store((block + 1) * (64 << 10), std::sync::atomic::Ordering::Relaxed);
        }
        out.shutdown().await.unwrap();
        out
    });
    let (from, mut stream) = nodes[1]
        .next(|event| match event {
            MeshEvent::Stream { from, stream } => Some((from, stream)),
            _ => None,
        })
        .await;
    assert_eq!(from, nodes[0].id);
    // Gossip passes while the stream stands still, and the writer is held back.
    nodes[0].publishes(b"meanwhile".to_vec()).await;
    assert_eq!(nodes[1].frame().await.2, b"meanwhile");
    assert!(!writer.is_finished() && progress.load(std::sync::atomic::Ordering::Relaxed) < SIZE);
    let mut read = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut read))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.len(), SIZE);
    assert!(
        read.chunks(64 << 10)
            .enumerate()
            .all(|(block, bytes)| bytes.iter().all(|byte| *byte == block as u8))
    );
    writer.await.unwrap();
}

#[tokio::test]
async fn a_stream_to_one_that_is_not_connected_is_an_error() {
    let node = Node::start(1, listening()).await;
    let away = Node::start(2, MeshSettings::default()).await;
    node.lists(&[&away]);
    let error = node.handle.open_stream(away.id).await.unwrap_err();
    assert!(matches!(error, MeshError::NotConnected(id) if id == away.id));
    let error = node.handle.call_charter(away.id, Vec::new()).await.unwrap_err();
    assert!(matches!(error, MeshError::NotConnected(id) if id == away.id));
}

#[tokio::test]
async fn told_to_stop_the_mesh_ends_and_the_others_notice() {
    let mut nodes = league(2).await;
    let mut other = nodes.pop().unwrap();
    let node = nodes.pop().unwrap();
    other.connected(node.id).await;
    node.stop.cancel();
    timeout(DEADLINE, node.task).await.unwrap().unwrap().unwrap();
    assert!(matches!(
        node.handle.publish(vec![1]).await,
        Err(MeshError::Stopped)
    ));
    other.disconnected(node.id).await;
}

#[tokio::test]
async fn a_mesh_nobody_listens_to_ends_with_an_error() {
    let node = Node::start(1, listening()).await;
    drop(node.events);
    let end = timeout(DEADLINE, node.task).await.unwrap().unwrap();
    assert!(matches!(end, Err(MeshError::Stopped)));
}

#[tokio::test]
async fn addresses_that_cannot_be_listened_on_are_named() {
    let first = Node::start(1, listening()).await;
    let refused = |listen: &str| {
        let settings = MeshSettings {
            listen: vec![listen.to_owned()],
            ..MeshSettings::default()
        };
        let (_, listed) = watch::channel(Arc::default());
        let (events, _) = mpsc::channel(1);
        let secret = Zeroizing::new([2; 32]);
        let stop = CancellationToken::new();
        start(
            settings,
            secret,
            COMMUNITY,
            listed,
            events,
            &mut Registry::default(),
            stop,
        )
        .err()
        .unwrap()
    };
    assert!(matches!(refused("127.0.0.1:4460"), MeshError::Address(text) if text == "127.0.0.1:4460"));
    assert!(matches!(
        refused("/ip4/127.0.0.1/udp/4460"),
        MeshError::Address(_)
    ));
    let taken = &first.addresses[0];
    assert!(matches!(refused(taken), MeshError::Listen { address, .. } if address == *taken));
}

/// Gossipsub gives up a direction of a link at a packet it cannot read, and the connection stands.
#[tokio::test]
async fn a_link_on_which_gossip_died_silently_is_made_anew_and_carries_frames_again() {
    // Acme's program may send packets that Borea's does not read.
    let careless = MeshSettings {
        transmit: Some(1 << 20),
        ..listening()
    };
    let watchful = MeshSettings {
        silence: Duration::from_secs(2),
        ..listening()
    };
    let acme = Node::start(1, careless).await;
    let mut borea = Node::start(2, watchful).await;
    acme.lists(&[&borea]);
    borea.lists(&[&acme]);
    acme.has_neighbours(1).await;
    borea.has_neighbours(1).await;
    borea.connected(acme.id).await;
    acme.publishes(b"heard".to_vec()).await;
    assert_eq!(borea.frame().await.2, b"heard");
    let (reply, taken) = tokio::sync::oneshot::channel();
    let large = super::super::handle::Command::Publish(vec![0; 300 << 10], reply);
    acme.handle.commands.send(large).await.unwrap();
    assert_eq!(taken.await.unwrap(), Publish::Taken);
    acme.publishes(b"lost".to_vec()).await;
    // The link stands, acme thinks nothing of it, and nothing comes, until borea has had enough.
    borea.disconnected(acme.id).await;
    assert!(borea.metric("hanse_mesh_connections_closed_total{kind=\"silent\"}") >= 1.0);
    borea.connected(acme.id).await;
    borea.has_neighbours(1).await;
    acme.has_neighbours(1).await;
    acme.publishes(b"again".to_vec()).await;
    let again = borea
        .next(|event| match event {
            MeshEvent::Frame { bytes, .. } if bytes == b"again" => Some(()),
            MeshEvent::Frame { bytes, .. } => panic!("{} bytes came over a dead link", bytes.len()),
            _ => None,
        })
        .await;
    assert_eq!(again, ());
}
