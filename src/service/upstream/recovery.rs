//! Clients that lost their connection come back to their sockets, on whichever worker: what was broadcast is kept with an offset in it, and sockets whose
//! clients are gone wait for a while.
//!
//! A client that comes back enters in one step: its CONNECT is answered, it is given what it missed, and is in its rooms, with nothing broadcast in
//! between. Until then what its worker says of its membership is held back here. Deliberately absent: how long and how much (`log`, `sessions`).

use super::exchange::Exchange;
use super::fault::Fault;
use super::log::{Audience, Listener, Logs};
use super::mail::{ClientNumber, LeftSocket, SpaceId, ToClients};
use super::sessions::{Place, Session, Sessions};
use super::worker::WorkerId;
use ringway_proto::link::{
    self, Bind, CloseReason, Flags, Frame, Json, Kind, LinkError, Long, Part, Raw, Side,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How long workers may have clients come back.
const TTL_MS_MAX: u64 = 3_600_000;
/// How long packets are kept beyond that: who was cut off has seen its last packet before anybody noticed.
const NOTICE_US: u64 = 60_000_000;
/// How long a worker may take to say what a socket was in the end. Then it is what was known of it.
const UNSURE_US: u64 = 2_000_000;
/// A private id.
const PID_BYTES_MAX: usize = 128;
/// Clients that are coming back, and bytes of their sessions and of what is held back of them.
const ENTERING_MAX: usize = 65_536;
const ENTERING_BYTES_MAX: usize = 64 << 20;
/// What is held back of one: a MEMBER, and what is said of its rooms until CONNECT is answered.
const HELD_BYTES_MAX: usize = 2 << 20;
const HELD_COST_BYTES: usize = 64;
/// Sockets of clients that are still there, and that workers have said goodbye of.
const SAVED_MAX: usize = 65_536;
/// Digits that are this daemon's life, in front of an offset's number.
const LIFE_BYTES: usize = 12;

/// A client that was given its session, and has not entered yet.
#[derive(Debug)]
struct Entering {
    pid: Rc<str>,
    session: Session,
    /// The last packet that the client has seen.
    from: u64,
    /// Frames about its membership, MEMBER first.
    held: Vec<(Kind, Box<[u8]>)>,
    held_bytes: usize,
    /// All was said to its shard, which has not answered: the client may have gone before.
    is_in: bool,
}

impl Entering {
    fn bytes(&self) -> usize {
        self.session.bytes() + self.held_bytes
    }
}

/// A worker's question for a session.
#[derive(Clone, Copy, Debug)]
struct Ask {
    worker: WorkerId,
    request: u32,
    client: ClientNumber,
    from: Option<u64>,
    /// It is answered then with what is known.
    due_us: u64,
}

/// What is kept for clients that come back.
#[derive(Debug)]
pub(super) struct Recovery {
    life: Box<str>,
    now_us: u64,
    /// As the last worker that wants it has said.
    ttl_us: Option<u64>,
    logs: Logs,
    sessions: Sessions,
    entering: BTreeMap<(ClientNumber, SpaceId), Entering>,
    entering_bytes: usize,
    /// What clients were given that came back since links were looked at last: a few words of a worker cause much.
    pub(super) given_bytes: usize,
    saved: BTreeSet<(ClientNumber, SpaceId)>,
    /// Questions for sessions of which a worker is still to say what they were in the end: one of each.
    asks: BTreeMap<Place, Ask>,
}

impl Recovery {
    /// `epoch` is hexadecimal.
    pub(super) fn new(epoch: &str) -> Self {
        Self {
            life: epoch[..LIFE_BYTES].into(),
            now_us: 0,
            ttl_us: None,
            logs: Logs::new(),
            sessions: Sessions::default(),
            entering: BTreeMap::new(),
            entering_bytes: 0,
            given_bytes: 0,
            saved: BTreeSet::new(),
            asks: BTreeMap::new(),
        }
    }

    /// What is done next is done now.
    pub(super) const fn pass(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    pub(super) fn sessions_waiting(&self) -> u64 {
        self.sessions.len() as u64
    }

    pub(super) const fn log_bytes(&self) -> u64 {
        self.logs.bytes() as u64
    }

    /// Whether nothing here grows old.
    pub(super) fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.sessions.len() == 0 && self.asks.is_empty()
    }

    /// Nobody has the namespace any more.
    pub(super) fn retire(&mut self, space: SpaceId) {
        self.logs.retire(space);
        self.sessions.retire(space);
        let entering: Vec<_> = self.entering.keys().copied().collect();
        for at in entering.into_iter().filter(|at| at.1 == space) {
            self.stop_entering(at);
        }
    }

    /// A packet's offset: this life's, so that what another one has said is found by nobody.
    fn offset(&self, number: u64) -> String {
        format!("{}{number:x}", self.life)
    }

    /// The number that an offset of this life has.
    fn number(&self, offset: &str) -> Option<u64> {
        let digits = offset.strip_prefix(&*self.life)?;
        u64::from_str_radix(digits, 16).ok()
    }

    /// A session as far as its client may have it now.
    fn find(&self, space: SpaceId, pid: &str, from: Option<u64>) -> Option<(&Session, u64)> {
        let session = self.sessions.get(space, pid)?;
        let from = from.filter(|number| self.logs.has(space, *number))?;
        let is_late = self.now_us > session.expires_us;
        let is_whole = self.logs.missed(space, from, listener(session)).is_some();
        (!is_late && is_whole).then_some((session, from))
    }

    fn may_enter(&self, session: &Session) -> bool {
        let bytes = self.entering_bytes + session.bytes();
        self.entering.len() < ENTERING_MAX && bytes <= ENTERING_BYTES_MAX
    }

    fn enter(&mut self, client: ClientNumber, (space, pid): Place, from: u64) -> Option<&Session> {
        let session = self.sessions.remove(space, &pid)?;
        // One client has one socket in a namespace.
        self.put_back((client, space));
        let entering = Entering {
            pid,
            session,
            from,
            held: Vec::new(),
            held_bytes: 0,
            is_in: false,
        };
        self.start_entering((client, space), entering);
        let entering = self.entering.get(&(client, space));
        entering.map(|entering| &entering.session)
    }

    fn start_entering(&mut self, at: (ClientNumber, SpaceId), entering: Entering) {
        self.entering_bytes += entering.bytes();
        self.entering.insert(at, entering);
    }

    fn stop_entering(&mut self, at: (ClientNumber, SpaceId)) -> Option<Entering> {
        let entering = self.entering.remove(&at)?;
        self.entering_bytes -= entering.bytes();
        Some(entering)
    }

    /// The client did not enter: its session waits again.
    fn put_back(&mut self, at: (ClientNumber, SpaceId)) {
        if let Some(Entering { pid, session, .. }) = self.stop_entering(at) {
            self.sessions.insert((at.1, pid), session);
        }
    }

    /// The client is gone. Where its worker believes that it has entered, that one will say what the socket was.
    fn put_all_back(&mut self, client: ClientNumber, worker: Option<WorkerId>) {
        for at in self.entering_of(client) {
            if let Some(entering) = self.entering.get_mut(&at).filter(|entering| entering.is_in) {
                entering.session.client = client;
                entering.session.worker = worker.or(entering.session.worker);
                entering.session.is_unsure = worker.is_some();
            }
            self.put_back(at);
        }
    }

    /// The namespaces into which a client is coming back.
    fn entering_of(&self, client: ClientNumber) -> Vec<(ClientNumber, SpaceId)> {
        let entering = self.entering.range(spaces_of(client));
        entering.map(|(at, _)| *at).collect()
    }

    /// Its worker is gone with what it had begun: the next one begins anew.
    pub(super) fn begin_anew(&mut self, client: ClientNumber) {
        for at in self.entering_of(client) {
            self.let_go(at);
        }
    }

    /// What was held back of a client is out of date.
    fn let_go(&mut self, at: (ClientNumber, SpaceId)) {
        if let Some(entering) = self.entering.get_mut(&at) {
            self.entering_bytes -= core::mem::take(&mut entering.held_bytes);
            entering.held.clear();
        }
    }

    /// Holds back what a worker says of a client's membership. `None`: it is too much.
    fn hold(&mut self, at: (ClientNumber, SpaceId), kind: Kind, body: &[u8]) -> Option<()> {
        let entering = self.entering.get_mut(&at)?;
        let cost = HELD_COST_BYTES + body.len();
        if entering.held_bytes + cost > HELD_BYTES_MAX
            || self.entering_bytes + cost > ENTERING_BYTES_MAX
        {
            return None;
        }
        entering.held_bytes += cost;
        self.entering_bytes += cost;
        entering.held.push((kind, body.into()));
        Some(())
    }
}

fn spaces_of(client: ClientNumber) -> core::ops::RangeInclusive<(ClientNumber, SpaceId)> {
    (client, SpaceId(0))..=(client, SpaceId(u32::MAX))
}

fn listener(session: &Session) -> Listener<'_> {
    Listener {
        rooms: &session.rooms,
        worker: session.worker,
    }
}

