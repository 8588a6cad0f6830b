//! WebSocket: the same events and the same error wherever the stream is cut, and frames that are read as they were written.

use crate::input::{Input, pieces};
use ringway_proto::ws::{Bounds, Decoder, Event, Opcode, WsError, deflate, encode_header, unmask};

const BOUNDS: Bounds = Bounds {
    message_bytes_max: 4096,
    fragments_max: 8,
    deflate: false,
};
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a decoder gave, kept.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl Kept {
    fn of(event: &Event<'_>) -> Self {
        match *event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Event::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Event::Close { code } => Self::Close(code),
        }
    }

    fn check(&self) {
        match self {
            Self::Text(text) => assert!(text.len() <= BOUNDS.message_bytes_max as usize),
            Self::Binary(bytes) => assert!(bytes.len() <= BOUNDS.message_bytes_max as usize),
            Self::Ping(bytes) | Self::Pong(bytes) => assert!(bytes.len() <= 125),
            Self::Close(code) => {
                assert!(code.is_none_or(|code| (1000..5000).contains(&code)));
                assert!(!matches!(code, Some(1004..=1006 | 1015)));
            }
        }
    }
}

type Outcome = (Vec<Kept>, Option<WsError>);

/// Flags, how to cut, and either raw bytes or a script of frames that are masked here.
pub fn ws(data: &[u8]) {
    let mut input = Input::new(data);
    let (flags, how) = (input.byte(), input.byte());
    let agreed = flags & 1 != 0;
    let stream = if flags & 2 == 0 {
        input.rest().to_vec()
    } else {
        frames(&mut input, agreed)
    };
    let whole = run(&[&stream], agreed, false);
    whole.0.iter().for_each(Kept::check);
    for (how, thawed) in [(how, false), (0, false), (how, true)] {
        let cut = run(&pieces(&stream, how), agreed, thawed);
        assert_eq!(cut, whole, "cut by {how}, thawed {thawed}");
    }
    round_trip(&stream, how, agreed);
}

/// First byte and payload of each frame, as the script says; the length and the mask are right.
fn frames(input: &mut Input<'_>, agreed: bool) -> Vec<u8> {
    let mut stream = Vec::new();
    while !input.is_empty() {
        let first = input.byte();
        let payload = input.block();
        if agreed && first & 0x40 != 0 && first & 0x0f != 0 && first & 0x20 != 0 {
            push_masked(&mut stream, first & !0x20, &deflate::compress(payload));
        } else {
            push_masked(&mut stream, first, payload);
        }
    }
    stream
}

fn push_masked(stream: &mut Vec<u8>, first: u8, payload: &[u8]) {
    let start = stream.len();
    encode_header(Opcode::Text, true, false, payload.len() as u64, stream);
    stream[start] = first;
    stream[start + 1] |= 0x80;
    stream.extend_from_slice(&MASK);
    let mut payload = payload.to_vec();
    unmask(&mut payload, MASK, 0);
    stream.extend_from_slice(&payload);
}

/// `thawed`: between two pieces the decoder becomes text and is read back, as when a connection moves.
fn run(pieces: &[&[u8]], agreed: bool, thawed: bool) -> Outcome {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    let bounds = Bounds {
        deflate: agreed,
        ..BOUNDS
    };
    for piece in pieces {
        let mut closed = false;
        let result = decoder.push(&mut piece.to_vec(), &bounds, &mut |event| {
            events.push(Kept::of(&event));
            closed = matches!(event, Event::Close { .. });
            !closed
        });
        if result.is_err() || closed {
            return (events, result.err());
        }
        if thawed {
            let frozen = serde_json::to_string(&decoder).expect("a decoder serialises");
            decoder = serde_json::from_str(&frozen).expect("and comes back");
        }
    }
    (events, None)
}

/// One message in fragments, with a ping between them, comes out whole.
fn round_trip(payload: &[u8], how: u8, agreed: bool) {
    let payload = &payload[..payload.len().min(BOUNDS.message_bytes_max as usize)];
    let (rsv1, carried) = if agreed {
        (0x40, deflate::compress(payload))
    } else {
        (0, payload.to_vec())
    };
    if carried.len() > BOUNDS.message_bytes_max as usize {
        return;
    }
    let (head, rest) = carried.split_at(carried.len().min(usize::from(how)));
    let mut stream = Vec::new();
    push_masked(&mut stream, 0x02 | rsv1, head);
    push_masked(&mut stream, 0x89, b"?");
    push_masked(&mut stream, 0x80, rest);
    let expected = vec![Kept::Ping(b"?".to_vec()), Kept::Binary(payload.to_vec())];
    assert_eq!(run(&[&stream], agreed, false), (expected, None));
}
