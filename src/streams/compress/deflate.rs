//! gzip, zlib and raw deflate, through flate2 over zlib-rs.

use super::Limits;
use super::limits::{Codec, Meter, decoder};
use crate::life::Life;
use crate::{Format, Next, Progress, Stage, StreamError};
use core::fmt;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What is around the deflated bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrapper {
    /// RFC 1952: a header and CRC-32.
    Gzip,
    /// RFC 1950: two bytes and Adler-32.
    Zlib,
    /// Nothing: an error in the bytes may go unnoticed.
    Raw,
}

const WINDOW_BITS: u8 = 15;

impl Wrapper {
    const fn format(self) -> Format {
        match self {
            Self::Gzip => Format::Gzip,
            Self::Zlib => Format::Zlib,
            Self::Raw => Format::Deflate,
        }
    }

    fn compress(self, level: u32) -> Compress {
        let level = Compression::new(level.min(DeflateEncoder::LEVEL_MAX));
        match self {
            Self::Gzip => Compress::new_gzip(level, WINDOW_BITS),
            Self::Zlib => Compress::new(level, true),
            Self::Raw => Compress::new(level, false),
        }
    }

    fn decompress(self) -> Decompress {
        match self {
            Self::Gzip => Decompress::new_gzip(WINDOW_BITS),
            Self::Zlib => Decompress::new(true),
            Self::Raw => Decompress::new(false),
        }
    }
}

/// Makes gzip, zlib or raw deflate.
pub struct DeflateEncoder {
    compress: Compress,
    format: Format,
    life: Life,
}

impl DeflateEncoder {
    /// The slowest and smallest.
    pub const LEVEL_MAX: u32 = 9;

    /// zlib's own bound of 2^(15+2) + 2^(8+9), and what zlib-rs has beside it: aligned copies of the window and the pending buffer.
    const MEMORY_BYTES_MAX: usize = 512 * 1024;

    /// Of a level from 0, which stores, to [`Self::LEVEL_MAX`]; higher ones are that.
    #[must_use]
    pub fn new(wrapper: Wrapper, level: u32) -> Self {
        Self {
            compress: wrapper.compress(level),
            format: wrapper.format(),
            life: Life::Open,
        }
    }
}

/// One step of zlib's: how far it came, and its status.
fn moved(before: (u64, u64), after: (u64, u64)) -> (usize, usize) {
    ((after.0 - before.0) as usize, (after.1 - before.1) as usize)
}

fn compress(
    stream: &mut Compress,
    format: Format,
    input: &[u8],
    out: &mut [u8],
    flush: FlushCompress,
) -> Result<Progress, StreamError> {
    let before = (stream.total_in(), stream.total_out());
    let status = stream.compress(input, out, flush);
    let status = status.map_err(|_| StreamError::OutOfMemory { format })?;
    let (consumed, written) = moved(before, (stream.total_in(), stream.total_out()));
    let next = match status {
        Status::StreamEnd => Next::End,
        _ if written == out.len() => Next::Room,
        _ => Next::Input,
    };
    Ok(Progress::new(consumed, written, next))
}

impl Stage for DeflateEncoder {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (stream, format) = (&mut self.compress, self.format);
        self.life.push(out.len(), || {
            compress(stream, format, input, out, FlushCompress::None)
        })
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let (stream, format) = (&mut self.compress, self.format);
        self.life.finish(out.len(), || {
            compress(stream, format, &[], out, FlushCompress::Finish)
        })
    }

    fn memory_bytes_max(&self) -> usize {
        Self::MEMORY_BYTES_MAX
    }
}

/// Reads gzip, zlib or raw deflate. gzip may have several members: RFC 1952 §2.2 has a file be a series of them.
pub struct DeflateDecoder {
    codec: Inflate,
    meter: Meter,
    life: Life,
    memory_bytes_max: usize,
}

impl DeflateDecoder {
    /// The window of 32 KiB and the tables beside it.
    const MEMORY_BYTES_MAX: usize = 128 * 1024;

    /// Within these limits.
    #[must_use]
    pub fn new(wrapper: Wrapper, limits: Limits) -> Self {
        let codec = Inflate {
            decompress: wrapper.decompress(),
            wrapper,
            place: Place::Within,
        };
        Self {
            codec,
            meter: Meter::new(limits),
            life: Life::Open,
            memory_bytes_max: Self::MEMORY_BYTES_MAX,
        }
    }
}

decoder!(DeflateDecoder);

/// Where in its stream a decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Within it, or before it.
    Within,
    /// Behind a member's end: another one may begin.
    Between,
}

struct Inflate {
    decompress: Decompress,
    wrapper: Wrapper,
    place: Place,
}

impl Inflate {
    /// One call of the library, which stops at a member's end.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let before = (self.decompress.total_in(), self.decompress.total_out());
        let flush = FlushDecompress::None;
        let status = self.decompress.decompress(input, out, flush);
        let status = status.map_err(|error| StreamError::Malformed {
            format: self.wrapper.format(),
            what: said(error.needs_dictionary().is_some()),
        })?;
        let after = (self.decompress.total_in(), self.decompress.total_out());
        let (consumed, written) = moved(before, after);
        let next = match status {
            Status::StreamEnd => Next::End,
            _ if written == out.len() => Next::Room,
            _ => Next::Input,
        };
        Ok(Progress::new(consumed, written, next))
    }

    /// Begins another member if this is what may begin one.
    fn begin(&mut self, first: u8) -> Result<(), StreamError> {
        let format = self.wrapper.format();
        // RFC 1952 §2.3.1: ID1 = 31.
        if self.wrapper != Wrapper::Gzip || first != 0x1f {
            return Err(StreamError::TrailingBytes { format });
        }
        self.decompress = self.wrapper.decompress();
        self.place = Place::Within;
        Ok(())
    }
}

const fn said(needs_dictionary: bool) -> &'static str {
    if needs_dictionary {
        "it needs a dictionary"
    } else {
        "its deflated bytes, its header or its checksum are wrong"
    }
}

impl Codec for Inflate {
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (mut consumed, mut written) = (0, 0);
        loop {
            if self.place == Place::Between {
                let Some(first) = input.get(consumed) else {
                    return Ok(Progress::new(consumed, written, Next::Input));
                };
                self.begin(*first)?;
            }
            let progress = self.step(&input[consumed..], &mut out[written..])?;
            consumed += progress.consumed;
            written += progress.written;
            match progress.next {
                Next::End => self.place = Place::Between,
                next => return Ok(Progress::new(consumed, written, next)),
            }
        }
    }

    fn end(&self) -> Result<(), StreamError> {
        match self.place {
            Place::Between => Ok(()),
            Place::Within => Err(StreamError::Truncated {
                format: self.wrapper.format(),
            }),
        }
    }
}

impl fmt::Debug for DeflateEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeflateEncoder({:?}, {:?})", self.format, self.life)
    }
}

impl fmt::Debug for DeflateDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DeflateDecoder({:?}, {:?})",
            self.codec.wrapper, self.life
        )
    }
}
