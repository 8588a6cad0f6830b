//! Where links and clients meet: one shard has all links of the applications, gives each client a worker, and carries frames between them.
//!
//! What must be done comes back as [`Order`]s. Deliberately absent: sessions and rooms, which the clients' shards have.

use super::applications::{AppId, Application, Names, Reserved, Routes};
use super::asking::Questioning;
use super::breaker::{Breaker, BreakerSettings};
use super::deal::{Client, dealt_bytes};
use super::emitter::Role;
use super::fault::Fault;
use super::gather::Gather;
use super::lately::Lately;
use super::link::{Lateness, Link, LinkPeer, Welcome};
use super::mail::{ClientNumber, SpaceId};
use super::mend::Notice;
use super::migrate::Pace;
use super::moved::BehindMoves;
use super::owed::OnWorkerLoss;
use super::owning::Told;
use super::parsing::Parser;
use super::pressure::{Hold, Pressure};
use super::proof::Secret;
use super::recovery::Recovery;
use super::shares::Shares;
use super::suspects::Suspects;
use super::window::Window;
use super::worker::{Worker, WorkerId};
use crate::time::{ConnId, Now};
use core::cell::Cell;
use ringway_proto::link::{self, Frame, Hello, Json, Kind, Raw, Side};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::rc::Rc;

/// Links at a time, those that have not said who they are among them.
const LINKS_MAX: usize = 64;
/// Workers at a time, those that may still come back among them.
const WORKERS_MAX: usize = 2 * LINKS_MAX;
/// A worker's name for its life.
const INSTANCE_BYTES_MAX: usize = 128;
/// Time for a link to say who it is.
const HELLO_US: u64 = 5_000_000;
/// Time between two pings of a link.
const PING_US: u64 = 5_000_000;

/// What is read of a link at a time: what comes of it is done before more is read, so that whoever cannot follow is seen to.
const READ_BYTES: usize = 64 << 10;

/// How the exchange behaves.
#[derive(Clone, Debug)]
pub struct ExchangeSettings {
    /// The application whose workers may join: the main one.
    pub application: String,
    /// Those beside it.
    pub applications: Vec<Application>,
    /// Namespaces of an application that its clients may name; what it names itself has some room beyond.
    pub namespaces_max: u32,
    /// What a link may have on the way, in each direction.
    pub window: Window,
    /// How long a worker whose link was cut may take to come back, in milliseconds.
    pub grace_ms: u32,
    /// How long clients wait for a worker, in milliseconds.
    pub hold_ms: u32,
    /// Bytes of a client's message at most, which workers are told.
    pub payload_bytes_max: u32,
    /// Whether the next worker hears what the last one was sent and had not dealt with.
    pub redeliver: bool,
    /// How many clients of workers that leave go to others in a second.
    pub migrations_per_second: u32,
    /// How long what clients say waits for more, when many speak to one worker, in microseconds.
    pub coalesce_us: u32,
    /// What becomes of clients that wait for an acknowledgement of a worker that is gone.
    pub on_worker_loss: OnWorkerLoss,
    /// When workers are kept from clients.
    pub breaker: BreakerSettings,
    /// What workers over TCP must prove that they know; none where only one's own user can open links.
    pub secret: Option<Secret>,
}

/// What the exchange wants done, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The link has something to send.
    Dirty(ConnId),
    /// The same at that time, unless something takes it along before.
    DirtyAt { conn: ConnId, at_us: u64 },
    /// Send what is left, then close the link.
    CloseAfterFlush(ConnId),
    /// Close the link at once.
    Close(ConnId),
    /// Read nothing from the link for now.
    Pause(ConnId),
    /// Read on.
    Resume(ConnId),
    /// Say this to a shard of clients.
    Mail { to: u16, bytes: Rc<[u8]> },
}

