//! Which links are read: those of workers that say most are paused first, then all; and one whose worker has flooded is not read until it is tried again.
//!
//! Deliberately absent: when anybody is to wait (`pressure`), and who has said how much (`shares`).

use super::exchange::{Exchange, Order};
use super::pressure::Hold;
use super::worker::WorkerId;
use crate::time::Now;

impl Exchange {
    /// Which links are not to be read for the sake of clients.
    pub(crate) fn holds_back(&mut self, now: Now) -> Hold {
        self.pressure.holds(now.monotonic_us)
    }

    /// Clients and other shards can follow again, or cannot: links are read, or not.
    pub(crate) fn set_hold(&mut self, now: Now, hold: Hold) {
        let was = core::mem::replace(&mut self.hold, hold);
        if was == hold {
            return;
        }
        match hold {
            Hold::Nobody => self.heavy.clear(),
            Hold::Heaviest if was == Hold::Nobody => self.stats.heaviest_pauses += 1,
            Hold::Heaviest => {}
            Hold::All => self.stats.links_pauses += 1,
        }
        if was == Hold::Nobody {
            self.add_heavy(now);
        }
        self.settle_links();
    }

    /// As long as that lasts: who says most by now waits, too. Nobody goes on before it is over.
    pub(super) fn hold_on(&mut self, now: Now) {
        if self.hold != Hold::Nobody {
            self.add_heavy(now);
            self.settle_links();
        }
    }

    fn add_heavy(&mut self, now: Now) {
        let workers = &self.workers;
        self.heavy.retain(|id| workers.contains_key(id));
        let is_there = |id: &WorkerId| workers.contains_key(id);
        for id in self.shares.heavy(now.monotonic_us, is_there) {
            if !self.heavy.contains(&id) {
                self.heavy.push(id);
            }
        }
        let heaviest = self.heavy.first().and_then(|id| self.workers.get_mut(id));
        heaviest.into_iter().for_each(|worker| worker.flood.hold());
    }

    /// A worker's frame became so much mail.
    pub(super) fn weigh(&mut self, now: Now, id: WorkerId, bytes: u64) {
        self.shares.mailed(now.monotonic_us, id, bytes);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.flood.said(bytes);
        }
        // There was pressure, and nobody who had said anything.
        if self.hold == Hold::Heaviest && self.heavy.is_empty() {
            self.add_heavy(now);
            self.settle_links();
        }
    }

    fn is_unread(&self, worker: Option<WorkerId>) -> bool {
        let Some(id) = worker else {
            return false;
        };
        let is_heavy = self.hold == Hold::Heaviest && self.heavy.contains(&id);
        let worker = self.workers.get(&id);
        is_heavy || worker.is_some_and(|worker| worker.standing.is_unread())
    }

    /// Reads those links that are to be read, and no others.
    pub(super) fn settle_links(&mut self) {
        let is_unread = |worker| self.hold == Hold::All || self.is_unread(worker);
        let links = self.links.iter();
        let changed: Vec<_> = links
            .map(|(conn, link)| (*conn, link.is_paused(), is_unread(link.worker())))
            .filter(|(_, is_paused, is_unread)| is_paused != is_unread)
            .map(|(conn, _, is_unread)| (conn, is_unread))
            .collect();
        for (conn, is_unread) in changed {
            if let Some(link) = self.links.get_mut(&conn) {
                link.pause(is_unread);
            }
            self.orders.push(match is_unread {
                true => Order::Pause(conn),
                false => Order::Resume(conn),
            });
        }
    }
}
