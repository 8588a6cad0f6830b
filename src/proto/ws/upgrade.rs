//! RFC 6455 §4.2: the opening handshake.

use crate::http1::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// RFC 6455 §1.3.
const KEY_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that asks for a WebSocket rightly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The answer to the client's key.
    pub accept: String,
    /// What it offers in Sec-WebSocket-Extensions.
    pub extensions: String,
}

/// Why a request for a WebSocket is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// RFC 6455 §4.2.1: not a GET of HTTP/1.1 with `Connection: Upgrade` and `Upgrade: websocket`.
    NotUpgrade,
    /// RFC 6455 §4.2.1: the key is not 16 bytes of base64.
    Key,
    /// RFC 6455 §4.4: another version than 13; answered by 426.
    Version,
}

impl UpgradeError {
    /// The status that tells the client (RFC 6455 §4.4: 426, with the version that there is).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 426,
            Self::NotUpgrade | Self::Key => 400,
        }
    }
}

/// RFC 6455 §4.2.2: what proves that the server understood.
#[must_use]
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(KEY_GUID);
    STANDARD.encode(hash.finalize())
}

impl Upgrade {
    /// Checks a request for a WebSocket.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub fn parse(request: &Request) -> Result<Self, UpgradeError> {
        if request.method != "GET"
            || request.version == 0
            || !request.header_has_token("connection", "upgrade")
            || !request.header_has_token("upgrade", "websocket")
        {
            return Err(UpgradeError::NotUpgrade);
        }
        if request.header("sec-websocket-version") != Some("13") {
            return Err(UpgradeError::Version);
        }
        let key = request
            .header("sec-websocket-key")
            .ok_or(UpgradeError::Key)?;
        if key.len() != 24 || STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
            return Err(UpgradeError::Key);
        }
        let extensions = request
            .headers("sec-websocket-extensions")
            .collect::<Vec<_>>()
            .join(", ");
        Ok(Self {
            accept: accept_key(key),
            extensions,
        })
    }

    /// The 101 answer, with more headers: names and values that HTTP has.
    #[must_use]
    pub fn response<T: AsRef<str>>(&self, extensions: Option<&str>, headers: &[(T, T)]) -> Vec<u8> {
        let mut out = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            self.accept
        );
        if let Some(extensions) = extensions {
            out.push_str("Sec-WebSocket-Extensions: ");
            out.push_str(extensions);
            out.push_str("\r\n");
        }
        for (name, value) in headers {
            out.push_str(&format!("{}: {}\r\n", name.as_ref(), value.as_ref()));
        }
        out.push_str("\r\n");
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rfc6455_1_3_sample_nonce() {
        assert_eq!(
            super::accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
