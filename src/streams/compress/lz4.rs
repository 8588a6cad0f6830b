//! The frame format of LZ4, both ways, through lz4_flex without unsafe code.
//!
//! Its reader and writer are of the blocking kind. So the decoder cuts the stream into units (a header, a block with its checksum, an end mark), which takes their lengths
//! alone, and lends the reader one whole unit at a time: it never sees an end where there is none.

use super::Limits;
use super::limits::{Codec, Meter, decoder};
use crate::life::Life;
use crate::{Format, Next, Progress, Stage, StreamError};
use core::fmt;
use lz4_flex::frame::{BlockMode, BlockSize, Error, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{self, BufRead, Read, Write};

const FORMAT: Format = Format::Lz4;

/// Makes one frame of linked blocks of 64 KiB, with a checksum.
pub struct Lz4Encoder {
    encoder: FrameEncoder<Vec<u8>>,
    /// How much of what the encoder wrote was given.
    given: usize,
    finished: bool,
    life: Life,
}

impl Lz4Encoder {
    const BLOCK_BYTES: usize = 64 * 1024;
    /// The encoder's window and blocks, its table, and one block on its way out.
    const MEMORY_BYTES_MAX: usize = 512 * 1024;

    /// There is one level: who wants it smaller wants zstd.
    #[must_use]
    pub fn new() -> Self {
        let info = FrameInfo::new()
            .block_size(BlockSize::Max64KB)
            .block_mode(BlockMode::Linked)
            .content_checksum(true);
        Self {
            encoder: FrameEncoder::with_frame_info(info, Vec::new()),
            given: 0,
            finished: false,
            life: Life::Open,
        }
    }
}

impl Default for Lz4Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives what the encoder has written; whether all of it went.
fn drain(
    encoder: &mut FrameEncoder<Vec<u8>>,
    given: &mut usize,
    out: &mut [u8],
    written: &mut usize,
) -> bool {
    let waiting = &encoder.get_ref()[*given..];
    let bytes = waiting.len().min(out.len() - *written);
    out[*written..*written + bytes].copy_from_slice(&waiting[..bytes]);
    *written += bytes;
    *given += bytes;
    if *given < encoder.get_ref().len() {
        return false;
    }
    encoder.get_mut().clear();
    *given = 0;
    true
}

impl Stage for Lz4Encoder {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (encoder, given) = (&mut self.encoder, &mut self.given);
        self.life.push(out.len(), || {
            let (mut consumed, mut written) = (0, 0);
            while drain(encoder, given, out, &mut written) {
                let rest = &input[consumed..];
                if rest.is_empty() {
                    return Ok(Progress::new(consumed, written, Next::Input));
                }
                // At most one block comes of it.
                let taken = rest.len().min(Self::BLOCK_BYTES);
                let pushed = encoder.write_all(&rest[..taken]);
                pushed.map_err(|_| StreamError::OutOfMemory { format: FORMAT })?;
                consumed += taken;
            }
            Ok(Progress::new(consumed, written, Next::Room))
        })
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let (encoder, given) = (&mut self.encoder, &mut self.given);
        let finished = &mut self.finished;
        self.life.finish(out.len(), || {
            let mut written = 0;
            while drain(encoder, given, out, &mut written) {
                if *finished {
                    return Ok(Progress::new(0, written, Next::End));
                }
                let ended = encoder.try_finish();
                ended.map_err(|_| StreamError::OutOfMemory { format: FORMAT })?;
                *finished = true;
            }
            Ok(Progress::new(0, written, Next::Room))
        })
    }

    fn memory_bytes_max(&self) -> usize {
        Self::MEMORY_BYTES_MAX
    }
}

/// Reads frames of LZ4, one behind another. Dictionaries, skippable and legacy frames are refused.
pub struct Lz4Decoder {
    codec: Unlz4,
    meter: Meter,
    life: Life,
    memory_bytes_max: usize,
}

