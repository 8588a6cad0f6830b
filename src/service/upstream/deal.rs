//! Clients' frames: to which worker they go, and when; and what is kept of them while there is none.
//!
//! Deliberately absent: what workers say (`obey`), and links (`exchange`).

use super::applications::AppId;
use super::begun::Begun;
use super::coalescing::Pace;
use super::connects::is_connect;
use super::exchange::{Exchange, Order};
use super::hold::Ended;
use super::mail::{ClientNumber, Said, ToClients, ToLinks};
use super::owed::Owed;
use super::stories::{self, Story};
use super::worker::{Ready, Turn, Worker, WorkerId};
use crate::time::{ConnId, Now};
use ringway_proto::link::{self, Flags, Frame, HEADER_BYTES, Kind, Raw};
use std::collections::VecDeque;

/// What a frame is counted with beside its body while it waits.
const FRAME_COST_BYTES: usize = 96;
/// Cost that is dealt with before a client's shard hears of it: a quarter of what may be on the way. All applications of a client share that: of what
/// each has dealt with and not told nobody may be left without room.
const DEALT_BYTES: u32 = 16 * 1024;

/// The part of one application where there are so many beside it.
pub(super) const fn dealt_bytes(others: usize) -> u32 {
    DEALT_BYTES / (others as u32 + 1)
}
/// What the last words of clients that are gone may cost a worker that does not read. Beyond, it hears only that they are gone.
const FAREWELL_BYTES_MAX: usize = 4 << 20;

/// What a client's frame costs until it is on the link.
pub(crate) const fn frame_cost(body_bytes: usize) -> u32 {
    (body_bytes + FRAME_COST_BYTES) as u32
}

/// A frame about a client that waits for its worker.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) kind: Kind,
    flags: Flags,
    body: Box<[u8]>,
    /// Attachments of the same packet follow.
    has_more: bool,
    origin: Origin,
    /// Of a MOVED, in place of the body.
    pub(super) story: Option<Box<Story>>,
}

/// Why a frame waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The client's shard has sent it, and counts it until it is on a link.
    Said,
    /// It was sent to a worker that died: nobody counts it any more.
    Again,
    /// It was made for one worker alone: OPEN, RESUME, CLOSE, a CONNECT that the last one has not answered.
    Made,
}

impl Waiting {
    const fn own(kind: Kind, body: Box<[u8]>) -> Self {
        Self {
            kind,
            flags: Flags::NONE,
            body,
            has_more: false,
            origin: Origin::Made,
            story: None,
        }
    }

    pub(super) fn moved(story: Story) -> Self {
        Self {
            story: Some(Box::new(story)),
            ..Self::own(Kind::Moved, Box::default())
        }
    }

    pub(super) fn is_moved(&self) -> bool {
        self.kind == Kind::Moved
    }

    /// What another worker was sent.
    pub(super) fn again(raw: &Raw<'_>, has_more: bool) -> Self {
        Self {
            flags: raw.flags,
            has_more,
            origin: Origin::Again,
            ..Self::own(Kind::Data, raw.body.into())
        }
    }

    fn repeated(connect: &Said<'_>) -> Self {
        let flags = match connect.is_binary {
            true => Flags::BINARY,
            false => Flags::NONE,
        };
        Self {
            flags,
            ..Self::own(Kind::Data, connect.body.into())
        }
    }

    /// Whether it is the client's word, which the next worker hears if this one does not.
    fn is_kept(&self) -> bool {
        self.kind == Kind::Data && self.origin != Origin::Made
    }

    /// Whether its shard is to hear that it is on a link.
    fn is_counted(&self) -> bool {
        self.kind == Kind::Data && self.origin == Origin::Said
    }

    /// What its shard counts of it.
    pub(super) fn counted(&self) -> u32 {
        if self.is_counted() { self.cost() } else { 0 }
    }

    pub(super) const fn has_more(&self) -> bool {
        self.has_more
    }

    pub(super) fn is_binary(&self) -> bool {
        self.flags.contains(Flags::BINARY)
    }

    pub(super) const fn body(&self) -> &[u8] {
        &self.body
    }

    fn is(&self, said: &Said<'_>) -> bool {
        let is_binary = self.is_binary();
        self.kind == Kind::Data && is_binary == said.is_binary && *self.body == *said.body
    }

