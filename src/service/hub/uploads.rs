//! Requests for uploads: how their bodies reach storage, and how their answers go out.
//!
//! A body is not collected. Its bytes go from the connection's input into a buffer of the shard; a buffer that is full, or that has gathered for a moment,
//! becomes one write: what a write costs beside its bytes is more than they cost. Where there is no buffer, or storage has as many writes as it may, nothing more is received: the client waits
//! in its socket. Buffers come back with their writes, so none waits for a client longer than that moment.
//!
//! Deliberately absent: whose they are and where (`uploaders.rs`), what is answered (`uploads/machine.rs`), and which operations on files that takes (`uploads/store.rs`).

use super::pace::Pace;
use super::pages::{Manners, tell_page};
use super::upload_news::UploadNews;
use super::uploaders::{Proving, Signed, Uploader};
use super::used_urls::USED_URLS;
use super::{Hub, Key, Output, Seed, Turn};
use crate::connection::{Reply, Stage};
use crate::post::Post;
use crate::refusal::Refusal;
use crate::settings::UploadsService;
use crate::time::Now;
use crate::uploads::{
    Answer, Ask, Begun, Buffers, Found, Input, Store, StoreAnswer, Ticket, TransferId, UploadId,
    Uploads, Want,
};
use ringway_proto::http1::{BodyFraming, Request};
use ringway_proto::tus::{self, Method};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A client from which nothing came for so long gives way to one that wants to continue the same upload: it is most likely the same one, on a new
/// connection, and the old one is not known to be dead.
const STALE_US: u64 = 2_000_000;
/// So long a piece that is not full waits for more of its body, from its first byte on. In that time a client of a hundred megabits a second fills a quarter of a megabyte.
const GATHER_US: u64 = 20_000;
/// So long while others wait for a buffer.
const GATHER_SCARCE_US: u64 = 10_000;
/// Between two looks at the clock.
const TICK_US: u64 = 1_000_000;
/// What pages may do with uploads.
const PAGES: Manners = Manners {
    methods: "POST, HEAD, PATCH, DELETE, OPTIONS",
    sent: tus::REQUEST_HEADERS,
    seen: tus::RESPONSE_HEADERS,
};
/// RFC 9110 §15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request whose answer is not there yet.
struct Incoming {
    transfer: TransferId,
    framing: BodyFraming,
    /// Bytes that storage was not given yet. Without memory while there are none.
    buffer: Vec<u8>,
    /// When the first of them came.
    gathers_since_us: u64,
    /// Storage has so many pieces of it.
    writes: u32,
    /// The machine wants it.
    may_come: bool,
    /// The client waits for `100 Continue`.
    expects: bool,
    /// It is in the line for a buffer.
    is_starved: bool,
    /// Its deadline is about that.
    waits_for_buffer: bool,
    reply: Reply,
    signed: Option<Signed>,
    /// When something last came.
    heard_us: u64,
    pace: Pace,
}

impl Incoming {
    /// Whether something waits to be written behind which nothing is under way, so that no end of a write brings it on its way.
    fn has_unwritten(&self) -> bool {
        self.writes == 0 && !self.buffer.is_empty()
    }

    /// Whether the next thing to happen is that its client sends something.
    fn waits_for_client(&self) -> bool {
        let is_due = self.may_come && !self.framing.is_done();
        is_due && !self.is_starved && self.writes == 0
    }
}

/// Uploads of one hub.
pub(crate) struct HubUploads {
    pub(super) service: UploadsService,
    machine: Uploads,
    store: Store,
    bodies: HashMap<Key, Incoming, Seed>,
    /// Requests whose token is being verified: one of a connection.
    pub(super) proving: HashMap<Key, Proving, Seed>,
    keys: BTreeMap<TransferId, Key>,
    /// Whose writes are under way.
    writers: BTreeMap<Ticket, Key>,
    /// Final names that are being removed.
    removals: BTreeMap<Ticket, String>,
    buffers: Buffers,
    /// The piece that the next write is about.
    piece: Vec<u8>,
    /// Bodies that may go on.
    ready: VecDeque<Key>,
    /// Bodies that wait for a buffer.
    starved: VecDeque<Key>,
    /// Bodies whose last bytes are written at the lap's end.
    unwritten: BTreeSet<Key>,
    /// A timer looks after them.
    is_gathering: bool,
    pub(super) news: UploadNews,
    /// What an earlier process left, until the first lap.
    found: Vec<Found>,
    is_started: bool,
}

