//! A frame whose body was not looked into: its header, and where it ends.

use super::{COUNTED_HEADER_BYTES, FRAME_BODY_BYTES_MAX, Flags, HEADER_BYTES, Kind, LinkError};

/// A frame, borrowed from the buffer that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its flags, which its type may not know.
    pub flags: Flags,
    /// The connection; 0 in frames of the link.
    pub conn: u64,
    /// What stands behind the header.
    pub body: &'a [u8],
}

/// The first frame of a buffer and how many bytes it took; `None` while it is not whole.
///
/// # Errors
/// [`LinkError::Length`] and [`LinkError::UnknownType`], as soon as they show: nobody waits for 16 MiB of what nobody knows.
pub fn split(buffer: &[u8], body_bytes_max: u32) -> Result<Option<(Raw<'_>, usize)>, LinkError> {
    let Some((length, rest)) = buffer.split_first_chunk() else {
        return Ok(None);
    };
    let rest_bytes = rest_bytes(u32::from_le_bytes(*length), body_bytes_max)?;
    let Some(&byte) = rest.first() else {
        return Ok(None);
    };
    let kind = Kind::from_byte(byte).ok_or(LinkError::UnknownType(byte))?;
    let Some(rest) = rest.get(..rest_bytes) else {
        return Ok(None);
    };
    let frame = rest[2..].split_first_chunk().map(|(conn, body)| Raw {
        kind,
        flags: Flags::from_bits(rest[1]),
        conn: u64::from_le_bytes(*conn),
        body,
    });
    Ok(frame.map(|frame| (frame, frame.bytes())))
}

/// The bytes behind the length.
fn rest_bytes(length: u32, body_bytes_max: u32) -> Result<usize, LinkError> {
    let body_bytes = length.checked_sub(COUNTED_HEADER_BYTES);
    match body_bytes.filter(|bytes| *bytes <= body_bytes_max) {
        Some(_) => Ok(length as usize),
        None => Err(LinkError::Length(length)),
    }
}

/// The header of a frame whose body the caller writes behind it.
///
/// # Panics
/// When the body is longer than a frame may be.
#[must_use]
pub fn header(kind: Kind, flags: Flags, conn: u64, body_bytes: usize) -> [u8; HEADER_BYTES] {
    assert!(
        body_bytes <= FRAME_BODY_BYTES_MAX as usize,
        "{kind} with {body_bytes} bytes"
    );
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(COUNTED_HEADER_BYTES + body_bytes as u32).to_le_bytes());
    header[4] = kind.to_byte();
    header[5] = flags.bits();
    header[6..].copy_from_slice(&conn.to_le_bytes());
    header
}

impl Raw<'_> {
    /// Bytes on the wire, which credit counts.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Appends it; the cheap way for DATA and SEND, whose body is the payload.
    ///
    /// # Panics
    /// When the body is longer than a frame may be.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes());
        out.extend_from_slice(&header(self.kind, self.flags, self.conn, self.body.len()));
        out.extend_from_slice(self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Raw<'_> = Raw {
        kind: Kind::Send,
        flags: Flags::ASCII,
        conn: 0x0102_0304_0506_0708,
        body: b"2[]",
    };

    #[test]
    fn a_frame_is_its_bytes() {
        let mut bytes = Vec::new();
        FRAME.encode_into(&mut bytes);
        assert_eq!(
            bytes,
            b"\x0d\0\0\0\x15\x40\x08\x07\x06\x05\x04\x03\x02\x012[]"
        );
        bytes.push(7);
        assert_eq!(split(&bytes, 3), Ok(Some((FRAME, 17))));
        for len in 0..17 {
            assert_eq!(split(&bytes[..len], 3), Ok(None), "{len}");
        }
    }

    #[test]
    fn faults_show_before_the_frame_is_whole() {
        let check = |bytes: &[u8], error| assert_eq!(split(bytes, 3), Err(error));
        check(&[9, 0, 0, 0], LinkError::Length(9));
        check(&[14, 0, 0, 0], LinkError::Length(14));
        check(&[255; 4], LinkError::Length(u32::MAX));
        check(&[10, 0, 0, 0, 10], LinkError::UnknownType(10));
        assert_eq!(split(&[9, 0, 0], 3), Ok(None));
    }

    #[test]
    #[should_panic(expected = "SEND with 16777217 bytes")]
    fn a_body_beyond_the_bound_is_our_bug() {
        let _ = header(
            Kind::Send,
            Flags::NONE,
            1,
            FRAME_BODY_BYTES_MAX as usize + 1,
        );
    }
}
