//! Addresses by name: `/dns/hub.example/tcp/4460` becomes the addresses the system resolves it to, each
//! time it is dialled.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long the system may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most addresses tried of one name.
const OF_A_NAME: usize = 4;

/// Whether an address starts with a name that has to be resolved.
pub(super) fn is_named(address: &Multiaddr) -> bool {
    matches!(
        address.iter().next(),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))
    )
}

/// Puts in place of each named address those it stands for, in place of one that cannot be resolved
/// nothing. The lookups run side by side.
pub(super) async fn resolve(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    join_all(addresses.into_iter().map(resolve_one)).await.concat()
}

async fn resolve_one(address: Multiaddr) -> Vec<Multiaddr> {
    let (name, wanted): (String, fn(&IpAddr) -> bool) = match address.iter().next() {
        Some(Protocol::Dns(name)) => (name.into_owned(), |_| true),
        Some(Protocol::Dns4(name)) => (name.into_owned(), IpAddr::is_ipv4),
        Some(Protocol::Dns6(name)) => (name.into_owned(), IpAddr::is_ipv6),
        _ => return vec![address],
    };
    match timeout(PATIENCE, lookup_host((name.as_str(), 0))).await {
        Ok(Ok(found)) => found
            .map(|socket| socket.ip())
            .filter(wanted)
            .take(OF_A_NAME)
            .filter_map(|ip| address.replace(0, |_| Some(ip.into())))
            .collect(),
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "name not resolved");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(name, "name not resolved in time");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_become_addresses_and_addresses_stay() {
        let plain: Multiaddr = "/ip4/192.0.2.7/tcp/4460".parse().unwrap();
        let named: Multiaddr = "/dns4/localhost/tcp/4460".parse().unwrap();
        let unknown: Multiaddr = "/dns/no-such-name.invalid/tcp/4460".parse().unwrap();
        assert!(is_named(&named) && is_named(&unknown) && !is_named(&plain));
        let resolved = resolve(vec![plain.clone(), named, unknown]).await;
        assert_eq!(resolved, [plain, "/ip4/127.0.0.1/tcp/4460".parse().unwrap()]);
    }
}
