//! One input, several outputs, each of which gets all of it; the slowest bounds how far the others may be ahead.

use std::collections::VecDeque;

/// A window on a stream, with a reader's place for each output.
///
/// `push` takes no more than the window has room for beyond the slowest reader. A reader that leaves bounds nobody any more.
#[derive(Debug)]
pub struct Tee {
    window: VecDeque<u8>,
    window_bytes_max: usize,
    /// Where the window begins, in bytes from the beginning of the stream.
    start: u64,
    /// Where each output is, `None` once it has left.
    places: Vec<Option<u64>>,
    ended: bool,
}

impl Tee {
    /// Of so many outputs, of which the fastest may be `window_bytes_max` (at least 1) ahead of the slowest.
    #[must_use]
    pub fn new(outputs: usize, window_bytes_max: usize) -> Self {
        Self {
            window: VecDeque::new(),
            window_bytes_max: window_bytes_max.max(1),
            start: 0,
            places: vec![Some(0); outputs],
            ended: false,
        }
    }

    /// Takes input; how much of it. With nobody left to read, all of it, for nothing.
    ///
    /// # Panics
    /// When it was told that there is no more.
    pub fn push(&mut self, input: &[u8]) -> usize {
        assert!(!self.ended, "a tee was pushed after its end");
        if self.places.iter().all(Option::is_none) {
            return input.len();
        }
        let bytes = input.len().min(self.window_bytes_max - self.window.len());
        self.window.extend(&input[..bytes]);
        bytes
    }

    /// There is no more input.
    pub const fn finish(&mut self) {
        self.ended = true;
    }

    /// Gives an output what it has not had yet; how much, 0 if nothing waits for it or it has left.
    pub fn take(&mut self, output: usize, out: &mut [u8]) -> usize {
        let Some(place) = self.places[output] else {
            return 0;
        };
        let skip = (place - self.start) as usize;
        let bytes = out.len().min(self.window.len() - skip);
        copy(&self.window, skip, &mut out[..bytes]);
        self.places[output] = Some(place + bytes as u64);
        self.forget();
        bytes
    }

    /// The output does not want any more.
    pub fn leave(&mut self, output: usize) {
        self.places[output] = None;
        self.forget();
    }

    /// Whether an output has had everything that there will be, or has left.
    #[must_use]
    pub fn is_done(&self, output: usize) -> bool {
        let end = self.start + self.window.len() as u64;
        self.places[output].is_none_or(|place| self.ended && place == end)
    }

    /// The most memory that it ever owns.
    #[must_use]
    pub const fn memory_bytes_max(&self) -> usize {
        // A ring that grows by doubling.
        2 * self.window_bytes_max + self.places.len() * size_of::<Option<u64>>()
    }

    /// Drops what everybody has had.
    fn forget(&mut self) {
        let end = self.start + self.window.len() as u64;
        let slowest = self.places.iter().flatten().min();
        let until = slowest.copied().unwrap_or(end);
        self.window.drain(..(until - self.start) as usize);
        self.start = until;
    }
}

/// Bytes of a ring, from some place on.
pub(crate) fn copy(ring: &VecDeque<u8>, skip: usize, out: &mut [u8]) {
    let (head, tail) = ring.as_slices();
    let from_head = head.get(skip..).unwrap_or_default();
    let first = from_head.len().min(out.len());
    let (left, right) = out.split_at_mut(first);
    left.copy_from_slice(&from_head[..first]);
    let skipped = skip.saturating_sub(head.len());
    right.copy_from_slice(&tail[skipped..skipped + right.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_bounds_the_input() {
        let mut tee = Tee::new(2, 4);
        assert_eq!(tee.push(b"abcdef"), 4);
        let mut out = [0; 8];
        assert_eq!(tee.take(0, &mut out), 4);
        assert_eq!(tee.push(b"ef"), 0, "the second output has had nothing");
        assert_eq!(tee.take(1, &mut out[..1]), 1);
        assert_eq!(tee.push(b"ef"), 1);
        assert_eq!(tee.take(1, &mut out), 4);
        assert_eq!(&out[..4], b"bcde");
    }

    #[test]
    fn who_leaves_bounds_nobody() {
        let mut tee = Tee::new(2, 4);
        assert_eq!(tee.push(b"abcd"), 4);
        let mut out = [0; 8];
        assert_eq!(tee.take(0, &mut out), 4);
        tee.leave(1);
        assert_eq!(tee.push(b"efgh"), 4);
        assert!(tee.is_done(1) && !tee.is_done(0));
        tee.finish();
        assert_eq!(tee.take(0, &mut out), 4);
        assert!(tee.is_done(0));
        assert_eq!(tee.take(1, &mut out), 0);
        let mut empty = Tee::new(0, 1);
        assert_eq!(empty.push(b"nobody listens"), 14);
    }

    #[test]
    fn each_output_gets_everything_in_any_rhythm() {
        let input: Vec<u8> = (0..50_000_u32).map(|n| (n * 7) as u8).collect();
        let mut tee = Tee::new(3, 100);
        let (mut pushed, mut seed) = (0, 0x5eed_u64);
        let mut outputs = [const { Vec::new() }; 3];
        while !(0..3).all(|output| tee.is_done(output)) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (which, much) = ((seed >> 33) as usize % 3, (seed >> 40) as usize % 130);
            let mut portion = vec![0; much];
            let bytes = tee.take(which, &mut portion);
            outputs[which].extend_from_slice(&portion[..bytes]);
            if pushed < input.len() {
                pushed += tee.push(&input[pushed..input.len().min(pushed + much)]);
            } else {
                tee.finish();
            }
            assert!(tee.window.capacity() <= tee.memory_bytes_max());
        }
        assert!(outputs.iter().all(|output| *output == input));
    }
}
