//! Stages with what they are fed, and a source of chance that a seed decides.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use ringway_streams::compress::{
    BrotliDecoder, BrotliEncoder, DeflateDecoder, DeflateEncoder, Limits, Lz4Decoder, Lz4Encoder,
    Wrapper, ZstdDecoder, ZstdEncoder,
};
use ringway_streams::crypt::{FileKey, Header, Layout, Opener, RangeReader, Sealer};
use ringway_streams::{Bucket, Chain, Format, Stage, StreamError, Throttle, run};

/// xorshift64*: a seed always gives the same.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 32) as usize % bound.max(1)
    }

    /// A size of a piece: small ones often, large ones too.
    pub fn size(&mut self) -> usize {
        1 << self.below(18)
    }

    /// One to three changes, as bytes get broken.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.below(256) as u8),
                _ => drop(bytes.drain(at..bytes.len().min(at + 1 + self.below(9)))),
            }
        }
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Text of JSON's kind.
pub fn text(len: usize) -> Vec<u8> {
    let lines =
        (0_u32..).map(|n| format!("{{\"id\":{n},\"name\":\"user {}\"}}\n", n * 7919 % 1000));
    lines.flat_map(String::into_bytes).take(len).collect()
}

/// A stage, and what to try it on.
pub struct Case {
    pub name: &'static str,
    pub make: Box<dyn Fn() -> Box<dyn Stage>>,
    pub inputs: Vec<Vec<u8>>,
    /// Reads the output, of a compressor, whose bytes may differ.
    pub back: Option<Box<dyn Fn() -> Box<dyn Stage>>>,
    /// What an empty input is, if it is wrong.
    pub empty: Option<StreamError>,
}

fn case<S: Stage + 'static>(name: &'static str, make: impl Fn() -> S + 'static) -> Case {
    Case {
        name,
        make: Box::new(move || Box::new(make())),
        inputs: plain(),
        back: None,
        empty: None,
    }
}

fn compressor<S: Stage + 'static, B: Stage + 'static>(
    name: &'static str,
    make: impl Fn() -> S + 'static,
    back: impl Fn() -> B + 'static,
) -> Case {
    Case {
        back: Some(Box::new(move || Box::new(back()))),
        ..case(name, make)
    }
}

/// Nothing, a byte, text, noise, zeros; short ones and ones beyond a segment and a block.
pub fn plain() -> Vec<Vec<u8>> {
    let mut random = Random::new(3);
    let sizes = [65_535, 65_536, 65_537];
    let mut inputs = vec![
        vec![],
        vec![7],
        text(300),
        random.bytes(5000),
        vec![0; 9000],
    ];
    inputs.extend(sizes.map(|bytes| random.bytes(bytes)));
    inputs.push(text(300_000));
    inputs.push([vec![0; 150_000], random.bytes(140_000)].concat());
    inputs
}

pub fn made(stage: &mut dyn Stage, input: &[u8]) -> Vec<u8> {
    run(stage, input, usize::MAX).unwrap()
}

fn decoder<S: Stage + 'static>(
    name: &'static str,
    format: Format,
    make: impl Fn() -> S + 'static,
    encode: impl Fn(&[u8]) -> Vec<u8>,
) -> Case {
    let inputs = plain().iter().map(|input| encode(input)).collect();
    Case {
        inputs,
        empty: Some(StreamError::Truncated { format }),
        ..case(name, make)
    }
}

pub fn key() -> FileKey {
    FileKey::new([0x42; 32])
}

pub fn header() -> Header {
    Header::new([1, 2, 3, 4, 5, 6, 7], [9; 16])
}

fn zstd_decoder() -> ZstdDecoder {
    ZstdDecoder::new(Limits::NONE, ZstdDecoder::WINDOW_LOG_MAX).unwrap()
}

