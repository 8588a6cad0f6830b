//! A file's key, and how it is kept: sealed by a master key, beside the file.

use super::{AwsLc, Cipher, HEADER_BYTES, Header, TAG_BYTES};
use crate::{Format, StreamError};
use core::fmt;
use zeroize::Zeroize;

/// 32 bytes that go from memory when they are dropped, and never into a log.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* }) => {
        $(#[$doc])*
        pub struct $name {
            $($field: $type,)*
            bytes: [u8; 32],
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.bytes.zeroize();
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

key! {
    /// What one file is encrypted with: 32 bytes from a source of entropy, for this file and no other.
    FileKey {}
}

key! {
    /// What the files' keys are sealed with, and the name by which envelopes know it.
    MasterKey { id: [u8; 8] }
}

impl FileKey {
    /// These bytes. A key that seals two streams must have another nonce prefix for each.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self { bytes }
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl MasterKey {
    /// These bytes, under this name.
    #[must_use]
    pub const fn new(id: [u8; 8], bytes: [u8; 32]) -> Self {
        Self { id, bytes }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> [u8; 8] {
        self.id
    }
}

const MAGIC: [u8; 4] = *b"RWEK";
const VERSION: u8 = 1;
/// What stands before the nonce.
const FRONT_BYTES: usize = 16;
const NONCE: core::ops::Range<usize> = 16..28;
const KEY: core::ops::Range<usize> = 28..60;

/// A file's key under a master key, for keeping: whoever destroys it has destroyed the file.
///
/// | byte | |
/// |---|---|
/// | 0 to 3 | `RWEK` |
/// | 4 | version, 1 |
/// | 5 to 7 | 0 |
/// | 8 to 15 | the master key's id |
/// | 16 to 27 | nonce |
/// | 28 to 59 | the key, sealed by AES-256-GCM; additional data are the file's header and bytes 0 to 15 |
/// | 60 to 75 | tag |
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Envelope([u8; Self::BYTES]);

impl Envelope {
    /// How long it is.
    pub const BYTES: usize = 76;

    /// Seals a file's key. `nonce` is random: a master key should seal no more than 2^32 keys, after which two of them may share one.
    #[must_use]
    pub fn seal(master: &MasterKey, nonce: [u8; 12], header: &Header, key: &FileKey) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[8..FRONT_BYTES].copy_from_slice(&master.id);
        bytes[NONCE].copy_from_slice(&nonce);
        bytes[KEY].copy_from_slice(key.bytes());
        let aad = Self::aad(header, &bytes);
        let tag = AwsLc::new(&master.bytes).seal(nonce, &aad, &mut bytes[KEY]);
        bytes[KEY.end..].copy_from_slice(&tag);
        Self(bytes)
    }

    /// Opens it, for the file that has this header.
    ///
    /// # Errors
    /// [`StreamError::KeyRefused`].
    pub fn open(&self, master: &MasterKey, header: &Header) -> Result<FileKey, StreamError> {
        let mut key = FileKey::new(self.part(KEY));
        let (nonce, tag): (_, [u8; TAG_BYTES]) =
            (self.part(NONCE), self.part(KEY.end..Self::BYTES));
        let aad = Self::aad(header, &self.0);
        let named = self.master() == master.id;
        if named && AwsLc::new(&master.bytes).open(nonce, &aad, &mut key.bytes, &tag) {
            return Ok(key);
        }
        Err(StreamError::KeyRefused)
    }

    /// The same key under another master key.
    ///
    /// # Errors
    /// As [`Envelope::open`].
    pub fn seal_anew(
        &self,
        old: &MasterKey,
        new: &MasterKey,
        nonce: [u8; 12],
        header: &Header,
    ) -> Result<Self, StreamError> {
        let key = self.open(old, header)?;
        Ok(Self::seal(new, nonce, header, &key))
    }

    /// The id of the master key that it wants.
    #[must_use]
    pub fn master(&self) -> [u8; 8] {
        self.part(8..FRONT_BYTES)
    }

    /// For keeping.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// What was kept.
    ///
    /// # Errors
    /// [`StreamError::Malformed`], [`StreamError::Unsupported`].
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Result<Self, StreamError> {
        let format = Format::Encrypted;
        if bytes[..4] != MAGIC || bytes[5..8] != [0; 3] {
            let what = "its envelope does not begin with RWEK, or its reserved bytes are not 0";
            return Err(StreamError::Malformed { format, what });
        }
        if bytes[4] != VERSION {
            let what = "an envelope of a version other than 1";
            return Err(StreamError::Unsupported { format, what });
        }
        Ok(Self(*bytes))
    }

    fn part<const N: usize>(&self, range: core::ops::Range<usize>) -> [u8; N] {
        self.0[range].try_into().expect("the ranges are constants")
    }

    fn aad(header: &Header, bytes: &[u8; Self::BYTES]) -> [u8; HEADER_BYTES + FRONT_BYTES] {
        let mut aad = [0; HEADER_BYTES + FRONT_BYTES];
        aad[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        aad[HEADER_BYTES..].copy_from_slice(&bytes[..FRONT_BYTES]);
        aad
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope(under {:02x?})", self.master())
    }
}
