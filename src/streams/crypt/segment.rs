//! One segment's worth of memory, and giving what is ready in it: what the stages of encryption share.

use super::{Cipher, FileCipher, HEADER_BYTES, Header, SEALED_BYTES, TAG_BYTES};
use crate::StreamError;
use core::ops::Range;

/// A buffer of a segment with its tag: gathered, turned where it stands, given.
pub(super) struct Segment {
    bytes: Box<[u8]>,
    pub(super) filled: usize,
    /// What is ready to be given.
    ready: Range<usize>,
}

impl Segment {
    pub(super) const MEMORY_BYTES: usize = SEALED_BYTES;

    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; SEALED_BYTES].into(),
            filled: 0,
            ready: 0..0,
        }
    }

    /// Takes input until so many bytes are there; how many it took.
    pub(super) fn gather(&mut self, input: &[u8], until: usize) -> usize {
        let bytes = (until - self.filled).min(input.len());
        self.bytes[self.filled..self.filled + bytes].copy_from_slice(&input[..bytes]);
        self.filled += bytes;
        bytes
    }

    /// Gives what is ready; whether all of it went.
    pub(super) fn give(&mut self, out: &mut [u8], written: &mut usize) -> bool {
        let bytes = self.ready.len().min(out.len() - *written);
        let from = self.ready.start;
        out[*written..*written + bytes].copy_from_slice(&self.bytes[from..from + bytes]);
        self.ready.start += bytes;
        *written += bytes;
        self.ready.is_empty()
    }

    /// The gathered bytes, which are gone then, become ready as they are.
    pub(super) fn pass(&mut self) {
        self.ready = 0..self.filled;
        self.filled = 0;
    }

    /// The gathered header, which is gone then.
    pub(super) fn take_header(&mut self) -> [u8; HEADER_BYTES] {
        self.filled = 0;
        *self.bytes.first_chunk().expect("a segment is longer")
    }

    pub(super) fn ready_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Only this part of what is ready is to be given.
    pub(super) fn narrow(&mut self, skip: usize, take: usize) {
        let start = self.ready.end.min(self.ready.start + skip);
        self.ready = start..self.ready.end.min(start + take);
    }

    /// Seals the gathered plaintext, tag behind.
    pub(super) fn seal(&mut self, sealing: &Key<impl Cipher>, index: u32, last: bool) {
        let (text, rest) = self.bytes.split_at_mut(self.filled);
        rest[..TAG_BYTES].copy_from_slice(&sealing.seal(index, last, text));
        self.ready = 0..self.filled + TAG_BYTES;
        self.filled = 0;
    }

    /// Opens the gathered ciphertext, which ends with its tag.
    pub(super) fn open(
        &mut self,
        opening: &Key<impl Cipher>,
        index: u32,
        last: bool,
    ) -> Result<(), StreamError> {
        let sealed = &mut self.bytes[..self.filled];
        let Some((text, tag)) = sealed.split_last_chunk_mut() else {
            return Err(StreamError::Forged { segment: index });
        };
        opening.open(index, last, text, tag)?;
        self.ready = 0..self.filled - TAG_BYTES;
        self.filled = 0;
        Ok(())
    }
}

/// A file's cipher under the one prefix that its header has.
pub(super) struct Key<C> {
    cipher: FileCipher<C>,
    prefix: [u8; 7],
}

impl<C: Cipher> Key<C> {
    pub(super) const fn new(cipher: C, header: Header) -> Self {
        Self {
            cipher: FileCipher::with_cipher(cipher, header.file()),
            prefix: header.nonce_prefix(),
        }
    }

    pub(super) fn seal(&self, index: u32, last: bool, text: &mut [u8]) -> [u8; TAG_BYTES] {
        self.cipher.seal(self.prefix, index, last, text)
    }

    pub(super) fn open(
        &self,
        index: u32,
        last: bool,
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), StreamError> {
        self.cipher
            .open_apart(self.prefix, index, last, (text, tag))
    }
}
