//! RFC 6455's frames: read from a client, written by a server. No extension, so no bit for one.

/// The longest message, and so the longest frame, that a client may send.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
const CONTROL_BYTES_MAX: usize = 125;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// Why a connection is closed: the codes of RFC 6455 §7.4.1 that a client can earn here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Protocol = 1002,
    NotUtf8 = 1007,
    TooBig = 1009,
}

/// What stands before a client's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) mask: [u8; 4],
    pub(crate) header_bytes: usize,
    pub(crate) payload_bytes: usize,
}

impl Header {
    /// Reads a header; `None` when more bytes must come first.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<Self>, Fault> {
        let [first, second, rest @ ..] = input else {
            return Ok(None);
        };
        let (fin, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0F);
        // RFC 6455 §5.1: a client masks every frame; §5.2: a reserved bit means an extension, and none was agreed to.
        if second & 0x80 == 0 || reserved != 0 {
            return Err(Fault::Protocol);
        }
        let control = match opcode {
            CONTINUATION | TEXT | BINARY => false,
            CLOSE | PING | PONG => true,
            _ => return Err(Fault::Protocol),
        };
        let (payload_bytes, length_bytes) = match (second & 0x7F, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        // RFC 6455 §5.5: a control frame is short and whole.
        if control && (!fin || payload_bytes > CONTROL_BYTES_MAX as u64) {
            return Err(Fault::Protocol);
        }
        if payload_bytes > MESSAGE_BYTES_MAX as u64 {
            return Err(Fault::TooBig);
        }
        let Some(mask) = rest[length_bytes..].first_chunk() else {
            return Ok(None);
        };
        Ok(Some(Self {
            fin,
            opcode,
            mask: *mask,
            header_bytes: 2 + length_bytes + 4,
            payload_bytes: payload_bytes as usize,
        }))
    }
}

/// Takes the mask off, eight bytes at a time so that the compiler makes vectors of it.
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends a server's frame whose payload is `parts`, one after the other.
pub(crate) fn push(out: &mut Vec<u8>, opcode: u8, parts: [&[u8]; 2]) {
    let payload_bytes = parts[0].len() + parts[1].len();
    out.reserve(payload_bytes + 10);
    out.push(0x80 | opcode);
    match payload_bytes {
        0..126 => out.push(payload_bytes as u8),
        126..65_536 => {
            out.push(126);
            out.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(parts[0]);
    out.extend_from_slice(parts[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expect: Result<Option<(bool, u8, usize, usize)>, Fault>) {
        let got = Header::parse(input)
            .map(|header| header.map(|h| (h.fin, h.opcode, h.header_bytes, h.payload_bytes)));
        assert_eq!(got, expect, "{input:x?}");
    }

    #[test]
    fn headers() {
        check(&[], Ok(None));
        check(&[0x82], Ok(None));
        check(&[0x82, 0x83, 1, 2, 3], Ok(None));
        check(&[0x82, 0x83, 1, 2, 3, 4], Ok(Some((true, BINARY, 6, 3))));
        check(&[0x01, 0x83, 1, 2, 3, 4], Ok(Some((false, TEXT, 6, 3))));
        check(&[0x82, 0xFE, 1], Ok(None));
        check(
            &[0x82, 0xFE, 1, 0, 1, 2, 3, 4],
            Ok(Some((true, BINARY, 8, 256))),
        );
        check(
            &[0x82, 0xFF, 0, 0, 0, 0, 0, 16, 0, 0, 1, 2, 3, 4],
            Ok(Some((true, BINARY, 14, 1 << 20))),
        );
        check(
            &[0x82, 0xFF, 0, 0, 0, 0, 0, 16, 0, 1, 1, 2, 3, 4],
            Err(Fault::TooBig),
        );
        check(&[0x82, 0x03, 1, 2, 3], Err(Fault::Protocol));
        check(&[0xC2, 0x83, 1, 2, 3, 4], Err(Fault::Protocol));
        check(&[0x83, 0x83, 1, 2, 3, 4], Err(Fault::Protocol));
        check(&[0x09, 0x80, 1, 2, 3, 4], Err(Fault::Protocol));
        check(&[0x89, 0xFE, 0, 126, 1, 2, 3, 4], Err(Fault::Protocol));
    }

    #[test]
    fn unmask_is_its_own_inverse_at_every_length() {
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let mut masked = plain.clone();
            unmask(&mut masked, [1, 2, 3, 250]);
            for (at, byte) in masked.iter().enumerate() {
                assert_eq!(*byte, plain[at] ^ [1, 2, 3, 250][at % 4]);
            }
        }
    }

    #[test]
    fn lengths_of_a_servers_frame() {
        for (payload_bytes, head) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            push(&mut out, BINARY, [&vec![7; payload_bytes], &[]]);
            assert_eq!(out[..head.len()], head);
            assert_eq!(out.len(), head.len() + payload_bytes);
        }
    }
}
