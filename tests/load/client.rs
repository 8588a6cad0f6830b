//! A Socket.IO client over WebSocket that reads only when it is told to.
//!
//! Each step writes or reads, never both: a crowd writes first and reads then, and so pays for one round trip in all.

use crate::daemon::PATIENCE;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A text message.
    Text(String),
    /// A WebSocket close.
    Close(u16, String),
    /// The answer to our own WebSocket ping.
    Pong,
    /// The stream is over.
    End,
}

/// How a client's socket is made.
#[derive(Clone, Copy)]
pub(crate) struct Dial {
    pub(crate) port: u16,
    /// Any of 127.0.0.0/8: limits are per address.
    pub(crate) source: Ipv4Addr,
    /// Bytes that its kernel takes for it; `None` for the host's default.
    pub(crate) receive_bytes: Option<usize>,
}

impl Dial {
    pub(crate) fn connect(self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(bytes) = self.receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(&SocketAddr::from((self.source, 0)).into())?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into())?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    }
}

/// A client.
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes read and not yet understood.
    input: Vec<u8>,
    /// The first characters of its Engine.IO id, as operators see them.
    pub(crate) id: String,
}

impl Client {
    /// Connects; nothing is said yet.
    pub(crate) fn dial(dial: Dial) -> Self {
        let stream = dial.connect().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            input: Vec::new(),
            id: String::new(),
        }
    }

    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the daemon reads");
    }

    pub(crate) fn ask_upgrade(&mut self) {
        self.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: load\r\nupgrade: websocket\r\n\
              connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
    }

    /// Reads the head of the answer and the open packet behind it.
    pub(crate) fn read_upgrade(&mut self) {
        let head_bytes = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill() > 0, "the daemon hung up: {self:?}");
        };
        assert!(self.input.starts_with(b"HTTP/1.1 101 "), "{self:?}");
        self.input.drain(..head_bytes);
        let open = self.text();
        let json: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
        self.id = json["sid"].as_str().unwrap()[..8].to_owned();
    }

    pub(crate) fn ask_connect(&mut self, token: &str) {
        self.send(&format!("40{{\"token\":\"{token}\"}}"));
    }

    pub(crate) fn read_connect(&mut self) {
        let answer = self.text();
        assert!(answer.starts_with("40{"), "{answer}");
    }

    pub(crate) fn ask_join(&mut self, room: &str) {
        self.send(&format!("420[\"join\",\"{room}\"]"));
    }

    /// Reads a good acknowledgement; gives the room's offset.
    pub(crate) fn read_ack(&mut self) -> u64 {
        let answer = self.text();
        let json: serde_json::Value = answer
            .strip_prefix("430")
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_else(|| panic!("no acknowledgement: {answer}"));
        assert_eq!(json[0]["ok"], true, "{answer}");
        json[0]["offset"].as_u64().unwrap_or(0)
    }

    /// Sends a text message, masked by zeroes: the mask protects proxies, of which there are none.
    pub(crate) fn send(&mut self, text: &str) {
        let mut frame = Vec::with_capacity(text.len() + 14);
        frame_into(&mut frame, 1, text.as_bytes());
        self.write(&frame);
    }

    /// The next message other than a ping, which is answered.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        loop {
            match self.frame() {
                Frame::Text(text) if text == "2" => self.send("3"),
                Frame::Text(text) => return text,
                other => panic!("{other:?} instead of a message"),
            }
        }
    }

    /// The next frame, waited for.
    pub(crate) fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.buffered_frame() {
                return frame;
            }
            if self.fill() == 0 {
                return Frame::End;
            }
        }
    }

    /// Reads until it holds that many bytes, and looks at none of them.
    pub(crate) fn sip(&mut self, bytes: usize) {
        while self.input.len() < bytes {
            assert!(self.fill() > 0, "the daemon hung up");
        }
    }

    /// Answers the pings that have come and says how many, waits for nothing, and keeps no buffer.
    pub(crate) fn answer_pings(&mut self) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        while self.fill_now() {}
        self.stream.set_nonblocking(false).unwrap();
        let mut pings = 0;
        while let Some(frame) = self.buffered_frame() {
            assert_eq!(frame, Frame::Text("2".to_owned()));
            self.send("3");
            pings += 1;
        }
        self.input = Vec::new();
        pings
    }

    /// Says goodbye and hears it said back.
    pub(crate) fn close(mut self) {
        let mut frame = Vec::new();
        frame_into(&mut frame, 8, &1000_u16.to_be_bytes());
        self.write(&frame);
        while !matches!(self.frame(), Frame::Close(1000, _) | Frame::End) {}
    }

    fn fill_now(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => panic!("the daemon hung up"),
            Ok(count) => self.input.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// Reads once; 0 at the end, and when the daemon cut the connection off.
    fn fill(&mut self) -> usize {
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.input.extend_from_slice(&chunk[..count]);
                count
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing came within {PATIENCE:?}: {error}"),
        }
    }

    /// RFC 6455 §5.2, as a client: what a server sends is not masked, and this one never fragments.
    fn buffered_frame(&mut self) -> Option<Frame> {
        let [first, second, ..] = self.input[..] else {
            return None;
        };
        assert_eq!(first & 0xf0, 0x80, "a whole, uncompressed frame");
        let (head_bytes, payload_bytes) = match second {
            126 => (4, number(self.input.get(2..4)?)),
            127 => (10, number(self.input.get(2..10)?)),
            short => (2, usize::from(short)),
        };
        let payload = self.input.get(head_bytes..head_bytes + payload_bytes)?;
        let frame = match first & 0x0f {
            1 => Frame::Text(String::from_utf8(payload.to_vec()).expect("text is UTF-8")),
            8 => {
                let reason = String::from_utf8(payload[2..].to_vec()).expect("a reason is UTF-8");
                Frame::Close(number(&payload[..2]) as u16, reason)
            }
            10 => Frame::Pong,
            other => panic!("no frame of opcode {other} is expected"),
        };
        self.input.drain(..head_bytes + payload_bytes);
        Some(frame)
    }

    /// Leaves without a word; the daemon gets a reset instead of an end.
    pub(crate) fn reset(self) {
        let socket = Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.input))
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Appends a masked frame.
pub(crate) fn frame_into(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long => {
            out.push(0x80 | 126);
            let length = u16::try_from(long).expect("tests send small messages");
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}
