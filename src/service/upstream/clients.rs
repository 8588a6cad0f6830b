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
            let spaces = self.spaces.values_mut();
            for named in spaces.filter(|named| named.app == app) {
                let before = named.space.bytes();
                named.space.remove(key);
                self.bytes -= (before - named.space.bytes()) as u64;
            }
        }
    }

    /// A worker has named a namespace.
    pub(crate) fn name(&mut self, id: SpaceId, app: AppId, name: &str) {
        let (seed, rooms_max) = (self.seed, self.rooms_per_member_max);
        let name: Rc<str> = name.into();
        self.routes.note(&name, app);
        self.spaces.entry(id).or_insert_with(|| Named {
            app,
            name,
            space: Space::new(seed, rooms_max),
        });
    }

    /// Nobody has a namespace any more: its sockets are no more. Gives the sessions that had one.
    pub(crate) fn retire(&mut self, id: SpaceId) -> Vec<Key> {
        let Some(named) = self.spaces.remove(&id) else {
            return Vec::new();
        };
        self.routes.forget(&named.name, named.app);
        self.bytes -= named.space.bytes() as u64;
        named.space.plan(&[], &[])
    }

    /// The client has left a namespace of the application.
    pub(crate) fn leave(&mut self, (key, app): (Key, AppId), name: &str) {
        let mut spaces = self.spaces.values_mut();
        if let Some(named) = spaces.find(|named| named.app == app && *named.name == *name) {
            let before = named.space.bytes();
            named.space.remove(key);
            self.bytes -= (before - named.space.bytes()) as u64;
        }
    }

    /// The client's sockets at an application are no worker's for now.
    pub(crate) fn disown(&mut self, (key, app): (Key, AppId)) {
        let spaces = self.spaces.values_mut();
        let spaces = spaces.filter(|named| named.app == app);
        spaces.for_each(|named| named.space.disown(key));
    }

    /// # Panics
    /// When nobody has named it.
    pub(crate) fn named(&self, id: SpaceId) -> &Named {
        let named = self.spaces.get(&id);
        named.expect("a namespace is named before it is used")
    }

    /// A worker's word about a namespace's sockets.
    ///
    /// # Panics
    /// When nobody has named it.
    pub(crate) fn change<T>(&mut self, id: SpaceId, change: impl FnOnce(&mut Space) -> T) -> T {
        let named = self.spaces.get_mut(&id);
        let space = &mut named.expect("a namespace is named before it is used").space;
        let before = space.bytes() as u64;
        let outcome = change(space);
        self.bytes = self.bytes + space.bytes() as u64 - before;
        outcome
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
        let named = self.spaces.values();
        let named = named.filter(move |named| named.app == app);
        named.filter_map(move |named| Some((named, named.space.member(key)?)))
    }

    /// The sockets of a client that is gone, as far as it may come back to them.
    pub(crate) fn left(&self, (key, app): (Key, AppId)) -> Vec<LeftSocket<'_>> {
        let spaces = self.spaces.iter();
        let spaces = spaces.filter(|(_, named)| named.app == app);
        let sockets = spaces.filter_map(|(id, named)| {
            let member = named.space.member(key)?;
            let rooms = named.space.rooms_of(key);
            let socket = LeftSocket {
                space: *id,
                sid: &member.sid,
                pid: &member.pid,
                rooms: rooms.map(|room| &**room).collect(),
                data: &member.data,
            };
            let may_come = !member.pid.is_empty() && member.data.len() <= SESSION_BYTES_MAX;
            may_come.then_some(socket)
        });
        sockets.collect()
    }

    /// A client has left a namespace by its own word: it does not come back to that socket.
    pub(crate) fn forget_pid(&mut self, key: Key, namespace: &str) {
        let app = self.routes.of(namespace);
        let mut spaces = self.spaces.values_mut();
        if let Some(named) = spaces.find(|named| named.app == app && *named.name == *namespace) {
            self.bytes -= named.space.forget_pid(key) as u64;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}
