//! CONNECTs that a worker was sent and has not answered: one that lets nobody in, and refuses nobody, serves nobody, however well it deals with frames.
//!
//! A client that it takes over, and has not said to be back, is one of them. Deliberately absent: what becomes of such a worker (`mend`), and CONNECTs of an
//! application with a parser of its own, which nobody here can read.

use super::exchange::Exchange;
use super::mail::ClientNumber;
use super::worker::WorkerId;
use ringway_proto::link::{Flags, Frame, Kind, Raw};
use std::collections::BTreeMap;

/// A client that waits to be let in.
#[derive(Clone, Copy, Debug)]
struct Asked {
    since_us: u64,
    /// How many the worker had answered by then.
    answers_before: u64,
}

/// What a worker was sent, and what it has said of that.
#[derive(Debug, Default)]
pub(super) struct Connects {
    open: BTreeMap<ClientNumber, Asked>,
    answers: u64,
    /// When it failed last by that.
    failed_us: u64,
    /// How often it did since its last answer.
    failures: u32,
}

impl Connects {
    pub(super) fn ask(&mut self, now_us: u64, client: ClientNumber) {
        let answers_before = self.answers;
        self.open.entry(client).or_insert(Asked {
            since_us: now_us,
            answers_before,
        });
    }

    /// The client is let in, or is refused. How many failures that takes back: the worker was slow, and did answer.
    pub(super) fn answer(&mut self, client: ClientNumber) -> u32 {
        self.open.remove(&client);
        self.answers += 1;
        core::mem::take(&mut self.failures)
    }

    /// The client is gone.
    pub(super) fn forget(&mut self, client: ClientNumber) {
        self.open.remove(&client);
    }

    /// What a daemon that did not read sees is no sign of anything.
    pub(super) fn forgive(&mut self, now_us: u64) {
        self.open
            .values_mut()
            .for_each(|asked| asked.since_us = now_us);
    }

    pub(super) const fn answers(&self) -> u64 {
        self.answers
    }

    /// Whether a client has waited for so long while the worker answered nobody. Not one client, whose request may be why, but each; and once in that time, so
    /// that many who come at once are one failure of a worker that is slow.
    pub(super) fn fails(&mut self, now_us: u64, within_us: u64) -> bool {
        let is_late = |asked: &Asked| {
            asked.answers_before == self.answers && now_us >= asked.since_us + within_us
        };
        let is_again = self.failures > 0 && now_us < self.failed_us + within_us;
        if is_again || !self.open.values().any(is_late) {
            return false;
        }
        self.failed_us = now_us;
        self.failures += 1;
        true
    }

    /// The worker closes the client. That is an answer as long as it may think about one; behind that it is the end of the client's patience, or of its own.
    fn is_answer(&self, now_us: u64, client: ClientNumber, within_us: u64) -> bool {
        let asked = self.open.get(&client);
        asked.is_some_and(|asked| now_us < asked.since_us + within_us)
    }
}

/// Whether it is a CONNECT, in frames that can be read.
pub(super) fn is_connect(kind: Kind, flags: Flags, body: &[u8]) -> bool {
    kind == Kind::Data && !flags.contains(Flags::BINARY) && body.first() == Some(&b'0')
}

impl Exchange {
    /// A worker's frame was obeyed: perhaps it says what becomes of a CONNECT.
    pub(super) fn note_connects(&mut self, id: WorkerId, raw: &Raw<'_>, frame: &Frame<'_>) {
        let client = ClientNumber(raw.conn);
        let is_answer = match frame {
            Frame::Member { .. } | Frame::Hold { on: false } => true,
            // CONNECT_ERROR.
            Frame::Send { .. } => {
                !raw.flags.contains(Flags::BINARY) && raw.body.first() == Some(&b'4')
            }
            Frame::CloseConn {} => {
                let (now_us, within_us) = (self.recovery.now_us, self.breaker.stall_us());
                let worker = self.workers.get(&id);
                worker.is_some_and(|worker| {
                    let connects = &worker.standing.connects;
                    connects.is_answer(now_us, client, within_us)
                })
            }
            _ => false,
        };
        if let Some(worker) = self.workers.get_mut(&id).filter(|_| is_answer) {
            let standing = &mut worker.standing;
            let failures = standing.connects.answer(client);
            self.breaker.forgive(&standing.kin, failures);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: u64 = 10_000_000;

    const fn client(number: u64) -> ClientNumber {
        ClientNumber::new(0, number)
    }

    #[test]
    fn many_who_wait_are_one_failure_each_time() {
        let mut connects = Connects::default();
        (0..100).for_each(|number| connects.ask(number, client(number)));
        assert!(!connects.fails(TEN - 1, TEN));
        assert!(connects.fails(TEN, TEN));
        assert!(!connects.fails(TEN + 1_000, TEN));
        assert!(connects.fails(2 * TEN, TEN));
        assert_eq!(connects.answer(client(7)), 2, "it was slow");
        assert!(!connects.fails(4 * TEN, TEN), "they are not why");
    }

    #[test]
    fn whoever_leaves_is_not_waited_for() {
        let mut connects = Connects::default();
        connects.ask(0, client(1));
        connects.forget(client(1));
        assert!(!connects.fails(TEN, TEN));
        connects.ask(0, client(2));
        connects.forgive(TEN);
        assert!(!connects.fails(TEN, TEN));
        assert!(connects.fails(2 * TEN, TEN));
    }

    #[test]
    fn a_close_is_an_answer_in_time() {
        let mut connects = Connects::default();
        connects.ask(0, client(1));
        assert!(connects.is_answer(TEN - 1, client(1), TEN));
        assert!(!connects.is_answer(TEN, client(1), TEN));
        assert!(!connects.is_answer(1, client(2), TEN));
    }
}
