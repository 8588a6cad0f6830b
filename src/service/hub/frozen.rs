//! A whole shard's service as bytes, and back again on another number of shards.
//!
//! Deliberately absent: sockets, which the caller moves, and whatever is under way between shards: it has to come to its end before.

use super::{Hub, Key, Output, Turn};
use crate::connection::{Connection, Purpose, Stage};
use crate::post::Post;
use crate::rooms::{FrozenHome, Position, home_of};
use crate::session::{Moment, Session, Transport};
use crate::time::{ConnId, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

#[derive(Serialize, Deserialize)]
struct FrozenConnection {
    /// The shard that it was on, and its name there.
    shard: u16,
    conn: ConnId,
    connection: Connection,
}

#[derive(Serialize, Deserialize)]
struct FrozenSession {
    shard: u16,
    key: Key,
    session: Session,
    /// Full names of its rooms.
    rooms: Vec<String>,
}

/// The service of one shard, before or after the move.
#[derive(Default, Serialize, Deserialize)]
pub struct Frozen {
    connections: Vec<FrozenConnection>,
    sessions: Vec<FrozenSession>,
    homes: Vec<FrozenHome>,
    /// Where the rooms stand that have members here.
    positions: BTreeMap<String, Position>,
    drain_until_us: Option<u64>,
}

impl Frozen {
    /// All of it.
    ///
    /// # Panics
    /// Never: these shapes always serialise.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("sessions serialise")
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// The connections that belong here: the shard that they were on, and their name there.
    pub fn connections(&self) -> impl Iterator<Item = (u16, ConnId)> + '_ {
        self.connections
            .iter()
            .map(|frozen| (frozen.shard, frozen.conn))
    }

    /// Gives each session to the shard that owns it when there are `shards`, its connections with it, and each room to its new home.
    #[must_use]
    pub fn regroup(parts: Vec<Self>, shards: u16) -> Vec<Self> {
        let mut all: Vec<Self> = (0..shards).map(|_| Self::default()).collect();
        let drain_until_us = parts.iter().find_map(|part| part.drain_until_us);
        let mut owners = HashMap::new();
        let mut homes = BTreeMap::new();
        let mut connections = Vec::new();
        for part in parts {
            homes.extend(part.homes.into_iter().map(|home| (home.name.clone(), home)));
            connections.extend(part.connections);
            for session in part.sessions {
                let to = session.session.sid.shard(shards);
                owners.insert((session.shard, session.key), to);
                all[usize::from(to)].sessions.push(session);
            }
        }
        for frozen in connections {
            let session = frozen.connection.session();
            let owner = session.and_then(|key| owners.get(&(frozen.shard, key)).copied());
            let to = owner.unwrap_or_else(|| (frozen.conn.number() % u64::from(shards)) as u16);
            all[usize::from(to)].connections.push(frozen);
        }
        homes.values_mut().for_each(|home| home.interest = 0);
        for (shard, part) in all.iter_mut().enumerate() {
            part.drain_until_us = drain_until_us;
            for name in part.sessions.iter().flat_map(|session| &session.rooms) {
                let home = homes.get_mut(name).expect("a room with members has a home");
                home.interest |= 1 << shard;
                part.positions.insert(name.clone(), home.position);
            }
        }
        for home in homes.into_values() {
            let to = home_of(&home.name, shards);
            all[usize::from(to)].homes.push(home);
        }
        all
    }
}

