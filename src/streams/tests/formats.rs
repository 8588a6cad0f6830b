//! Each format against what its own tools made, round trips, limits, and what is refused by name.
//!
//! `fixtures/` is `text(3000)` as gzip 1.12, zstd 1.5.4, lz4 1.9.4, Python's zlib and Node's brotli compress it.

mod support;

use ringway_streams::compress::{
    BrotliDecoder, BrotliEncoder, DeflateDecoder, DeflateEncoder, Limits, Lz4Decoder, Lz4Encoder,
    Wrapper, ZstdDecoder, ZstdEncoder,
};
use ringway_streams::{Format, Next, Stage, StreamError, run};
use support::{Random, made, text};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name)).as_slice()
    };
}

fn inflate(wrapper: Wrapper) -> DeflateDecoder {
    DeflateDecoder::new(wrapper, Limits::NONE)
}

fn unbrotli() -> BrotliDecoder {
    BrotliDecoder::new(Limits::NONE, BrotliDecoder::WINDOW_LOG_MAX)
}

fn unlz4() -> Lz4Decoder {
    Lz4Decoder::new(Limits::NONE, Lz4Decoder::BLOCK_BYTES_MAX)
}

fn unzstd(window_log_max: u32) -> ZstdDecoder {
    ZstdDecoder::new(Limits::NONE, window_log_max).unwrap()
}

#[track_caller]
fn reads(mut decoder: impl Stage, input: &[u8]) {
    assert_eq!(run(&mut decoder, input, usize::MAX), Ok(text(3000)));
}

#[test]
fn what_the_formats_own_tools_made() {
    reads(inflate(Wrapper::Gzip), fixture!("gzip-9.gz"));
    reads(inflate(Wrapper::Gzip), fixture!("gzip-named.gz"));
    reads(inflate(Wrapper::Zlib), fixture!("zlib-6.zz"));
    reads(inflate(Wrapper::Raw), fixture!("raw-window-9.deflate"));
    reads(unzstd(23), fixture!("zstd-19.zst"));
    reads(unzstd(23), fixture!("zstd-fast-nocheck.zst"));
    reads(unzstd(27), fixture!("zstd-long.zst"));
    reads(unlz4(), fixture!("lz4-linked.lz4"));
    reads(unlz4(), fixture!("lz4-blocks.lz4"));
    reads(unlz4(), fixture!("lz4-sized.lz4"));
    reads(unbrotli(), fixture!("brotli-11.br"));
    reads(unbrotli(), fixture!("brotli-1-window-16.br"));
}

#[test]
fn rfc1952_2_2_members_follow_one_another() {
    reads(inflate(Wrapper::Gzip), fixture!("gzip-members.gz"));
}

#[test]
fn rfc8878_3_1_frames_follow_one_another() {
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2];
    let frame = |part| made(&mut ZstdEncoder::new(1).unwrap(), part);
    let (head, tail) = (&text(3000)[..1000], &text(3000)[1000..]);
    let stream = [
        &skippable[..],
        &frame(head),
        &frame(b""),
        &frame(tail),
        &skippable,
    ];
    reads(unzstd(23), &stream.concat());
}

#[test]
fn frames_of_lz4_follow_one_another() {
    let stream = [fixture!("lz4-linked.lz4"), fixture!("lz4-blocks.lz4")].concat();
    let twice = [text(3000), text(3000)].concat();
    assert_eq!(run(&mut unlz4(), &stream, usize::MAX), Ok(twice));
}

/// What each level makes, read again.
#[test]
fn every_level_and_window_there_and_back() {
    let mut random = Random::new(1);
    let input = [text(100_000), random.bytes(70_000), vec![0; 70_000]].concat();
    let same = |name: &str, there: &mut dyn Stage, back: &mut dyn Stage| {
        assert!(made(back, &made(there, &input)) == input, "{name}");
    };
    for wrapper in [Wrapper::Gzip, Wrapper::Zlib, Wrapper::Raw] {
        for level in [0, 1, 6, 9, 99] {
            same(
                "deflate",
                &mut DeflateEncoder::new(wrapper, level),
                &mut inflate(wrapper),
            );
        }
    }
    for (quality, window) in
        (0..=9).flat_map(|quality| [(quality, 10), (quality, 18), (quality, 22)])
    {
        let mut there = BrotliEncoder::new(quality, window);
        // The two fastest qualities have a window of 2^18 at least.
        let window = if quality < 2 { window.max(18) } else { window };
        let mut back = BrotliDecoder::new(Limits::NONE, window);
        same("brotli", &mut there, &mut back);
    }
    for level in -5..=12 {
        same(
            "zstd",
            &mut ZstdEncoder::new(level).unwrap(),
            &mut unzstd(23),
        );
    }
    same(
        "lz4",
        &mut Lz4Encoder::new(),
        &mut Lz4Decoder::new(Limits::NONE, 0),
    );
}

