//! Rooms of one shard: its own members, and the numbers of the rooms that have their home here.
//!
//! Rooms return what is to be delivered; they never touch a session. Deliberately absent: who may join or publish, queues.

mod frozen;
mod home;
mod local;
mod locals;
mod name;
mod policy;
mod wire;

pub(crate) use frozen::FrozenHome;
pub use name::{is_namespace_name, is_room_name};
pub(crate) use policy::matches;
pub use policy::{SlowConsumerPolicy, SlowConsumerRules};

use crate::hub::{Key, Seed};
use crate::limits::Rate;
use crate::packet::Packet;
use crate::post::{Class, MailOutcome, Post};
use crate::refusal::Refusal;
use crate::time::Now;
use home::Home;
use local::{Local, Members};
use locals::{Locals, RoomId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::rc::Rc;
pub(crate) use wire::RoomEvent;
use wire::{Message, Wire};

/// A room's full name: namespace, a zero byte (which neither part may hold), room.
pub(crate) type Name = Rc<str>;

/// Time between two looks for idle homes.
const SWEEP_US: u64 = 10_000_000;
/// Time between two looks for homes to forget when there are as many as there may be.
const SWEEP_FULL_US: u64 = 1_000_000;

/// What a shard's rooms may grow to.
#[derive(Clone, Debug)]
pub(crate) struct RoomsBounds {
    pub(crate) rooms_max: usize,
    pub(crate) rooms_per_member_max: usize,
    /// Messages of one room.
    pub(crate) messages: Rate,
    pub(crate) slow_consumers: SlowConsumerRules,
    /// Members may have agreed to permessage-deflate.
    pub(crate) deflate: bool,
}

/// A room's place in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
}

/// What a join or a publish comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Done.
    Done(Position),
    /// The home answers later, by an [`Effect`].
    Pending,
    /// No ring space now: try again later; nothing happened.
    Full,
    /// Not possible.
    Refused(Refusal),
}

/// Who waits for an answer: a session, the namespace, and the acknowledgement's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) member: Key,
    pub(crate) namespace: Box<str>,
    pub(crate) id: Option<u64>,
}

/// A room for operators: namespace, room, members here, and the position when the home is here.
pub(crate) type ListedRoom<'a> = (&'a str, &'a str, usize, Option<Position>);

/// What the sessions must hear.
pub(crate) enum Effect {
    /// A join or publish was answered by the home.
    Answer(Asker, Result<Position, Refusal>),
    /// A message for these members.
    Deliver(Rc<Packet>, Rc<Members>),
    /// A message that nobody waits for was not taken by the room's home.
    LeftOut(Refusal),
}

/// What became of a message at its home.
enum Numbered {
    /// It has its number and is on its way.
    At(Position),
    /// Not all deliveries fit now; nothing happened.
    NoSpace,
    /// It is not taken.
    Refused(Refusal),
}

/// A message that is to be numbered.
pub(crate) struct Publish<'a> {
    pub(crate) event: RoomEvent,
    /// Whether it counts against the room's rate. Operators alone are not limited; whether somebody waits for an answer says nothing about it.
    pub(crate) is_limited: bool,
    pub(crate) namespace: &'a str,
    pub(crate) room: &'a str,
    pub(crate) from: &'a str,
    /// Raw JSON.
    pub(crate) data: &'a str,
    pub(crate) attachments: &'a [Vec<u8>],
    pub(crate) key: Option<&'a str>,
}

/// The rooms of one shard.
pub(crate) struct Rooms {
    me: u16,
    shards: u16,
    bounds: RoomsBounds,
    seed: u64,
    epochs: u64,
    locals: Locals,
    homes: HashMap<Name, Home, Seed>,
    /// Rooms without members whose home has not been told.
    leaving: Vec<Name>,
    effects: Vec<Effect>,
    publishes: HashMap<u64, Asker, Seed>,
    next_publish: u64,
    swept_us: u64,
}

/// A room's full name.
pub(crate) fn full_name(namespace: &str, room: &str) -> Name {
    [namespace, "\0", room].concat().into()
}

/// The namespace and the room of a full name.
pub(crate) fn parts(name: &str) -> (&str, &str) {
    name.split_once('\0').unwrap_or(("/", name))
}

/// The shard that numbers a room's messages when there are `shards`.
#[must_use]
pub fn home_shard(namespace: &str, room: &str, shards: u16) -> u16 {
    home_of(&full_name(namespace, room), shards)
}

/// FNV-1a with a finaliser: the same on every shard, and over the whole width.
pub(crate) fn home_of(name: &str, shards: u16) -> u16 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) % u64::from(shards)) as u16
}

