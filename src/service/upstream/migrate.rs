//! Clients that go from a worker which wants to leave to others, one after the other, with what it knows of them by then.
//!
//! Deliberately absent: what is said of a client to its next worker, which its shard knows (RESUME).

use super::deal::Leaving;
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::ClientNumber;
use super::worker::{Going, WorkerId};
use crate::time::{ConnId, Now};
use std::collections::{HashSet, VecDeque};

/// How long a worker may take to hand a client over. Then it is taken from it: it waits for an answer, too.
const HAND_OVER_US: u64 = 10_000_000;
/// A second has so many steps; what one did not use is for the next ones, up to a step and a client.
const STEPS_PER_SECOND: u64 = 10;
/// Of a client.
const TOKEN: u64 = 1_000_000;

/// The pace at which clients move.
#[derive(Debug, Default)]
pub(super) struct Pace {
    tokens: u64,
    since_us: u64,
}

impl Pace {
    fn refill(&mut self, now_us: u64, per_second: u32) {
        let rate = u64::from(per_second);
        let passed_us = (now_us - self.since_us).min(1_000_000);
        let most = TOKEN + TOKEN * rate / STEPS_PER_SECOND;
        self.tokens = (self.tokens + passed_us * rate).min(most);
        self.since_us = now_us;
    }

    const fn take(&mut self) -> bool {
        let has_one = self.tokens >= TOKEN;
        if has_one {
            self.tokens -= TOKEN;
        }
        has_one
    }
}

/// A worker's leave.
#[derive(Debug, Default)]
pub(super) struct Departure {
    /// Clients that it still has, and that were not asked for.
    left: VecDeque<ClientNumber>,
    /// Those that were, and since when, the oldest first.
    asked: VecDeque<(u64, ClientNumber)>,
    by_us: u64,
    /// The link on which it was said.
    link: Option<ConnId>,
}

impl Exchange {
    /// A worker wants to leave, and its clients to go to others before.
    pub(super) fn depart(&mut self, id: WorkerId, deadline_ms: u32) {
        let by_us = self.breaker.looked_us + u64::from(deadline_ms) * 1000;
        let worker = self.worker_mut(id);
        let link = worker.link;
        let is_said = worker.going == Some(Going::Migrate) && worker.departure.link == link;
        if is_said && worker.departure.by_us > 0 {
            // Said again and again it is to cost nothing. To whom was said that there is no other worker, there may be one by now.
            worker.departure.by_us = by_us;
            return;
        }
        // Said again behind a link that was cut, it may be heard twice: those that were asked for are on their way.
        let asked = core::mem::take(&mut self.worker_mut(id).departure.asked);
        let on_their_way: HashSet<ClientNumber> = asked.iter().map(|(_, number)| *number).collect();
        self.worker_mut(id).going = Some(Going::Migrate);
        let (left, by_us) = match self.has_sound_worker(self.app_of(id)) {
            true => {
                let mut left = self.clients_of(id);
                left.retain(|number| !on_their_way.contains(number));
                (left.into(), by_us)
            }
            false => (VecDeque::new(), 0),
        };
        let departure = Departure {
            left,
            asked,
            by_us,
            link,
        };
        if departure.by_us == 0 {
            self.tell_nobody_else(id);
        }
        self.worker_mut(id).departure = departure;
    }

    /// There is no other worker: its clients wait for the next one when it goes.
    fn tell_nobody_else(&mut self, id: WorkerId) {
        let conn = self.worker_mut(id).link;
        if let Some(link) = conn.and_then(|conn| self.link_mut(conn)) {
            link.owe_keep("there is no other worker");
            self.orders.extend(conn.map(super::Order::Dirty));
        }
    }

    /// Now and then: those move whose turn it is.
    pub(super) fn migrate(&mut self, now: Now) {
        self.pace
            .refill(now.monotonic_us, self.settings.migrations_per_second);
        let departs = |id: &WorkerId| self.workers[id].going == Some(Going::Migrate);
        let ids: Vec<WorkerId> = self.workers.keys().copied().filter(departs).collect();
        for id in ids {
            self.take_back(now, id);
            self.ask_some(now, id);
        }
    }

