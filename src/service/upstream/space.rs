//! The sockets of one upstream namespace on one shard, the rooms that their worker put them into, and whom a broadcast reaches.
//!
//! A socket's id is a room of its own, without an entry in the table. Deliberately absent: numbers and homes; the order of upstream broadcasts is that of
//! their link.

use super::worker::WorkerId;
use crate::hub::{Key, Seed};
use hashbrown::HashMap;
use ringway_proto::link::{MOVED_UNKNOWN, Movement};
use std::rc::Rc;

/// A room's place in the table, for as long as it has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RoomId(u32);

/// One room of a socket.
#[derive(Clone, Copy, Debug)]
struct Stay {
    room: RoomId,
    /// The socket's index among the room's members.
    place: u32,
}

/// A room that has members here.
#[derive(Debug)]
struct Room {
    name: Rc<str>,
    members: Vec<Key>,
}

/// A socket, as its worker last described it.
#[derive(Debug)]
pub struct Member {
    /// The id that the client sees.
    pub sid: Rc<str>,
    /// The private id, by which a client that comes back is known; empty without recovery.
    pub pid: Box<str>,
    /// The payload of CONNECT, as JSON.
    pub auth: Box<str>,
    /// `socket.data`, as JSON.
    pub data: Box<str>,
    /// Its client has left, and its worker may not know.
    pub is_left: bool,
    /// It is to be disconnected, and no broadcast reaches it.
    pub dismissed: Option<Movement>,
    /// Who has described it.
    worker: Option<WorkerId>,
    /// JOINs and LEAVEs of it that were obeyed since.
    frames: u32,
    stays: Vec<Stay>,
}

/// What became of a socket that was moved, for whoever has described it.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its session.
    pub key: Key,
    /// The id that the client sees.
    pub sid: Rc<str>,
    /// JOINs and LEAVEs that were obeyed before; [`MOVED_UNKNOWN`] while it is nobody's.
    pub known: u32,
    /// Which of the rooms it has joined or left: a bit for each that was named.
    pub places: u64,
}

/// To whom something is said or done: those in any of `rooms`, or all when there are none, but for those in any of `except`.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Those in any of these.
    pub rooms: &'a [&'a str],
    /// And in none of these.
    pub except: &'a [&'a str],
}

/// Why a worker's word about a socket is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceError {
    /// Another socket has that id.
    TakenSid,
    /// The client has no socket in this namespace.
    NoMember,
    /// The socket is in as many rooms as it may be.
    TooManyRooms,
}

/// The sockets of a namespace, each by its client's session.
#[derive(Debug)]
pub struct Space {
    rooms_per_member_max: usize,
    members: HashMap<Key, Member, Seed>,
    by_sid: HashMap<Rc<str>, Key, Seed>,
    ids: HashMap<Rc<str>, RoomId, Seed>,
    rooms: Vec<Option<Room>>,
    free: Vec<RoomId>,
    /// What workers said and is kept: ids, auth and data of members, names of rooms.
    bytes: usize,
    /// Members that were dismissed.
    dismissed: usize,
}

impl Space {
    /// A namespace without sockets. `seed` must be unpredictable: workers choose names, and so may their clients.
    #[must_use]
    pub fn new(seed: u64, rooms_per_member_max: usize) -> Self {
        let seed = Seed::new(seed);
        Self {
            rooms_per_member_max,
            members: HashMap::with_hasher(seed),
            by_sid: HashMap::with_hasher(seed),
            ids: HashMap::with_hasher(seed),
            rooms: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            dismissed: 0,
        }
    }

    /// Bytes of what workers said of sockets and rooms, as far as it is kept.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The sessions of all sockets, those that no broadcast reaches among them, in their order.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.members.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// How many sockets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The socket of a session.
    #[must_use]
    pub fn member(&self, key: Key) -> Option<&Member> {
        self.members.get(&key)
    }

