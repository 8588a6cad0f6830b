//! What a peer may do wrong on a WebSocket.

/// A peer's fault; the connection is closed with [`WsError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsError {
    /// RFC 6455 §5.1: a client masks every frame.
    Unmasked,
    /// RFC 6455 §5.2: a reserved bit without an agreed extension.
    ReservedBits,
    /// RFC 6455 §5.2: an opcode that nobody defined.
    ReservedOpcode,
    /// RFC 6455 §5.2: a length that is not minimal, or whose highest bit is set.
    Length,
    /// RFC 6455 §5.5: a control frame is at most 125 bytes long and whole.
    ControlFrame,
    /// RFC 6455 §5.4: a continuation of nothing, or a new message within one.
    Fragmentation,
    /// RFC 6455 §7.4: a close code that may not be sent, or half of one.
    CloseCode,
    /// RFC 6455 §8.1: text that is not UTF-8.
    Utf8,
    /// More bytes than a message may have.
    MessageTooLarge,
    /// More fragments than a message may have.
    TooManyFragments,
    /// RFC 7692 §7.2.2: bytes that do not inflate.
    Deflate,
}

impl core::fmt::Display for WsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unmasked => "a frame was not masked",
            Self::ReservedBits => "a reserved bit was set",
            Self::ReservedOpcode => "the opcode is reserved",
            Self::Length => "the length was not minimal",
            Self::ControlFrame => "a control frame was long or fragmented",
            Self::Fragmentation => "fragments were out of order",
            Self::CloseCode => "the close code may not be sent",
            Self::Utf8 => "the text was not UTF-8",
            Self::MessageTooLarge => "the message was too large",
            Self::TooManyFragments => "the message had too many fragments",
            Self::Deflate => "the message did not inflate",
        })
    }
}

impl WsError {
    /// The close code that tells the peer (RFC 6455 §7.4.1).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Utf8 | Self::Deflate => 1007,
            Self::MessageTooLarge | Self::TooManyFragments => 1009,
            _ => 1002,
        }
    }
}
