//! Hubs, the rings between them, and clients made of bytes; time passes when the target says so.
//!
//! After each step the books must balance, and what one send carries has a bound. Deliberately absent: the real loop and sockets, which the
//! simulator has.

use crate::client::{Reader, Seen};
use ringway::config::Config;
use ringway_service::auth::{Claims, KeyConfig, Keys, RoomClaims, mint};
use ringway_service::hub::{Answer, ConnectionRow, Hub, Output, Query, RoomRow};
use ringway_service::limits::RateLimits;
use ringway_service::post::{Class, MailOutcome, Post};
use ringway_service::rooms::home_shard;
use ringway_service::settings::Settings;
use ringway_service::time::{ConnId, Now};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The world's start, in Unix seconds.
pub(crate) const START_SECONDS: u64 = 1_700_000_000;
/// The other end of each connection, which some settings trust as a proxy.
pub(crate) const PEER: &str = "192.0.2.1";
/// Laps until everything rests; more mean that it never does.
const LAPS_MAX: usize = 20_000;
/// What one send may carry with the settings below: answers that the client has not read, what is joined, and a message beyond each.
const SEND_BYTES_MAX: usize = 2 * 64 * 1024 + 3 * 4096;

type Mail = (u16, u16, Class, Vec<u8>);

/// The rings: requests find them full, the other classes never do.
#[derive(Default)]
struct Rings {
    from: u16,
    requests_max: usize,
    requests: VecDeque<Mail>,
    others: VecDeque<Mail>,
}

impl Post for Rings {
    fn deliver_fits(&mut self, _to: u16, _bytes: usize) -> bool {
        true
    }
    fn deliver(&mut self, to: u16, parts: &[&[u8]]) -> bool {
        self.others
            .push_back((self.from, to, Class::Deliver, parts.concat()));
        true
    }
    fn request(&mut self, to: u16, parts: &[&[u8]]) -> bool {
        let fits = self.requests.len() < self.requests_max;
        if fits {
            self.requests
                .push_back((self.from, to, Class::Request, parts.concat()));
        }
        fits
    }
    fn request_one_way(&mut self, to: u16, parts: &[&[u8]]) -> bool {
        self.request(to, parts)
    }
    fn reply(&mut self, to: u16, parts: &[&[u8]]) {
        self.others
            .push_back((self.from, to, Class::Reply, parts.concat()));
    }
}

/// A client's connection.
#[derive(Default)]
struct Wire {
    shard: u16,
    reader: Reader,
    /// The client reads nothing: the send in flight never completes.
    stalled: bool,
    /// A send is in flight to a client that reads nothing.
    in_flight: Option<Vec<u8>>,
    paused: bool,
    /// What came while the daemon wanted nothing.
    unread: Vec<u8>,
    closing: bool,
}

/// All of it.
pub(crate) struct World {
    hubs: Vec<Hub>,
    rings: Rings,
    wires: BTreeMap<ConnId, Wire>,
    next_conn: u64,
    timers: Vec<(u64, u16, u64)>,
    doomed: Vec<ConnId>,
    now: Now,
    random: u64,
    /// What clients saw whose connections are gone.
    pub(crate) last_words: BTreeMap<ConnId, Vec<Seen>>,
}

fn key() -> KeyConfig {
    KeyConfig {
        id: "k".to_owned(),
        algorithm: "HS256".to_owned(),
        bytes: vec![7; 32],
        private: None,
    }
}

/// A token that the worlds' key signs.
pub(crate) fn token(subject: &str, exp: u64) -> String {
    let rooms = vec!["a*".to_owned()];
    let rw = RoomClaims {
        join: rooms.clone(),
        publish: rooms,
        ..RoomClaims::default()
    };
    let claims = Claims {
        sub: subject.to_owned(),
        exp,
        nbf: None,
        rw,
    };
    mint(&key(), &claims).expect("a shared secret signs")
}

/// The daemon's own settings, with small bounds, so that few bytes reach them.
pub(crate) fn settings(dev: bool) -> Settings {
    let config = Config {
        dev: true,
        ..Config::default()
    };
    Settings {
        upstream: None,
        dev,
        host: 1,
        head_bytes_max: 2048,
        payload_bytes_max: 4096,
        deflate: true,
        fragments_max: 8,
        connections_max: 64,
        sessions_max: 128,
        namespaces_max: 3,
        session_rooms_max: 4,
        shard_rooms_max: 16,
        attachments_max: 4,
        queue_packets_max: 8,
        queue_bytes_max: 4096,
        shard_queue_bytes_max: 65_536,
        shard_input_bytes_max: 65_536,
        keys: Keys::new(&[key()], None, None, 0).expect("a key"),
        rates: RateLimits::default(),
        files: None,
        uploads: None,
        url_keys: None,
        assets: BTreeMap::new(),
        ..ringway::settings::settings(&config).expect("a configuration that can be used")
    }
}

