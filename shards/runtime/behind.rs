//! Connections that send what is long and in memory: they have their turn behind those that have messages, a few in a lap.
//!
//! One send of theirs is as much work of the kernel as a dozen messages. If all of them went on in each lap, laps would be long, and a room's members,
//! of whom a lap sends to so many and no more, would wait for many of them.

use crate::handler::Conn;
use std::collections::{BTreeSet, VecDeque};

/// Connections of the list that a lap sends to: of 64 KiB each they are a quarter of a millisecond.
pub(crate) const BEHIND_MAX: usize = 4;

/// The list, in which nobody stands twice.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    turns: VecDeque<Conn>,
    listed: BTreeSet<(u32, u32)>,
}

const fn place(conn: Conn) -> (u32, u32) {
    (conn.slot, conn.generation)
}

impl Behind {
    pub(crate) fn push(&mut self, conn: Conn) {
        if self.listed.insert(place(conn)) {
            self.turns.push_back(conn);
        }
    }

    /// Whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Conn> {
        let conn = self.turns.pop_front()?;
        self.listed.remove(&place(conn));
        Some(conn)
    }

    pub(crate) fn has(&self, conn: Conn) -> bool {
        !self.turns.is_empty() && self.listed.contains(&place(conn))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_turn_in_the_order_in_which_they_came() {
        let conn = |slot, generation| Conn { slot, generation };
        let mut behind = Behind::default();
        for conn in [conn(1, 1), conn(2, 1), conn(1, 1), conn(1, 2)] {
            behind.push(conn);
        }
        assert!(behind.has(conn(2, 1)) && !behind.has(conn(2, 2)));
        assert_eq!(behind.pop(), Some(conn(1, 1)));
        behind.push(conn(1, 1));
        let rest: Vec<Conn> = core::iter::from_fn(|| behind.pop()).collect();
        assert_eq!(rest, [conn(2, 1), conn(1, 2), conn(1, 1)]);
        assert!(behind.is_empty() && !behind.has(conn(1, 1)));
    }
}
