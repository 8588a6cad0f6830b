//! Bodies of files that are encrypted where they are stored: a segment is read, proven, decrypted and sent, and the next one is read when it has gone. So a reader
//! costs no more than a segment, however slowly it reads, and of a range no segment is read that has nothing of it.
//!
//! It is done on the shard: a segment takes some 10 us, which is what handing it to another thread and back would cost.

use super::encoding::move_bytes;
use super::{FileAsk, Hub, Key, Output, Turn};
use crate::files::SealedFile;
use crate::uploads::SegmentAt;
use core::ops::Range;
use std::rc::Rc;

/// A body that is decrypted.
pub(super) struct Unsealing {
    sealed: Rc<SealedFile>,
    /// Bytes of the whole plaintext.
    bytes: u64,
    /// The segment that is being read.
    reading: Option<SegmentAt>,
    /// What was decrypted and does not go out yet.
    ready: Vec<u8>,
}

impl Unsealing {
    pub(super) const fn new(sealed: Rc<SealedFile>, bytes: u64) -> Self {
        Self {
            sealed,
            bytes,
            reading: None,
            ready: Vec::new(),
        }
    }

    /// What it may have in memory, beside what goes out: a segment.
    pub(super) const COST_BYTES: usize = 64 * 1024;

    /// Bytes that may go out.
    pub(super) const fn ready_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Whether a segment is being read.
    pub(super) const fn is_busy(&self) -> bool {
        self.reading.is_some()
    }

    /// Moves so many bytes to those that go out.
    pub(super) fn take(&mut self, count: usize, out: &mut Vec<u8>) {
        move_bytes(&mut self.ready, count, out);
    }

    /// What is to be read for the beginning of a range, unless there is something yet.
    fn next_read(&mut self, range: &Range<u64>) -> Option<FileAsk> {
        if self.is_busy() || !self.ready.is_empty() {
            return None;
        }
        let segment = self.sealed.reader.segment_at(range.start, self.bytes);
        let ask = FileAsk::Read {
            file: self.sealed.file.clone(),
            count: segment.sealed_bytes,
            offset: segment.place,
        };
        self.reading = Some(segment);
        Some(ask)
    }

    /// A segment was read, of which the range has some; whether it is what was written.
    fn read(&mut self, bytes: Option<Vec<u8>>, range: &Range<u64>) -> bool {
        let (Some(segment), Some(bytes)) = (self.reading.take(), bytes) else {
            return false;
        };
        let Some(mut text) = segment.open(&self.sealed.reader, bytes) else {
            return false;
        };
        let end = (range.end - segment.start).min(text.len() as u64);
        text.truncate(end as usize);
        text.drain(..(range.start - segment.start) as usize);
        self.ready = text;
        true
    }
}

impl Hub {
    /// Has the next segment read, once nothing goes out.
    pub(super) fn unseal_next(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        let is_idle = connection.busy().output.is_empty();
        let Some(sending) = self.files.bodies.sending(key).filter(|_| is_idle) else {
            return;
        };
        let next = sending.next_sealed();
        if let Some(ask) = next.and_then(|(unsealing, range)| unsealing.next_read(&range)) {
            let token = key.bits();
            turn.out.push(Output::File { token, ask });
        }
    }

    /// A segment came. One that is not what was written ends the connection: what went before it was right, and the client learns that there is no more.
    pub(super) fn sealed_read(&mut self, key: Key, bytes: Option<Vec<u8>>, turn: &mut Turn<'_>) {
        let Some(sending) = self.files.bodies.sending(key) else {
            return;
        };
        let Some((unsealing, range)) = sending.next_sealed() else {
            return;
        };
        let is_failed = bytes.is_none();
        if !unsealing.read(bytes, &range) {
            self.stats.file_seals_broken += u64::from(!is_failed);
            return self.close_now(key, turn);
        }
        self.push_body(key, Vec::new(), turn);
    }
}