    pub(super) fn cost(&self) -> u32 {
        frame_cost(self.body_bytes())
    }

    fn body_bytes(&self) -> usize {
        let story = self.story.as_deref();
        story.map_or(self.body.len(), Story::body_bytes)
    }

    fn encode_into(&self, client: ClientNumber, out: &mut Vec<u8>) {
        if let Some(story) = &self.story {
            return story.encode_into(client.0, out);
        }
        let raw = Raw {
            kind: self.kind,
            flags: self.flags,
            conn: client.0,
            body: &self.body,
        };
        raw.encode_into(out);
    }
}

/// Whether a client goes from its worker to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    #[default]
    No,
    /// Its worker will be asked for it.
    Asked,
    /// It was: what the client says waits for the next one.
    Away,
}

/// What a client that asks for a worker says of itself.
pub(super) struct Opening<'a> {
    app: AppId,
    /// Its last worker had sockets of it.
    resumes: bool,
    /// Who has let it in.
    wanted: Option<WorkerId>,
    affinity: Option<u64>,
    /// The body of OPEN or RESUME.
    json: &'a str,
}

/// A client that has asked for a worker.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) app: AppId,
    pub(super) worker: Option<WorkerId>,
    /// Since when there is none.
    waiting_us: u64,
    /// What its worker was not sent yet, the oldest first.
    pub(super) queue: VecDeque<Waiting>,
    /// MOVED was put there, and may be there still.
    may_have_story: bool,
    /// It stands in its worker's row.
    is_ready: bool,
    /// Its worker was sent OPEN or RESUME.
    is_opened: bool,
    /// Its worker was sent a packet without all of its attachments.
    pub(super) is_inside_packet: bool,
    /// Its last worker was: what comes of that packet is of use to nobody.
    pub(super) is_headless: bool,
    /// It was asked to say again who it is, and has not answered: one answer is on the way at a time, and so none is out of date.
    pub(super) is_called: bool,
    /// How often a worker was tried with it alone.
    pub(super) probes: u32,
    /// How many workers in a row an exception ended that it may be the cause of (`suspects`).
    pub(super) deaths: u32,
    /// When its worker was sent OPEN or RESUME.
    pub(super) opened_us: u64,
    pub(super) leaving: Leaving,
    /// Its worker wants nothing more of what it says.
    pub(super) is_held: bool,
    /// Sockets of it that were disconnected since.
    pub(super) ended: Vec<Ended>,
    /// Acknowledgements that it waits for, if that is looked at.
    pub(super) owed: Option<Box<Owed>>,
    /// Its worker does not know what became of its sockets: it comes anew.
    pub(super) is_deaf: bool,
    /// It has left; its worker has not been sent all of its last words.
    pub(super) is_gone: bool,
    /// Cost that was dealt with, and of which its shard has not heard.
    dealt_bytes: u32,
}

impl Client {
    /// Whether the frame has a place in what a worker hears of the client.
    fn takes(&mut self, frame: &Waiting) -> bool {
        if frame.is_moved() && self.is_deaf {
            return false;
        }
        if frame.kind != Kind::Data {
            // A transport that changes while no worker is there is told by RESUME.
            return self.worker.is_some();
        }
        self.takes_data(frame)
    }

    /// Of how a client keeps up the last word counts: it may change its mind often while its worker does not read.
    fn keep(&mut self, mut frame: Waiting) {
        if let Some(story) = frame.story.take() {
            let rest = stories::merge(&mut self.queue, *story);
            return rest.into_iter().for_each(|rest| self.put(rest));
        }
        let is_pressure = |other: &&mut Waiting| other.kind == Kind::Pressure;
        let mut queue = self.queue.iter_mut();
        match queue.find(|other| frame.kind == Kind::Pressure && is_pressure(other)) {
            Some(other) => other.body = frame.body,
            None => self.queue.push_back(frame),
        }
    }

    /// What became of its sockets its worker hears before it hears what others ask about them, and so before what the client says: but not that one of several is
    /// no more, as Socket.IO's server closes whoever says something in a namespace that it is not in.
    fn put(&mut self, story: Story) {
        let first = self.queue.iter().position(|it| it.kind == Kind::Data);
        let at = first.filter(|_| story.ends().is_none());
        let at = at.unwrap_or(self.queue.len());
        self.queue.insert(at, Waiting::moved(story));
        self.may_have_story = true;
    }