    fn ask_some(&mut self, now: Now, id: WorkerId) {
        if now.monotonic_us >= self.worker_mut(id).departure.by_us {
            self.worker_mut(id).departure.left.clear();
        }
        // Each is looked at once: those that cannot go now come behind the others.
        for _ in 0..self.worker_mut(id).departure.left.len() {
            if !self.has_sound_worker(self.app_of(id)) || self.worker_mut(id).link.is_none() {
                return;
            }
            let Some(number) = self.worker_mut(id).departure.left.pop_front() else {
                return;
            };
            match self.may_leave(id, number) {
                None => {}
                Some(true) if self.pace.take() => self.ask(now, id, number),
                Some(may_leave) => {
                    let left = &mut self.worker_mut(id).departure.left;
                    if may_leave {
                        // It is the pace that says no.
                        return left.push_front(number);
                    }
                    left.push_back(number);
                }
            }
        }
    }

    /// `None`: the worker does not have it any more. A packet goes whole to one worker.
    fn may_leave(&self, id: WorkerId, number: ClientNumber) -> Option<bool> {
        let client = self.clients.get(&number)?;
        let is_here = client.worker == Some(id) && !client.is_gone;
        is_here.then(|| client.may_leave())
    }

    fn ask(&mut self, now: Now, id: WorkerId, number: ClientNumber) {
        let since_us = now.monotonic_us;
        let asked = &mut self.worker_mut(id).departure.asked;
        asked.push_back((since_us, number));
        let client = self.clients.get_mut(&number);
        client.expect("it was just found").ask_to_leave();
        self.stand_in_row(number);
    }

    /// A worker says that it has let go of a client.
    pub(super) fn handed_over(&mut self, id: WorkerId, number: ClientNumber) -> Result<(), Fault> {
        let client = self.clients.get(&number);
        match client.filter(|client| client.worker == Some(id) && !client.is_gone) {
            Some(client) if client.leaving == Leaving::Away => self.move_on(id, number),
            Some(_) => return Err(Fault::Turn("MIGRATE_OUT")),
            // It has left altogether, or was taken back.
            None => self.stats.frames_stale += 1,
        }
        Ok(())
    }

    /// Those for whom the worker takes too long go without its last words.
    fn take_back(&mut self, now: Now, id: WorkerId) {
        while let Some((since_us, number)) = self.worker_mut(id).departure.asked.front().copied() {
            if now.monotonic_us < since_us + HAND_OVER_US {
                return;
            }
            self.worker_mut(id).departure.asked.pop_front();
            let client = self.clients.get(&number);
            let is_away = |client: &&super::deal::Client| {
                client.worker == Some(id) && client.leaving == Leaving::Away && !client.is_gone
            };
            if client.filter(is_away).is_some() {
                self.move_on(id, number);
            }
        }
    }

    /// The client waits for its next worker, and is asked to say who it is.
    fn move_on(&mut self, id: WorkerId, number: ClientNumber) {
        let since_us = self.breaker.looked_us;
        let client = self.clients.get_mut(&number);
        client.expect("it was just found").move_on(since_us);
        let worker = self.worker_mut(id);
        worker.load -= 1;
        worker.standing.connects.forget(number);
        worker.backlog.set(number, 0);
        self.waiting.insert((since_us, number));
        self.stats.clients_migrated += 1;
        self.call(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go within a second of steps.
    fn count(pace: &mut Pace, now_us: &mut u64, per_second: u32) -> usize {
        let steps = (0..STEPS_PER_SECOND).map(|_| {
            *now_us += 1_000_000 / STEPS_PER_SECOND;
            pace.refill(*now_us, per_second);
            core::iter::from_fn(|| pace.take().then_some(())).count()
        });
        steps.sum()
    }

    #[test]
    fn a_pace_is_kept_whatever_it_is() {
        for per_second in [1_u32, 7, 10, 200, 100_000] {
            let (mut pace, mut now_us) = (Pace::default(), 0);
            let total: usize = (0..10)
                .map(|_| count(&mut pace, &mut now_us, per_second))
                .sum();
            assert_eq!(total, per_second as usize * 10);
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let (mut pace, mut now_us) = (Pace::default(), 3_600_000_000);
        let total = count(&mut pace, &mut now_us, 100);
        assert!(total <= 120, "{total}");
    }
}
