//! A request's body, collected (RFC 9112 §6, §7.1).

use super::framing::BodyFraming;
use super::{HttpError, Request};
use serde::{Deserialize, Serialize};

/// Reads one body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyDecoder {
    framing: BodyFraming,
    body: Vec<u8>,
    body_bytes_max: u32,
}

impl BodyDecoder {
    /// A decoder for this request's body.
    #[must_use]
    pub const fn new(request: &Request, body_bytes_max: u32) -> Self {
        Self {
            framing: BodyFraming::new(request),
            body: Vec::new(),
            body_bytes_max,
        }
    }

    /// Whether the body is whole.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.framing.is_done()
    }

    /// Bytes that came and are kept.
    #[must_use]
    pub const fn kept_bytes(&self) -> usize {
        self.body.len() + self.framing.kept_bytes()
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
        while taken < bytes.len() && !self.is_done() {
            let rest = &bytes[taken..];
            let (count, data) = self.framing.take(rest, rest.len())?;
            self.body.extend_from_slice(&rest[data]);
            taken += count;
            let announced = self.framing.announced_bytes();
            if self.body.len() as u64 + announced > u64::from(self.body_bytes_max) {
                return Err(HttpError::BodyTooLarge);
            }
        }
        Ok(taken)
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