    /// Whether anything waits of what became of its sockets. Whoever never had any is not looked through.
    fn has_story(&mut self) -> bool {
        self.may_have_story = self.may_have_story && self.queue.iter().any(Waiting::is_moved);
        self.may_have_story
    }

    /// Attachments whose header is gone are dropped, as far as their packet goes.
    const fn takes_data(&mut self, frame: &Waiting) -> bool {
        let takes = !self.is_headless;
        self.is_headless &= frame.has_more;
        takes
    }

    /// Its worker is gone; `again` is what the next one hears of what it was sent. Says what of the queue nobody will hear, by its cost.
    fn lose_worker(&mut self, now_us: u64, again: Vec<Waiting>) -> u32 {
        self.worker = None;
        self.waiting_us = now_us;
        self.leaving = Leaving::No;
        self.is_held = false;
        self.ended.clear();
        self.is_ready = false;
        self.is_opened = false;
        // With its header the packet is whole.
        let is_whole = again.last().is_some_and(|frame| frame.has_more);
        self.is_headless |= core::mem::take(&mut self.is_inside_packet) && !is_whole;
        let mut unheard = 0;
        let rest = core::mem::replace(&mut self.queue, again.into());
        for frame in rest.into_iter().filter(Waiting::is_kept) {
            if self.takes_data(&frame) {
                self.queue.push_back(frame);
            } else if frame.is_counted() {
                unheard += frame.cost();
            }
        }
        unheard
    }

    /// Whether it has not left.
    pub(super) const fn is_there(&self) -> bool {
        !self.is_gone
    }

    /// Whether its worker has heard of it.
    pub(super) const fn is_opened(&self) -> bool {
        self.is_opened
    }

    /// Whether it may go to another worker now: its own knows it, and was sent whole packets.
    pub(super) fn may_leave(&self) -> bool {
        self.is_opened && !self.is_inside_packet && self.leaving == Leaving::No
    }

    /// What it was sent is dealt with before that; what it was not sent is for the next one.
    pub(super) fn ask_to_leave(&mut self) {
        self.leaving = Leaving::Asked;
        let ask = Waiting::own(Kind::MigrateOut, Box::default());
        self.queue.push_front(ask);
    }

    /// Its worker has let go of it.
    pub(super) fn move_on(&mut self, now_us: u64) {
        self.worker = None;
        self.waiting_us = now_us;
        self.is_opened = false;
        self.leaving = Leaving::No;
        self.is_held = false;
        self.ended.clear();
        self.forgets_owed();
        self.queue.retain(Waiting::is_kept);
    }

    /// Its worker is sent nothing more of it.
    fn is_away(&self) -> bool {
        self.leaving == Leaving::Away && !self.is_gone
    }

    /// What its worker has not been sent of what became of its sockets: how many stories, and what they are counted with.
    pub(super) fn stories(&self) -> (usize, usize) {
        let stories = self.queue.iter().filter(|frame| frame.is_moved());
        stories.fold((0, 0), |(count, bytes), story| {
            (count + 1, bytes + story.cost() as usize)
        })
    }

    fn cost(&self) -> usize {
        self.queue.iter().map(|frame| frame.cost() as usize).sum()
    }

    /// The frame is on its link. Whether its worker knows the client from now on.
    const fn is_sent(&mut self, kind: Kind, has_more: bool) -> bool {
        if matches!(kind, Kind::MigrateOut) {
            self.leaving = Leaving::Away;
        }
        let opens = matches!(kind, Kind::Open | Kind::Resume);
        self.is_opened |= opens;
        if matches!(kind, Kind::Data) {
            self.is_inside_packet = has_more;
        }
        opens
    }
}

/// The namespaces that clients had left in such frames: they are told by nobody else. Who connected again behind that is told by its CONNECT, which is
/// answered or not, and may be in by now.
fn left_in(mut frames: &[u8]) -> Vec<(ClientNumber, String)> {
    let mut left: Vec<(ClientNumber, String)> = Vec::new();
    while let Ok(Some((raw, bytes))) = link::split(frames, link::FRAME_BODY_BYTES_MAX) {
        frames = &frames[bytes..];
        let is_text = raw.kind == Kind::Data && !raw.flags.contains(Flags::BINARY);
        let (client, body) = (ClientNumber(raw.conn), Some(raw.body).filter(|_| is_text));
        if let Some(name) = body.and_then(|body| namespace_of(body, b"1")) {
            left.push((client, name));
        } else if let Some(name) = body.and_then(|body| namespace_of(body, b"0")) {
            left.retain(|other| *other != (client, name.clone()));
        }
    }
    left
}

