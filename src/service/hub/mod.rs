//! One shard's service: connections, sessions and rooms, driven by bytes and time.
//!
//! The loop calls in; what it must do comes back as [`Output`]s, in order. Deliberately absent: sockets, clocks, randomness
//! and the other shards, of which a hub sees a [`Post`] and nothing else.

mod asking;
mod bodies;
mod bound;
mod bundles;
mod closing;
mod date;
mod encoding;
mod engine;
mod errands;
mod files;
mod frozen;
mod gathered;
mod heartbeat;
mod http;
mod legs;
mod lines;
mod links;
mod moved;
mod namespaces;
mod obeyed;
mod opaque;
mod output;
mod pace;
mod packets;
mod pages;
mod prefix;
mod query;
mod searches;
mod sending;
mod sids;
pub(crate) mod slab;
mod slow;
mod state;
mod unsealing;
mod upload_news;
mod uploaders;
mod uploads;
mod upstream;
mod used_urls;
mod websocket;
mod wire;

#[cfg(test)]
mod tests;

use files::Files;
pub use files::{FileAnswer, FileAsk, NotOpened, OpenedFile, Seen};
pub use frozen::Frozen;
pub(crate) use gathered::Gathered;
pub use output::{Job, Output};
pub use query::{Answer, ConnectionRow, PublishOutcome, Query, RoomRow};
pub use slab::Key;
use uploads::HubUploads;

use crate::connection::{Connection, Purpose, Stage};
use crate::joined::Joined;
use crate::limits::{Limits, Place};
use crate::packet::Draft;
use crate::post::{Class, MailOutcome, Post};
use crate::refusal::Refusal;
use crate::rooms::Rooms;
use crate::session::{Cause, Session};
use crate::settings::Settings;
use crate::stats::Stats;
use crate::time::{ConnId, Now};
use crate::upstream::{Joint, MAIL};
use closing::Drain;
use core::hash::{BuildHasher, Hasher};
use date::DateLine;
use sids::Sids;
use slab::{Seats, Slab};
use std::collections::{HashMap, VecDeque};
use std::hash::DefaultHasher;
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes of answers and control frames that may wait behind the send in flight. Who asks for more without reading waits or is cut off.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Answers that are no session's have so much of the budget for queued bytes: one part in four.
const ANSWERS_SHARE: u64 = 4;

/// What one call brings along.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) post: &'a mut dyn Post,
    pub(crate) entropy: &'a mut dyn FnMut() -> u64,
    pub(crate) out: &'a mut Vec<Output>,
}

impl<'a> Turn<'a> {
    pub(crate) const fn new(
        now: Now,
        post: &'a mut dyn Post,
        entropy: &'a mut dyn FnMut() -> u64,
        out: &'a mut Vec<Output>,
    ) -> Self {
        Self {
            now,
            post,
            entropy,
            out,
        }
    }
}

/// A map's hasher, seeded by the driver: peers cannot choose keys that collide.
#[derive(Clone, Copy)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// For tests.
    #[cfg(test)]
    pub(crate) const fn fixed() -> Self {
        Self(7)
    }
}

impl BuildHasher for Seed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

/// The service of one shard.
pub struct Hub {
    shard: u16,
    shards: u16,
    settings: Arc<Settings>,
    connections: Seats<Connection>,
    sessions: Slab<Session>,
    by_sid: Sids,
    rooms: Rooms,
    joined: Joined,
    draft: Draft,
    limits: Limits,
    stats: Stats,
    date: DateLine,
    /// Sessions with parked input, oldest first.
    parked: VecDeque<Key>,
    /// Sessions whose token is being verified, by the job's token.
    jobs: HashMap<u32, Key, Seed>,
    next_job: u32,
    /// Verifications that the full pool refused, with their job's token; they are tried again soon.
    unverified: Vec<(Key, u32)>,
    drain: Option<Drain>,
    /// Bytes in all outboxes, and in answers on their way to polling clients.
    queued_bytes: u64,
    /// Of those, bytes of answers that are no session's: of files above all.
    given_bytes: u64,
    /// Connections whose deadline has no timer yet.
    unarmed: Vec<Key>,
    /// Bytes of requests and messages that are not whole.
    input_bytes: u64,
    /// Until then nobody's pong is late: this shard stood still.
    forgiving_until_us: u64,
    /// Whether all that had come was read before the deadlines of this lap.
    heard_all: bool,
    /// Whom the WebSocket serves whose frames are being read.
    purpose: Option<Purpose>,
    /// Whether that WebSocket agreed to permessage-deflate.
    echo_deflates: bool,
    upstream: Joint,
    files: Files,
    uploads: Option<Box<HubUploads>>,
}