    /// The session whose socket has that id.
    #[must_use]
    pub fn of_sid(&self, sid: &str) -> Option<Key> {
        self.by_sid.get(sid).copied()
    }

    /// The rooms of a session's socket, without its own.
    pub fn rooms_of(&self, key: Key) -> impl Iterator<Item = &Rc<str>> {
        let stays = self.members.get(&key).map(|member| &*member.stays);
        let rooms = stays.unwrap_or_default().iter();
        rooms.map(|stay| &self.room(stay.room).name)
    }

    /// Everything about a socket, anew: what was known before is replaced.
    ///
    /// # Errors
    /// [`SpaceError::TakenSid`] and [`SpaceError::TooManyRooms`]; what was known stays then.
    pub fn set(
        &mut self,
        key: Key,
        sid: &str,
        pid: &str,
        texts: (&str, &str),
        rooms: &[&str],
    ) -> Result<(), SpaceError> {
        if self.by_sid.get(sid).is_some_and(|other| *other != key) {
            return Err(SpaceError::TakenSid);
        }
        if rooms.len() > self.rooms_per_member_max {
            return Err(SpaceError::TooManyRooms);
        }
        let was = self.remove(key).filter(|was| *was.sid == *sid);
        // Whoever describes it anew has yet to disconnect it.
        let dismissed = was.and_then(|was| was.dismissed);
        self.dismissed += usize::from(dismissed.is_some());
        let sid: Rc<str> = sid.into();
        self.by_sid.insert(Rc::clone(&sid), key);
        let (auth, data) = (texts.0.into(), texts.1.into());
        let (pid, stays) = (pid.into(), Vec::new());
        let member = Member {
            is_left: false,
            sid,
            pid,
            auth,
            data,
            dismissed,
            worker: None,
            frames: 0,
            stays,
        };
        self.bytes += member.bytes();
        self.members.insert(key, member);
        self.join(key, rooms)
    }

    /// Whose the socket is: of the worker that described it last.
    pub fn belongs(&mut self, key: Key, worker: WorkerId) {
        if let Some(member) = self.members.get_mut(&key) {
            member.worker = Some(worker);
        }
    }

    /// Its worker is gone, or has handed it over: until the next one describes it the socket is nobody's.
    pub fn disown(&mut self, key: Key) {
        if let Some(member) = self.members.get_mut(&key) {
            member.worker = None;
        }
    }

    /// Its worker has said JOIN or LEAVE.
    pub fn note_frame(&mut self, key: Key) {
        if let Some(member) = self.members.get_mut(&key) {
            member.frames = (member.frames + 1) % MOVED_UNKNOWN;
        }
    }

    /// Lets sockets join rooms, as many as they may be in. Gives those for whom that is new.
    pub fn move_in(&mut self, target: Target<'_>, places: &[&str]) -> Vec<Moved> {
        let keys = self.plan(target.rooms, target.except).into_iter();
        let moved = keys.map(|key| self.moved(key, places, Self::enter_anew));
        moved.flatten().collect()
    }

    /// Lets sockets leave rooms. Gives those that were in one.
    pub fn move_out(&mut self, target: Target<'_>, places: &[&str]) -> Vec<Moved> {
        let keys = self.plan(target.rooms, target.except).into_iter();
        let moved = keys.map(|key| self.moved(key, places, Self::leave_one));
        moved.flatten().collect()
    }

    /// Nothing reaches these sockets from here on. Gives them.
    pub fn dismiss(&mut self, target: Target<'_>, how: Movement) -> Vec<Moved> {
        let keys = self.plan(target.rooms, target.except);
        self.dismissed += keys.len();
        for key in &keys {
            let member = self.members.get_mut(key);
            member.expect("it is a member").dismissed = Some(how);
        }
        let told = keys.into_iter();
        told.map(|key| self.told(key, 0)).collect()
    }