/// What BIND says of recovery, in microseconds; what is unlimited is our bound.
fn ttl_us(opts: &str) -> Result<Option<u64>, Fault> {
    #[derive(Deserialize)]
    struct Wanted {
        ttl: Option<f64>,
    }
    #[derive(Deserialize)]
    struct Options {
        recovery: Option<Wanted>,
    }
    let options: Options = serde_json::from_str(opts).map_err(|_| {
        Fault::Frame(LinkError::Json(
            Kind::Bind,
            "recovery is no object with a ttl".into(),
        ))
    })?;
    // A float becomes the nearest integer that there is, and Infinity is no JSON: it comes as null.
    let ttl_ms = |wanted: Wanted| wanted.ttl.map_or(TTL_MS_MAX, |ms| ms as u64);
    Ok(options
        .recovery
        .map(|wanted| ttl_ms(wanted).min(TTL_MS_MAX) * 1000))
}

/// A packet's text with its offset behind the last argument.
fn with_offset(text: &str, offset: &str) -> Option<String> {
    let arguments = text.strip_suffix(']')?;
    // A list without arguments is no event.
    let has_some = arguments.contains('[') && !arguments.ends_with('[');
    has_some.then(|| format!("{arguments},\"{offset}\"]"))
}

/// The namespace of an answer to CONNECT, and whether it is welcome.
fn answered(text: &[u8]) -> Option<(&str, bool)> {
    text.first().filter(|first| matches!(first, b'0' | b'4'))?;
    let text = core::str::from_utf8(text).ok()?;
    let is_welcome = text.starts_with('0');
    let rest = text.strip_prefix(['0', '4'])?;
    let name = match rest.starts_with('/') {
        true => rest.split(',').next()?,
        false => "/",
    };
    Some((name, is_welcome))
}

