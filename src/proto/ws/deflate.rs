//! RFC 7692 permessage-deflate without context takeover, both ways: one compressed message serves every receiver.

use super::{Opcode, WsError, encode_header};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Messages of fewer bytes are not worth compressing; larger ones would hold a core for too long.
const MESSAGE_BYTES: core::ops::RangeInclusive<usize> = 1024..=65_536;

/// RFC 7692 §7.2.1: what a sender cuts off and a receiver puts back.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The window of our compressor, in bits: 32 KiB.
const WINDOW_BITS: u8 = 15;

/// What a server agreed to (RFC 7692 §7.1). Messages from the client are inflated, whatever its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// `server_max_window_bits`, where the offer had it.
    window_bits: Option<u8>,
}

impl Agreement {
    /// Whether our messages may be compressed. One compressed message serves every receiver, so it has one window; a client that asked for a smaller
    /// one gets messages as they are, which §6 leaves to the sender.
    #[must_use]
    pub fn compresses(&self) -> bool {
        self.window_bits.unwrap_or(WINDOW_BITS) == WINDOW_BITS
    }

    /// The value of `Sec-WebSocket-Extensions`. §7.1.2.1: who was asked for a window says which.
    #[must_use]
    pub fn answer(&self) -> String {
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        self.window_bits.map_or_else(
            || agreed.to_owned(),
            |bits| format!("{agreed}; server_max_window_bits={bits}"),
        )
    }
}

/// Takes the first offer that lets us compress, else the first that can be accepted at all.
#[must_use]
pub fn negotiate(offers: &str) -> Option<Agreement> {
    let acceptable = || offers.split(',').filter_map(accept);
    acceptable()
        .find(Agreement::compresses)
        .or_else(|| acceptable().next())
}

fn accept(offer: &str) -> Option<Agreement> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut window_bits = None;
    for part in parts {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| {
            (name.trim(), Some(value.trim().trim_matches('"')))
        });
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover"
                | "client_no_context_takeover"
                | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(bits)) => {
                window(bits)?;
            }
            ("server_max_window_bits", Some(bits)) => window_bits = Some(window(bits)?),
            _ => return None,
        }
    }
    Some(Agreement { window_bits })
}

/// RFC 7692 §7.1.2: a decimal from 8 to 15 without leading zeros.
fn window(bits: &str) -> Option<u8> {
    (8..=WINDOW_BITS).find(|known| known.to_string() == bits)
}

/// Whether [`encode_frame`] tries to compress the message: small ones get longer by it, large ones keep a shard busy.
#[must_use]
pub fn is_worth_it(message: &[u8]) -> bool {
    MESSAGE_BYTES.contains(&message.len())
}

/// Appends a whole frame to a client that agreed: compressed if the message is worth it and gets shorter by it (RFC 7692 §6 leaves the
/// choice to the sender, message by message).
pub fn encode_frame(opcode: Opcode, message: &[u8], out: &mut Vec<u8>) {
    let squeezed = is_worth_it(message)
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
        let compresses = Some(true);
        for (offer, expected) in [
            ("permessage-deflate", compresses),
            ("permessage-deflate; client_max_window_bits", compresses),
            (
                "x-webkit-deflate-frame, permessage-deflate; server_no_context_takeover",
                compresses,
            ),
            ("permessage-deflate; server_max_window_bits=15", compresses),
            ("permessage-deflate; server_max_window_bits=10", Some(false)),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                compresses,
            ),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=+9", None),
            ("permessage-deflate; server_max_window_bits=09", None),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; client_max_window_bits=7", None),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits",
                None,
            ),
            ("permessage-deflate; unknown", None),
            ("", None),
        ] {
            let agreed = negotiate(offer).map(|agreed| agreed.compresses());
            assert_eq!(agreed, expected, "{offer}");
        }
    }

    #[test]
    fn rfc7692_7_1_2_1_who_asked_for_a_window_is_told_it() {
        let answer = |offer: &str| negotiate(offer).unwrap().answer();
        assert!(!answer("permessage-deflate").contains("window"));
        let small = answer("permessage-deflate; server_max_window_bits=\"9\"");
        assert!(small.ends_with("; server_max_window_bits=9"), "{small}");
    }
}
