//! What waits for one session, bounded; what happens at the bound is the packet's room's policy.
//!
//! Deliberately absent: pings, pongs and closes, which go ahead of everything here and count against nothing.

use crate::packet::Packet;
use crate::rooms::SlowConsumerPolicy;
use crate::stats::DropReason;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::rc::Rc;

/// What an outbox may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxBounds {
    pub(crate) packets_max: usize,
    pub(crate) bytes_max: usize,
}

/// Packets that were dropped, by [`DropReason`].
pub(crate) type Dropped = [u32; DropReason::ALL.len()];

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits; so many older ones went for it, by reason.
    Queued { dropped: Dropped },
    /// The session reads too slowly for its policy.
    Overflow,
}

/// Packets that left a queue.
pub(crate) type Packets = SmallVec<[Rc<Packet>; 4]>;

/// A queue of whole packets; of one at the most it owns no memory. That is what a broadcast finds at nearly everybody.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outbox(Form);

#[derive(Debug, Serialize, Deserialize)]
enum Form {
    Single(Option<Rc<Packet>>),
    Queue(Box<Queue>),
}

const _: () = assert!(size_of::<Outbox>() <= 16, "each session has one");

impl Default for Form {
    fn default() -> Self {
        Self::Single(None)
    }
}

impl Outbox {
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Form::Single(packet) => packet.as_ref().map_or(0, |packet| packet.bytes()),
            Form::Queue(queue) => queue.bytes as usize,
        }
    }

    /// An answer will come. It is counted before it does: who publishes a thousand messages in one breath would hear of all in one lap.
    pub(crate) fn owe(&mut self) {
        self.queue().owed += 1;
    }

    /// An answer that was owed comes now.
    ///
    /// # Panics
    /// When none was.
    pub(crate) fn settle(&mut self) {
        let queue = self.queue();
        let owed = queue.owed.checked_sub(1);
        queue.owed = owed.expect("an answer is owed before it comes");
        self.tidy();
    }

    /// What waits, the oldest first.
    pub(crate) fn packets(&self) -> &[Rc<Packet>] {
        match &self.0 {
            Form::Single(packet) => packet.as_slice(),
            Form::Queue(queue) => &queue.packets,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.packets().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets().is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.take(self.len(), drop);
    }

    // In the loop over the members of a room: left to the compiler it became a call, and the loop a third longer.
    #[inline(always)]
    pub(crate) fn push(&mut self, packet: Rc<Packet>, bounds: OutboxBounds) -> Pushed {
        // One packet always fits an empty outbox: how large it may be is decided where it comes in.
        if let Form::Single(place @ None) = &mut self.0 {
            *place = Some(packet);
            let dropped = Dropped::default();
            return Pushed::Queued { dropped };
        }
        self.queue().push(packet, bounds)
    }

    /// Whether the client has half of what may wait to hear of what it asked, with the answers that are still to come. Messages of rooms do not
    /// count: their policies deal with them.
    pub(crate) fn is_half_full_of_answers(&self, bounds: OutboxBounds) -> bool {
        match &self.0 {
            Form::Single(packet) => {
                let answer = packet.as_ref().filter(|packet| packet.origin().is_none());
                let bytes = answer.map_or(0, |packet| packet.bytes());
                usize::from(answer.is_some()) >= bounds.packets_max.div_ceil(2)
                    || bytes >= bounds.bytes_max / 2
            }
            Form::Queue(queue) => queue.is_half_full_of_answers(bounds),
        }
    }

    /// Takes the oldest packets out, and gives each to `taken`.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub(crate) fn take(&mut self, count: usize, mut taken: impl FnMut(Rc<Packet>)) {
        match &mut self.0 {
            // Of a message to a room nearly all members have just this one.
            Form::Single(packet) => {
                assert!(count <= usize::from(packet.is_some()), "there are fewer");
                if let Some(packet) = packet.take_if(|_| count > 0) {
                    taken(packet);
                }
            }
            Form::Queue(queue) => {
                for packet in queue.take(count) {
                    taken(packet);
                }
                self.tidy();
            }
        }
    }

    /// Gives the memory of a queue back in which nothing is.
    fn tidy(&mut self) {
        if let Form::Queue(queue) = &self.0
            && queue.packets.is_empty()
            && queue.owed == 0
        {
            self.0 = Form::default();
        }
    }

    #[inline(never)]
    fn queue(&mut self) -> &mut Queue {
        if let Form::Single(packet) = &mut self.0 {
            let mut queue = Box::<Queue>::default();
            if let Some(packet) = packet.take() {
                queue.append(packet);
            }
            self.0 = Form::Queue(queue);
        }
        match &mut self.0 {
            Form::Queue(queue) => queue,
            Form::Single(_) => unreachable!("it is a queue by now"),
        }
    }
}

