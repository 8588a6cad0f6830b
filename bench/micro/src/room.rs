//! A hub with a room of 1,000 members: a publish is planned, and members are asked for what they are sent.
//!
//! The hub has the daemon's default settings: tokens, limits, native events. Seconds pass between publishes, so that no bucket is ever empty.

use crate::Subject;
use crate::frames::masked;
use ringway::config::Config;
use ringway_service::auth::{Claims, KeyConfig, Keys, RoomClaims, mint};
use ringway_service::hub::{Hub, Output};
use ringway_service::post::Post;
use ringway_service::settings::Settings;
use ringway_service::time::{ConnId, Now};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

const MEMBERS: u64 = 1000;
const PUBLISHER: ConnId = ConnId::new(MEMBERS);
const START_SECONDS: u64 = 1_700_000_000;
const PUBLISH: &str =
    r#"427["publish","lobby","0123456789012345678901234567890123456789012345678901234567890123"]"#;
const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: micro\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The rings of a shard that is alone.
struct NoOthers;

impl Post for NoOthers {
    fn deliver_fits(&mut self, _: u16, _: usize) -> bool {
        unreachable!("there is one shard")
    }
    fn deliver(&mut self, _: u16, _: &[&[u8]]) -> bool {
        unreachable!("there is one shard")
    }
    fn request(&mut self, _: u16, _: &[&[u8]]) -> bool {
        unreachable!("there is one shard")
    }
    fn request_one_way(&mut self, _: u16, _: &[&[u8]]) -> bool {
        unreachable!("there is one shard")
    }
    fn reply(&mut self, _: u16, _: &[&[u8]]) {
        unreachable!("there is one shard")
    }
}

/// The shard's hub, and the network as far as it needs one.
pub(crate) struct Shard {
    hub: Hub,
    now: Now,
    random: u64,
    out: Vec<Output>,
}

fn key() -> KeyConfig {
    KeyConfig {
        id: "micro".to_owned(),
        algorithm: "HS256".to_owned(),
        bytes: vec![7; 32],
        private: None,
    }
}

fn token(number: u64) -> String {
    let all = vec!["*".to_owned()];
    let claims = Claims {
        sub: format!("user-{number}"),
        exp: START_SECONDS + (1 << 30),
        nbf: None,
        rw: RoomClaims {
            join: all.clone(),
            publish: all,
            ..RoomClaims::default()
        },
    };
    mint(&key(), &claims).expect("a shared secret signs")
}

/// With which a client enters the namespace.
pub(crate) fn connect_packet(number: u64) -> String {
    format!("40{{\"token\":\"{}\"}}", token(number))
}

fn settings() -> Settings {
    let dev = Config {
        dev: true,
        ..Config::default()
    };
    Settings {
        upstream: None,
        // Only the files are left out that keys are read from.
        dev: false,
        keys: Keys::new(&[key()], None, None, 0).expect("a key"),
        ..ringway::settings::settings(&dev).expect("the default configuration can be used")
    }
}

impl Shard {
    /// All members in the room, and whoever publishes beside them.
    fn new() -> Self {
        let mut shard = Self::empty();
        for number in 0..=MEMBERS {
            let is_member = ConnId::new(number) != PUBLISHER;
            shard.enter(number, if is_member { &["lobby"] } else { &[] });
        }
        shard
    }

    pub(crate) fn empty() -> Self {
        Self {
            hub: Hub::new(0, 1, Arc::new(settings()), [1, 2, 3, 4]),
            now: Now {
                monotonic_us: 1_000_000,
                unix_ms: START_SECONDS * 1000,
            },
            random: 7,
            out: Vec::new(),
        }
    }

