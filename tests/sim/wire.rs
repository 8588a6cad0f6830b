//! What a client writes and reads: HTTP requests and answers, masked frames out, unmasked frames in.

/// What came in.
#[derive(Debug)]
pub(crate) enum Received {
    /// The answer to a request.
    Answer { status: u16, body: Vec<u8> },
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The server closes.
    Close { code: u16, reason: String },
}

/// Bytes on their way to be understood.
#[derive(Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
    frames: bool,
    /// The last answer said that nothing more is answered here.
    pub(crate) is_last: bool,
}

impl Parser {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn next(&mut self) -> Option<Received> {
        if self.frames {
            self.frame()
        } else {
            self.answer()
        }
    }

    fn answer(&mut self) -> Option<Received> {
        let head_bytes = self
            .buffer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")?
            + 4;
        let head = String::from_utf8(self.buffer[..head_bytes].to_vec()).expect("a head is ASCII");
        let status = head[9..12].parse().expect("a status line");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        let is_last = head
            .to_ascii_lowercase()
            .contains("\r\nconnection: close\r\n");
        let total = head_bytes + length.unwrap_or(0);
        if self.buffer.len() < total {
            return None;
        }
        let body = self.buffer[head_bytes..total].to_vec();
        self.is_last = is_last;
        self.buffer.drain(..total);
        self.frames = status == 101;
        Some(Received::Answer { status, body })
    }

    /// RFC 6455 §5.2, as a client: what a server sends is not masked, and this one never fragments.
    fn frame(&mut self) -> Option<Received> {
        let [first, second, ..] = self.buffer[..] else {
            return None;
        };
        assert_eq!(first & 0xf0, 0x80, "a whole, uncompressed frame");
        let (head_bytes, length) = match second {
            126 => (
                4,
                usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?)),
            ),
            127 => (
                10,
                u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?) as usize,
            ),
            length => (2, usize::from(length)),
        };
        let payload = self.buffer.get(head_bytes..head_bytes + length)?.to_vec();
        self.buffer.drain(..head_bytes + length);
        Some(match first & 0x0f {
            1 => Received::Text(String::from_utf8(payload).expect("text is UTF-8")),
            2 => Received::Binary(payload),
            8 => close_of(&payload),
            other => panic!("no frame of opcode {other} is expected"),
        })
    }
}

fn close_of(payload: &[u8]) -> Received {
    let code = payload
        .get(..2)
        .map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    Received::Close { code, reason }
}

/// A masked frame.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5e, 0xed, 0x12, 0x34];
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(length).expect("short messages").to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

pub(crate) fn get(query: &str, websocket: bool) -> Vec<u8> {
    let upgrade = if websocket {
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        ""
    };
    format!("GET /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n").into_bytes()
}

pub(crate) fn post(sid: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 §4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for symbol in 0..4 {
            let index = (bits >> (18 - 6 * symbol)) as usize & 63;
            text.push(if symbol <= chunk.len() {
                ALPHABET[index] as char
            } else {
                '='
            });
        }
    }
    text
}

/// RFC 4648 §4, of text that the server made.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let symbols = text.trim_end_matches('=').bytes().map(|symbol| {
        ALPHABET
            .iter()
            .position(|one| *one == symbol)
            .expect("base64 of the server") as u32
    });
    let symbols: Vec<u32> = symbols.collect();
    let group = |chunk: &[u32]| {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0, |bits, (at, value)| bits | value << (18 - 6 * at));
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    };
    symbols.chunks(4).flat_map(group).collect()
}