/// What an outbox has become in which more than one packet is, or for which answers are to come.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Queue {
    packets: Packets,
    bytes: u32,
    /// Those of no room: answers to what the client asked.
    answers: u32,
    answer_bytes: u32,
    /// Answers that other shards still owe: each will stand here.
    owed: u32,
}

impl Queue {
    fn push(&mut self, packet: Rc<Packet>, bounds: OutboxBounds) -> Pushed {
        let policy = packet
            .origin()
            .map_or(SlowConsumerPolicy::Disconnect, |origin| origin.policy);
        let mut dropped = Dropped::default();
        if policy == SlowConsumerPolicy::Conflate
            && self.remove_first(|queued| same_key(queued, &packet))
        {
            dropped[DropReason::Conflate as usize] += 1;
        }
        let droppable = policy != SlowConsumerPolicy::Disconnect;
        while !self.fits(&packet, bounds) {
            let own = droppable && self.remove_first(|queued| same_room(queued, &packet));
            let reason = match own {
                true => DropReason::DropOldest,
                false if self.remove_outnumbered() => DropReason::Displaced,
                false => return Pushed::Overflow,
            };
            dropped[reason as usize] += 1;
        }
        self.append(packet);
        Pushed::Queued { dropped }
    }

    fn append(&mut self, packet: Rc<Packet>) {
        self.bytes += packet.bytes() as u32;
        if packet.origin().is_none() {
            self.answers += 1;
            self.answer_bytes += packet.bytes() as u32;
        }
        self.packets.push(packet);
    }

    const fn is_half_full_of_answers(&self, bounds: OutboxBounds) -> bool {
        self.answers as usize + self.owed as usize >= bounds.packets_max.div_ceil(2)
            || self.answer_bytes as usize >= bounds.bytes_max / 2
    }

    /// One packet always fits an empty outbox: how large it may be is decided where it comes in.
    fn fits(&self, packet: &Packet, bounds: OutboxBounds) -> bool {
        self.packets.is_empty()
            || (self.packets.len() < bounds.packets_max
                && self.bytes as usize + packet.bytes() <= bounds.bytes_max)
    }

    fn remove_first(&mut self, matches: impl Fn(&Packet) -> bool) -> bool {
        let Some(index) = self.packets.iter().position(|queued| matches(queued)) else {
            return false;
        };
        self.bytes -= self.packets.remove(index).bytes() as u32;
        true
    }

    /// Drops the oldest packet of a room that may be dropped from, if a newer one of that room waits behind it: its number shows the gap. Without
    /// one the member would never know.
    fn remove_outnumbered(&mut self) -> bool {
        let mut rooms = HashSet::new();
        let mut oldest = None;
        for (index, packet) in self.packets.iter().enumerate().rev() {
            let origin = packet.origin().filter(|_| is_droppable(packet));
            if origin.is_some_and(|origin| !rooms.insert(&*origin.room)) {
                oldest = Some(index);
            }
        }
        let Some(index) = oldest else { return false };
        self.bytes -= self.packets.remove(index).bytes() as u32;
        true
    }

    fn take(&mut self, count: usize) -> Packets {
        if count == self.packets.len() {
            // Nearly always: what a lap has queued goes in one send.
            let owed = self.owed;
            let all = core::mem::take(self);
            self.owed = owed;
            return all.packets;
        }
        let rest = self.packets.drain(count..).collect();
        let taken = core::mem::replace(&mut self.packets, rest);
        for packet in &taken {
            self.bytes -= packet.bytes() as u32;
            if packet.origin().is_none() {
                self.answers -= 1;
                self.answer_bytes -= packet.bytes() as u32;
            }
        }
        taken
    }
}

