//! The link to workers: the same frames and the same error wherever the stream is cut, and frames that encode to the bytes they came from.

use crate::input::{Input, pieces};
use ringway_proto::link::{Flags, Frame, Kind, LinkError, Raw, Side, split};

const BODY_BYTES_MAX: u32 = 2048;

/// The frames of a stream, each with its header, as bytes; how many bytes are left, and the fault.
type Outcome = (Vec<Vec<u8>>, usize, Option<LinkError>);

/// Who sent it and what it is, how to cut it, then raw bytes or a script of frames whose lengths are right.
pub fn link(data: &[u8]) {
    let mut input = Input::new(data);
    let (flags, how) = (input.byte(), input.byte());
    let from = if flags & 1 == 0 {
        Side::Daemon
    } else {
        Side::Worker
    };
    let stream = if flags & 2 == 0 {
        input.rest().to_vec()
    } else {
        frames(&mut input)
    };
    let whole = run(&[&stream], from);
    for how in [how, 0] {
        assert_eq!(run(&pieces(&stream, how), from), whole, "cut by {how}");
    }
    check(&whole, &stream);
}

/// Type, flags and body of each frame, as the script says.
fn frames(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !input.is_empty() {
        let (kind, flags) = (Kind::from_byte(input.byte()), input.byte());
        let frame = Raw {
            kind: kind.unwrap_or(Kind::Send),
            flags: Flags::from_bits(flags),
            conn: u64::from(flags),
            body: input.block(),
        };
        frame.encode_into(&mut stream);
    }
    stream
}

fn run(pieces: &[&[u8]], from: Side) -> Outcome {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let taken = match split(&buffer, BODY_BYTES_MAX) {
                Ok(None) => break,
                Ok(Some((raw, bytes))) => round_trip(&raw, from).map(|frame| {
                    assert_eq!(frame.len(), bytes);
                    frames.push(frame);
                    bytes
                }),
                Err(error) => Err(error),
            };
            match taken {
                Ok(bytes) => drop(buffer.drain(..bytes)),
                Err(error) => return (frames, 0, Some(error)),
            }
        }
    }
    (frames, buffer.len(), None)
}

/// A frame that parses has one form on the wire, the one that it came in.
fn round_trip(raw: &Raw<'_>, from: Side) -> Result<Vec<u8>, LinkError> {
    let frame = Frame::parse(raw, from)?;
    assert!(raw.kind.is_from(from) && raw.kind.flags().contains(raw.flags));
    let (mut original, mut again) = (Vec::new(), Vec::new());
    raw.encode_into(&mut original);
    frame.encode_into(raw.conn, raw.flags, &mut again);
    assert_eq!(again, original, "{frame:?}");
    Ok(again)
}

/// Nothing of the stream is lost or made up, and a fault has a name.
fn check((frames, left, error): &Outcome, stream: &[u8]) {
    let frames = frames.concat();
    assert!(stream.starts_with(&frames));
    match error {
        None => assert_eq!(frames.len() + left, stream.len()),
        Some(error) => assert!(!error.code().is_empty() && error.to_string().len() < 300),
    }
}
