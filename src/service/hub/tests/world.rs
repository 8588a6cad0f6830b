//! Several hubs, the rings between them, and a network that delivers everything at once.

use crate::auth::{Claims, KeyConfig, Keys, Origins, RoomClaims, TrustedProxies, mint};
use crate::forwarded::ProxyHeaderName;
use crate::hub::{Answer, FileAsk, Hub, Job, Output, Query};
use crate::limits::RateLimits;
use crate::post::{Class, MailOutcome, Post};
use crate::rooms::SlowConsumerRules;
use crate::settings::Settings;
use crate::time::{ConnId, Now};
use crate::uploads::StoreAsk;
use crate::upstream::LinkPeer;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Requests that fit into one ring.
#[derive(Default)]
struct Rings {
    from: u16,
    requests_max: usize,
    requests: VecDeque<(u16, u16, Vec<u8>)>,
    others: VecDeque<(u16, u16, Class, Vec<u8>)>,
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
            self.requests.push_back((self.from, to, parts.concat()));
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

/// What a client sees of its connection.
#[derive(Default)]
pub(super) struct Wire {
    shard: u16,
    pub(super) received: Vec<u8>,
    pub(super) closed: bool,
    /// The client reads nothing: the send in flight never completes.
    pub(super) stalled: bool,
    /// What is taken for it never arrives: the send in flight does not end.
    pub(super) stuck: bool,
    /// Its shard's loop was told that there is something to send.
    dirty: bool,
    pub(super) paused: bool,
    closing: bool,
}

/// All of it.
pub(super) struct World {
    pub(super) hubs: Vec<Hub>,
    rings: Rings,
    pub(super) wires: BTreeMap<ConnId, Wire>,
    timers: Vec<(u64, u16, u64)>,
    pub(super) now: Now,
    random: u64,
    /// Verifications that the pool has not begun.
    pub(super) jobs: Vec<(u16, u32, Job)>,
    /// What a disk was asked that has not answered. This world has none: a test has to bring it.
    pub(super) file_asks: Vec<(u16, u64, FileAsk)>,
    pub(super) store_asks: Vec<(u16, u64, StoreAsk)>,
}

/// The world's start, in Unix seconds.
const START_SECONDS: u64 = 1_700_000_000;

pub(super) fn key() -> KeyConfig {
    KeyConfig {
        id: "k".to_owned(),
        algorithm: "HS256".to_owned(),
        bytes: vec![7; 32],
        private: None,
    }
}

/// A token that lives for so long after the world's start.
pub(super) fn token(subject: &str, seconds: u64) -> String {
    let rw = RoomClaims {
        join: vec!["order:*".to_owned()],
        publish: vec!["order:1".to_owned()],
        ..RoomClaims::default()
    };
    mint(
        &key(),
        &Claims {
            sub: subject.to_owned(),
            exp: START_SECONDS + seconds,
            nbf: None,
            rw,
        },
    )
    .unwrap()
}

pub(super) fn settings(dev: bool) -> Settings {
    Settings {
        dev,
        upstream: None,
        host: 1,
        version: "0.1.0".to_owned(),
        path: "/socket.io/".to_owned(),
        head_timeout_ms: 10_000,
        keep_alive_timeout_ms: 60_000,
        head_bytes_max: 16_384,
        ping_interval_ms: 25_000,
        ping_timeout_ms: 20_000,
        connect_timeout_ms: 45_000,
        payload_bytes_max: 100_000,
        deflate: false,
        fragments_max: 64,
        connections_max: 1000,
        sessions_max: 1000,
        namespaces_max: 4,
        session_rooms_max: 8,
        shard_rooms_max: 1000,
        attachments_max: 8,
        queue_packets_max: 8,
        queue_bytes_max: 65_536,
        shard_queue_bytes_max: 1 << 20,
        shard_input_bytes_max: 1 << 20,
        slow_consumers: SlowConsumerRules::default(),
        keys: Keys::new(&[key()], None, None, 0).unwrap(),
        origins: Origins::default(),
        trusted_proxies: TrustedProxies::default(),
        proxy_header: ProxyHeaderName::default(),
        rates: RateLimits::default(),
        files: None,
        uploads: None,
        url_keys: None,
        assets: BTreeMap::new(),
    }
}

impl World {
    pub(super) fn new(shards: u16, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let hub = |shard| Hub::new(shard, shards, settings.clone(), [1, 2, 3, 4]);
        Self {
            hubs: (0..shards).map(hub).collect(),
            rings: Rings {
                requests_max: 64,
                ..Rings::default()
            },
            wires: BTreeMap::new(),
            timers: Vec::new(),
            now: Now {
                monotonic_us: 1_000_000,
                unix_ms: START_SECONDS * 1000,
            },
            random: 7,
            jobs: Vec::new(),
            file_asks: Vec::new(),
            store_asks: Vec::new(),
        }
    }

