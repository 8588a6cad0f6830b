//! A packet: `<kind>[<attachments>-][<namespace>,][<id>][<data>]`.

use super::SocketIoError;
use serde::{Deserialize, Serialize};

/// What a peer may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a namespace's name.
    pub namespace_bytes_max: u16,
    /// Attachments of one packet.
    pub attachments_max: u16,
    /// Bytes of a packet with its attachments.
    pub message_bytes_max: u32,
}

/// The kind of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum PacketKind {
    /// Into a namespace.
    Connect = b'0',
    /// Out of it.
    Disconnect = b'1',
    /// An event.
    Event = b'2',
    /// The answer to one.
    Ack = b'3',
    /// The refusal of a CONNECT.
    ConnectError = b'4',
    /// An event with attachments.
    BinaryEvent = b'5',
    /// An answer with attachments.
    BinaryAck = b'6',
}

impl PacketKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }

    const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }
}

/// A packet without its attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its kind.
    pub kind: PacketKind,
    /// How many attachments follow.
    pub attachments: u16,
    /// The namespace, with its leading slash and without any query.
    pub namespace: &'a str,
    /// Asks for, or answers, an acknowledgement.
    pub id: Option<u64>,
    /// Raw JSON, or nothing.
    pub data: &'a str,
}

impl<'a> Packet<'a> {
    /// Parses a packet ("Packet encoding" in the protocol's document). The data is not looked into.
    ///
    /// # Errors
    /// See [`SocketIoError`].
    pub fn parse(text: &'a str, bounds: &Bounds) -> Result<Self, SocketIoError> {
        let first = text.bytes().next().ok_or(SocketIoError::Packet)?;
        let kind = PacketKind::from_byte(first).ok_or(SocketIoError::Packet)?;
        let (attachments, rest) = if kind.is_binary() {
            take_attachments(&text[1..], bounds)?
        } else {
            (0, &text[1..])
        };
        let (namespace, rest) = take_namespace(rest, bounds)?;
        let (id, data) = take_id(rest)?;
        Ok(Self {
            kind,
            attachments,
            namespace,
            id,
            data,
        })
    }
}

fn take_attachments<'a>(text: &'a str, bounds: &Bounds) -> Result<(u16, &'a str), SocketIoError> {
    let (count, rest) = text.split_once('-').ok_or(SocketIoError::Packet)?;
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SocketIoError::Packet);
    }
    match count.parse::<u16>() {
        Ok(count) if count <= bounds.attachments_max => Ok((count, rest)),
        _ => Err(SocketIoError::TooManyAttachments),
    }
}

fn take_namespace<'a>(text: &'a str, bounds: &Bounds) -> Result<(&'a str, &'a str), SocketIoError> {
    if !text.starts_with('/') {
        return Ok(("/", text));
    }
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    let name = name.split_once('?').map_or(name, |(name, _)| name);
    if name.len() > bounds.namespace_bytes_max as usize {
        return Err(SocketIoError::Namespace);
    }
    Ok((name, rest))
}

fn take_id(text: &str) -> Result<(Option<u64>, &str), SocketIoError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok((None, text));
    }
    // JavaScript counts exactly up to 2^53.
    match text[..digits].parse::<u64>() {
        Ok(id) if id < 1 << 53 => Ok((Some(id), &text[digits..])),
        _ => Err(SocketIoError::Packet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        namespace_bytes_max: 16,
        attachments_max: 3,
        message_bytes_max: 100,
    };

    #[track_caller]
    fn check(
        text: &str,
        kind: PacketKind,
        attachments: u16,
        namespace: &str,
        id: Option<u64>,
        data: &str,
    ) {
        assert_eq!(
            Packet::parse(text, &BOUNDS),
            Ok(Packet {
                kind,
                attachments,
                namespace,
                id,
                data
            }),
            "{text}"
        );
    }

    #[test]
    fn packet_encoding_examples() {
        check("0", PacketKind::Connect, 0, "/", None, "");
        check(
            "0/admin,{\"token\":\"x\"}",
            PacketKind::Connect,
            0,
            "/admin",
            None,
            "{\"token\":\"x\"}",
        );
        check("0/admin?a=b", PacketKind::Connect, 0, "/admin", None, "");
        check("1/admin,", PacketKind::Disconnect, 0, "/admin", None, "");
        check("2[\"foo\"]", PacketKind::Event, 0, "/", None, "[\"foo\"]");
        check(
            "2/admin,12[\"foo\"]",
            PacketKind::Event,
            0,
            "/admin",
            Some(12),
            "[\"foo\"]",
        );
        check("3/admin,13[]", PacketKind::Ack, 0, "/admin", Some(13), "[]");
        check(
            "4{\"message\":\"no\"}",
            PacketKind::ConnectError,
            0,
            "/",
            None,
            "{\"message\":\"no\"}",
        );
        check(
            "51-[{\"_placeholder\":true,\"num\":0}]",
            PacketKind::BinaryEvent,
            1,
            "/",
            None,
            "[{\"_placeholder\":true,\"num\":0}]",
        );
        check("62-/a,7[]", PacketKind::BinaryAck, 2, "/a", Some(7), "[]");
    }

    #[test]
    fn hostile_packets_are_refused() {
        for (text, error) in [
            ("", SocketIoError::Packet),
            ("7", SocketIoError::Packet),
            ("é", SocketIoError::Packet),
            ("5[\"a\"]", SocketIoError::Packet),
            ("5-[]", SocketIoError::Packet),
            ("5+1-[]", SocketIoError::Packet),
            ("54-[]", SocketIoError::TooManyAttachments),
            ("599999999999-[]", SocketIoError::TooManyAttachments),
            ("2/0123456789abcdef,[]", SocketIoError::Namespace),
            ("29007199254740992[\"a\"]", SocketIoError::Packet),
            ("299999999999999999999[\"a\"]", SocketIoError::Packet),
        ] {
            assert_eq!(Packet::parse(text, &BOUNDS), Err(error), "{text}");
        }
    }
}
