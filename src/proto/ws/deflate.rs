//! RFC 7692 permessage-deflate without context takeover, both ways: one compressed message serves every receiver.

use super::{Opcode, WsError, encode_header};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The answer when an offer was accepted (RFC 7692 §7.1.1).
pub const AGREED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Messages of fewer bytes are not worth compressing; larger ones would hold a core for too long.
const MESSAGE_BYTES: core::ops::RangeInclusive<usize> = 1024..=65_536;

/// RFC 7692 §7.2.1: what a sender cuts off and a receiver puts back.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Looks for an offer that can be accepted as [`AGREED`]. A client that asks for a smaller window of ours is declined, and gets uncompressed messages.
#[must_use]
pub fn negotiate(offers: &str) -> bool {
    offers.split(',').any(acceptable)
}

fn acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return false;
    }
    let mut seen: Vec<&str> = Vec::new();
    parts.all(|part| {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| {
            (name.trim(), Some(value.trim().trim_matches('"')))
        });
        let fresh = !seen.contains(&name);
        seen.push(name);
        fresh
            && match (name, value) {
                (
                    "server_no_context_takeover"
                    | "client_no_context_takeover"
                    | "client_max_window_bits",
                    None,
                ) => true,
                ("client_max_window_bits", Some(bits)) => matches!(bits.parse(), Ok(8..=15)),
                ("server_max_window_bits", Some(bits)) => bits == "15",
                _ => false,
            }
    })
}

/// Appends a whole frame to a client that agreed: compressed if the message is worth it and gets shorter by it (RFC 7692 §6 leaves the
/// choice to the sender, message by message).
pub fn encode_frame(opcode: Opcode, message: &[u8], out: &mut Vec<u8>) {
    let squeezed = MESSAGE_BYTES
        .contains(&message.len())
        .then(|| compress(message))
        .filter(|squeezed| squeezed.len() < message.len());
    let payload = squeezed.as_deref().unwrap_or(message);
    let compressed = squeezed.is_some();
    encode_header(opcode, true, compressed, payload.len() as u64, out);
    out.extend_from_slice(payload);
}

/// Compresses a whole message (RFC 7692 §7.2.1).
#[must_use]
pub fn compress(message: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(message.len() / 2 + 64);
    loop {
        let consumed = deflate.total_in() as usize;
        let room_before = out.capacity() - out.len();
        deflate
            .compress_vec(&message[consumed..], &mut out, FlushCompress::Sync)
            .unwrap_or(Status::BufError);
        let finished = deflate.total_in() as usize == message.len() && out.len() < out.capacity();
        if finished {
            break;
        }
        out.reserve(room_before.max(1024));
    }
    assert!(out.ends_with(&TAIL), "a sync flush ends with the tail");
    out.truncate(out.len() - TAIL.len());
    out
}

/// Inflates a whole message (RFC 7692 §7.2.2).
///
/// # Errors
/// [`WsError::Deflate`] for bytes that do not inflate, [`WsError::MessageTooLarge`] beyond `bytes_max`.
pub fn inflate(message: &[u8], bytes_max: usize) -> Result<Vec<u8>, WsError> {
    let mut inflate = Decompress::new(false);
    let mut out = Vec::with_capacity((message.len() * 4).clamp(256, bytes_max.max(256)));
    for part in [message, &TAIL] {
        feed(&mut inflate, part, &mut out, bytes_max)?;
    }
    Ok(out)
}

fn feed(
    inflate: &mut Decompress,
    mut part: &[u8],
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), WsError> {
    loop {
        let before = (inflate.total_in(), out.len());
        let status = inflate
            .decompress_vec(part, out, FlushDecompress::Sync)
            .map_err(|_| WsError::Deflate)?;
        part = &part[(inflate.total_in() - before.0) as usize..];
        if out.len() > bytes_max {
            return Err(WsError::MessageTooLarge);
        }
        if status == Status::StreamEnd || (part.is_empty() && out.len() < out.capacity()) {
            return Ok(());
        }
        if (inflate.total_in(), out.len()) == before && out.len() < out.capacity() {
            return Err(WsError::Deflate);
        }
        out.reserve(out.len().clamp(1024, bytes_max.max(1024)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7692_7_2_round_trip() {
        for length in [0, 1, 100, 5_000, 200_000] {
            let message: Vec<u8> = (0..length)
                .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 28) as u8)
                .collect();
            assert_eq!(
                inflate(&compress(&message), 1 << 20).as_deref(),
                Ok(&message[..]),
                "{length}"
            );
        }
    }

    #[test]
    fn rfc7692_6_a_message_is_compressed_when_that_is_worth_it() {
        for (length, noise, compressed) in [
            (1023, false, false),
            (1024, false, true),
            (65_536, false, true),
            (65_537, false, false),
            (2000, true, false),
        ] {
            let mut state = 0x5eed_u32;
            let mut byte = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                if noise { state as u8 } else { 7 }
            };
            let message: Vec<u8> = (0..length).map(|_| byte()).collect();
            let mut frame = Vec::new();
            encode_frame(Opcode::Binary, &message, &mut frame);
            assert_eq!(frame[0] & 0x40 != 0, compressed, "{length} {noise}");
            assert!(frame.len() <= message.len() + 10, "{length} {noise}");
        }
    }

    #[test]
    fn a_bomb_is_bounded() {
        let bomb = compress(&vec![0; 10 << 20]);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert_eq!(inflate(&bomb, 1 << 20), Err(WsError::MessageTooLarge));
    }

    #[test]
    fn rfc7692_7_1_offers() {
        for (offer, accepted) in [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            (
                "x-webkit-deflate-frame, permessage-deflate; server_no_context_takeover",
                true,
            ),
            ("permessage-deflate; server_max_window_bits=10", false),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                true,
            ),
            ("permessage-deflate; client_max_window_bits=7", false),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits",
                false,
            ),
            ("permessage-deflate; unknown", false),
            ("", false),
        ] {
            assert_eq!(negotiate(offer), accepted, "{offer}");
        }
    }
}