impl Hub {
    /// A hub without connections. `seed` must be unpredictable.
    #[must_use]
    pub fn new(shard: u16, shards: u16, settings: Arc<Settings>, seed: [u64; 4]) -> Self {
        assert!(shard < shards, "a shard is one of the shards");
        Self {
            shard,
            shards,
            connections: Seats::with_capacity(settings.connections_max),
            sessions: Slab::with_capacity(settings.sessions_max),
            by_sid: Sids::new(Seed(seed[1])),
            rooms: Rooms::new(
                shard,
                shards,
                settings.rooms_bounds(),
                settings.sessions_max,
                seed[2],
            ),
            joined: Joined::default(),
            draft: Draft::default(),
            limits: Limits::new(settings.rates.clone(), seed[3]),
            stats: Stats::default(),
            date: DateLine::new(),
            parked: VecDeque::new(),
            jobs: HashMap::with_hasher(Seed(seed[0])),
            next_job: 0,
            unverified: Vec::new(),
            drain: None,
            queued_bytes: 0,
            given_bytes: 0,
            unarmed: Vec::new(),
            input_bytes: 0,
            forgiving_until_us: 0,
            heard_all: true,
            purpose: None,
            echo_deflates: false,
            upstream: Joint::new(shard, shards, &settings, seed),
            files: Files::new(settings.files.as_ref(), shard, Seed(seed[0])),
            uploads: settings
                .uploads
                .as_ref()
                .map(|service| Box::new(HubUploads::new(service, Seed(seed[0])))),
            settings,
        }
    }

    /// A client connected from `peer`.
    pub fn accepted(&mut self, now: Now, conn: ConnId, peer: SocketAddr, out: &mut Vec<Output>) {
        self.stats.connections_accepted += 1;
        let place = match self.admit(now, peer) {
            Ok(place) => place,
            Err(refusal) => {
                self.stats.refused(refusal);
                out.push(Output::Close(conn));
                return;
            }
        };
        let trusted = self.settings.trusted_proxies.contains(peer.ip());
        let stage = if trusted { Stage::Prefix } else { Stage::Head };
        let mut connection = Connection::new(peer.ip(), stage);
        connection.place = place;
        let key = self.insert_connection(conn, connection);
        self.arm_connection(
            key,
            now.monotonic_us + u64::from(self.settings.head_timeout_ms) * 1000,
            out,
        );
    }

    fn admit(&mut self, now: Now, peer: SocketAddr) -> Result<Option<Place>, Refusal> {
        if self.draining() {
            return Err(Refusal::Draining);
        }
        if self.over_memory() || self.connections.len() >= self.settings.connections_max as usize {
            return Err(Refusal::ShardFull);
        }
        // Behind a proxy all clients share its address: they are counted once their own address is known.
        if self.settings.dev || self.settings.trusted_proxies.contains(peer.ip()) {
            return Ok(None);
        }
        self.limits.connect(now, peer.ip()).map(Some)
    }

    pub(crate) fn insert_connection(&mut self, conn: ConnId, connection: Connection) -> Key {
        let key = Key::of(conn);
        self.connections.insert(key, connection);
        self.stats.connections += 1;
        key
    }

    /// Bytes arrived on `conn`.
    pub fn received(
        &mut self,
        now: Now,
        conn: ConnId,
        bytes: &mut [u8],
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        if self.upstream.is_link(conn) {
            return self.with_exchange(now, post, out, |exchange| {
                exchange.received(now, conn, bytes);
            });
        }
        let key = Key::of(conn);
        self.stats.bytes_received += bytes.len() as u64;
        let mut turn = Turn::new(now, post, entropy, out);
        let Some(connection) = self
            .connections
            .get_mut(key)
            .filter(|connection| !connection.closing)
        else {
            return;
        };
        if matches!(connection.stage, Stage::Socket(_)) {
            self.feed_socket(key, bytes, &mut turn);
        } else {
            let is_body = matches!(connection.stage, Stage::Uploading);
            let http = connection.http_mut();
            let http = http.expect("only a WebSocket has let go of it");
            if is_body && http.input.is_empty() {
                self.feed_upload(key, bytes, &mut turn);
            } else {
                http.input.extend_from_slice(bytes);
            }
            self.advance(key, &mut turn);
            self.bound_input(key, &mut turn);
        }
        self.count_input(key, &mut turn);
    }

