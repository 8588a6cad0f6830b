//! The path of a request's target as names below a root: decoded once, and refused where two readers could see two files.
//!
//! Deliberately absent: resolving. `..` is refused, not followed; whoever opens the file keeps it beneath the root besides.

/// Bytes of a path as it came.
pub const PATH_BYTES_MAX: usize = 4096;
/// Bytes of a name; no file system of Linux has longer ones.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a path names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// 400: a wrong escape, a slash or backslash inside a name, a control character, an empty name, `.` or `..`, or bytes that are not UTF-8.
    Malformed,
    /// 404: a name that begins with a dot, or is longer than names can be. That it exists is nobody's business.
    Hidden,
    /// 414: too many bytes.
    TooLong,
}

impl PathFault {
    /// The status that tells the peer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Hidden => 404,
            Self::TooLong => 414,
        }
    }
}

/// Names below a root, joined by `/`, without one at either end: nothing in it climbs, hides, or ends early.
///
/// Names are UTF-8: they stand in JSON, in headers and in signed URLs, none of which can hold other bytes and give them back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativePath {
    text: String,
    /// Whether a directory was asked for: the path was empty or ended in `/`.
    pub is_directory: bool,
}

impl RelativePath {
    /// The names in `path`, which is what follows the root's prefix, still escaped.
    ///
    /// # Errors
    /// See [`PathFault`].
    pub fn parse(path: &str) -> Result<Self, PathFault> {
        if path.len() > PATH_BYTES_MAX {
            return Err(PathFault::TooLong);
        }
        let (names, is_directory) = match path.strip_suffix('/') {
            Some(names) => (names, true),
            None => (path, path.is_empty()),
        };
        let mut text = String::with_capacity(names.len());
        // A path of nothing but a slash has an empty name in it.
        if !names.is_empty() || path == "/" {
            for (index, segment) in names.split('/').enumerate() {
                if index > 0 {
                    text.push('/');
                }
                text.push_str(&name(segment)?);
            }
        }
        Ok(Self { text, is_directory })
    }

    /// The names, joined by `/`; empty for the root itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The last name; empty for the root itself.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The path of a file in this directory. `name` is the operator's, not a client's.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let slash = if self.text.is_empty() { "" } else { "/" };
        Self {
            text: format!("{}{slash}{name}", self.text),
            is_directory: false,
        }
    }
}

/// One name, decoded.
fn name(segment: &str) -> Result<String, PathFault> {
    let bytes = decoded(segment).ok_or(PathFault::Malformed)?;
    let is_malformed = matches!(bytes.as_slice(), b"" | b"." | b"..");
    // A slash can only come of an escape; a backslash separates names elsewhere.
    let foreign = |byte: &u8| matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f);
    if is_malformed || bytes.iter().any(foreign) {
        return Err(PathFault::Malformed);
    }
    let name = String::from_utf8(bytes).map_err(|_| PathFault::Malformed)?;
    if name.starts_with('.') || name.len() > NAME_BYTES_MAX {
        return Err(PathFault::Hidden);
    }
    Ok(name)
}

/// Escapes become bytes, once; `+` is itself, and a fragment or a query has no place here.
fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => super::request::hex(bytes.next()?)? << 4 | super::request::hex(bytes.next()?)?,
            b'#' | b'?' => return None,
            other => other,
        });
    }
    Some(out)
}

/// What follows `prefix` in a path that is still escaped, however the path writes the prefix: who is let in by what a path begins with must read it as whoever
/// opens the file does. An escaped slash is none.
#[must_use]
pub fn strip_path_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    if let Some(rest) = path.strip_prefix(prefix) {
        return Some(rest);
    }
    let mut rest = path;
    for wanted in prefix.bytes() {
        rest = strip_byte(rest, wanted)?;
    }
    Some(rest)
}

fn strip_byte(path: &str, wanted: u8) -> Option<&str> {
    let first = *path.as_bytes().first()?;
    if first != b'%' {
        return path.get(1..).filter(|_| first == wanted);
    }
    let byte = decoded(path.get(..3)?)?[0];
    path.get(3..).filter(|_| byte == wanted && byte != b'/')
}

/// A path of names as it stands in a URL: everything but unreserved characters and `/` is escaped (RFC 3986 §2.3).
#[must_use]
pub fn escape_path(path: &str) -> String {
    escape(path, |byte| byte == b'/')
}

/// A value as it stands in a URL's query.
#[must_use]
pub fn escape_query(value: &str) -> String {
    escape(value, |_| false)
}

fn escape(text: &str, keeps: impl Fn(u8) -> bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if plain || keeps(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}
