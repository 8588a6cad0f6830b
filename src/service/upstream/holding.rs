//! Which links are read: those of workers that say most are paused first, then all; one whose worker has flooded is not read until it is tried again, and one that
//! has said much that moves sockets not until the shards have done it.
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
        self.count_held(now);
        let was = core::mem::replace(&mut self.hold, hold);
        if was == hold {
            return;
        }
        match hold {
            Hold::Nobody => {
                self.heavy.clear();
                self.flooders.clear();
            }
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
        self.count_held(now);
        if self.hold != Hold::Nobody {
            self.add_heavy(now);
            self.settle_links();
        }
    }

    fn add_heavy(&mut self, now: Now) {
        let workers = &self.workers;
        self.heavy.retain(|id| workers.contains_key(id));
        let is_there = |id: &WorkerId| workers.contains_key(id);
        let is_of_clients = self.pressure.is_of_clients();
        let heavy = self.shares.heavy(now.monotonic_us, is_of_clients, is_there);
        // Two that say as much flood as one does.
        let least = heavy.first().map_or(0, |(bytes, _)| bytes / 2);
        let flooders = heavy.iter().filter(|(bytes, _)| *bytes >= least);
        self.flooders = flooders.map(|(_, id)| *id).collect();
        for (_, id) in heavy {
            if !self.heavy.contains(&id) {
                self.heavy.push(id);
            }
        }
    }

    /// The time since the last look was one in which those had to wait who say most, if it says something of them.
    pub(super) fn count_held(&mut self, now: Now) {
        let now_us = now.monotonic_us;
        let us = now_us.saturating_sub(core::mem::replace(&mut self.held_looked_us, now_us));
        if self.hold == Hold::Nobody || !self.pressure.is_of_many() {
            return;
        }
        for id in &self.flooders {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.flood.hold(us);
            }
        }
    }

    /// A worker's frame of so many bytes became so much mail.
    pub(super) fn weigh(&mut self, now: Now, id: WorkerId, (bytes, mail_bytes): (u64, u64)) {
        self.shares.mailed(now.monotonic_us, id, mail_bytes);
        if let Some(worker) = self.workers.get_mut(&id).filter(|_| mail_bytes > 0) {
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
        let waits = self.behind_moves.waits(id);
        waits || is_heavy || worker.is_some_and(|worker| worker.standing.is_unread())
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