    pub(super) fn rings_hold(&mut self, requests_max: usize) {
        self.rings.requests_max = requests_max;
    }

    pub(super) fn open(&mut self, shard: u16) -> ConnId {
        let conn = ConnId::new(self.wires.len() as u64 + 1);
        self.wires.insert(
            conn,
            Wire {
                shard,
                ..Wire::default()
            },
        );
        let now = self.now;
        self.with(shard, |hub, _, _, out| {
            hub.accepted(now, conn, "192.0.2.1:5".parse().unwrap(), out)
        });
        conn
    }

    /// A link of a worker.
    pub(super) fn link(&mut self) -> ConnId {
        let conn = ConnId::new(self.wires.len() as u64 + 1);
        self.wires.insert(conn, Wire::default());
        let now = self.now;
        let peer = LinkPeer {
            name: "process 1".to_owned(),
            needs_proof: false,
        };
        self.with(0, |hub, post, entropy, out| {
            hub.link_accepted(now, conn, &peer, post, entropy, out)
        });
        self.settle();
        conn
    }

    pub(super) fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.bring(conn, bytes);
        self.settle();
    }

    /// Bytes arrive, and nothing else happens.
    pub(super) fn bring(&mut self, conn: ConnId, bytes: &[u8]) {
        let (now, shard) = (self.now, self.wires[&conn].shard);
        let mut bytes = bytes.to_vec();
        self.with(shard, |hub, post, entropy, out| {
            hub.received(now, conn, &mut bytes, post, entropy, out)
        });
    }

    /// As [`Self::send`], with laps only until nothing moves but what waits for the rings. Whether an answer came.
    pub(super) fn send_while_rings_are_full(&mut self, conn: ConnId, bytes: &[u8]) -> bool {
        self.send(conn, bytes);
        !self.wires[&conn].received.is_empty()
    }

    /// Whether the loop was told of output since the connection came to its shard.
    pub(super) fn dirty_since_arrival(&self, conn: ConnId) -> bool {
        self.wires[&conn].dirty
    }

    /// The address of some session.
    pub(super) fn first_address(&self) -> Option<String> {
        match self.hubs[0].query(&Query::Connections { from: 0, limit: 1 }) {
            Answer::Connections(rows) => rows.into_iter().next().map(|row| row.address),
            Answer::Rooms(_) => None,
        }
    }

    /// The pool does what it was asked to.
    pub(super) fn compute(&mut self) {
        for (shard, token, job) in core::mem::take(&mut self.jobs) {
            let (now, result) = (self.now, job());
            self.with(shard, |hub, post, entropy, out| {
                hub.computed(now, token, Ok(result), post, entropy, out)
            });
        }
        self.settle();
    }

    /// The peer says that it has nothing more to say.
    pub(super) fn finish(&mut self, conn: ConnId) {
        let (now, shard) = (self.now, self.wires[&conn].shard);
        self.with(shard, |hub, post, entropy, out| {
            hub.finished(now, conn, post, entropy, out)
        });
    }

    pub(super) fn hang_up(&mut self, conn: ConnId) {
        let (now, shard) = (self.now, self.wires[&conn].shard);
        self.with(shard, |hub, post, entropy, out| {
            hub.closed(now, conn, post, entropy, out);
        });
        self.settle();
    }

    pub(super) fn drain(&mut self, shard: u16, ms: u64) {
        let now = self.now;
        self.with(shard, |hub, _, _, out| {
            hub.drain(now, now.monotonic_us + ms * 1000, out)
        });
    }