/// What the exchange has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeStats {
    /// Workers that are joined, or may still come back.
    pub workers: u64,
    /// Emitters that are joined, or may still come back.
    pub emitters: u64,
    /// Clients that wait for a worker.
    pub clients_waiting: u64,
    /// Sockets whose clients are gone and may come back.
    pub sessions_waiting: u64,
    /// Bytes of broadcasts that are kept for them.
    pub log_bytes: u64,
    /// Links that were accepted.
    pub links_accepted: u64,
    /// Links whose worker joined.
    pub links_joined: u64,
    /// Links that were closed for what they said, or for saying nothing.
    pub links_refused: u64,
    /// Links that are not read now, as clients or shards have too much before them, or as their workers have flooded.
    pub links_paused: u64,
    /// Times that all links were paused so.
    pub links_pauses: u64,
    /// Times that those alone were whose workers said most.
    pub heaviest_pauses: u64,
    /// Links of peers that had lied too often.
    pub links_turned_away: u64,
    /// Links that came back in time.
    pub links_resumed: u64,
    /// Workers that did not.
    pub workers_lost: u64,
    /// Frames about clients that are gone.
    pub frames_stale: u64,
    /// Clients that waited too long for a worker.
    pub clients_lost: u64,
    /// Messages between workers that found too many before them.
    pub bus_dropped: u64,
    /// Namespaces of workers that were one too many, or had too long a name, and those that clients asked for in vain.
    pub namespaces_refused: u64,
    /// Namespaces of workers that are the daemon's own.
    pub namespaces_kept: u64,
    /// Namespaces that workers said and that are another application's.
    pub namespaces_taken: u64,
    /// Requests that wait for the application's word.
    pub questions_open: u64,
    /// Requests that it was asked about.
    pub questions: u64,
    /// Of these, those without an answer in time.
    pub questions_late: u64,
    /// Answers that came later.
    pub answers_late: u64,
    /// Times that the application's options have changed.
    pub bindings: u64,
    /// Sockets whose clients came back.
    pub sessions_recovered: u64,
    /// Sockets that were asked for in vain.
    pub sessions_refused: u64,
    /// Workers that get no clients for now.
    pub workers_isolated: u64,
    /// Times that a worker was stuck.
    pub stalls: u64,
    /// Times that a worker was kept from clients as it flooded.
    pub floods: u64,
    /// Times that a circuit opened.
    pub circuits_opened: u64,
    /// Times that a worker was tried with one client.
    pub probes: u64,
    /// Times that a circuit closed again.
    pub circuits_closed: u64,
    /// Clients that went from a worker that left to another one.
    pub clients_migrated: u64,
    /// Clients that were refused, as every worker was failing.
    pub clients_refused: u64,
    /// Clients that were closed, as they waited for an acknowledgement of a worker that is gone.
    pub clients_unanswered: u64,
    /// Clients that were told to go, as workers died on them.
    pub clients_dismissed: u64,
}

pub(crate) struct Exchange {
    pub(super) settings: ExchangeSettings,
    pub(super) shards: u16,
    pub(super) behind_moves: BehindMoves,
    epoch: String,
    pub(super) links: BTreeMap<ConnId, Link>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    next_worker: u64,
    pub(super) clients: HashMap<ClientNumber, Client>,
    /// Of a client's frames, what is dealt with before its shard hears of it.
    pub(super) dealt_bytes: u32,
    /// Those that wait for a worker, and since when.
    pub(super) waiting: BTreeSet<(u64, ClientNumber)>,
    pub(super) names: Names,
    /// Whose a namespace is to clients.
    pub(super) routes: Routes,
    pub(super) next_space: u32,
    /// The workers that have a namespace, once for each number that they have for it.
    pub(super) holders: HashMap<SpaceId, Vec<WorkerId>>,
    /// So that whoever chooses a value cannot choose a worker by it.
    pub(super) affinity_seed: u64,
    /// Acknowledgements that all clients wait for, as far as they are known one by one.
    pub(super) all_owed: Rc<Cell<usize>>,
    /// Applications that have lost a worker since their namespaces were looked through for those that nobody has, and when they lost the last one.
    pub(super) may_retire: BTreeMap<AppId, u64>,
    pub(super) questioning: Questioning,
    pub(super) gather: Gather,
    /// How packets are encoded, once a worker has said it.
    pub(super) parser: Option<Parser>,
    /// Namespaces that are the daemon's own.
    pub(super) native: BTreeSet<String>,
    pub(super) orders: Vec<Order>,
    pub(super) pressure: Pressure,
    pub(super) recovery: Recovery,
    /// Who says how much.
    pub(super) shares: Shares,
    pub(super) suspects: Suspects,
    /// Other shards or clients cannot follow: these links are not read.
    pub(super) hold: Hold,
    /// Whose those are, if it is not all; whoever said most is the first.
    pub(super) heavy: Vec<WorkerId>,
    /// Of these, those that say as much as the first, or half of it at least.
    pub(super) flooders: Vec<WorkerId>,
    /// Until when it was counted how long these have waited.
    pub(super) held_looked_us: u64,
    /// Links whose input has not been read to its end.
    unread: BTreeSet<ConnId>,
    /// The one that was read last: the one behind it is next.
    read_last: Option<ConnId>,
    ping_us: u64,
    pub(super) pace: Pace,
    pub(super) breaker: Breaker,
    /// The same for peers, whoever they say they are.
    pub(super) door: Breaker,
    pub(super) notices: Vec<Notice>,
    /// What was told lately.
    pub(super) lately: Lately,
    /// Those of them that are about namespaces of two applications.
    pub(super) told_taken: Told,
    pub(super) stats: ExchangeStats,
}

