//! Memory for pieces of bodies: so many buffers, and no more. Whoever gets none waits, and its client with it.

/// Buffers that are kept for the next body when none is out. While some are, all are kept: memory that was given back costs as much to get again, page by page, as half of
/// a copy into it.
const SPARE_MAX: usize = 8;

/// Buffers of one shard.
pub(crate) struct Buffers {
    spare: Vec<Vec<u8>>,
    out: u32,
    count_max: u32,
    bytes: u32,
}

impl Buffers {
    pub(crate) const fn new(count_max: u32, bytes: u32) -> Self {
        Self {
            spare: Vec::new(),
            out: 0,
            count_max,
            bytes,
        }
    }

    /// Bytes of each.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// An empty buffer; `None` while all are out.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        if self.out >= self.count_max {
            return None;
        }
        self.out += 1;
        let spare = self.spare.pop();
        Some(spare.unwrap_or_else(|| Vec::with_capacity(self.bytes())))
    }

    /// Whether one can be taken.
    pub(crate) const fn has_one(&self) -> bool {
        self.out < self.count_max
    }

    /// Gives one back. What has no memory is none.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 {
            return;
        }
        assert!(self.out > 0, "a buffer is given back once");
        self.out -= 1;
        buffer.clear();
        self.spare.push(buffer);
    }

    /// Now and then: gives memory back that nobody needs any more.
    pub(crate) fn shrink(&mut self) {
        if self.is_whole() {
            self.spare.truncate(SPARE_MAX);
        }
    }

    /// Whether all are back.
    pub(crate) const fn is_whole(&self) -> bool {
        self.out == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_no_more() {
        let mut buffers = Buffers::new(2, 16);
        let (one, two) = (buffers.take(), buffers.take());
        assert!(one.is_some() && two.is_some() && buffers.take().is_none());
        buffers.give(one.unwrap_or_default());
        assert!(!buffers.is_whole());
        let again = buffers.take();
        assert!(again.is_some_and(|buffer| buffer.is_empty()) && buffers.take().is_none());
    }

    #[test]
    fn what_nobody_needs_is_given_back() {
        let mut buffers = Buffers::new(20, 16);
        let mut out: Vec<_> = core::iter::from_fn(|| buffers.take()).collect();
        let last = out.pop().unwrap_or_default();
        out.into_iter().for_each(|buffer| buffers.give(buffer));
        buffers.shrink();
        assert_eq!(buffers.spare.len(), 19, "one is out");
        buffers.give(last);
        buffers.shrink();
        assert_eq!(buffers.spare.len(), SPARE_MAX);
    }
}