impl Exchange {
    /// What a worker wants done for its application.
    pub(super) fn bind(&mut self, id: WorkerId, json: &Json<'_, Bind<'_>>) -> Result<(), Fault> {
        let ttl_us = ttl_us(json.value().opts.get())?;
        self.worker_mut(id).recovery_us = ttl_us;
        self.recovery.ttl_us = ttl_us.or(self.recovery.ttl_us);
        Ok(())
    }

    fn recovery_us(&self, id: WorkerId, what: &'static str) -> Result<u64, Fault> {
        let worker = self.workers.get(&id);
        let ttl_us = worker.and_then(|worker| worker.recovery_us);
        ttl_us.ok_or(Fault::Turn(what))
    }

    /// A broadcast is kept; gives its body with the offset in it.
    pub(super) fn keep(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: SpaceId,
    ) -> Result<Vec<u8>, Fault> {
        self.recovery_us(id, "RECOVER")?;
        let frame = Frame::parse(raw, Side::Worker)?;
        let Frame::Bcast {
            nsp,
            rooms,
            except,
            mut parts,
        } = frame
        else {
            return Ok(raw.body.to_vec());
        };
        let recovery = &mut self.recovery;
        let number = recovery.logs.next_number();
        let offset = recovery.offset(number);
        let text = match parts.first() {
            Some(Part::Text(text)) => with_offset(text, &offset),
            _ => None,
        };
        let text = text.ok_or(Fault::NoOffset)?;
        parts[0] = Part::Text(&text);
        let audience = Audience {
            rooms: &rooms,
            except: &except,
            only: raw.flags.contains(Flags::LOCAL).then_some(id),
        };
        let flags = match raw.flags.contains(Flags::NO_COMPRESS) {
            true => Flags::NO_COMPRESS,
            false => Flags::NONE,
        };
        let now_us = recovery.now_us;
        recovery.logs.push(now_us, space, audience, &parts, flags);
        let frame = Frame::Bcast {
            nsp,
            rooms,
            except,
            parts,
        };
        Ok(frame.body())
    }

