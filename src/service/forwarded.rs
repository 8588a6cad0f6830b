//! The client's address behind trusted proxies: Forwarded (RFC 7239), X-Forwarded-For, PROXY protocol version 2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Hops that are looked at, from the nearest.
const HOPS_MAX: usize = 32;
/// The longest PROXY v2 header that we read, TLVs included.
const PROXY_BYTES_MAX: usize = 536;
/// PROXY protocol §2.2.
const PROXY_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Which header the trusted proxies write. One that they do not write, but pass on, is whatever a stranger likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeaderName {
    /// Either; a request with both must say the same in both.
    #[default]
    Any,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    XForwardedFor,
}

/// Networks whose word about the client's address is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<ipnet::IpNet>);

impl TrustedProxies {
    /// Networks in CIDR notation, or single addresses.
    ///
    /// # Errors
    /// The entry that is neither.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let parse = |entry: &String| {
            entry
                .parse()
                .or_else(|_| entry.parse::<IpAddr>().map(Into::into))
                .map_err(|_| entry.clone())
        };
        entries
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the address is a trusted proxy's.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The nearest address that is no trusted proxy's, or `peer` when the headers name none: each hop is believed only while the one
    /// that wrote it is trusted.
    pub(crate) fn client(
        &self,
        peer: IpAddr,
        hops: impl Iterator<Item = Option<IpAddr>>,
    ) -> IpAddr {
        let mut client = peer;
        for hop in hops.take(HOPS_MAX) {
            if !self.contains(client) {
                break;
            }
            let Some(address) = hop else { break };
            client = address;
        }
        client
    }
}

/// The hops of `X-Forwarded-For` values, nearest first.
pub(crate) fn x_forwarded_for<'a>(values: &[&'a str]) -> Vec<Option<IpAddr>> {
    let hops: Vec<&'a str> = values.iter().flat_map(|value| value.split(',')).collect();
    hops.into_iter()
        .rev()
        .map(|hop| address_of(hop.trim()))
        .collect()
}

/// The hops of `Forwarded` values (RFC 7239 §4), nearest first.
pub(crate) fn forwarded(values: &[&str]) -> Vec<Option<IpAddr>> {
    let values = values.iter().rev();
    values
        .flat_map(|value| parts(value, b','))
        .map(for_of)
        .collect()
}

/// The parts between separators that stand outside quoted strings, last part first. Read from the right, where the nearest proxy wrote:
/// a quote that a stranger left open further left must not swallow what the proxy added behind it.
fn parts(text: &str, separator: u8) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut parts, mut end, mut quoted) = (Vec::new(), text.len(), false);
    for at in (0..bytes.len()).rev() {
        match bytes[at] {
            b'"' if !quoted || !is_escaped(&bytes[..at]) => quoted = !quoted,
            byte if byte == separator && !quoted => {
                parts.push(&text[at + 1..end]);
                end = at;
            }
            _ => {}
        }
    }
    parts.push(&text[..end]);
    parts
}

/// Whether what follows `before` is escaped: an odd number of backslashes stands before it.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The address of an element's `for`, which it has once (RFC 7239 §4).
fn for_of(element: &str) -> Option<IpAddr> {
    let mut nodes = parts(element, b';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.trim())
    });
    let node = nodes.next().filter(|_| nodes.next().is_none())?;
    let quoted = node
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    address_of(quoted.unwrap_or(node))
}

/// An address with or without port and brackets; obfuscated names are none.
fn address_of(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest
            .split_once(']')
            .and_then(|(address, _)| address.parse::<Ipv6Addr>().ok())
            .map(IpAddr::V6);
    }
    let bare = || {
        text.rsplit_once(':')
            .and_then(|(address, _)| address.parse::<Ipv4Addr>().ok())
            .map(IpAddr::V4)
    };
    text.parse().ok().or_else(bare)
}

/// A PROXY v2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// There is none: the bytes are the client's own.
    Absent,
    /// More bytes are needed.
    Incomplete,
    /// This many bytes; the client's address, unless the proxy speaks for itself.
    Present(usize, Option<IpAddr>),
    /// It started as one and went wrong.
    Malformed,
}

/// Reads the start of a connection from a trusted proxy (PROXY protocol §2.2).
pub(crate) fn proxy_header(bytes: &[u8]) -> ProxyHeader {
    let start = bytes.len().min(PROXY_SIGNATURE.len());
    if bytes[..start] != PROXY_SIGNATURE[..start] {
        return ProxyHeader::Absent;
    }
    let Some(&[version_command, family, high, low]) =
        bytes.get(12..).and_then(|rest| rest.first_chunk::<4>())
    else {
        return ProxyHeader::Incomplete;
    };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if length > PROXY_BYTES_MAX {
        return ProxyHeader::Malformed;
    }
    let Some(rest) = bytes.get(16..length) else {
        return ProxyHeader::Incomplete;
    };
    match (version_command, family >> 4) {
        // LOCAL: the proxy's own health check; UNSPEC and UNIX: no address.
        (0x20, _) | (0x21, 0 | 3) => ProxyHeader::Present(length, None),
        (0x21, 1) => source::<4>(rest, length),
        (0x21, 2) => source::<16>(rest, length),
        _ => ProxyHeader::Malformed,
    }
}