fn is_droppable(packet: &Packet) -> bool {
    let origin = packet.origin();
    origin.is_some_and(|origin| origin.policy != SlowConsumerPolicy::Disconnect)
}

fn same_room(a: &Packet, b: &Packet) -> bool {
    matches!((a.origin(), b.origin()), (Some(a), Some(b)) if a.room == b.room)
}

fn same_key(a: &Packet, b: &Packet) -> bool {
    matches!((a.origin(), b.origin()), (Some(a), Some(b)) if a.room == b.room && a.key.is_some() && a.key == b.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Encoding, Origin};

    const BOUNDS: OutboxBounds = OutboxBounds {
        packets_max: 3,
        bytes_max: 1000,
    };

    fn packet(text: &str, policy: SlowConsumerPolicy, key: Option<&str>) -> Rc<Packet> {
        let origin = Origin {
            room: "r".into(),
            policy,
            key: key.map(Into::into),
            received_us: 0,
        };
        Rc::new(Packet::new(text.as_bytes(), &[], Some(origin)))
    }

    /// Pushes keyed packets; gives what is left, or that it overflowed.
    fn run(
        policy: SlowConsumerPolicy,
        packets: &[(&str, &str)],
    ) -> Result<(Vec<String>, Dropped), ()> {
        let (mut outbox, mut dropped_all) = (Outbox::default(), Dropped::default());
        for (text, key) in packets {
            match outbox.push(packet(text, policy, Some(key)), BOUNDS) {
                Pushed::Queued { dropped } => {
                    let all = dropped_all.iter_mut().zip(dropped);
                    all.for_each(|(all, more)| *all += more);
                }
                Pushed::Overflow => return Err(()),
            }
        }
        let mut left = Vec::new();
        outbox.take(outbox.len(), |packet| {
            let text = &packet.encoded(Encoding::Plain)[3..];
            left.push(String::from_utf8_lossy(text).into_owned());
        });
        assert_eq!(outbox.bytes(), 0);
        Ok((left, dropped_all))
    }

    #[test]
    fn policies_at_the_bound() {
        let four = [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")];
        assert_eq!(run(SlowConsumerPolicy::Disconnect, &four), Err(()));
        assert_eq!(
            run(SlowConsumerPolicy::DropOldest, &four),
            Ok((vec!["2".into(), "3".into(), "4".into()], [1, 0, 0]))
        );
        let keyed = [("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")];
        assert_eq!(
            run(SlowConsumerPolicy::Conflate, &keyed),
            Ok((vec!["3".into(), "4".into()], [0, 2, 0]))
        );
    }

    fn of_room(room: &str, text: &str, policy: SlowConsumerPolicy) -> Rc<Packet> {
        let origin = Origin {
            room: room.into(),
            policy,
            key: None,
            received_us: 0,
        };
        Rc::new(Packet::new(text.as_bytes(), &[], Some(origin)))
    }

    /// Rooms share the queue: one that fills it pays for the others, as long as its numbers still show the gap.
    #[test]
    fn a_full_queue_takes_from_a_room_that_has_newer_messages() {
        use SlowConsumerPolicy::{Disconnect, DropOldest};
        let pushed = |full: [&str; 3], policy| {
            let mut outbox = Outbox::default();
            for room in full {
                assert_eq!(
                    outbox.push(of_room(room, "x", DropOldest), BOUNDS),
                    Pushed::Queued { dropped: [0; 3] }
                );
            }
            outbox.push(of_room("new", "x", policy), BOUNDS)
        };
        for policy in [Disconnect, DropOldest] {
            assert_eq!(
                pushed(["a", "b", "a"], policy),
                Pushed::Queued { dropped: [0, 0, 1] }
            );
            assert_eq!(pushed(["a", "b", "c"], policy), Pushed::Overflow);
        }
    }

    #[test]
    fn bytes_are_bounded_but_one_packet_fits() {
        let long = "x".repeat(500);
        assert_eq!(
            run(
                SlowConsumerPolicy::Disconnect,
                &[(&long, "a"), (&long, "b")]
            ),
            Err(())
        );
        let longer = "x".repeat(1200);
        assert!(run(SlowConsumerPolicy::Disconnect, &[(&longer, "a")]).is_ok());
    }
}
