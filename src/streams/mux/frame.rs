//! Frames as they are cut from a stream, wherever it is cut itself: no frame is put together first.

use super::PAYLOAD_BYTES_MAX;
use crate::{Format, StreamError};

pub(super) const HEADER_BYTES: usize = 8;
pub(super) const PREFACE_BYTES: usize = 12;

const MAGIC: [u8; 8] = *b"RWMX\x01\0\0\0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Data,
    End,
    Reset,
    Credit,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sender,
    Receiver,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Open,
        Self::Data,
        Self::End,
        Self::Reset,
        Self::Credit,
        Self::Stop,
    ];

    fn parse(byte: u8, from: Side) -> Option<Self> {
        let index = usize::from(byte).checked_sub(1)?;
        let kind = Self::ALL.get(index).copied();
        kind.filter(|kind| kind.from() == from)
    }

    const fn from(self) -> Side {
        match self {
            Self::Open | Self::Data | Self::End | Self::Reset => Side::Sender,
            Self::Credit | Self::Stop => Side::Receiver,
        }
    }

    const fn allows(self, bytes: usize) -> bool {
        match self {
            Self::Open | Self::End | Self::Stop => bytes == 0,
            Self::Reset | Self::Credit => bytes == 4,
            Self::Data => bytes != 0 && bytes <= PAYLOAD_BYTES_MAX,
        }
    }
}

/// A frame's header, and its payload if that is a number.
pub(super) fn encode(channel: u32, kind: Kind, bytes: usize, number: Option<u32>) -> Head {
    let mut head = Head::default();
    head.put(&channel.to_le_bytes());
    head.put(&[kind as u8 + 1]);
    head.put(&(bytes as u32).to_le_bytes()[..3]);
    if let Some(number) = number {
        head.put(&number.to_le_bytes());
    }
    head
}

/// What a stream to a receiver begins with.
pub(super) fn preface(window_bytes: u32) -> Head {
    let mut head = Head::default();
    head.put(&MAGIC);
    head.put(&window_bytes.to_le_bytes());
    head
}

/// Up to twelve bytes that are gathered, or given, in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    bytes: [u8; 12],
    filled: usize,
    given: usize,
}

impl Head {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Gives what is left of it; whether all of it went.
    pub(super) fn give(&mut self, out: &mut [u8], written: &mut usize) -> bool {
        let left = &self.bytes[self.given..self.filled];
        let bytes = left.len().min(out.len() - *written);
        out[*written..*written + bytes].copy_from_slice(&left[..bytes]);
        self.given += bytes;
        *written += bytes;
        self.given == self.filled
    }

    /// Takes until so many bytes are there; whether they are.
    pub(super) fn gather(&mut self, input: &mut &[u8], until: usize) -> bool {
        let bytes = (until - self.filled).min(input.len());
        let (taken, rest) = input.split_at(bytes);
        self.put(taken);
        *input = rest;
        self.filled == until
    }

    fn number(&self, at: usize) -> u32 {
        let bytes = self.bytes[at..at + 4].try_into();
        u32::from_le_bytes(bytes.expect("four bytes"))
    }

    /// The window that a preface says.
    pub(super) fn window(&self) -> Result<u32, StreamError> {
        if self.bytes[..4] != MAGIC[..4] {
            return Err(malformed("it does not begin with RWMX"));
        }
        if self.bytes[..8] != MAGIC {
            return Err(malformed(
                "its version is not 1, or reserved bytes are not 0",
            ));
        }
        Ok(self.number(8))
    }
}

pub(super) const fn malformed(what: &'static str) -> StreamError {
    let format = Format::Mux;
    StreamError::Malformed { format, what }
}

/// What a decoder found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A DATA frame of so many bytes begins.
    Begin { channel: u32, bytes: u32 },
    /// Bytes of it.
    Data { channel: u32, bytes: &'a [u8] },
    /// Any other frame; its number is 0 if it has none.
    Frame {
        channel: u32,
        kind: Kind,
        number: u32,
    },
}

/// Cuts frames from what one side sends.
#[derive(Debug)]
pub(super) struct Decoder {
    from: Side,
    head: Head,
    /// Of a DATA frame: its channel, and what of it is to come.
    data: Option<(u32, usize)>,
}

impl Decoder {
    pub(super) const fn new(from: Side) -> Self {
        let head = Head {
            bytes: [0; 12],
            filled: 0,
            given: 0,
        };
        Self {
            from,
            head,
            data: None,
        }
    }

    /// Whether a frame has begun and is not all there.
    pub(super) const fn is_within(&self) -> bool {
        self.head.filled > 0 || self.data.is_some()
    }

    /// The next item of the input, which is shortened by it; `None` when more has to come first.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Item<'a>>, StreamError> {
        if let Some((channel, left)) = self.data {
            return Ok(self.data(channel, left, input));
        }
        if self.head.filled < HEADER_BYTES && !self.head.gather(input, HEADER_BYTES) {
            return Ok(None);
        }
        let channel = self.head.number(0);
        let kind = Kind::parse(self.head.bytes[4], self.from);
        let kind = kind.ok_or(malformed("a frame of a kind that this side does not send"))?;
        // Three bytes of length; the fourth is not there yet, or the number's.
        let bytes = (self.head.number(4) >> 8) as usize;
        if !kind.allows(bytes) {
            return Err(malformed("a frame of a length that its kind does not have"));
        }
        if kind == Kind::Data {
            self.head = Head::default();
            self.data = Some((channel, bytes));
            let bytes = bytes as u32;
            return Ok(Some(Item::Begin { channel, bytes }));
        }
        if !self.head.gather(input, HEADER_BYTES + bytes) {
            return Ok(None);
        }
        let number = if bytes == 0 { 0 } else { self.head.number(8) };
        self.head = Head::default();
        Ok(Some(Item::Frame {
            channel,
            kind,
            number,
        }))
    }

    fn data<'a>(&mut self, channel: u32, left: usize, input: &mut &'a [u8]) -> Option<Item<'a>> {
        let (bytes, rest) = input.split_at(left.min(input.len()));
        if bytes.is_empty() {
            return None;
        }
        *input = rest;
        let left = left - bytes.len();
        self.data = (left > 0).then_some((channel, left));
        Some(Item::Data { channel, bytes })
    }
}
