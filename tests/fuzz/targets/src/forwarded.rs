//! Forwarding headers and PROXY v2, as a proxy in front of a hub sends them: whom the hub takes for the client.

use crate::client::{Seen, get};
use crate::input::{Input, pieces, text_of};
use crate::world::{PEER, World, settings};
use ringway_service::auth::TrustedProxies;
use std::net::IpAddr;

/// What the nearest proxy wrote.
const NEAREST: &str = "203.0.113.9";
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

fn world() -> World {
    let mut settings = settings(true);
    let trusted = [PEER.to_owned(), "10.0.0.0/8".to_owned()];
    settings.trusted_proxies = TrustedProxies::parse(&trusted).expect("networks");
    World::new(1, settings)
}

/// Whom the hub takes for the client of a session that this stream opens; `None` when it opens none.
fn client_of(stream: &[&[u8]]) -> (Option<String>, Vec<Seen>) {
    let mut world = world();
    let conn = world.open(0);
    for piece in stream {
        world.send(conn, piece);
    }
    let seen = world.read(conn);
    let session = world.sessions().pop();
    (session.map(|row| row.address), seen)
}

fn client_with(header: &str, value: &str) -> Option<String> {
    client_of(&[&get("transport=polling", &format!("{header}: {value}\r\n"))]).0
}

/// A byte that chooses the header, then its value.
pub fn forwarded(data: &[u8]) {
    let mut input = Input::new(data);
    let standard = input.byte() & 1 == 0;
    let text = text_of(input.rest());
    let value: String = text
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    let (header, nearest) = if standard {
        ("Forwarded", format!("for={NEAREST}"))
    } else {
        ("X-Forwarded-For", NEAREST.to_owned())
    };
    if let Some(client) = client_with(header, &value) {
        let address: IpAddr = client.parse().expect("an address");
        assert!(
            client == PEER || value.contains(&client) || !is_plain(&value, address),
            "{value}: {client} is nowhere in it"
        );
    }
    // What strangers wrote further left changes nothing, and a hop that does not exist is not passed.
    if let Some(client) = client_with(header, &format!("{value}, {nearest}")) {
        assert_eq!(client, NEAREST, "{value}");
    }
    if let Some(client) = client_with(header, &format!("{value}, unknown")) {
        assert_eq!(client, PEER, "{value}");
    }
}

/// Whether an address has one form only, which then must stand in the value.
fn is_plain(value: &str, address: IpAddr) -> bool {
    address.is_ipv4() && !value.contains("::ffff")
}

/// A byte that says how the stream is cut, one that chooses, then a header or its parts.
pub fn proxy_v2(data: &[u8]) {
    let mut input = Input::new(data);
    let (how, choice) = (input.byte(), input.byte());
    let mut stream = if choice & 1 == 0 {
        input.rest().to_vec()
    } else {
        let mut stream = SIGNATURE.to_vec();
        stream.extend_from_slice(input.rest());
        stream
    };
    let expected = expected(&stream);
    if matches!(expected, Expected::Client(..)) {
        stream.truncate(header_bytes(&stream));
    }
    stream.extend_from_slice(&get("transport=polling", ""));
    let whole = client_of(&[&stream]);
    let cut = client_of(&pieces(&stream, how));
    assert_eq!(cut.0, whole.0, "cut by {how}");
    match expected {
        Expected::Client(client) => assert_eq!(whole.0, Some(client)),
        Expected::Closed => assert_eq!(whole, (None, Vec::new())),
        Expected::Other => {}
    }
}

enum Expected {
    /// A session of this client.
    Client(String),
    /// No answer at all.
    Closed,
    /// No header, or half of one.
    Other,
}

fn header_bytes(stream: &[u8]) -> usize {
    16 + usize::from(u16::from_be_bytes([stream[14], stream[15]]))
}

/// PROXY protocol section 2.2, read once more.
fn expected(stream: &[u8]) -> Expected {
    let Some(rest) = stream.strip_prefix(&SIGNATURE) else {
        return Expected::Other;
    };
    if rest.len() < 4 {
        return Expected::Other;
    }
    let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
    if 16 + length > 536 {
        return Expected::Closed;
    }
    let Some(addresses) = rest.get(4..4 + length) else {
        return Expected::Other;
    };
    match (rest[0], rest[1] >> 4, length) {
        (0x20, ..) | (0x21, 0 | 3, _) => Expected::Client(PEER.to_owned()),
        (0x21, 1, 12..) => {
            let octets: [u8; 4] = addresses[..4].try_into().expect("four");
            Expected::Client(believed(IpAddr::from(octets)))
        }
        (0x21, 2, 36..) => {
            let octets: [u8; 16] = addresses[..16].try_into().expect("sixteen");
            Expected::Client(believed(IpAddr::from(octets)))
        }
        _ => Expected::Closed,
    }
}

fn believed(address: IpAddr) -> String {
    address.to_string()
}