    /// Time passes; timers fire in order.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        let until_us = self.now.monotonic_us + ms * 1000;
        while let Some(at) = (0..self.timers.len())
            .filter(|at| self.timers[*at].0 <= until_us)
            .min_by_key(|at| self.timers[*at].0)
        {
            let (at_us, shard, token) = self.timers.remove(at);
            self.move_to(at_us.max(self.now.monotonic_us));
            let now = self.now;
            self.with(shard, |hub, post, entropy, out| {
                hub.deadline(now, token, post, entropy, out)
            });
            self.settle();
        }
        self.move_to(until_us);
    }

    /// Time passes, and nobody is told.
    pub(super) fn stand_still_ms(&mut self, ms: u64) {
        self.move_to(self.now.monotonic_us + ms * 1000);
    }

    fn move_to(&mut self, at_us: u64) {
        let start = self.now.monotonic_us;
        self.now.unix_ms += at_us / 1000 - start / 1000;
        self.now.monotonic_us = at_us;
    }

    pub(super) fn with(
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
        call(
            &mut self.hubs[usize::from(shard)],
            &mut self.rings,
            &mut entropy,
            &mut out,
        );
        for output in out {
            self.carry(shard, output);
        }
    }

    fn carry(&mut self, shard: u16, output: Output) {
        match output {
            Output::Timer { at_us, token } => self.timers.push((at_us, shard, token)),
            Output::Close(conn) => self.wire(conn, |wire| wire.closed = true),
            Output::PeerFinished(_) => {}
            Output::CloseAfterFlush(conn) => self.wire(conn, |wire| wire.closing = true),
            Output::Pause(conn) => self.wire(conn, |wire| wire.paused = true),
            Output::Resume(conn) => self.wire(conn, |wire| wire.paused = false),
            Output::Migrate { conn, to } => self.migrate(shard, conn, to),
            Output::Dirty(conn)
            | Output::Urgent(conn)
            | Output::Behind(conn)
            | Output::DirtyAt { conn, .. } => self.wire(conn, |wire| wire.dirty = true),
            Output::Compute { token, job } => self.jobs.push((shard, token, job)),
            Output::File { token, ask } => self.file_asks.push((shard, token, ask)),
            Output::Store { token, ask } => self.store_asks.push((shard, token, ask)),
        }
    }

    fn wire(&mut self, conn: ConnId, change: impl FnOnce(&mut Wire)) {
        change(self.wires.get_mut(&conn).unwrap());
    }

    fn migrate(&mut self, from: u16, conn: ConnId, to: u16) {
        let state = self.hubs[usize::from(from)].freeze(conn);
        let wire = self.wires.get_mut(&conn).unwrap();
        (wire.shard, wire.dirty) = (to, false);
        let now = self.now;
        self.with(to, |hub, post, entropy, out| {
            hub.arrived(now, conn, &state, post, entropy, out)
        });
    }

    /// Laps until nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            let mut moved = self.carry_mail();
            for shard in 0..self.hubs.len() as u16 {
                let now = self.now;
                self.with(shard, |hub, post, entropy, out| {
                    hub.lap(now, post, entropy, out)
                });
            }
            moved |= self.flush();
            if !moved && self.rings.requests.is_empty() {
                return;
            }
        }
        panic!("no end of laps");
    }

    fn carry_mail(&mut self) -> bool {
        let mut moved = false;
        let requests: Vec<_> = self.rings.requests.drain(..).collect();
        let requests = requests
            .into_iter()
            .map(|(from, to, bytes)| (from, to, Class::Request, bytes));
        let all: Vec<_> = requests
            .chain(core::mem::take(&mut self.rings.others))
            .collect();
        for (from, to, class, bytes) in all {
            moved = true;
            let now = self.now;
            self.with(to, |hub, post, _, out| {
                assert_eq!(
                    hub.mail(now, from, class, &bytes, post, out),
                    MailOutcome::Taken
                );
            });
        }
        moved
    }

    fn flush(&mut self) -> bool {
        let mut moved = false;
        let conns: Vec<ConnId> = self
            .wires
            .iter()
            .filter(|(_, wire)| !wire.closed && !wire.stalled)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in conns {
            let shard = self.wires[&conn].shard;
            while let Some(bytes) = self.hubs[usize::from(shard)].next_send(self.now, conn) {
                moved = true;
                if self.wires[&conn].stuck {
                    break;
                }
                self.wire(conn, |wire| wire.received.extend_from_slice(&bytes));
                let now = self.now;
                self.with(shard, |hub, post, entropy, out| {
                    hub.sent(now, conn, post, entropy, out)
                });
            }
            self.wire(conn, |wire| wire.closed |= wire.closing);
        }
        moved
    }
}

/// A key whose signatures take long to check.
pub(super) fn es256() -> KeyConfig {
    KeyConfig {
        id: "e".to_owned(),
        algorithm: "ES256".to_owned(),
        bytes: include_bytes!("../../auth/testdata/es256.pub.pem").to_vec(),
        private: Some(include_bytes!("../../auth/testdata/es256.pem").to_vec()),
    }
}

/// A token whose signature takes long to check, and that permits nothing.
pub(super) fn slow_token(subject: &str) -> String {
    let claims = Claims {
        sub: subject.to_owned(),
        exp: 1_700_000_600,
        nbf: None,
        rw: RoomClaims::default(),
    };
    mint(&es256(), &claims).unwrap()
}
