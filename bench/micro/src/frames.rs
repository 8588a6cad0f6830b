//! RFC 6455: unmasking, frames in, headers out.

use crate::Subject;
use core::hint::black_box;
use ringway_proto::ws::{self, Bounds, Decoder, Event, Opcode};

/// Steps leave their input as it was only under this mask; undoing it takes the same instructions as any other.
const MASK: [u8; 4] = [0; 4];

/// A client's text frame.
pub(crate) fn masked(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::encode_header(Opcode::Text, true, false, text.len() as u64, &mut frame);
    frame[1] |= 0x80;
    frame.extend_from_slice(&MASK);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A client's close frame (RFC 6455 §5.5.1).
pub(crate) fn masked_close(code: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::encode_header(Opcode::Close, true, false, 2, &mut frame);
    frame[1] |= 0x80;
    frame.extend_from_slice(&MASK);
    frame.extend_from_slice(&code.to_be_bytes());
    frame
}

fn unmask(payloads: usize, bytes: usize) -> Box<dyn Subject> {
    let mut payload = vec![b'x'; bytes];
    Box::new(move || {
        for _ in 0..payloads {
            ws::unmask(
                black_box(&mut payload),
                black_box([1, 2, 3, 4]),
                black_box(0),
            );
        }
    })
}

pub(crate) fn unmask_64() -> Box<dyn Subject> {
    unmask(1024, 64)
}

pub(crate) fn unmask_16384() -> Box<dyn Subject> {
    unmask(4, 16_384)
}

pub(crate) fn decode() -> Box<dyn Subject> {
    const FRAMES: usize = 64;
    let bounds = Bounds {
        message_bytes_max: 1_000_000,
        fragments_max: 64,
        deflate: false,
    };
    let mut receive = masked(&"x".repeat(64)).repeat(FRAMES);
    let mut decoder = Decoder::new();
    Box::new(move || {
        let mut messages = 0;
        let mut sink = |event: Event<'_>| {
            messages += usize::from(matches!(black_box(event), Event::Text(_)));
            true
        };
        let pushed = decoder.push(black_box(&mut receive), &bounds, &mut sink);
        assert!(
            pushed.is_ok() && messages == FRAMES,
            "whole frames are messages"
        );
    })
}

pub(crate) fn encode() -> Box<dyn Subject> {
    let mut out = Vec::with_capacity(1024);
    Box::new(move || {
        out.clear();
        for at in 0..64 {
            let length = [64, 100, 1000, 70_000][at % 4];
            ws::encode_header(
                Opcode::Text,
                true,
                false,
                black_box(length),
                black_box(&mut out),
            );
        }
    })
}