/// The namespace of a packet of a type: DISCONNECT is `1`, CONNECT `0`, and `/nsp,` unless it is the main one.
fn namespace_of(packet: &[u8], kind: &[u8]) -> Option<String> {
    let rest = core::str::from_utf8(packet.strip_prefix(kind)?).ok()?;
    Some(namespace_in(rest).to_owned())
}

/// The same, of what stands behind the type and the number of attachments.
pub(super) fn namespace_in(rest: &str) -> &str {
    let name = rest.split(',').next().filter(|name| name.starts_with('/'));
    // What is asked of a namespace goes behind its name, as in CONNECT.
    let name = name.map(|name| name.split('?').next().unwrap_or(name));
    name.unwrap_or("/")
}

impl Exchange {
    /// A message of a client's shard.
    pub(crate) fn mail(&mut self, now: Now, mail: &ToLinks<'_>) {
        self.recovery.pass(now.monotonic_us);
        match *mail {
            ToLinks::Open {
                client,
                app,
                resumes,
                worker,
                affinity,
                json,
                ref connects,
            } => {
                let opening = Opening {
                    app,
                    resumes,
                    wanted: worker.map(WorkerId),
                    affinity,
                    json,
                };
                self.open(now, client, &opening, connects);
            }
            ToLinks::Ask {
                shard,
                question,
                affinity,
                json,
            } => self.ask_about(now, (shard, question), affinity, json),
            ToLinks::Refused { json } => self.tell_refused(json),
            ToLinks::Obeyed => self.is_obeyed(),
            ToLinks::Crowded { app, name } => self.crowded(app, name),
            ToLinks::Frame {
                client,
                kind,
                flags,
                has_more,
                body,
            } => {
                let frame = Waiting {
                    kind: Kind::from_byte(kind).expect("it was made of a kind"),
                    flags: Flags::from_bits(flags),
                    body: body.into(),
                    has_more,
                    origin: Origin::Said,
                    story: None,
                };
                self.forward(client, frame);
            }
            ToLinks::Entered { client, space } => self.entered(client, space),
            ToLinks::Pressed {
                shard,
                hold,
                is_many,
                ref weights,
            } => {
                self.count_held(now);
                self.shares.heard(shard, weights.clone());
                self.pressure.set(now.monotonic_us, shard, hold, is_many);
            }
            ToLinks::Carried { shard, bytes } => self.pressure.carried(shard, bytes),
            ToLinks::Moved {
                answers,
                namespace,
                what,
                ref places,
                ref sockets,
            } => {
                self.moved((namespace, what), places, sockets);
                if let Some(shard) = answers {
                    self.move_done(now, shard, sockets);
                }
            }
            ToLinks::Asked { number, clients } => self.was_asked(number, clients),
            ToLinks::Answer { number, ref parts } => self.was_answered(number, parts),
            ToLinks::Closed {
                client,
                app,
                body,
                ref sockets,
            } => {
                self.leave((client, app), body, sockets);
                self.forget(client, body);
            }
        }
    }