impl Lz4Decoder {
    /// The largest block that the format has, which is what the command `lz4` makes.
    pub const BLOCK_BYTES_MAX: usize = 4 << 20;

    /// Within these limits, of blocks up to `block_bytes_max`.
    #[must_use]
    pub fn new(limits: Limits, block_bytes_max: usize) -> Self {
        let block_bytes_max = block_bytes_max.clamp(64 * 1024, Self::BLOCK_BYTES_MAX);
        let codec = Unlz4 {
            decoder: FrameDecoder::new(Unit::default()),
            block_bytes_max,
            place: Place::Before,
            next: Part::Header,
            checksums: Checksums::default(),
        };
        Self {
            codec,
            meter: Meter::new(limits),
            life: Life::Open,
            // The unit, which may have grown to twice its length, its copy, two blocks of output, the window before them.
            memory_bytes_max: 5 * block_bytes_max + 128 * 1024,
        }
    }
}

decoder!(Lz4Decoder);

/// One unit of the stream, as a reader.
#[derive(Default)]
struct Unit {
    bytes: Vec<u8>,
    read: usize,
}

impl Read for Unit {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = (&self.bytes[self.read..]).read(out)?;
        self.read += read;
        Ok(read)
    }
}

/// What kind of unit comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    Block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Between,
}

#[derive(Clone, Copy, Default)]
struct Checksums {
    of_blocks: bool,
    of_content: bool,
}

impl Checksums {
    const fn of(flags: u8) -> Self {
        Self {
            of_blocks: flags & 0x10 != 0,
            of_content: flags & 4 != 0,
        }
    }
}

struct Unlz4 {
    decoder: FrameDecoder<Unit>,
    block_bytes_max: usize,
    place: Place,
    next: Part,
    checksums: Checksums,
}

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

impl Unlz4 {
    /// How long the unit is, as far as its first bytes say: at least so many bytes are its own.
    fn unit_bytes(&self) -> Result<usize, StreamError> {
        let bytes = &self.decoder.get_ref().bytes;
        match self.next {
            Part::Header => self.header_bytes(bytes),
            Part::Block => self.block_bytes(bytes),
        }
    }

    fn header_bytes(&self, bytes: &[u8]) -> Result<usize, StreamError> {
        let known = bytes.len().min(4);
        if bytes[..known] != MAGIC[..known] {
            return Err(match self.place {
                Place::Between => StreamError::TrailingBytes { format: FORMAT },
                _ => malformed("it does not begin as a frame does"),
            });
        }
        let &[_, _, _, _, flags, block, ..] = bytes else {
            return Ok(6);
        };
        if flags & 1 != 0 {
            return Err(unsupported("a dictionary"));
        }
        let log2 = 8 + 2 * u32::from(block >> 4 & 7);
        if log2 < 16 {
            return Err(malformed("its header says a block size that is none"));
        }
        if 1 << log2 > self.block_bytes_max {
            return Err(StreamError::WindowTooLarge {
                format: FORMAT,
                bytes_max: self.block_bytes_max as u64,
            });
        }
        let content_size = if flags & 8 != 0 { 8 } else { 0 };
        Ok(7 + content_size)
    }

    fn block_bytes(&self, bytes: &[u8]) -> Result<usize, StreamError> {
        let Some(word) = bytes.first_chunk().copied().map(u32::from_le_bytes) else {
            return Ok(4);
        };
        if word == 0 {
            return Ok(if self.checksums.of_content { 8 } else { 4 });
        }
        // The highest bit says that the block is stored.
        let bytes = (word & 0x7fff_ffff) as usize;
        if bytes > self.block_bytes_max {
            return Err(malformed("a block is longer than its frame allows"));
        }
        Ok(if self.checksums.of_blocks { 8 } else { 4 } + bytes)
    }

