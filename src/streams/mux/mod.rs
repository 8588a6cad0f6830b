//! Many channels in one stream of bytes, each with credit of its own: a channel whose reader is slow holds up nobody else.
//!
//! # Format
//!
//! It needs two streams of bytes, one to the receiver and one back. The one to the receiver begins with 12 bytes: `RWMX`, version 1, three zeros, and the window (u32), the bytes that
//! each channel may be sent before its receiver says more. Then, both ways, frames, all numbers little-endian:
//!
//! | byte | |
//! |---|---|
//! | 0 to 3 | channel |
//! | 4 | kind |
//! | 5 to 7 | length of the payload |
//!
//! | kind | from | payload | |
//! |---|---|---|---|
//! | 1 OPEN | sender | none | opens the channel; they are numbered 1, 2, 3, … |
//! | 2 DATA | sender | 1 to 16,384 bytes | costs as much credit |
//! | 3 END | sender | none | the channel is complete, and closed |
//! | 4 RESET | sender | a code, u32 | the channel is not complete, and closed; 0 is the answer to STOP |
//! | 5 CREDIT | receiver | bytes, u32, not 0 | so many more may be sent; never more than the window in all |
//! | 6 STOP | receiver | none | the receiver wants no more of the channel; DATA on the way is dropped |
//!
//! CREDIT and STOP for a channel that is closed crossed its end on the way, and mean nothing. Everything else about a channel that is not open is an error, as is every
//! other kind or length: of the two sides each can be as hostile as it likes. What a reader of frames holds is one header and four bytes.

mod frame;
mod receiver;
mod sender;

pub use receiver::{Event, Receiver};
pub use sender::Sender;

/// What both sides have to know before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The credit that a channel begins with, at least 1: what a sender queues for a channel, and what a receiver's owner may have to keep of one.
    pub window_bytes: u32,
    /// The most channels that are open at a time, at least 1.
    pub channels_max: u32,
}

/// The most bytes of a frame's payload.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// The code of a RESET that a STOP asked for.
pub const STOPPED: u32 = 0;
