//! Frames on their way out: a server never masks (RFC 6455 §5.1).

use super::Opcode;

/// Appends a frame header. `rsv1` marks a deflated message (RFC 7692 §6).
pub fn encode_header(opcode: Opcode, fin: bool, rsv1: bool, payload_len: u64, out: &mut Vec<u8>) {
    out.push(u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode as u8);
    // RFC 6455 §5.2: the shortest of the three forms.
    match payload_len {
        0..=125 => out.push(payload_len as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&payload_len.to_be_bytes());
        }
    }
}

/// The longest header of a frame that goes out.
pub const HEADER_BYTES_MAX: usize = 10;

/// Writes the header of a whole, uncompressed frame to the end of the room in front of its payload, and says where it begins.
pub fn encode_header_before(
    opcode: Opcode,
    payload_len: u64,
    room: &mut [u8; HEADER_BYTES_MAX],
) -> usize {
    let (start, length) = match payload_len {
        0..=125 => (8, payload_len as u8),
        126..=0xffff => (6, 126),
        _ => (0, 127),
    };
    if start < 8 {
        // The length field fills what is left of the room: its last bytes are those that count.
        let field = payload_len.to_be_bytes();
        room[start + 2..].copy_from_slice(&field[start..]);
    }
    room[start] = 0x80 | opcode as u8;
    room[start + 1] = length;
    start
}

/// Appends a whole, uncompressed frame.
pub fn encode_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    encode_header(opcode, true, false, payload.len() as u64, out);
    out.extend_from_slice(payload);
}

/// Takes the first frame off bytes that [`encode_frame`] wrote: its kind, its payload, and what comes behind. `None` when nothing is left.
///
/// # Panics
/// On anything else than unmasked, whole frames: these bytes are our own.
#[must_use]
pub fn split_frame(frames: &[u8]) -> Option<(Opcode, &[u8], &[u8])> {
    let (first, rest) = frames.split_first()?;
    let opcode = Opcode::from_bits(first & 0x0f).expect("a kind that was written");
    let (length, rest) = match rest.split_first().expect("a length was written") {
        (126, rest) => {
            let (field, rest) = rest.split_first_chunk().expect("two bytes");
            (u64::from(u16::from_be_bytes(*field)), rest)
        }
        (127, rest) => {
            let (field, rest) = rest.split_first_chunk().expect("eight bytes");
            (u64::from_be_bytes(*field), rest)
        }
        (short, rest) => (u64::from(*short), rest),
    };
    let (payload, rest) = rest.split_at(length as usize);
    Some((opcode, payload, rest))
}

/// Appends a close frame; the reason is cut to what a control frame holds (123 bytes, at a character).
pub fn encode_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let reason = &reason[..reason.floor_char_boundary(123)];
    out.reserve(HEADER_BYTES_MAX + reason.len());
    encode_header(Opcode::Close, true, false, 2 + reason.len() as u64, out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_5_2_lengths_take_the_shortest_form() {
        for (length, header) in [(125, 2), (126, 4), (0xffff, 4), (0x1_0000, 10)] {
            let mut out = Vec::new();
            encode_header(Opcode::Binary, true, false, length, &mut out);
            assert_eq!(out.len(), header, "{length}");
        }
    }

    #[test]
    fn a_header_in_front_is_the_same_header() {
        for length in [0, 1, 125, 126, 0xfffe, 0xffff, 0x1_0000, 1 << 33] {
            let (mut out, mut room) = (Vec::new(), [0xee; HEADER_BYTES_MAX]);
            encode_header(Opcode::Text, true, false, length, &mut out);
            let start = encode_header_before(Opcode::Text, length, &mut room);
            assert_eq!(room[start..], out[..], "{length}");
        }
    }

    #[test]
    fn what_was_written_is_split_again() {
        let mut frames = Vec::new();
        let lengths = [0, 1, 125, 126, 0xffff, 0x1_0000];
        for length in lengths {
            encode_frame(Opcode::Binary, &vec![7; length], &mut frames);
        }
        let mut rest = &frames[..];
        for length in lengths {
            let (opcode, payload, behind) = split_frame(rest).unwrap();
            assert_eq!((opcode, payload.len()), (Opcode::Binary, length));
            rest = behind;
        }
        assert_eq!(split_frame(rest), None);
    }

    #[test]
    fn rfc6455_5_5_a_close_reason_fits_a_control_frame() {
        let mut out = Vec::new();
        encode_close(1012, &"é".repeat(100), &mut out);
        assert_eq!(out[1] as usize, out.len() - 2);
        assert!(core::str::from_utf8(&out[4..]).is_ok() && out.len() <= 127);
    }
}
