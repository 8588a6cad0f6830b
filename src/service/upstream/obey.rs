//! What becomes of a worker's frames, and of its clients when it is gone.
//!
//! Deliberately absent: links and their handshake (`exchange`).

use super::exchange::{Client, Exchange, Order};
use super::fault::Fault;
use super::mail::{ClientNumber, SpaceId, ToClients, ToLinks};
use super::window::Sum;
use super::worker::{Going, Pending, Worker, WorkerId};
use crate::time::Now;
use ringway_proto::link::{Flags, Frame, GoAwayMode, Kind, Raw};

/// Namespaces of the application.
const SPACES_MAX: usize = 1024;
/// Bytes that are dealt with before a client's shard hears of it: a quarter of what may be on the way.
const DEALT_BYTES: u32 = 16 * 1024;

/// A client's frame, but for its number.
pub(super) type ClientFrame = (Kind, Flags, Box<[u8]>);

impl Exchange {
    fn say(&mut self, to: u16, mail: &ToClients<'_>) {
        let bytes = mail.encode().into();
        self.orders.push(Order::Mail { to, bytes });
    }

    fn say_to_all(&mut self, mail: &ToClients<'_>) {
        let bytes: std::rc::Rc<[u8]> = mail.encode().into();
        for to in 0..self.shards {
            let bytes = bytes.clone();
            self.orders.push(Order::Mail { to, bytes });
        }
    }

    /// A frame of a worker.
    pub(super) fn obey(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), Fault> {
        match frame {
            Frame::Credit { frames, bytes } => {
                let (frames, bytes) = (*frames, *bytes);
                let outgoing = &mut self.worker_mut(id).outgoing;
                outgoing
                    .credit(Sum { frames, bytes })
                    .map_err(|_| Fault::Credit)?;
                self.pump(id);
                Ok(())
            }
            Frame::Ping { number } => {
                self.answer_ping(id, *number);
                Ok(())
            }
            Frame::GoAway { json } => {
                self.worker_mut(id).going = Some(match json.value().mode {
                    GoAwayMode::Close => Going::Close,
                    GoAwayMode::Keep | GoAwayMode::Migrate => Going::Keep,
                });
                Ok(())
            }
            Frame::Nsp { name } => self.name(id, raw, name),
            Frame::Bcast { nsp, .. } => self.broadcast(id, raw, *nsp),
            Frame::Member { nsp, .. }
            | Frame::Join { nsp, .. }
            | Frame::Leave { nsp, .. }
            | Frame::LeaveAll { nsp }
            | Frame::SetData { nsp, .. } => {
                let space = self.space(id, *nsp)?;
                self.for_client(id, raw, Some(space))
            }
            Frame::Send { .. } | Frame::CloseConn {} => self.for_client(id, raw, None),
            Frame::Bus { .. } => self.bus(id, raw, frame),
            // What it serves is the daemon's to say; its words, and those of later versions, change nothing.
            Frame::Bind { .. } | Frame::Pong { .. } | Frame::Error { .. } | Frame::Later { .. } => {
                Ok(())
            }
            Frame::Hello { .. } => Err(Fault::Turn("a second HELLO")),
            // WELCOME offers none of these.
            _ => Err(Fault::Turn(raw.kind.name())),
        }
    }

    fn answer_ping(&mut self, id: WorkerId, number: u64) {
        let conn = self.worker_mut(id).link;
        if let Some(link) = conn.and_then(|conn| self.link_mut(conn)) {
            link.say(&Frame::Pong { number });
            self.orders.extend(conn.map(Order::Dirty));
        }
    }

    pub(super) fn worker_mut(&mut self, id: WorkerId) -> &mut Worker {
        let worker = self.workers.get_mut(&id);
        worker.expect("a link's worker stays while the link does")
    }

    fn space(&self, id: WorkerId, nsp: u16) -> Result<SpaceId, Fault> {
        let space = self
            .workers
            .get(&id)
            .and_then(|worker| worker.spaces.get(&nsp));
        space.copied().ok_or(Fault::NotAllowed("namespace"))
    }

    fn name(&mut self, id: WorkerId, raw: &Raw<'_>, name: &str) -> Result<(), Fault> {
        let number = raw.conn as u16;
        if raw.flags.contains(Flags::REMOVED) {
            self.worker_mut(id).spaces.remove(&number);
            self.tell_peers(name);
            return Ok(());
        }
        let space = match self.spaces.get(name) {
            Some(space) => *space,
            None => self.make_space(name)?,
        };
        self.worker_mut(id).spaces.insert(number, space);
        self.tell_peers(name);
        Ok(())
    }