impl HubUploads {
    pub(crate) fn new(service: &UploadsService, seed: Seed) -> Self {
        Self {
            machine: Uploads::new(service.uploads.clone()),
            store: Store::new(service.uploads.vault.clone(), service.uploads.openers_max),
            bodies: HashMap::with_hasher(seed),
            proving: HashMap::with_hasher(seed),
            keys: BTreeMap::new(),
            writers: BTreeMap::new(),
            removals: BTreeMap::new(),
            buffers: Buffers::new(service.buffers, service.buffer_bytes),
            piece: Vec::new(),
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            unwritten: BTreeSet::new(),
            is_gathering: false,
            news: UploadNews::default(),
            found: Vec::new(),
            is_started: false,
            service: service.clone(),
        }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_asked = !self.bodies.is_empty() || !self.proving.is_empty();
        !is_asked && self.machine.stats().transfers == 0 && self.store.is_idle()
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() == 0 {
            return;
        }
        self.buffers.give(buffer);
    }

    /// Whoever waits for a buffer, while there is one. That it takes it is not sure: its request may be over, and another one has come.
    fn next_fed(&mut self) -> Option<Key> {
        if !self.buffers.has_one() {
            return None;
        }
        let key = self.starved.pop_front()?;
        if let Some(body) = self.bodies.get_mut(&key) {
            body.is_starved = false;
        }
        Some(key)
    }

    /// Hands a piece of a body to the machine, which asks for one write of it, or for none.
    fn gathers_us(&self) -> u64 {
        match self.starved.is_empty() {
            true => GATHER_US,
            false => GATHER_SCARCE_US,
        }
    }

    fn offer(&mut self, transfer: TransferId, piece: Vec<u8>, now: Now) {
        self.piece = piece;
        let input = Input::Body(transfer, &self.piece);
        self.machine.handle(seconds(now), input);
    }
}

const fn seconds(now: Now) -> u64 {
    now.unix_ms / 1000
}

impl Hub {
    /// Uploads that an earlier process left, before the first lap. Those of other shards are passed over.
    pub fn adopt_uploads(&mut self, found: &[Found]) {
        let (shard, shards) = (self.shard, self.shards);
        let own = |found: &&Found| found.upload.bucket() % shards == shard;
        if let Some(uploads) = &mut self.uploads {
            uploads.found.extend(found.iter().filter(own).cloned());
        }
    }

    /// Whether a path is beneath that of uploads.
    pub(crate) fn is_upload_path(&self, path: &str) -> bool {
        let uploads = self.settings.uploads.as_ref();
        uploads.is_some_and(|service| {
            let rest = path.strip_prefix(service.uploads.prefix.as_str());
            rest.is_some_and(|rest| !rest.contains('/'))
        })
    }

    pub(super) fn upload_of_path(&self, path: &str) -> Option<UploadId> {
        let service = self.settings.uploads.as_ref()?;
        UploadId::parse(path.strip_prefix(service.uploads.prefix.as_str())?)
    }

    /// What the answer has besides what the machine says: whose pages may read it.
    pub(super) fn reply_to_upload(&self, request: &Request) -> Reply {
        let mut reply = self.reply_to(request);
        reply.keep_alive = request.keeps_alive();
        tell_page(&mut reply.headers, &PAGES, request.method == "OPTIONS");
        reply
    }

