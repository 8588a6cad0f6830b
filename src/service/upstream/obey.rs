//! What becomes of a worker's frames.
//!
//! Deliberately absent: links and their handshake (`exchange`), and what its clients say (`deal`).

use super::applications::AppId;
use super::exchange::{Exchange, Order};
use super::fault::Fault;
use super::mail::{ClientNumber, SpaceId, ToClients};
use super::moved::BusMessage;
use super::window::Sum;
use super::worker::{Going, Worker, WorkerId};
use crate::time::Now;
use ringway_proto::link::{Flags, Frame, GoAwayMode, Kind, Part, Raw};
use std::collections::HashSet;
use std::rc::Rc;

/// The code of a worker that an exception ends.
const EXCEPTION: &str = "exception";
/// A namespace's name.
pub(crate) const SPACE_NAME_BYTES_MAX: usize = 1024;
/// Namespaces that an application names beyond those that its clients may name: a sixteenth as many, this at least.
const SPACES_SPARE_MIN: usize = 64;

impl Exchange {
    pub(super) fn say(&mut self, to: u16, mail: &ToClients<'_>) {
        let bytes: Rc<[u8]> = mail.encode().into();
        self.pressure.sends(to, bytes.len());
        self.orders.push(Order::Mail { to, bytes });
    }

    pub(super) fn say_to_all(&mut self, mail: &ToClients<'_>) {
        let bytes: Rc<[u8]> = mail.encode().into();
        for to in 0..self.shards {
            let bytes = bytes.clone();
            self.pressure.sends(to, bytes.len());
            self.orders.push(Order::Mail { to, bytes });
        }
    }

    /// A frame of a worker.
    pub(super) fn obey(
        &mut self,
        now: Now,
        id: WorkerId,
        raw: &Raw<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), Fault> {
        if self.is_emitter(id)
            && let Some(outcome) = self.obey_emitter(id, raw, frame)
        {
            return outcome;
        }
        match frame {
            Frame::Credit { frames, bytes } => {
                let (frames, bytes) = (*frames, *bytes);
                let is_opaque = self.is_opaque();
                self.worker_mut(id)
                    .credit(Sum { frames, bytes }, is_opaque)
                    .map_err(|_| Fault::Credit)?;
                self.pump(id);
                Ok(())
            }
            Frame::Ping { number } => {
                self.answer_ping(id, *number);
                Ok(())
            }
            Frame::GoAway { json } => {
                let goaway = json.value();
                match goaway.mode {
                    GoAwayMode::Close => self.worker_mut(id).going = Some(Going::Close),
                    GoAwayMode::Keep => self.worker_mut(id).going = Some(Going::Keep),
                    GoAwayMode::Migrate => self.depart(id, goaway.deadline_ms),
                }
                Ok(())
            }
            Frame::Nsp { name } => {
                self.name(id, raw, name);
                Ok(())
            }
            Frame::Bcast { nsp, parts, .. } => self.broadcast(id, raw, *nsp, parts),
            Frame::Move { nsp, places, .. } => {
                let space = self.space(id, *nsp)?;
                self.spread_move(id, raw, space, places)
            }
            Frame::SessionSave { .. } => self.save_session(id, raw, frame),
            Frame::SessionGet { .. } => self.get_session(id, raw, frame),
            Frame::LeaveAll { nsp } => {
                let space = self.reached(id, *nsp)?;
                self.leave_for_good(id, raw.conn, space);
                self.for_client(id, raw, Some(space))
            }
            Frame::BcastAck { .. } => self.ask_clients(id, raw, frame),
            Frame::Member { nsp, pid, .. } => {
                let space = self.reached(id, *nsp)?;
                self.note_member(id, raw.conn, space, pid);
                self.for_client(id, raw, Some(space))
            }
            Frame::Join { nsp, .. } | Frame::Leave { nsp, .. } | Frame::SetData { nsp, .. } => {
                let space = self.reached(id, *nsp)?;
                self.for_client(id, raw, Some(space))
            }
            Frame::Send { payload } => match self.may_say(id, payload.0)? {
                true => self.for_client(id, raw, None),
                false => {
                    self.stats.frames_stale += 1;
                    Ok(())
                }
            },
            Frame::Hold { on } => self.hold(id, ClientNumber(raw.conn), *on),
            Frame::CloseConn {} => self.for_client(id, raw, None),
            Frame::MigrateOut {} => self.handed_over(id, ClientNumber(raw.conn)),
            Frame::Bus { .. } => self.bus(id, raw, frame),
            Frame::Bind { json } => self.bind(id, json),
            Frame::HsRes { request, json } => self.take_answer(now, id, *request, json),
            Frame::Error { code, .. } => {
                if *code == EXCEPTION {
                    self.note_exception(id);
                }
                Ok(())
            }
            // Its words, and those of later versions, change nothing.
            Frame::Pong { .. } | Frame::Later { .. } => Ok(()),
            Frame::Hello { .. } => Err(Fault::Turn("a second HELLO")),
            // WELCOME offers none of these.
            _ => Err(Fault::Turn(raw.kind.name())),
        }
    }

