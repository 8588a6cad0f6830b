//! Broadcasts of the last while, which clients that come back may have missed: by namespace, and in it by room.
//!
//! Numbers grow over all namespaces and are never used twice; whoever has seen one has missed what is behind it. Deliberately absent: clients and
//! their sessions (`sessions`), and what offsets look like (`recovery`).

use super::mail::SpaceId;
use super::worker::WorkerId;
use ringway_proto::link::{Flags, Part};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Packets of one namespace.
const PACKETS_MAX: usize = 131_072;
/// Bytes of one namespace's packets, each with what it costs beside its text.
const SPACE_BYTES_MAX: usize = 32 << 20;
/// Bytes of all namespaces.
const BYTES_MAX: usize = 128 << 20;
/// What a packet costs beside its bytes, and a room beside its name.
const PACKET_COST_BYTES: usize = 192;
const ROOM_COST_BYTES: usize = 32;

/// What one client may have missed and still be given: three quarters of what a worker's words may be in its queue (`hub/sending`), where a part counts twice
/// when it may be compressed. Who missed more starts anew: it would be closed for a queue that is full, and come again.
const MISSED_BYTES_MAX: usize = 3 << 20;
/// What a part costs in a queue beside its bytes.
const PART_COST_BYTES: usize = 192;
/// Numbers that are looked through for one client, those in several of its rooms more than once.
const NUMBERS_MAX: usize = 4 * MISSED_BYTES_MAX / PART_COST_BYTES;

const _: () = assert!(SPACE_BYTES_MAX <= BYTES_MAX && MISSED_BYTES_MAX <= SPACE_BYTES_MAX);

/// Whom a packet was for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audience<'a> {
    /// None: the whole namespace.
    pub(super) rooms: &'a [&'a str],
    pub(super) except: &'a [&'a str],
    /// Clients of this worker alone.
    pub(super) only: Option<WorkerId>,
}

/// Who may have missed something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener<'a> {
    /// Its own among them.
    pub(super) rooms: &'a [Box<str>],
    /// The worker that it was with.
    pub(super) worker: Option<WorkerId>,
}

/// A packet that was broadcast.
#[derive(Debug)]
pub(super) struct Packet {
    number: u64,
    at_us: u64,
    rooms: Box<[Rc<str>]>,
    except: Box<[Box<str>]>,
    only: Option<WorkerId>,
    bytes: usize,
    /// Text first; each with the flags under which it is sent.
    pub(super) parts: Box<[(Flags, Box<[u8]>)]>,
}

impl Packet {
    /// What it costs in a client's queue, at the most.
    fn queue_bytes(&self) -> usize {
        let parts = self.parts.iter();
        parts
            .map(|(_, part)| PART_COST_BYTES + 2 * part.len())
            .sum()
    }

    fn is_for(&self, listener: Listener<'_>) -> bool {
        let mut rooms = listener.rooms.iter();
        let is_excepted = rooms.any(|room| self.except.contains(room));
        !is_excepted && (self.only.is_none() || self.only == listener.worker)
    }
}

/// The packets of one namespace, the oldest first.
#[derive(Debug, Default)]
struct Log {
    packets: VecDeque<Packet>,
    /// Numbers of packets by their rooms, and of those for all.
    by_room: BTreeMap<Rc<str>, VecDeque<u64>>,
    to_all: VecDeque<u64>,
    /// The last one that is here no more.
    lost: u64,
    bytes: usize,
}

impl Log {
    fn first(&self) -> Option<u64> {
        self.packets.front().map(|packet| packet.number)
    }

    fn find(&self, number: u64) -> Option<&Packet> {
        let at = self.packets.partition_point(|other| other.number < number);
        let packet = self.packets.get(at);
        packet.filter(|packet| packet.number == number)
    }

    fn push(&mut self, packet: Packet) {
        for room in &packet.rooms {
            let numbers = self.by_room.entry(Rc::clone(room)).or_default();
            numbers.push_back(packet.number);
        }
        if packet.rooms.is_empty() {
            self.to_all.push_back(packet.number);
        }
        self.bytes += packet.bytes;
        self.packets.push_back(packet);
    }

    /// The oldest packet is no more; it is the oldest of each of its rooms, too.
    fn drop_first(&mut self) {
        let Some(packet) = self.packets.pop_front() else {
            return;
        };
        for room in &packet.rooms {
            let Some(numbers) = self.by_room.get_mut(room) else {
                continue;
            };
            numbers.pop_front();
            if numbers.is_empty() {
                self.by_room.remove(room);
            }
        }
        if packet.rooms.is_empty() {
            self.to_all.pop_front();
        }
        self.lost = packet.number;
        self.bytes -= packet.bytes;
    }