    /// A worker says what a socket was when its client went.
    pub(super) fn save_session(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), Fault> {
        let Frame::SessionSave {
            nsp,
            pid,
            rooms,
            sid,
            data,
        } = frame
        else {
            return Ok(());
        };
        let ttl_us = self.recovery_us(id, "SESSION_SAVE")?;
        if !(1..=PID_BYTES_MAX).contains(&pid.len()) {
            return Err(LinkError::Value(raw.kind, pid.len() as u64).into());
        }
        let Some(space) = self.space(id, *nsp)? else {
            return Ok(());
        };
        let client = ClientNumber(raw.conn);
        if !self.may_save(id, client, space, pid)? {
            self.stats.frames_stale += 1;
            return Ok(());
        }
        let session = Session {
            sid: (*sid).into(),
            rooms: rooms.iter().map(|room| (*room).into()).collect(),
            data: data.0.into(),
            client,
            worker: Some(id),
            expires_us: self.recovery.now_us + ttl_us,
            is_unsure: false,
        };
        let place = (space, Rc::from(*pid));
        self.recovery.sessions.insert(place.clone(), session);
        self.answer_waiting(&place);
        Ok(())
    }

    /// Whether a worker still has a say about a client's session: while the client is its own, and behind that until somebody was given the session.
    fn may_save(
        &mut self,
        id: WorkerId,
        client: ClientNumber,
        space: SpaceId,
        pid: &str,
    ) -> Result<bool, Fault> {
        let recovery = &mut self.recovery;
        match self.clients.get(&client).filter(|known| known.is_there()) {
            Some(known) if known.worker != Some(id) => Err(Fault::NotAllowed("client")),
            Some(_) if recovery.saved.len() >= SAVED_MAX => Ok(false),
            Some(_) => {
                // Its shard, which has not heard of that, will say another thing in the end.
                recovery.saved.insert((client, space));
                Ok(true)
            }
            None => Ok(recovery.sessions.unsure_of(client, space, id).as_deref() == Some(pid)),
        }
    }

    /// A worker asks whether a client that connects had a socket.
    pub(super) fn get_session(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), Fault> {
        let Frame::SessionGet {
            request,
            nsp,
            pid,
            offset,
        } = frame
        else {
            return Ok(());
        };
        self.recovery_us(id, "SESSION_GET")?;
        let space = self.space(id, *nsp)?;
        let ask = Ask {
            worker: id,
            request: *request,
            client: ClientNumber(raw.conn),
            from: self.recovery.number(offset),
            due_us: self.recovery.now_us + UNSURE_US,
        };
        let client = self.clients.get(&ask.client);
        if client.is_some_and(|client| client.worker != Some(id)) {
            return Err(Fault::NotAllowed("client"));
        }
        let Some(space) = space.filter(|_| pid.len() <= PID_BYTES_MAX) else {
            self.answer(ask, None);
            return Ok(());
        };
        let place = (space, Rc::from(*pid));
        let session = self.recovery.sessions.get(space, pid);
        if session.is_some_and(|session| session.is_unsure) {
            let before = self.recovery.asks.insert(place, ask);
            before.into_iter().for_each(|ask| self.answer(ask, None));
        } else {
            self.settle_ask(place, ask);
        }
        Ok(())
    }

