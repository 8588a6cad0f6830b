//! Where a request's body is in a stream: by length or by chunks (RFC 9112 §6, §7.1). Nothing of it is kept.

use super::request::BodyLength;
use super::{HttpError, Request};
use core::ops::Range;
use serde::{Deserialize, Serialize};

/// A chunk-size line, and all trailer lines together, are at most this long.
const LINE_BYTES_MAX: usize = 256;
/// Trailers are read and forgotten.
const TRAILER_BYTES_MAX: u32 = 4096;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Data { left: u64, chunked: bool },
    Size,
    DataEnd,
    Trailer,
    Done,
}

/// Tells a body's bytes from what frames them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyFraming {
    state: State,
    line: Vec<u8>,
    trailer_bytes: u32,
}

impl BodyFraming {
    /// The framing of this request's body.
    #[must_use]
    pub const fn new(request: &Request) -> Self {
        let state = match request.body {
            BodyLength::Exact(0) => State::Done,
            BodyLength::Exact(left) => State::Data {
                left,
                chunked: false,
            },
            BodyLength::Chunked => State::Size,
        };
        Self {
            state,
            line: Vec::new(),
            trailer_bytes: 0,
        }
    }

    /// Whether the body is whole.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the body that are to come before its next piece of framing, or its end.
    #[must_use]
    pub const fn announced_bytes(&self) -> u64 {
        match self.state {
            State::Data { left, .. } => left,
            _ => 0,
        }
    }

    /// Bytes that came and are kept.
    #[must_use]
    pub const fn kept_bytes(&self) -> usize {
        self.line.len()
    }

    /// Takes bytes from the beginning of `bytes`: how many, and which of them are the body's, of which there are at most `data_bytes_max`. Nothing is taken
    /// when the body is whole, when there is nothing, or when no more of the body is wanted.
    ///
    /// # Errors
    /// [`HttpError::BadRequest`] for wrong chunks, [`HttpError::HeadTooLarge`] for trailers without end.
    pub fn take(
        &mut self,
        bytes: &[u8],
        data_bytes_max: usize,
    ) -> Result<(usize, Range<usize>), HttpError> {
        match self.state {
            State::Data { left, chunked } => {
                let taken = self.take_data(bytes.len().min(data_bytes_max), left, chunked);
                Ok((taken, 0..taken))
            }
            State::Size => Ok((self.take_line(bytes, Self::end_size)?, 0..0)),
            State::DataEnd => Ok((self.take_line(bytes, Self::end_data)?, 0..0)),
            State::Trailer => Ok((self.take_line(bytes, Self::end_trailer)?, 0..0)),
            State::Done => Ok((0, 0..0)),
        }
    }

    fn take_data(&mut self, bytes: usize, left: u64, chunked: bool) -> usize {
        let taken = bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - taken as u64;
        self.state = match (left, chunked) {
            (0, true) => State::DataEnd,
            (0, false) => State::Done,
            _ => State::Data { left, chunked },
        };
        taken
    }

    fn take_line(
        &mut self,
        bytes: &[u8],
        end: fn(&mut Self, &[u8]) -> Result<(), HttpError>,
    ) -> Result<usize, HttpError> {
        let newline = memchr::memchr(b'\n', bytes);
        let taken = newline.map_or(bytes.len(), |at| at + 1);
        if self.line.len() + taken > LINE_BYTES_MAX {
            return Err(HttpError::BadRequest);
        }
        self.line.extend_from_slice(&bytes[..taken]);
        if newline.is_some() {
            let line = core::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r\n");
            // Nobody uses extensions and trailers here, and whoever reads them before us may see the end of a line where we see none.
            let line = line.filter(|line| line.iter().copied().all(is_text));
            end(self, line.ok_or(HttpError::BadRequest)?)?;
        }
        Ok(taken)
    }