    fn moved(
        &mut self,
        key: Key,
        places: &[&str],
        change: impl Fn(&mut Self, Key, &str) -> bool,
    ) -> Option<Moved> {
        let mut changed = 0;
        for (at, name) in places.iter().enumerate() {
            changed |= u64::from(change(self, key, name)) << at;
        }
        (changed != 0).then(|| self.told(key, changed))
    }

    fn told(&self, key: Key, places: u64) -> Moved {
        let member = &self.members[&key];
        Moved {
            key,
            sid: Rc::clone(&member.sid),
            known: member.worker.map_or(MOVED_UNKNOWN, |_| member.frames),
            places,
        }
    }

    /// Whether the socket was not in the room and is now.
    fn enter_anew(&mut self, key: Key, name: &str) -> bool {
        let rooms = |space: &Self| space.members.get(&key).map_or(0, |it| it.stays.len());
        let before = rooms(self);
        self.enter(key, name).is_ok() && rooms(self) > before
    }

    /// Whether the socket was in the room.
    fn leave_one(&mut self, key: Key, name: &str) -> bool {
        let id = self.ids.get(name).copied();
        let Some((id, member)) = id.zip(self.members.get_mut(&key)) else {
            return false;
        };
        let at = member.stays.iter().position(|stay| stay.room == id);
        let stay = at.map(|at| member.stays.swap_remove(at));
        stay.into_iter().for_each(|stay| self.take_out(stay));
        at.is_some()
    }

    /// Whether the session's socket is that worker's.
    #[must_use]
    pub fn is_of(&self, key: Key, worker: WorkerId) -> bool {
        let member = self.members.get(&key);
        member.is_some_and(|member| member.worker == Some(worker))
    }

    /// The socket's data, anew.
    ///
    /// # Errors
    /// [`SpaceError::NoMember`].
    pub fn set_data(&mut self, key: Key, data: &str) -> Result<(), SpaceError> {
        let member = self.members.get_mut(&key).ok_or(SpaceError::NoMember)?;
        self.bytes = self.bytes - member.data.len() + data.len();
        member.data = data.into();
        Ok(())
    }

    /// The client has left: forgets the socket's private id. Gives the bytes that it had.
    pub(super) fn forget_pid(&mut self, key: Key) -> usize {
        let member = self.members.get_mut(&key);
        let pid = member.map(|member| {
            member.is_left = true;
            core::mem::take(&mut member.pid)
        });
        let bytes = pid.map_or(0, |pid| pid.len());
        self.bytes -= bytes;
        bytes
    }

    /// Puts a socket into rooms; those that it is in already, its own among them, change nothing.
    ///
    /// # Errors
    /// [`SpaceError::NoMember`] and [`SpaceError::TooManyRooms`], with the rooms entered that fit.
    pub fn join(&mut self, key: Key, rooms: &[&str]) -> Result<(), SpaceError> {
        rooms.iter().try_for_each(|room| self.enter(key, room))
    }

    fn enter(&mut self, key: Key, name: &str) -> Result<(), SpaceError> {
        let member = self.members.get(&key).ok_or(SpaceError::NoMember)?;
        let id = self.ids.get(name).copied();
        if *member.sid == *name || id.is_some_and(|id| member.is_in(id)) {
            return Ok(());
        }
        if member.stays.len() >= self.rooms_per_member_max {
            return Err(SpaceError::TooManyRooms);
        }
        let room = id.unwrap_or_else(|| self.make_room(name));
        let members = &mut self.room_mut(room).members;
        let place = members.len() as u32;
        members.push(key);
        let member = self.members.get_mut(&key);
        member
            .expect("it was found above")
            .stays
            .push(Stay { room, place });
        Ok(())
    }

    /// Takes a socket out of rooms; those that it is not in change nothing.
    pub fn leave(&mut self, key: Key, rooms: &[&str]) {
        for name in rooms {
            self.leave_one(key, name);
        }
    }

