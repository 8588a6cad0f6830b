//! What a stage is: the contract that everything here keeps and `tests/conformance.rs` holds every stage to.
//!
//! The caller brings the memory for the output (an arena slot, a Node `Buffer`), so that a push can never give more than the caller has room for: 64 KiB of a
//! decompression bomb become 64 MiB in a thousand portions, each asked for, with a place in between where the caller may turn to somebody else.

use crate::StreamError;

/// Why a stage stopped, which is what it needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All input was taken and all that could be made of it was given: `push` more, or `finish`.
    Input,
    /// The room is used up, and there may be more: come again with the rest of the input and new room.
    Room,
    /// Nothing before the clock says so many microseconds: `tick`, then come again with the rest of the input.
    Time(u64),
    /// `finish` has given everything; only `finish` says so, and says it again when called again.
    End,
}

/// What one call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that the stage took. The caller offers the others again, first.
    pub consumed: usize,
    /// Bytes at the front of `out` that are output.
    pub written: usize,
    /// Why it stopped there.
    pub next: Next,
}

impl Progress {
    pub(crate) const fn new(consumed: usize, written: usize, next: Next) -> Self {
        Self {
            consumed,
            written,
            next,
        }
    }
}

/// Bytes in, bytes out.
///
/// # Contract
///
/// 1. The output is a function of the input alone: how the input is cut and how large the rooms are changes nothing in it. Of a compressor that is what its output decodes
///    to; the bytes themselves may differ. Of a ratio limit the cuts may change the byte at which it trips; of a throttle, when bytes come.
/// 2. `consumed <= input.len()`, `written <= out.len()`; what stands in `out` behind `written`, or after an error, is unspecified.
/// 3. A call stops for the reason in [`Progress::next`] only. `Input` means that all of the input was taken. `Room` means that `out` is full, which an empty `out`
///    always is. So a call with input and room, and without a throttle, always moves something, and a loop over `push` ends.
/// 4. When `push` said `Input`, `finish` may follow; it is called until it says `End`, and nothing may be pushed any more. Both may come without any byte before.
/// 5. An error is final: every later call gives the same one. What was written by earlier calls was right, but for a decoder it is the beginning of something that is broken:
///    who acts on output before `End` acts on what is not proven yet. (Segments of [`crypt`](crate::crypt) are: nothing of a segment is given before it was verified.)
/// 6. A stage owns at most [`Stage::memory_bytes_max`] bytes, whatever comes.
/// 7. No call panics on any input, blocks, asks for the time, or does work that is not bounded by a constant times `input.len() + out.len()` and one unit of its format (a block,
///    a segment: 4 MiB at most).
///
/// A stage is [`Send`]: a pool's thread may push where a shard made it. It is pushed by one at a time.
pub trait Stage: Send {
    /// Takes from `input` and writes to the front of `out`, until one of them is used up.
    ///
    /// # Errors
    /// What is wrong with the input, or with the order of calls; the same at each call from then on.
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError>;

    /// There is no more input: gives what is left. `consumed` is 0.
    ///
    /// # Errors
    /// As [`Stage::push`]; and the input is incomplete.
    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError>;

    /// Tells the time, in microseconds since whenever the caller likes. It never goes back; stages that do not wait for it do not look at it.
    fn tick(&mut self, now_us: u64) {
        let _ = now_us;
    }

    /// The most memory that it ever owns, in bytes, without `size_of` itself.
    fn memory_bytes_max(&self) -> usize;
}

impl<S: Stage + ?Sized> Stage for Box<S> {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        (**self).push(input, out)
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        (**self).finish(out)
    }

    fn tick(&mut self, now_us: u64) {
        (**self).tick(now_us);
    }

    fn memory_bytes_max(&self) -> usize {
        (**self).memory_bytes_max()
    }
}