impl Exchange {
    /// An exchange without links. `epoch` names this life of the daemon.
    pub(crate) fn new(settings: ExchangeSettings, shards: u16, epoch: [u64; 2]) -> Self {
        let name = format!("{:016x}{:016x}", epoch[0], epoch[1]);
        let seed = epoch[0] ^ epoch[1].rotate_left(23);
        let routes = Routes::new(Reserved::new(&settings.applications));
        Self {
            breaker: Breaker::new(settings.breaker.clone(), settings.hold_ms, seed),
            door: Breaker::of_peers(settings.breaker.clone(), seed),
            pace: Pace::default(),
            notices: Vec::new(),
            lately: Lately::default(),
            told_taken: Told::default(),
            dealt_bytes: dealt_bytes(settings.applications.len()),
            settings,
            shards,
            behind_moves: BehindMoves::default(),
            recovery: Recovery::new(&name),
            epoch: name,
            links: BTreeMap::new(),
            workers: BTreeMap::new(),
            next_worker: 0,
            clients: HashMap::new(),
            waiting: BTreeSet::new(),
            names: Names::default(),
            routes,
            next_space: 0,
            holders: HashMap::new(),
            affinity_seed: epoch[1] ^ epoch[0].rotate_left(41),
            all_owed: Rc::default(),
            may_retire: BTreeMap::new(),
            questioning: Questioning::default(),
            gather: Gather::default(),
            parser: None,
            native: BTreeSet::new(),
            orders: Vec::new(),
            pressure: Pressure::new(shards),
            shares: Shares::default(),
            suspects: Suspects::default(),
            hold: Hold::Nobody,
            heavy: Vec::new(),
            flooders: Vec::new(),
            held_looked_us: 0,
            unread: BTreeSet::new(),
            read_last: None,
            ping_us: 0,
            stats: ExchangeStats::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(crate) fn stats(&self) -> ExchangeStats {
        ExchangeStats {
            workers: (self.workers.len() - self.emitters()) as u64,
            emitters: self.emitters() as u64,
            clients_waiting: self.waiting.len() as u64,
            questions_open: self.questioning.len() as u64,
            sessions_waiting: self.recovery.sessions_waiting(),
            log_bytes: self.recovery.log_bytes(),
            workers_isolated: self.isolated() as u64,
            links_paused: self.links.values().filter(|link| link.is_paused()).count() as u64,
            ..self.stats
        }
    }

    pub(crate) fn is_link(&self, conn: ConnId) -> bool {
        self.links.contains_key(&conn)
    }

    pub(crate) fn take_orders(&mut self) -> Vec<Order> {
        core::mem::take(&mut self.orders)
    }

    /// Whether anything is to be looked at now and then.
    pub(crate) fn is_busy(&self) -> bool {
        let is_idle = self.clients.is_empty() && self.questioning.len() == 0;
        let is_alone = self.links.is_empty() && self.workers.is_empty() && is_idle;
        !(is_alone && self.recovery.is_empty())
    }

    /// A link was accepted; `nonce` is unpredictable.
    pub(crate) fn accepted(&mut self, now: Now, conn: ConnId, nonce: [u64; 2], peer: &LinkPeer) {
        self.stats.links_accepted += 1;
        if self.turns_away(now, peer) {
            self.stats.links_turned_away += 1;
            self.orders.push(Order::Close(conn));
            return;
        }
        if self.links.len() >= LINKS_MAX {
            self.stats.links_refused += 1;
            self.orders.push(Order::Close(conn));
            return;
        }
        let mut link = Link::new(&self.epoch, nonce, now.monotonic_us + HELLO_US, peer);
        link.number = self.stats.links_accepted;
        self.links.insert(conn, link);
        self.orders.push(Order::Dirty(conn));
        self.settle_links();
    }

    /// A link was accepted, and closed before it was one.
    pub(crate) const fn refused_unheard(&mut self) {
        self.stats.links_accepted += 1;
        self.stats.links_refused += 1;
    }

    /// Bytes of a link.
    pub(crate) fn received(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&conn).filter(|link| !link.is_closing()) else {
            return;
        };
        link.heard();
        link.feed(bytes);
        self.unread.insert(conn);
        self.read_on(now);
    }

    /// Reads some of what links have said, one after the other. `false`: there is nothing, or it is to wait.
    pub(crate) fn read_on(&mut self, now: Now) -> bool {
        let next = self.next_unread();
        if let Some(conn) = next {
            self.unread.remove(&conn);
            self.read_last = next;
            self.read(now, conn);
        }
        next.is_some()
    }

    fn next_unread(&self) -> Option<ConnId> {
        let behind = self.read_last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.unread.range((behind, Bound::Unbounded));
        let is_read = |conn: &&ConnId| !self.links.get(conn).is_some_and(Link::is_paused);
        let next = rest.find(is_read);
        next.or_else(|| self.unread.iter().find(is_read)).copied()
    }

    /// Takes frames out of a link's input.
    fn read(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let mut input = link.take_input();
        self.recovery.given_bytes = 0;
        let (taken, outcome) = self.take_frames(now, conn, &input);
        input.drain(..taken);
        if let Err(fault) = outcome {
            return self.refuse(now, conn, fault);
        }
        if let Some(link) = self.links.get_mut(&conn) {
            link.give_input_back(input);
        }
        if taken + self.recovery.given_bytes >= READ_BYTES {
            self.unread.insert(conn);
        }
    }

    fn take_frames(&mut self, now: Now, conn: ConnId, input: &[u8]) -> (usize, Result<(), Fault>) {
        let mut taken = 0;
        while taken + self.recovery.given_bytes < READ_BYTES {
            // Its first frame may have said that it is one that is not to be read.
            if self.links.get(&conn).is_some_and(Link::is_paused) {
                self.unread.insert(conn);
                break;
            }
            let body_bytes_max = self.links.get(&conn).map_or(0, Link::body_bytes_max);
            let frame = match link::split(&input[taken..], body_bytes_max) {
                Ok(Some((raw, bytes))) => self.frame(now, conn, &raw, bytes).map(|()| bytes),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            match frame {
                Ok(bytes) => taken += bytes,
                Err(fault) => return (taken, Err(fault)),
            }
        }
        (taken, Ok(()))
    }

    /// The link said what it must not: it is told, and closed. Its worker may come back; other links and clients are untouched.
    fn refuse(&mut self, now: Now, conn: ConnId, fault: Fault) {
        self.tell_refused_link(now, conn, &fault);
        self.say_fault(conn, &fault);
        let id = self.links.get(&conn).and_then(Link::worker);
        if id.is_some() && !fault.is_lie() {
            return;
        }
        self.note_refused(now, conn);
        id.into_iter().for_each(|id| self.note_lie(now, id));
    }

    pub(super) fn say_fault(&mut self, conn: ConnId, fault: &Fault) {
        self.stats.links_refused += 1;
        if let Some(link) = self.links.get_mut(&conn) {
            link.say_error(fault.code(), &fault.to_string());
            self.orders.push(Order::Dirty(conn));
            self.orders.push(Order::CloseAfterFlush(conn));
        }
    }

    /// Says how much was dealt with, if that is worth a frame: much, or when it is time for it. Alone it would wake a worker for each event, so that it
    /// goes with what else there is to say, or with the next tick: until then the worker's window is far from full.
    pub(super) fn credit(&mut self, conn: ConnId, is_time: bool) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let worker = link.worker().and_then(|id| self.workers.get_mut(&id));
        let worker = worker.filter(|worker| !worker.is_binding);
        if let Some(sum) = worker.and_then(|worker| worker.incoming.credit(is_time)) {
            link.owe_credit(sum);
            self.orders.push(Order::Dirty(conn));
        }
    }

    fn frame(&mut self, now: Now, conn: ConnId, raw: &Raw<'_>, bytes: usize) -> Result<(), Fault> {
        let Some(link) = self.links.get(&conn) else {
            return Ok(());
        };
        let Some(id) = link.worker() else {
            return self.hello(now, conn, raw);
        };
        self.recovery.pass(now.monotonic_us);
        let is_counted = raw.kind.is_counted();
        let worker = self.workers.get_mut(&id);
        let worker = worker.expect("a link's worker stays while the link does");
        worker.knows = true;
        if is_counted {
            worker.incoming.receive(bytes).map_err(|_| Fault::Window)?;
        }
        let frame = Frame::parse(raw, Side::Worker)?;
        let sent_bytes = self.pressure.sent_bytes;
        self.obey(now, id, raw, &frame)?;
        let mail_bytes = self.pressure.sent_bytes - sent_bytes;
        self.weigh(now, id, (bytes as u64, mail_bytes));
        self.note_connects(id, raw, &frame);
        self.note_entered(id, raw, &frame);
        if let Some(worker) = self.workers.get_mut(&id).filter(|_| is_counted) {
            worker.incoming.deal(bytes);
        }
        // Whoever has said what it is waits for the daemon to know it.
        self.credit(conn, raw.kind == Kind::Bind);
        Ok(())
    }

    fn hello(&mut self, now: Now, conn: ConnId, raw: &Raw<'_>) -> Result<(), Fault> {
        let Frame::Hello { json, mac } = Frame::parse(raw, Side::Worker)? else {
            return Err(Fault::Turn("a frame before HELLO"));
        };
        self.admit(conn, &json, mac)?;
        if self.is_given_up(conn, json.value()) {
            self.end_link(conn);
            return Ok(());
        }
        let (id, received) = self.worker_of(now, json.value(), conn)?;
        self.welcome(conn, id, received, json.text());
        let is_sound = !self.is_emitter(id) && self.worker_mut(id).standing.is_closed();
        if received.is_none() && is_sound {
            self.call_the_waiting(self.app_of(id));
            self.pose_the_waiting(now);
        }
        self.pump(id);
        Ok(())
    }

    /// Whether it may join.
    fn admit(&self, conn: ConnId, json: &Json<'_, Hello<'_>>, mac: &str) -> Result<(), Fault> {
        let hello = json.value();
        let is_proven =
            |link: &Link| link.is_proven(self.settings.secret.as_ref(), json.text(), mac);
        if hello.proto[0] != 1 {
            return Err(Fault::Version(hello.proto));
        }
        if !self.links.get(&conn).is_some_and(is_proven) {
            return Err(Fault::Proof);
        }
        if self.application(&hello.app).is_none() {
            return Err(Fault::NotAllowed("application"));
        }
        if Role::of(hello).is_none() {
            return Err(Fault::NotAllowed("role"));
        }
        if !(1..=INSTANCE_BYTES_MAX).contains(&hello.instance.len()) {
            return Err(Fault::NotAllowed("instance"));
        }
        Ok(())
    }

    /// Whether its worker has said HELLO on a later link: it has given this one up, and nothing of what is said here is to end what it is now.
    fn is_given_up(&self, conn: ConnId, hello: &Hello<'_>) -> bool {
        let number = self.links.get(&conn).map_or(0, |link| link.number);
        let app = self.application(&hello.app);
        let mut workers = self.workers.values();
        workers.any(|worker| {
            let is_it = Some(worker.app) == app && *worker.instance == hello.instance;
            is_it && worker.link_number > number
        })
    }

    /// The worker that a HELLO is of, and, if it goes on where it was, how many of its frames were dealt with.
    fn worker_of(
        &mut self,
        now: Now,
        hello: &Hello<'_>,
        conn: ConnId,
    ) -> Result<(WorkerId, Option<u64>), Fault> {
        let app = self.application(&hello.app).expect("it may join");
        let known = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.app == app && *worker.instance == hello.instance);
        let known = known.map(|(id, _)| *id).min();
        let role = Role::of(hello).expect("it may join");
        // Nobody takes the place of a worker by its name.
        if known.is_some_and(|id| self.workers[&id].role != role) {
            return Err(Fault::NotAllowed("instance"));
        }
        let point = hello
            .resume
            .as_ref()
            .filter(|point| point.epoch == self.epoch);
        let is_first = point.is_none();
        let point = point.filter(|_| known.is_some_and(|id| self.workers[&id].knows_its_life()));
        if let Some((id, point)) = known.zip(point) {
            return Ok((id, Some(self.take_up(id, point.received, conn)?)));
        }
        // The same process with another life of its own: what it had is gone, if it ever had something.
        match known {
            Some(id) if self.workers[&id].knows || hello.resume.is_some() => self.lose(now, id),
            Some(id) => self.lose_whole(now, id),
            None => {}
        }
        if self.workers.len() >= WORKERS_MAX {
            return Err(Fault::TooMany("workers"));
        }
        self.has_place(role)?;
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let mut worker = Worker::new(
            (app, role),
            &hello.instance,
            hello.weight.unwrap_or(1),
            conn,
            self.settings.window,
        );
        worker.is_first = is_first;
        worker.link_number = self.links.get(&conn).map_or(0, |link| link.number);
        worker.says_taken = hello.can("hold");
        worker.hears_moved = hello.can("move");
        let kin = self.kin(app, hello.name.as_deref());
        // One that only publishes has no clients to be kept from.
        if !worker.is_emitter() {
            worker.standing.circuit = self.breaker.join(now.monotonic_us, &kin);
            worker.standing.has_flooded =
                self.breaker.has_flooded(&kin) && !worker.standing.is_closed();
        }
        worker.standing.kin = kin;
        worker.standing.join(now.monotonic_us);
        self.workers.insert(id, worker);
        Ok((id, None))
    }

