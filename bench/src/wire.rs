//! The client's side of RFC 6455, as little of it as a well-behaved server needs.
//!
//! Deliberately absent: fragments and extensions, which no server here sends; whoever does is an error.

/// The key that every client sends (the example of RFC 6455 section 1.3), and the mask that all of them use: a server has to undo either.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame's kind, RFC 6455 section 5.2.
pub(crate) mod opcode {
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

/// The request for a WebSocket at `path`.
pub(crate) fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// Appends a masked frame.
pub(crate) fn frame_into(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    for (index, byte) in out[start..].iter_mut().enumerate() {
        *byte ^= MASK[index % 4];
    }
}

/// A frame of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    /// Where its payload stands in the bytes that it was parsed from.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The frame that begins at `at`; `None` until all of it is there.
///
/// # Errors
/// The server masks, fragments or uses an extension: what is measured then is not what was agreed.
pub(crate) fn parse(bytes: &[u8], at: usize) -> Result<Option<Frame>, &'static str> {
    let Some([first, second]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
        return Ok(None);
    };
    if first & 0xf0 != 0x80 {
        return Err("a fragment or an extension");
    }
    if second & 0x80 != 0 {
        return Err("RFC 6455 section 5.1: a server masks nothing");
    }
    let frame = extent(bytes, at, *second).map(|(start, end)| Frame {
        opcode: first & 0x0f,
        start,
        end,
    });
    Ok(frame.filter(|frame| frame.end <= bytes.len()))
}

/// Where the payload of the frame at `at` starts and ends.
fn extent(bytes: &[u8], at: usize, short: u8) -> Option<(usize, usize)> {
    let (start, length) = match short {
        126 => {
            let field = bytes.get(at + 2..at + 4)?.try_into().ok()?;
            (at + 4, usize::from(u16::from_be_bytes(field)))
        }
        127 => {
            let field = bytes.get(at + 2..at + 10)?.try_into().ok()?;
            (at + 10, usize::try_from(u64::from_be_bytes(field)).ok()?)
        }
        short => (at + 2, usize::from(short)),
    };
    Some((start, start.checked_add(length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_5_2_lengths_of_all_three_kinds() {
        for length in [0, 1, 125, 126, 0xffff, 0x1_0000] {
            let mut masked = Vec::new();
            frame_into(&mut masked, opcode::BINARY, &vec![b'x'; length]);
            let header = masked.len() - length - 4;
            // The same frame as a server sends it: no mask.
            let mut plain = masked[..header].to_vec();
            plain[1] &= 0x7f;
            plain.extend(vec![b'x'; length]);
            let frame = parse(&plain, 0).unwrap().expect("it is whole");
            assert_eq!((frame.opcode, frame.end - frame.start), (2, length));
            assert_eq!(frame.end, plain.len());
            for cut in 0..plain.len().min(20) {
                assert_eq!(parse(&plain[..cut], 0), Ok(None), "{cut} of {length}");
            }
        }
    }

    #[test]
    fn what_was_not_agreed_is_refused() {
        for bytes in [[0x01, 0], [0xc1, 0], [0x81, 0x80]] {
            parse(&bytes, 0).unwrap_err();
        }
    }

    #[test]
    fn rfc6455_5_3_the_mask_is_undone_by_itself() {
        let mut masked = Vec::new();
        frame_into(&mut masked, opcode::TEXT, b"hello, world");
        let payload: Vec<u8> = masked[6..]
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ masked[2 + index % 4])
            .collect();
        assert_eq!(payload, b"hello, world");
    }
}