impl Rooms {
    pub(crate) fn new(
        me: u16,
        shards: u16,
        bounds: RoomsBounds,
        members_max: u32,
        seed: u64,
    ) -> Self {
        let hasher = Seed::new(seed.rotate_left(32));
        Self {
            me,
            shards,
            bounds,
            seed,
            epochs: 0,
            locals: Locals::new(hasher, members_max),
            homes: HashMap::with_hasher(hasher),
            leaving: Vec::new(),
            effects: Vec::new(),
            publishes: HashMap::with_hasher(hasher),
            next_publish: 0,
            swept_us: 0,
        }
    }

    /// Puts a session into a room. An answer that comes later is an [`Effect::Answer`]; only messages with a greater offset follow it.
    pub(crate) fn join(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        asker: Asker,
        room: &str,
    ) -> Attempt {
        let name = full_name(&asker.namespace, room);
        let id = match self.locals.find(&name) {
            Some(id) => id,
            None => match self.make_local(now, post, asker.member, &name) {
                Ok(Some(id)) => id,
                Ok(None) => return Attempt::Full,
                Err(refusal) => return Attempt::Refused(refusal),
            },
        };
        if !self.locals.has(asker.member, id) && self.has_all_rooms(asker.member) {
            return Attempt::Refused(Refusal::TooManyRooms);
        }
        if self.locals.room(id).known {
            self.locals.enter(asker.member, id);
            return Attempt::Done(self.locals.room(id).position);
        }
        self.locals.expect(asker.member, id);
        self.locals.room_mut(id).waiting.push(asker);
        Attempt::Pending
    }

    fn has_all_rooms(&self, member: Key) -> bool {
        self.locals.rooms_of(member).count() >= self.bounds.rooms_per_member_max
    }

    /// A room for its first member here. `None`: no ring space.
    fn make_local(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        member: Key,
        name: &Name,
    ) -> Result<Option<RoomId>, Refusal> {
        if self.has_all_rooms(member) {
            return Err(Refusal::TooManyRooms);
        }
        if self.locals.len() >= self.bounds.rooms_max {
            return Err(Refusal::RoomsFull);
        }
        self.subscribe(now, post, name)
    }

    /// Asks the home for the room's messages. `None`: no ring space.
    fn subscribe(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        name: &Name,
    ) -> Result<Option<RoomId>, Refusal> {
        let (me, home) = (self.me, home_of(name, self.shards));
        let policy = self.bounds.slow_consumers.of(parts(name).1);
        let local = if home == me {
            let position = self.home(now, name)?.subscribe(me);
            Local::known(name.clone(), policy, position)
        } else if post.request(home, &[&Wire::Subscribe { name }.encode()]) {
            Local::asked(name.clone(), policy)
        } else {
            return Ok(None);
        };
        Ok(Some(self.locals.insert(local)))
    }

    /// The home of a room, made if there is none and there may be one more.
    fn home(&mut self, now: Now, name: &Name) -> Result<&mut Home, Refusal> {
        if !self.homes.contains_key(name) {
            self.make_room(now)?;
        }
        self.epochs += 1;
        // Unpredictable and below 2^53: clients compare it as a number.
        let epoch = (self.seed ^ self.epochs).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 11;
        let home = self
            .homes
            .entry(name.clone())
            .or_insert_with(|| Home::new(epoch));
        home.touch(now.monotonic_us);
        Ok(home)
    }

    /// Rooms that nobody listens to make way for new ones: who publishes to endless names must not keep others out.
    fn make_room(&mut self, now: Now) -> Result<(), Refusal> {
        let now_us = now.monotonic_us;
        if self.homes.len() < self.bounds.rooms_max {
            return Ok(());
        }
        if now_us - self.swept_us >= SWEEP_FULL_US {
            self.swept_us = now_us;
            self.homes.retain(|_, home| !home.is_spare(now_us));
        }
        if self.homes.len() < self.bounds.rooms_max {
            Ok(())
        } else {
            Err(Refusal::RoomsFull)
        }
    }

    /// New bounds; rooms that there are stay.
    pub(crate) fn reload(&mut self, bounds: RoomsBounds) {
        self.bounds = bounds;
    }

    /// Takes a session out of a room; whether it was in.
    pub(crate) fn leave(&mut self, member: Key, namespace: &str, room: &str) -> bool {
        let id = self.locals.find(&full_name(namespace, room));
        id.is_some_and(|id| self.drop_member(member, id))
    }

    fn drop_member(&mut self, member: Key, id: RoomId) -> bool {
        let was_in = self.locals.leave(member, id);
        let local = self.locals.room_mut(id);
        for asker in local.give_up(member) {
            // It asked to join, and left before the home answered: that answer is this one.
            let answer = Effect::Answer(asker, Err(Refusal::NotInRoom));
            self.effects.push(answer);
        }
        if was_in && local.is_empty() {
            // Told level-triggered: `lap` sends it when there is ring space, unless somebody joined again by then.
            self.leaving.push(local.name.clone());
        }
        was_in
    }

