//! Stages own no more than they say: counted by the allocator, and of zstd by itself. One test, so that nobody else allocates meanwhile.

mod support;

use cap::Cap;
use ringway_streams::compress::{
    BrotliDecoder, BrotliEncoder, DeflateDecoder, DeflateEncoder, Limits, Lz4Decoder, Lz4Encoder,
    Wrapper, ZstdDecoder, ZstdEncoder,
};
use ringway_streams::crypt::{Opener, Sealer};
use ringway_streams::{Next, Stage};
use std::alloc::System;
use support::{Random, header, key, made, text};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Pushes all of it in small pieces; the most that was allocated beyond what there was before.
fn fill(stage: &mut dyn Stage, input: &[u8], out: &mut [u8], before: usize) -> usize {
    let mut most = 0;
    for mut piece in input.chunks(16 * 1024) {
        let mut next = Next::Room;
        while next != Next::Input {
            let progress = stage.push(piece, out).unwrap();
            piece = &piece[progress.consumed..];
            next = progress.next;
            most = most.max(ALLOCATOR.allocated().saturating_sub(before));
        }
    }
    most
}

/// One in the middle of this input, beside what it says.
fn check(name: &str, make: &dyn Fn() -> Box<dyn Stage>, input: &[u8]) {
    let mut out = vec![0; 64 * 1024];
    let before = ALLOCATOR.allocated();
    let mut stage = make();
    // The box itself is `size_of`, which is not counted.
    let own = size_of_val(&*stage);
    let most = fill(&mut *stage, input, &mut out, before).saturating_sub(own);
    let said = stage.memory_bytes_max();
    eprintln!("{name:<12} {most:>10} of {said:>10}");
    assert!(most <= said, "{name}: {most} bytes, said {said}");
}

#[test]
fn no_stage_owns_more_than_it_says() {
    let mut random = Random::new(9);
    // Far beyond every window, and different in each part.
    let noise = random.bytes(1 << 20);
    let texts = text(5 << 20);
    let mut input = vec![];
    for (index, part) in texts.chunks(1 << 20).enumerate() {
        input.extend_from_slice(part);
        input.extend_from_slice(&noise[index * 100_000..][..100_000]);
    }
    let half = |stream: Vec<u8>| stream[..stream.len() - 20].to_vec();
    let limits = Limits::NONE;

    for level in [1, 6, 9] {
        let make =
            move || -> Box<dyn Stage> { Box::new(DeflateEncoder::new(Wrapper::Gzip, level)) };
        check(&format!("gzip {level}"), &make, &input);
    }
    let stream = half(made(&mut DeflateEncoder::new(Wrapper::Gzip, 6), &input));
    check(
        "un-gzip",
        &|| Box::new(DeflateDecoder::new(Wrapper::Gzip, limits)),
        &stream,
    );
    for quality in 0..=9 {
        let make = move || -> Box<dyn Stage> { Box::new(BrotliEncoder::new(quality, 22)) };
        check(&format!("brotli {quality}"), &make, &input);
    }
    for quality in 0..=4 {
        let window_log = BrotliEncoder::WINDOW_LOG_SMALL;
        let make = move || -> Box<dyn Stage> { Box::new(BrotliEncoder::new(quality, window_log)) };
        check(&format!("small br {quality}"), &make, &input);
    }
    let stream = half(made(&mut BrotliEncoder::new(4, 22), &input));
    check(
        "un-brotli",
        &|| Box::new(BrotliDecoder::new(limits, 22)),
        &stream,
    );
    check("lz4", &|| Box::new(Lz4Encoder::new()), &input);
    let stream = half(made(&mut Lz4Encoder::new(), &input));
    check(
        "un-lz4",
        &|| Box::new(Lz4Decoder::new(limits, 64 * 1024)),
        &stream,
    );
    check("seal", &|| Box::new(Sealer::new(&key(), header())), &input);
    let stream = half(made(&mut Sealer::new(&key(), header()), &input));
    check("open", &|| Box::new(Opener::new(&key())), &stream);

    what_zstd_says_of_itself(&input);
}

/// Its contexts are the library's, which counts them.
fn what_zstd_says_of_itself(input: &[u8]) {
    let mut out = vec![0; 64 * 1024];
    for level in 1..=9 {
        let mut encoder = ZstdEncoder::new(level).unwrap();
        fill(&mut encoder, input, &mut out, 0);
        let (takes, said) = (encoder.memory_bytes(), encoder.memory_bytes_max());
        assert!(takes <= said, "level {level}: {takes} bytes, said {said}");
        let stream = made(&mut ZstdEncoder::new(level).unwrap(), input);
        let mut decoder = ZstdDecoder::new(Limits::NONE, 23).unwrap();
        fill(&mut decoder, &stream[..stream.len() - 20], &mut out, 0);
        let (takes, said) = (decoder.memory_bytes(), decoder.memory_bytes_max());
        assert!(
            takes <= said,
            "reading level {level}: {takes} bytes, said {said}"
        );
    }
}