    /// Takes bytes of the next unit from the input; how many, and whether the unit is whole.
    fn gather(&mut self, input: &[u8]) -> Result<(usize, bool), StreamError> {
        let mut taken = 0;
        loop {
            let wanted = self.unit_bytes()?;
            let unit = &mut self.decoder.get_mut().bytes;
            let missing = wanted - unit.len();
            if missing == 0 {
                return Ok((taken, true));
            }
            let bytes = missing.min(input.len() - taken);
            if bytes == 0 {
                return Ok((taken, false));
            }
            unit.extend_from_slice(&input[taken..taken + bytes]);
            taken += bytes;
        }
    }

    /// Has the reader read the unit, and notes what it was.
    fn read_unit(&mut self) -> Result<(), StreamError> {
        if self.next == Part::Header {
            let unit = core::mem::take(self.decoder.get_mut());
            self.checksums = Checksums::of(unit.bytes[4]);
            // A reader of its own for each frame: its buffers are as long as the frame's blocks want them.
            self.decoder = FrameDecoder::new(unit);
        }
        let ends = self.next == Part::Block && self.decoder.get_ref().bytes[..4] == [0; 4];
        self.decoder.fill_buf().map_err(|error| judged(&error))?;
        (self.next, self.place) = match ends {
            true => (Part::Header, Place::Between),
            false => (Part::Block, Place::Within),
        };
        Ok(())
    }

    /// Gives what the reader decoded of the unit that it has; whether there was more than room.
    fn give(&mut self, out: &mut [u8]) -> Result<(usize, bool), StreamError> {
        let unit = self.decoder.get_ref();
        if unit.read == 0 || unit.bytes.is_empty() {
            return Ok((0, false));
        }
        // Nothing is read for it: what was decoded is asked for first, and the unit has no byte left.
        let decoded = self.decoder.fill_buf().map_err(|error| judged(&error))?;
        let bytes = decoded.len().min(out.len());
        out[..bytes].copy_from_slice(&decoded[..bytes]);
        let more = decoded.len() > bytes;
        self.decoder.consume(bytes);
        if !more {
            let unit = self.decoder.get_mut();
            unit.bytes.clear();
            unit.read = 0;
        }
        Ok((bytes, more))
    }
}

impl Codec for Unlz4 {
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (mut consumed, mut written) = (0, 0);
        loop {
            let (given, more) = self.give(&mut out[written..])?;
            written += given;
            if more {
                return Ok(Progress::new(consumed, written, Next::Room));
            }
            let (taken, whole) = self.gather(&input[consumed..])?;
            consumed += taken;
            if !whole {
                return Ok(Progress::new(consumed, written, Next::Input));
            }
            self.read_unit()?;
        }
    }

    fn end(&self) -> Result<(), StreamError> {
        let begun = !self.decoder.get_ref().bytes.is_empty();
        match self.place {
            Place::Between if !begun => Ok(()),
            _ => Err(StreamError::Truncated { format: FORMAT }),
        }
    }
}

const fn malformed(what: &'static str) -> StreamError {
    StreamError::Malformed {
        format: FORMAT,
        what,
    }
}

const fn unsupported(what: &'static str) -> StreamError {
    StreamError::Unsupported {
        format: FORMAT,
        what,
    }
}

/// The library's error, which it wraps into one of the standard library's.
fn judged(error: &io::Error) -> StreamError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::HeaderChecksumError) => malformed("its header does not fit its checksum"),
        Some(Error::BlockChecksumError) => malformed("a block does not fit its checksum"),
        Some(Error::ContentChecksumError) => malformed("its content does not fit its checksum"),
        Some(Error::ContentLengthError { .. }) => malformed("it is not as long as it says"),
        Some(Error::UnsupportedVersion(_)) => unsupported("a later version"),
        _ => malformed("its header or a block is wrong"),
    }
}

impl fmt::Debug for Lz4Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lz4Encoder({:?})", self.life)
    }
}

impl fmt::Debug for Lz4Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lz4Decoder({:?})", self.life)
    }
}
