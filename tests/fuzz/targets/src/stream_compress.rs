//! Decoders of the streams: the same output and the same error wherever the input is cut and however small the rooms are, and never more than the limits.

use crate::input::{Input, pieces};
use ringway_streams::compress::{
    BrotliDecoder, BrotliEncoder, DeflateDecoder, DeflateEncoder, Limits, Lz4Decoder, Lz4Encoder,
    Wrapper, ZstdDecoder, ZstdEncoder,
};
use ringway_streams::{Next, Stage, StreamError, run};

const OUTPUT_BYTES_MAX: u64 = 300_000;
/// Rooms of few bytes make many calls: they are for outputs of so many.
const FINE_BYTES_MAX: usize = 20_000;

const LIMITS: Limits = Limits {
    output_bytes_max: OUTPUT_BYTES_MAX,
    ..Limits::NONE
};

/// All output, and how it ended.
type Outcome = (Vec<u8>, Option<StreamError>);

/// How to cut and what to do, then a stream, or a message that is compressed and damaged first.
fn decoder<D: Stage>(data: &[u8], decode: impl Fn() -> D, encode: impl Fn(&[u8]) -> Vec<u8>) {
    let mut input = Input::new(data);
    let (flags, how) = (input.byte(), input.byte());
    let stream = match flags & 1 {
        0 => input.rest().to_vec(),
        _ => damaged(&mut input, &decode, encode),
    };
    let whole = driven(&mut decode(), &[&stream], 64 * 1024);
    assert!(whole.0.len() as u64 <= OUTPUT_BYTES_MAX);
    let room = match whole.0.len() {
        0..FINE_BYTES_MAX => 1 + usize::from(flags >> 1),
        _ => 4096,
    };
    for how in [how, 0] {
        let cut = driven(&mut decode(), &pieces(&stream, how), room);
        assert_eq!(cut.1, whole.1, "cut by {how}");
        // How much comes before an error may differ, what comes does not.
        let same = cut.0.starts_with(&whole.0) || whole.0.starts_with(&cut.0);
        assert!(
            same && (whole.1.is_some() || cut.0 == whole.0),
            "cut by {how}"
        );
    }
}

/// A message's stream, which must read as the message, with one byte changed.
fn damaged<D: Stage>(
    input: &mut Input<'_>,
    decode: &impl Fn() -> D,
    encode: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let (at, change) = (usize::from(input.byte()), input.byte());
    // Repeated, so that little input makes windows and blocks.
    let message = input.rest().repeat(1 + usize::from(change & 31));
    let mut stream = encode(&message);
    assert!(run(&mut decode(), &stream, usize::MAX).as_ref() == Ok(&message));
    let at = at % stream.len();
    stream[at] ^= change;
    stream
}

fn driven(stage: &mut impl Stage, pieces: &[&[u8]], room: usize) -> Outcome {
    let (mut output, mut out) = (Vec::new(), vec![0; room]);
    for mut piece in pieces.iter().copied().chain([&[][..]]) {
        loop {
            match stage.push(piece, &mut out) {
                Err(error) => return failed(stage, output, error),
                Ok(progress) => {
                    output.extend_from_slice(&out[..progress.written]);
                    piece = &piece[progress.consumed..];
                    if progress.next == Next::Input {
                        assert!(piece.is_empty(), "it did not take all");
                        break;
                    }
                    assert_eq!((progress.next, progress.written), (Next::Room, room));
                }
            }
        }
    }
    loop {
        match stage.finish(&mut out) {
            Err(error) => return failed(stage, output, error),
            Ok(progress) => {
                output.extend_from_slice(&out[..progress.written]);
                if progress.next == Next::End {
                    return (output, None);
                }
            }
        }
    }
}

/// An error stays, and says something.
fn failed(stage: &mut impl Stage, output: Vec<u8>, error: StreamError) -> Outcome {
    assert_eq!(stage.push(b"", &mut [0]), Err(error.clone()));
    assert!(error.to_string().len() < 300);
    (output, Some(error))
}

fn all_of(mut encoder: impl Stage, message: &[u8]) -> Vec<u8> {
    run(&mut encoder, message, usize::MAX).expect("any bytes can be compressed")
}

/// gzip, zlib and raw deflate.
pub fn stream_deflate(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let wrapper = [Wrapper::Gzip, Wrapper::Zlib, Wrapper::Raw][usize::from(first % 3)];
    let decode = || DeflateDecoder::new(wrapper, LIMITS);
    decoder(rest, decode, |message| {
        all_of(DeflateEncoder::new(wrapper, 1), message)
    });
}

/// Brotli.
pub fn stream_brotli(data: &[u8]) {
    let decode = || BrotliDecoder::new(LIMITS, 22);
    decoder(data, decode, |message| {
        all_of(BrotliEncoder::new(1, 18), message)
    });
}

/// Frames of LZ4.
pub fn stream_lz4(data: &[u8]) {
    let decode = || Lz4Decoder::new(LIMITS, 256 * 1024);
    decoder(data, decode, |message| all_of(Lz4Encoder::new(), message));
}

/// Frames of zstd.
pub fn stream_zstd(data: &[u8]) {
    let decode = || ZstdDecoder::new(LIMITS, 20).expect("memory");
    decoder(data, decode, |message| {
        all_of(ZstdEncoder::new(1).expect("memory"), message)
    });
}
