//! A binary packet that waits for its attachments; they follow it at once, nothing may come between.

use super::{Packet, PacketKind, SocketIoError};
use serde::{Deserialize, Serialize};

/// The packet and what has come of its attachments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassembly {
    /// The packet's kind.
    pub kind: PacketKind,
    /// Its namespace.
    pub namespace: String,
    /// Its acknowledgement id.
    pub id: Option<u64>,
    /// Its raw JSON, with placeholders.
    pub data: String,
    /// What has come.
    pub attachments: Vec<Vec<u8>>,
    attachments_due: u16,
    bytes: u32,
}

impl Reassembly {
    /// Starts with a packet.
    #[must_use]
    pub fn new(packet: &Packet<'_>) -> Self {
        Self {
            kind: packet.kind,
            namespace: packet.namespace.to_owned(),
            id: packet.id,
            data: packet.data.to_owned(),
            attachments: Vec::new(),
            attachments_due: packet.attachments,
            bytes: packet.data.len() as u32,
        }
    }

    /// Bytes that came so far.
    #[must_use]
    pub const fn kept_bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Whether nothing is due any more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.attachments.len() == usize::from(self.attachments_due)
    }

    /// Adds an attachment; gives whether the packet is whole now.
    ///
    /// # Errors
    /// [`SocketIoError::Attachments`] when none is due, [`SocketIoError::TooLarge`] when the packet grows beyond `bytes_max`.
    pub fn push(&mut self, bytes: &[u8], bytes_max: u32) -> Result<bool, SocketIoError> {
        if self.is_complete() {
            return Err(SocketIoError::Attachments);
        }
        self.bytes = self
            .bytes
            .saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if self.bytes > bytes_max {
            return Err(SocketIoError::TooLarge);
        }
        self.attachments.push(bytes.to_vec());
        Ok(self.is_complete())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;

    #[test]
    fn attachments_are_counted_and_bounded() {
        let bounds = Bounds {
            namespace_bytes_max: 16,
            attachments_max: 3,
            message_bytes_max: 100,
        };
        let packet = Packet::parse("52-[\"a\"]", &bounds).unwrap();
        let mut reassembly = Reassembly::new(&packet);
        assert_eq!(reassembly.push(&[1], 100), Ok(false));
        assert!(!reassembly.is_complete());
        assert_eq!(
            reassembly.clone().push(&[0; 100], 100),
            Err(SocketIoError::TooLarge)
        );
        assert_eq!(reassembly.push(&[2], 100), Ok(true));
        assert!(reassembly.is_complete());
        assert_eq!(reassembly.push(&[3], 100), Err(SocketIoError::Attachments));
    }
}
