//! Segments one by one, for whoever writes a file piece by piece and over days, and reads it anywhere.

use super::{AwsLc, Cipher, FileKey, Header, SEGMENT_BYTES, TAG_BYTES};
use crate::StreamError;
use core::fmt;

/// What seals and opens segments of one file.
///
/// A [`super::Sealer`] writes each segment once. Whoever goes back, because what was written may not have lasted, would give the same nonce to other bytes; it
/// goes on under another nonce prefix instead, and remembers from which segment on that holds.
pub struct FileCipher<C = AwsLc> {
    cipher: C,
    file: [u8; 16],
}

impl FileCipher {
    /// Of the file with this id, by AWS-LC.
    #[must_use]
    pub fn new(key: &FileKey, file: [u8; 16]) -> Self {
        Self::with_cipher(AwsLc::new(key.bytes()), file)
    }
}

impl<C: Cipher> FileCipher<C> {
    pub(super) const fn with_cipher(cipher: C, file: [u8; 16]) -> Self {
        Self { cipher, file }
    }

    /// The header of segments under this prefix.
    #[must_use]
    pub const fn header(&self, nonce_prefix: [u8; 7]) -> Header {
        Header::new(nonce_prefix, self.file)
    }

    /// Encrypts a segment where it stands, and gives its tag. Under one prefix each number is used once, or once as the last and once as another.
    ///
    /// # Panics
    /// When it is longer than a segment.
    pub fn seal(
        &self,
        nonce_prefix: [u8; 7],
        index: u32,
        last: bool,
        text: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        assert!(text.len() <= SEGMENT_BYTES, "a segment is no longer");
        let header = self.header(nonce_prefix);
        let nonce = header.nonce(index, last);
        self.cipher.seal(nonce, &header.to_bytes(), text)
    }

    /// Decrypts a segment, tag behind it, where it stands; gives its plaintext.
    ///
    /// # Errors
    /// [`StreamError::Forged`]: then what stands there is not to be used.
    pub fn open<'a>(
        &self,
        nonce_prefix: [u8; 7],
        index: u32,
        last: bool,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], StreamError> {
        let Some((text, tag)) = sealed.split_last_chunk_mut::<TAG_BYTES>() else {
            return Err(StreamError::Forged { segment: index });
        };
        self.open_apart(nonce_prefix, index, last, (text, tag))?;
        Ok(text)
    }

    /// The same, of a segment whose tag stands elsewhere.
    pub(super) fn open_apart(
        &self,
        nonce_prefix: [u8; 7],
        index: u32,
        last: bool,
        (text, tag): (&mut [u8], &[u8; TAG_BYTES]),
    ) -> Result<(), StreamError> {
        let header = self.header(nonce_prefix);
        let nonce = header.nonce(index, last);
        match self.cipher.open(nonce, &header.to_bytes(), text, tag) {
            true => Ok(()),
            false => Err(StreamError::Forged { segment: index }),
        }
    }
}

impl<C> fmt::Debug for FileCipher<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileCipher(file {:02x?})", self.file)
    }
}
