//! Connections that have something to send, and need not send it at once: it may go with what comes next.

use crate::handler::Conn;
use core::time::Duration;

/// The list: few connections are ever in it, those of applications.
#[derive(Debug, Default)]
pub(crate) struct Late {
    waiting: Vec<(Duration, Conn)>,
}

impl Late {
    /// Lists a connection, which is due at some time, once: the earlier time counts.
    pub(crate) fn push(&mut self, conn: Conn, at: Duration) {
        match self.waiting.iter_mut().find(|(_, listed)| *listed == conn) {
            Some((due, _)) => *due = at.min(*due),
            None => self.waiting.push((at, conn)),
        }
    }

    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    /// One that is due, which is listed no more.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<Conn> {
        let due = self.waiting.iter().position(|(at, _)| *at <= now)?;
        Some(self.waiting.swap_remove(due).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once_at_the_earliest_of_its_times() {
        let conn = |slot| Conn {
            slot,
            generation: 1,
        };
        let at = Duration::from_micros;
        let mut late = Late::default();
        for (slot, us) in [(1, 300), (2, 200), (1, 100), (2, 400)] {
            late.push(conn(slot), at(us));
        }
        assert_eq!(late.next(), Some(at(100)));
        assert_eq!(late.pop(at(99)), None);
        assert_eq!(late.pop(at(150)), Some(conn(1)));
        assert_eq!(late.pop(at(150)), None);
        assert_eq!(late.next(), Some(at(200)));
        assert_eq!(late.pop(at(500)), Some(conn(2)));
        assert_eq!((late.pop(at(500)), late.next()), (None, None));
    }
}
