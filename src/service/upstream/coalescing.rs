//! When a worker is sent what its clients say: at once, or with what comes next.
//!
//! A Node process pays more for being woken than for the event that it is woken for. One that many clients speak to at once is sent what they say in
//! batches, as a network card interrupts its host; whoever is alone is never waited for.

use super::mail::ClientNumber;

/// By how much time's events it is judged whether there are many: 1,024 us.
const SPAN_BITS: u32 = 10;
/// So many in it, and by so many clients, are many.
const EVENTS_MIN: u32 = 12;
const CLIENTS_MIN: u32 = 8;
/// So much goes at once.
const BYTES_MAX: usize = 64 << 10;

/// The pace of one link.
#[derive(Debug, Default)]
pub(super) struct Coalescing {
    /// The last span in which something was said, and what was said in it.
    span: u64,
    events: u32,
    /// A bit for each client, by its number: some share one.
    clients: u64,
    /// Whether the span before it had many.
    has_many: bool,
    /// When the worker was sent something last.
    sent_us: u64,
    is_waiting: bool,
}

/// What becomes of something that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Now,
    /// It goes at that time, unless something takes it along before.
    At(u64),
    /// It goes with what waits already.
    Waits,
}

impl Coalescing {
    /// A client says something.
    pub(super) const fn hear(&mut self, now_us: u64, client: ClientNumber) {
        let span = now_us >> SPAN_BITS;
        if span != self.span {
            let had_many = self.events >= EVENTS_MIN && self.clients.count_ones() >= CLIENTS_MIN;
            self.has_many = had_many && span == self.span + 1;
            (self.span, self.events, self.clients) = (span, 0, 0);
        }
        self.events += 1;
        self.clients |= 1 << (client.0 % u64::BITS as u64);
    }

    /// When what waits is to be sent, of so many bytes. `wait_us`: nothing is sent sooner behind the last that was.
    pub(super) fn pace(&mut self, now_us: u64, wait_us: u32, bytes: usize) -> Pace {
        let due_us = self.sent_us + u64::from(wait_us);
        if !self.has_many || now_us >= due_us || bytes >= BYTES_MAX {
            return Pace::Now;
        }
        match core::mem::replace(&mut self.is_waiting, true) {
            true => Pace::Waits,
            false => Pace::At(due_us),
        }
    }

    /// All that waited is sent.
    pub(super) const fn sent(&mut self, now_us: u64) {
        self.sent_us = now_us;
        self.is_waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of so many clients, one behind the other, each so long behind the one before; what waits is sent in time. Gives how often something was sent,
    /// and how long an event waited at most.
    fn say(events: u64, clients: u64, every_us: u64) -> (u64, u64) {
        let mut coalescing = Coalescing::default();
        let (mut sent, mut waited_us, mut oldest_us, mut due_us) = (0, 0, None, None);
        for event in 0..events {
            let now_us = 1_000_000 + event * every_us;
            if let Some(at_us) = due_us.filter(|at_us| *at_us <= now_us) {
                waited_us = waited_us.max(at_us - oldest_us.take().unwrap());
                coalescing.sent(at_us);
                (sent, due_us) = (sent + 1, None);
            }
            coalescing.hear(now_us, ClientNumber(event % clients));
            oldest_us = oldest_us.or(Some(now_us));
            match coalescing.pace(now_us, 200, 100) {
                Pace::Now => {
                    coalescing.sent(now_us);
                    (sent, oldest_us, due_us) = (sent + 1, None, None);
                }
                Pace::At(at_us) => due_us = Some(at_us),
                Pace::Waits => assert!(due_us.is_some(), "nobody would send it"),
            }
        }
        (sent, waited_us)
    }

    #[test]
    fn what_many_clients_say_goes_in_batches_and_none_waits_longer_than_it_is_said_to() {
        let (sent, waited_us) = say(20_000, 64, 50);
        assert!((4_900..5_200).contains(&sent), "{sent}");
        assert!(waited_us <= 200, "{waited_us}");
    }

    #[test]
    fn what_few_say_or_what_is_said_now_and_then_goes_at_once() {
        assert_eq!(say(10_000, 7, 50), (10_000, 0), "few clients");
        assert_eq!(say(10_000, 64, 100), (10_000, 0), "few events");
    }

    #[test]
    fn it_begins_and_ends_with_the_load_and_much_does_not_wait() {
        let mut coalescing = Coalescing::default();
        for event in 0..64 {
            coalescing.hear(1_024 + event, ClientNumber(event));
        }
        coalescing.sent(2_048);
        assert_eq!(coalescing.pace(2_048, 200, 100), Pace::Now, "not yet");
        coalescing.hear(2_050, ClientNumber(1));
        assert_eq!(coalescing.pace(2_050, 0, 100), Pace::Now, "never");
        assert_eq!(coalescing.pace(2_050, 200, BYTES_MAX), Pace::Now);
        assert_eq!(coalescing.pace(2_050, 200, 100), Pace::At(2_248));
        assert_eq!(coalescing.pace(2_060, 200, 100), Pace::Waits);
        coalescing.hear(3_072, ClientNumber(1));
        assert_eq!(coalescing.pace(3_072, 200, 100), Pace::Now, "it is over");
    }
}