impl World {
    pub(crate) fn new(shards: u16, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let hub = |shard| Hub::new(shard, shards, settings.clone(), [1, 2, 3, 4]);
        Self {
            hubs: (0..shards).map(hub).collect(),
            rings: Rings {
                requests_max: 64,
                ..Rings::default()
            },
            wires: BTreeMap::new(),
            next_conn: 0,
            timers: Vec::new(),
            doomed: Vec::new(),
            now: Now {
                monotonic_us: 1_000_000,
                unix_ms: START_SECONDS * 1000,
            },
            random: 7,
            last_words: BTreeMap::new(),
        }
    }

    pub(crate) const fn rings_hold(&mut self, requests_max: usize) {
        self.rings.requests_max = requests_max;
    }

    pub(crate) fn shards(&self) -> u16 {
        self.hubs.len() as u16
    }

    /// A client connects.
    pub(crate) fn open(&mut self, shard: u16) -> ConnId {
        self.next_conn += 1;
        let (conn, now) = (ConnId::new(self.next_conn), self.now);
        self.wires.insert(
            conn,
            Wire {
                shard,
                ..Wire::default()
            },
        );
        let peer = format!("{PEER}:5").parse().expect("an address");
        self.with(shard, |hub, _, _, out| hub.accepted(now, conn, peer, out));
        self.settle();
        conn
    }

    pub(crate) fn is_open(&self, conn: ConnId) -> bool {
        self.wires.contains_key(&conn)
    }

    pub(crate) fn shard_of(&self, conn: ConnId) -> Option<u16> {
        self.wires.get(&conn).map(|wire| wire.shard)
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(wire) = self.wires.get_mut(&conn) {
            wire.unread.extend_from_slice(bytes);
        }
        self.settle();
    }

    /// What the client saw since the last call.
    pub(crate) fn read(&mut self, conn: ConnId) -> Vec<Seen> {
        let mut seen = self.last_words.remove(&conn).unwrap_or_default();
        if let Some(wire) = self.wires.get_mut(&conn) {
            seen.extend(wire.reader.take());
        }
        seen
    }

    pub(crate) fn hang_up(&mut self, conn: ConnId) {
        self.gone(conn);
        self.settle();
    }

