//! Takes fields from a body, one behind the other.

use super::{Flags, Kind, LinkError, Raw};

/// What is left of a body.
pub(super) struct Reader<'a> {
    left: &'a [u8],
    kind: Kind,
    flags: Flags,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(raw: &Raw<'a>) -> Self {
        Self {
            left: raw.body,
            kind: raw.kind,
            flags: raw.flags,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) const fn is_binary(&self) -> bool {
        self.flags.contains(Flags::BINARY)
    }

    pub(super) const fn left_bytes(&self) -> usize {
        self.left.len()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], LinkError> {
        let truncated = LinkError::Truncated(self.kind);
        let (taken, left) = self.left.split_at_checked(bytes).ok_or(truncated)?;
        self.left = left;
        Ok(taken)
    }

    pub(super) fn array<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], LinkError> {
        let truncated = LinkError::Truncated(self.kind);
        let (taken, left) = self.left.split_first_chunk().ok_or(truncated)?;
        self.left = left;
        Ok(*taken)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.left)
    }

    pub(super) fn text(&self, bytes: &'a [u8]) -> Result<&'a str, LinkError> {
        simdutf8::basic::from_utf8(bytes).map_err(|_| LinkError::Text(self.kind))
    }

    /// Text for clients, which may be promised to be ASCII.
    pub(super) fn payload_text(&self, bytes: &'a [u8]) -> Result<&'a str, LinkError> {
        let is_promised = self.flags.contains(Flags::ASCII);
        if is_promised && !bytes.is_ascii() {
            return Err(LinkError::Text(self.kind));
        }
        self.text(bytes)
    }

    /// The bytes behind their length as u32.
    pub(super) fn long_bytes(&mut self) -> Result<&'a [u8], LinkError> {
        let bytes = u32::from_le_bytes(self.array()?);
        self.take(bytes as usize)
    }

    /// A byte of which only the first few values have a meaning.
    pub(super) fn choice<T: Copy>(&mut self, choices: &[T]) -> Result<T, LinkError> {
        let [byte] = self.array()?;
        let choice = choices.get(usize::from(byte));
        choice
            .copied()
            .ok_or_else(|| LinkError::Value(self.kind, u64::from(byte)))
    }

    pub(super) const fn end(&self) -> Result<(), LinkError> {
        match self.left {
            [] => Ok(()),
            _ => Err(LinkError::TrailingBytes(self.kind)),
        }
    }
}