/// Each decoder with a sound stream, and its format.
fn decoders(limits: Limits, input: &[u8]) -> Vec<(Format, Box<dyn Stage>, Vec<u8>)> {
    let gzip = made(&mut DeflateEncoder::new(Wrapper::Gzip, 6), input);
    let zlib = made(&mut DeflateEncoder::new(Wrapper::Zlib, 6), input);
    let raw = made(&mut DeflateEncoder::new(Wrapper::Raw, 6), input);
    let brotli = made(&mut BrotliEncoder::new(5, 22), input);
    let lz4 = made(&mut Lz4Encoder::new(), input);
    let zstd = made(&mut ZstdEncoder::new(3).unwrap(), input);
    let deflated = |wrapper| Box::new(DeflateDecoder::new(wrapper, limits));
    vec![
        (Format::Gzip, deflated(Wrapper::Gzip), gzip),
        (Format::Zlib, deflated(Wrapper::Zlib), zlib),
        (Format::Deflate, deflated(Wrapper::Raw), raw),
        (
            Format::Brotli,
            Box::new(BrotliDecoder::new(limits, 24)),
            brotli,
        ),
        (
            Format::Lz4,
            Box::new(Lz4Decoder::new(limits, usize::MAX)),
            lz4,
        ),
        (
            Format::Zstd,
            Box::new(ZstdDecoder::new(limits, 23).unwrap()),
            zstd,
        ),
    ]
}

#[test]
fn what_follows_the_end_is_refused() {
    for garbage in [&b"\0"[..], b"garbage", b"\x1e\x8b"] {
        for (format, mut decoder, mut stream) in decoders(Limits::NONE, &text(3000)) {
            stream.extend_from_slice(garbage);
            let result = run(&mut *decoder, &stream, usize::MAX);
            assert_eq!(result, Err(StreamError::TrailingBytes { format }));
        }
    }
}

#[test]
fn what_ends_early_is_refused() {
    for cut in [1, 5, 100] {
        for (format, mut decoder, mut stream) in decoders(Limits::NONE, &text(3000)) {
            stream.truncate(stream.len() - cut);
            let result = run(&mut *decoder, &stream, usize::MAX);
            assert_eq!(
                result,
                Err(StreamError::Truncated { format }),
                "{cut} bytes"
            );
        }
    }
}

#[test]
fn a_changed_checksum_is_refused() {
    for (format, mut decoder, mut stream) in decoders(Limits::NONE, &text(3000)) {
        if matches!(format, Format::Deflate | Format::Brotli) {
            continue; // They have none.
        }
        // gzip's length stands behind its checksum.
        let at = stream.len() - if format == Format::Gzip { 5 } else { 1 };
        stream[at] ^= 1;
        let result = run(&mut *decoder, &stream, usize::MAX);
        assert!(
            matches!(result, Err(StreamError::Malformed { .. })),
            "{format:?}: {result:?}"
        );
    }
}

#[test]
fn the_limit_of_output_is_exact() {
    let input = text(70_000);
    for bytes_max in [0, 1, 69_999, 70_000] {
        let limits = Limits {
            output_bytes_max: bytes_max,
            ..Limits::NONE
        };
        for (format, mut decoder, stream) in decoders(limits, &input) {
            let result = run(&mut *decoder, &stream, usize::MAX);
            if bytes_max == 70_000 {
                assert!(result == Ok(input.clone()), "{format:?}");
            } else {
                let refused = Err(StreamError::OutputTooLong { bytes_max });
                assert_eq!(result, refused, "{format:?}");
            }
        }
    }
}

