//! The fields that bodies are made of, both ways.

use super::LinkError;
use super::reader::Reader;

/// A field: how it is read, and how it is written.
pub(super) trait Field<'a>: Sized {
    /// What it takes at least, which bounds how many of them can be in a body.
    const BYTES_MIN: usize;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError>;

    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($integer:ty)*) => {
        $(impl Field<'_> for $integer {
            const BYTES_MIN: usize = size_of::<Self>();

            fn read(body: &mut Reader<'_>) -> Result<Self, LinkError> {
                body.array().map(Self::from_le_bytes)
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

integers! { u16 u32 u64 }

macro_rules! choices {
    ($($choice:ident: $($value:expr),*;)*) => {
        $(impl Field<'_> for $choice {
            const BYTES_MIN: usize = 1;

            fn read(body: &mut Reader<'_>) -> Result<Self, LinkError> {
                body.choice(&[$($value),*])
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.push(*self as u8);
            }
        })*
    };
}

choices! {
    bool: false, true;
    Movement: Self::Join, Self::Leave, Self::Disconnect, Self::Close;
    CloseReason: Self::TransportClose, Self::TransportError, Self::PingTimeout, Self::ParseError, Self::ForcedClose;
    Phase: Self::Upgrading, Self::Upgrade;
    Transport: Self::Polling, Self::WebSocket;
}

/// Why a client's connection is gone, as its Socket.IO server says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// It closed.
    TransportClose = 0,
    /// It broke.
    TransportError = 1,
    /// It fell silent.
    PingTimeout = 2,
    /// It sent what is no packet.
    ParseError = 3,
    /// We closed it.
    ForcedClose = 4,
}

/// What becomes of sockets that are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Movement {
    /// They join rooms.
    Join = 0,
    /// They leave rooms.
    Leave = 1,
    /// They are disconnected from the namespace, and hear nothing more in it.
    Disconnect = 2,
    /// Likewise, with their connections.
    Close = 3,
}

/// How far a change of transport is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Under way.
    Upgrading = 0,
    /// Done.
    Upgrade = 1,
}

/// How a client's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// HTTP requests.
    Polling = 0,
    /// A WebSocket.
    WebSocket = 1,
}

/// An s16.
impl<'a> Field<'a> for &'a str {
    const BYTES_MIN: usize = 2;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        let bytes = u16::read(body)?;
        let bytes = body.take(usize::from(bytes))?;
        body.text(bytes)
    }

    fn write(&self, out: &mut Vec<u8>) {
        length16(self.len()).write(out);
        out.extend_from_slice(self.as_bytes());
    }
}

/// An s32: text that may be longer than 65,535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Long<'a>(pub &'a str);

impl<'a> Field<'a> for Long<'a> {
    const BYTES_MIN: usize = 4;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        let bytes = body.long_bytes()?;
        body.text(bytes).map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_long(self.0.as_bytes(), out);
    }
}

/// What reaches to the end of the body.
impl<'a> Field<'a> for &'a [u8] {
    const BYTES_MIN: usize = 0;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        Ok(body.rest())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// A Socket.IO packet without the Engine.IO `4` in front, or an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A packet.
    Text(&'a str),
    /// An attachment.
    Binary(&'a [u8]),
}

impl<'a> Part<'a> {
    fn parse(is_binary: bool, bytes: &'a [u8], body: &Reader<'a>) -> Result<Self, LinkError> {
        if is_binary {
            Ok(Self::Binary(bytes))
        } else {
            body.payload_text(bytes).map(Self::Text)
        }
    }

    /// The bytes of either.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Whether it is an attachment.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }
}

/// In a list.
impl<'a> Field<'a> for Part<'a> {
    const BYTES_MIN: usize = 5;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        let is_binary = bool::read(body)?;
        let bytes = body.long_bytes()?;
        Self::parse(is_binary, bytes, body)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.is_binary().write(out);
        write_long(self.bytes(), out);
    }
}

/// The part that is a whole body; which kind it is stands in the header's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a>(pub Part<'a>);

impl<'a> Field<'a> for Payload<'a> {
    const BYTES_MIN: usize = 0;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        let bytes = body.rest();
        Part::parse(body.is_binary(), bytes, body).map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.bytes());
    }
}

/// A list: a u16 count and the items.
impl<'a, T: Field<'a>> Field<'a> for Vec<T> {
    const BYTES_MIN: usize = 2;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        let count = usize::from(u16::read(body)?);
        // A count is only a claim: memory is taken for what can be in the body.
        let mut items = Self::with_capacity(count.min(body.left_bytes() / T::BYTES_MIN));
        for _ in 0..count {
            items.push(T::read(body)?);
        }
        Ok(items)
    }

    fn write(&self, out: &mut Vec<u8>) {
        length16(self.len()).write(out);
        self.iter().for_each(|item| item.write(out));
    }
}

/// A field that is there when the byte in front of it is 1.
impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    const BYTES_MIN: usize = 1;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        bool::read(body)?.then(|| T::read(body)).transpose()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(field) = self {
            field.write(out);
        }
    }
}

fn length16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or_else(|_| panic!("{length} is no length of an s16 or a list"))
}

fn write_long(bytes: &[u8], out: &mut Vec<u8>) {
    // What is longer than a u32 says is longer than a frame, which the frame's own bound finds.
    (bytes.len() as u32).write(out);
    out.extend_from_slice(bytes);
}