    /// A session left a namespace.
    pub(crate) fn leave_namespace(&mut self, member: Key, namespace: &str) {
        let rooms: Vec<RoomId> = self.locals.rooms_of(member).collect();
        for id in rooms {
            if parts(&self.locals.room(id).name).0 == namespace {
                self.drop_member(member, id);
            }
        }
    }

    /// A session ended.
    pub(crate) fn leave_all(&mut self, member: Key) {
        let rooms: Vec<RoomId> = self.locals.rooms_of(member).collect();
        for id in rooms {
            self.drop_member(member, id);
        }
    }

    /// Whether a session is in no room.
    pub(crate) fn is_stranger(&self, member: Key) -> bool {
        self.locals.rooms_of(member).next().is_none()
    }

    /// The rooms of a session.
    pub(crate) fn rooms_of(&self, member: Key) -> Vec<String> {
        let rooms = self.locals.rooms_of(member);
        rooms
            .map(|id| parts(&self.locals.room(id).name).1.to_owned())
            .collect()
    }

    /// Sends a message to a room's home. `asker` hears when it has been numbered.
    pub(crate) fn publish(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        asker: Option<Asker>,
        publish: &Publish<'_>,
    ) -> Attempt {
        let name = full_name(publish.namespace, publish.room);
        let home = home_of(&name, self.shards);
        let message = Message {
            event: publish.event,
            name: &name,
            from: publish.from,
            data: publish.data,
            attachments: publish.attachments.iter().map(Vec::as_slice).collect(),
            key: publish.key,
            unix_ms: now.unix_ms,
        };
        let limited = publish.is_limited;
        if home == self.me {
            return match self.number(now, post, &message, limited) {
                Numbered::At(position) => Attempt::Done(position),
                Numbered::NoSpace => Attempt::Full,
                Numbered::Refused(refusal) => Attempt::Refused(refusal),
            };
        }
        let token = self.next_publish;
        let request = Wire::Publish {
            token,
            limited,
            message,
        };
        if !post.request(home, &[&request.encode()]) {
            return Attempt::Full;
        }
        self.next_publish += 1;
        if let Some(asker) = asker {
            self.publishes.insert(token, asker);
        }
        Attempt::Pending
    }

    /// Gives a message its number and delivers it. A limited one counts against the room's rate.
    fn number(
        &mut self,
        now: Now,
        post: &mut dyn Post,
        message: &Message<'_>,
        limited: bool,
    ) -> Numbered {
        let (me, shards, rate) = (self.me, self.shards, self.bounds.messages);
        let home = match self.home(now, &message.name.into()) {
            Ok(home) => home,
            Err(refusal) => return Numbered::Refused(refusal),
        };
        let next = Position {
            epoch: home.position.epoch,
            offset: home.position.offset + 1,
        };
        let interest = home.interest & !(1 << me);
        let others = || (0..shards).filter(move |shard| interest >> shard & 1 == 1);
        let delivery = || Wire::Deliver {
            position: next,
            message: message.clone(),
        };
        let encoded = match interest {
            0 => Vec::new(),
            _ => delivery().encode(),
        };
        if !others().all(|shard| post.deliver_fits(shard, encoded.len())) {
            return Numbered::NoSpace;
        }
        // Only now: a message that waits for space would be counted at every try.
        if limited && !home.charge(now.monotonic_us, rate) {
            return Numbered::Refused(Refusal::RateRoom);
        }
        home.position = next;
        for shard in others() {
            let sent = post.deliver(shard, &[&encoded]);
            assert!(sent, "it fitted a moment ago");
        }
        self.deliver(now, next, message);
        Numbered::At(next)
    }

    /// Hands a numbered message to the members here.
    fn deliver(&mut self, now: Now, position: Position, message: &Message<'_>) {
        let Some(id) = self.locals.find(message.name) else {
            return;
        };
        let local = self.locals.room_mut(id);
        // What was sent before the last subscription is old news.
        if !local.known
            || position.epoch != local.position.epoch
            || position.offset <= local.position.offset
        {
            return;
        }
        local.position = position;
        if !local.members.is_empty() {
            let packet = message.packet(position, local.policy, now.monotonic_us);
            let packet = Rc::new(packet.for_deflate(self.bounds.deflate));
            self.effects
                .push(Effect::Deliver(packet, local.members.clone()));
        }
    }