    /// A client asks for a worker. It may ask twice, when two workers came one after the other.
    fn open(
        &mut self,
        now: Now,
        number: ClientNumber,
        opening: &Opening<'_>,
        connects: &[Said<'_>],
    ) {
        let app = opening.app;
        let worker = self.tried_at(now.monotonic_us, app, number);
        // Whoever is to be tried with one client gets it, whoever let it in.
        let worker = worker.or_else(|| self.probing(app));
        let worker = worker.or_else(|| self.open_worker(opening));
        let worker = worker.or_else(|| self.chosen(app, opening.affinity));
        let owed = self.owed();
        let is_new = !self.clients.contains_key(&number);
        let client = self.clients.entry(number).or_default();
        client.is_called = false;
        client.app = app;
        if is_new {
            client.owed = owed;
        }
        if is_new {
            client.waiting_us = now.monotonic_us;
            self.waiting.insert((client.waiting_us, number));
        }
        let Some(id) = worker.filter(|_| client.worker.is_none()) else {
            if client.worker.is_none() && self.refuses_clients(now, app) {
                self.forget(number, &[]);
                self.refuse_client(number);
            }
            return;
        };
        self.waiting.remove(&(client.waiting_us, number));
        client.worker = Some(id);
        let kind = match opening.resumes {
            true => Kind::Resume,
            false => Kind::Open,
        };
        let body = super::asking::long(opening.json);
        // What still waits is not said again.
        let is_waiting = |connect: &Said<'_>| {
            let mut queue = client.queue.iter();
            queue.any(|frame| frame.is(connect))
        };
        let repeated: Vec<Waiting> = connects
            .iter()
            .filter(|connect| !is_waiting(connect))
            .map(Waiting::repeated)
            .collect();
        let queue = core::mem::take(&mut client.queue);
        client.queue.push_back(Waiting::own(kind, body.into()));
        client.queue.extend(repeated);
        client.queue.extend(queue);
        self.worker_mut(id).load += 1;
        self.note_probe(now, id, number);
        self.stand_in_row(number);
    }

    /// The worker, if it is there and is given clients.
    fn open_worker(&self, opening: &Opening<'_>) -> Option<WorkerId> {
        let id = opening.wanted?;
        let worker = self.workers.get(&id)?;
        (worker.app == opening.app && worker.takes_clients()).then_some(id)
    }

    /// Whoever is to be tried with one client gets it; else the one that has least to do.
    pub(super) fn least_loaded(&self, app: AppId) -> Option<WorkerId> {
        self.probing(app).or_else(|| self.soundest(app))
    }

    /// Whoever is to be tried with one client.
    pub(super) fn probing(&self, app: AppId) -> Option<WorkerId> {
        let mut open = self.workers_of(app).filter(|(_, worker)| worker.is_open());
        let found = open.find(|(_, worker)| worker.standing.wants_probe());
        found.map(|(id, _)| id)
    }

    /// Of those that take clients as ever, the one that has least to do.
    pub(super) fn soundest(&self, app: AppId) -> Option<WorkerId> {
        self.soundest_of(app, |_| true)
    }

    /// The same, of some of them.
    pub(super) fn soundest_of(
        &self,
        app: AppId,
        is_one: impl Fn(&Worker) -> bool,
    ) -> Option<WorkerId> {
        let mut best: Option<(WorkerId, &Worker)> = None;
        for (id, worker) in self
            .workers_of(app)
            .filter(|(_, worker)| worker.takes_clients() && is_one(worker))
        {
            if best.is_none_or(|(_, other)| worker.is_less_loaded_than(other)) {
                best = Some((id, worker));
            }
        }
        best.map(|(id, _)| id)
    }

