//! What a client sees: the server's bytes, cut into answers and frames, which must be well-formed.
//!
//! Deliberately absent: what they mean; targets look into the texts.

use ringway_proto::ws::deflate;

/// One thing that a client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// An HTTP answer: status and body.
    Answer(u16, Vec<u8>),
    /// A WebSocket message.
    Text(String),
    /// A WebSocket message.
    Binary(Vec<u8>),
    /// A ping or pong.
    Control(Vec<u8>),
    /// A close frame's code.
    Close(Option<u16>),
}

/// Reads a server's stream.
#[derive(Default)]
pub(crate) struct Reader {
    stream: Vec<u8>,
    websocket: bool,
    closed: bool,
    seen: Vec<Seen>,
}

impl Reader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        assert!(!self.closed, "nothing follows a close frame");
        self.stream.extend_from_slice(bytes);
        while let Some(taken) = self.step() {
            self.stream.drain(..taken);
        }
    }

    /// The end of the stream: everything was whole.
    pub(crate) fn finish(&self) {
        assert!(self.stream.is_empty(), "half an answer: {:?}", self.stream);
    }

    pub(crate) fn take(&mut self) -> Vec<Seen> {
        core::mem::take(&mut self.seen)
    }

    /// Takes one answer or frame if it is whole; gives its length.
    fn step(&mut self) -> Option<usize> {
        if self.websocket {
            self.step_frame()
        } else {
            self.step_answer()
        }
    }

    fn step_answer(&mut self) -> Option<usize> {
        let head_bytes = self.stream.windows(4).position(|at| at == b"\r\n\r\n")? + 4;
        let head = core::str::from_utf8(&self.stream[..head_bytes]).expect("heads are text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)).unwrap_or("");
        let status: u16 = status.parse().expect("a status line");
        let length = lines.find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |text| text.parse().expect("a length"));
        let body = self.stream.get(head_bytes..head_bytes + length)?.to_vec();
        self.websocket = status == 101;
        self.seen.push(Seen::Answer(status, body));
        Some(head_bytes + length)
    }

    fn step_frame(&mut self) -> Option<usize> {
        let (first, second) = (*self.stream.first()?, *self.stream.get(1)?);
        assert!(!self.closed, "nothing follows a close frame");
        assert!(second < 0x80, "RFC 6455 section 5.1: a server never masks");
        let (start, length) = match second {
            126 => (4, be(self.stream.get(2..4)?)),
            127 => (10, be(self.stream.get(2..10)?)),
            short => (2, usize::from(short)),
        };
        let payload = self.stream.get(start..start + length)?;
        let seen = frame(first, payload);
        self.closed = matches!(seen, Seen::Close(_));
        self.seen.push(seen);
        Some(start + length)
    }
}

fn be(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | usize::from(*byte))
}

fn frame(first: u8, payload: &[u8]) -> Seen {
    assert!(first & 0xb0 == 0x80, "whole frames only: {first:02x}");
    assert!(
        first & 8 == 0 || payload.len() <= 125,
        "RFC 6455 section 5.5"
    );
    let inflated;
    let payload = if first & 0x40 == 0 {
        payload
    } else {
        inflated = deflate::inflate(payload, 1 << 20).expect("deflated frames inflate");
        &inflated
    };
    match first & 0x0f {
        1 => Seen::Text(String::from_utf8(payload.to_vec()).expect("RFC 6455 section 8.1")),
        2 => Seen::Binary(payload.to_vec()),
        8 => Seen::Close(
            payload
                .first_chunk::<2>()
                .map(|code| u16::from_be_bytes(*code)),
        ),
        9 | 10 => Seen::Control(payload.to_vec()),
        other => panic!("an opcode that nobody defined: {other}"),
    }
}

/// A request of a client.
pub(crate) fn get(query: &str, headers: &str) -> Vec<u8> {
    format!("GET /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes()
}

/// The headers that ask for a WebSocket.
pub(crate) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A masked frame.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 14);
    ringway_proto::ws::encode_header(
        ringway_proto::ws::Opcode::Text,
        true,
        false,
        payload.len() as u64,
        &mut bytes,
    );
    bytes[0] = first;
    bytes[1] |= 0x80;
    let mask = [1, 2, 3, 4];
    bytes.extend_from_slice(&mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}
