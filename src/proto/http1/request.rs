//! A request's head.

use super::headers::Headers;
use super::pieces::{cut, pieces};
use super::{Bounds, HEADERS_MAX, HttpError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A request's head, owned: it outlives the receive buffer while the body comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// As sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: String,
    /// The target before any `?`.
    pub path: String,
    /// The target after the first `?`.
    pub query: String,
    /// The minor version: 0 or 1, for which each higher one is taken.
    pub version: u8,
    headers: Headers,
    /// How the body is framed.
    pub body: BodyLength,
}

/// How a body is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyLength {
    /// That many bytes.
    Exact(u64),
    /// Chunks.
    Chunked,
}

/// Parses a head. `None`: more bytes are needed. The number is the head's length.
///
/// # Errors
/// See [`HttpError`]. Framing that two servers could read differently is refused, never guessed (RFC 9112 §11.2).
pub fn parse_head(bytes: &[u8], bounds: &Bounds) -> Result<Option<(Request, usize)>, HttpError> {
    // Nothing behind the bound is looked at: the answer must not depend on how much came at once.
    let bytes = &bytes[..bytes.len().min(bounds.head_bytes_max as usize)];
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    let status = match parsed.parse(bytes) {
        Ok(status) => status,
        Err(httparse::Error::TooManyHeaders) => return Err(HttpError::HeadTooLarge),
        Err(httparse::Error::Version) => {
            let known = as_http_1_1(bytes).ok_or(HttpError::VersionNotSupported)?;
            return parse_head(&known, bounds);
        }
        Err(_) => return Err(HttpError::BadRequest),
    };
    let httparse::Status::Complete(head_len) = status else {
        return if bytes.len() == bounds.head_bytes_max as usize {
            Err(HttpError::HeadTooLarge)
        } else {
            Ok(None)
        };
    };
    Request::from_parsed(&parsed, bounds).map(|request| Some((request, head_len)))
}

/// RFC 9110 §2.5: a message of a higher minor version is read as one of the highest that is known. `None`: it is of another major version, or of none.
fn as_http_1_1(head: &[u8]) -> Option<Vec<u8>> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = head.iter().position(|byte| !is_end(byte))?;
    let line = head[start..].split(is_end).next()?;
    let version = line.rsplit(|byte| *byte == b' ').next()?;
    if !matches!(version.strip_prefix(b"HTTP/1."), Some([b'2'..=b'9'])) {
        return None;
    }
    let mut known = head.to_vec();
    known[start + line.len() - 1] = b'1';
    Some(known)
}

impl Request {
    fn from_parsed(parsed: &httparse::Request<'_, '_>, bounds: &Bounds) -> Result<Self, HttpError> {
        let (Some(method), Some(target), Some(version)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(HttpError::BadRequest);
        };
        let headers = Headers::from_parsed(parsed.headers)?;
        let target = origin_form(target);
        let (path, query) = cut(target, b'?');
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.unwrap_or_default().to_owned(),
            version,
            headers,
            body: BodyLength::Exact(0),
        };
        // RFC 9112 §3.2: exactly one Host in HTTP/1.1.
        let hosts = request.headers("host").count();
        if hosts > 1 || (version == 1 && hosts == 0) {
            return Err(HttpError::BadRequest);
        }
        request.body = request.body_length(bounds)?;
        Ok(request)
    }

    /// RFC 9112 §6.3.
    fn body_length(&self, bounds: &Bounds) -> Result<BodyLength, HttpError> {
        let mut codings = self.headers("transfer-encoding");
        let mut lengths = self.headers("content-length");
        let (coding, length) = (codings.next(), lengths.next());
        if codings.next().is_some()
            || lengths.next().is_some()
            || (coding.is_some() && (length.is_some() || self.version == 0))
        {
            return Err(HttpError::BadRequest);
        }
        if let Some(coding) = coding {
            return if coding.eq_ignore_ascii_case("chunked") {
                Ok(BodyLength::Chunked)
            } else {
                Err(HttpError::NotImplemented)
            };
        }
        let Some(length) = length else {
            return Ok(BodyLength::Exact(0));
        };
        // Digits only: `+5`, `5, 5` and `0x5` are read differently elsewhere.
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HttpError::BadRequest);
        }
        match length.parse::<u64>() {
            Ok(bytes) if bytes <= bounds.body_bytes_max => Ok(BodyLength::Exact(bytes)),
            _ => Err(HttpError::BodyTooLarge),
        }
    }

    /// Whether a body follows the head.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.body != BodyLength::Exact(0)
    }

    /// The first header of that name (given in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers in the order in which they came: name in lower case, and value.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter()
    }

    /// All headers of that name (given in lower case), in order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.named(name)
    }

    /// Whether a comma-separated header holds `token`, compared without case.
    #[must_use]
    pub fn header_has_token(&self, name: &str, token: &str) -> bool {
        self.headers(name)
            .flat_map(|value| pieces(value, b','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    }

    /// The first query parameter of that name, percent-decoded; `None` when absent or not UTF-8.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = pieces(&self.query, b'&');
        percent_decode(pairs.find_map(|pair| value_of(pair, name))?)
    }

    /// Whether the connection stays open after the answer (RFC 9112 §9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        if self.version == 1 {
            !self.header_has_token("connection", "close")
        } else {
            self.header_has_token("connection", "keep-alive")
        }
    }
}

