//! Plaintext in, an encrypted stream out.

use super::segment::{Key, Segment};
use super::{
    AwsLc, Cipher, FileKey, HEADER_BYTES, Header, PLAINTEXT_BYTES_MAX, SEALED_BYTES, SEGMENT_BYTES,
};
use crate::life::Life;
use crate::{Next, Progress, Stage, StreamError};
use core::fmt;

/// Encrypts. It keeps the last full segment back until it knows whether it is the last one.
pub struct Sealer<C = AwsLc> {
    key: Key<C>,
    segment: Segment,
    /// The next segment's number; none is left behind the last one that a nonce can number.
    index: Option<u32>,
    /// Whether the last segment was sealed.
    sealed: bool,
    life: Life,
}

impl Sealer {
    /// With this file's key, and by AWS-LC.
    #[must_use]
    pub fn new(key: &FileKey, header: Header) -> Self {
        Self::with_cipher(AwsLc::new(key.bytes()), header)
    }
}

impl<C: Cipher> Sealer<C> {
    /// By another library.
    pub fn with_cipher(cipher: C, header: Header) -> Self {
        let mut segment = Segment::new();
        segment.gather(&header.to_bytes(), HEADER_BYTES);
        segment.pass();
        Self {
            key: Key::new(cipher, header),
            segment,
            index: Some(0),
            sealed: false,
            life: Life::Open,
        }
    }

    fn next_index(&mut self) -> Result<u32, StreamError> {
        let bytes_max = PLAINTEXT_BYTES_MAX;
        let index = self.index.ok_or(StreamError::TooLong { bytes_max })?;
        self.index = index.checked_add(1);
        Ok(index)
    }

    fn pushed(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (mut consumed, mut written) = (0, 0);
        loop {
            if !self.segment.give(out, &mut written) {
                return Ok(Progress::new(consumed, written, Next::Room));
            }
            let rest = &input[consumed..];
            if rest.is_empty() {
                return Ok(Progress::new(consumed, written, Next::Input));
            }
            let room = &mut out[written..];
            if self.segment.filled == SEGMENT_BYTES {
                let index = self.next_index()?;
                self.segment.seal(&self.key, index, false);
            } else if self.segment.filled == 0
                && rest.len() > SEGMENT_BYTES
                && room.len() >= SEALED_BYTES
            {
                self.across(&rest[..SEGMENT_BYTES], &mut room[..SEALED_BYTES])?;
                consumed += SEGMENT_BYTES;
                written += SEALED_BYTES;
            } else {
                consumed += self.segment.gather(rest, SEGMENT_BYTES);
            }
        }
    }

    /// A whole segment from the input to the output without the buffer between.
    fn across(&mut self, input: &[u8], out: &mut [u8]) -> Result<(), StreamError> {
        let index = self.next_index()?;
        let (text, tag) = out.split_at_mut(SEGMENT_BYTES);
        text.copy_from_slice(input);
        tag.copy_from_slice(&self.key.seal(index, false, text));
        Ok(())
    }

    fn finished(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let mut written = 0;
        while self.segment.give(out, &mut written) {
            if self.sealed {
                return Ok(Progress::new(0, written, Next::End));
            }
            let index = self.next_index()?;
            self.segment.seal(&self.key, index, true);
            self.sealed = true;
        }
        Ok(Progress::new(0, written, Next::Room))
    }
}

impl<C: Cipher> Stage for Sealer<C> {
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
        // The library's key schedule is beside it.
        Segment::MEMORY_BYTES + 4096
    }
}

impl<C> fmt::Debug for Sealer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer(segment {:?}, {:?})", self.index, self.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_rather_than_begin_again() {
        let key = FileKey::new([1; 32]);
        let mut sealer = Sealer::new(&key, Header::new([2; 7], [3; 16]));
        sealer.index = Some(u32::MAX);
        let mut out = vec![0; 3 * SEALED_BYTES];
        let bytes_max = PLAINTEXT_BYTES_MAX;
        let result = sealer.push(&vec![0; 2 * SEGMENT_BYTES + 1], &mut out);
        assert_eq!(result, Err(StreamError::TooLong { bytes_max }));
    }
}
