//! One member of each room publishes to it: as soon as every member has an earlier one, or by the clock.
//!
//! By the clock a latency counts from the moment at which the message was due, not from when it was sent: a server that falls behind pays for
//! all who wait.

use super::{Load, Tally, WAIT_MAX};
use crate::crowd::{Crowd, Work};
use crate::dialect::Incoming;
use crate::scenario::Scenario;
use crate::stamp::Stamp;
use core::time::Duration;
use std::collections::VecDeque;

/// The load.
pub(crate) struct Publish {
    tally: Tally,
    rooms: usize,
    /// Those members of a room that read; the others never publish.
    readers_of_room: u64,
    payload_bytes: usize,
    outstanding: u64,
    interval_ns: u64,
    /// When the next message is due.
    due_ns: u64,
    published: u64,
    delivered: u64,
    /// Readers that lack each publish, from the oldest on that some reader lacks.
    lacking: VecDeque<u64>,
    /// Publishes that every reader has.
    complete: u64,
}

impl Publish {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let interval_ns = match scenario.publishes_per_second {
            0 => 0,
            rate => 1_000_000_000 / rate,
        };
        Self {
            tally: Tally::new(),
            rooms: scenario.rooms,
            readers_of_room: ((scenario.connections - scenario.stalled) / scenario.rooms) as u64,
            payload_bytes: scenario.payload_bytes,
            outstanding: scenario.outstanding as u64,
            interval_ns,
            due_ns: 0,
            published: 0,
            delivered: 0,
            lacking: VecDeque::new(),
            complete: 0,
        }
    }

    /// Clients are dealt to rooms in turn; the first in a room publishes to it.
    pub(crate) fn room_of(who: usize, rooms: usize) -> String {
        format!("room:{}", who % rooms)
    }

    fn publish_one(&mut self, crowd: &mut Crowd, due_ns: u64) {
        let publisher = self.published as usize % self.rooms;
        let stamp = Stamp {
            due_ns,
            room: publisher as u32,
            number: (self.published / self.rooms as u64) as u32,
        };
        let room = Self::room_of(publisher, self.rooms);
        let message = crowd
            .dialect
            .publish(&room, &stamp.payload(self.payload_bytes));
        crowd.send(publisher, &message);
        self.published += 1;
        self.lacking.push_back(self.readers_of_room);
    }

    /// A reader of that room got that room's message of that number.
    fn arrived(&mut self, room: usize, number: u32) {
        let publish = u64::from(number) * self.rooms as u64 + room as u64;
        let oldest = self.published - self.lacking.len() as u64;
        let place = publish.checked_sub(oldest);
        let Some(lacking) = place.and_then(|place| self.lacking.get_mut(place as usize)) else {
            return;
        };
        self.complete += u64::from(*lacking == 1);
        *lacking = lacking.saturating_sub(1);
        while self.lacking.front() == Some(&0) {
            self.lacking.pop_front();
        }
    }
}

impl Load for Publish {
    fn start(&mut self, crowd: &mut Crowd) {
        self.due_ns = crowd.clock_ns();
    }

    fn due(&mut self, crowd: &mut Crowd) -> Duration {
        let now_ns = crowd.clock_ns();
        if self.interval_ns == 0 {
            while self.published < self.complete + self.outstanding {
                self.publish_one(crowd, now_ns);
            }
            return WAIT_MAX;
        }
        while self.due_ns <= now_ns {
            self.publish_one(crowd, self.due_ns);
            self.due_ns += self.interval_ns;
        }
        Duration::from_nanos(self.due_ns.saturating_sub(crowd.clock_ns())).min(WAIT_MAX)
    }

