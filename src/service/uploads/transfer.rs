//! One request that changes an upload, or one thing that the daemon does to it by itself.

use super::UploadId;
use crate::refusal::Refusal;
use aws_lc_rs::digest;
use ringway_proto::tus::{Algorithm, Checksum};
use std::collections::VecDeque;

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A POST; perhaps with the first bytes.
    Create,
    /// A POST that puts parts together.
    Concatenate,
    /// A PATCH.
    Patch,
    /// A DELETE.
    Terminate,
    /// Everything is there but the final name: a HEAD, or the start after a crash, asks for it again.
    Finish,
    /// A HEAD behind a body that was cut: what came of that is not known to be safe yet. It locks nothing.
    Look,
    /// Its time is over.
    Expire,
}

/// What storage is at, or whom we wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the end of another transfer.
    Waiting,
    Creating,
    Mending,
    Receiving,
    Appending,
    /// The record that counts, instead of one that may be there, before the part is cut.
    Restoring,
    Truncating,
    Syncing,
    Recording,
    Finishing,
    Removing,
}

/// What did not work. The first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) u16, pub(super) Refusal);

/// A write that storage has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) sequence: u64,
    pub(super) end: u64,
    pub(super) is_done: bool,
}

/// Bytes that are made to last while others still come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checkpoint {
    pub(super) sequence: u64,
    pub(super) offset: u64,
    pub(super) is_synced: bool,
}

/// What a body has to come to.
pub(super) struct Sum {
    expected: Checksum,
    context: digest::Context,
}

impl Sum {
    pub(super) fn new(expected: Checksum) -> Self {
        let algorithm = match expected.algorithm {
            Algorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => &digest::SHA256,
        };
        Self {
            expected,
            context: digest::Context::new(algorithm),
        }
    }

    fn holds(self) -> bool {
        self.context.finish().as_ref() == self.expected.digest
    }
}

pub(super) struct Transfer {
    pub(super) upload: UploadId,
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    /// Whether somebody waits for the answer.
    pub(super) has_client: bool,
    /// Whether the daemon does it by itself, as one of so many at a time.
    pub(super) is_chore: bool,
    /// Whether a body follows the head.
    pub(super) has_body: bool,
    /// Where the body begins, where its next piece goes, and where it has to end.
    pub(super) start: u64,
    pub(super) next: u64,
    pub(super) limit: u64,
    /// What it brings counts against its user as it comes.
    pub(super) grows: bool,
    /// Everything before is written.
    pub(super) frontier: u64,
    /// The part was cut behind what counts, and that is not synced yet.
    pub(super) is_trimmed: bool,
    /// In the order of their offsets.
    pub(super) writes: VecDeque<Write>,
    pub(super) sum: Option<Sum>,
    pub(super) fault: Option<Fault>,
    /// No more of the body comes; it is whole unless it was cut.
    pub(super) has_ended: bool,
    pub(super) is_cut: bool,
    /// The length that this request says.
    pub(super) length: Option<u64>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// The want that the phase waits for.
    pub(super) pending: Option<u64>,
    pub(super) parts: Vec<(UploadId, u64)>,
    pub(super) parts_done: usize,
    sequences: u64,
}

impl Transfer {
    pub(super) const fn new(upload: UploadId, kind: Kind, phase: Phase, offset: u64) -> Self {
        Self {
            upload,
            kind,
            phase,
            has_client: true,
            is_chore: false,
            has_body: false,
            start: offset,
            next: offset,
            limit: offset,
            grows: false,
            frontier: offset,
            is_trimmed: false,
            writes: VecDeque::new(),
            sum: None,
            fault: None,
            has_ended: false,
            is_cut: false,
            length: None,
            checkpoint: None,
            pending: None,
            parts: Vec::new(),
            parts_done: 0,
            sequences: 0,
        }
    }

    /// Whether it puts parts together for a client that is gone, and will not hear what the whole is called.
    pub(super) fn is_left(&self) -> bool {
        self.kind == Kind::Concatenate && !self.has_client
    }

    pub(super) const fn sequence(&mut self) -> u64 {
        self.sequences += 1;
        self.sequences
    }

    /// A piece of the body came: where it goes, if it is to be written. What goes beyond the end is not, and is a fault.
    pub(super) fn take(&mut self, piece: &[u8]) -> Option<(u64, Write)> {
        if self.phase != Phase::Receiving || self.has_ended || self.fault.is_some() {
            return None;
        }
        let offset = self.next;
        let end = offset.checked_add(piece.len() as u64);
        let Some(end) = end.filter(|end| *end <= self.limit) else {
            self.fault = Some(Fault(413, Refusal::UploadTooLarge));
            return None;
        };
        if piece.is_empty() {
            return None;
        }
        if let Some(sum) = &mut self.sum {
            sum.context.update(piece);
        }
        self.next = end;
        let write = Write {
            sequence: self.sequence(),
            end,
            is_done: false,
        };
        self.writes.push_back(write);
        Some((offset, write))
    }

    /// A write is over. `false`: there is no such write.
    pub(super) fn written(&mut self, sequence: u64, fault: Option<Fault>) -> bool {
        let mut writes = self.writes.iter();
        let Some(index) = writes.position(|write| write.sequence == sequence) else {
            return false;
        };
        match fault {
            None => self.writes[index].is_done = true,
            // What lies behind a hole does not count, whatever becomes of it.
            Some(fault) => {
                self.fault.get_or_insert(fault);
                self.writes.remove(index);
                for write in self.writes.range_mut(index..) {
                    write.end = 0;
                }
            }
        }
        while let Some(write) = self.writes.front().filter(|write| write.is_done) {
            self.frontier = self.frontier.max(write.end);
            self.writes.pop_front();
        }
        true
    }

    /// How far the body counts, now that all of it is written: nothing of one whose checksum is wrong or cannot be known, and of one that is refused what
    /// was recorded before. Nor does what the head of a refused one said.
    pub(super) fn kept(&mut self, recorded: u64) -> u64 {
        if let Some(sum) = self.sum.take() {
            if self.is_cut || self.fault.is_some() {
                self.frontier = recorded;
            } else if !sum.holds() {
                self.fault = Some(Fault(460, Refusal::ChecksumMismatch));
            }
        }
        if self.is_refused() {
            self.length = None;
            self.frontier = recorded;
        }
        self.frontier
    }

    /// Whether the client is at fault, rather than storage.
    const fn is_refused(&self) -> bool {
        matches!(self.fault, Some(Fault(413 | 460, _)))
    }
}
