//! Whose a connection is: the process at its other end, as the system tells in `/proc` (proc(5)). Two
//! nodes dial a third under one address, so the port alone would not tell.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

/// The number of the node whose process owns the other end, `from`, of a connection that came in at
/// `local`; `None` if it is none of these processes, or is gone.
pub(super) fn owns(from: SocketAddr, local: SocketAddr, pids: &BTreeMap<usize, u32>) -> Option<usize> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = inode(&table, &spelt(from)?, &spelt(local)?)?;
    let link = format!("socket:[{inode}]");
    let owns = |pid: u32| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        let mut links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.any(|target| target.as_os_str() == link.as_str())
    };
    pids.iter()
        .find(|(_, pid)| owns(**pid))
        .map(|(number, _)| *number)
}

/// An address as the table writes it: the four bytes as one number in this machine's order, a colon,
/// the port, in hexadecimal.
fn spelt(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let number = u32::from_ne_bytes(address.ip().octets());
    Some(format!("{number:08X}:{:04X}", address.port()))
}

/// The inode in the table's line of a socket bound to `own` and connected to `other`.
fn inode<'a>(table: &'a str, own: &str, other: &str) -> Option<&'a str> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let ours = fields.next()? == own && fields.next()? == other;
        // State, queues, timer, retransmissions, user, timeout, inode.
        fields.nth(6).filter(|_| ours)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_its_process_and_nobody_elses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (inbound, from) = listener.accept().unwrap();
        let local = inbound.local_addr().unwrap();
        let pids = BTreeMap::from([(3, 1), (5, std::process::id())]);
        assert_eq!(owns(from, local, &pids), Some(5));
        assert_eq!(owns(from, local, &BTreeMap::from([(3, 1)])), None);
    }
}
