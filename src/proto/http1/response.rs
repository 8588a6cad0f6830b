//! An answer.

use core::fmt::Write as _;

/// Most heads have fewer bytes, and are written without asking for memory again.
const HEAD_BYTES: usize = 512;

/// An answer under construction; `body` gives its bytes.
#[derive(Debug)]
pub struct Response {
    status: u16,
    head: String,
}

impl Response {
    /// An answer of that status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let mut head = String::with_capacity(HEAD_BYTES);
        write!(head, "HTTP/1.1 {status} {}\r\n", reason(status)).expect("memory takes it");
        Self { status, head }
    }

    /// Adds a header. Line breaks in `value` would end it early: they become spaces.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(name);
        self.head.push_str(": ");
        let mut lines = value.split(['\r', '\n']);
        self.head.push_str(lines.next().unwrap_or_default());
        for line in lines {
            self.head.push(' ');
            self.head.push_str(line);
        }
        self.head.push_str("\r\n");
        self
    }

    /// The head of an answer whose body has no length, or none at all (304).
    #[must_use]
    pub fn without_length(mut self, keep_alive: bool) -> Vec<u8> {
        self = self.header(
            "Connection",
            if keep_alive { "keep-alive" } else { "close" },
        );
        self.head.push_str("\r\n");
        self.head.into_bytes()
    }

    /// The bytes for the wire; without `keep_alive` they say that the connection closes.
    #[must_use]
    pub fn body(self, body: &[u8], keep_alive: bool) -> Vec<u8> {
        let mut out = self.without_body(body.len(), keep_alive);
        out.extend_from_slice(body);
        out
    }

    /// The answer to a HEAD: what a GET would be told, without the body (RFC 9110 §9.3.2).
    #[must_use]
    pub fn without_body(mut self, body_bytes: usize, keep_alive: bool) -> Vec<u8> {
        // RFC 9110 §8.6: none in a 204; in a 304 it would be that of what is kept.
        if !matches!(self.status, 204 | 304) {
            self = self.header("Content-Length", &body_bytes.to_string());
        }
        self.without_length(keep_alive)
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        423 => "Locked",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        460 => "Checksum Mismatch",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::Response;

    #[test]
    fn rfc9110_8_6_no_length_without_content_and_9_3_2_no_body_to_head() {
        let none = Response::new(204).body(b"", true);
        assert_eq!(
            none,
            b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"
        );
        let kept = Response::new(304).body(b"", true);
        assert_eq!(
            kept,
            b"HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n"
        );
        let head = Response::new(200).without_body(7, true);
        assert_eq!(
            head,
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn a_header_cannot_be_split() {
        let bytes = Response::new(200)
            .header("A", "b\r\nSet-Cookie: c")
            .body(b"xy", false);
        assert_eq!(
            bytes,
            b"HTTP/1.1 200 OK\r\nA: b  Set-Cookie: c\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxy"
        );
    }
}
