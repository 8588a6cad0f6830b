//! Who has which private id now: a client that comes back may be heard of before the end of the connection that it had, as the two are on shards of their own.
//!
//! Deliberately absent: sockets whose clients are known to be gone (`sessions`).

use super::mail::{ClientNumber, SpaceId};
use super::recovery::spaces_of;
use super::sessions::Place;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Sockets that are known. Beyond, a client whose end is overtaken starts anew.
const LIVING_MAX: usize = 262_144;

/// Sockets with a private id whose clients are there, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Living {
    pids: BTreeMap<(ClientNumber, SpaceId), Rc<str>>,
    holders: BTreeMap<Place, ClientNumber>,
}

impl Living {
    /// The client has the id from now on, and nobody else does.
    pub(super) fn insert(&mut self, (client, space): (ClientNumber, SpaceId), pid: &str) {
        self.remove((client, space));
        let place = (space, Rc::from(pid));
        if let Some(before) = self.holders.remove(&place) {
            self.pids.remove(&(before, space));
        }
        if self.pids.len() < LIVING_MAX {
            self.pids.insert((client, space), Rc::clone(&place.1));
            self.holders.insert(place, client);
        }
    }

    /// The client has no socket in the namespace any more. Gives the id that it had.
    pub(super) fn remove(&mut self, (client, space): (ClientNumber, SpaceId)) -> Option<Rc<str>> {
        let pid = self.pids.remove(&(client, space))?;
        self.holders.remove(&(space, Rc::clone(&pid)));
        Some(pid)
    }

    /// The client is gone. Gives what it had.
    pub(super) fn remove_all(&mut self, client: ClientNumber) -> Vec<Place> {
        let pids = self.pids.range(spaces_of(client));
        let had: Vec<(ClientNumber, SpaceId)> = pids.map(|(at, _)| *at).collect();
        let places = had.into_iter();
        places
            .filter_map(|at| Some((at.1, self.remove(at)?)))
            .collect()
    }

    /// Whether a client other than this one has the id.
    pub(super) fn is_of_another(&self, place: &Place, client: ClientNumber) -> bool {
        self.holders
            .get(place)
            .is_some_and(|holder| *holder != client)
    }

    pub(super) fn has(&self, place: &Place) -> bool {
        self.holders.contains_key(place)
    }

    /// Nobody has the namespace any more.
    pub(super) fn retire(&mut self, space: SpaceId) {
        self.pids.retain(|at, _| at.1 != space);
        self.holders.retain(|place, _| place.0 != space);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId(7);
    const OTHER: SpaceId = SpaceId(8);

    fn place(pid: &str) -> Place {
        (SPACE, pid.into())
    }

    fn is_empty(living: &Living) -> bool {
        living.pids.is_empty() && living.holders.is_empty()
    }

    #[test]
    fn an_id_has_one_client_and_a_client_one_id() {
        let mut living = Living::default();
        let [one, two] = [1, 2].map(ClientNumber);
        living.insert((one, SPACE), "p");
        assert!(living.is_of_another(&place("p"), two));
        assert!(!living.is_of_another(&place("p"), one));
        assert!(!living.is_of_another(&place("q"), two));
        living.insert((two, SPACE), "p");
        assert!(living.is_of_another(&place("p"), one));
        assert_eq!(living.remove((one, SPACE)), None);
        living.insert((two, SPACE), "q");
        assert!(!living.has(&place("p")) && living.has(&place("q")));
        assert_eq!(living.remove((two, SPACE)).as_deref(), Some("q"));
        assert!(is_empty(&living));
    }

    #[test]
    fn clients_and_namespaces_that_go_leave_nothing() {
        let mut living = Living::default();
        let [one, two] = [1, 2].map(ClientNumber);
        living.insert((one, SPACE), "p");
        living.insert((one, OTHER), "p");
        living.insert((two, SPACE), "q");
        assert_eq!(living.remove_all(one), [place("p"), (OTHER, Rc::from("p"))]);
        living.retire(OTHER);
        assert!(living.has(&place("q")));
        living.retire(SPACE);
        assert!(is_empty(&living));
    }

    #[test]
    fn more_than_the_bound_are_not_known() {
        let mut living = Living::default();
        for number in 0..=LIVING_MAX as u64 {
            living.insert((ClientNumber(number), SPACE), &number.to_string());
        }
        assert_eq!(living.pids.len(), LIVING_MAX);
        assert_eq!(living.holders.len(), LIVING_MAX);
        living.insert((ClientNumber(0), SPACE), "again");
        assert!(living.has(&place("again")), "in its own place");
    }
}
