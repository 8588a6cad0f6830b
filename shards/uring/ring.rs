//! One io_uring: entries in, completions out, and how many operations the kernel still has.
//!
//! Deliberately absent: what an operation means, and the memory that it names (see `driver`).

use core::time::Duration;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use ringway_io::OpKind;
use std::collections::VecDeque;

/// IORING_ENTER_GETEVENTS: without it a ring with DEFER_TASKRUN delivers nothing (invariant 6).
const ENTER_GETEVENTS: u32 = 1;
/// user_data of the cancel that ends everything.
const CANCEL_ALL: u64 = 0xa3 << 56;
/// How often, and how long each time, [`Ring::drain`] waits for cancelled operations.
const DRAIN_ROUNDS: u32 = 100;
const DRAIN_ROUNDS_PER_CANCEL: u32 = 4;
const DRAIN_ROUND: Duration = Duration::from_millis(100);
/// The byte of user_data that tells the kind of operation.
pub(crate) const TOP_BYTE: u64 = 0xff << 56;
/// user_data of a send without a copy and of its notice, with the slot's number in the low bits.
pub(crate) const ZERO_COPY: u64 = 0xa6 << 56;
/// What a peer's MSG_RING posts here: a completion without an operation of ours.
const ARRIVE: u64 = (OpKind::Arrive as u64) << 56;

/// A send without a copy ended and its notice follows, or that came.
fn count_notice(entry: &cqueue::Entry, noticing: &mut u64) {
    if cqueue::more(entry.flags()) {
        *noticing += 1;
    } else if cqueue::notif(entry.flags()) {
        *noticing -= 1;
    }
}

/// The ring of the thread that enabled it.
pub(crate) struct Ring {
    io: IoUring,
    /// Completions that have left the queue and wait to be handled, in the kernel's order.
    completed: VecDeque<cqueue::Entry>,
    in_flight: u64,
    /// Those of them of which only the notice is to come, which it does when a peer wants it to.
    noticing: u64,
}

impl Ring {
    pub(crate) const fn new(io: IoUring) -> Self {
        Self {
            io,
            completed: VecDeque::new(),
            in_flight: 0,
            noticing: 0,
        }
    }

    /// For what is registered later.
    pub(crate) const fn io(&self) -> &IoUring {
        &self.io
    }

    /// Queues an entry; enters the kernel when the queue is full.
    ///
    /// # Safety
    /// All memory that `entry` names must stay valid, and unused by anyone else if the kernel writes it, until the entry's terminal completion
    /// was taken by [`Ring::next`] or [`Ring::drain`] said that nothing is in flight.
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry, user_data: u64) {
        let entry = entry.user_data(user_data);
        self.in_flight += 1;
        loop {
            // SAFETY: the caller holds what the entry names until its terminal completion.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return;
            }
            self.enter(false, None);
            // Between two full submission queues the completion queue is emptied, so that it never overflows (invariant 9).
            self.collect();
        }
    }

    /// Submits what is queued and runs what the kernel deferred; with `sleep`, waits for a completion or the timeout.
    pub(crate) fn enter(&mut self, sleep: bool, timeout: Option<Duration>) {
        let queued = self.io.submission().len() as u32;
        let result = match timeout {
            Some(timeout) if sleep => {
                let timeout = types::Timespec::from(timeout);
                let args = types::SubmitArgs::new().timespec(&timeout);
                // The crate adds GETEVENTS because a completion is wanted.
                self.io.submitter().submit_with_args(1, &args)
            }
            // SAFETY: no argument is passed, and the entries' memory is held as `push` demands.
            _ => unsafe {
                let want = u32::from(sleep);
                self.io
                    .submitter()
                    .enter::<()>(queued, want, ENTER_GETEVENTS, None)
            },
        };
        if let Err(error) = result {
            // Invariant 8: these are back-pressure, and what was not submitted stays queued.
            let expected = [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN];
            let errno = error.raw_os_error();
            assert!(
                expected.map(Some).contains(&errno),
                "io_uring_enter refused what it had taken before: {error}"
            );
        }
    }

    /// Whether the kernel may hold more to run than its last call did. What was added while that ran leaves its mark, also when it ran, too.
    pub(crate) fn has_deferred(&mut self) -> bool {
        self.io.submission().taskrun()
    }

    /// Moves completions out of the kernel's queue.
    pub(crate) fn collect(&mut self) {
        let queue = self.io.completion();
        assert_eq!(queue.overflow(), 0, "a completion was lost (invariant 9)");
        for entry in queue {
            if entry.user_data() & TOP_BYTE != ARRIVE && !cqueue::more(entry.flags()) {
                assert!(self.in_flight > 0, "a completion without an operation");
                self.in_flight -= 1;
            }
            if entry.user_data() & TOP_BYTE == ZERO_COPY {
                count_notice(&entry, &mut self.noticing);
            }
            self.completed.push_back(entry);
        }
    }

    /// The next completion to handle. Handling may push, which collects more: they queue up behind.
    pub(crate) fn next(&mut self) -> Option<cqueue::Entry> {
        self.completed.pop_front()
    }

    /// Cancels everything and waits for the last completions, which `abandon` sees. Says whether the kernel has let go of all memory: it has, unless it is broken or
    /// reads what a peer has not acknowledged, which is not waited for.
    pub(crate) fn drain(&mut self, abandon: impl Fn(&cqueue::Entry)) -> bool {
        for round in 0..DRAIN_ROUNDS {
            // More than once, because the kernel does not find an operation that it is about to try again; not each time, because the cancel's
            // own completion ends the wait.
            if round % DRAIN_ROUNDS_PER_CANCEL == 0 {
                let cancel = opcode::AsyncCancel2::new(types::CancelBuilder::any().all());
                // SAFETY: a cancel names no memory.
                unsafe { self.push(cancel.build(), CANCEL_ALL) };
            }
            self.enter(true, Some(DRAIN_ROUND));
            self.collect();
            self.completed.drain(..).for_each(|entry| abandon(&entry));
            if self.in_flight == self.noticing {
                return self.noticing == 0;
            }
        }
        false
    }
}
