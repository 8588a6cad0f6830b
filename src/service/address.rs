//! Addresses as they are kept for each connection.

use core::fmt;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// An IP address in sixteen bytes. One of IPv4 and the same mapped into IPv6 (RFC 4291 §2.5.5.2), as a listener on `::` sees it, are one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address([u8; 16]);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => Self(address.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from(address.0).to_canonical()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_in_their_own_family() {
        for (text, kept) in [
            ("1.2.3.4", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("2001:db8::7", "2001:db8::7"),
            ("::", "::"),
            ("0.0.0.0", "0.0.0.0"),
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).to_string(), kept);
        }
    }
}
