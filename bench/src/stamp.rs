//! What a published payload carries: when it was due, and its number in its room.

use core::fmt::Write as _;

/// Begins the stamp; stands in no room's name.
const MARK: u8 = b'~';
/// The mark, sixteen digits of time, eight of the number.
pub(crate) const STAMP_BYTES: usize = 25;

/// When a message was due, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds since the crowd's start.
    pub(crate) due_ns: u64,
    /// From zero on, one more each time in a room.
    pub(crate) number: u32,
}

impl Stamp {
    /// A payload of `bytes` bytes, at least [`STAMP_BYTES`].
    pub(crate) fn payload(self, bytes: usize) -> String {
        let mut payload = String::with_capacity(bytes);
        write!(payload, "~{:016x}{:08x}", self.due_ns, self.number).expect("memory takes it");
        while payload.len() < bytes {
            payload.push('x');
        }
        payload
    }

    /// The stamp of a whole message, whatever stands around it.
    pub(crate) fn find(message: &[u8]) -> Option<Self> {
        let at = memchr::memchr(MARK, message)?;
        let digits = message.get(at + 1..at + STAMP_BYTES)?;
        Some(Self {
            due_ns: hexadecimal(&digits[..16])?,
            number: hexadecimal(&digits[16..])? as u32,
        })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value: u64, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again() {
        let stamp = Stamp {
            due_ns: 0x1234_5678_9abc,
            number: 77,
        };
        let payload = stamp.payload(64);
        assert_eq!(payload.len(), 64);
        let message = format!(r#"42["message","room 1","{payload}",{{"offset":1}}]"#);
        assert_eq!(Stamp::find(message.as_bytes()), Some(stamp));
        assert_eq!(Stamp::find(&message.as_bytes()[..30]), None);
        assert_eq!(Stamp::find(b"nothing"), None);
    }
}
