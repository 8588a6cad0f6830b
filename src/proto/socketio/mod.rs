//! Socket.IO protocol 5: packets, arguments, attachments.
//!
//! Source: the protocol's document, https://github.com/socketio/socket.io-protocol (version 5).
//! Deliberately absent: who may connect, what an event means.

mod arguments;
mod encode;
mod packet;
mod reassembly;

pub use crate::quoted::quoted;
pub use arguments::{Arguments, count_placeholders};
pub use encode::{connect, connect_error, event_head_into, event_into};
pub use packet::{Bounds, Packet, PacketKind};
pub use reassembly::Reassembly;

/// A peer's fault; its connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketIoError {
    /// Not a packet of protocol 5.
    Packet,
    /// The data is no JSON, or not of the shape that the packet's kind has.
    Data,
    /// A namespace that is too long.
    Namespace,
    /// More attachments than a packet may have.
    TooManyAttachments,
    /// More bytes than a message may have.
    TooLarge,
    /// Placeholders and attachments do not fit together, or text came where an attachment was due.
    Attachments,
}
