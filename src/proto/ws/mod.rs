//! RFC 6455 on the server's side: the upgrade, frames in, frames out; RFC 7692 in [`deflate`].
//!
//! Deliberately absent: what a message means, when to answer a ping.

mod decoder;
pub mod deflate;
mod encode;
mod error;
mod unmask;
mod upgrade;
mod utf8;

pub use decoder::{Bounds, Decoder, Event};
pub use encode::{
    HEADER_BYTES_MAX, encode_close, encode_frame, encode_header, encode_header_before, split_frame,
};
pub use error::WsError;
pub use unmask::unmask;
pub use upgrade::{Upgrade, UpgradeError, accept_key};

/// What a frame carries (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The rest of a message.
    Continuation = 0,
    /// UTF-8 text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}
