//! A whole encrypted stream in, plaintext out.

use super::segment::{Key, Segment};
use super::{
    AwsLc, Cipher, FileKey, HEADER_BYTES, Header, PLAINTEXT_BYTES_MAX, SEALED_BYTES, SEGMENT_BYTES,
    TAG_BYTES,
};
use crate::life::Life;
use crate::{Format, Next, Progress, Stage, StreamError};
use core::fmt;

/// Decrypts. Nothing of a segment is given before it fitted its tag, and `End` is not said before the last one did.
pub struct Opener<C = AwsLc> {
    /// The cipher until the header is there, then both.
    key: Keyed<C>,
    segment: Segment,
    index: Option<u32>,
    opened: bool,
    life: Life,
}

enum Keyed<C> {
    Waiting(Option<C>),
    Ready(Key<C>),
}

impl Opener {
    /// With this file's key, and by AWS-LC. The header comes with the stream.
    #[must_use]
    pub fn new(key: &FileKey) -> Self {
        Self::with_cipher(AwsLc::new(key.bytes()))
    }
}

impl<C: Cipher> Opener<C> {
    /// By another library.
    pub fn with_cipher(cipher: C) -> Self {
        Self {
            key: Keyed::Waiting(Some(cipher)),
            segment: Segment::new(),
            index: Some(0),
            opened: false,
            life: Life::Open,
        }
    }

    fn next_index(index: &mut Option<u32>) -> Result<u32, StreamError> {
        let bytes_max = PLAINTEXT_BYTES_MAX;
        let next = index.ok_or(StreamError::TooLong { bytes_max })?;
        *index = next.checked_add(1);
        Ok(next)
    }

    /// Takes header bytes from the input; whether it is all there.
    fn begin(&mut self, input: &[u8], consumed: &mut usize) -> Result<bool, StreamError> {
        let Keyed::Waiting(cipher) = &mut self.key else {
            return Ok(true);
        };
        *consumed += self.segment.gather(input, HEADER_BYTES);
        if self.segment.filled < HEADER_BYTES {
            return Ok(false);
        }
        let header = Header::parse(&self.segment.take_header())?;
        let cipher = cipher.take().expect("the header is read once");
        self.key = Keyed::Ready(Key::new(cipher, header));
        Ok(true)
    }

    fn pushed(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (mut consumed, mut written) = (0, 0);
        if !self.begin(input, &mut consumed)? {
            return Ok(Progress::new(consumed, 0, Next::Input));
        }
        let Keyed::Ready(key) = &self.key else {
            unreachable!("`begin` said so");
        };
        loop {
            if !self.segment.give(out, &mut written) {
                return Ok(Progress::new(consumed, written, Next::Room));
            }
            let rest = &input[consumed..];
            if rest.is_empty() {
                return Ok(Progress::new(consumed, written, Next::Input));
            }
            let room = &mut out[written..];
            if self.segment.filled == SEALED_BYTES {
                let index = Self::next_index(&mut self.index)?;
                self.segment.open(key, index, false)?;
            } else if self.segment.filled == 0
                && rest.len() > SEALED_BYTES
                && room.len() >= SEGMENT_BYTES
            {
                let index = Self::next_index(&mut self.index)?;
                across(
                    key,
                    index,
                    &rest[..SEALED_BYTES],
                    &mut room[..SEGMENT_BYTES],
                )?;
                consumed += SEALED_BYTES;
                written += SEGMENT_BYTES;
            } else {
                consumed += self.segment.gather(rest, SEALED_BYTES);
            }
        }
    }

    fn finished(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let Keyed::Ready(key) = &self.key else {
            return Err(StreamError::Truncated {
                format: Format::Encrypted,
            });
        };
        let mut written = 0;
        while self.segment.give(out, &mut written) {
            if self.opened {
                return Ok(Progress::new(0, written, Next::End));
            }
            let index = Self::next_index(&mut self.index)?;
            // An empty segment is sealed only where nothing else is: behind others it was cut off, or put there.
            let least = if index == 0 { TAG_BYTES } else { TAG_BYTES + 1 };
            if self.segment.filled < least {
                return Err(StreamError::Truncated {
                    format: Format::Encrypted,
                });
            }
            self.segment.open(key, index, true)?;
            self.opened = true;
        }
        Ok(Progress::new(0, written, Next::Room))
    }
}

/// A whole segment from the input to the output without the buffer between.
fn across(
    key: &Key<impl Cipher>,
    index: u32,
    input: &[u8],
    out: &mut [u8],
) -> Result<(), StreamError> {
    let (text, tag) = input.split_last_chunk().expect("a segment has a tag");
    out.copy_from_slice(text);
    key.open(index, false, out, tag)
}

impl<C: Cipher> Stage for Opener<C> {
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

impl<C> fmt::Debug for Opener<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener(segment {:?}, {:?})", self.index, self.life)
    }
}
