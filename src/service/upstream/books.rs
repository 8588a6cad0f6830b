//! What the exchange's books must say at any time, and what may be left in them when nobody is there. For the simulator and for nobody else.

use super::exchange::Exchange;
use super::joint::Joint;
use super::mail::ClientNumber;
use super::worker::{Worker, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

impl Exchange {
    /// Looks through the books.
    ///
    /// # Panics
    /// When they do not agree with each other: a bug of ours.
    pub(crate) fn audit(&self) {
        let mut loads: BTreeMap<WorkerId, u32> = BTreeMap::new();
        let mut stories: BTreeMap<WorkerId, usize> = BTreeMap::new();
        let mut waiting: BTreeSet<ClientNumber> = BTreeSet::new();
        for (number, client) in &self.clients {
            match client.worker {
                Some(id) if client.is_there() => {
                    *loads.entry(id).or_default() += 1;
                    *stories.entry(id).or_default() += client.stories().1;
                }
                Some(_) => {}
                None => drop(waiting.insert(*number)),
            }
        }
        for (id, worker) in &self.workers {
            let load = loads.remove(id).unwrap_or(0);
            assert_eq!(worker.load, load, "clients of {id:?}");
            let bytes = stories.remove(id).unwrap_or(0);
            assert_eq!(worker.backlog.bytes(), bytes, "stories for {id:?}");
        }
        assert!(loads.is_empty(), "clients of workers that are gone");
        let named: BTreeSet<ClientNumber> = self.waiting.iter().map(|(_, it)| *it).collect();
        assert_eq!(named.len(), self.waiting.len(), "each waits once");
        assert_eq!(named, waiting, "who waits has no worker");
    }

    /// What is left, by its name; to be empty when all clients are gone.
    pub(crate) fn leftovers(&self) -> Vec<(&'static str, usize)> {
        let turns = |worker: &Worker| worker.row.len() + worker.names_first.len();
        let rows = self.workers.values().map(turns).sum();
        let farewells = self.workers.values().map(|worker| worker.farewell_bytes);
        vec![
            ("clients of the exchange", self.clients.len()),
            ("clients that wait", self.waiting.len()),
            ("requests that wait", self.questioning.len()),
            ("turns at workers", rows),
            ("last words", farewells.sum()),
            ("broadcasts that wait for answers", self.gather.len()),
            ("clients that come back", self.recovery.entering.len()),
            ("questions for sessions", self.recovery.asks.len()),
        ]
    }
}

impl Joint {
    /// As [`Exchange::leftovers`], of a shard's own clients.
    pub(crate) fn leftovers(&self) -> Vec<(&'static str, usize)> {
        let links = self.exchange.as_ref();
        let mut all = links.map_or_else(Vec::new, |exchange| exchange.leftovers());
        let own = [
            ("clients of a shard", usize::from(!self.clients.is_empty())),
            ("bytes of sockets", self.clients.bytes() as usize),
            (
                "mail about clients that are gone",
                self.clients.unsaid.len(),
            ),
            ("calls without an answer", self.called.len()),
            ("sessions that end", self.ending.len()),
            ("clients that do not take enough", self.pressed.len()),
            ("clients that do not keep up", self.slow.len()),
            ("those that do again", self.eased.len()),
            ("mail without room", self.waiting_count()),
        ];
        all.extend(own);
        all
    }
}
