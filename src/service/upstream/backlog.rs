//! How much waits for a worker of what became of its sockets, by client.
//!
//! Deliberately absent: what becomes of a client of which too much waits (`moved`).

use super::mail::ClientNumber;
use std::collections::{BTreeSet, HashMap};

/// What it is counted with, of those clients of which there is any.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: usize,
    of: HashMap<ClientNumber, usize>,
    by_bytes: BTreeSet<(usize, ClientNumber)>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// So much waits of the client by now.
    pub(super) fn set(&mut self, client: ClientNumber, bytes: usize) {
        let was = match bytes {
            0 => self.of.remove(&client),
            _ => self.of.insert(client, bytes),
        };
        let was = was.unwrap_or(0);
        if was != bytes {
            self.by_bytes.remove(&(was, client));
            self.by_bytes.extend((bytes > 0).then_some((bytes, client)));
            self.bytes = self.bytes - was + bytes;
        }
    }

    /// Of which most waits.
    pub(super) fn largest(&self) -> Option<ClientNumber> {
        self.by_bytes.last().map(|(_, client)| *client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_of_whom_most_waits_and_what_waits_of_all() {
        let mut backlog = Backlog::default();
        let client = ClientNumber;
        for (number, bytes, largest, all) in [
            (1, 100, Some(1), 100),
            (2, 300, Some(2), 400),
            (1, 400, Some(1), 700),
            (1, 400, Some(1), 700),
            (1, 0, Some(2), 300),
            (1, 0, Some(2), 300),
            (2, 50, Some(2), 50),
            (2, 0, None, 0),
        ] {
            backlog.set(client(number), bytes);
            assert_eq!(
                (backlog.largest(), backlog.bytes()),
                (largest.map(client), all)
            );
        }
        assert!(backlog.is_empty());
    }
}