#[test]
fn a_bomb_is_seen_by_its_ratio() {
    // 64 MiB of zeros, which lz4 alone cannot make small enough for a ratio of 1,000.
    let limits = Limits {
        ratio_max: 200,
        ..Limits::output(u64::MAX)
    };
    for (format, mut decoder, stream) in decoders(limits, &vec![0; 64 << 20]) {
        let (mut at, mut given) = (0, 0);
        let mut out = [0; 64 * 1024];
        let error = loop {
            match decoder.push(&stream[at..], &mut out) {
                Ok(progress) => {
                    at += progress.consumed;
                    given += progress.written;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(
            error,
            StreamError::RatioTooHigh { ratio_max: 200 },
            "{format:?}"
        );
        let allowed = (1 << 20) + 200 * stream.len();
        assert!(given <= allowed, "{format:?}: {given} of {allowed}");
    }
}

#[test]
fn a_bomb_comes_in_portions_that_are_asked_for() {
    for (format, mut decoder, stream) in decoders(Limits::NONE, &vec![0; 16 << 20]) {
        let (mut at, mut given, mut calls) = (0, 0, 0);
        let mut out = [0; 1000];
        loop {
            let progress = decoder.push(&stream[at..], &mut out).unwrap();
            at += progress.consumed;
            given += progress.written;
            calls += 1;
            if progress.next == Next::Input {
                break;
            }
        }
        assert_eq!((given, at), (16 << 20, stream.len()), "{format:?}");
        assert!(calls > 16_000, "{format:?}");
    }
}

#[test]
fn windows_beyond_the_limit_are_refused() {
    let refused = |mut decoder: Box<dyn Stage>, input: &[u8], format, bytes_max| {
        let result = run(&mut *decoder, input, usize::MAX);
        assert_eq!(
            result,
            Err(StreamError::WindowTooLarge { format, bytes_max })
        );
    };
    let zstd = Box::new(unzstd(23));
    refused(zstd, fixture!("zstd-long.zst"), Format::Zstd, 1 << 23);
    let lz4 = Box::new(Lz4Decoder::new(Limits::NONE, 1 << 20));
    // A header that says blocks of 4 MiB.
    refused(lz4, b"\x04\x22\x4d\x18\x64\x70\xb9", Format::Lz4, 1 << 20);
    let brotli = Box::new(BrotliDecoder::new(Limits::NONE, 15));
    refused(
        brotli,
        fixture!("brotli-1-window-16.br"),
        Format::Brotli,
        1 << 15,
    );
}

#[test]
fn a_window_is_judged_before_a_short_content_is() {
    // A frame that says 128 MiB of window and 3,000 bytes of content, which are one stored block.
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x40, (27 - 10) << 3];
    let content_bytes = (3000_u16 - 256).to_le_bytes();
    let block = (3000_u32 << 3 | 1).to_le_bytes();
    let frame = [&header[..], &content_bytes, &block[..3], &text(3000)].concat();
    reads(unzstd(27), &frame);
    let mut out = vec![0; 100_000];
    let refused = Err(StreamError::WindowTooLarge {
        format: Format::Zstd,
        bytes_max: 1 << 23,
    });
    assert_eq!(unzstd(23).push(&frame, &mut out), refused);
    assert_eq!(unzstd(23).push(&frame[..20], &mut out), refused);
}

#[test]
fn what_is_not_read_is_named() {
    let named = |mut decoder: Box<dyn Stage>, input: &[u8]| {
        let error = run(&mut *decoder, input, usize::MAX).unwrap_err();
        error.to_string()
    };
    let brotli = named(Box::new(unbrotli()), fixture!("brotli-large-window.br"));
    assert_eq!(
        brotli,
        "a brotli stream with a large window is not read: have it made without"
    );
    let legacy = named(Box::new(unlz4()), fixture!("lz4-legacy.lz4"));
    assert!(
        legacy.contains("does not begin as a frame does"),
        "{legacy}"
    );
    // RFC 1950 §2.2: FDICT, with the checksum of the dictionary.
    let zlib = named(
        Box::new(inflate(Wrapper::Zlib)),
        &[0x78, 0xbb, 1, 2, 3, 4, 5],
    );
    assert!(zlib.contains("it needs a dictionary"), "{zlib}");
}
