//! Ports for a league that keeps them: nobody else's, not those of another league that is coming up
//! at this moment, and none that the system hands out to outgoing connections meanwhile.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use rand::RngExt;

use super::LeagueError;

/// Below where Linux takes the ports of outgoing connections from, so that a node that is restarted
/// finds its port free.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

const TRIES: usize = 1_000;

/// The ports of one league. Each is held by a UDP socket of the same number, which no node wants:
/// leagues that come up at the same moment see each other's claims, and a claim ends with its
/// process.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<UdpSocket>);

impl Claims {
    /// Claims a TCP port of the loopback address that is free now.
    pub(super) fn claim(&mut self) -> Result<u16, LeagueError> {
        let mut rng = rand::rng();
        for _ in 0..TRIES {
            let port = rng.random_range(RANGE);
            let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                self.0.push(claim);
                return Ok(port);
            }
        }
        Err(LeagueError::Ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leagues_never_claim_the_same_port() {
        let (mut ours, mut theirs) = (Claims::default(), Claims::default());
        let mut ports: Vec<u16> = Vec::new();
        for _ in 0..20 {
            ports.push(ours.claim().unwrap());
            ports.push(theirs.claim().unwrap());
        }
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 40);
    }
}
