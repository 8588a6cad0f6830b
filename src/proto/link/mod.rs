//! The link between the daemon and a worker, `rwlink/1`: frames from bytes and bytes from frames.
//!
//! Source: docs/link.md. Deliberately absent: the order of the handshake, proofs, credit, and what a frame does.

mod error;
mod field;
mod flags;
mod frame;
mod json;
mod kind;
mod raw;
mod reader;

pub use error::LinkError;
pub use field::{CloseReason, Long, Movement, Part, Payload, Phase, Transport};
pub use flags::Flags;
pub use frame::{Frame, MOVED_UNKNOWN, Session};
pub use json::{
    Bind, Challenge, ConnError, GoAway, GoAwayMode, Header, Hello, HsRequest, HsResponse, Json,
    Open, Resume, ResumePoint, ResumedSocket, Welcome, WindowSize,
};
pub use kind::{Kind, Side};
pub use raw::{Raw, header, split};

/// The bytes of a body at most.
pub const FRAME_BODY_BYTES_MAX: u32 = 16 << 20;

/// The bytes in front of a body: length, type, flags, connection.
pub const HEADER_BYTES: usize = 14;

/// What the length counts beside the body: the header without the length itself.
const COUNTED_HEADER_BYTES: u32 = HEADER_BYTES as u32 - 4;
