//! What a published payload carries: when it was due, its room, and its number in that.

use core::fmt::Write as _;

/// Begins the stamp; stands in no room's name.
const MARK: u8 = b'~';
/// The mark, sixteen digits of time, eight of the room, eight of the number.
pub(crate) const STAMP_BYTES: usize = 33;
/// What follows up to the payload's end.
const FILLER: u8 = b'x';

/// When a message was due, and which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds since the crowd's start.
    pub(crate) due_ns: u64,
    /// To whom it was said.
    pub(crate) room: u32,
    /// From zero on, one more each time in a room.
    pub(crate) number: u32,
}

impl Stamp {
    /// A payload of `bytes` bytes, at least [`STAMP_BYTES`].
    pub(crate) fn payload(self, bytes: usize) -> String {
        let mut payload = String::with_capacity(bytes);
        let Self {
            due_ns,
            room,
            number,
        } = self;
        write!(payload, "~{due_ns:016x}{room:08x}{number:08x}").expect("memory takes it");
        while payload.len() < bytes {
            payload.push(char::from(FILLER));
        }
        payload
    }

    /// The stamp of a whole message, whatever stands around its payload of `bytes` bytes, all of which must be as they were sent.
    pub(crate) fn find(message: &[u8], bytes: usize) -> Option<Self> {
        let at = memchr::memchr(MARK, message)?;
        let digits = message.get(at + 1..at + STAMP_BYTES)?;
        let filler = message.get(at + STAMP_BYTES..at + bytes)?;
        let is_longer = message.get(at + bytes) == Some(&FILLER);
        if is_longer || filler.iter().any(|byte| *byte != FILLER) {
            return None;
        }
        Some(Self {
            due_ns: hexadecimal(&digits[..16])?,
            room: hexadecimal(&digits[16..24])? as u32,
            number: hexadecimal(&digits[24..])? as u32,
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
            room: 1_000_000,
            number: 77,
        };
        let payload = stamp.payload(64);
        assert_eq!(payload.len(), 64);
        let message = format!(r#"42["message","room 1","{payload}",{{"offset":1}}]"#);
        let find = |message: &str| Stamp::find(message.as_bytes(), 64);
        assert_eq!(find(&message), Some(stamp));
        assert_eq!(Stamp::find(payload.as_bytes(), 64), Some(stamp));
        assert_eq!(find(&message[..40]), None);
        assert_eq!(find("nothing"), None);
        assert_eq!(find(&message.replacen("xx", "xy", 1)), None);
        assert_eq!(find(&message.replacen("xx", "x", 1)), None);
        assert_eq!(find(&message.replacen("xx", "xxx", 1)), None);
    }
}
