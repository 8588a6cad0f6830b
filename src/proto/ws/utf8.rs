//! RFC 6455 §8.1: text is UTF-8, checked as it comes in, so that the first wrong byte ends it.

use serde::{Deserialize, Serialize};

/// Carries an incomplete character (up to three bytes) from one piece of text to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Utf8Check {
    pending: [u8; 4],
    pending_len: u8,
}

impl Utf8Check {
    /// Whether the text is still valid with `bytes` at its end.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        while self.pending_len > 0 && !bytes.is_empty() {
            self.pending[self.pending_len as usize] = bytes[0];
            self.pending_len += 1;
            bytes = &bytes[1..];
            match core::str::from_utf8(&self.pending[..self.pending_len as usize]) {
                Ok(_) => self.pending_len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        if simdutf8::basic::from_utf8(bytes).is_ok() {
            return true;
        }
        self.keep_incomplete(bytes)
    }

    /// `bytes` is not valid by itself: fine if only its last character is cut.
    fn keep_incomplete(&mut self, bytes: &[u8]) -> bool {
        let Err(error) = core::str::from_utf8(bytes) else {
            return true;
        };
        if error.error_len().is_some() {
            return false;
        }
        let rest = &bytes[error.valid_up_to()..];
        self.pending[..rest.len()].copy_from_slice(rest);
        self.pending_len = rest.len() as u8;
        true
    }

    /// Whether the text may end here.
    pub(super) const fn is_complete(&self) -> bool {
        self.pending_len == 0
    }
}
