//! HTTP/1.0 and 1.1 heads over the httparse crate, bodies, and answers (RFC 9112).
//!
//! Deliberately absent: routes, policy, timeouts.

mod body;
mod conditional;
mod date;
mod encoding;
mod etag;
mod framing;
mod headers;
mod path;
mod pieces;
mod range;
mod request;
mod response;

pub use body::BodyDecoder;
pub use conditional::{Precondition, Validators, evaluate};
pub use date::{format_date, parse_date};
pub use encoding::{Accepted, Coding};
pub use etag::{Comparison, EntityTag, list_has};
pub use framing::BodyFraming;
pub use path::{
    NAME_BYTES_MAX, PATH_BYTES_MAX, PathFault, RelativePath, escape_path, escape_query,
    strip_path_prefix,
};
pub use range::{
    GAP_BYTES_MAX, RANGES_MAX, Selection, content_range, select_ranges, unsatisfied_range,
};
pub use request::{BodyLength, Request, parse_head};
pub use response::Response;

/// What a peer may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a request head, the last empty line included.
    pub head_bytes_max: u32,
    /// Bytes of a body.
    pub body_bytes_max: u64,
}

/// Header lines of one head; more are refused as too large.
pub const HEADERS_MAX: usize = 64;

/// A peer's fault; answered by [`HttpError::status`] and a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not HTTP, or a shape that two servers could read differently (RFC 9112 §6.3, §11.2).
    BadRequest,
    /// The head has too many bytes or lines.
    HeadTooLarge,
    /// The body has, or promises, too many bytes.
    BodyTooLarge,
    /// A transfer coding that we do not know (RFC 9112 §6.1).
    NotImplemented,
    /// Neither HTTP/1.0 nor 1.1.
    VersionNotSupported,
}

impl HttpError {
    /// The status that tells the peer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::BodyTooLarge => 413,
            Self::HeadTooLarge => 431,
            Self::NotImplemented => 501,
            Self::VersionNotSupported => 505,
        }
    }
}