    fn make_space(&mut self, name: &str) -> Result<SpaceId, Fault> {
        if self.spaces.len() >= SPACES_MAX {
            return Err(Fault::TooMany("namespaces"));
        }
        let space = SpaceId(self.spaces.len() as u32);
        self.spaces.insert(name.into(), space);
        self.say_to_all(&ToClients::Space { space, name });
        Ok(space)
    }

    /// Tells every worker who has a namespace.
    fn tell_peers(&mut self, name: &str) {
        let Some(space) = self.spaces.get(name).copied() else {
            return;
        };
        let has_it = |worker: &&Worker| worker.spaces.values().any(|other| *other == space);
        let instances: Vec<String> = self
            .workers
            .values()
            .filter(has_it)
            .map(|worker| worker.instance.to_string())
            .collect();
        let body = Frame::Peers {
            nsp: name,
            instances: instances.iter().map(String::as_str).collect(),
        }
        .body();
        self.post_to_workers(Kind::Peers, &body, |_| true);
    }

    /// A frame of no client for some of the workers.
    fn post_to_workers(&mut self, kind: Kind, body: &[u8], wanted: impl Fn(&Worker) -> bool) {
        for worker in self.workers.values_mut().filter(|worker| wanted(worker)) {
            worker.pending.push_back(Pending {
                client: ClientNumber(0),
                kind,
                flags: Flags::NONE,
                body: body.into(),
            });
            worker.pump();
            self.orders.extend(worker.link.map(Order::Dirty));
        }
    }

    fn bus(&mut self, id: WorkerId, raw: &Raw<'_>, frame: &Frame<'_>) -> Result<(), Fault> {
        let Frame::Bus { to, from, .. } = frame else {
            return Ok(());
        };
        let me = self.worker_mut(id).instance.clone();
        if *me != **from {
            return Err(Fault::NotAllowed("sender"));
        }
        self.post_to_workers(raw.kind, raw.body, |worker| {
            *worker.instance != *me && (to.is_empty() || *worker.instance == **to)
        });
        Ok(())
    }

    fn broadcast(&mut self, id: WorkerId, raw: &Raw<'_>, nsp: u16) -> Result<(), Fault> {
        let space = Some(self.space(id, nsp)?);
        self.say_to_all(&ToClients::Frame {
            client: None,
            space,
            kind: raw.kind.to_byte(),
            flags: raw.flags.bits(),
            body: raw.body,
        });
        Ok(())
    }

    /// A frame about one client goes to its shard. One that is gone is no fault: the worker has not heard of it yet.
    fn for_client(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        space: Option<SpaceId>,
    ) -> Result<(), Fault> {
        let number = ClientNumber(raw.conn);
        match self.clients.get(&number) {
            Some(client) if client.worker == Some(id) => {}
            Some(_) => return Err(Fault::NotAllowed("client")),
            None => {
                self.stats.frames_stale += 1;
                return Ok(());
            }
        }
        let mail = ToClients::Frame {
            client: Some(number),
            space,
            kind: raw.kind.to_byte(),
            flags: raw.flags.bits(),
            body: raw.body,
        };
        self.say(number.shard(), &mail);
        Ok(())
    }

    /// A message of a client's shard.
    pub(crate) fn mail(&mut self, now: Now, mail: &ToLinks<'_>) {
        match *mail {
            ToLinks::Open {
                client,
                resumes,
                json,
            } => self.open(now, client, resumes, json),
            ToLinks::Frame {
                client,
                kind,
                flags,
                body,
            } => {
                let kind = Kind::from_byte(kind).expect("it was made of a kind");
                self.forward(client, (kind, Flags::from_bits(flags), body.into()));
            }
            ToLinks::Closed { client, body } => self.forget(client, body),
        }
    }

    fn open(&mut self, now: Now, number: ClientNumber, resumes: bool, json: &str) {
        let worker = self.least_loaded();
        let client = self.clients.entry(number).or_insert_with(|| Client {
            waiting_us: now.monotonic_us,
            ..Client::default()
        });
        // It may have been asked twice, when two workers came one after the other.
        let Some(id) = worker.filter(|_| client.worker.is_none()) else {
            return;
        };
        client.worker = Some(id);
        let kind = if resumes { Kind::Resume } else { Kind::Open };
        let mut body = (json.len() as u32).to_le_bytes().to_vec();
        body.extend_from_slice(json.as_bytes());
        let queue = core::mem::take(&mut client.queue);
        self.worker_mut(id).load += 1;
        let first = (kind, Flags::NONE, body.into());
        for frame in core::iter::once(first).chain(queue) {
            self.forward(number, frame);
        }
    }

