//! An answer.

/// An answer under construction; `body` gives its bytes.
#[derive(Debug)]
pub struct Response {
    head: String,
}

impl Response {
    /// An answer of that status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            head: format!("HTTP/1.1 {status} {}\r\n", reason(status)),
        }
    }

    /// Adds a header. Line breaks in `value` would end it early: they become spaces.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(name);
        self.head.push_str(": ");
        self.head.extend(value.chars().map(|character| {
            if matches!(character, '\r' | '\n') {
                ' '
            } else {
                character
            }
        }));
        self.head.push_str("\r\n");
        self
    }

    /// The bytes for the wire; without `keep_alive` they say that the connection closes.
    #[must_use]
    pub fn body(mut self, body: &[u8], keep_alive: bool) -> Vec<u8> {
        self = self.header("Content-Length", &body.len().to_string());
        self = self.header(
            "Connection",
            if keep_alive { "keep-alive" } else { "close" },
        );
        self.head.push_str("\r\n");
        let mut out = self.head.into_bytes();
        out.extend_from_slice(body);
        out
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::Response;

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