    pub(super) fn forward(&mut self, number: ClientNumber, frame: Waiting) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        if client.takes(&frame) {
            client.keep(frame);
            self.stand_in_row(number);
        } else if frame.is_counted() {
            self.count_dealt(number, frame.cost());
        }
    }

    /// The client has something for its worker.
    pub(super) fn stand_in_row(&mut self, number: ClientNumber) {
        let client = self.clients.get_mut(&number);
        let Some(client) = client.filter(|client| !client.is_away() && client.has_turn()) else {
            return;
        };
        let Some(id) = client.worker else {
            return;
        };
        if !core::mem::replace(&mut client.is_ready, true) {
            self.worker_mut(id).row.push_back(Ready::Client(number));
        }
        self.pump(id);
    }

    /// Moves what fits into a worker's window, one frame of each client in turn.
    pub(super) fn pump(&mut self, id: WorkerId) {
        while self.pump_one(id).is_some() {}
        if let Some(worker) = self.workers.get_mut(&id) {
            let bytes = worker.outgoing.unsent().len();
            let link = worker.link.filter(|_| bytes > 0);
            link.into_iter()
                .for_each(|conn| self.send_in_time(conn, bytes));
        }
    }

    /// So many bytes wait for a worker, and go at once, or with more.
    fn send_in_time(&mut self, conn: ConnId, bytes: usize) {
        let (now_us, wait_us) = (self.recovery.now_us, self.settings.coalesce_us);
        let link = self.links.get_mut(&conn);
        match link.map(|link| link.coalescing.pace(now_us, wait_us, bytes)) {
            None | Some(Pace::Now) => self.orders.push(Order::Dirty(conn)),
            Some(Pace::At(at_us)) => self.orders.push(Order::DirtyAt { conn, at_us }),
            Some(Pace::Waits) => {}
        }
    }

    /// Moves one frame. `None`: there is none, or it does not fit. Without a link all of them wait: the worker may not come back for them.
    fn pump_one(&mut self, id: WorkerId) -> Option<()> {
        let worker = self.workers.get_mut(&id)?;
        worker.link?;
        let is_moved_next = || match worker.row.front() {
            Some(Ready::Client(number)) => {
                let client = self.clients.get(number);
                client.is_some_and(Client::is_moved_next)
            }
            _ => false,
        };
        if worker.turn(is_moved_next) == Turn::Names {
            return self.pump_names(id);
        }
        self.pump_row(id)?;
        self.workers.get_mut(&id)?.row_went();
        Some(())
    }

    /// Names of rooms. The worker takes them from peers that it knows.
    fn pump_names(&mut self, id: WorkerId) -> Option<()> {
        let worker = self.workers.get_mut(&id)?;
        let nsp = &worker.names_first.front()?.nsp;
        match worker.peers_due.get(&**nsp).cloned() {
            Some(name) => self.push_peers(id, &name),
            None => worker.pump_names(),
        }
    }

    fn pump_row(&mut self, id: WorkerId) -> Option<()> {
        let worker = self.workers.get_mut(&id)?;
        match worker.row.front()? {
            Ready::Client(number) => {
                let number = *number;
                self.pump_client(id, number)
            }
            Ready::Peers(name) => {
                let name = name.clone();
                self.pump_peers(id, &name)
            }
            Ready::Bus(_) => worker.pump_bus(),
            Ready::Question(request) => {
                let request = *request;
                self.pump_question(id, request)
            }
            Ready::Error(_) => worker.pump_error(),
            Ready::Answer(..) => worker.pump_answer(),
            Ready::Replies(_) => worker.pump_replies(),
        }
    }

    fn pump_client(&mut self, id: WorkerId, number: ClientNumber) -> Option<()> {
        let (now_us, is_opaque) = (self.recovery.now_us, self.is_opaque());
        let worker = self.workers.get_mut(&id)?;
        let client = self.clients.get_mut(&number);
        let next = client.and_then(|client| {
            let next = client.take_next();
            // It may have been held since it came into the row.
            client.is_ready &= next.is_some();
            Some((client, next?))
        });
        let Some((client, (at, frame))) = next else {
            worker.pass_over();
            return Some(());
        };
        if !worker.outgoing.fits(frame.body_bytes() + HEADER_BYTES) {
            client.queue.insert(at, frame);
            return None;
        }
        worker.outgoing.push(|out| frame.encode_into(number, out));
        if let Some(link) = worker.link.and_then(|conn| self.links.get_mut(&conn)) {
            link.coalescing.hear(now_us, number);
        }
        client.note_asked(frame.kind, frame.flags, &frame.body);
        // Whatever it says while its sockets come back would have been dealt with, and heard by nobody, if that worker ended in between.
        client.is_held |= frame.kind == Kind::Resume && worker.says_taken;
        let is_taken_over = frame.kind == Kind::Resume && worker.says_taken;
        let asks = is_taken_over || !is_opaque && is_connect(frame.kind, frame.flags, &frame.body);
        if asks && client.is_there() {
            worker.standing.asked(now_us, number);
        }
        let story = frame.story.as_deref().filter(|_| !is_opaque);
        let unheard = story.map_or(0, |story| client.ends_in(story));
        if client.is_sent(frame.kind, frame.has_more) {
            client.opened_us = now_us;
            let sent_frames = worker.outgoing.sent_frames();
            worker.standing.opened(number, sent_frames);
        }
        worker.row.pop_front();
        client.is_ready = client.has_turn() && !client.is_away();
        // All that became of its sockets is one turn, with the words before that: whatever stands behind it in the row is about what they are by then.
        match client.has_story() {
            _ if !client.is_ready => {}
            true => worker.row.push_front(Ready::Client(number)),
            false => worker.row.push_back(Ready::Client(number)),
        }
        if client.is_there() && frame.is_moved() && !worker.backlog.is_empty() {
            worker.backlog.set(number, client.stories().1);
        }
        if client.is_gone {
            worker.farewell_bytes -= frame.cost() as usize;
            if !client.is_ready {
                self.clients.remove(&number);
            }
        } else {
            self.count_dealt(number, unheard + frame.counted());
        }
        Some(())
    }

    /// They may have been said before it was their turn.
    fn pump_peers(&mut self, id: WorkerId, name: &str) -> Option<()> {
        if self.workers.get(&id)?.peers_due.contains(name) {
            self.push_peers(id, name)?;
        }
        self.workers.get_mut(&id)?.row.pop_front();
        Some(())
    }

    /// Says who has a namespace. `None`: it does not fit.
    fn push_peers(&mut self, id: WorkerId, name: &str) -> Option<()> {
        let outgoing = &self.workers.get(&id)?.outgoing;
        if !outgoing.fits(HEADER_BYTES + name.len()) {
            return None;
        }
        let space = self.names.get(self.app_of(id), name);
        let holders = space.and_then(|space| self.holders.get(&space));
        let holders: std::collections::BTreeSet<&WorkerId> =
            holders.into_iter().flatten().collect();
        let workers = holders.into_iter().filter_map(|id| self.workers.get(id));
        let instances: Vec<String> = workers.map(|worker| worker.instance.to_string()).collect();
        let body = Frame::Peers {
            nsp: name,
            instances: instances.iter().map(String::as_str).collect(),
        }
        .body();
        let worker = self.workers.get_mut(&id)?;
        worker.push(Kind::Peers, &body)?;
        worker.peers_due.remove(name);
        Some(())
    }

    pub(super) fn count_dealt(&mut self, number: ClientNumber, cost: u32) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        client.dealt_bytes += cost;
        if client.dealt_bytes >= self.dealt_bytes {
            let bytes = core::mem::take(&mut client.dealt_bytes);
            let mail = ToClients::Dealt {
                client: number,
                bytes,
            };
            self.say(number.shard(), &mail);
        }
    }

    /// A client is gone. Its worker hears its last words before that, unless it does not read.
    fn forget(&mut self, number: ClientNumber, body: &[u8]) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let Some(id) = client.worker else {
            self.waiting.remove(&(client.waiting_us, number));
            self.clients.remove(&number);
            return;
        };
        let worker = self.workers.get_mut(&id);
        let worker = worker.expect("a client's worker is known");
        worker.load -= 1;
        worker.standing.connects.forget(number);
        // They are among its last words by now.
        worker.backlog.set(number, 0);
        let is_too_much = worker.farewell_bytes + client.cost() > FAREWELL_BYTES_MAX;
        if is_too_much && !client.is_opened {
            // The worker never hears of it.
            let stood = client.is_ready;
            self.clients.remove(&number);
            if stood {
                self.leave_row(id);
            }
            return;
        }
        if is_too_much {
            client.queue.clear();
        }
        client.is_gone = true;
        let close = Waiting::own(Kind::Close, body.into());
        client.queue.push_back(close);
        worker.farewell_bytes += client.cost();
        self.stand_in_row(number);
    }

    /// A client is out of a worker's row: whoever is not there any more is passed over, and not kept for ever.
    fn leave_row(&mut self, id: WorkerId) {
        let clients = &self.clients;
        let worker = self.workers.get_mut(&id);
        let worker = worker.expect("a client's worker is known");
        worker.row_gone += 1;
        if worker.row_gone * 2 > worker.row.len() {
            worker.row.retain(
                |ready| !matches!(ready, Ready::Client(number) if !clients.contains_key(number)),
            );
            worker.row_gone = 0;
        }
    }

    /// A new worker of an application is there: whoever waits for one says again who it is, but for those who are tried one after the other.
    pub(super) fn call_the_waiting(&mut self, app: AppId) {
        let is_aside = |number: &ClientNumber| {
            let client = self.clients.get(number);
            client.is_some_and(|client| self.is_aside(client))
        };
        let mut waiting = self.waiting_for(app);
        waiting.retain(|(_, number)| !is_aside(number));
        waiting
            .into_iter()
            .for_each(|(_, number)| self.call(number));
    }

    /// Those that wait for a worker of an application, and since when.
    pub(super) fn waiting_for(&self, app: AppId) -> Vec<(u64, ClientNumber)> {
        let waiting = self.waiting.iter().copied();
        let waiting = waiting.filter(|(_, number)| self.app_of_client(*number) == Some(app));
        waiting.collect()
    }

    pub(super) fn call(&mut self, number: ClientNumber) {
        let client = self.clients.get_mut(&number);
        let is_called =
            client.is_some_and(|client| core::mem::replace(&mut client.is_called, true));
        if !is_called {
            self.say(number.shard(), &ToClients::Again { client: number });
        }
    }

    /// A worker does not come back. What it was sent is lost with it, unless that is to be delivered again; what it was not sent goes to the next one.
    pub(super) fn lose(&mut self, now: Now, id: WorkerId) {
        self.lose_with(now, id, self.settings.redeliver);
    }

    /// The same of a worker that cannot have dealt with more than it has said, so that the rest is for the next one: it said goodbye, or begins anew as it
    /// never read that it had joined.
    pub(super) fn lose_whole(&mut self, now: Now, id: WorkerId) {
        self.lose_with(now, id, true);
    }

    fn lose_with(&mut self, now: Now, id: WorkerId, redelivers: bool) {
        let Some(mut worker) = self.workers.remove(&id) else {
            return;
        };
        self.let_spaces_go(id, &worker);
        self.behind_moves.let_go(id);
        self.say_behind_moves();
        self.stats.workers_lost += u64::from(!worker.is_emitter());
        if let Some(conn) = worker.link {
            self.end_link(conn);
        }
        let closes = worker.closes();
        // What no link has taken was never sent, although it was in the window.
        let frames = match redelivers {
            true => worker.outgoing.kept(),
            false => worker.outgoing.unsent(),
        };
        let mut begun = match redelivers {
            true => worker.begun.take(),
            false => Begun::default(),
        };
        begun.add(frames, self.is_opaque());
        let mut again = begun.into_frames();
        if !redelivers {
            self.tell_left(left_in(worker.outgoing.undealt()));
        }
        let before = self.stats.clients_unanswered;
        for number in self.clients_of(id) {
            let again = again.remove(&number).unwrap_or_default();
            self.lose_for(now, number, closes, again);
        }
        self.tell_unanswered(&worker, self.stats.clients_unanswered - before);
        self.lose_names(&worker);
        self.lose_asked(id);
        self.lose_questions(now, id);
        self.lose_sessions(id);
        self.drop_unwanted_recovery(worker.app);
        if !self.waiting.is_empty() && self.has_sound_worker(worker.app) {
            self.call_the_waiting(worker.app);
        }
    }

    /// In the order of their numbers: what is done about them must not depend on a table's.
    pub(super) fn clients_of(&self, id: WorkerId) -> Vec<ClientNumber> {
        let clients = self.clients.iter();
        let clients = clients.filter(|(_, client)| client.worker == Some(id));
        let mut numbers: Vec<ClientNumber> = clients.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Sockets that their clients have left must not come back at the next worker.
    fn tell_left(&mut self, left: Vec<(ClientNumber, String)>) {
        for (client, name) in left {
            let name = &*name;
            self.say(client.shard(), &ToClients::Left { client, name });
        }
    }

    fn lose_for(&mut self, now: Now, number: ClientNumber, closes: bool, again: Vec<Waiting>) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        if client.is_gone {
            self.clients.remove(&number);
            return;
        }
        let is_again = again.iter().map(|frame| &*frame.body);
        if client.waits_in_vain(is_again) && !closes {
            self.recovery.begin_anew(number);
            return self.end_unanswered(number);
        }
        let unheard = client.lose_worker(now.monotonic_us, again);
        self.recovery.begin_anew(number);
        if closes {
            return self.give_up(number);
        }
        self.waiting.insert((now.monotonic_us, number));
        self.count_dealt(number, unheard);
    }

    pub(super) fn give_up(&mut self, client: ClientNumber) {
        self.clients.remove(&client);
        self.stats.clients_lost += 1;
        self.say(client.shard(), &ToClients::Lost { client });
    }

    /// Clients for whom no worker came in time are given up.
    pub(super) fn settle(&mut self, now: Now) {
        let hold_us = u64::from(self.settings.hold_ms) * 1000;
        while let Some((since_us, client)) = self.waiting.first().copied() {
            if now.monotonic_us < since_us + hold_us {
                break;
            }
            self.waiting.pop_first();
            self.give_up(client);
        }
    }
}