    pub(crate) fn hang_up_all(&mut self) {
        let conns: Vec<ConnId> = self.wires.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.hang_up(conn));
    }

    /// The client stops reading, or goes on.
    pub(crate) fn stall(&mut self, conn: ConnId, stalled: bool) {
        if let Some(wire) = self.wires.get_mut(&conn) {
            wire.stalled = stalled;
        }
        self.settle();
    }

    pub(crate) fn drain(&mut self, shard: u16, ms: u64) {
        let now = self.now;
        let deadline_us = now.monotonic_us + ms * 1000;
        self.with(shard, |hub, _, _, out| hub.drain(now, deadline_us, out));
        self.settle();
    }

    pub(crate) fn reload(&mut self, settings: &Settings) {
        self.hubs.iter_mut().for_each(|hub| hub.reload(settings));
    }

    /// An operator publishes, at the room's home.
    pub(crate) fn publish(&mut self, room: &str, data: &str) {
        let now = self.now;
        let shard = home_shard("/", room, self.shards());
        self.with(shard, |hub, post, _, out| {
            hub.publish_from_admin(now, ("/", room, data), post, out);
        });
        self.settle();
    }

    /// Time passes; timers fire in order.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let until_us = self.now.monotonic_us + ms * 1000;
        while let Some(at) = (0..self.timers.len())
            .filter(|at| self.timers[*at].0 <= until_us)
            .min_by_key(|at| self.timers[*at].0)
        {
            let (at_us, shard, token) = self.timers.remove(at);
            self.move_to(at_us.max(self.now.monotonic_us));
            let now = self.now;
            self.with(shard, |hub, post, entropy, out| {
                hub.deadline(now, token, post, entropy, out);
            });
            self.settle();
        }
        self.move_to(until_us);
        self.settle();
    }

    const fn move_to(&mut self, at_us: u64) {
        let start = self.now.monotonic_us;
        self.now.unix_ms += at_us / 1000 - start / 1000;
        self.now.monotonic_us = at_us;
    }

    fn with(
        &mut self,
        shard: u16,
        call: impl FnOnce(&mut Hub, &mut dyn Post, &mut dyn FnMut() -> u64, &mut Vec<Output>),
    ) {
        let mut out = Vec::new();
        self.rings.from = shard;
        let random = &mut self.random;
        let mut entropy = || {
            *random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *random ^ *random >> 29
        };
        let hub = &mut self.hubs[usize::from(shard)];
        call(hub, &mut self.rings, &mut entropy, &mut out);
        for output in out {
            self.carry(shard, output);
        }
    }

    fn carry(&mut self, shard: u16, output: Output) {
        match output {
            Output::Timer { at_us, token } => self.timers.push((at_us, shard, token)),
            Output::Close(conn) => self.doomed.push(conn),
            Output::PeerFinished(_) => {}
            Output::CloseAfterFlush(conn) => self.wire(conn, |wire| wire.closing = true),
            Output::Pause(conn) => self.wire(conn, |wire| wire.paused = true),
            Output::Resume(conn) => self.wire(conn, |wire| wire.paused = false),
            Output::Migrate { conn, to } => self.migrate(shard, conn, to),
            Output::Dirty(_) | Output::Urgent(_) | Output::Behind(_) | Output::DirtyAt { .. } => {}
            Output::Compute { .. } => panic!("a shared secret verifies at once"),
            Output::File { .. } | Output::Store { .. } => panic!("this world has no files"),
        }
    }

    fn wire(&mut self, conn: ConnId, change: impl FnOnce(&mut Wire)) {
        if let Some(wire) = self.wires.get_mut(&conn) {
            change(wire);
        }
    }

    fn migrate(&mut self, from: u16, conn: ConnId, to: u16) {
        assert_ne!(from, to, "a connection moves to another shard");
        let state = self.hubs[usize::from(from)].freeze(conn);
        self.wire(conn, |wire| wire.shard = to);
        let now = self.now;
        self.with(to, |hub, post, entropy, out| {
            hub.arrived(now, conn, &state, post, entropy, out);
        });
    }

    fn gone(&mut self, conn: ConnId) {
        let Some(mut wire) = self.wires.remove(&conn) else {
            return;
        };
        let now = self.now;
        self.with(wire.shard, |hub, post, entropy, out| {
            hub.closed(now, conn, post, entropy, out)
        });
        self.last_words.insert(conn, wire.reader.take());
    }

    /// Laps until nothing moves; then the books must balance.
    pub(crate) fn settle(&mut self) {
        for _ in 0..LAPS_MAX {
            let mut moved = self.carry_input();
            moved |= self.carry_mail();
            for shard in 0..self.shards() {
                let now = self.now;
                self.with(shard, |hub, post, entropy, out| {
                    hub.lap(now, post, entropy, out)
                });
            }
            moved |= self.flush();
            moved |= self.bury();
            if !moved && self.rings.requests.is_empty() && self.rings.others.is_empty() {
                self.check();
                return;
            }
        }
        panic!("no end of laps");
    }

    fn carry_input(&mut self) -> bool {
        let ready: Vec<ConnId> = self
            .wires
            .iter()
            .filter(|(_, wire)| !wire.paused && !wire.unread.is_empty())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in &ready {
            let (now, wire) = (self.now, self.wires.get_mut(conn).expect("it is ready"));
            let (shard, mut bytes) = (wire.shard, core::mem::take(&mut wire.unread));
            self.with(shard, |hub, post, entropy, out| {
                hub.received(now, *conn, &mut bytes, post, entropy, out);
            });
        }
        !ready.is_empty()
    }

    fn carry_mail(&mut self) -> bool {
        let mut mail: Vec<Mail> = self.rings.requests.drain(..).collect();
        mail.extend(self.rings.others.drain(..));
        let moved = !mail.is_empty();
        for (from, to, class, bytes) in mail {
            let now = self.now;
            self.with(to, |hub, post, _, out| {
                let outcome = hub.mail(now, from, class, &bytes, post, out);
                assert_eq!(outcome, MailOutcome::Taken, "deliveries always fit here");
            });
        }
        moved
    }

    fn flush(&mut self) -> bool {
        let conns: Vec<ConnId> = self.wires.keys().copied().collect();
        let mut moved = false;
        for conn in conns {
            moved |= self.flush_one(conn);
        }
        moved
    }

    fn flush_one(&mut self, conn: ConnId) -> bool {
        let mut moved = false;
        while let Some(wire) = self.wires.get_mut(&conn) {
            let shard = wire.shard;
            if wire.in_flight.is_none() {
                let next = self.hubs[usize::from(shard)].next_send(self.now, conn);
                let Some(bytes) = next else {
                    if wire.closing {
                        wire.reader.finish();
                        self.doomed.push(conn);
                    }
                    break;
                };
                assert!(
                    bytes.len() <= SEND_BYTES_MAX,
                    "{} bytes in a send",
                    bytes.len()
                );
                wire.in_flight = Some(bytes.to_vec());
            }
            if wire.stalled {
                break;
            }
            moved = true;
            let bytes = wire.in_flight.take().expect("it is in flight");
            wire.reader.push(&bytes);
            let now = self.now;
            self.with(shard, |hub, post, entropy, out| {
                hub.sent(now, conn, post, entropy, out)
            });
        }
        moved
    }

    fn bury(&mut self) -> bool {
        let doomed = core::mem::take(&mut self.doomed);
        let before = self.wires.len();
        doomed.into_iter().for_each(|conn| self.gone(conn));
        self.wires.len() < before
    }

    /// Every session, as operators see it.
    pub(crate) fn sessions(&self) -> Vec<ConnectionRow> {
        let rows = self.hubs.iter().flat_map(|hub| {
            let Answer::Connections(rows) = hub.query(&Query::Connections {
                from: 0,
                limit: usize::MAX,
            }) else {
                unreachable!("the question was for connections")
            };
            rows
        });
        rows.collect()
    }

    /// Every room, as each shard knows it.
    pub(crate) fn rooms(&self) -> Vec<RoomRow> {
        let rows = self.hubs.iter().flat_map(|hub| {
            let Answer::Rooms(rows) = hub.query(&Query::Rooms {
                after: None,
                limit: usize::MAX,
            }) else {
                unreachable!("the question was for rooms")
            };
            rows
        });
        rows.collect()
    }

    fn check(&self) {
        let connections: u64 = self.hubs.iter().map(|hub| hub.stats().connections).sum();
        assert_eq!(connections, self.wires.len() as u64, "connections");
        let rows = self.sessions();
        let sessions: u64 = self.hubs.iter().map(|hub| hub.stats().sessions).sum();
        assert_eq!(sessions, rows.len() as u64, "sessions");
        let sockets = rows
            .iter()
            .filter(|row| row.transport == "websocket")
            .count();
        let counted: u64 = self
            .hubs
            .iter()
            .map(|hub| hub.stats().sessions_websocket)
            .sum();
        assert_eq!(counted, sockets as u64, "sessions on a WebSocket");
        let bound = settings(true);
        for row in &rows {
            let most = bound.queue_bytes_max.max(bound.payload_bytes_max * 2) as usize;
            assert!(row.queued_packets <= bound.queue_packets_max as usize);
            assert!(
                row.queued_bytes <= most,
                "{} bytes queued",
                row.queued_bytes
            );
            assert!(row.rooms.len() <= usize::from(bound.session_rooms_max));
            assert!(row.namespaces.len() <= usize::from(bound.namespaces_max));
        }
        // Each connection and each session has one timer that is meant, and old ones that found it so.
        let most = 64 + 16 * (self.next_conn as usize + rows.len());
        assert!(self.timers.len() <= most, "{} timers", self.timers.len());
    }

    /// Everybody left: after the longest time that anything is kept, nothing is.
    pub(crate) fn check_empty(&mut self) {
        self.hang_up_all();
        for _ in 0..4 {
            self.pass_ms(60_000);
        }
        assert!(self.wires.is_empty() && self.sessions().is_empty());
        let rooms = self.rooms();
        assert!(rooms.is_empty(), "rooms without anybody: {rooms:?}");
        assert!(
            self.timers.is_empty(),
            "timers of nobody: {:?}",
            self.timers
        );
        for hub in &self.hubs {
            let stats = hub.stats();
            assert!(hub.is_quiet(), "something is under way");
            assert_eq!((stats.queued_bytes, stats.input_bytes), (0, 0), "books");
        }
    }
}