    /// The socket is no more.
    pub fn remove(&mut self, key: Key) -> Option<Member> {
        let mut member = self.members.remove(&key)?;
        self.dismissed -= usize::from(member.dismissed.is_some());
        self.by_sid.remove(&member.sid);
        self.bytes -= member.bytes();
        for stay in core::mem::take(&mut member.stays) {
            self.take_out(stay);
        }
        Some(member)
    }

    /// The sessions whose sockets a broadcast reaches, each once: those in any of `rooms`, or all when there are none, but for those in any of `except`.
    #[must_use]
    pub fn plan(&self, rooms: &[&str], except: &[&str]) -> Vec<Key> {
        let mut keys = match rooms {
            [] => self.members.keys().copied().collect(),
            some => self.inside_any(some),
        };
        // In the order of their slots: whoever walks through them touches memory in order.
        keys.sort_unstable();
        keys.dedup();
        if !except.is_empty() {
            let mut excluded = self.inside_any(except);
            excluded.sort_unstable();
            keys.retain(|key| excluded.binary_search(key).is_err());
        }
        if self.dismissed > 0 {
            keys.retain(|key| self.members[key].dismissed.is_none());
        }
        keys
    }

    /// A room that is named a thousand times counts once: nobody makes long lists of short frames.
    fn inside_any(&self, rooms: &[&str]) -> Vec<Key> {
        let mut rooms = rooms.to_vec();
        rooms.sort_unstable();
        rooms.dedup();
        rooms
            .into_iter()
            .flat_map(|room| self.inside(room))
            .collect()
    }

    /// The members of a room, and the socket whose own it is.
    fn inside(&self, name: &str) -> impl Iterator<Item = Key> {
        let members = self.ids.get(name).map(|id| &*self.room(*id).members);
        let own = self.by_sid.get(name).copied();
        members.unwrap_or_default().iter().copied().chain(own)
    }

    /// Whether no room, name or id is left.
    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        let is_free = self.free.len() == self.rooms.len() && self.bytes == 0;
        self.ids.is_empty() && self.by_sid.is_empty() && is_free
    }

    fn make_room(&mut self, name: &str) -> RoomId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.rooms.push(None);
            RoomId(self.rooms.len() as u32 - 1)
        });
        let name: Rc<str> = name.into();
        self.bytes += name.len();
        self.ids.insert(Rc::clone(&name), id);
        let members = Vec::new();
        self.rooms[id.0 as usize] = Some(Room { name, members });
        id
    }

    fn room(&self, id: RoomId) -> &Room {
        let room = self.rooms[id.0 as usize].as_ref();
        room.expect("a room stays while it has members")
    }

    fn room_mut(&mut self, id: RoomId) -> &mut Room {
        let room = self.rooms[id.0 as usize].as_mut();
        room.expect("a room stays while it has members")
    }

    /// Takes a member out of a room. The last one takes its place.
    fn take_out(&mut self, stay: Stay) {
        let members = &mut self.room_mut(stay.room).members;
        members.swap_remove(stay.place as usize);
        let moved = members.get(stay.place as usize).copied();
        let is_last = members.is_empty();
        if let Some(member) = moved.and_then(|key| self.members.get_mut(&key)) {
            member.moved(stay);
        }
        if is_last {
            self.remove_room(stay.room);
        }
    }

    fn remove_room(&mut self, id: RoomId) {
        if let Some(room) = self.rooms[id.0 as usize].take() {
            self.ids.remove(&room.name);
            self.bytes -= room.name.len();
        }
        self.free.push(id);
    }
}

impl Member {
    fn bytes(&self) -> usize {
        self.sid.len() + self.pid.len() + self.auth.len() + self.data.len()
    }

    fn is_in(&self, id: RoomId) -> bool {
        self.stays.iter().any(|stay| stay.room == id)
    }

    /// It stands elsewhere among the room's members now.
    fn moved(&mut self, to: Stay) {
        let mut stays = self.stays.iter_mut();
        let stay = stays.find(|stay| stay.room == to.room);
        stay.expect("a member knows its rooms").place = to.place;
    }
}
