//! AES-256-GCM as the stages need it, and the library that does it.

use super::{NONCE_BYTES, TAG_BYTES};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use core::fmt;

/// AES-256-GCM with one key. Whoever calls it sees to it that no nonce comes twice.
pub trait Cipher: Send {
    /// With this key.
    fn new(key: &[u8; 32]) -> Self;

    /// Encrypts `text` where it stands; the tag covers `aad`, too.
    fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES];

    /// Decrypts `text` where it stands, and says whether it and `aad` fit the tag. If not, `text` is not to be used.
    #[must_use]
    fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool;
}

/// The AES-256-GCM of AWS-LC.
pub struct AwsLc(LessSafeKey);

impl Cipher for AwsLc {
    fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("the key is 32 bytes long");
        Self(LessSafeKey::new(key))
    }

    fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        let tag = tag.expect("a segment is shorter than what GCM can seal");
        tag.as_ref().try_into().expect("a tag is 16 bytes long")
    }

    fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self
            .0
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, text);
        opened.is_ok()
    }
}

impl fmt::Debug for AwsLc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsLc(…)")
    }
}