    /// A client comes, with a token of its own and an address of its own, and joins rooms.
    pub(crate) fn enter(&mut self, number: u64, rooms: &[&str]) {
        let conn = ConnId::new(number);
        self.accept(conn);
        self.receive(conn, &mut Self::upgrade());
        self.flush(conn);
        self.receive(conn, &mut masked(&connect_packet(number)));
        for room in rooms {
            self.receive(conn, &mut masked(&format!(r#"421["join","{room}"]"#)));
        }
        assert!(self.flush(conn) > 0, "the answers");
        self.rest();
    }

    /// What a client asks for first.
    pub(crate) fn upgrade() -> Vec<u8> {
        UPGRADE.as_bytes().to_vec()
    }

    /// A client is there, from an address of its own.
    pub(crate) fn accept(&mut self, conn: ConnId) {
        let address = Ipv4Addr::from_bits(0x0a00_0001 + conn.number() as u32);
        let peer = SocketAddr::from((address, 5));
        self.hub.accepted(self.now, conn, peer, &mut self.out);
    }

    /// The loop has closed the connection.
    pub(crate) fn left(&mut self, conn: ConnId) {
        self.hub
            .closed(self.now, conn, &mut NoOthers, &mut || 0, &mut self.out);
    }

    pub(crate) fn receive(&mut self, conn: ConnId, bytes: &mut [u8]) {
        let random = &mut self.random;
        let mut entropy = || {
            *random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *random ^ *random >> 29
        };
        self.hub.received(
            self.now,
            conn,
            bytes,
            &mut NoOthers,
            &mut entropy,
            &mut self.out,
        );
    }

    /// What the loop does for a dirty connection, and what it says once the kernel took it all. Gives the bytes.
    pub(crate) fn flush(&mut self, conn: ConnId) -> usize {
        let sent: Option<Rc<[u8]>> = self.hub.next_send(self.now, conn);
        self.hub
            .sent(self.now, conn, &mut NoOthers, &mut || 0, &mut self.out);
        sent.map_or(0, |bytes| bytes.len())
    }

    /// The end of a lap; the next one is a second later.
    pub(crate) fn rest(&mut self) {
        self.out.clear();
        self.hub
            .lap(self.now, &mut NoOthers, &mut || 0, &mut self.out);
        self.out.clear();
        self.now.monotonic_us += 1_000_000;
        self.now.unix_ms += 1000;
    }

    /// How many connections the loop was told to flush.
    fn dirty(&self) -> usize {
        let dirty = |output: &&Output| matches!(output, Output::Dirty(_) | Output::Urgent(_));
        self.out.iter().filter(dirty).count()
    }
}

/// Steps publish; the flush is not part of them.
struct Plan {
    shard: Shard,
    publish: Vec<u8>,
}

impl Subject for Plan {
    fn prepare(&mut self) {
        for number in 0..=MEMBERS {
            self.shard.flush(ConnId::new(number));
        }
        self.shard.rest();
        self.publish = masked(PUBLISH);
    }

    fn step(&mut self) {
        self.shard.receive(PUBLISHER, &mut self.publish);
        assert_eq!(
            self.shard.dirty(),
            MEMBERS as usize + 1,
            "and the publisher's answer"
        );
    }
}

pub(crate) fn plan() -> Box<dyn Subject> {
    Box::new(Plan {
        shard: Shard::new(),
        publish: Vec::new(),
    })
}

/// Steps flush; the publishes are not part of them.
struct Flush {
    shard: Shard,
    messages: usize,
}

impl Subject for Flush {
    fn prepare(&mut self) {
        self.shard.rest();
        for _ in 0..self.messages {
            self.shard.receive(PUBLISHER, &mut masked(PUBLISH));
        }
        self.shard.flush(PUBLISHER);
    }

    fn step(&mut self) {
        for number in 0..MEMBERS {
            let bytes = self.shard.flush(ConnId::new(number));
            assert!(
                bytes > self.messages * PUBLISH.len(),
                "all messages in one send"
            );
        }
    }
}

fn flush(messages: usize) -> Box<dyn Subject> {
    Box::new(Flush {
        shard: Shard::new(),
        messages,
    })
}

pub(crate) fn flush_one() -> Box<dyn Subject> {
    flush(1)
}

pub(crate) fn flush_four() -> Box<dyn Subject> {
    flush(4)
}