/// The source address of `N` bytes; the destination's and two ports come after it.
fn source<const N: usize>(rest: &[u8], length: usize) -> ProxyHeader
where
    IpAddr: From<[u8; N]>,
{
    match rest.first_chunk::<N>() {
        Some(octets) if rest.len() >= 2 * N + 4 => {
            ProxyHeader::Present(length, Some(IpAddr::from(*octets)))
        }
        _ => ProxyHeader::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::parse(&["10.0.0.0/8".to_owned(), "::1".to_owned()]).unwrap()
    }

    #[track_caller]
    fn check(peer: &str, hops: Vec<Option<IpAddr>>, expected: &str) {
        assert_eq!(
            trusted().client(peer.parse().unwrap(), hops.into_iter()),
            expected.parse::<IpAddr>().unwrap()
        );
    }

    #[test]
    fn only_what_trusted_hops_wrote_is_believed() {
        check(
            "10.0.0.1",
            x_forwarded_for(&["1.1.1.1, 2.2.2.2, 10.0.0.2"]),
            "2.2.2.2",
        );
        check("9.9.9.9", x_forwarded_for(&["1.1.1.1"]), "9.9.9.9");
        check("10.0.0.1", x_forwarded_for(&["nonsense"]), "10.0.0.1");
        check(
            "10.0.0.1",
            x_forwarded_for(&["1.1.1.1", "3.3.3.3:80"]),
            "3.3.3.3",
        );
    }

    #[test]
    fn rfc7239_4_examples() {
        check(
            "::1",
            forwarded(&["for=192.0.2.43, for=\"[2001:db8:cafe::17]:4711\""]),
            "2001:db8:cafe::17",
        );
        check(
            "::1",
            forwarded(&["For=192.0.2.60;proto=http;by=203.0.113.43"]),
            "192.0.2.60",
        );
        check("::1", forwarded(&["for=_hidden"]), "::1");
    }

    #[test]
    fn rfc7239_4_quoted_text_names_no_hop() {
        // A proxy that records what the client called it, or adds to an element that the client left open.
        check(
            "::1",
            forwarded(&["for=1.1.1.1;host=\"x, for=6.6.6.6\""]),
            "1.1.1.1",
        );
        check(
            "::1",
            forwarded(&["host=\"a\\\", for=6.6.6.6\";for=1.1.1.1"]),
            "1.1.1.1",
        );
        check(
            "::1",
            forwarded(&["for=1.1.1.1;host=\"x;for=6.6.6.6\""]),
            "1.1.1.1",
        );
        check("::1", forwarded(&["for=\"6.6.6.6, for=1.1.1.1"]), "1.1.1.1");
        check("::1", forwarded(&["for=6.6.6.6;for=1.1.1.1"]), "::1");
        check("::1", forwarded(&["for=\"_gazonk\", for=unknown"]), "::1");
    }

    #[test]
    fn proxy_v2_addresses_are_whole() {
        // PROXY protocol section 2.2: 12 bytes of addresses for TCP over IPv4, 36 for IPv6.
        for (family, least) in [(0x11, 12u8), (0x21, 36)] {
            for length in 0..=least + 3 {
                let mut header = PROXY_SIGNATURE.to_vec();
                header.extend_from_slice(&[0x21, family, 0, length]);
                header.resize(16 + usize::from(length), 1);
                let read = proxy_header(&header);
                let present = matches!(read, ProxyHeader::Present(_, Some(_)));
                assert_eq!(present, length >= least, "{family:x} {length}: {read:?}");
            }
        }
    }

    #[test]
    fn proxy_v2_headers() {
        let mut header = PROXY_SIGNATURE.to_vec();
        header.extend_from_slice(&[0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 0, 81]);
        for cut in 1..header.len() {
            assert_eq!(
                proxy_header(&header[..cut]),
                ProxyHeader::Incomplete,
                "{cut}"
            );
        }
        assert_eq!(
            proxy_header(&header),
            ProxyHeader::Present(28, Some(IpAddr::from([1, 2, 3, 4])))
        );
        assert_eq!(proxy_header(b"GET / HTTP/1.1"), ProxyHeader::Absent);
        header[12] = 0x31;
        assert_eq!(proxy_header(&header), ProxyHeader::Malformed);
        header[12] = 0x20;
        assert_eq!(proxy_header(&header), ProxyHeader::Present(28, None));
        header[14] = 0xff;
        assert_eq!(proxy_header(&header), ProxyHeader::Malformed);
    }

    proptest::proptest! {
        #[test]
        fn wild_text_is_read(text in r#"(for|=|"|;|,|\\\\|\[|\]|::1|1\.1\.1\.1|:|.){0,40}"#) {
            let _ = x_forwarded_for(&[&text]);
            let _ = forwarded(&[&text]);
        }

        #[test]
        fn rfc7239_4_what_strangers_wrote_changes_nothing(text in r#"(for=|"|;|,|\\\\|1\.1\.1\.1|.){0,40}"#) {
            let value = format!("{text},for=2.2.2.2");
            proptest::prop_assert_eq!(forwarded(&[&value])[0], Some(IpAddr::from([2, 2, 2, 2])));
        }

        #[test]
        fn wild_bytes_are_no_longer_than_they_are(rest in proptest::collection::vec(proptest::num::u8::ANY, 0..700)) {
            let bytes = [&PROXY_SIGNATURE[..], &[0x21], &rest].concat();
            if let ProxyHeader::Present(length, _) = proxy_header(&bytes) {
                proptest::prop_assert!(length <= bytes.len().min(PROXY_BYTES_MAX));
            }
            let _ = proxy_header(&rest);
        }
    }
}
