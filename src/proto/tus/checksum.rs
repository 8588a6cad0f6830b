//! Upload-Checksum: an algorithm and a digest.
//!
//! MD5 and CRC32 are not there: clients choose from Tus-Checksum-Algorithm, and SHA-1 is what every client must know.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// An algorithm that clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `sha1`, which the protocol demands.
    Sha1,
    /// `sha256`.
    Sha256,
}

impl Algorithm {
    /// All of them, the best first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha1];

    /// Its name in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// What a body is said to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// As many bytes as the algorithm gives.
    pub digest: Vec<u8>,
}

impl Checksum {
    /// The checksum that a header says; `None` for an algorithm that is not there, or a digest that is none.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (name, digest) = value.split_once(' ')?;
        let mut known = Algorithm::ALL.into_iter();
        let algorithm = known.find(|algorithm| algorithm.name() == name)?;
        let digest = BASE64_STANDARD.decode(digest.trim_matches(' ')).ok()?;
        (digest.len() == algorithm.digest_bytes()).then_some(Self { algorithm, digest })
    }
}