    pub(super) fn begin_upload(
        &mut self,
        key: Key,
        (request, method): (&Request, Method),
        (who, bucket, named): (Uploader, u16, Option<UploadId>),
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        let entropy = u128::from((turn.entropy)()) << 64 | u128::from((turn.entropy)());
        let ask = Ask {
            request,
            method,
            who: who.who(),
            entropy,
            bucket,
        };
        match uploads.machine.begin(seconds(turn.now), &ask) {
            Begun::Answer(answer) => {
                if answer.status == 423
                    && let Some(id) = named
                {
                    self.cut_stale_writer(id, turn);
                }
                // A body that nobody reads would be taken for the next request.
                let keep_alive = reply.keep_alive && !request.has_body();
                self.answer_upload(key, &answer, &reply, keep_alive, turn);
            }
            Begun::Transfer(transfer) => {
                let incoming = Incoming {
                    transfer,
                    framing: BodyFraming::new(request),
                    buffer: Vec::new(),
                    gathers_since_us: 0,
                    writes: 0,
                    may_come: false,
                    // RFC 9110 §10.1.1: of a request that is older than HTTP/1.1 it is ignored.
                    expects: request.version >= 1
                        && request.header_has_token("expect", "100-continue"),
                    is_starved: false,
                    waits_for_buffer: false,
                    signed: who.into_signed(),
                    reply,
                    heard_us: turn.now.monotonic_us,
                    pace: Pace::since(turn.now.monotonic_us),
                };
                uploads.bodies.insert(key, incoming);
                uploads.keys.insert(transfer, key);
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.stage = Stage::Uploading;
                    connection.clear_deadline();
                }
            }
        }
        self.work_uploads(turn);
    }

    pub(super) fn answer_upload(
        &mut self,
        key: Key,
        answer: &Answer,
        reply: &Reply,
        keep_alive: bool,
        turn: &mut Turn<'_>,
    ) {
        if let Some(refusal) = answer.refusal {
            self.stats.refused(refusal);
        }
        let keep_alive = keep_alive && !self.drain_told_everybody();
        let bytes = answer.bytes(&reply.headers, reply.head, keep_alive);
        self.send_answer(key, &bytes, keep_alive, turn);
    }

    /// Another request wants to write to this upload.
    fn cut_stale_writer(&mut self, id: UploadId, turn: &mut Turn<'_>) {
        let Some(uploads) = &self.uploads else {
            return;
        };
        let writer = uploads.machine.writer(id);
        let Some(key) = writer.and_then(|writer| uploads.keys.get(&writer).copied()) else {
            return;
        };
        let receives = self
            .connections
            .get(key)
            .is_some_and(|connection| !connection.paused);
        let is_stale = uploads.bodies.get(&key).is_some_and(|body| {
            let is_waited_for =
                receives && body.may_come && !body.framing.is_done() && body.writes == 0;
            is_waited_for && body.heard_us + STALE_US <= turn.now.monotonic_us
        });
        if is_stale {
            self.stats.refused(Refusal::Silent);
            self.close_now(key, turn);
        }
    }

    /// Bytes came on a connection whose request is being answered.
    pub(crate) fn step_upload(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        if let Some(body) = uploads.bodies.get_mut(&key) {
            body.heard_us = turn.now.monotonic_us;
            uploads.ready.push_back(key);
        }
        self.work_uploads(turn);
    }

    /// What came of [`Output::Store`].
    pub fn stored(
        &mut self,
        now: Now,
        token: u64,
        answer: StoreAnswer,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let mut turn = Turn::new(now, post, entropy, out);
        if token & USED_URLS != 0 {
            return self.journal_answered(answer, &mut turn);
        }
        if let Some(uploads) = &mut self.uploads {
            uploads.store.answered(token, answer, turn.entropy);
        }
        self.work_uploads(&mut turn);
    }

    /// Does what can be done: what the machine wants, what storage has done, what of bodies has come.
    fn work_uploads(&mut self, turn: &mut Turn<'_>) {
        loop {
            self.drain_machine(turn);
            let Some(uploads) = &mut self.uploads else {
                return;
            };
            if let Some(finished) = uploads.store.next_finished() {
                if let Some(memory) = finished.memory {
                    uploads.give_back(memory);
                }
                if let Some(key) = uploads.writers.remove(&finished.ticket)
                    && let Some(body) = uploads.bodies.get_mut(&key)
                {
                    body.writes -= 1;
                    uploads.ready.push_back(key);
                }
                // What is gone goes on counting for the disk as long as it is open. Whichever other shards have it open close it when nobody asks for it.
                if let Some(name) = uploads.removals.remove(&finished.ticket)
                    && self.settings.files.is_some()
                {
                    let root = uploads.service.whole_root as usize;
                    self.files.cache.let_go_of(root, &name);
                }
                let input = Input::Stored(finished.ticket, finished.result);
                uploads.machine.handle(seconds(turn.now), input);
            } else if let Some(key) = uploads.ready.pop_front() {
                self.take_body(key, turn);
            } else if let Some(key) = uploads.next_fed() {
                self.take_body(key, turn);
            } else if !uploads.store.let_in(turn.entropy) {
                break;
            }
        }
        if let Some(uploads) = &mut self.uploads {
            while let Some((token, ask)) = uploads.store.next_ask() {
                turn.out.push(Output::Store { token, ask });
            }
        }
    }

    fn drain_machine(&mut self, turn: &mut Turn<'_>) {
        use crate::uploads::Output as Said;
        while let Some(uploads) = &mut self.uploads
            && let Some(said) = uploads.machine.poll()
        {
            match said {
                Said::Want(ticket, want) => self.begin_want(ticket, want, turn),
                Said::Body(transfer) => self.let_body_come(transfer, turn),
                Said::Release(upload) => self.release_upload(upload),
                Said::Answer(transfer, answer) => self.upload_answered(transfer, answer, turn),
                Said::Event(event) => self.take_news(event, turn.now),
            }
        }
    }

    fn release_upload(&mut self, upload: UploadId) {
        if let Some(uploads) = &mut self.uploads {
            uploads.store.release(upload);
        }
    }

    fn begin_want(&mut self, ticket: Ticket, want: Want, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        let mut piece = Vec::new();
        if let Want::Remove {
            name: Some(name), ..
        } = &want
        {
            uploads.removals.insert(ticket, name.clone());
        }
        if matches!(want, Want::Write { .. }) {
            piece = core::mem::take(&mut uploads.piece);
            let key = uploads.keys.get(&ticket.transfer()).copied();
            if let Some(key) = key
                && let Some(body) = uploads.bodies.get_mut(&key)
            {
                body.writes += 1;
                uploads.writers.insert(ticket, key);
            }
        }
        uploads.store.begin(ticket, want, piece, turn.entropy);
    }

    fn let_body_come(&mut self, transfer: TransferId, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        let Some(key) = uploads.keys.get(&transfer).copied() else {
            return;
        };
        let Some(body) = uploads.bodies.get_mut(&key) else {
            return;
        };
        body.may_come = true;
        body.heard_us = turn.now.monotonic_us;
        if core::mem::take(&mut body.expects)
            && let Some(connection) = self.connections.get_mut(key)
        {
            connection.busy_mut().output.extend_from_slice(CONTINUE);
            turn.out.push(Output::Dirty(key.conn()));
        }
        uploads.ready.push_back(key);
    }

    fn upload_answered(&mut self, transfer: TransferId, answer: Answer, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        let Some(key) = uploads.keys.remove(&transfer) else {
            return;
        };
        let Some(body) = uploads.bodies.remove(&key) else {
            return;
        };
        uploads.give_back(body.buffer);
        self.receive_upload(key, true, turn);
        // What is not read of a body would be taken for the next request.
        let keep_alive = body.reply.keep_alive && body.framing.is_done();
        let answer = self.with_signed_location(answer, body.signed.as_ref());
        self.answer_upload(key, &answer, &body.reply, keep_alive, turn);
    }

    /// Receives more on a connection, or nothing for now.
    pub(super) fn receive_upload(&mut self, key: Key, receives: bool, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.paused == receives {
            connection.paused = !receives;
            // Nothing could come while nothing was received.
            let body = self.uploads.as_mut();
            if let Some(body) = body.and_then(|uploads| uploads.bodies.get_mut(&key)) {
                body.heard_us = turn.now.monotonic_us;
            }
            turn.out.push(match receives {
                true => Output::Resume(key.conn()),
                false => Output::Pause(key.conn()),
            });
        }
    }

    /// What was just received on a connection without any other input goes towards storage from where it is, as far as there is room; the rest waits.
    pub(super) fn feed_upload(&mut self, key: Key, bytes: &[u8], turn: &mut Turn<'_>) {
        let body = self.uploads.as_mut();
        if let Some(body) = body.and_then(|uploads| uploads.bodies.get_mut(&key)) {
            body.heard_us = turn.now.monotonic_us;
        }
        let (taken, outcome) = self.take_pieces(key, bytes, turn);
        self.body_taken(key, bytes[taken..].to_vec(), outcome, turn);
        self.work_uploads(turn);
    }

    /// Moves what came of a body towards storage, as far as there is room.
    fn take_body(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let mut input = connection.take_input();
        let (taken, outcome) = self.take_pieces(key, &input, turn);
        input.drain(..taken);
        self.body_taken(key, input, outcome, turn);
    }

    /// How many bytes were taken, and whether what is wrong with the next one ends the request with a status.
    fn take_pieces(
        &mut self,
        key: Key,
        input: &[u8],
        turn: &mut Turn<'_>,
    ) -> (usize, Result<(), u16>) {
        let mut taken = 0;
        loop {
            match self.take_piece(key, input, &mut taken, turn) {
                Ok(true) => {}
                Ok(false) => return (taken, Ok(())),
                Err(status) => return (taken, Err(status)),
            }
        }
    }

    /// What was not taken waits in the connection's input.
    fn body_taken(
        &mut self,
        key: Key,
        rest: Vec<u8>,
        outcome: Result<(), u16>,
        turn: &mut Turn<'_>,
    ) {
        let rests = !rest.is_empty();
        if let Some(connection) = self.connections.get_mut(key)
            && let Some(http) = connection.http_mut()
        {
            http.input = rest;
        }
        match outcome {
            Ok(()) => self.wait_for_body(key, rests, turn),
            Err(status) => {
                self.cut_upload(key, turn);
                self.receive_upload(key, true, turn);
                self.refuse_http(key, status, Refusal::BadRequest, turn);
            }
        }
        self.count_input(key, turn);
    }

    /// Whether something was taken and more may be possible.
    fn take_piece(
        &mut self,
        key: Key,
        input: &[u8],
        taken: &mut usize,
        turn: &mut Turn<'_>,
    ) -> Result<bool, u16> {
        let Some(uploads) = &mut self.uploads else {
            return Ok(false);
        };
        let Some(body) = uploads.bodies.get_mut(&key) else {
            return Ok(false);
        };
        if !body.may_come || body.framing.is_done() {
            return Ok(false);
        }
        let piece_bytes = uploads.buffers.bytes();
        if body.buffer.len() >= piece_bytes {
            let may_go = uploads.machine.wants_body(body.transfer);
            if may_go {
                self.write_body(key, turn);
            }
            return Ok(may_go);
        }
        let rest = &input[*taken..];
        if rest.is_empty() {
            return Ok(false);
        }
        if body.buffer.capacity() == 0 && body.framing.announced_bytes() > 0 {
            let Some(buffer) = uploads.buffers.take() else {
                if !core::mem::replace(&mut body.is_starved, true) {
                    uploads.starved.push_back(key);
                }
                return Ok(false);
            };
            body.buffer = buffer;
        }
        let room = piece_bytes - body.buffer.len();
        let (count, data) = body
            .framing
            .take(rest, room)
            .map_err(|error| error.status())?;
        if body.buffer.is_empty() {
            body.gathers_since_us = turn.now.monotonic_us;
        }
        body.pace.came(data.len());
        body.buffer.extend_from_slice(&rest[data]);
        *taken += count;
        if body.framing.is_done() {
            let transfer = body.transfer;
            self.write_body(key, turn);
            if let Some(uploads) = &mut self.uploads {
                let input = Input::BodyEnd(transfer);
                uploads.machine.handle(seconds(turn.now), input);
            }
            self.drain_machine(turn);
        }
        Ok(true)
    }

    /// Hands what is in a body's buffer to storage.
    fn write_body(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        let Some(body) = uploads.bodies.get_mut(&key) else {
            return;
        };
        let piece = core::mem::take(&mut body.buffer);
        if piece.is_empty() {
            return uploads.give_back(piece);
        }
        let transfer = body.transfer;
        self.offer_piece(transfer, piece, turn);
    }

    fn offer_piece(&mut self, transfer: TransferId, piece: Vec<u8>, turn: &mut Turn<'_>) {
        if let Some(uploads) = &mut self.uploads {
            uploads.offer(transfer, piece, turn.now);
        }
        self.drain_machine(turn);
        if let Some(uploads) = &mut self.uploads {
            // No write was asked for: nobody wants it any more.
            let unwanted = core::mem::take(&mut uploads.piece);
            uploads.give_back(unwanted);
        }
    }

    /// What a body waits for now: storage, or its client, which has so much time.
    fn wait_for_body(&mut self, key: Key, rests: bool, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        let Some(body) = uploads.bodies.get_mut(&key) else {
            return;
        };
        let is_client_due = body.may_come && !body.framing.is_done() && !rests;
        // A body that gets no buffer has so much time as well, or others could have it wait for ever.
        let is_starved = body.is_starved;
        let runs_already = core::mem::replace(&mut body.waits_for_buffer, is_starved) && is_starved;
        if body.has_unwritten() {
            uploads.unwritten.insert(key);
        }
        let idle_us = u64::from(uploads.service.idle_timeout_ms) * 1000;
        self.receive_upload(key, !rests, turn);
        if !is_client_due && !is_starved {
            self.clear_deadline(key);
        } else if !runs_already {
            self.set_deadline(key, turn.now.monotonic_us + idle_us, turn);
        }
    }

    /// Nothing more comes of a request: what came of it counts, and nobody waits for an answer.
    pub(crate) fn cut_upload(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        uploads.proving.remove(&key);
        let Some(body) = uploads.bodies.remove(&key) else {
            return;
        };
        let (transfer, piece) = (body.transfer, body.buffer);
        uploads.keys.remove(&transfer);
        match piece.is_empty() {
            true => uploads.give_back(piece),
            false => self.offer_piece(transfer, piece, turn),
        }
        if let Some(uploads) = &mut self.uploads {
            let input = Input::Cut(transfer);
            uploads.machine.handle(seconds(turn.now), input);
        }
        self.work_uploads(turn);
    }

    /// The client has said all that it will say. What of a body is missing will not come.
    pub(crate) fn finish_upload(&mut self, key: Key, turn: &mut Turn<'_>) {
        let uploads = self.uploads.as_mut();
        if let Some(proving) = uploads.and_then(|uploads| uploads.proving.get_mut(&key)) {
            proving.has_finished = true;
        }
        let body = self
            .uploads
            .as_ref()
            .and_then(|uploads| uploads.bodies.get(&key));
        if body.is_some_and(|body| !body.framing.is_done()) {
            self.cut_upload(key, turn);
        }
    }

    /// Whether a connection's time is over because we had no buffer for it, and not because its client was silent.
    pub(crate) fn is_starved(&self, key: Key) -> bool {
        let body = self
            .uploads
            .as_ref()
            .and_then(|uploads| uploads.bodies.get(&key));
        body.is_some_and(|body| body.is_starved)
    }

    /// Whether a request's answer is being made.
    pub(crate) fn is_uploading(&self, key: Key) -> bool {
        let uploads = self.uploads.as_ref();
        uploads.is_some_and(|uploads| {
            uploads.bodies.contains_key(&key) || uploads.proving.contains_key(&key)
        })
    }

    /// Whether nothing of uploads is under way.
    pub(crate) fn uploads_are_quiet(&self) -> bool {
        let uploads = self.uploads.as_ref();
        uploads.is_none_or(|uploads| uploads.is_quiet())
    }

    /// Panics when books disagree.
    pub(super) fn audit_uploads(&self) {
        if let Some(uploads) = &self.uploads {
            assert!(
                !uploads.is_quiet() || uploads.buffers.is_whole(),
                "buffers that nobody has are out"
            );
            let mut bodies = uploads.bodies.values();
            assert!(
                bodies.all(|body| body.is_starved || !body.waits_for_buffer),
                "a body waits for a buffer and is not in the line for one"
            );
        }
    }

    /// The daemon ends: clients come back to the next one, which knows all that was written.
    pub(crate) fn drain_uploads(&mut self, turn: &mut Turn<'_>) {
        let Some(uploads) = &self.uploads else {
            return;
        };
        let bodies = uploads.bodies.iter();
        let unfinished = bodies.filter(|(_, body)| !body.framing.is_done());
        let unfinished = unfinished.map(|(key, _)| *key);
        let unproven = uploads.proving.iter();
        let unproven = unproven.filter(|(_, proving)| proving.has_body());
        let unproven = unproven.map(|(key, _)| *key);
        let keys: Vec<Key> = unfinished.chain(unproven).collect();
        for key in keys {
            self.stats.refused(Refusal::Draining);
            self.close_now(key, turn);
        }
    }

    /// Once per lap: bytes of slow clients are written, rather than kept until there are more.
    pub(crate) fn uploads_lap(&mut self, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        if !uploads.is_started {
            uploads.is_started = true;
            for found in core::mem::take(&mut uploads.found) {
                uploads.machine.recover(seconds(turn.now), &found);
            }
            self.uploads_tick(turn);
        }
        self.write_gathered(turn);
        self.tell_of_uploads(turn);
    }

    /// Writes the pieces that have gathered for long enough, and sees to it that somebody looks after the others.
    fn write_gathered(&mut self, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        let (now_us, waits_us) = (turn.now.monotonic_us, uploads.gathers_us());
        let is_over = |body: &Incoming| now_us >= body.gathers_since_us + waits_us;
        let mut due = Vec::new();
        let bodies = &uploads.bodies;
        uploads.unwritten.retain(|key| {
            let unwritten = bodies.get(key).filter(|body| body.has_unwritten());
            due.extend(unwritten.filter(|body| is_over(body)).map(|_| *key));
            unwritten.is_some_and(|body| !is_over(body))
        });
        if !uploads.unwritten.is_empty() && !uploads.is_gathering {
            uploads.is_gathering = true;
            turn.out.push(Output::Timer {
                at_us: now_us + waits_us,
                token: super::heartbeat::GATHER_TOKEN,
            });
        }
        if due.is_empty() {
            return;
        }
        due.into_iter().for_each(|key| self.write_body(key, turn));
        self.work_uploads(turn);
    }

    /// The lap that this begins looks at what is gathered.
    pub(super) const fn gather_tick(&mut self) {
        if let Some(uploads) = &mut self.uploads {
            uploads.is_gathering = false;
        }
    }

    /// Once a second.
    pub(crate) fn uploads_tick(&mut self, turn: &mut Turn<'_>) {
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        uploads.machine.handle(seconds(turn.now), Input::Tick);
        uploads.news.forget_old(turn.now);
        uploads.buffers.shrink();
        let bodies = uploads.bodies.iter_mut();
        let slow = bodies.filter_map(|(key, body)| {
            let waits = body.waits_for_client();
            let is_too_slow = body.pace.is_too_slow(turn.now.monotonic_us, waits);
            is_too_slow.then_some(*key)
        });
        let slow: Vec<Key> = slow.collect();
        self.stats.uploads = uploads.machine.stats();
        let transfers = uploads.keys.keys();
        let progress = transfers.filter_map(|transfer| uploads.machine.progress_of(*transfer));
        for event in progress.collect::<Vec<_>>() {
            self.take_news(event, turn.now);
        }
        turn.out.push(Output::Timer {
            at_us: turn.now.monotonic_us + TICK_US,
            token: super::heartbeat::UPLOADS_TOKEN,
        });
        for key in slow {
            self.stats.refused(Refusal::Silent);
            self.close_now(key, turn);
        }
        self.work_uploads(turn);
    }

    /// The root whose files are whole uploads; parts come behind it.
    #[must_use]
    pub fn uploads_root(&self) -> u32 {
        let uploads = self.uploads.as_ref();
        uploads.map_or(0, |uploads| uploads.service.whole_root)
    }
}
