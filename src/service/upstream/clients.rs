//! A shard's clients that have workers: their numbers on the links, and their sockets by namespace.
//!
//! Deliberately absent: sessions, which `hub` has, and the links.

use super::applications::{AppId, Routes};
use super::mail::{ClientNumber, LeftSocket, SpaceId};
use super::sessions::SESSION_BYTES_MAX;
use super::space::Space;
use crate::hub::{Key, Seed};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A namespace of an application.
pub(crate) struct Named {
    pub(crate) app: AppId,
    pub(crate) name: Rc<str>,
    pub(crate) space: Space,
}

pub(crate) struct Clients {
    shard: u16,
    next: u64,
    seed: u64,
    rooms_per_member_max: usize,
    by_number: HashMap<ClientNumber, (Key, AppId), Seed>,
    /// Whose a namespace is.
    pub(crate) routes: Routes,
    /// In the order in which workers named them.
    spaces: BTreeMap<SpaceId, Named>,
    /// How many an application has.
    counts: BTreeMap<AppId, usize>,
    /// The namespaces in which a client has sockets, in their order: an application may have thousands, and a client has a few.
    by_key: HashMap<Key, Vec<SpaceId>, Seed>,
    /// What workers said of them all.
    bytes: u64,
    /// Mail about clients that are gone, or came back, that could not be said yet.
    pub(crate) unsaid: Vec<Vec<u8>>,
}

impl Clients {
    pub(crate) fn new(shard: u16, seed: u64, rooms_per_member_max: usize, routes: Routes) -> Self {
        Self {
            shard,
            // 0 is nobody: frames of no client have it.
            next: 1,
            seed,
            rooms_per_member_max,
            by_number: HashMap::with_hasher(Seed::new(seed)),
            routes,
            spaces: BTreeMap::new(),
            counts: BTreeMap::new(),
            by_key: HashMap::with_hasher(Seed::new(seed)),
            bytes: 0,
            unsaid: Vec::new(),
        }
    }

    /// A number by which an application knows a client.
    pub(crate) fn number(&mut self, key: Key, app: AppId) -> ClientNumber {
        let number = ClientNumber::new(self.shard, self.next);
        self.next += 1;
        self.by_number.insert(number, (key, app));
        number
    }

    pub(crate) fn find(&self, number: ClientNumber) -> Option<Key> {
        self.find_leg(number).map(|(key, _)| key)
    }

    /// A client, and whose number that is.
    pub(crate) fn find_leg(&self, number: ClientNumber) -> Option<(Key, AppId)> {
        self.by_number.get(&number).copied()
    }

    /// The client is gone, with all its sockets of the application.
    pub(crate) fn forget(&mut self, number: ClientNumber) {
        if let Some((key, app)) = self.by_number.remove(&number) {
            for id in self.spaces_of((key, app)) {
                self.change(key, id, |space| space.remove(key));
            }
        }
    }

    /// The namespaces of an application in which a client has sockets.
    fn spaces_of(&self, (key, app): (Key, AppId)) -> Vec<SpaceId> {
        let ids = self.ids_of(key).iter().copied();
        let is_of = |id: &SpaceId| self.named(*id).app == app;
        ids.filter(is_of).collect()
    }

    fn ids_of(&self, key: Key) -> &[SpaceId] {
        self.by_key.get(&key).map_or(&[], Vec::as_slice)
    }

    /// How many namespaces a client is in, without those that `is_left_out` names, and those that it has left, whether or not its worker knows.
    pub(crate) fn count_of(&self, key: Key, is_left_out: impl Fn(&str) -> bool) -> usize {
        let ids = self.ids_of(key).iter();
        let named = ids.map(|id| self.named(*id));
        let has_left = |named: &Named| named.space.member(key).is_some_and(|member| member.is_left);
        named
            .filter(|named| !is_left_out(&named.name) && !has_left(named))
            .count()
    }

    /// Whether an application may have a namespace that a client asks for: it has it, or has room for one more. Each server has a `/`.
    pub(crate) fn has_place(&self, app: AppId, name: &str, namespaces_max: usize) -> bool {
        let count = self.counts.get(&app).copied().unwrap_or_default();
        count < namespaces_max || name == "/" || self.routes.knows(name, app)
    }

