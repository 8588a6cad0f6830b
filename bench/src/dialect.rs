//! What clients say to a server, and what it says back: Socket.IO, a bare protocol for servers that are none, or bytes without meaning.

use crate::scenario::Kind;
use crate::wire::{self, opcode};
use core::fmt;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Stands in an answer that says that it was done. Made once, as making a finder costs more than a search.
static OK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""ok":true"#));

const NO_MESSAGES: &str = "who fetches files sends no messages";

/// The language of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dialect {
    /// Engine.IO 4 and Socket.IO 5 over WebSocket, with the events `join`, `publish`, `echo` and, where it is asked for, `say`.
    SocketIo,
    /// One letter and the rest: `e` echoes, `j` joins, `p` publishes. bench/peers/README.md has it whole.
    Bare,
    /// No WebSocket and no messages: what comes goes back. It compares runtimes.
    Bytes,
    /// HTTP alone: files.
    Http,
}

/// What a message of the server means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// Engine.IO's handshake.
    Open,
    /// The namespace is connected.
    Connected,
    /// The answer to the one thing that was asked.
    Answer(&'a [u8]),
    /// A message of a room: all of the packet.
    Message(&'a [u8]),
    /// Engine.IO's ping.
    Ping,
    /// Nothing that was asked for.
    Other(&'a [u8]),
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("a handshake"),
            Self::Connected => f.write_str("a namespace"),
            Self::Ping => f.write_str("a ping"),
            Self::Answer(bytes) | Self::Message(bytes) | Self::Other(bytes) => {
                write!(f, "{:?}", String::from_utf8_lossy(bytes))
            }
        }
    }
}

impl Dialect {
    /// Whether servers that speak it can do this.
    pub(crate) const fn can(self, load: Kind) -> bool {
        let is_none_of_its = matches!(
            (self, load),
            (Self::Bytes, Kind::Publish | Kind::Churn) | (Self::Bytes | Self::Bare, Kind::Say)
        );
        let is_of_files = matches!(load, Kind::Fetch | Kind::Upload);
        !is_none_of_its && is_of_files == matches!(self, Self::Http)
    }

    /// What a client says first; the server's answer lets it in.
    pub(crate) fn hello(self) -> Vec<u8> {
        match self {
            Self::SocketIo => wire::upgrade("/socket.io/?EIO=4&transport=websocket"),
            Self::Bare => wire::upgrade("/"),
            Self::Bytes => vec![b'?'],
            Self::Http => unreachable!("{NO_MESSAGES}"),
        }
    }

    pub(crate) const fn opcode(self) -> u8 {
        match self {
            Self::SocketIo => opcode::TEXT,
            Self::Bare | Self::Bytes | Self::Http => opcode::BINARY,
        }
    }