    /// Requests that wait behind a GET, or behind answers that nobody reads, are kept, but not without end.
    fn bound_input(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        if matches!(connection.stage, Stage::Opening | Stage::Sending) {
            return self.hold_back(key, turn);
        }
        let mut input_bytes_max = self.input_bytes_max();
        if matches!(connection.stage, Stage::Uploading | Stage::Away) {
            // Nothing more is received, also by who goes to another shard behind an upload, and of what was on the way there is no more than the shard has buffers for; it counts against the shard's budget.
            return;
        }
        if matches!(connection.stage, Stage::Asked) {
            // Nothing more is received, but what was on the way has come, and may be the body.
            input_bytes_max += self.settings.post_bytes_max() as usize;
        }
        if connection.input().len() > input_bytes_max {
            let is_unread = connection.busy().output.len() > OUTPUT_BYTES_MAX;
            self.stats.refused(match is_unread {
                true => Refusal::SlowConsumer,
                false => Refusal::BadRequest,
            });
            self.close_now(key, turn);
        }
    }

    fn input_bytes_max(&self) -> usize {
        self.settings.head_bytes_max as usize * 4
    }

    /// What comes behind a request for a file, which may take long: nothing more is received until the answer went out. Behind the last answer of a connection
    /// nothing is read any more.
    fn hold_back(&mut self, key: Key, turn: &mut Turn<'_>) {
        let is_last = self.files.is_last(key);
        let input_bytes_max = self.input_bytes_max();
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if is_last {
            drop(connection.take_input());
        } else if connection.input().len() > input_bytes_max && !connection.paused {
            (connection.paused, connection.is_held_back) = (true, true);
            turn.out.push(Output::Pause(key.conn()));
        }
    }

    /// The answer went out that its next requests waited for.
    fn let_on(&mut self, key: Key, turn: &mut Turn<'_>) {
        let input_bytes_max = self.input_bytes_max();
        if let Some(connection) = self.connections.get_mut(key)
            && connection.is_held_back
            && !matches!(connection.stage, Stage::Opening | Stage::Sending)
            && connection.input().len() <= input_bytes_max
        {
            (connection.paused, connection.is_held_back) = (false, false);
            turn.out.push(Output::Resume(key.conn()));
        }
    }

    /// A frame of [`Self::next_send`] went out.
    pub fn sent(
        &mut self,
        now: Now,
        conn: ConnId,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let key = Key::of(conn);
        let mut turn = Turn::new(now, post, entropy, out);
        self.after_send(key, &mut turn);
    }

    /// The peer of `conn` has nothing more to say; it may still read. A WebSocket without its peer's frames is over. A GET that waits is given
    /// up: what comes later would be said to nobody, and waits for the next one.
    pub fn finished(
        &mut self,
        now: Now,
        conn: ConnId,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        if self.upstream.is_link(conn) {
            out.push(Output::Close(conn));
            return;
        }
        let key = Key::of(conn);
        let mut turn = Turn::new(now, post, entropy, out);
        match self
            .connections
            .get(key)
            .map(|connection| &connection.stage)
        {
            Some(Stage::Poll(_)) => self.close_now(key, &mut turn),
            Some(Stage::Uploading) => self.finish_upload(key, &mut turn),
            Some(Stage::Socket(socket)) => {
                if let Purpose::Session(session) = socket.purpose {
                    self.close_session(session, Cause::Peer, &mut turn);
                }
            }
            _ => {}
        }
    }

    /// `conn` is gone; the last call about it.
    pub fn closed(
        &mut self,
        now: Now,
        conn: ConnId,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        if self.upstream.is_link(conn) {
            return self.with_exchange(now, post, out, |exchange| exchange.closed(now, conn));
        }
        let Some(mut connection) = self.connections.remove(Key::of(conn)) else {
            return;
        };
        let of_file = self.files.forget(Key::of(conn));
        self.queued_bytes -= of_file + connection.answer_bytes();
        self.given_bytes -= of_file + connection.given_bytes();
        self.uncount_input(&connection);
        self.stats.connections -= 1;
        self.limits.disconnect(connection.place.take());
        let mut turn = Turn::new(now, post, entropy, out);
        self.detach(conn, &connection, &mut turn);
        self.cut_upload(Key::of(conn), &mut turn);
    }

    /// A connection ended: what becomes of its session.
    fn detach(&mut self, conn: ConnId, connection: &Connection, turn: &mut Turn<'_>) {
        let Some(key) = connection.session() else {
            return;
        };
        match &connection.stage {
            Stage::Socket(socket) if socket.purpose == Purpose::Session(key) => {
                self.close_session(key, Cause::Peer, turn);
            }
            // What was in the answer may be lost: the next GET must not go on as if it were not.
            Stage::Answer { .. } => {
                self.close_session(key, Cause::Told(Refusal::PollBroken, 1008), turn);
            }
            _ => self.forget_conn(key, conn),
        }
    }

