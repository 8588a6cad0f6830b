//! A part of an encrypted stream in, the range of plaintext in it out.

use super::segment::{Key, Segment};
use super::{AwsLc, Cipher, FileKey, Header, Layout, Span};
use crate::life::Life;
use crate::{Format, Next, Progress, Stage, StreamError};
use core::fmt;

/// Decrypts a range: the input is [`Span::ciphertext`] of the stream, from its first byte to its last.
///
/// Each segment is proven before anything of it is given. That the stream is as long as it is said to be is proven by the last segment only: see [`Layout`].
pub struct RangeReader<C = AwsLc> {
    key: Key<C>,
    layout: Layout,
    segment: Segment,
    index: u32,
    skip: usize,
    /// Plaintext that is still to be given.
    take: u64,
    /// Ciphertext that is still to come.
    missing: u64,
    life: Life,
}

impl RangeReader {
    /// The part `span` of a stream that has this header and layout, by AWS-LC.
    #[must_use]
    pub fn new(key: &FileKey, header: Header, layout: Layout, span: &Span) -> Self {
        Self::with_cipher(AwsLc::new(key.bytes()), header, layout, span)
    }
}

impl<C: Cipher> RangeReader<C> {
    /// By another library.
    pub fn with_cipher(cipher: C, header: Header, layout: Layout, span: &Span) -> Self {
        Self {
            key: Key::new(cipher, header),
            layout,
            segment: Segment::new(),
            index: span.first,
            skip: span.skip,
            take: span.take,
            missing: span.ciphertext.end - span.ciphertext.start,
            life: Life::Open,
        }
    }

    /// Opens the segment that is all there, and makes ready what the range has of it.
    fn open(&mut self) -> Result<(), StreamError> {
        let last = self.index == self.layout.last_index();
        self.segment.open(&self.key, self.index, last)?;
        let taken = usize::try_from(self.take).unwrap_or(usize::MAX);
        self.segment.narrow(core::mem::take(&mut self.skip), taken);
        self.take -= self.segment.ready_bytes() as u64;
        self.index = self.index.wrapping_add(1);
        Ok(())
    }

    fn pushed(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (mut consumed, mut written) = (0, 0);
        while self.segment.give(out, &mut written) {
            let rest = &input[consumed..];
            if rest.is_empty() {
                return Ok(Progress::new(consumed, written, Next::Input));
            }
            if self.missing == 0 {
                let format = Format::Encrypted;
                return Err(StreamError::TrailingBytes { format });
            }
            let sealed = self.layout.sealed_bytes(self.index);
            let taken = self.segment.gather(rest, sealed);
            consumed += taken;
            self.missing -= taken as u64;
            if self.segment.filled == sealed {
                self.open()?;
            }
        }
        Ok(Progress::new(consumed, written, Next::Room))
    }

    fn finished(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let mut written = 0;
        if !self.segment.give(out, &mut written) {
            return Ok(Progress::new(0, written, Next::Room));
        }
        if self.missing > 0 {
            let format = Format::Encrypted;
            return Err(StreamError::Truncated { format });
        }
        Ok(Progress::new(0, written, Next::End))
    }
}

impl<C: Cipher> Stage for RangeReader<C> {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let mut life = core::mem::take(&mut self.life);
        let progress = life.push(out.len(), || self.pushed(input, out));
        self.life = life;
        progress
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let mut life = core::mem::take(&mut self.life);
        let progress = life.finish(out.len(), || self.finished(out));
        self.life = life;
        progress
    }

    fn memory_bytes_max(&self) -> usize {
        Segment::MEMORY_BYTES + 4096
    }
}

impl<C> fmt::Debug for RangeReader<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RangeReader(segment {}, {:?})", self.index, self.life)
    }
}
