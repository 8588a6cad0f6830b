//! Multiplexed streams: the same events and the same error wherever the stream is cut, nothing beyond the agreement, and a sender that no answer surprises.

use crate::input::{Input, pieces};
use ringway_streams::StreamError;
use ringway_streams::mux::{Agreement, Event, Receiver, Sender};
use std::collections::BTreeMap;

const AGREEMENT: Agreement = Agreement {
    window_bytes: 600,
    channels_max: 4,
};

/// What was heard: opened, data, ended with a code.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Open(u32),
    Data(u32, Vec<u8>),
    Close(u32, Option<u32>),
}

/// Who reads it and how it is cut, then a stream or a script of frames whose lengths are right.
pub fn stream_mux(data: &[u8]) {
    let mut input = Input::new(data);
    let (flags, how) = (input.byte(), input.byte());
    let body = match flags & 2 {
        0 => input.rest().to_vec(),
        _ => frames(&mut input),
    };
    if flags & 1 == 0 {
        let window = u32::from(flags) * 4;
        let preface = [&b"RWMX\x01\0\0\0"[..], &window.to_le_bytes()].concat();
        to_receiver(&[preface, body.clone()].concat(), how);
        to_receiver(&body, how);
    } else {
        to_sender(&body, how);
    }
}

/// Channel, kind and payload of each frame, as the script says.
fn frames(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !input.is_empty() {
        let (channel, kind) = (u32::from(input.byte() % 8), input.byte() % 8);
        let payload = match kind {
            2 => input.block(),
            4 | 5 => input.take(4),
            _ => &[],
        };
        stream.extend_from_slice(&channel.to_le_bytes());
        stream.push(kind);
        stream.extend_from_slice(&(payload.len() as u32).to_le_bytes()[..3]);
        stream.extend_from_slice(payload);
    }
    stream
}

fn to_receiver(stream: &[u8], how: u8) {
    let whole = received(&[stream]);
    for how in [how, 0] {
        assert_eq!(received(&pieces(stream, how)), whole, "cut by {how}");
    }
    let mut bytes = BTreeMap::new();
    for heard in &whole.0 {
        if let Heard::Data(channel, data) = heard {
            *bytes.entry(*channel).or_insert(0) += data.len();
        }
    }
    let most = AGREEMENT.window_bytes as usize;
    assert!(bytes.values().all(|bytes| *bytes <= most), "{bytes:?}");
}

fn received(pieces: &[&[u8]]) -> (Vec<Heard>, Result<(), StreamError>) {
    let (mut receiver, mut all, mut open) = (Receiver::new(AGREEMENT), Vec::new(), 0);
    for mut piece in pieces.iter().copied() {
        loop {
            match receiver.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(event)) => hear(&mut all, event, &mut open),
                Err(error) => {
                    assert_eq!(receiver.finish(), Err(error.clone()));
                    return (all, Err(error));
                }
            }
            assert!(open <= AGREEMENT.channels_max);
        }
        assert!(piece.is_empty(), "it did not take all");
    }
    let result = receiver.finish();
    (all, result)
}

fn hear(all: &mut Vec<Heard>, event: Event<'_>, open: &mut u32) {
    match event {
        Event::Open { channel } => {
            *open += 1;
            all.push(Heard::Open(channel));
        }
        Event::Data { channel, bytes } => match all.last_mut() {
            Some(Heard::Data(last, data)) if *last == channel => data.extend_from_slice(bytes),
            _ => all.push(Heard::Data(channel, bytes.to_vec())),
        },
        Event::End { channel } => {
            *open -= 1;
            all.push(Heard::Close(channel, None));
        }
        Event::Reset { channel, code } => {
            *open -= 1;
            all.push(Heard::Close(channel, Some(code)));
        }
    }
}

/// A sender that has spent its credit hears this; what it sends then is sound for a receiver that never releases more than it was given.
fn to_sender(stream: &[u8], how: u8) {
    let whole = answered(&[stream]);
    for how in [how, 0] {
        assert_eq!(answered(&pieces(stream, how)), whole, "cut by {how}");
    }
}

/// What it sends behind the answer, or the error.
fn answered(pieces: &[&[u8]]) -> Result<Vec<u8>, StreamError> {
    let mut sender = Sender::new(AGREEMENT);
    let window = vec![7; AGREEMENT.window_bytes as usize];
    let open = |sender: &mut Sender| sender.open().expect("there are few");
    let channels = [(); 3].map(|()| open(&mut sender));
    for channel in channels {
        assert_eq!(sender.push(channel, &window), window.len());
    }
    let first = drained(&mut sender);
    assert_eq!(first.len(), 12 + 3 * 8 + 3 * (8 + window.len()));
    for piece in pieces {
        if let Err(error) = sender.back(piece) {
            assert_eq!(sender.back(b""), Err(error.clone()));
            return Err(error);
        }
    }
    for channel in channels {
        sender.push(channel, &window);
        sender.end(channel);
    }
    let more = drained(&mut sender);
    // Three windows and their ends are all that there can be.
    assert!(
        more.len() <= 3 * (window.len() + 600 * 8 + 12),
        "{}",
        more.len()
    );
    Ok(more)
}

fn drained(sender: &mut Sender) -> Vec<u8> {
    let (mut stream, mut out) = (Vec::new(), [0; 333]);
    loop {
        match sender.take(&mut out) {
            0 => return stream,
            bytes => stream.extend_from_slice(&out[..bytes]),
        }
    }
}