    /// A client that aborts its GET or its POST, or whose probe fails, keeps its session: packets wait for the next GET.
    fn forget_conn(&mut self, key: Key, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.conn.take_if(|held| *held == conn);
        let rare = session.rare_mut();
        rare.post.take_if(|held| *held == conn);
        if rare.probe.take_if(|held| *held == conn).is_some() {
            session.transport = crate::session::Transport::Polling;
        }
    }

    /// A message of another shard.
    pub fn mail(
        &mut self,
        now: Now,
        from: u16,
        class: Class,
        bytes: &[u8],
        post: &mut dyn Post,
        out: &mut Vec<Output>,
    ) -> MailOutcome {
        let mut turn = Turn {
            now,
            post,
            entropy: &mut || 0,
            out,
        };
        if bytes.first() == Some(&MAIL) {
            self.upstream_mail(class, bytes, &mut turn);
            return MailOutcome::Taken;
        }
        let outcome = self.rooms.mail(turn.now, from, class, bytes, turn.post);
        self.settle_rooms(&mut turn);
        outcome
    }

    /// Once per lap, before the flush: retries what waited for ring space.
    pub fn lap(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        self.joined.clear();
        let mut turn = Turn::new(now, post, entropy, out);
        self.rooms.lap(turn.now, turn.post);
        self.settle_rooms(&mut turn);
        self.upstream_lap(&mut turn);
        self.uploads_lap(&mut turn);
        self.work_journal(&mut turn);
        self.arm_files(&mut turn);
        self.retry_parked(&mut turn);
        self.arm_answers(&mut turn);
        self.stats.queued_bytes = self.queued_bytes;
        self.stats.input_bytes = self.input_bytes;
        self.stats.file_cache_bytes = self.files.cached_bytes() as u64;
        self.stats.used_urls = self.files.once.len() as u64;
        self.stats.file_jobs_waiting = self.files.errands.waiting() as u64;
        self.upstream.count(&mut self.stats);
    }

    fn arm_answers(&mut self, turn: &mut Turn<'_>) {
        for key in core::mem::take(&mut self.unarmed) {
            let deadline_us = self
                .connections
                .get(key)
                .map(|found| found.busy().deadline_us);
            if let Some(at_us) = deadline_us.filter(|at_us| *at_us != 0) {
                self.set_deadline(key, at_us, turn);
            }
        }
    }

    /// New keys, origins, proxies and limits; connections keep what they have.
    pub fn reload(&mut self, fresh: &Settings) {
        self.reload_settings(fresh);
        self.limits.reload(self.settings.rates.clone());
        self.rooms.reload(self.settings.rooms_bounds());
    }

    /// What this shard has counted.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) const fn draining(&self) -> bool {
        self.drain.is_some()
    }

    /// The budget for queued bytes or for input is used up: existing members keep theirs, newcomers wait outside.
    pub(crate) fn over_memory(&self) -> bool {
        let waiting = self.queued_bytes + self.files.borrowed_bytes();
        waiting > self.settings.shard_queue_bytes_max || self.over_input()
    }

    /// The part of that budget is used up which answers of files may have: whoever reads theirs slowly is no reason to let nobody in.
    pub(super) fn over_answers(&self) -> bool {
        let given = self.given_bytes + self.files.borrowed_bytes();
        given > self.settings.shard_queue_bytes_max / ANSWERS_SHARE || self.over_memory()
    }

    /// Counts what a connection keeps of its input; whoever adds to a budget that is used up is cut off.
    pub(super) fn count_input(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let kept = u32::try_from(connection.input_bytes()).unwrap_or(u32::MAX);
        let counted = connection.count_bytes(kept);
        let session = connection.session();
        self.input_bytes = self.input_bytes + u64::from(kept) - u64::from(counted);
        if kept > counted && self.over_input() {
            self.cut_off_input(key, session, turn);
        }
    }

    pub(crate) fn over_input(&self) -> bool {
        self.input_bytes > self.settings.shard_input_bytes_max
    }

    fn cut_off_input(&mut self, key: Key, session: Option<Key>, turn: &mut Turn<'_>) {
        match session {
            Some(session) => self.close_session(session, Cause::Told(Refusal::Busy, 1008), turn),
            None => self.stats.refused(Refusal::Busy),
        }
        self.close_now(key, turn);
    }

    pub(crate) fn uncount_input(&mut self, connection: &Connection) {
        self.input_bytes -= u64::from(connection.busy().counted_bytes);
    }
}