/// RFC 9112 §3.2.2: a server takes an absolute target too. Who it is for stands in Host as well, and is nobody's concern here.
fn origin_form(target: &str) -> &str {
    if target.starts_with('/') {
        return target;
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return target;
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return target;
    }
    let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    // RFC 9112 §3.2.1: an empty path is that of the root.
    if path.is_empty() { "/" } else { path }
}

/// What a pair of the query says, if that is its name. One without `=` says nothing.
fn value_of<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    match pair.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    }
}

fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Some(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

pub(super) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        head_bytes_max: 300,
        body_bytes_max: 100,
    };

    fn parse(text: &str) -> Result<Option<(Request, usize)>, HttpError> {
        parse_head(text.as_bytes(), &BOUNDS)
    }

    #[track_caller]
    fn check_refused(headers: &str, error: HttpError) {
        assert_eq!(
            parse(&format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")),
            Err(error)
        );
    }

    #[test]
    fn a_head_has_parts() {
        let (request, length) = parse("GET /socket.io/?EIO=4&t=a%20b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n\r\nrest").unwrap().unwrap();
        assert_eq!(
            (request.path.as_str(), request.parameter("t").as_deref()),
            ("/socket.io/", Some("a b"))
        );
        assert!(request.header_has_token("connection", "upgrade") && request.keeps_alive());
        assert_eq!(length, 84);
    }

    #[test]
    fn every_prefix_asks_for_more() {
        let head = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(parse(&head[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn rfc9112_11_2_smuggling_shapes_are_refused() {
        check_refused(
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            HttpError::BadRequest,
        );
        check_refused(
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            HttpError::BadRequest,
        );
        check_refused("Content-Length: +5\r\n", HttpError::BadRequest);
        check_refused("Content-Length: 5, 5\r\n", HttpError::BadRequest);
        check_refused(
            "Transfer-Encoding: gzip, chunked\r\n",
            HttpError::NotImplemented,
        );
        check_refused("Content-Length : 5\r\n", HttpError::BadRequest);
        check_refused("A: b\r\n c\r\n", HttpError::BadRequest);
        check_refused("Host: y\r\n", HttpError::BadRequest);
        check_refused(
            "Transfer-Encoding: \u{a0}chunked\r\n",
            HttpError::NotImplemented,
        );
    }

    #[test]
    fn bounds_hold() {
        check_refused("Content-Length: 101\r\n", HttpError::BodyTooLarge);
        check_refused(
            "Content-Length: 99999999999999999999999\r\n",
            HttpError::BodyTooLarge,
        );
        check_refused(
            &format!("A: {}\r\n", "x".repeat(300)),
            HttpError::HeadTooLarge,
        );
        assert_eq!(
            parse(&format!("GET /{}", "x".repeat(300))),
            Err(HttpError::HeadTooLarge)
        );
        assert_eq!(
            parse("GET / HTTP/2.0\r\n\r\n"),
            Err(HttpError::VersionNotSupported)
        );
        assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Err(HttpError::BadRequest));
    }

    #[test]
    fn rfc9112_3_2_2_an_absolute_target_is_its_path() {
        for (target, expected) in [
            ("http://a.example/files/a?b=c", "/files/a?b=c"),
            ("HTTPS://a.example:443/", "/"),
            ("http://a.example", "/"),
            ("/files/http://a", "/files/http://a"),
            ("/a?to=http://b/c", "/a?to=http://b/c"),
            ("ftp://a/b", "ftp://a/b"),
            ("*", "*"),
        ] {
            assert_eq!(origin_form(target), expected);
        }
    }
}
