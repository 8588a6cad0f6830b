//! Compression, each format both ways. Decoders are bounded in memory by the window that they accept, and in output by [`Limits`].
//!
//! A decoder's input is all of its stream: it must end with the end mark. gzip members, lz4 frames and zstd frames may follow one another, as their formats say, and all of them
//! count against the same limits; zlib, raw deflate and brotli are one stream. Anything else behind the end is an error, padding with zeros included: what is not
//! decoded may be there to be decoded by somebody else. An empty input is a stream that is cut off.

mod brotli;
mod deflate;
mod limits;
mod lz4;
mod zstd;

pub use brotli::{BrotliDecoder, BrotliEncoder};
pub use deflate::{DeflateDecoder, DeflateEncoder, Wrapper};
pub use limits::Limits;
pub use lz4::{Lz4Decoder, Lz4Encoder};
pub use zstd::{ZstdDecoder, ZstdEncoder};