    /// A message of another shard.
    pub(crate) fn mail(
        &mut self,
        now: Now,
        from: u16,
        class: Class,
        bytes: &[u8],
        post: &mut dyn Post,
    ) -> MailOutcome {
        match (class, Wire::decode(bytes)) {
            (Class::Request, Wire::Subscribe { name }) => {
                let position = self
                    .home(now, &name.into())
                    .map(|home| home.subscribe(from));
                post.reply(from, &[&Wire::Subscribed { name, position }.encode()]);
            }
            (Class::Request, Wire::Unsubscribe { name }) => {
                if let Some(home) = self.homes.get_mut(name) {
                    home.unsubscribe(from);
                }
            }
            (
                Class::Request,
                Wire::Publish {
                    token,
                    limited,
                    message,
                },
            ) => {
                let position = match self.number(now, post, &message, limited) {
                    Numbered::At(position) => Ok(position),
                    Numbered::NoSpace => return MailOutcome::Wait,
                    Numbered::Refused(refusal) => Err(refusal),
                };
                post.reply(from, &[&Wire::Published { token, position }.encode()]);
            }
            (Class::Reply, Wire::Subscribed { name, position }) => match position {
                Ok(position) => self.subscribed(name, position),
                Err(refusal) => self.not_subscribed(name, refusal),
            },
            (Class::Reply, Wire::Published { token, position }) => {
                self.published(token, position);
            }
            (Class::Deliver, Wire::Deliver { position, message }) => {
                self.deliver(now, position, &message)
            }
            (class, _) => unreachable!("no such message travels as {class:?}"),
        }
        MailOutcome::Taken
    }

    fn published(&mut self, token: u64, position: Result<Position, Refusal>) {
        match (self.publishes.remove(&token), position) {
            (Some(asker), position) => self.effects.push(Effect::Answer(asker, position)),
            (None, Err(refusal)) => self.effects.push(Effect::LeftOut(refusal)),
            (None, Ok(_)) => {}
        }
    }

    fn subscribed(&mut self, name: &str, position: Position) {
        let id = self.asked_room(name);
        let local = self.locals.room_mut(id);
        local.known = true;
        local.position = position;
        for asker in core::mem::take(&mut local.waiting) {
            self.locals.enter(asker.member, id);
            self.effects.push(Effect::Answer(asker, Ok(position)));
        }
    }

    /// The home has no room for one more: whoever waited is not in it.
    fn not_subscribed(&mut self, name: &str, refusal: Refusal) {
        let id = self.asked_room(name);
        for asker in core::mem::take(&mut self.locals.room_mut(id).waiting) {
            self.locals.leave(asker.member, id);
            self.effects.push(Effect::Answer(asker, Err(refusal)));
        }
        self.locals.remove(id);
    }

    fn asked_room(&self, name: &str) -> RoomId {
        let id = self.locals.find(name);
        id.expect("a room stays while its home is asked")
    }

    /// Once per lap: tells homes that nobody is left here, and forgets idle homes.
    pub(crate) fn lap(&mut self, now: Now, post: &mut dyn Post) {
        for name in core::mem::take(&mut self.leaving) {
            self.unsubscribe(post, name);
        }
        if now.monotonic_us - self.swept_us >= SWEEP_US {
            self.swept_us = now.monotonic_us;
            self.homes.retain(|_, home| !home.is_idle(now.monotonic_us));
        }
    }

    fn unsubscribe(&mut self, post: &mut dyn Post, name: Name) {
        let Some(id) = self.locals.find(&name) else {
            return;
        };
        let local = self.locals.room(id);
        if !local.is_empty() {
            return;
        }
        // While the home's answer is on its way the room stays: it would have nowhere to go.
        let home = home_of(&name, self.shards);
        if home == self.me {
            self.locals.remove(id);
            if let Some(home) = self.homes.get_mut(&name) {
                home.unsubscribe(self.me);
            }
        } else if local.known
            && post.request_one_way(home, &[&Wire::Unsubscribe { name: &name }.encode()])
        {
            self.locals.remove(id);
        } else {
            self.leaving.push(name);
        }
    }

    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.effects)
    }

    /// All rooms known here.
    pub(crate) fn list(&self) -> impl Iterator<Item = ListedRoom<'_>> {
        let homes = self.homes.keys();
        let locals = self.locals.iter().map(|local| &local.name);
        let others = locals.filter(|name| !self.homes.contains_key(*name));
        homes.chain(others).map(|name| self.listed(name))
    }

    /// One room, if it is known here.
    pub(crate) fn find(&self, namespace: &str, room: &str) -> Option<ListedRoom<'_>> {
        let name = full_name(namespace, room);
        let home = self.homes.get_key_value(&name).map(|(name, _)| name);
        let local = || Some(&self.locals.room(self.locals.find(&name)?).name);
        home.or_else(local).map(|name| self.listed(name))
    }

    fn listed<'a>(&'a self, name: &'a Name) -> ListedRoom<'a> {
        let local = self.locals.find(name).map(|id| self.locals.room(id));
        let members = local.map_or(0, |local| local.members.len());
        let position = self.homes.get(name).map(|home| home.position);
        (parts(name).0, parts(name).1, members, position)
    }
}