    fn answer_ping(&mut self, id: WorkerId, number: u64) {
        let conn = self.worker_mut(id).link;
        if let Some(link) = conn.and_then(|conn| self.link_mut(conn)) {
            link.owe_pong(number);
            self.orders.extend(conn.map(Order::Dirty));
        }
    }

    pub(super) fn worker_mut(&mut self, id: WorkerId) -> &mut Worker {
        let worker = self.workers.get_mut(&id);
        worker.expect("a link's worker stays while the link does")
    }

    /// A namespace by its worker's number; `None` for one that it may not have.
    pub(super) fn space(&self, id: WorkerId, nsp: u16) -> Result<Option<SpaceId>, Fault> {
        let worker = self.workers.get(&id);
        let space = worker.and_then(|worker| worker.spaces.get(&nsp));
        space.copied().ok_or(Fault::NotAllowed("namespace"))
    }

    fn name(&mut self, id: WorkerId, raw: &Raw<'_>, name: &str) {
        let number = raw.conn as u16;
        let worker = self.worker_mut(id);
        worker.kept.remove(&number);
        worker.taken.remove(&number);
        if raw.flags.contains(Flags::REMOVED) {
            // It stays known as nobody's: what a worker says of it behind this reaches nobody, and is no lie.
            let was = self.worker_mut(id).spaces.insert(number, None).flatten();
            was.into_iter()
                .for_each(|space| self.let_space_go(id, space));
            return self.unname(self.app_of(id), was);
        }
        let space = self.found_or_made((id, number), name);
        self.has_space((id, number), name, space);
    }

    /// `None`: the worker may not have it.
    fn found_or_made(&mut self, (id, number): (WorkerId, u16), name: &str) -> Option<SpaceId> {
        let app = self.app_of(id);
        if let Some(space) = self.names.get(app, name) {
            return Some(space);
        }
        if self.is_kept(name) {
            self.note_kept((id, number), name);
            return None;
        }
        match self.claim(app, name) {
            Ok(()) => self.make_space(app, name),
            Err(owner) => {
                self.note_taken((id, number), name, owner);
                None
            }
        }
    }

    /// That is what the worker's number stands for from now on.
    pub(super) fn has_space(
        &mut self,
        (id, number): (WorkerId, u16),
        name: &str,
        space: Option<SpaceId>,
    ) {
        let app = self.app_of(id);
        let was = self.worker_mut(id).spaces.insert(number, space).flatten();
        if was != space {
            was.into_iter().for_each(|was| self.let_space_go(id, was));
            if let Some(space) = space {
                self.holders.entry(space).or_default().push(id);
            }
            self.tell_peers(app, name);
            self.unname(app, was);
        }
    }

    /// A worker has a namespace no more. What it calls it now does not matter.
    fn unname(&mut self, app: AppId, space: Option<SpaceId>) {
        let found = space.and_then(|space| self.names.find(app, space));
        if let Some((name, space)) = found.zip(space) {
            self.tell_peers(app, &name);
            self.retire_space((app, space), &name, self.routes.are_several());
            self.give_on(&name);
        }
    }

    /// A worker has the namespace by one number less.
    fn let_space_go(&mut self, id: WorkerId, space: SpaceId) {
        let Some(holders) = self.holders.get_mut(&space) else {
            return;
        };
        if let Some(at) = holders.iter().position(|holder| *holder == id) {
            holders.swap_remove(at);
        }
        if holders.is_empty() {
            self.holders.remove(&space);
        }
    }

