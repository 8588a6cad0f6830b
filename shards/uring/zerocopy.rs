//! Sends from slots without a copy (SEND_ZC): which are tried, and which slots the kernel still reads.
//!
//! A send without a copy has two completions. The first says how much went; from then on the connection may go on, but what it went from must stay as it
//! is, since the network card reads it, and reads it again if a segment was lost: until the peer has acknowledged it, and the second completion, the notice, comes. So that
//! nobody waits for a peer, the first completion brings another slot back than was sent from, taken from the arena with the submission; the slot itself is free with its notice. A
//! peer that never acknowledges keeps its slots for as long as TCP gives it, and so no more than a share of the arena is ever lent in this way.
//!
//! The notice also says whether the copy was avoided. Where it was not (loopback, a device without scatter and gather), it costs more than a send that
//! copies: it is tried again ever more rarely then, and one at a time.

use crate::driver::count_or_errno;
use ringway_io::{Errno, Key, Notices, SlotLease};

/// Below this the bookkeeping costs more than the copy of so many bytes.
const BYTES_MIN: u32 = 16 * 1024;
/// Of this many slots one may be with the kernel beyond its send.
const SHARE: usize = 4;
/// Sends that are made with a copy after one that did not avoid it: first, and at most.
const PAUSE_MIN: u32 = 16;
const PAUSE_MAX: u32 = 1 << 16;
/// IORING_NOTIF_USAGE_ZC_COPIED: the copy was not avoided.
const COPIED: u32 = 1 << 31;
/// IORING_SEND_ZC_REPORT_USAGE: the notice is to say so. Linux 6.2.
pub(crate) const REPORT_USAGE: u16 = 1 << 3;

/// A slot between the submission of its send and its notice.
enum Lent {
    /// The send has no completion yet; it brings the other slot back.
    Sending {
        key: Key,
        slot: SlotLease,
        other: SlotLease,
    },
    /// The notice is to come. It says something of the copy if anything went.
    Noticing { slot: SlotLease, went: bool },
}

/// What becomes of a completion.
pub(crate) enum Ended {
    /// The send ended.
    Sent {
        key: Key,
        /// For whoever made it.
        slot: SlotLease,
        /// For the arena: there is no notice.
        free: Option<SlotLease>,
        result: Result<u32, Errno>,
    },
    /// The kernel has let go of a slot.
    Free(SlotLease),
}

/// What this kernel, or this kind of socket, never sends without a copy is sent again with one: asked to come back, the connection finds the bytes in memory.
const fn count_or_again(result: i32) -> Result<u32, Errno> {
    match count_or_errno(result) {
        Err(Errno(libc::EINVAL | libc::EOPNOTSUPP)) => Err(Errno(libc::EAGAIN)),
        other => other,
    }
}

/// See the module. Slots have numbers below that of the arena's slots.
#[derive(Default)]
pub(crate) struct ZeroCopy {
    /// By slot; empty where nothing is ever sent without a copy.
    lent: Vec<Option<Lent>>,
    lent_count: usize,
    /// The last notice said that the copy was avoided.
    is_proven: bool,
    /// So many sends go with a copy before the next try.
    pause: u32,
    /// How many the next try that fails brings.
    pause_next: u32,
    notices: Notices,
}

impl ZeroCopy {
    /// For an arena of so many slots.
    pub(crate) fn new(slots: u16) -> Self {
        Self {
            lent: (0..slots).map(|_| None).collect(),
            pause_next: PAUSE_MIN,
            ..Self::default()
        }
    }

    /// What the notices said so far.
    pub(crate) const fn notices(&self) -> Notices {
        self.notices
    }

    /// Whether a send of so many bytes goes without a copy, if there is a slot to exchange.
    pub(crate) fn wants(&mut self, bytes: u32) -> bool {
        if bytes < BYTES_MIN || self.lent_count >= self.lent.len() / SHARE {
            return false;
        }
        if self.is_proven {
            return true;
        }
        let is_due = self.pause == 0 && self.lent_count == 0;
        self.pause = self.pause.saturating_sub(1);
        is_due
    }

    /// A send without a copy is submitted.
    ///
    /// # Panics
    /// When the kernel still has the slot.
    pub(crate) fn begin(&mut self, key: Key, slot: SlotLease, other: SlotLease) {
        let place = &mut self.lent[usize::from(slot.id())];
        assert!(place.is_none(), "the kernel has this slot");
        *place = Some(Lent::Sending { key, slot, other });
        self.lent_count += 1;
    }

    /// A completion of a send without a copy, or its notice.
    ///
    /// # Panics
    /// When it is neither: a send has one completion and then, if that says so, one notice.
    pub(crate) fn ended(&mut self, id: u16, result: i32, (is_notice, more): (bool, bool)) -> Ended {
        let place = &mut self.lent[usize::from(id)];
        match place.take().expect("the kernel has this slot") {
            Lent::Noticing { slot, went } if is_notice => {
                self.lent_count -= 1;
                if went {
                    self.notice(result);
                }
                Ended::Free(slot)
            }
            Lent::Sending { key, slot, other } if !is_notice => {
                let free = if more {
                    let went = result > 0;
                    *place = Some(Lent::Noticing { slot, went });
                    None
                } else {
                    self.lent_count -= 1;
                    Some(slot)
                };
                self.sent(key, (other, free), result)
            }
            _ => panic!("a completion and then a notice"),
        }
    }

    fn sent(
        &mut self,
        key: Key,
        (slot, free): (SlotLease, Option<SlotLease>),
        result: i32,
    ) -> Ended {
        if matches!(-result, libc::EINVAL | libc::EOPNOTSUPP) {
            self.give_up_for_now();
        }
        Ended::Sent {
            key,
            slot,
            free,
            result: count_or_again(result),
        }
    }

    fn notice(&mut self, result: i32) {
        if result as u32 & COPIED == 0 {
            self.notices.avoided += 1;
            self.is_proven = true;
            self.pause_next = PAUSE_MIN;
        } else {
            self.notices.copied += 1;
            self.give_up_for_now();
        }
    }

    const fn give_up_for_now(&mut self) {
        self.is_proven = false;
        self.pause = self.pause_next;
        self.pause_next = match self.pause_next.saturating_mul(2) {
            doubled if doubled < PAUSE_MAX => doubled,
            _ => PAUSE_MAX,
        };
    }
}

#[cfg(test)]
#[path = "zerocopy_tests.rs"]
mod tests;
