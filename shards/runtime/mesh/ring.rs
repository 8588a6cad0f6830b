//! A ring of messages: each a length, an owner and bytes.

use rtrb::{Consumer, Producer, RingBuffer};

/// Length (four bytes) and owner.
pub(super) const HEAD_BYTES: usize = 5;
/// In place of a length: the message is the next of the lane.
const IN_LANE: u32 = u32::MAX;
/// Long messages that may wait in a lane.
const LANE_MESSAGES: usize = 8;

/// The sender's end.
pub(super) struct RingOut {
    bytes: Producer<u8>,
    lane: Producer<Box<[u8]>>,
    spent: Consumer<Box<[u8]>>,
    /// Blocks that are in the lane or on their way back.
    lent: usize,
    /// Ring bytes written since the last mark.
    since_mark: usize,
    inline_max: usize,
}

/// The receiver's end.
pub(super) struct RingIn {
    bytes: Consumer<u8>,
    lane: Consumer<Box<[u8]>>,
    spent: Producer<Box<[u8]>>,
}

/// Messages above a quarter of the ring travel as owned blocks beside it: a ring as large as the largest message, for every pair of shards
/// and class, would cost gigabytes. A block goes back to be freed where it was allocated: freeing it elsewhere takes the lock of the sender's
/// memory, for which the sender would wait (a futex call on a shard).
pub(super) fn ring(bytes: usize) -> (RingOut, RingIn) {
    let (bytes_in, bytes_out) = RingBuffer::new(bytes);
    let (lane_in, lane_out) = RingBuffer::new(LANE_MESSAGES);
    let (spent_in, spent_out) = RingBuffer::new(LANE_MESSAGES);
    (
        RingOut {
            bytes: bytes_in,
            lane: lane_in,
            spent: spent_out,
            lent: 0,
            since_mark: 0,
            inline_max: (bytes / 4)
                .max(super::REPLY_BYTES_MAX)
                .min(bytes - HEAD_BYTES),
        },
        RingIn {
            bytes: bytes_out,
            lane: lane_out,
            spent: spent_in,
        },
    )
}

impl RingOut {
    pub(super) fn fits(&self, length: usize) -> bool {
        if length > self.inline_max {
            return self.lane.slots() > 0 && self.bytes.slots() >= HEAD_BYTES;
        }
        self.bytes.slots() >= HEAD_BYTES + length
    }

    pub(super) fn push(&mut self, owner: u8, parts: &[&[u8]]) -> bool {
        let length = parts.iter().map(|part| part.len()).sum();
        if !self.fits(length) {
            return false;
        }
        let inline = length <= self.inline_max;
        let field = if inline { length as u32 } else { IN_LANE };
        if !inline {
            self.reclaim();
            let pushed = self.lane.push(parts.concat().into());
            assert!(pushed.is_ok(), "`fits` saw a free place");
            self.lent += 1;
        }
        let total = HEAD_BYTES + if inline { length } else { 0 };
        let Ok(mut chunk) = self.bytes.write_chunk(total) else {
            unreachable!("`fits` saw the space")
        };
        let (first, second) = chunk.as_mut_slices();
        let mut writer = Writer { first, second };
        writer.put(&field.to_le_bytes());
        writer.put(&[owner]);
        if inline {
            parts.iter().for_each(|part| writer.put(part));
        }
        chunk.commit_all();
        self.since_mark += total;
        true
    }

    fn waiting(&self) -> usize {
        self.bytes.buffer().capacity() - self.bytes.slots()
    }

    /// Whether the receiver took everything.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// From now on [`RingOut::is_taken_to_mark`] asks for what is in the ring now.
    pub(super) fn mark(&mut self) {
        self.since_mark = 0;
    }

    /// Whether the receiver took everything that was in the ring at the mark.
    pub(super) fn is_taken_to_mark(&self) -> bool {
        self.waiting() <= self.since_mark
    }

    /// Frees the blocks that came back.
    pub(super) fn reclaim(&mut self) {
        while self.lent > 0 && self.spent.pop().is_ok() {
            self.lent -= 1;
        }
    }
}

/// Writes over the seam of the ring.
struct Writer<'a> {
    first: &'a mut [u8],
    second: &'a mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let split = bytes.len().min(self.first.len());
        let (head, tail) = bytes.split_at(split);
        let (now, later) = core::mem::take(&mut self.first).split_at_mut(split);
        now.copy_from_slice(head);
        self.first = later;
        let (now, later) = core::mem::take(&mut self.second).split_at_mut(tail.len());
        now.copy_from_slice(tail);
        self.second = later;
    }
}

impl RingIn {
    pub(super) fn waiting(&self) -> usize {
        self.bytes.slots()
    }

    fn head(&mut self) -> Option<(u32, u8)> {
        let chunk = self.bytes.read_chunk(HEAD_BYTES).ok()?;
        let (first, second) = chunk.as_slices();
        let mut head = [0; HEAD_BYTES];
        head[..first.len()].copy_from_slice(first);
        head[first.len()..].copy_from_slice(second);
        let [a, b, c, d, owner] = head;
        Some((u32::from_le_bytes([a, b, c, d]), owner))
    }

    /// Copies the first message out, without removing it.
    pub(super) fn peek(&mut self, scratch: &mut Vec<u8>) -> Option<u8> {
        let (field, owner) = self.head()?;
        scratch.clear();
        if field == IN_LANE {
            scratch.extend_from_slice(
                self.lane
                    .peek()
                    .expect("a mark in the ring has a block in the lane"),
            );
            return Some(owner);
        }
        let total = HEAD_BYTES + field as usize;
        let Ok(chunk) = self.bytes.read_chunk(total) else {
            unreachable!("messages are committed whole")
        };
        let (first, second) = chunk.as_slices();
        scratch.extend_from_slice(&first[HEAD_BYTES.min(first.len())..]);
        scratch.extend_from_slice(&second[HEAD_BYTES.saturating_sub(first.len())..]);
        Some(owner)
    }

    /// Removes the first message; gives the ring bytes that it took.
    pub(super) fn advance(&mut self) -> usize {
        let (field, _) = self.head().expect("a message was peeked at");
        let mut total = HEAD_BYTES;
        if field == IN_LANE {
            let block = self.lane.pop();
            let block = block.expect("a mark in the ring has a block in the lane");
            // The sender reclaims before it lends: no more than a lane's blocks are on their way at a time.
            let returned = self.spent.push(block);
            assert!(
                returned.is_ok(),
                "there is a place for each block of the lane"
            );
        } else {
            total += field as usize;
        }
        let Ok(chunk) = self.bytes.read_chunk(total) else {
            unreachable!("messages are committed whole")
        };
        chunk.commit_all();
        total
    }
}
