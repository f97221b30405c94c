//! Two ends and what is between them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A link from us, number 0, to an echoing host, number 1.
async fn link() -> (Net, TcpStream) {
    let net = Net::new(1);
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    net.leads_to(1, host.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut guest, _)) = host.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = guest.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    });
    let port = net.open_side_door(0, 1).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    (net, stream)
}

async fn echo(stream: &mut TcpStream, byte: u8) -> io::Result<u8> {
    stream.write_all(&[byte]).await?;
    stream.read_u8().await
}

#[tokio::test]
async fn what_a_one_way_cut_holds_back_comes_when_it_is_mended() {
    let (net, mut stream) = link().await;
    assert_eq!(echo(&mut stream, 1).await.unwrap(), 1);
    net.cut(&[(0, 1)], false);
    stream.write_all(&[2]).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(nothing.is_err(), "it came through a cut");
    net.mend(&[(0, 1)]);
    assert_eq!(stream.read_u8().await.unwrap(), 2);
    assert_eq!(net.tapped(), [vec![1, 2], vec![1, 2]]);
}

#[tokio::test]
async fn a_reset_ends_the_connection_and_others_may_come_once_it_is_mended() {
    let (net, mut stream) = link().await;
    let door = stream.peer_addr().unwrap();
    assert_eq!(echo(&mut stream, 1).await.unwrap(), 1);
    net.cut(&[(1, 0), (0, 1)], true);
    assert!(echo(&mut stream, 2).await.is_err());
    let mut again = TcpStream::connect(door).await.unwrap();
    net.mend_all();
    assert_eq!(echo(&mut again, 3).await.unwrap(), 3);
    assert_eq!((net.carried().connections, net.carried().reset), (2, 1));
}

#[tokio::test]
async fn chance_resets_connections_that_were_there_before() {
    let (net, mut stream) = link().await;
    assert_eq!(echo(&mut stream, 1).await.unwrap(), 1);
    net.set_usual(Shape {
        reset_every: Some(Duration::from_millis(5)),
        ..Shape::default()
    });
    while echo(&mut stream, 2).await.is_ok() {}
    assert_eq!(net.carried().reset, 1);
}
