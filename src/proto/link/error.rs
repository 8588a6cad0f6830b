//! What a peer may do wrong within a frame. Faults of conversation (turns, proofs, credit) are found elsewhere.

use super::{Flags, Kind, Side};

/// A peer's fault; it is told the code in ERROR, and the link is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// A length below 10 or above the bound.
    Length(u32),
    /// A type below 0x80 that this version does not know.
    UnknownType(u8),
    /// A frame that only the other side may send.
    Direction(Kind),
    /// A flag that the type does not know.
    UnknownFlags(Kind, Flags),
    /// A body that ends within a field.
    Truncated(Kind),
    /// A body that goes on behind its last field.
    TrailingBytes(Kind),
    /// A text that is not UTF-8, or not ASCII although the frame says so.
    Text(Kind),
    /// No JSON object, or one whose known keys have other types; and what the parser says of it.
    Json(Kind, Box<str>),
    /// A field out of its range.
    Value(Kind, u64),
}

/// What a parser says may quote the peer, which must not fill a log.
const WHY_BYTES_MAX: usize = 200;

impl LinkError {
    pub(super) fn json(kind: Kind, error: &serde_json::Error) -> Self {
        let mut why = error.to_string();
        why.truncate(why.floor_char_boundary(WHY_BYTES_MAX));
        Self::Json(kind, why.into())
    }

    /// The code that ERROR carries.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Length(_) => "bad-length",
            Self::UnknownType(_) => "unknown-type",
            Self::Direction(_) => "wrong-direction",
            Self::UnknownFlags(..) => "unknown-flags",
            Self::Truncated(_) => "truncated",
            Self::TrailingBytes(_) => "trailing-bytes",
            Self::Text(_) => "bad-text",
            Self::Json(..) => "bad-json",
            Self::Value(..) => "bad-value",
        }
    }
}

impl core::fmt::Display for LinkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(bytes) => write!(f, "a frame cannot have a length of {bytes}"),
            Self::UnknownType(byte) => write!(f, "this version has no type {byte}"),
            Self::Direction(kind) => {
                let sender = match kind.sender() {
                    Some(Side::Worker) => "worker",
                    _ => "daemon",
                };
                write!(f, "only the {sender} may send {kind}")
            }
            Self::UnknownFlags(kind, flags) => {
                write!(f, "{kind} does not know the flags {:#04x}", flags.bits())
            }
            Self::Truncated(kind) => write!(f, "the body of {kind} ends within a field"),
            Self::TrailingBytes(kind) => write!(f, "bytes follow the last field of {kind}"),
            Self::Text(kind) => write!(f, "a text in {kind} is not UTF-8, or not ASCII as it says"),
            Self::Json(kind, why) => write!(f, "the JSON of {kind} is wrong: {why}"),
            Self::Value(kind, value) => write!(f, "a field of {kind} cannot be {value}"),
        }
    }
}

impl core::error::Error for LinkError {}
