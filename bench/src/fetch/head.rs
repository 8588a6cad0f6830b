//! The head of an HTTP answer, as little of it as a client of files needs.

use memchr::memmem;

/// Bytes that a head may have.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What a head says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where the body begins.
    pub(crate) bytes: usize,
    pub(crate) status: u16,
    /// Of the body; 0 where the status has none.
    pub(crate) length: u64,
    pub(crate) etag: Option<String>,
    pub(crate) encoding: Option<String>,
    /// Of a range: its first byte.
    pub(crate) first: Option<u64>,
    /// The body ends with an empty chunk instead of after `length` bytes.
    pub(crate) is_chunked: bool,
    /// Of what was made.
    pub(crate) location: Option<String>,
}

impl Head {
    /// The head at the start of `bytes`; `None` until all of it is there.
    ///
    /// # Errors
    /// What is no head, or says no length.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            let is_long = bytes.len() > HEAD_BYTES_MAX;
            return if is_long {
                Err("a head without an end".to_owned())
            } else {
                Ok(None)
            };
        };
        let text = core::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is no text")?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| format!("no status: {text:?}"))?;
        let mut head = Self {
            bytes: end + 4,
            status,
            ..Self::default()
        };
        let is_empty = matches!(status, 204 | 304);
        let mut length = is_empty.then_some(0);
        for line in lines {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("no header: {line:?}"))?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" if !is_empty => length = value.parse().ok(),
                "etag" => head.etag = Some(value.to_owned()),
                "content-encoding" => head.encoding = Some(value.to_owned()),
                "transfer-encoding" => head.is_chunked = value.eq_ignore_ascii_case("chunked"),
                "location" => head.location = Some(value.to_owned()),
                "content-range" => head.first = first_of(value),
                _ => {}
            }
        }
        let length = length.or_else(|| head.is_chunked.then_some(0));
        head.length = length.ok_or_else(|| format!("no length: {text:?}"))?;
        Ok(Some(head))
    }
}

/// "bytes 5-9/10" begins at 5.
fn first_of(range: &str) -> Option<u64> {
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_come() {
        let text = b"HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\ncontent-length: 3\r\nContent-Range: bytes 5-7/9\r\n\r\nabc";
        for cut in 0..text.len() - 3 {
            assert_eq!(Head::parse(&text[..cut]), Ok(None), "{cut}");
        }
        let head = Head::parse(text).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.first), (206, 3, Some(5)));
        assert_eq!(
            (head.etag.as_deref(), &text[head.bytes..]),
            (Some("\"a\""), &b"abc"[..])
        );
    }

    #[test]
    fn a_304_has_no_body_whatever_it_says() {
        let head = Head::parse(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(head.unwrap().unwrap().length, 0);
    }

    #[test]
    fn what_says_no_length_is_an_error() {
        assert!(
            Head::parse(b"HTTP/1.1 200 OK\r\n\r\n")
                .unwrap_err()
                .contains("no length")
        );
        let chunked = Head::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(chunked.unwrap().unwrap().is_chunked);
        assert!(
            Head::parse(b"what\r\n\r\n")
                .unwrap_err()
                .contains("no status")
        );
        assert!(Head::parse(&vec![b'a'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
