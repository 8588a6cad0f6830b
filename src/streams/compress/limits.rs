//! How much a decoder may give, and what the codecs behind it have in common.

use crate::{Next, Progress, StreamError};

/// What a stream may become. Windows, which are memory, are limits of their own of each decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of output, exactly: a stream that decodes to one more fails, after so many were given.
    pub output_bytes_max: u64,
    /// The most bytes of output for each byte of input. Deflate reaches 1,032, brotli and zstd tens of thousands; texts stay below 30.
    pub ratio_max: u32,
    /// Output that the ratio is not asked about: short streams of one byte are innocent.
    pub ratio_free_bytes: u64,
}

impl Limits {
    /// Nothing is too much, for what is trusted: the caller's own files.
    pub const NONE: Self = Self {
        output_bytes_max: u64::MAX,
        ratio_max: u32::MAX,
        ratio_free_bytes: u64::MAX,
    };

    /// At most so many bytes, of a ratio of 1,000 beyond the first MiB: for what strangers send.
    #[must_use]
    pub const fn output(output_bytes_max: u64) -> Self {
        Self {
            output_bytes_max,
            ratio_max: 1000,
            ratio_free_bytes: 1 << 20,
        }
    }
}

/// A decoder without limits, as its library has it.
pub(super) trait Codec: Send {
    /// As [`Stage::push`](crate::Stage::push) with some room.
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError>;

    /// Whether the stream is complete with what came. Called when all was given.
    fn end(&self) -> Result<(), StreamError>;
}

/// Counts what goes through, and holds it to the limits.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    consumed: u64,
    written: u64,
}

impl Meter {
    pub(super) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            consumed: 0,
            written: 0,
        }
    }

    /// What may still come once `consumed` bytes are taken.
    const fn allowed_by_ratio(&self, consumed: u64) -> u64 {
        let earned = consumed.saturating_mul(self.limits.ratio_max as u64);
        let allowed = earned.saturating_add(self.limits.ratio_free_bytes);
        allowed.saturating_sub(self.written)
    }

    /// Decodes into as much of the room as is allowed; if that is too little, sees whether one byte more would come.
    pub(super) fn decode(
        &mut self,
        codec: &mut impl Codec,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<Progress, StreamError> {
        let by_output = self.limits.output_bytes_max - self.written;
        let by_ratio = self.allowed_by_ratio(self.consumed.saturating_add(input.len() as u64));
        let allowed = by_output.min(by_ratio).min(out.len() as u64) as usize;
        let mut progress = codec.decode(input, &mut out[..allowed])?;
        self.consumed += progress.consumed as u64;
        self.written += progress.written as u64;
        if progress.next == Next::Room && progress.written < out.len() {
            let probed = codec.decode(&input[progress.consumed..], &mut [0])?;
            if probed.written > 0 {
                return Err(self.exceeded(by_output <= by_ratio));
            }
            self.consumed += probed.consumed as u64;
            progress.consumed += probed.consumed;
            progress.next = probed.next;
        }
        Ok(progress)
    }

    const fn exceeded(&self, by_output: bool) -> StreamError {
        if by_output {
            StreamError::OutputTooLong {
                bytes_max: self.limits.output_bytes_max,
            }
        } else {
            StreamError::RatioTooHigh {
                ratio_max: self.limits.ratio_max,
            }
        }
    }

    /// The end of the input: gives what the codec has left, then asks whether that was all.
    pub(super) fn finish(
        &mut self,
        codec: &mut impl Codec,
        out: &mut [u8],
    ) -> Result<Progress, StreamError> {
        let progress = self.decode(codec, &[], out)?;
        if progress.next == Next::Input {
            codec.end()?;
            return Ok(Progress::new(0, progress.written, Next::End));
        }
        Ok(progress)
    }
}

/// Makes a decoder of a codec: a struct with `codec`, `meter` and `life` becomes a stage.
macro_rules! decoder {
    ($name:ident) => {
        impl crate::Stage for $name {
            fn push(
                &mut self,
                input: &[u8],
                out: &mut [u8],
            ) -> Result<crate::Progress, crate::StreamError> {
                let (codec, meter) = (&mut self.codec, &mut self.meter);
                self.life
                    .push(out.len(), || meter.decode(codec, input, out))
            }

            fn finish(&mut self, out: &mut [u8]) -> Result<crate::Progress, crate::StreamError> {
                let (codec, meter) = (&mut self.codec, &mut self.meter);
                self.life.finish(out.len(), || meter.finish(codec, out))
            }

            fn memory_bytes_max(&self) -> usize {
                self.memory_bytes_max
            }
        }
    };
}

pub(super) use decoder;