    fn missing(&self) -> u64 {
        (self.published * self.readers_of_room).saturating_sub(self.delivered)
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Work for Publish {
    fn on_message(&mut self, crowd: &mut Crowd, who: usize, incoming: Incoming<'_>) {
        let Incoming::Message(message) = incoming else {
            self.tally.refused += 1;
            return;
        };
        // Whatever is not what somebody published, and to this room, is wrong.
        let stamp = Stamp::find(message, self.payload_bytes);
        let is_for_it = |stamp: &Stamp| stamp.room as usize == who % self.rooms;
        let Some(stamp) = stamp.filter(is_for_it) else {
            self.tally.disordered += 1;
            return;
        };
        let next = &mut crowd.client(who).next_number;
        // One that is missing shows at the end, in what was never delivered; here shows what came twice or too late.
        if stamp.number < *next {
            self.tally.disordered += 1;
            return;
        }
        *next = stamp.number + 1;
        self.delivered += 1;
        self.arrived(who % self.rooms, stamp.number);
        self.tally.done(stamp.due_ns, crowd.now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    #[test]
    fn a_publish_is_complete_when_its_last_reader_has_it() {
        let scenario = toml::from_str(
            "what = \"x\"\nload = \"publish\"\nconnections = 4\nrooms = 2\noutstanding = 1\nshows = []\n",
        );
        let mut publish = Publish::new(&scenario.unwrap());
        publish.published = 3;
        publish.lacking = [2, 2, 2].into();
        // Room and number; then how many are complete, and how many are looked after.
        for (room, number, complete, kept) in [
            (0, 0, 0, 3),
            (1, 0, 0, 3),
            (1, 0, 1, 3),
            (0, 0, 2, 1),
            (0, 0, 2, 1),
            (0, 1, 2, 1),
            (0, 9, 2, 1),
            (0, 1, 3, 0),
            (0, 1, 3, 0),
        ] {
            publish.arrived(room, number);
            assert_eq!(
                (publish.complete, publish.lacking.len()),
                (complete, kept),
                "{room} {number}"
            );
        }
    }

    /// A message to a room, of this number.
    fn message(room: u32, number: u32, payload_bytes: usize) -> Vec<u8> {
        let stamp = Stamp {
            due_ns: 0,
            room,
            number,
        };
        format!("m{}", stamp.payload(payload_bytes)).into_bytes()
    }

    /// Two readers of one room, to whom four messages were published, get these numbers.
    fn heard(numbers: [&[u32]; 2]) -> Publish {
        let scenario = toml::from_str(
            "what = \"x\"\nload = \"publish\"\nconnections = 2\nrooms = 1\noutstanding = 4\nshows = []\n",
        );
        let (mut crowd, _listener) = Crowd::pretended(Dialect::Bare, 2);
        let mut publish = Publish::new(&scenario.unwrap());
        publish.due(&mut crowd);
        for (who, numbers) in numbers.into_iter().enumerate() {
            for number in numbers {
                let message = message(0, *number, publish.payload_bytes);
                let incoming = Dialect::Bare.understand(&message);
                publish.on_message(&mut crowd, who, incoming);
            }
        }
        publish
    }

    #[track_caller]
    fn check(numbers: [&[u32]; 2], operations: u64, disordered: u64, missing: u64) {
        let publish = heard(numbers);
        let tally = &publish.tally;
        assert_eq!(tally.refused, 0);
        assert_eq!(
            (tally.operations, tally.disordered, publish.missing()),
            (operations, disordered, missing)
        );
    }

    #[test]
    fn all_in_order_is_whole() {
        check([&[0, 1, 2, 3], &[0, 1, 2, 3]], 8, 0, 0);
    }

    #[test]
    fn a_duplicate_is_out_of_order_and_hides_no_loss() {
        check([&[0, 1, 1, 2, 3], &[0, 1, 2, 3]], 8, 1, 0);
        check([&[0, 1, 1, 2, 3], &[0, 1, 2]], 7, 1, 1);
        check([&[0, 0, 1, 2], &[0, 1, 2, 3]], 7, 1, 1);
    }

    #[test]
    fn of_a_swap_the_later_one_counts() {
        check([&[0, 2, 1, 3], &[0, 1, 2, 3]], 7, 1, 1);
    }

    #[test]
    fn a_gap_is_missing() {
        check([&[0, 2, 3], &[0, 1, 2, 3]], 7, 0, 1);
        check([&[], &[0, 1, 2, 3]], 4, 0, 4);
    }

    #[test]
    fn what_nobody_published_is_wrong() {
        let (mut crowd, _listener) = Crowd::pretended(Dialect::Bare, 1);
        let mut publish = heard([&[], &[]]);
        let bytes = publish.payload_bytes;
        let (of_another_room, short) = (message(1, 0, bytes), message(0, 0, bytes - 1));
        for message in [b"mx", &of_another_room[..], &short] {
            publish.on_message(&mut crowd, 0, Incoming::Message(message));
        }
        publish.on_message(&mut crowd, 0, Incoming::Answer(b"ex"));
        let counts = (publish.tally.disordered, publish.tally.refused);
        assert_eq!((counts, publish.missing()), ((3, 1), 8));
    }
}
