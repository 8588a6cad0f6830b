//! RFC 6455's opening handshake, on the path `/`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What became of the bytes read so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The head is not whole yet.
    Incomplete,
    /// The first so many bytes were the head; the response has been appended.
    Open(usize),
    /// A response has been appended that ends the connection.
    Refused,
}

/// Answers the request at the start of `input`, if it is whole, at the end of `out`.
pub(crate) fn answer(input: &[u8], out: &mut Vec<u8>) -> Outcome {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_bytes = match request.parse(input) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES_MAX => {
            return Outcome::Incomplete;
        }
        _ => {
            out.extend_from_slice(BAD_REQUEST);
            return Outcome::Refused;
        }
    };
    let Some(key) = key(&request) else {
        out.extend_from_slice(BAD_REQUEST);
        return Outcome::Refused;
    };
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(STANDARD.encode(digest).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    Outcome::Open(head_bytes)
}

/// The client's key, if this is a request for a WebSocket on `/` (RFC 6455 §4.2.1).
fn key<'a>(request: &httparse::Request<'_, 'a>) -> Option<&'a [u8]> {
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|h| h.value)
    };
    let path = request.path?.split('?').next();
    let upgrade = header("upgrade")?.eq_ignore_ascii_case(b"websocket");
    let version = header("sec-websocket-version")? == b"13";
    let fits = request.method == Some("GET") && path == Some("/") && upgrade && version;
    fits.then(|| header("sec-websocket-key")).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: Outcome, starts: &str, contains: &str) {
        let mut out = Vec::new();
        assert_eq!(answer(input.as_bytes(), &mut out), expect, "{input}");
        let out = String::from_utf8(out).expect("a response is text");
        assert!(out.starts_with(starts) && out.contains(contains), "{out}");
    }

    #[test]
    fn requests() {
        // The key and its answer are those of RFC 6455 §1.3.
        let good = "GET / HTTP/1.1\r\nHost: a\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let key = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        check(good, Outcome::Open(good.len()), "HTTP/1.1 101 ", key);
        check(
            &format!("{good}more"),
            Outcome::Open(good.len()),
            "HTTP/1.1 101 ",
            key,
        );
        check(&good[..good.len() - 1], Outcome::Incomplete, "", "");
        check(
            &good.replace("GET / ", "GET /other "),
            Outcome::Refused,
            "HTTP/1.1 400 ",
            "",
        );
        check(
            &good.replace("13", "8"),
            Outcome::Refused,
            "HTTP/1.1 400 ",
            "",
        );
        check(
            &"x".repeat(HEAD_BYTES_MAX),
            Outcome::Refused,
            "HTTP/1.1 400 ",
            "",
        );
        check("\u{1}\r\n\r\n", Outcome::Refused, "HTTP/1.1 400 ", "");
    }
}