    /// RFC 9112 §7.1: hexadecimal digits, then perhaps extensions that nobody uses.
    fn end_size(&mut self, line: &[u8]) -> Result<(), HttpError> {
        let extensions = memchr::memchr(b';', line);
        let digits = core::str::from_utf8(&line[..extensions.unwrap_or(line.len())]);
        let digits = digits.map_err(|_| HttpError::BadRequest)?;
        // Blanks may stand before an extension, and nowhere else: others take them for the end of the line, or for none.
        let text = match extensions {
            Some(_) => digits.trim_end_matches([' ', '\t']),
            None => digits,
        };
        if text.is_empty() || text.len() > 15 || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(HttpError::BadRequest);
        }
        let left = u64::from_str_radix(text, 16).map_err(|_| HttpError::BadRequest)?;
        self.state = if left == 0 {
            State::Trailer
        } else {
            State::Data {
                left,
                chunked: true,
            }
        };
        Ok(())
    }

    fn end_data(&mut self, line: &[u8]) -> Result<(), HttpError> {
        self.state = State::Size;
        if line.is_empty() {
            Ok(())
        } else {
            Err(HttpError::BadRequest)
        }
    }

    fn end_trailer(&mut self, line: &[u8]) -> Result<(), HttpError> {
        self.trailer_bytes += line.len() as u32 + 2;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(HttpError::HeadTooLarge);
        }
        if line.is_empty() {
            self.state = State::Done;
        }
        Ok(())
    }
}

/// RFC 9110 §5.5, RFC 9112 §7.1.1: what values and extensions are made of. No control characters but the tab.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, parse_head};
    use super::*;

    /// The body, wherever the stream is cut and however little of it is wanted at a time; and how much of the stream was taken.
    #[track_caller]
    fn check(header: &str, stream: &[u8], expected: Result<(&[u8], usize), HttpError>) {
        let head = format!("PATCH / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n");
        let bounds = Bounds {
            head_bytes_max: 1000,
            body_bytes_max: i64::MAX as u64,
        };
        let (request, _) = parse_head(head.as_bytes(), &bounds).unwrap().unwrap();
        for data_bytes_max in [1, 2, 7, 1000] {
            for cut in 0..=stream.len() {
                let (mut framing, mut body, mut taken) = (BodyFraming::new(&request), vec![], 0);
                let mut go_on = |end: usize| {
                    while taken < end && !framing.is_done() {
                        let (count, data) = framing.take(&stream[taken..end], data_bytes_max)?;
                        body.extend_from_slice(&stream[taken..end][data]);
                        taken += count;
                    }
                    Ok(())
                };
                let result = go_on(cut).and_then(|()| go_on(stream.len()));
                let got = result.map(|()| (body, taken));
                let expected = expected.map(|(body, taken)| (body.to_vec(), taken));
                assert_eq!(got, expected, "cut at {cut}, {data_bytes_max} at a time");
            }
        }
    }

    #[test]
    fn rfc9112_6_2_by_length() {
        check("Content-Length: 5", b"helloGET", Ok((b"hello", 5)));
        check("Content-Length: 0", b"GET", Ok((b"", 0)));
        check(
            "Content-Length: 9223372036854775807",
            b"hello",
            Ok((b"hello", 5)),
        );
    }

    #[test]
    fn rfc9112_7_1_by_chunks() {
        let header = "Transfer-Encoding: chunked";
        let stream = b"3;x\r\nhel\r\n2\r\nlo\r\n0\r\nT: u\r\n\r\nGET";
        check(header, stream, Ok((b"hello", stream.len() - 3)));
        check(header, b"0\r\n\r\n", Ok((b"", 5)));
        let blank = b"3 \t;x\r\nhel\r\n0\r\n\r\n";
        check(header, blank, Ok((b"hel", blank.len())));
        for wrong in [
            &b"x\r\n"[..],
            b"3\r\nabcd\r\n",
            b"fffffffffffffffff\r\n",
            b"3 \r\nhel\r\n0\r\n\r\n",
            b"3\t\r\nhel\r\n0\r\n\r\n",
            b" 3\r\nhel\r\n0\r\n\r\n",
        ] {
            check(header, wrong, Err(HttpError::BadRequest));
        }
    }

    #[test]
    fn rfc9112_7_1_control_characters_are_no_extensions_and_no_trailers() {
        let header = "Transfer-Encoding: chunked";
        let extended = |byte: u8| [b"3;x=", &[byte][..], b"\r\nabc\r\n0\r\n\r\n"].concat();
        let trailed = |byte: u8| [b"3\r\nabc\r\n0\r\nT: u", &[byte][..], b"v\r\n\r\n"].concat();
        for byte in (0..b' ').chain([0x7f]).filter(|byte| *byte != b'\t') {
            check(header, &extended(byte), Err(HttpError::BadRequest));
            check(header, &trailed(byte), Err(HttpError::BadRequest));
        }
        for byte in [b'\t', b' ', b'"', 0x80, 0xff] {
            for stream in [extended(byte), trailed(byte)] {
                check(header, &stream, Ok((b"abc", stream.len())));
            }
        }
    }
}
