//! IP addresses and networks. The standard library's readers refuse leading zeros and write RFC 5952.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Observable, ObservableKind};

/// An address and how many of its leading bits count, host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Reads an address or a network in CIDR notation; an address in square brackets too, as URLs
/// write IPv6. `None` if it is neither.
pub(super) fn read(text: &str) -> Option<Observable> {
    Network::read(text).map(Network::spelt)
}

fn parts(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = match address.strip_prefix('[') {
        Some(inner) => IpAddr::V6(inner.strip_suffix(']')?.parse().ok()?),
        None => address.parse().ok()?,
    };
    let prefix = match prefix {
        None => width(address),
        // The length keeps out signs and leading zeros without end.
        Some(digits) if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|bits| *bits <= width(address))?
        }
        Some(_) => return None,
    };
    Some(Network { address, prefix })
}

/// An address as an observable.
pub(super) fn of_address(address: IpAddr) -> Observable {
    Network {
        address,
        prefix: width(address),
    }
    .canonical()
}

/// Every wider network around an address or network, narrowest first.
pub(super) fn wider(observable: &Observable) -> impl Iterator<Item = Observable> + use<> {
    let network = match observable.kind {
        ObservableKind::Ipv4
        | ObservableKind::Ipv6
        | ObservableKind::Ipv4Network
        | ObservableKind::Ipv6Network => Network::of_canonical(&observable.value),
        _ => None,
    };
    network.into_iter().flat_map(|Network { address, prefix }| {
        (0..prefix)
            .rev()
            .map(move |prefix| Network { address, prefix }.masked().spelt())
    })
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl Network {
    /// Reads an address or a network as [`super::Observable`] does: IPv4 inside IPv6 is IPv4, and host
    /// bits are zero.
    pub(crate) fn read(text: &str) -> Option<Self> {
        parts(text).map(|network| network.unmapped().masked())
    }

    /// Whether `other` lies in it, or is it.
    pub(crate) fn holds(self, other: Self) -> bool {
        let narrowed = Self {
            prefix: self.prefix,
            ..other
        };
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.prefix <= other.prefix
            && narrowed.masked() == self
    }

    /// Reads back what [`Network::spelt`] wrote.
    fn of_canonical(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, prefix.parse().ok()?),
            None => {
                let address = text.parse().ok()?;
                (address, width(address))
            }
        };
        Some(Self { address, prefix })
    }

    fn canonical(self) -> Observable {
        self.unmapped().masked().spelt()
    }

    /// IPv4 inside IPv6 (`::ffff:0:0/96`, RFC 4291 section 2.5.5.2) is IPv4: it is the same host.
    fn unmapped(self) -> Self {
        match self.address {
            IpAddr::V6(address) if self.prefix >= 96 => match address.to_ipv4_mapped() {
                Some(address) => Self {
                    address: address.into(),
                    prefix: self.prefix - 96,
                },
                None => self,
            },
            _ => self,
        }
    }

    fn masked(self) -> Self {
        let prefix = u32::from(self.prefix);
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Self { address, ..self }
    }

    /// As text; a network of one address is that address.
    fn spelt(self) -> Observable {
        let whole = self.prefix == width(self.address);
        let kind = match (self.address, whole) {
            (IpAddr::V4(_), true) => ObservableKind::Ipv4,
            (IpAddr::V4(_), false) => ObservableKind::Ipv4Network,
            (IpAddr::V6(_), true) => ObservableKind::Ipv6,
            (IpAddr::V6(_), false) => ObservableKind::Ipv6Network,
        };
        let value = if whole {
            self.address.to_string()
        } else {
            format!("{}/{}", self.address, self.prefix)
        };
        Observable::new(kind, value)
    }
}
