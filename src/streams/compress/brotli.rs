//! Brotli, both ways, through the crate of that name, which is safe Rust.

use super::Limits;
use super::limits::{Codec, Meter, decoder};
use crate::life::Life;
use crate::{Format, Next, Progress, Stage, StreamError};
use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct,
};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use core::fmt;

const FORMAT: Format = Format::Brotli;

/// Makes brotli.
pub struct BrotliEncoder {
    state: Box<BrotliEncoderStateStruct<StandardAlloc>>,
    memory_bytes_max: usize,
    life: Life,
}

impl BrotliEncoder {
    /// The highest quality that is offered. Above it brotli takes seconds for a megabyte, and a hundred megabytes of memory: that is for files that are compressed once, beforehand.
    pub const QUALITY_MAX: u32 = 9;
    /// The log2 of the largest window that is offered.
    pub const WINDOW_LOG_MAX: u32 = 22;
    /// By quality, in MiB: measured at the largest window (`tests/memory.rs`), and an eighth more. Ring buffer, hash tables, commands and output of a metablock.
    const MEMORY_MIB_MAX: [usize; 10] = [2, 2, 13, 13, 32, 32, 34, 41, 50, 70];

    /// The log2 of a window with which the lower qualities take little: for what is compressed while it is sent.
    pub const WINDOW_LOG_SMALL: u32 = 18;
    /// Likewise, of the qualities that have small tables, with windows up to that.
    const SMALL_MEMORY_MIB_MAX: [usize; 5] = [2, 2, 2, 2, 4];

    const fn memory_mib_max(quality: u32, window_log: u32) -> usize {
        let quality = quality as usize;
        if window_log <= Self::WINDOW_LOG_SMALL && quality < Self::SMALL_MEMORY_MIB_MAX.len() {
            Self::SMALL_MEMORY_MIB_MAX[quality]
        } else {
            Self::MEMORY_MIB_MAX[quality]
        }
    }

    /// Of a quality from 0 to [`Self::QUALITY_MAX`] and a window from 2^10 to 2^[`Self::WINDOW_LOG_MAX`]; what is beyond is the nearest of them, and the
    /// qualities 0 and 1 have a window of 2^18 at least.
    #[must_use]
    pub fn new(quality: u32, window_log: u32) -> Self {
        let mut state = Box::new(BrotliEncoderStateStruct::new(StandardAlloc::default()));
        let quality = quality.min(Self::QUALITY_MAX);
        let window_log = window_log.clamp(10, Self::WINDOW_LOG_MAX);
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, quality);
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window_log);
        Self {
            state,
            memory_bytes_max: Self::memory_mib_max(quality, window_log) << 20,
            life: Life::Open,
        }
    }
}

fn encode(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    operation: BrotliEncoderOperation,
    input: &[u8],
    out: &mut [u8],
) -> Result<Progress, StreamError> {
    let (mut left, mut consumed) = (input.len(), 0);
    let (mut room, mut written) = (out.len(), 0);
    let sound = state.compress_stream(
        operation,
        &mut left,
        input,
        &mut consumed,
        &mut room,
        out,
        &mut written,
        &mut None,
        &mut |_, _, _, _| (),
    );
    if !sound {
        return Err(StreamError::OutOfMemory { format: FORMAT });
    }
    let next = match (state.is_finished(), room) {
        (true, _) => Next::End,
        (false, 0) => Next::Room,
        (false, _) => Next::Input,
    };
    Ok(Progress::new(consumed, written, next))
}

impl Stage for BrotliEncoder {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (state, operation) = (
            &mut self.state,
            BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        );
        self.life
            .push(out.len(), || encode(state, operation, input, out))
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let (state, operation) = (
            &mut self.state,
            BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        );
        self.life
            .finish(out.len(), || encode(state, operation, &[], out))
    }

    fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }
}

/// Reads brotli of RFC 7932; its "large window" extension is refused.
pub struct BrotliDecoder {
    codec: Unbrotli,
    meter: Meter,
    life: Life,
    memory_bytes_max: usize,
}

impl BrotliDecoder {
    /// The log2 of the largest window that the format has.
    pub const WINDOW_LOG_MAX: u32 = 24;
    /// Prefix codes and context maps of one metablock: at most 256 trees of each of three kinds.
    const TABLES_BYTES_MAX: usize = 6 << 20;