fn deflated() -> Vec<Case> {
    let mut cases = vec![];
    for (there, back, wrapper, format) in [
        ("gzip", "un-gzip", Wrapper::Gzip, Format::Gzip),
        ("zlib", "un-zlib", Wrapper::Zlib, Format::Zlib),
        ("deflate", "inflate", Wrapper::Raw, Format::Deflate),
    ] {
        let encoder = move || DeflateEncoder::new(wrapper, 6);
        let unlimited = move || DeflateDecoder::new(wrapper, Limits::NONE);
        cases.push(compressor(there, encoder, unlimited));
        let encode = |input: &[u8]| made(&mut encoder(), input);
        cases.push(decoder(back, format, unlimited, encode));
    }
    let members = |input: &[u8]| {
        let member = |part| made(&mut DeflateEncoder::new(Wrapper::Gzip, 1), part);
        [member(input), member(b""), member(input)].concat()
    };
    let limited = || DeflateDecoder::new(Wrapper::Gzip, Limits::output(650_000));
    cases.push(decoder(
        "un-gzip of members",
        Format::Gzip,
        limited,
        members,
    ));
    let scarce = || DeflateDecoder::new(Wrapper::Gzip, Limits::output(4_000));
    cases.push(decoder(
        "un-gzip with a limit",
        Format::Gzip,
        scarce,
        members,
    ));
    cases
}

fn others() -> Vec<Case> {
    let brotli = || BrotliEncoder::new(5, 22);
    let unbrotli = || BrotliDecoder::new(Limits::NONE, BrotliDecoder::WINDOW_LOG_MAX);
    let lz4 = Lz4Encoder::new;
    let unlz4 = || Lz4Decoder::new(Limits::NONE, Lz4Decoder::BLOCK_BYTES_MAX);
    let zstd = || ZstdEncoder::new(3).unwrap();
    let frames = |input: &[u8]| {
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frame = made(&mut zstd(), input);
        [frame.clone(), skippable, frame].concat()
    };
    let lz4_frames = |input: &[u8]| [made(&mut lz4(), input), made(&mut lz4(), b"x")].concat();
    vec![
        compressor("brotli", brotli, unbrotli),
        decoder("un-brotli", Format::Brotli, unbrotli, |input| {
            made(&mut brotli(), input)
        }),
        compressor("lz4", lz4, unlz4),
        decoder("un-lz4", Format::Lz4, unlz4, |input| {
            made(&mut lz4(), input)
        }),
        decoder("un-lz4 of frames", Format::Lz4, unlz4, lz4_frames),
        compressor("zstd", zstd, zstd_decoder),
        decoder("un-zstd", Format::Zstd, zstd_decoder, |input| {
            made(&mut zstd(), input)
        }),
        decoder("un-zstd of frames", Format::Zstd, zstd_decoder, frames),
    ]
}

fn encrypted() -> Vec<Case> {
    let seal = || Sealer::new(&key(), header());
    let layout = Layout::of_plaintext(200_000).unwrap();
    let span = layout.span(70_000..140_001).unwrap();
    let sealed = made(&mut seal(), &text(200_000));
    let part = span.ciphertext.start as usize..span.ciphertext.end as usize;
    let range = move || RangeReader::new(&key(), header(), layout, &span);
    let truncated = StreamError::Truncated {
        format: Format::Encrypted,
    };
    vec![
        case("seal", seal),
        decoder(
            "open",
            Format::Encrypted,
            || Opener::new(&key()),
            |input| made(&mut seal(), input),
        ),
        Case {
            // A short one beside it, which ends too early.
            inputs: vec![sealed[part.clone()].to_vec(), sealed[part][..9000].to_vec()],
            empty: Some(truncated),
            ..case("open a range", range)
        },
    ]
}

/// Every stage that there is.
pub fn cases() -> Vec<Case> {
    let throttle = || Throttle::new(Bucket::new(100_000, 5_000));
    let chain = || {
        let sealed = Chain::new(ZstdEncoder::new(1).unwrap(), Sealer::new(&key(), header()));
        Chain::new(
            sealed,
            Chain::with_buffer(Opener::new(&key()), zstd_decoder(), 77),
        )
    };
    let mut cases = deflated();
    cases.extend(others());
    cases.extend(encrypted());
    cases.push(case("throttle", throttle));
    cases.push(case("a chain", chain));
    cases
}
