//! Compressing on the way: what is compressed, how hard, and the work itself, which is done beside the shards.
//!
//! Deliberately absent: who waits for it (`hub/encoding.rs`), and the codings' own bytes (`streams`).

use ringway_proto::http1::Coding;
use ringway_streams::compress::{BrotliEncoder, DeflateEncoder, Wrapper, ZstdEncoder};
use ringway_streams::{Next, Stage};

/// How files are compressed while they are sent. A level of zero keeps its coding from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Smaller files are not worth it: they fit one packet.
    pub bytes_min: u64,
    /// Larger files would keep a processor busy for too long: they are to be compressed beforehand.
    pub bytes_max: u64,
    /// From 1 to 9.
    pub zstd_level: u8,
    /// From 1 to 9. Above 4 an encoder takes tens of MiB.
    pub brotli_quality: u8,
    /// From 1 to 9.
    pub gzip_level: u8,
    /// What the encoders of a shard may take together, with what they work on. Beyond it files go out as they are.
    pub memory_bytes_max: usize,
    /// Pieces that a shard has beside itself at a time; the others wait. Tokens are verified there, too.
    pub jobs_max: usize,
    /// What a file was compressed to is kept with the small files if it is no longer than this.
    pub kept_bytes_max: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            bytes_min: 1024,
            bytes_max: 8 << 20,
            zstd_level: 3,
            brotli_quality: 4,
            gzip_level: 4,
            memory_bytes_max: 64 << 20,
            jobs_max: 4,
            kept_bytes_max: 1 << 20,
        }
    }
}

/// An encoder on its way through one file.
pub(crate) type Encoder = Box<dyn Stage>;

impl Compression {
    const fn level(&self, coding: Coding) -> u8 {
        match coding {
            Coding::Zstd => self.zstd_level,
            Coding::Brotli => self.brotli_quality,
            Coding::Gzip => self.gzip_level,
            Coding::Identity => 0,
        }
    }

    /// Whether files are compressed to this on the way.
    #[must_use]
    pub const fn offers(&self, coding: Coding) -> bool {
        self.level(coding) > 0
    }

    /// Whether anything is compressed on the way.
    #[must_use]
    pub fn is_on(&self) -> bool {
        Coding::ALL.into_iter().any(|coding| self.offers(coding))
    }

    /// A new encoder; `None` without memory for it, or when it is not offered.
    pub(crate) fn encoder(&self, coding: Coding) -> Option<Encoder> {
        let level = u32::from(self.level(coding));
        match coding {
            _ if level == 0 => None,
            Coding::Zstd => {
                let encoder = ZstdEncoder::new(level as i32).ok()?;
                Some(Box::new(encoder))
            }
            Coding::Brotli => Some(Box::new(BrotliEncoder::new(
                level,
                BrotliEncoder::WINDOW_LOG_SMALL,
            ))),
            Coding::Gzip => Some(Box::new(DeflateEncoder::new(Wrapper::Gzip, level))),
            Coding::Identity => None,
        }
    }
}

/// Room that an encoder is offered at a time.
const ROOM_BYTES: usize = 16 * 1024;

/// All that the encoder makes of the next piece of a file, and of its end behind the last one. `None` when it has no memory.
pub(crate) fn encode(encoder: &mut dyn Stage, mut input: &[u8], is_last: bool) -> Option<Vec<u8>> {
    let (mut output, mut pushed) = (Vec::new(), false);
    loop {
        let from = output.len();
        output.resize(from + ROOM_BYTES, 0);
        let progress = match pushed {
            false => encoder.push(input, &mut output[from..]),
            true => encoder.finish(&mut output[from..]),
        };
        let progress = progress.ok()?;
        input = &input[progress.consumed..];
        output.truncate(from + progress.written);
        match progress.next {
            Next::Input if is_last => pushed = true,
            Next::Input | Next::End => return Some(output),
            // None of these waits for time.
            Next::Room | Next::Time(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_streams::compress::{BrotliDecoder, DeflateDecoder, Limits, ZstdDecoder};

    fn decoded(coding: Coding, encoded: &[u8]) -> Vec<u8> {
        let limits = Limits::output(1 << 24);
        let mut decoder: Box<dyn Stage> = match coding {
            Coding::Zstd => Box::new(ZstdDecoder::new(limits, 23).unwrap()),
            Coding::Brotli => Box::new(BrotliDecoder::new(limits, 24)),
            _ => Box::new(DeflateDecoder::new(Wrapper::Gzip, limits)),
        };
        ringway_streams::run(&mut *decoder, encoded, 1 << 24).unwrap()
    }

    #[test]
    fn pieces_make_one_stream_in_each_coding() {
        let text: Vec<u8> = (0..50_000u32)
            .flat_map(|number| format!("{number} ").into_bytes())
            .collect();
        let compression = Compression::default();
        for coding in [Coding::Zstd, Coding::Brotli, Coding::Gzip] {
            for piece_bytes in [1000, 65_536, text.len()] {
                let mut encoder = compression.encoder(coding).unwrap();
                let mut pieces = text.chunks(piece_bytes).peekable();
                let mut stream = Vec::new();
                while let Some(piece) = pieces.next() {
                    let is_last = pieces.peek().is_none();
                    stream.extend(encode(&mut *encoder, piece, is_last).unwrap());
                }
                assert!(stream.len() < text.len() / 2, "{coding:?}");
                assert_eq!(
                    decoded(coding, &stream),
                    text,
                    "{coding:?} of {piece_bytes}"
                );
            }
        }
    }

    #[test]
    fn noise_is_passed_on_whole() {
        let mut state = 7_u64;
        let noise = core::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        });
        let noise = noise.take(200_000).collect::<Vec<u8>>();
        for coding in [Coding::Zstd, Coding::Brotli, Coding::Gzip] {
            let mut encoder = Compression::default().encoder(coding).unwrap();
            let stream = encode(&mut *encoder, &noise, true).unwrap();
            assert_eq!(decoded(coding, &stream), noise, "{coding:?}");
        }
    }

    #[test]
    fn a_level_of_zero_makes_nothing() {
        let compression = Compression {
            brotli_quality: 0,
            ..Compression::default()
        };
        assert!(!compression.offers(Coding::Brotli) && compression.offers(Coding::Gzip));
        assert!(compression.encoder(Coding::Brotli).is_none());
        assert!(!compression.offers(Coding::Identity));
        let off = Compression {
            zstd_level: 0,
            gzip_level: 0,
            ..compression
        };
        assert!(compression.is_on() && !off.is_on());
    }
}