    /// Within these limits, of windows up to 2^`window_log_max`.
    #[must_use]
    pub fn new(limits: Limits, window_log_max: u32) -> Self {
        let window_log_max = window_log_max.clamp(10, Self::WINDOW_LOG_MAX);
        let allocator = StandardAlloc::default;
        let state = BrotliState::new_strict(allocator(), allocator(), allocator());
        let codec = Unbrotli {
            state: Box::new(state),
            window_log_max,
            begun: false,
            ended: false,
        };
        Self {
            codec,
            meter: Meter::new(limits),
            life: Life::Open,
            // While the ring buffer grows there are two.
            memory_bytes_max: (2 << window_log_max) + Self::TABLES_BYTES_MAX,
        }
    }
}

decoder!(BrotliDecoder);

struct Unbrotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    window_log_max: u32,
    begun: bool,
    ended: bool,
}

/// The log2 of the window, which a stream's first byte has (RFC 7932 §9.1).
const fn window_log(first: u8) -> Result<u32, StreamError> {
    let (high, low) = ((first >> 1 & 7) as u32, (first >> 4 & 7) as u32);
    match (first & 1, high, low) {
        (0, ..) => Ok(16),
        (_, 0, 0) => Ok(17),
        (_, 0, 1) => Err(StreamError::Unsupported {
            format: FORMAT,
            what: "a large window",
        }),
        (_, 0, low) => Ok(low + 8),
        (_, high, _) => Ok(high + 17),
    }
}

impl Unbrotli {
    fn begin(&mut self, input: &[u8]) -> Result<(), StreamError> {
        let (false, Some(first)) = (self.begun, input.first()) else {
            return Ok(());
        };
        self.begun = true;
        if window_log(*first)? > self.window_log_max {
            return Err(StreamError::WindowTooLarge {
                format: FORMAT,
                bytes_max: 1 << self.window_log_max,
            });
        }
        Ok(())
    }
}

impl Codec for Unbrotli {
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        self.begin(input)?;
        if self.ended {
            return match input {
                [] => Ok(Progress::new(0, 0, Next::Input)),
                _ => Err(StreamError::TrailingBytes { format: FORMAT }),
            };
        }
        let (mut left, mut consumed) = (input.len(), 0);
        let (mut room, mut written) = (out.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut consumed,
            input,
            &mut room,
            &mut written,
            out,
            &mut 0,
            &mut self.state,
        );
        let next = match result {
            BrotliResult::NeedsMoreOutput => Next::Room,
            BrotliResult::NeedsMoreInput => Next::Input,
            BrotliResult::ResultSuccess => {
                self.ended = true;
                if left > 0 {
                    return Err(StreamError::TrailingBytes { format: FORMAT });
                }
                Next::Input
            }
            BrotliResult::ResultFailure => {
                return Err(StreamError::Malformed {
                    format: FORMAT,
                    what: "its metablocks are wrong",
                });
            }
        };
        Ok(Progress::new(consumed, written, next))
    }

    fn end(&self) -> Result<(), StreamError> {
        match self.ended {
            true => Ok(()),
            false => Err(StreamError::Truncated { format: FORMAT }),
        }
    }
}

impl fmt::Debug for BrotliEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrotliEncoder({:?})", self.life)
    }
}

impl fmt::Debug for BrotliDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrotliDecoder({:?})", self.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7932_9_1_window_sizes() {
        // The table of the section: bits, and the WBITS that they say.
        let table = [
            (0b0, 16),
            (0b000_0001, 17),
            (0b011, 18),
            (0b101, 19),
            (0b111, 20),
            (0b1001, 21),
            (0b1011, 22),
            (0b1101, 23),
            (0b1111, 24),
            (0b010_0001, 10),
            (0b011_0001, 11),
            (0b100_0001, 12),
            (0b101_0001, 13),
            (0b110_0001, 14),
            (0b111_0001, 15),
        ];
        for (bits, log) in table {
            assert_eq!(window_log(bits), Ok(log), "{bits:b}");
        }
        assert!(window_log(0b001_0001).is_err());
    }
}
