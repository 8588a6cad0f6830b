//! The Date of answers (RFC 9110 §6.6.1): written once a second, and put behind the status line as an answer goes out. So it is when the answer was made,
//! however long its request waited, and nobody who makes one needs a clock.
//!
//! Deliberately absent: interim answers and 101, which may do without.

use crate::time::Now;
use ringway_proto::http1::format_date;

/// The line of this second.
pub(super) struct DateLine {
    unix_seconds: u64,
    line: String,
}

impl DateLine {
    pub(super) fn new() -> Self {
        Self {
            unix_seconds: 0,
            line: line_of(0),
        }
    }

    fn at(&mut self, now: Now) -> &[u8] {
        let unix_seconds = now.unix_ms / 1000;
        if unix_seconds != self.unix_seconds {
            *self = Self {
                unix_seconds,
                line: line_of(unix_seconds),
            };
        }
        self.line.as_bytes()
    }

    /// Appends an answer that has no date yet. How many bytes that were.
    pub(super) fn append(&mut self, now: Now, answer: &[u8], out: &mut Vec<u8>) -> usize {
        let (status, rest) = answer.split_at(status_bytes(answer));
        let line = self.at(now);
        out.reserve(answer.len() + line.len());
        out.extend_from_slice(status);
        out.extend_from_slice(line);
        out.extend_from_slice(rest);
        answer.len() + line.len()
    }

    /// Gives an answer its date where it is.
    pub(super) fn insert(&mut self, now: Now, answer: &mut Vec<u8>) {
        let at = status_bytes(answer);
        answer.splice(at..at, self.at(now).iter().copied());
    }
}

fn line_of(unix_seconds: u64) -> String {
    format!("Date: {}\r\n", format_date(unix_seconds))
}

/// Bytes of the status line.
fn status_bytes(answer: &[u8]) -> usize {
    let end = answer.iter().position(|byte| *byte == b'\n');
    end.expect("an answer begins with a status line") + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_6_6_1_an_answer_has_the_date_of_its_second() {
        let mut date = DateLine::new();
        for (unix_ms, second) in [(784_111_777_999, 37), (784_111_778_000, 38), (0, 0)] {
            let now = Now {
                monotonic_us: 0,
                unix_ms,
            };
            let day = match unix_ms {
                0 => "Thu, 01 Jan 1970 00:00",
                _ => "Sun, 06 Nov 1994 08:49",
            };
            let expected =
                format!("HTTP/1.1 200 OK\r\nDate: {day}:{second:02} GMT\r\nA: b\r\n\r\nc");
            let answer = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nc";
            let (mut out, mut own) = (b"before".to_vec(), answer.to_vec());
            assert_eq!(date.append(now, answer, &mut out), expected.len());
            date.insert(now, &mut own);
            assert_eq!(String::from_utf8(own).unwrap(), expected);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"));
        }
    }
}
