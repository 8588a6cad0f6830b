//! The first 32 bytes of an encrypted stream, which every segment's tag covers.

use super::HEADER_BYTES;
use crate::{Format, StreamError};

const MAGIC: [u8; 4] = *b"RWEF";
const VERSION: u8 = 1;
/// AES-256-GCM.
const CIPHER: u8 = 1;
/// log2 of the plaintext of a segment.
const SEGMENT_LOG: u8 = 16;

/// What a stream says of itself.
///
/// | byte | |
/// |---|---|
/// | 0 to 3 | `RWEF` |
/// | 4 | version, 1 |
/// | 5 | cipher, 1: AES-256-GCM |
/// | 6 | log2 of a segment's plaintext, 16 |
/// | 7 | 0 |
/// | 8 to 14 | the first seven bytes of each nonce |
/// | 15 | 0 |
/// | 16 to 31 | the file's id |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    nonce_prefix: [u8; 7],
    file: [u8; 16],
}

impl Header {
    /// Of a new file: both are random, or the id is what its owner knows it by. With a key that is the file's own, the prefix may be anything.
    #[must_use]
    pub const fn new(nonce_prefix: [u8; 7], file: [u8; 16]) -> Self {
        Self { nonce_prefix, file }
    }

    /// Which file it is: who expects a certain one compares it.
    #[must_use]
    pub const fn file(&self) -> [u8; 16] {
        self.file
    }

    pub(super) const fn nonce_prefix(&self) -> [u8; 7] {
        self.nonce_prefix
    }

    /// As it stands in front of the segments.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        (bytes[4], bytes[5], bytes[6]) = (VERSION, CIPHER, SEGMENT_LOG);
        bytes[8..15].copy_from_slice(&self.nonce_prefix);
        bytes[16..].copy_from_slice(&self.file);
        bytes
    }

    /// Reads it. Nothing of it is proven before a segment or an envelope was opened with it.
    ///
    /// # Errors
    /// [`StreamError::Malformed`], [`StreamError::Unsupported`].
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, StreamError> {
        let format = Format::Encrypted;
        let malformed = |what| StreamError::Malformed { format, what };
        let unsupported = |what| StreamError::Unsupported { format, what };
        if bytes[..4] != MAGIC {
            return Err(malformed("it does not begin with RWEF"));
        }
        if bytes[4] != VERSION {
            return Err(unsupported("a version other than 1"));
        }
        if bytes[5] != CIPHER {
            return Err(unsupported("a cipher other than AES-256-GCM"));
        }
        if bytes[6] != SEGMENT_LOG {
            return Err(unsupported("segments of a size other than 64 KiB"));
        }
        if bytes[7] != 0 || bytes[15] != 0 {
            return Err(malformed("its reserved bytes are not 0"));
        }
        let mut header = Self::new([0; 7], [0; 16]);
        header.nonce_prefix.copy_from_slice(&bytes[8..15]);
        header.file.copy_from_slice(&bytes[16..]);
        Ok(header)
    }

    /// The nonce of a segment.
    pub(super) fn nonce(&self, segment: u32, last: bool) -> [u8; super::NONCE_BYTES] {
        let mut nonce = [0; super::NONCE_BYTES];
        nonce[..7].copy_from_slice(&self.nonce_prefix);
        nonce[7..11].copy_from_slice(&segment.to_be_bytes());
        nonce[11] = u8::from(last);
        nonce
    }
}