    fn name(&self, room: &str) -> Rc<str> {
        let known = self.by_room.get_key_value(room);
        known.map_or_else(|| room.into(), |(name, _)| Rc::clone(name))
    }

    /// Numbers behind `from` that some room of the listener's has, in order; `None`: too many.
    fn numbers(&self, from: u64, listener: Listener<'_>) -> Option<Vec<u64>> {
        let mut numbers: Vec<u64> = Vec::new();
        let rooms = listener.rooms.iter();
        let lists = rooms.filter_map(|room| self.by_room.get(&**room));
        for list in lists.chain([&self.to_all]) {
            let at = list.partition_point(|number| *number <= from);
            if numbers.len() + list.len() - at > NUMBERS_MAX {
                return None;
            }
            numbers.extend(list.range(at..));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Some(numbers)
    }
}

/// All namespaces' packets.
#[derive(Debug)]
pub(super) struct Logs {
    by_space: BTreeMap<SpaceId, Log>,
    /// The oldest of each namespace: numbers grow with time, so that the first of them is the oldest of all.
    firsts: BTreeSet<(u64, SpaceId)>,
    last: u64,
    bytes: usize,
}

impl Logs {
    pub(super) const fn new() -> Self {
        Self {
            by_space: BTreeMap::new(),
            firsts: BTreeSet::new(),
            last: 0,
            bytes: 0,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// The number of the next packet.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Keeps a packet under the number that it was given last. The oldest ones give way, be it all of them, this one with them.
    pub(super) fn push(
        &mut self,
        now_us: u64,
        space: SpaceId,
        audience: Audience<'_>,
        parts: &[Part<'_>],
        flags: Flags,
    ) {
        let log = self.by_space.entry(space).or_default();
        let mut names = audience.rooms.to_vec();
        names.sort_unstable();
        names.dedup();
        let names_bytes = names.iter().chain(audience.except);
        let names_bytes: usize = names_bytes.map(|name| name.len() + ROOM_COST_BYTES).sum();
        let parts_bytes: usize = parts.iter().map(|part| part.bytes().len()).sum();
        let packet = Packet {
            number: self.last,
            at_us: now_us,
            rooms: names.into_iter().map(|room| log.name(room)).collect(),
            except: audience.except.iter().map(|room| (*room).into()).collect(),
            only: audience.only,
            bytes: PACKET_COST_BYTES + names_bytes + parts_bytes,
            parts: parts.iter().map(|part| kept(part, flags)).collect(),
        };
        self.bytes += packet.bytes;
        if log.packets.is_empty() {
            self.firsts.insert((packet.number, space));
        }
        log.push(packet);
        while self.is_over(space) {
            self.drop_first(space);
        }
        while self.bytes > BYTES_MAX {
            self.drop_oldest();
        }
    }

    fn is_over(&self, space: SpaceId) -> bool {
        let log = self.by_space.get(&space);
        log.is_some_and(|log| log.packets.len() > PACKETS_MAX || log.bytes > SPACE_BYTES_MAX)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, space)) = self.firsts.first().copied() {
            self.drop_first(space);
        }
    }

    fn drop_first(&mut self, space: SpaceId) {
        let Some(log) = self.by_space.get_mut(&space) else {
            return;
        };
        let before = log.bytes;
        if let Some(first) = log.first() {
            self.firsts.remove(&(first, space));
        }
        log.drop_first();
        self.bytes -= before - log.bytes;
        self.firsts.extend(log.first().map(|first| (first, space)));
    }

    /// Packets from before that time are no more.
    pub(super) fn expire(&mut self, before_us: u64) {
        while let Some((_, space)) = self.firsts.first().copied() {
            let log = self.by_space.get(&space);
            let first = log.and_then(|log| log.packets.front());
            if first.is_none_or(|packet| packet.at_us >= before_us) {
                return;
            }
            self.drop_first(space);
        }
    }

    /// Nobody has the namespace any more.
    pub(super) fn retire(&mut self, space: SpaceId) {
        if let Some(log) = self.by_space.remove(&space) {
            self.bytes -= log.bytes;
            let first = log.first().map(|first| (first, space));
            first.map(|first| self.firsts.remove(&first));
        }
    }

    /// Whether a packet of the namespace is still here.
    pub(super) fn has(&self, space: SpaceId, number: u64) -> bool {
        let log = self.by_space.get(&space);
        log.is_some_and(|log| log.find(number).is_some())
    }

    /// The packets that a listener has missed who has seen `from`, in order. `None`: some are here no more, or they are too many.
    pub(super) fn missed(
        &self,
        space: SpaceId,
        from: u64,
        listener: Listener<'_>,
    ) -> Option<Vec<&Packet>> {
        let log = self.by_space.get(&space)?;
        if log.lost > from {
            return None;
        }
        let numbers = log.numbers(from, listener)?;
        let packets = numbers.iter().filter_map(|number| log.find(*number));
        let packets: Vec<&Packet> = packets.filter(|packet| packet.is_for(listener)).collect();
        let bytes: usize = packets.iter().map(|packet| packet.queue_bytes()).sum();
        (bytes <= MISSED_BYTES_MAX).then_some(packets)
    }
}

fn kept(part: &Part<'_>, flags: Flags) -> (Flags, Box<[u8]>) {
    let flags = match part.is_binary() {
        true => flags | Flags::BINARY,
        false => flags,
    };
    (flags, part.bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId(7);
    const OTHER: SpaceId = SpaceId(8);

    fn push(logs: &mut Logs, at_us: u64, space: SpaceId, rooms: &[&str], except: &[&str]) -> u64 {
        push_of(logs, at_us, space, (rooms, except, None), "2[\"x\"]")
    }

    type For<'a> = (&'a [&'a str], &'a [&'a str], Option<WorkerId>);

    fn push_of(logs: &mut Logs, at_us: u64, space: SpaceId, to: For<'_>, text: &str) -> u64 {
        let (rooms, except, only) = to;
        let number = logs.next_number();
        let audience = Audience {
            rooms,
            except,
            only,
        };
        logs.push(at_us, space, audience, &[Part::Text(text)], Flags::NONE);
        number
    }

    fn missed(logs: &Logs, from: u64, rooms: &[&str]) -> Option<Vec<u64>> {
        missed_by(logs, from, rooms, None)
    }

    fn missed_by(
        logs: &Logs,
        from: u64,
        rooms: &[&str],
        worker: Option<WorkerId>,
    ) -> Option<Vec<u64>> {
        let rooms: Vec<Box<str>> = rooms.iter().map(|room| (*room).into()).collect();
        let listener = Listener {
            rooms: &rooms,
            worker,
        };
        let packets = logs.missed(SPACE, from, listener)?;
        Some(packets.iter().map(|packet| packet.number).collect())
    }

    #[test]
    fn rooms_and_exceptions_say_who_missed_what() {
        let mut logs = Logs::new();
        let first = push(&mut logs, 0, SPACE, &[], &[]);
        let a = push(&mut logs, 0, SPACE, &["a"], &[]);
        let ab = push(&mut logs, 0, SPACE, &["b", "a", "a"], &[]);
        push(&mut logs, 0, OTHER, &[], &[]);
        let without_c = push(&mut logs, 0, SPACE, &[], &["c"]);
        let a_without_c = push(&mut logs, 0, SPACE, &["a"], &["c", "d"]);
        let cases: [(&[&str], Vec<u64>); 6] = [
            (&["s"], vec![without_c]),
            (&["s", "a"], vec![a, ab, without_c, a_without_c]),
            (&["s", "b"], vec![ab, without_c]),
            (&["s", "a", "b"], vec![a, ab, without_c, a_without_c]),
            (&["s", "c"], vec![]),
            (&["s", "a", "d"], vec![a, ab, without_c]),
        ];
        for (rooms, expected) in cases {
            assert_eq!(missed(&logs, first, rooms), Some(expected), "{rooms:?}");
        }
        assert_eq!(missed(&logs, without_c, &["a"]), Some(vec![a_without_c]));
        assert_eq!(missed(&logs, a_without_c, &["a"]), Some(vec![]));
    }

    #[test]
    fn what_was_for_one_workers_clients_is_missed_by_them_alone() {
        let mut logs = Logs::new();
        let first = push(&mut logs, 0, SPACE, &[], &[]);
        let only = Some(WorkerId(3));
        let own = push_of(&mut logs, 0, SPACE, (&[], &[], only), "2[\"x\"]");
        assert_eq!(missed_by(&logs, first, &["s"], only), Some(vec![own]));
        let other = Some(WorkerId(4));
        assert_eq!(missed_by(&logs, first, &["s"], other), Some(vec![]));
        assert_eq!(missed_by(&logs, first, &["s"], None), Some(vec![]));
    }

    #[test]
    fn a_number_is_of_its_namespace_while_its_packet_is_there() {
        let mut logs = Logs::new();
        let first = push(&mut logs, 1_000, SPACE, &[], &[]);
        let other = push(&mut logs, 1_000, OTHER, &[], &[]);
        let second = push(&mut logs, 2_000, SPACE, &["a"], &[]);
        assert!(logs.has(SPACE, first) && !logs.has(SPACE, other) && !logs.has(SPACE, 99));
        logs.expire(1_001);
        assert!(!logs.has(SPACE, first) && logs.has(SPACE, second));
        // Who has seen the last one that is gone has missed nothing of what is gone.
        assert_eq!(missed(&logs, first, &["a"]), Some(vec![second]));
        let third = push(&mut logs, 3_000, SPACE, &["a"], &[]);
        logs.expire(2_001);
        assert_eq!(missed(&logs, first, &["a"]), None);
        assert_eq!(missed(&logs, second, &["a"]), Some(vec![third]));
    }

    #[test]
    fn bounds_drop_the_oldest() {
        let mut logs = Logs::new();
        let first = push(&mut logs, 0, SPACE, &[], &[]);
        for _ in 1..PACKETS_MAX {
            push(&mut logs, 0, SPACE, &[], &[]);
        }
        assert!(logs.has(SPACE, first));
        push(&mut logs, 0, SPACE, &[], &[]);
        assert!(!logs.has(SPACE, first) && logs.has(SPACE, first + 1));
        let large = "x".repeat(SPACE_BYTES_MAX / 2);
        push_of(&mut logs, 0, SPACE, (&[], &[], None), &large);
        assert!(logs.bytes() <= SPACE_BYTES_MAX);
        assert!(!logs.has(SPACE, first + 1));
        assert_eq!(missed(&logs, first, &["s"]), None);
    }

    #[test]
    fn a_packet_beyond_the_bound_leaves_nothing_before_it() {
        let mut logs = Logs::new();
        let first = push(&mut logs, 0, SPACE, &[], &[]);
        let large = "x".repeat(SPACE_BYTES_MAX);
        let number = push_of(&mut logs, 0, SPACE, (&[], &[], None), &large);
        assert!(!logs.has(SPACE, first) && !logs.has(SPACE, number));
        assert_eq!((logs.bytes(), logs.firsts.len()), (0, 0));
        let after = push(&mut logs, 0, SPACE, &[], &[]);
        assert_eq!(missed(&logs, number, &["s"]), Some(vec![after]));
    }

    #[test]
    fn all_namespaces_share_a_bound_and_the_oldest_of_all_gives_way() {
        let mut logs = Logs::new();
        let text = "x".repeat(SPACE_BYTES_MAX - 10_000);
        let mut numbers = Vec::new();
        for space in 0..8 {
            let to: For<'_> = (&["a"], &[], None);
            numbers.push(push_of(&mut logs, 0, SpaceId(space), to, &text));
        }
        let has: Vec<bool> = (0..8)
            .map(|space| logs.has(SpaceId(space), numbers[space as usize]))
            .collect();
        assert_eq!(has, [false, false, false, false, true, true, true, true]);
        assert!(logs.bytes() <= BYTES_MAX);
        (0..8).for_each(|space| logs.retire(SpaceId(space)));
        assert_eq!((logs.bytes(), logs.firsts.len()), (0, 0));
        assert!(logs.is_empty());
    }

    #[test]
    fn who_missed_too_much_starts_anew() {
        let mut logs = Logs::new();
        let first = push(&mut logs, 0, SPACE, &[], &[]);
        let large = |logs: &mut Logs| {
            let text = "x".repeat(MISSED_BYTES_MAX / 16 - PART_COST_BYTES / 2);
            push_of(logs, 0, SPACE, (&["large"], &[], None), &text);
        };
        (0..8).for_each(|_| large(&mut logs));
        let all = missed(&logs, first, &["large"]);
        assert_eq!(all.map(|numbers| numbers.len()), Some(8));
        large(&mut logs);
        assert_eq!(missed(&logs, first, &["large"]), None);
        assert_eq!(missed(&logs, first, &["s"]), Some(vec![]));
        for _ in 0..=NUMBERS_MAX {
            push_of(&mut logs, 0, SPACE, (&["many"], &[], None), "2[]");
        }
        assert_eq!(missed(&logs, first, &["many"]), None);
    }
}