    pub(crate) fn connect(token: &str) -> Vec<u8> {
        format!(r#"40{{"token":"{token}"}}"#).into_bytes()
    }

    pub(crate) fn join(self, room: &str) -> Vec<u8> {
        match self {
            Self::SocketIo => format!(r#"420["join","{room}"]"#),
            Self::Bare => format!("j{room}"),
            Self::Bytes | Self::Http => unreachable!("nobody joins where there are no rooms"),
        }
        .into_bytes()
    }

    /// Asks for an echo, under a number where the language has such.
    pub(crate) fn echo(self, number: u32, payload: &str) -> Vec<u8> {
        match self {
            Self::SocketIo => format!(r#"42{number}["echo","{payload}"]"#),
            Self::Bare => format!("e{payload}"),
            Self::Bytes => payload.to_owned(),
            Self::Http => unreachable!("{NO_MESSAGES}"),
        }
        .into_bytes()
    }

    /// Something that nobody acknowledges.
    pub(crate) fn say(self, payload: &str) -> Vec<u8> {
        match self {
            Self::SocketIo => format!(r#"42["say","{payload}"]"#).into_bytes(),
            Self::Bare | Self::Bytes | Self::Http => {
                unreachable!("they acknowledge all that is said")
            }
        }
    }

    /// A publish that asks for no acknowledgement: not every peer has one.
    pub(crate) fn publish(self, room: &str, payload: &str) -> Vec<u8> {
        match self {
            Self::SocketIo => format!(r#"42["publish","{room}","{payload}"]"#).into_bytes(),
            Self::Bare => {
                let mut message = vec![b'p', room.len() as u8];
                message.extend_from_slice(room.as_bytes());
                message.extend_from_slice(payload.as_bytes());
                message
            }
            Self::Bytes | Self::Http => unreachable!("nobody publishes where there are no rooms"),
        }
    }

    pub(crate) fn understand(self, message: &[u8]) -> Incoming<'_> {
        match (self, message) {
            (Self::SocketIo, [b'4', b'2', ..]) | (Self::Bare, [b'm', ..]) => {
                Incoming::Message(message)
            }
            (Self::SocketIo, [b'4', b'3', ..]) | (Self::Bare, [b'e' | b'j', ..]) => {
                Incoming::Answer(message)
            }
            (Self::SocketIo, [b'2']) => Incoming::Ping,
            (Self::SocketIo, [b'4', b'0', ..]) => Incoming::Connected,
            (Self::SocketIo, [b'0', ..]) => Incoming::Open,
            (Self::Bytes, _) => Incoming::Answer(message),
            _ => Incoming::Other(message),
        }
    }

    /// Whether an answer may be that to what was asked under this number; where the language has no numbers, each may.
    pub(crate) fn answers(self, answer: &[u8], number: u32) -> bool {
        match self {
            Self::SocketIo => ack_id(answer) == Some(number),
            Self::Bare | Self::Bytes | Self::Http => true,
        }
    }

    /// Whether an answer says that it was done.
    pub(crate) fn is_good(self, answer: &[u8]) -> bool {
        match self {
            Self::SocketIo => OK.find(answer).is_some(),
            Self::Bare | Self::Bytes | Self::Http => true,
        }
    }
}

/// The number of an acknowledgement: "43", digits, and an array.
fn ack_id(answer: &[u8]) -> Option<u32> {
    let rest = answer.strip_prefix(b"43")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_message_is_understood() {
        let socket_io = |text: &'static str| Dialect::SocketIo.understand(text.as_bytes());
        assert_eq!(socket_io(r#"0{"sid":"a"}"#), Incoming::Open);
        assert_eq!(socket_io(r#"40{"sid":"b"}"#), Incoming::Connected);
        assert_eq!(socket_io("2"), Incoming::Ping);
        assert_eq!(socket_io("430[]"), Incoming::Answer(b"430[]"));
        assert_eq!(socket_io("42[]"), Incoming::Message(b"42[]"));
        assert_eq!(socket_io("44{}"), Incoming::Other(b"44{}"));
        assert_eq!(Dialect::Bare.understand(b"mx"), Incoming::Message(b"mx"));
        assert_eq!(Dialect::Bare.understand(b"jx"), Incoming::Answer(b"jx"));
        assert_eq!(Dialect::Bare.understand(b""), Incoming::Other(b""));
        assert_eq!(Dialect::Bytes.understand(b"2"), Incoming::Answer(b"2"));
    }

    #[test]
    fn an_answer_has_the_number_of_what_was_asked() {
        let answers = |text: &str, number| Dialect::SocketIo.answers(text.as_bytes(), number);
        assert!(answers("430[]", 0) && answers("43107[1]", 107));
        assert!(!answers("431[]", 0) && !answers("43[]", 0) && !answers("4399999999999[]", 0));
        assert!(Dialect::Bare.answers(b"ex", 5));
    }

    #[test]
    fn a_refusal_is_not_good() {
        let refused = br#"430[{"ok":false,"code":"RW-2201"}]"#;
        assert!(!Dialect::SocketIo.is_good(refused));
        assert!(Dialect::SocketIo.is_good(br#"430[{"ok":true,"data":1}]"#));
    }
}
