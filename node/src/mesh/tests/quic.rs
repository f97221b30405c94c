//! The same mesh over QUIC.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn frames_and_streams_pass_over_quic_and_strangers_do_not() {
    let over_quic = || MeshSettings {
        listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()],
        quic: true,
        ..MeshSettings::default()
    };
    let acme = Node::start(1, over_quic()).await;
    let mut borea = Node::start(2, over_quic()).await;
    let stranger = Node::start(3, over_quic()).await;
    acme.lists(&[&borea]);
    borea.lists(&[&acme]);
    stranger.lists(&[&borea]);
    acme.has_neighbours(1).await;
    borea.has_neighbours(1).await;
    assert!(
        borea
            .handle
            .peers()
            .await
            .iter()
            .all(|peer| peer.address.contains("quic"))
    );
    acme.publishes(b"over quic".to_vec()).await;
    assert_eq!(borea.frame().await.2, b"over quic");
    let mut out = acme.handle.open_stream(borea.id).await.unwrap();
    out.write_all(&[7; 100_000]).await.unwrap();
    out.shutdown().await.unwrap();
    let stream = borea.next(|event| match event {
        MeshEvent::Stream { stream, .. } => Some(stream),
        _ => None,
    });
    let (mut stream, mut read) = (stream.await, Vec::new());
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(read.len(), 100_000);
    assert_eq!(
        stranger.handle.publish(b"hello".to_vec()).await.unwrap(),
        Publish::NoPeers
    );
    assert!(stranger.handle.open_stream(borea.id).await.is_err());
}
