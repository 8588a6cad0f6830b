//! Polling bodies: packets joined by the record separator, binary as base64 ("HTTP long-polling" in the protocol's document).

use super::{Packet, PacketError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// Between two packets.
const SEPARATOR: u8 = 0x1e;
/// Before base64.
const BINARY_MARK: &str = "b";

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// Not UTF-8.
    Utf8,
    /// A packet of no kind, or base64 that is none.
    Packet,
    /// More packets than one body may have.
    TooManyPackets,
}

impl From<PacketError> for PayloadError {
    fn from(_: PacketError) -> Self {
        Self::Packet
    }
}

/// The packets of a body, all or none.
///
/// # Errors
/// See [`PayloadError`].
pub fn split_payload(body: &[u8], packets_max: usize) -> Result<Vec<Packet<'_>>, PayloadError> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| PayloadError::Utf8)?;
    let mut packets = Vec::new();
    for part in text.split(SEPARATOR as char) {
        if packets.len() == packets_max {
            return Err(PayloadError::TooManyPackets);
        }
        packets.push(parse_packet(part)?);
    }
    Ok(packets)
}

/// One packet as text: a client may send binary as base64 on every transport (`forceBase64`).
///
/// # Errors
/// [`PayloadError::Packet`].
pub fn parse_packet(part: &str) -> Result<Packet<'_>, PayloadError> {
    match part.strip_prefix(BINARY_MARK) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map(|bytes| Packet::Binary(Cow::Owned(bytes)))
            .map_err(|_| PayloadError::Packet),
        None => Ok(Packet::parse_text(part)?),
    }
}

/// Appends a packet in text form to a body.
pub fn push_text(packet: &[u8], body: &mut Vec<u8>) {
    separate(body);
    body.extend_from_slice(packet);
}

/// Appends a binary message to a body.
pub fn push_binary(bytes: &[u8], body: &mut Vec<u8>) {
    separate(body);
    body.extend_from_slice(BINARY_MARK.as_bytes());
    body.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

fn separate(body: &mut Vec<u8>) {
    if !body.is_empty() {
        body.push(SEPARATOR);
    }
}

#[cfg(test)]
mod tests {
    use super::super::PacketKind::{Message, Ping};
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<Vec<Packet<'_>>, PayloadError>) {
        assert_eq!(split_payload(body.as_bytes(), 3), expected, "{body:?}");
    }

    #[test]
    fn http_long_polling_payloads() {
        check(
            "4hello\u{1e}2\u{1e}4€",
            Ok(vec![
                Packet::Text(Message, "hello"),
                Packet::Text(Ping, ""),
                Packet::Text(Message, "€"),
            ]),
        );
        check(
            "4hello\u{1e}bAQIDBA==",
            Ok(vec![
                Packet::Text(Message, "hello"),
                Packet::Binary(Cow::Owned(vec![1, 2, 3, 4])),
            ]),
        );
        check("", Err(PayloadError::Packet));
        check("4a\u{1e}", Err(PayloadError::Packet));
        check("b!", Err(PayloadError::Packet));
        check("4\u{1e}4\u{1e}4\u{1e}4", Err(PayloadError::TooManyPackets));
        assert_eq!(split_payload(&[b'4', 0xff], 3), Err(PayloadError::Utf8));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut body = Vec::new();
        push_text(b"4x", &mut body);
        push_binary(&[0, 255], &mut body);
        assert_eq!(
            split_payload(&body, 3),
            Ok(vec![
                Packet::Text(Message, "x"),
                Packet::Binary(Cow::Owned(vec![0, 255]))
            ])
        );
    }
}
