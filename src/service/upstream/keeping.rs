//! What workers say and ask about clients that come back, and what is kept when a client goes.
//!
//! Deliberately absent: how a client that was given its session enters (`rejoin`).

use super::applications::AppId;
use super::exchange::Exchange;
use super::fault::Fault;
use super::log::Audience;
use super::mail::{ClientNumber, LeftSocket, SpaceId};
use super::recovery::{
    Ask, OVERTAKEN_US, PID_BYTES_MAX, SAVED_MAX, UNSURE_US, spaces_of, ttl_us, with_offset,
};
use super::sessions::{Place, Session};
use super::worker::{Worker, WorkerId};
use ringway_proto::link::{
    self, Bind, CloseReason, Flags, Frame, Json, Kind, LinkError, Long, Part, Raw, Side,
};
use std::rc::Rc;

impl Exchange {
    /// How long a worker wants sockets to be kept, if at all.
    pub(super) fn bind_recovery(
        &mut self,
        id: WorkerId,
        json: &Json<'_, Bind<'_>>,
    ) -> Result<(), Fault> {
        let ttl_us = ttl_us(json.value().opts.get())?;
        let worker = self.worker_mut(id);
        worker.has_bound = true;
        worker.recovery_us = ttl_us;
        let app = self.app_of(id);
        match ttl_us {
            Some(ttl_us) => drop(self.recovery.ttls_us.insert(app, ttl_us)),
            None => self.drop_unwanted_recovery(app),
        }
        Ok(())
    }

    /// Nothing more is kept for an application's clients if a version without recovery has replaced the one that had it. Without any worker that has said
    /// what it wants, the last word holds: the next one may be of the same version.
    pub(super) fn drop_unwanted_recovery(&mut self, app: AppId) {
        let workers = self.workers_of(app).map(|(_, worker)| worker);
        let bound: Vec<&Worker> = workers.filter(|worker| worker.has_bound).collect();
        if !bound.is_empty() && bound.iter().all(|worker| worker.recovery_us.is_none()) {
            self.recovery.ttls_us.remove(&app);
        }
    }

    fn recovery_us(&self, id: WorkerId, what: &'static str) -> Result<u64, Fault> {
        let worker = self.workers.get(&id);
        let ttl_us = worker.and_then(|worker| worker.recovery_us);
        ttl_us.ok_or(Fault::Turn(what))
    }

    /// A broadcast is kept, if that is wanted; gives its body with the offset in it.
    pub(super) fn keep(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: SpaceId,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let is_kept = raw.flags.contains(Flags::RECOVER) && self.may_keep(id, space)?;
        is_kept
            .then(|| self.keep_broadcast(id, raw, space))
            .transpose()
    }

    /// A worker that says RECOVER has to want recovery. An emitter does not know whether the application's clients may come back, or whether some that are
    /// gone still may.
    fn may_keep(&self, id: WorkerId, space: SpaceId) -> Result<bool, Fault> {
        if !self.is_emitter(id) {
            return self.recovery_us(id, "RECOVER").map(|_| true);
        }
        let app = self.app_of(id);
        let recovery = &self.recovery;
        let is_wanted = recovery.ttls_us.contains_key(&app) || recovery.wait_in(space);
        Ok(is_wanted && !self.is_opaque())
    }

