//! Zstandard, both ways, through the crate zstd: the library of its authors.

use super::Limits;
use super::limits::{Codec, Meter, decoder};
use crate::life::Life;
use crate::{Format, Next, Progress, Stage, StreamError};
use core::fmt;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, SafeResult, get_error_name,
    zstd_sys::ZSTD_EndDirective,
};

const FORMAT: Format = Format::Zstd;

/// Makes one frame of zstd, with a checksum.
pub struct ZstdEncoder {
    context: CCtx<'static>,
    level: usize,
    life: Life,
}

impl ZstdEncoder {
    /// The highest level that is offered: above it an encoder takes a hundred megabytes and is slower than a disk.
    pub const LEVEL_MAX: i32 = 9;
    /// What an encoder takes at most, by level from 1 on: what the library says of itself at the end of a long stream, in MiB, rounded up.
    const MEMORY_MIB_MAX: [usize; 9] = [2, 3, 5, 7, 10, 10, 14, 18, 34];

    /// Of a level from 1 to [`Self::LEVEL_MAX`]; what is beyond is the nearest.
    ///
    /// # Errors
    /// [`StreamError::OutOfMemory`].
    pub fn new(level: i32) -> Result<Self, StreamError> {
        let level = level.clamp(1, Self::LEVEL_MAX);
        let mut context = CCtx::try_create().ok_or(StreamError::OutOfMemory { format: FORMAT })?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::ChecksumFlag(true),
        ] {
            let set = context.set_parameter(parameter);
            set.map_err(|_| StreamError::OutOfMemory { format: FORMAT })?;
        }
        Ok(Self {
            context,
            level: level as usize,
            life: Life::Open,
        })
    }

    /// What it takes now.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.context.sizeof()
    }
}

fn encode(
    context: &mut CCtx<'static>,
    input: &[u8],
    out: &mut [u8],
    how: ZSTD_EndDirective,
) -> Result<Progress, StreamError> {
    let room = out.len();
    let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(out));
    let left = context.compress_stream2(&mut output, &mut input, how);
    let left = left.map_err(|_| StreamError::OutOfMemory { format: FORMAT })?;
    let next = match how {
        ZSTD_EndDirective::ZSTD_e_end if left == 0 => Next::End,
        _ if output.pos() == room => Next::Room,
        _ => Next::Input,
    };
    Ok(Progress::new(input.pos(), output.pos(), next))
}

/// The library may stop with both input and room left: it goes on until either is used up.
fn encode_all(
    context: &mut CCtx<'static>,
    input: &[u8],
    out: &mut [u8],
    how: ZSTD_EndDirective,
) -> Result<Progress, StreamError> {
    let (mut consumed, mut written) = (0, 0);
    loop {
        let progress = encode(context, &input[consumed..], &mut out[written..], how)?;
        consumed += progress.consumed;
        written += progress.written;
        let more = how == ZSTD_EndDirective::ZSTD_e_end || consumed < input.len();
        if progress.next != Next::Input || !more {
            return Ok(Progress::new(consumed, written, progress.next));
        }
    }
}

impl Stage for ZstdEncoder {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let context = &mut self.context;
        let how = ZSTD_EndDirective::ZSTD_e_continue;
        self.life
            .push(out.len(), || encode_all(context, input, out, how))
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let context = &mut self.context;
        let how = ZSTD_EndDirective::ZSTD_e_end;
        self.life
            .finish(out.len(), || encode_all(context, &[], out, how))
    }

    fn memory_bytes_max(&self) -> usize {
        Self::MEMORY_MIB_MAX[self.level - 1] << 20
    }
}

/// Reads zstd: frames one behind another, skippable ones among them (RFC 8878 §3.1).
pub struct ZstdDecoder {
    codec: Unzstd,
    meter: Meter,
    life: Life,
    memory_bytes_max: usize,
}

impl ZstdDecoder {
    /// The log2 of the largest window that may be allowed.
    pub const WINDOW_LOG_MAX: u32 = 27;
    /// The log2 of the window that RFC 9659 wants of the content coding: 8 MiB.
    pub const WINDOW_LOG_HTTP: u32 = 23;
    /// The context, and blocks on their way in and out.
    const BESIDE_BYTES_MAX: usize = 1 << 20;