    /// A worker is gone, with all that it had.
    pub(super) fn let_spaces_go(&mut self, id: WorkerId, worker: &Worker) {
        let spaces = worker.spaces.values().flatten();
        spaces.for_each(|space| self.let_space_go(id, *space));
    }

    /// Namespaces that are no worker's make room. Not while clients in them may wait for the next worker, unless nothing else is left.
    fn make_room(&mut self, app: AppId, waits: bool) {
        let hold_us = u64::from(self.settings.hold_ms) * 1000;
        let is_over = |lost_us: &u64| !waits || self.recovery.now_us >= *lost_us + hold_us;
        if self.may_retire.get(&app).is_some_and(is_over) {
            self.may_retire.remove(&app);
            self.retire_spaces(app);
        }
    }

    /// A client was refused a namespace: that it comes once more may be worth it, and is its own affair.
    pub(super) fn crowded(&mut self, app: AppId, name: &str) {
        self.stats.namespaces_refused += 1;
        self.tell_crowded(app, name);
        if self.names.len(app) >= self.settings.namespaces_max as usize {
            self.make_room(app, true);
        }
    }

    /// `None`: there are too many, or its name is too long.
    pub(super) fn make_space(&mut self, app: AppId, name: &str) -> Option<SpaceId> {
        if name.len() > SPACE_NAME_BYTES_MAX {
            self.stats.namespaces_refused += 1;
            return None;
        }
        let namespaces_max = self.settings.namespaces_max as usize;
        // Clients are refused before it comes to that: so theirs do not take the room of those that the application has without them.
        let spaces_max = namespaces_max + (namespaces_max / 16).max(SPACES_SPARE_MIN);
        let count = self.names.len(app);
        if count >= namespaces_max {
            self.make_room(app, count < spaces_max);
        }
        if self.names.len(app) >= spaces_max {
            self.stats.namespaces_refused += 1;
            self.tell_crowded(app, name);
            return None;
        }
        let space = SpaceId(self.next_space);
        self.next_space += 1;
        let name: Rc<str> = name.into();
        self.routes.note(&name, app);
        self.say_to_all(&ToClients::Space {
            space,
            app,
            name: &name,
        });
        self.names.insert(app, name, space);
        Some(space)
    }

    /// Nobody has the namespace any more, if that is so. If another application may have it from now on, clients that are in it come again.
    pub(super) fn retire_space(
        &mut self,
        (app, space): (AppId, SpaceId),
        name: &str,
        is_given: bool,
    ) {
        debug_assert_eq!(self.names.get(app, name), Some(space));
        if !self.has_worker_with(space) && self.names.remove(app, name).is_some() {
            self.routes.forget(name, app);
            self.recovery.retire(space);
            self.say_to_all(&ToClients::Gone { space, is_given });
        }
    }

    /// Namespaces of workers that are gone make room, with the sockets in them that wait.
    fn retire_spaces(&mut self, app: AppId) {
        let spaces = self.names.all(app);
        let spaces: Vec<_> = spaces
            .map(|(name, space)| (Rc::clone(name), space))
            .collect();
        for (name, space) in spaces {
            // Its clients come again: whoever serves them then has it anew.
            self.retire_space((app, space), &name, true);
        }
    }

    /// A worker is gone: the others are told of each of its namespaces.
    pub(super) fn lose_names(&mut self, worker: &Worker) {
        self.may_retire.insert(worker.app, self.recovery.now_us);
        let had: HashSet<SpaceId> = worker.spaces.values().flatten().copied().collect();
        let names: Vec<Rc<str>> = self
            .names
            .all(worker.app)
            .filter(|(_, space)| had.contains(space))
            .map(|(name, _)| Rc::clone(name))
            .collect();
        let waited_for = self.waited_for();
        for name in names {
            self.tell_peers(worker.app, &name);
            if waited_for.contains(&*name)
                && let Some(space) = self.names.get(worker.app, &name)
            {
                self.retire_space((worker.app, space), &name, true);
                self.give_on(&name);
            }
        }
    }

    /// Tells every worker of the application who has a namespace.
    fn tell_peers(&mut self, app: AppId, name: &str) {
        if let Some(name) = self.names.key(app, name) {
            self.owe_workers(app, |worker| worker.owe_peers(&name));
        }
    }

