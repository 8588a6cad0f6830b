//! The client's address behind a trusted proxy: the PROXY protocol's version 2 before the first request.
//!
//! Deliberately absent: version 1, and addresses of untrusted peers, who may write what they like.

use super::{Hub, Key, Turn};
use crate::connection::Stage;
use crate::refusal::Refusal;
use ringway_proto::http1;
use std::net::IpAddr;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const HEADER_BYTES: usize = 16;
/// Addresses and type-length-values after the header.
const REST_BYTES_MAX: usize = 2048;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
enum Prefix {
    /// They may still become a prefix.
    Unfinished,
    /// They are something else.
    Absent,
    /// A prefix of that many bytes, and the client's address unless the proxy speaks for itself.
    Present(usize, Option<IpAddr>),
    Malformed,
}

fn parse(bytes: &[u8]) -> Prefix {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Prefix::Absent;
    }
    if bytes.len() < HEADER_BYTES {
        return Prefix::Unfinished;
    }
    let rest_bytes = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if bytes[12] >> 4 != 2 || rest_bytes > REST_BYTES_MAX {
        return Prefix::Malformed;
    }
    let Some(rest) = bytes.get(HEADER_BYTES..HEADER_BYTES + rest_bytes) else {
        return Prefix::Unfinished;
    };
    let address = match (bytes[12] & 0xf, bytes[13] >> 4) {
        (0, _) | (1, 0) => None,
        (1, 1) => rest
            .first_chunk::<4>()
            .filter(|_| rest.len() >= 12)
            .map(|octets| IpAddr::from(*octets)),
        (1, 2) => rest
            .first_chunk::<16>()
            .filter(|_| rest.len() >= 36)
            .map(|octets| IpAddr::from(*octets)),
        _ => return Prefix::Malformed,
    };
    let promised = bytes[12] & 0xf == 1 && matches!(bytes[13] >> 4, 1 | 2);
    if promised && address.is_none() {
        Prefix::Malformed
    } else {
        Prefix::Present(HEADER_BYTES + rest_bytes, address)
    }
}

impl Hub {
    pub(crate) fn step_prefix(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        match parse(&connection.input) {
            Prefix::Unfinished => false,
            Prefix::Absent => {
                connection.stage = Stage::Head;
                true
            }
            Prefix::Present(bytes, address) => {
                connection.input.drain(..bytes);
                connection.client = address.unwrap_or(connection.client);
                connection.stage = Stage::Head;
                true
            }
            Prefix::Malformed => {
                self.stats.refused(Refusal::BadRequest);
                self.close_now(key, turn);
                false
            }
        }
    }

    /// Takes the client's address from forwarding headers, if the peer is a trusted proxy.
    pub(crate) fn believe_proxy(&mut self, key: Key, request: &http1::Request) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !self.settings.trusted_proxies.contains(connection.peer.ip()) {
            return;
        }
        let hops: Vec<IpAddr> = request
            .headers("x-forwarded-for")
            .flat_map(|value| value.split(','))
            .filter_map(|hop| hop.trim().parse().ok())
            .collect();
        // The rightmost hop that is no proxy of ours: what stands before it is the client's own story.
        let client = hops
            .iter()
            .rev()
            .find(|hop| !self.settings.trusted_proxies.contains(**hop));
        if let Some(client) = client {
            connection.client = *client;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family]);
        bytes.extend_from_slice(&(rest.len() as u16).to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn an_address_is_read_wherever_the_bytes_are_cut() {
        let bytes = prefix(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 3, 4]);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Prefix::Unfinished, "{cut}");
        }
        assert_eq!(
            parse(&bytes),
            Prefix::Present(28, Some("192.0.2.7".parse().unwrap()))
        );
    }

    #[test]
    fn other_shapes() {
        assert_eq!(parse(b"GET / HTTP/1.1"), Prefix::Absent);
        assert_eq!(parse(&prefix(0x20, 0, &[])), Prefix::Present(16, None));
        for malformed in [
            prefix(0x11, 0x11, &[0; 12]),
            prefix(0x21, 0x11, &[0; 3]),
            prefix(0x22, 0x11, &[0; 12]),
        ] {
            assert_eq!(parse(&malformed), Prefix::Malformed);
        }
    }
}