    /// A worker is back on another link. The old one may not have been seen to end yet.
    fn take_up(&mut self, id: WorkerId, received: u64, conn: ConnId) -> Result<u64, Fault> {
        let is_opaque = self.is_opaque();
        let number = self.links.get(&conn).map_or(0, |link| link.number);
        let worker = self.workers.get_mut(&id).expect("it was just found");
        worker.link_number = number;
        worker
            .resume(received, is_opaque)
            .map_err(|_| Fault::Credit)?;
        let dealt = worker.incoming.resume();
        if let Some(old) = worker.link.replace(conn) {
            self.end_link(old);
        }
        self.stats.links_resumed += 1;
        Ok(dealt)
    }

    pub(super) fn end_link(&mut self, conn: ConnId) {
        if self.links.remove(&conn).is_some() {
            self.orders.push(Order::Close(conn));
        }
    }

    fn welcome(&mut self, conn: ConnId, id: WorkerId, received: Option<u64>, hello: &str) {
        let settings = &self.settings;
        let welcome = Welcome {
            epoch: &self.epoch,
            resumed: received.is_some(),
            received: received.unwrap_or(0),
            window: settings.window,
            hold_ms: settings.hold_ms,
            grace_ms: settings.grace_ms,
            caps: self.capabilities(self.app_of(id)),
            native: &self.native,
            payload_bytes_max: settings.payload_bytes_max,
        };
        if let Some(link) = self.links.get_mut(&conn) {
            self.stats.links_joined += 1;
            link.welcome(id, &welcome, settings.secret.as_ref(), hello);
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.peer = link.peer().into();
            }
            self.orders.push(Order::Dirty(conn));
        }
        self.settle_links();
    }

    /// The optional parts of docs/link.md that are obeyed here. About requests the main application is asked alone.
    fn capabilities(&self, app: AppId) -> Vec<&'static str> {
        let is_alone = self.native.is_empty() && self.settings.applications.is_empty();
        let opaque = is_alone.then_some("opaque");
        let handshake = (app == AppId::MAIN).then_some("handshake");
        ["ackgather", "hold", "local", "migrate", "move", "recovery"]
            .into_iter()
            .chain(handshake)
            .chain(opaque)
            .collect()
    }

    /// Time passes; once per lap.
    pub(crate) const fn pass(&mut self, now: Now) {
        self.recovery.pass(now.monotonic_us);
    }

    /// The next bytes for a link: its own frames, then what its worker has not been sent.
    pub(crate) fn next_send(&mut self, conn: ConnId) -> Option<Rc<[u8]>> {
        let link = self.links.get_mut(&conn)?;
        let id = link.worker().filter(|_| !link.is_closing());
        let Some(worker) = id.and_then(|id| self.workers.get_mut(&id)) else {
            let bytes = link.take_control();
            return (!bytes.is_empty()).then(|| bytes.into());
        };
        let speaks = link.has_words() || !worker.outgoing.unsent().is_empty();
        if speaks && !worker.is_binding {
            let credit = worker.incoming.credit(true);
            credit.into_iter().for_each(|sum| link.owe_credit(sum));
        }
        let mut bytes = link.take_control();
        bytes.extend_from_slice(worker.outgoing.unsent());
        worker.outgoing.hand_over();
        link.coalescing.sent(self.recovery.now_us);
        (!bytes.is_empty()).then(|| bytes.into())
    }

    /// A link is gone. Its worker has the grace time to come back, unless it said goodbye.
    pub(crate) fn closed(&mut self, now: Now, conn: ConnId) {
        let id = self.links.remove(&conn).and_then(|link| link.worker());
        let Some(id) = id else {
            return;
        };
        if let Some(worker) = self
            .workers
            .get_mut(&id)
            .filter(|worker| worker.link == Some(conn))
        {
            worker.link = None;
            worker.lost_us = now.monotonic_us;
            if worker.said_goodbye() {
                self.lose_whole(now, id);
            }
        }
    }

    /// Now and then: links that are silent, workers that do not come back, clients that wait too long.
    pub(crate) fn tick(&mut self, now: Now) {
        self.recovery.pass(now.monotonic_us);
        self.tick_recovery();
        self.tell_credit();
        self.end_late_links(now);
        if now.monotonic_us >= self.ping_us {
            self.ping_us = now.monotonic_us + PING_US;
            self.ping(now);
        }
        let grace_us = u64::from(self.settings.grace_ms) * 1000;
        let is_lost = |worker: &Worker| {
            worker.link.is_none() && now.monotonic_us >= worker.lost_us + grace_us
        };
        let lost: Vec<WorkerId> = self
            .workers
            .iter()
            .filter(|(_, worker)| is_lost(worker))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let app = self.app_of(id);
            self.note_death(now, id);
            self.suspect(id);
            self.lose(now, id);
            self.refuse_the_waiting(now, app);
        }
        self.hold_on(now);
        self.mend(now);
        self.try_suspects(now);
        self.migrate(now);
        self.settle(now);
        self.end_late_questions(now);
        self.settle_asked(now.monotonic_us);
    }

    /// What no other word has taken along.
    fn tell_credit(&mut self) {
        let links: Vec<ConnId> = self.links.keys().copied().collect();
        links.into_iter().for_each(|conn| self.credit(conn, true));
    }

    /// Links that do not say who they are, and those that were told to go and do not read that.
    fn end_late_links(&mut self, now: Now) {
        let mut silent = Vec::new();
        let mut stuck = Vec::new();
        for (conn, link) in &mut self.links {
            match link.lateness(now.monotonic_us) {
                // What it has said may not have been read.
                Lateness::Hello if !link.is_paused() => silent.push(*conn),
                Lateness::None | Lateness::Hello => {}
                Lateness::Closing => stuck.push(*conn),
            }
        }
        for conn in silent {
            self.refuse(now, conn, Fault::Silent);
        }
        for conn in stuck {
            self.orders.push(Order::Close(conn));
            self.closed(now, conn);
        }
    }

    /// Nobody is silent who is not read.
    fn ping(&mut self, now: Now) {
        let number = self.ping_us;
        let mut silent = Vec::new();
        for (conn, link) in self
            .links
            .iter_mut()
            .filter(|(_, link)| link.worker().is_some() && !link.is_closing())
            .filter(|(_, link)| !link.is_paused())
        {
            match link.ping(number) {
                true => self.orders.push(Order::Dirty(*conn)),
                false => silent.push(*conn),
            }
        }
        silent
            .into_iter()
            .for_each(|conn| self.refuse(now, conn, Fault::Silent));
    }

    pub(super) fn link_mut(&mut self, conn: ConnId) -> Option<&mut Link> {
        self.links.get_mut(&conn)
    }
}