impl Hub {
    /// Whether nothing of this hub is under way to or from other shards or jobs.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.jobs.is_empty()
            && self.unverified.is_empty()
            && self.rooms.is_quiet()
            && self.files.is_quiet()
            && self.uploads_are_quiet()
    }

    /// Everything, as values; the hub is of no use afterwards.
    ///
    /// # Panics
    /// When the hub is not quiet.
    pub fn freeze_all(&mut self) -> Frozen {
        assert!(self.is_quiet(), "a hub is frozen when it is quiet");
        assert!(
            self.upstream.is_quiet(),
            "what workers know of clients does not move yet"
        );
        let shard = self.shard;
        let keys: Vec<Key> = self.sessions.keys().collect();
        let rooms = &self.rooms;
        let slab = &mut self.sessions;
        let sessions = keys.into_iter().filter_map(|key| {
            let rooms = rooms.full_names_of(key);
            let session = slab.remove(key)?;
            Some(FrozenSession {
                shard,
                key,
                session,
                rooms,
            })
        });
        let sessions = sessions.collect();
        let keys: Vec<Key> = self.connections.keys().collect();
        let connections = keys.into_iter().filter_map(|key| {
            Some(FrozenConnection {
                shard,
                conn: key.conn(),
                connection: self.connections.remove(key)?,
            })
        });
        Frozen {
            connections: connections.collect(),
            sessions,
            homes: self.rooms.freeze_homes(),
            positions: BTreeMap::new(),
            drain_until_us: self.drain.as_ref().map(|drain| drain.deadline_us()),
        }
    }

    /// Takes over what [`Frozen::regroup`] gave this shard. `conns` names each connection anew. To be called on a hub without connections.
    pub fn thaw(
        &mut self,
        now: Now,
        frozen: Frozen,
        conns: &HashMap<(u16, ConnId), ConnId>,
        post: &mut dyn Post,
        entropy: &mut dyn FnMut() -> u64,
        out: &mut Vec<Output>,
    ) {
        let mut turn = Turn::new(now, post, entropy, out);
        self.rooms.restore(now, frozen.homes, &frozen.positions);
        let mut keys = HashMap::new();
        for session in frozen.sessions {
            let old = (session.shard, session.key);
            keys.insert(old, self.thaw_session(session, conns, &mut turn));
        }
        for frozen in frozen.connections {
            let shard = frozen.shard;
            let Some(id) = conns.get(&(shard, frozen.conn)) else {
                continue;
            };
            self.thaw_connection(*id, shard, frozen.connection, &keys, &mut turn);
        }
        if let Some(deadline_us) = frozen.drain_until_us {
            self.drain(now, deadline_us, turn.out);
        }
    }

    fn thaw_session(
        &mut self,
        frozen: FrozenSession,
        conns: &HashMap<(u16, ConnId), ConnId>,
        turn: &mut Turn<'_>,
    ) -> Key {
        let (shard, mut session) = (frozen.shard, frozen.session);
        let renamed =
            |held: Option<ConnId>| held.and_then(|conn| conns.get(&(shard, conn)).copied());
        session.conn = renamed(session.conn);
        let rare = session.rare_mut();
        (rare.probe, rare.post) = (renamed(rare.probe), renamed(rare.post));
        session.tidy();
        session.timer = Moment::NONE;
        self.queued_bytes += session.outbox.bytes() as u64;
        self.input_bytes += session.rare().input_bytes();
        self.stats.sessions += 1;
        self.stats.sessions_websocket += u64::from(session.transport == Transport::WebSocket);
        turn.out.extend(session.conn.map(Output::Dirty));
        let closing = session.rare().closing;
        let waits = !session.rare().parked.is_empty();
        let key = self.sessions.insert(session);
        self.parked.extend(waits.then_some(key));
        self.by_sid.insert(key, &self.sessions);
        self.rooms.restore_member(key, &frozen.rooms);
        match closing {
            Some(closing) => self.arm_session(key, closing.until_us, turn.out),
            None => self.rearm(key, turn),
        }
        key
    }

    fn thaw_connection(
        &mut self,
        id: ConnId,
        shard: u16,
        mut connection: Connection,
        keys: &HashMap<(u16, Key), Key>,
        turn: &mut Turn<'_>,
    ) {
        connection.clear_timer();
        connection.count_bytes(0);
        let named = match &mut connection.stage {
            Stage::Body(body) => Some(&mut body.session),
            Stage::Held(poll) | Stage::Poll(poll) => Some(&mut poll.session),
            Stage::Answer { session, .. } => Some(session),
            Stage::Socket(socket) => match &mut socket.purpose {
                Purpose::Session(key) | Purpose::Probe(key) => Some(key),
                Purpose::Echo => None,
            },
            Stage::Prefix
            | Stage::Head
            | Stage::Asked
            | Stage::Opening
            | Stage::Sending
            | Stage::Uploading
            | Stage::Given { .. }
            | Stage::Away => None,
        };
        if let Some(key) = named {
            // A key whose session has ended stays stale: it finds nothing.
            let stale = Key {
                slot: u32::MAX,
                generation: 0,
            };
            *key = keys.get(&(shard, *key)).copied().unwrap_or(stale);
        }
        let client = connection.client.into();
        if !self.settings.dev && !self.settings.trusted_proxies.contains(client) {
            // It was let in before, and has not moved by itself: it is counted here, and not refused.
            connection.place = Some(self.limits.count(turn.now, client));
        }
        self.queued_bytes += connection.answer_bytes();
        self.given_bytes += connection.given_bytes();
        let deadline_us = connection.busy().deadline_us;
        // Nothing of an answer in pieces is on its way, and the rest of its file is elsewhere.
        let is_cut = matches!(connection.stage, Stage::Sending) && deadline_us == 0;
        if connection.paused {
            turn.out.push(Output::Pause(id));
        }
        let key = self.insert_connection(id, connection);
        if deadline_us != 0 {
            self.set_deadline(key, deadline_us, turn);
        }
        self.count_input(key, turn);
        turn.out.push(Output::Dirty(id));
        if is_cut {
            self.close_now(key, turn);
        }
    }
}