    fn keep_broadcast(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: SpaceId,
    ) -> Result<Vec<u8>, Fault> {
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
            since_us: self.recovery.now_us,
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
            Some(known) if known.worker != Some(id) => {
                let departs = self.workers.get(&id).is_some_and(Worker::departs);
                // It may not have heard that the client was taken from it.
                departs.then_some(false).ok_or(Fault::NotAllowed("client"))
            }
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
        let mut ask = Ask {
            worker: id,
            request: *request,
            client: ClientNumber(raw.conn),
            from: self.recovery.number(offset),
            due_us: self.recovery.now_us + UNSURE_US,
        };
        let client = self.clients.get(&ask.client);
        if client.is_some_and(|client| client.worker != Some(id)) {
            if !self.workers.get(&id).is_some_and(Worker::departs) {
                return Err(Fault::NotAllowed("client"));
            }
            self.answer(ask, None);
            return Ok(());
        }
        let Some(space) = space.filter(|_| pid.len() <= PID_BYTES_MAX) else {
            self.answer(ask, None);
            return Ok(());
        };
        let place = (space, Rc::from(*pid));
        let recovery = &self.recovery;
        let session = recovery.sessions.get(space, pid);
        let is_ahead = session.is_none() && recovery.is_ahead(&place, &ask);
        if is_ahead {
            ask.due_us = recovery.now_us + OVERTAKEN_US;
        }
        if is_ahead || session.is_some_and(|session| session.is_unsure) {
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

    /// A client is gone: its sockets wait, as they were said to be last. A worker that is there will say what they were in the end.
    pub(super) fn leave(
        &mut self,
        (number, app): (ClientNumber, AppId),
        body: &[u8],
        sockets: &[LeftSocket<'_>],
    ) {
        let had = self.recovery.living.remove_all(number);
        self.keep_left((number, app), body, sockets);
        had.iter().for_each(|place| self.has_gone(place));
    }

    fn keep_left(
        &mut self,
        (number, app): (ClientNumber, AppId),
        body: &[u8],
        sockets: &[LeftSocket<'_>],
    ) {
        let client = self.clients.get(&number);
        let worker = client.and_then(|client| client.worker);
        let worker_hears = client.is_some_and(|client| client.is_opened() && !client.is_deaf);
        self.recovery
            .put_all_back(number, worker.filter(|_| worker_hears));
        let saved = self.recovery.saved.range(spaces_of(number));
        let saved: Vec<_> = saved.copied().collect();
        for at in &saved {
            self.recovery.saved.remove(at);
        }
        let ttl_us = match worker {
            Some(id) => self.worker_mut(id).recovery_us,
            None => self.recovery.ttls_us.get(&app).copied(),
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
                since_us: self.recovery.now_us,
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
        let client = ClientNumber(conn);
        let sessions = &mut self.recovery.sessions;
        let pid = match sessions.unsure_of(client, space, id) {
            Some(pid) => sessions.remove(space, &pid).map(|_| pid),
            None if self.is_its_client(id, client) => self.recovery.living.remove((client, space)),
            None => None,
        };
        pid.into_iter()
            .for_each(|pid| self.answer_waiting(&(space, pid)));
    }

    fn is_its_client(&self, id: WorkerId, client: ClientNumber) -> bool {
        let client = self.clients.get(&client);
        client.is_some_and(|client| client.is_there() && client.worker == Some(id))
    }

    /// A worker says that its client has a socket.
    pub(super) fn note_member(
        &mut self,
        id: WorkerId,
        conn: u64,
        space: Option<SpaceId>,
        pid: &str,
    ) {
        let client = ClientNumber(conn);
        let is_pid = (1..=PID_BYTES_MAX).contains(&pid.len());
        if let Some(space) = space.filter(|_| is_pid && self.is_its_client(id, client)) {
            self.recovery.living.insert((client, space), pid);
        }
    }

    /// The client that had a socket is gone: who waits for that waits for its worker's word now, if there is one to come.
    fn has_gone(&mut self, place: &Place) {
        let session = self.recovery.sessions.get(place.0, &place.1);
        if session.is_none_or(|session| !session.is_unsure) {
            return self.answer_waiting(place);
        }
        if let Some(ask) = self.recovery.asks.get_mut(place) {
            ask.due_us = self.recovery.now_us + UNSURE_US;
        }
    }

    /// A worker is gone: what is known of its sockets is what they were.
    pub(super) fn lose_sessions(&mut self, id: WorkerId) {
        self.recovery.sessions.settle_all(id);
        let recovery = &self.recovery;
        let is_sure = |place: &Place| {
            let session = recovery.sessions.get(place.0, &place.1);
            match session {
                Some(session) => !session.is_unsure,
                None => !recovery.living.has(place),
            }
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
        recovery.logs.expire(recovery.needed_from_us());
        let asks = recovery.asks.iter().filter(|(_, ask)| now_us >= ask.due_us);
        let due: Vec<Place> = asks.map(|(place, _)| place.clone()).collect();
        for place in due {
            self.recovery.sessions.settle(place.0, &place.1);
            self.answer_waiting(&place);
        }
    }
}