    fn least_loaded(&self) -> Option<WorkerId> {
        let mut best: Option<(&WorkerId, &Worker)> = None;
        for (id, worker) in self.workers.iter().filter(|(_, worker)| worker.is_open()) {
            if best.is_none_or(|(_, other)| worker.is_less_loaded_than(other)) {
                best = Some((id, worker));
            }
        }
        best.map(|(id, _)| *id)
    }

    fn forward(&mut self, number: ClientNumber, (kind, flags, body): ClientFrame) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let Some(id) = client.worker else {
            client.queue.push_back((kind, flags, body));
            return;
        };
        self.worker_mut(id).pending.push_back(Pending {
            client: number,
            kind,
            flags,
            body,
        });
        self.pump(id);
    }

    /// Moves what fits into a worker's window.
    pub(super) fn pump(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let dealt = worker.pump();
        let link = worker.link.filter(|_| !worker.outgoing.unsent().is_empty());
        self.orders.extend(link.map(Order::Dirty));
        for (number, bytes) in dealt {
            self.count_dealt(number, bytes);
        }
    }

    fn count_dealt(&mut self, number: ClientNumber, bytes: u32) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        client.dealt_bytes += bytes;
        if client.dealt_bytes >= DEALT_BYTES {
            let bytes = core::mem::take(&mut client.dealt_bytes);
            self.say(
                number.shard(),
                &ToClients::Dealt {
                    client: number,
                    bytes,
                },
            );
        }
    }

    fn forget(&mut self, number: ClientNumber, body: &[u8]) {
        let worker = self.clients.get(&number).and_then(|client| client.worker);
        if let Some(id) = worker {
            self.forward(number, (Kind::Close, Flags::NONE, body.into()));
            self.worker_mut(id).load -= 1;
        }
        self.clients.remove(&number);
    }

    /// A new worker is there: whoever waits for one says again who it is.
    pub(super) fn call_the_waiting(&mut self) {
        for client in self.clients_where(|client| client.worker.is_none()) {
            self.say(client.shard(), &ToClients::Again { client });
        }
    }

    /// In the order of their numbers: what is done about them must not depend on a table's.
    fn clients_where(&self, wanted: impl Fn(&Client) -> bool) -> Vec<ClientNumber> {
        let clients = self.clients.iter().filter(|(_, client)| wanted(client));
        let mut numbers: Vec<ClientNumber> = clients.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A worker does not come back. What it was sent is lost with it; what it was not sent goes to the next one.
    pub(super) fn lose(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        self.stats.workers_lost += 1;
        if let Some(conn) = worker.link {
            self.end_link(conn);
        }
        let closes = worker.going == Some(Going::Close);
        for number in self.clients_where(|client| client.worker == Some(id)) {
            let client = self.clients.get_mut(&number).expect("it was just found");
            client.worker = None;
            client.waiting_us = if closes { 0 } else { worker.lost_us };
        }
        self.requeue(worker.pending);
        let names: Vec<Box<str>> = self
            .spaces
            .iter()
            .filter(|(_, space)| worker.spaces.values().any(|had| had == *space))
            .map(|(name, _)| name.clone())
            .collect();
        names.iter().for_each(|name| self.tell_peers(name));
        if self.least_loaded().is_some() && !closes {
            self.call_the_waiting();
        }
    }

    /// OPEN, RESUME and CLOSE of the worker that is gone are of no use to the next one.
    fn requeue(&mut self, pending: impl IntoIterator<Item = Pending>) {
        for one in pending {
            let is_data = matches!(one.kind, Kind::Data | Kind::Transport | Kind::Pressure);
            if let Some(client) = self.clients.get_mut(&one.client).filter(|_| is_data) {
                client.queue.push_back((one.kind, one.flags, one.body));
            }
        }
    }

    /// Clients for whom no worker came in time are given up.
    pub(super) fn settle(&mut self, now: Now) {
        let waiting = self.clients_where(|client| client.worker.is_none());
        self.stats.clients_waiting = waiting.len() as u64;
        let hold_us = u64::from(self.settings.hold_ms) * 1000;
        let is_lost = |client: &Client| {
            client.worker.is_none() && now.monotonic_us >= client.waiting_us + hold_us
        };
        for client in self.clients_where(is_lost) {
            self.clients.remove(&client);
            self.stats.clients_lost += 1;
            self.say(client.shard(), &ToClients::Lost { client });
        }
    }
}