    fn owe_workers(&mut self, app: AppId, mut owe: impl FnMut(&mut Worker)) {
        let workers = self.workers_of(app);
        let workers = workers.filter(|(_, worker)| !worker.is_emitter());
        let ids: Vec<WorkerId> = workers.map(|(id, _)| id).collect();
        for id in ids {
            owe(self.worker_mut(id));
            self.pump(id);
        }
    }

    fn bus(&mut self, id: WorkerId, raw: &Raw<'_>, frame: &Frame<'_>) -> Result<(), Fault> {
        let Frame::Bus { nsp, to, from, .. } = frame else {
            return Ok(());
        };
        let me = self.worker_mut(id).instance.clone();
        if *me != **from {
            return Err(Fault::NotAllowed("sender"));
        }
        let is_first = raw.flags.contains(Flags::VOLATILE);
        let message = BusMessage {
            app: self.app_of(id),
            from: me,
            to: (*to).into(),
            first_in: is_first.then(|| (*nsp).into()),
            body: raw.body.into(),
        };
        // What others are asked comes behind what became of their sockets, but for what they have to know before that.
        let messages = match is_first {
            true => vec![message],
            false => self.behind_moves.hold(id, message),
        };
        for message in messages {
            self.give_bus(&message);
        }
        Ok(())
    }

    pub(super) fn give_bus(&mut self, message: &BusMessage) {
        let mut dropped = 0;
        self.owe_workers(message.app, |worker| {
            let wanted = message.to.is_empty() || *worker.instance == *message.to;
            if worker.instance != message.from && wanted && !worker.owe_bus(message) {
                dropped += 1;
            }
        });
        self.stats.bus_dropped += dropped;
    }

    fn broadcast(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        nsp: u16,
        parts: &[Part<'_>],
    ) -> Result<(), Fault> {
        let space = self.space(id, nsp)?;
        self.spread(id, raw, space, parts)
    }

    /// A worker's or an emitter's broadcast, to a namespace that clients reach, or to nobody.
    pub(super) fn spread(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: Option<SpaceId>,
        parts: &[Part<'_>],
    ) -> Result<(), Fault> {
        let Some(space) = self.with_clients(id, space) else {
            return Ok(());
        };
        let first = parts.first();
        if !first.map_or(Ok(true), |part| self.may_say(id, *part))? {
            return Ok(());
        }
        let kept = self.keep(id, raw, space)?;
        let body = kept.as_deref().unwrap_or(raw.body);
        self.broadcast_to(id, space, &Raw { body, ..*raw });
        Ok(())
    }

    pub(super) fn broadcast_to(&mut self, worker: WorkerId, space: SpaceId, raw: &Raw<'_>) {
        self.say_to_all(&ToClients::Frame {
            client: None,
            space: Some(space),
            worker,
            kind: raw.kind.to_byte(),
            flags: raw.flags.bits(),
            body: raw.body,
        });
    }

    /// A frame about one client goes to its shard. One that is gone is no fault: the worker has not heard of it yet.
    fn for_client(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: Option<Option<SpaceId>>,
    ) -> Result<(), Fault> {
        let client = ClientNumber(raw.conn);
        match self.clients.get_mut(&client) {
            Some(known) if known.worker == Some(id) => known.note_answered(raw),
            // It may not have heard that a client was taken from it.
            Some(_) if !self.workers.get(&id).is_some_and(Worker::departs) => {
                return Err(Fault::NotAllowed("client"));
            }
            _ => {
                self.stats.frames_stale += 1;
                return Ok(());
            }
        }
        if self.enters(client, space.flatten(), raw) {
            return Ok(());
        }
        let mail = match space {
            // It asked for a namespace that has become another application's: it comes again, and that one is asked.
            Some(None) if self.is_taken(id, raw) => match raw.kind {
                Kind::Member => ToClients::Moved { client },
                _ => return Ok(()),
            },
            Some(None) if raw.kind == Kind::Member => ToClients::Refused { client },
            Some(None) => {
                self.stats.frames_stale += 1;
                return Ok(());
            }
            space => ToClients::Frame {
                client: Some(client),
                space: space.flatten(),
                worker: id,
                kind: raw.kind.to_byte(),
                flags: raw.flags.bits(),
                body: raw.body,
            },
        };
        self.say(client.shard(), &mail);
        Ok(())
    }
}