    /// Within these limits, of windows up to 2^`window_log_max`, which is from 10 to [`Self::WINDOW_LOG_MAX`].
    ///
    /// # Errors
    /// [`StreamError::OutOfMemory`].
    pub fn new(limits: Limits, window_log_max: u32) -> Result<Self, StreamError> {
        let window_log_max = window_log_max.clamp(10, Self::WINDOW_LOG_MAX);
        let mut context = DCtx::try_create().ok_or(StreamError::OutOfMemory { format: FORMAT })?;
        let set = context.set_parameter(DParameter::WindowLogMax(window_log_max));
        set.map_err(|_| StreamError::OutOfMemory { format: FORMAT })?;
        let codec = Unzstd {
            context,
            window_log_max,
            pending: false,
            place: Place::Before,
        };
        Ok(Self {
            codec,
            meter: Meter::new(limits),
            life: Life::Open,
            memory_bytes_max: (1 << window_log_max) + Self::BESIDE_BYTES_MAX,
        })
    }

    /// What it takes now.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.codec.context.sizeof()
    }
}

decoder!(ZstdDecoder);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing came.
    Before,
    /// In a frame.
    Within,
    /// Behind a frame: another one may begin.
    Between,
}

struct Unzstd {
    context: DCtx<'static>,
    window_log_max: u32,
    /// Whether the library may have output without more input. It takes calls that move nothing amiss, so it is not asked otherwise.
    pending: bool,
    place: Place,
}

impl Unzstd {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let room = out.len();
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(out));
        let result = self.context.decompress_stream(&mut output, &mut input);
        let left = self.judged(result)?;
        let (consumed, written) = (input.pos(), output.pos());
        self.pending = left > 0 && written == room;
        self.place = match left {
            0 => Place::Between,
            _ => Place::Within,
        };
        let next = match self.pending {
            true => Next::Room,
            false => Next::Input,
        };
        Ok(Progress::new(consumed, written, next))
    }

    fn judged(&self, result: SafeResult) -> Result<usize, StreamError> {
        let format = FORMAT;
        result.map_err(|code| match get_error_name(code) {
            "Frame requires too much memory for decoding" => StreamError::WindowTooLarge {
                format,
                bytes_max: 1 << self.window_log_max,
            },
            "Allocation error : not enough memory" => StreamError::OutOfMemory { format },
            what => StreamError::Malformed { format, what },
        })
    }
}

/// Whether a frame, skippable or not, may begin with this byte (RFC 8878 §3.1.1 and §3.1.2, little-endian).
const fn begins(first: u8) -> bool {
    first == 0x28 || first & 0xf0 == 0x50
}

impl Codec for Unzstd {
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (mut consumed, mut written) = (0, 0);
        loop {
            let rest = &input[consumed..];
            match (rest.first(), self.place) {
                (Some(first), Place::Between) if !begins(*first) => {
                    return Err(StreamError::TrailingBytes { format: FORMAT });
                }
                (None, _) if !self.pending => {
                    return Ok(Progress::new(consumed, written, Next::Input));
                }
                _ if written == out.len() => {
                    return Ok(Progress::new(consumed, written, Next::Room));
                }
                _ => {}
            }
            // A frame's first byte goes alone: shown a whole frame, the library decodes it in one go, in which it neither looks at the window nor has the same faults.
            let shown = match self.place {
                Place::Within => rest,
                Place::Before | Place::Between => &rest[..rest.len().min(1)],
            };
            let progress = self.step(shown, &mut out[written..])?;
            consumed += progress.consumed;
            written += progress.written;
        }
    }

    fn end(&self) -> Result<(), StreamError> {
        match self.place {
            Place::Between => Ok(()),
            Place::Before | Place::Within => Err(StreamError::Truncated { format: FORMAT }),
        }
    }
}

impl fmt::Debug for ZstdEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZstdEncoder({}, {:?})", self.level, self.life)
    }
}

impl fmt::Debug for ZstdDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZstdDecoder({:?})", self.life)
    }
}