    /// Gives a session to the client that asks for it, if it may have it.
    fn settle_ask(&mut self, place: Place, ask: Ask) {
        let at = (ask.client, place.0);
        let client = self.clients.get(&ask.client);
        let is_there =
            client.is_some_and(|client| client.is_there() && client.worker == Some(ask.worker));
        let recovery = &mut self.recovery;
        let entering = recovery.entering.get(&at);
        if entering.is_some_and(|entering| entering.pid == place.1 && !entering.is_in) {
            // Its last worker asked, too, and died.
            return self.answer(ask, is_there.then_some(at));
        }
        let found = recovery.find(at.1, &place.1, ask.from);
        let found = found.filter(|(session, _)| is_there && recovery.may_enter(session));
        let Some(from) = found.map(|(_, from)| from) else {
            return self.answer(ask, None);
        };
        let had = recovery
            .enter(ask.client, place, from)
            .map(|session| session.client);
        if let Some(had) = had.filter(|had| *had != ask.client && self.clients.contains_key(had)) {
            // Its last words are still on the way to it: it is out of its rooms, or the socket would be there twice.
            let body = Frame::LeaveAll { nsp: 0 }.body();
            self.say_frame(had, Some(at.1), (Kind::LeaveAll, Flags::NONE), &body);
        }
        self.answer(ask, Some(at));
    }

    fn answer_waiting(&mut self, place: &Place) {
        if let Some(ask) = self.recovery.asks.remove(place) {
            self.settle_ask(place.clone(), ask);
        }
    }

    fn answer(&mut self, ask: Ask, at: Option<(ClientNumber, SpaceId)>) {
        let entering = at.and_then(|at| self.recovery.entering.get(&at));
        let session = entering.map(|entering| link::Session {
            sid: &entering.session.sid,
            rooms: entering.session.rooms.iter().map(|room| &**room).collect(),
            data: Long(&entering.session.data),
            // It is given what it missed when it enters.
            parts: Vec::new(),
        });
        self.stats.sessions_refused += u64::from(session.is_none());
        let request = ask.request;
        let body = Frame::SessionRes { request, session }.body();
        if let Some(worker) = self.workers.get_mut(&ask.worker) {
            worker.owe_answer(Kind::SessionRes, &body);
            self.pump(ask.worker);
        }
    }

    fn say_frame(
        &mut self,
        client: ClientNumber,
        space: Option<SpaceId>,
        (kind, flags): (Kind, Flags),
        body: &[u8],
    ) {
        let mail = ToClients::Frame {
            client: Some(client),
            space,
            kind: kind.to_byte(),
            flags: flags.bits(),
            body,
        };
        self.say(client.shard(), &mail);
    }

    /// A worker's frame about its client, which may be coming back. `true`: it was dealt with.
    pub(super) fn enters(
        &mut self,
        client: ClientNumber,
        space: Option<SpaceId>,
        raw: &Raw<'_>,
    ) -> bool {
        if self.recovery.entering.is_empty() {
            return false;
        }
        match (raw.kind, space) {
            (Kind::Send, _) => self.enters_by_answer(client, raw),
            (Kind::Member, Some(space)) => self.enters_by_member((client, space), raw),
            (Kind::LeaveAll, Some(space)) => {
                self.recovery.stop_entering((client, space));
                false
            }
            (_, Some(space)) => {
                let entering = self.recovery.entering.get(&(client, space));
                entering.is_some_and(|entering| !entering.held.is_empty())
                    && self.hold_or_close((client, space), raw)
            }
            _ => false,
        }
    }

    fn enters_by_member(&mut self, at: (ClientNumber, SpaceId), raw: &Raw<'_>) -> bool {
        let entering = self.recovery.entering.get(&at);
        let Some(entering) = entering.filter(|entering| !entering.is_in) else {
            return false;
        };
        let frame = Frame::parse(raw, Side::Worker);
        let is_same = matches!(frame, Ok(Frame::Member { pid, .. }) if *pid == *entering.pid);
        if !is_same {
            // The worker did not wait for the answer: the client starts anew.
            self.recovery.stop_entering(at);
            return false;
        }
        self.recovery.let_go(at);
        self.hold_or_close(at, raw)
    }

    fn hold_or_close(&mut self, at: (ClientNumber, SpaceId), raw: &Raw<'_>) -> bool {
        if self.recovery.hold(at, raw.kind, raw.body).is_none() {
            self.recovery.put_back(at);
            self.cut_off(at.0);
        }
        true
    }

    /// A client that cannot be given what it missed is closed, and starts anew when it comes again.
    fn cut_off(&mut self, client: ClientNumber) {
        self.say_frame(client, None, (Kind::CloseConn, Flags::DISCARD), &[]);
    }

