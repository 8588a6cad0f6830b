//! A request's body: by length or by chunks (RFC 9112 §6, §7.1).

use super::request::BodyLength;
use super::{HttpError, Request};
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

/// Reads one body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyDecoder {
    state: State,
    line: Vec<u8>,
    trailer_bytes: u32,
    body: Vec<u8>,
    body_bytes_max: u32,
}

impl BodyDecoder {
    /// A decoder for this request's body.
    #[must_use]
    pub const fn new(request: &Request, body_bytes_max: u32) -> Self {
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
            body: Vec::new(),
            body_bytes_max,
        }
    }

    /// Whether the body is whole.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes that came and are kept.
    #[must_use]
    pub const fn kept_bytes(&self) -> usize {
        self.body.len() + self.line.len()
    }

    /// The body, once it is whole.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Takes bytes; gives how many belonged to this body.
    ///
    /// # Errors
    /// [`HttpError::BadRequest`] for wrong chunks, [`HttpError::BodyTooLarge`] beyond the bound.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, HttpError> {
        let mut taken = 0;
        while taken < bytes.len() && self.state != State::Done {
            taken += self.step(&bytes[taken..])?;
        }
        Ok(taken)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, HttpError> {
        match self.state {
            State::Data { left, chunked } => self.take_data(bytes, left, chunked),
            State::Size => self.take_line(bytes, Self::end_size),
            State::DataEnd => self.take_line(bytes, Self::end_data),
            State::Trailer => self.take_line(bytes, Self::end_trailer),
            State::Done => Ok(0),
        }
    }

    fn take_data(&mut self, bytes: &[u8], left: u64, chunked: bool) -> Result<usize, HttpError> {
        let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.body.len() + taken > self.body_bytes_max as usize {
            return Err(HttpError::BodyTooLarge);
        }
        self.body.extend_from_slice(&bytes[..taken]);
        let left = left - taken as u64;
        self.state = match (left, chunked) {
            (0, true) => State::DataEnd,
            (0, false) => State::Done,
            _ => State::Data { left, chunked },
        };
        Ok(taken)
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
            end(
                self,
                line.strip_suffix(b"\r\n").ok_or(HttpError::BadRequest)?,
            )?;
        }
        Ok(taken)
    }

    /// RFC 9112 §7.1: hexadecimal digits, then perhaps extensions that nobody uses.
    fn end_size(&mut self, line: &[u8]) -> Result<(), HttpError> {
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let text = core::str::from_utf8(digits)
            .map_err(|_| HttpError::BadRequest)?
            .trim_end_matches([' ', '\t']);
        if text.is_empty() || text.len() > 15 || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(HttpError::BadRequest);
        }
        let left = u64::from_str_radix(text, 16).map_err(|_| HttpError::BadRequest)?;
        if self.body.len() as u64 + left > u64::from(self.body_bytes_max) {
            return Err(HttpError::BodyTooLarge);
        }
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

#[cfg(test)]
mod tests {
    use super::super::{Bounds, parse_head};
    use super::*;

    fn request(header: &str) -> Request {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        parse_head(
            head.as_bytes(),
            &Bounds {
                head_bytes_max: 1000,
                body_bytes_max: 20,
            },
        )
        .unwrap()
        .unwrap()
        .0
    }

    /// The same body, and the same number of bytes left over, wherever the stream is cut.
    #[track_caller]
    fn check(header: &str, stream: &[u8], expected: Result<(&[u8], usize), HttpError>) {
        for cut in 0..=stream.len() {
            let mut decoder = BodyDecoder::new(&request(header), 20);
            let pushed = decoder
                .push(&stream[..cut])
                .and_then(|taken| Ok(taken + decoder.push(&stream[taken..])?));
            let got = pushed.map(|taken| (decoder.clone().into_body(), stream.len() - taken));
            assert_eq!(
                got,
                expected.map(|(body, left)| (body.to_vec(), left)),
                "cut at {cut}"
            );
            assert!(expected.is_err() || decoder.is_done());
        }
    }

    #[test]
    fn rfc9112_6_2_by_length() {
        check("Content-Length: 3", b"abcGET", Ok((b"abc", 3)));
    }

    #[test]
    fn rfc9112_7_1_by_chunks() {
        check(
            "Transfer-Encoding: chunked",
            b"3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nT: u\r\n\r\nGET",
            Ok((b"abc0123456789", 3)),
        );
        check(
            "Transfer-Encoding: chunked",
            b"3\r\nabcd\r\n",
            Err(HttpError::BadRequest),
        );
        check(
            "Transfer-Encoding: chunked",
            b"-3\r\nabc\r\n",
            Err(HttpError::BadRequest),
        );
        check(
            "Transfer-Encoding: chunked",
            b"3\nabc\r\n",
            Err(HttpError::BadRequest),
        );
        check(
            "Transfer-Encoding: chunked",
            b"15\r\n",
            Err(HttpError::BodyTooLarge),
        );
    }
}