    /// Whether the client has a socket in the namespace has changed, or not.
    fn note(&mut self, key: Key, id: SpaceId, is_member: bool) {
        let ids = self.by_key.entry(key).or_default();
        match ids.binary_search(&id) {
            Err(at) if is_member => ids.insert(at, id),
            Ok(at) if !is_member => drop(ids.remove(at)),
            _ => {}
        }
        if ids.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// A worker has named a namespace.
    pub(crate) fn name(&mut self, id: SpaceId, app: AppId, name: &str) {
        let (seed, rooms_max) = (self.seed, self.rooms_per_member_max);
        let name: Rc<str> = name.into();
        self.routes.note(&name, app);
        let space = Space::new(seed, rooms_max);
        let was = self.spaces.insert(id, Named { app, name, space });
        assert!(was.is_none(), "a number is never used twice");
        *self.counts.entry(app).or_default() += 1;
    }

    /// Nobody has a namespace any more: its sockets are no more. Gives the sessions that had one.
    pub(crate) fn retire(&mut self, id: SpaceId) -> Vec<Key> {
        let Some(named) = self.spaces.remove(&id) else {
            return Vec::new();
        };
        self.routes.forget(&named.name, named.app);
        self.bytes -= named.space.bytes() as u64;
        self.counts.entry(named.app).and_modify(|count| *count -= 1);
        let keys = named.space.keys();
        keys.iter().for_each(|key| self.note(*key, id, false));
        keys
    }

    /// The client has left a namespace of the application.
    pub(crate) fn leave(&mut self, (key, app): (Key, AppId), name: &str) {
        if let Some(id) = self.id_of((key, app), name) {
            self.change(key, id, |space| space.remove(key));
        }
    }

    /// The client's sockets at an application are no worker's for now.
    pub(crate) fn disown(&mut self, (key, app): (Key, AppId)) {
        for id in self.spaces_of((key, app)) {
            self.change(key, id, |space| space.disown(key));
        }
    }

    /// The namespace of that name in which a client has a socket.
    fn id_of(&self, (key, app): (Key, AppId), name: &str) -> Option<SpaceId> {
        let ids = self.ids_of(key).iter().copied();
        let mut named = ids.map(|id| (id, self.named(id)));
        let found = named.find(|(_, named)| named.app == app && *named.name == *name);
        found.map(|(id, _)| id)
    }

    /// # Panics
    /// When nobody has named it.
    pub(crate) fn named(&self, id: SpaceId) -> &Named {
        let named = self.spaces.get(&id);
        named.expect("a namespace is named before it is used")
    }

    /// A worker's word about a client's socket in a namespace.
    ///
    /// # Panics
    /// When nobody has named it.
    pub(crate) fn change<T>(
        &mut self,
        key: Key,
        id: SpaceId,
        change: impl FnOnce(&mut Space) -> T,
    ) -> T {
        let named = self.spaces.get_mut(&id);
        let space = &mut named.expect("a namespace is named before it is used").space;
        let before = space.bytes() as u64;
        let outcome = change(space);
        self.bytes = self.bytes + space.bytes() as u64 - before;
        let is_member = space.member(key).is_some();
        self.note(key, id, is_member);
        outcome
    }

    /// A worker's word about whatever sockets there are in a namespace, which stay members of it.
    ///
    /// # Panics
    /// When nobody has named it.
    pub(crate) fn change_all<T>(&mut self, id: SpaceId, change: impl FnOnce(&mut Space) -> T) -> T {
        let named = self.spaces.get_mut(&id);
        let space = &mut named.expect("a namespace is named before it is used").space;
        let before = space.bytes() as u64;
        let outcome = change(space);
        self.bytes = self.bytes + space.bytes() as u64 - before;
        outcome
    }

    /// The rooms of a socket, by its id.
    pub(crate) fn rooms_of(&self, namespace: &str, sid: &str) -> Option<Vec<String>> {
        let named = self.spaces.values();
        let mut named = named.filter(|named| *named.name == *namespace);
        named.find_map(|named| {
            let key = named.space.of_sid(sid)?;
            let rooms = named.space.rooms_of(key);
            Some(rooms.map(|room| room.to_string()).collect())
        })
    }

    /// Bytes of what workers said and is kept here.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sockets of a client at an application: namespace and what its worker said.
    pub(crate) fn sockets(
        &self,
        (key, app): (Key, AppId),
    ) -> impl Iterator<Item = (&Named, &super::Member)> {
        let named = self.ids_of(key).iter().map(|id| self.named(*id));
        let named = named.filter(move |named| named.app == app);
        named.filter_map(move |named| Some((named, named.space.member(key)?)))
    }

    /// The sockets of a client that is gone, as far as it may come back to them.
    pub(crate) fn left(&self, (key, app): (Key, AppId)) -> Vec<LeftSocket<'_>> {
        let spaces = self.spaces_of((key, app));
        let sockets = spaces.into_iter().filter_map(|id| {
            let named = self.named(id);
            let member = named.space.member(key)?;
            let rooms = named.space.rooms_of(key);
            let socket = LeftSocket {
                space: id,
                sid: &member.sid,
                pid: &member.pid,
                rooms: rooms.map(|room| &**room).collect(),
                data: &member.data,
            };
            let is_sound = member.dismissed.is_none() && member.data.len() <= SESSION_BYTES_MAX;
            let may_come = !member.pid.is_empty() && is_sound;
            may_come.then_some(socket)
        });
        sockets.collect()
    }

    /// A client has left a namespace by its own word: it does not come back to that socket.
    pub(crate) fn forget_pid(&mut self, key: Key, namespace: &str) {
        let app = self.routes.of(namespace);
        if let Some(id) = self.id_of((key, app), namespace) {
            self.change(key, id, |space| space.forget_pid(key));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}