    fn enters_by_answer(&mut self, client: ClientNumber, raw: &Raw<'_>) -> bool {
        let is_text = !raw.flags.contains(Flags::BINARY);
        let Some((name, is_welcome)) = answered(raw.body).filter(|_| is_text) else {
            return false;
        };
        let Some(at) = self.spaces.get(name).map(|space| (client, *space)) else {
            return false;
        };
        let entering = self.recovery.entering.get(&at);
        match entering.filter(|entering| !entering.is_in) {
            Some(_) if !is_welcome => {
                self.recovery.put_back(at);
                false
            }
            Some(entering) if !entering.held.is_empty() => {
                self.enter(at, raw);
                true
            }
            _ => false,
        }
    }

    /// The one step: the answer to CONNECT, what was missed, the rooms. Behind the answer, and not before it as the packets of a server of one's own would
    /// be: a client counts what it hears before the answer as heard only with it, and would hear it again if it was cut off between the two.
    fn enter(&mut self, at: (ClientNumber, SpaceId), raw: &Raw<'_>) {
        let (client, space) = at;
        let Some(mut entering) = self.recovery.stop_entering(at) else {
            return;
        };
        let listener = listener(&entering.session);
        let Some(packets) = self.recovery.logs.missed(space, entering.from, listener) else {
            return self.cut_off(client);
        };
        let parts = packets.into_iter().flat_map(|packet| &packet.parts);
        let parts: Vec<(Flags, Box<[u8]>)> = parts.cloned().collect();
        self.say_frame(client, None, (raw.kind, raw.flags), raw.body);
        for (flags, body) in &parts {
            self.recovery.given_bytes += body.len();
            self.say_frame(client, None, (Kind::Send, *flags), body);
        }
        for (kind, body) in core::mem::take(&mut entering.held) {
            self.say_frame(client, Some(space), (kind, Flags::NONE), &body);
        }
        self.say(client.shard(), &ToClients::Entered { client, space });
        entering.held_bytes = 0;
        entering.is_in = true;
        self.recovery.start_entering(at, entering);
    }

    /// The client was there when it entered.
    pub(super) fn entered(&mut self, client: ClientNumber, space: SpaceId) {
        let stopped = self.recovery.stop_entering((client, space));
        self.stats.sessions_recovered += u64::from(stopped.is_some());
    }

