//! Encryption at rest: AES-256-GCM in segments of 64 KiB, after the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár (CRYPTO 2015).
//!
//! # Format
//!
//! A stream is a [`Header`] of 32 bytes and one segment or more. A segment is up to 65,536 bytes of ciphertext and a tag of 16; all but the last one are full, and the last one is
//! empty only if it is the only one. So the lengths of plaintext and ciphertext say each other ([`Layout`]).
//!
//! The nonce of a segment is 12 bytes: seven of the header, the segment's number from 0 (u32, big-endian), and 1 for the last segment, else 0. Each segment is sealed with the header as
//! additional data. A segment that is changed, moved, left out, repeated, or comes from another file does not fit its tag; nor does a stream that was cut off, because
//! its last segment was not sealed as the last, or goes on behind it.
//!
//! # Keys
//!
//! A file has a key of its own, from the caller's source of entropy: 32 bytes, with the seven of the nonce and the 16 of the file's id. The [`Envelope`] is that key, sealed
//! by a master key, 76 bytes; it is kept *beside* the file, not in it. Erasing those 76 bytes erases the file, wherever copies of it are; a new master key means new
//! envelopes and not one byte of a file.
//!
//! [`Sealer`] and [`Opener`] are stages. [`RangeReader`] is one, too: it says which part of the ciphertext a range of the plaintext needs, and decrypts only that.
//! A [`FileCipher`] seals and opens single segments, for files that are written piece by piece.
//! What does the arithmetic is a [`Cipher`]; why it is AWS-LC stands in ARCHITECTURE.md.

mod cipher;
mod envelope;
mod file_cipher;
mod header;
mod layout;
mod open;
mod range;
mod seal;
mod segment;

pub use cipher::{AwsLc, Cipher};
pub use envelope::{Envelope, FileKey, MasterKey};
pub use file_cipher::FileCipher;
pub use header::Header;
pub use layout::{Grid, Layout, Span};
pub use open::Opener;
pub use range::RangeReader;
pub use seal::Sealer;

/// Plaintext of a full segment.
pub const SEGMENT_BYTES: usize = 64 * 1024;
/// The tag behind each segment.
pub const TAG_BYTES: usize = 16;
/// The header before them.
pub const HEADER_BYTES: usize = 32;
/// As many as the nonce can number.
pub const PLAINTEXT_BYTES_MAX: u64 = (SEGMENT_BYTES as u64) << 32;

const SEALED_BYTES: usize = SEGMENT_BYTES + TAG_BYTES;
const NONCE_BYTES: usize = 12;
