//! Engine.IO protocol 4: packets, polling payloads, the handshake and its errors.
//!
//! Source: the protocol's document, https://github.com/socketio/engine.io-protocol (version 4).
//! Deliberately absent: transports' state, timers.

mod handshake;
mod params;
mod payload;

pub use handshake::{EngineError, Handshake};
pub use params::Params;
pub use payload::{PayloadError, parse_packet, push_binary, push_text, split_payload};

/// The kind of a packet: its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PacketKind {
    /// Handshake.
    Open = b'0',
    /// The transport may be closed.
    Close = b'1',
    /// Heartbeat, from the server.
    Ping = b'2',
    /// Heartbeat's answer.
    Pong = b'3',
    /// Payload.
    Message = b'4',
    /// The new transport is to be used from here on.
    Upgrade = b'5',
    /// Nothing; ends a waiting poll.
    Noop = b'6',
}

impl PacketKind {
    /// The character on the wire.
    #[must_use]
    pub const fn symbol(self) -> char {
        self as u8 as char
    }
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Any packet in text form; the kind and what follows it.
    Text(PacketKind, &'a str),
    /// A binary message.
    Binary(std::borrow::Cow<'a, [u8]>),
}

/// Not a packet of protocol 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketError;

impl<'a> Packet<'a> {
    /// Bytes that it has as a WebSocket message.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        match self {
            Self::Text(_, rest) => 1 + rest.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Parses a packet in text form ("Packet encoding" in the protocol's document).
    ///
    /// # Errors
    /// [`PacketError`] when it is empty or its kind is unknown.
    pub fn parse_text(text: &'a str) -> Result<Self, PacketError> {
        let kind = match text.as_bytes().first() {
            Some(b'0') => PacketKind::Open,
            Some(b'1') => PacketKind::Close,
            Some(b'2') => PacketKind::Ping,
            Some(b'3') => PacketKind::Pong,
            Some(b'4') => PacketKind::Message,
            Some(b'5') => PacketKind::Upgrade,
            Some(b'6') => PacketKind::Noop,
            _ => return Err(PacketError),
        };
        Ok(Self::Text(kind, &text[1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_encoding_kinds() {
        for (text, expected) in [
            ("0{}", Ok(Packet::Text(PacketKind::Open, "{}"))),
            ("1", Ok(Packet::Text(PacketKind::Close, ""))),
            ("2probe", Ok(Packet::Text(PacketKind::Ping, "probe"))),
            ("3probe", Ok(Packet::Text(PacketKind::Pong, "probe"))),
            ("4€", Ok(Packet::Text(PacketKind::Message, "€"))),
            ("5", Ok(Packet::Text(PacketKind::Upgrade, ""))),
            ("6", Ok(Packet::Text(PacketKind::Noop, ""))),
            ("7", Err(PacketError)),
            ("", Err(PacketError)),
            ("€", Err(PacketError)),
        ] {
            assert_eq!(Packet::parse_text(text), expected, "{text}");
        }
    }
}