    /// A client is gone: its sockets wait, as they were said to be last. A worker that is there will say what they were in the end.
    pub(super) fn leave(&mut self, number: ClientNumber, body: &[u8], sockets: &[LeftSocket<'_>]) {
        let client = self.clients.get(&number);
        let worker = client.and_then(|client| client.worker);
        let worker_hears = client.is_some_and(|client| client.is_opened());
        self.recovery
            .put_all_back(number, worker.filter(|_| worker_hears));
        let saved = self.recovery.saved.range(spaces_of(number));
        let saved: Vec<_> = saved.copied().collect();
        for at in &saved {
            self.recovery.saved.remove(at);
        }
        let ttl_us = match worker {
            Some(id) => self.worker_mut(id).recovery_us,
            None => self.recovery.ttl_us,
        };
        // socket.io does not have a client come back that said what is no packet.
        let ttl_us = ttl_us.filter(|_| body.first() != Some(&(CloseReason::ParseError as u8)));
        let Some(ttl_us) = ttl_us else {
            return;
        };
        let expires_us = self.recovery.now_us + ttl_us;
        let sockets = sockets
            .iter()
            .filter(|socket| !saved.contains(&(number, socket.space)));
        for socket in sockets {
            let rooms = socket.rooms.iter().chain([&socket.sid]);
            let session = Session {
                sid: socket.sid.into(),
                rooms: rooms.map(|room| (*room).into()).collect(),
                data: socket.data.into(),
                client: number,
                worker,
                expires_us,
                is_unsure: worker.is_some() && worker_hears,
            };
            let place = (socket.space, socket.pid.into());
            self.recovery.sessions.insert(place, session);
        }
    }

    /// A worker's socket left its namespace, be its client gone already or not: it does not come back.
    pub(super) fn leave_for_good(&mut self, id: WorkerId, conn: u64, space: Option<SpaceId>) {
        let Some(space) = space else {
            return;
        };
        let sessions = &mut self.recovery.sessions;
        if let Some(pid) = sessions.unsure_of(ClientNumber(conn), space, id) {
            sessions.remove(space, &pid);
            self.answer_waiting(&(space, pid));
        }
    }

    /// A worker is gone: what is known of its sockets is what they were.
    pub(super) fn lose_sessions(&mut self, id: WorkerId) {
        self.recovery.sessions.settle_all(id);
        let recovery = &self.recovery;
        let is_sure = |place: &Place| {
            let session = recovery.sessions.get(place.0, &place.1);
            session.is_none_or(|session| !session.is_unsure)
        };
        let asks = recovery.asks.keys().filter(|place| is_sure(place));
        let places: Vec<Place> = asks.cloned().collect();
        places.iter().for_each(|place| self.answer_waiting(place));
    }

    /// Now and then: what is too old, and questions that wait for a worker which does not answer.
    pub(super) fn tick_recovery(&mut self) {
        let recovery = &mut self.recovery;
        let now_us = recovery.now_us;
        recovery.sessions.expire(now_us);
        let kept_us = recovery.ttl_us.unwrap_or(0) + NOTICE_US;
        recovery.logs.expire(now_us.saturating_sub(kept_us));
        let asks = recovery.asks.iter().filter(|(_, ask)| now_us >= ask.due_us);
        let due: Vec<Place> = asks.map(|(place, _)| place.clone()).collect();
        for place in due {
            self.recovery.sessions.settle(place.0, &place.1);
            self.answer_waiting(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_stands_behind_the_last_argument() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(with_offset(text, "o").as_deref(), expected, "{text}");
        };
        check("2[\"a\"]", Some("2[\"a\",\"o\"]"));
        check("2/n,[\"a\",[1]]", Some("2/n,[\"a\",[1],\"o\"]"));
        check(
            "51-[\"b\",{\"_placeholder\":true,\"num\":0}]",
            Some("51-[\"b\",{\"_placeholder\":true,\"num\":0},\"o\"]"),
        );
        for text in ["", "2", "]", "2]", "2[]", "2[\"a\"] ", "2{}"] {
            check(text, None);
        }
    }

    #[test]
    fn an_offset_of_another_life_is_none() {
        let (one, other) = (
            Recovery::new("00112233445566778899"),
            Recovery::new("00112233445666778899"),
        );
        let offset = one.offset(0x1f);
        assert_eq!(offset, "0011223344551f");
        assert_eq!(one.number(&offset), Some(0x1f));
        assert_eq!(other.number(&offset), None);
        for offset in ["", "001122334455", "001122334455g", "é", &"0".repeat(99)] {
            assert_eq!(one.number(offset), None, "{offset}");
        }
    }

    #[test]
    fn what_bind_wants() {
        let check = |opts: &str, expected: Option<Option<u64>>| {
            assert_eq!(ttl_us(opts).ok(), expected, "{opts}");
        };
        check("{}", Some(None));
        check(
            "{\"recovery\":{\"ttl\":120000},\"cors\":{}}",
            Some(Some(120_000_000)),
        );
        check("{\"recovery\":{\"ttl\":0.5}}", Some(Some(0)));
        check("{\"recovery\":{\"ttl\":-1}}", Some(Some(0)));
        check("{\"recovery\":null}", Some(None));
        for unlimited in [
            "{\"recovery\":{\"ttl\":null}}",
            "{\"recovery\":{\"ttl\":1e300}}",
        ] {
            check(unlimited, Some(Some(3_600_000_000)));
        }
        for bad in ["{\"recovery\":1}", "{\"recovery\":{\"ttl\":\"1\"}}"] {
            check(bad, None);
        }
    }

    #[test]
    fn an_answer_names_its_namespace() {
        let check = |text: &str, expected: Option<(&str, bool)>| {
            assert_eq!(answered(text.as_bytes()), expected, "{text}");
        };
        check("0{\"sid\":\"s\"}", Some(("/", true)));
        check("0/chat,{\"sid\":\"s\"}", Some(("/chat", true)));
        check("4/chat,{\"message\":\"no\"}", Some(("/chat", false)));
        check("2[\"a\"]", None);
        check("", None);
    }
}
