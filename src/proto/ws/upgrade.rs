//! RFC 6455 §4.2: the opening handshake.

use crate::http1::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use std::collections::BTreeSet;

/// RFC 6455 §1.3.
const KEY_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes for which an answer has room at once: it and what is said first behind it, where nothing is added.
const RESPONSE_BYTES: usize = 320;

/// A request that asks for a WebSocket rightly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The answer to the client's key.
    pub accept: String,
    /// What it offers in Sec-WebSocket-Extensions.
    pub extensions: String,
    /// The subprotocol that is spoken: the first that it offers. Clients give a connection up whose answer names none of theirs.
    pub protocol: Option<String>,
}

/// Why a request for a WebSocket is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// RFC 6455 §4.2.1: not a GET of HTTP/1.1 with `Connection: Upgrade` and `Upgrade: websocket`.
    NotUpgrade,
    /// RFC 6455 §4.2.1: the key is not 16 bytes of base64.
    Key,
    /// RFC 6455 §4.1: a subprotocol is a token, and none is offered twice.
    Protocol,
    /// RFC 6455 §4.4: another version than 13; answered by 426.
    Version,
}

impl UpgradeError {
    /// The status that tells the client (RFC 6455 §4.4: 426, with the version that there is).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 426,
            Self::NotUpgrade | Self::Key | Self::Protocol => 400,
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
        if !is_nonce(key) {
            return Err(UpgradeError::Key);
        }
        let extensions = request
            .headers("sec-websocket-extensions")
            .collect::<Vec<_>>()
            .join(", ");
        Ok(Self {
            accept: accept_key(key),
            extensions,
            protocol: protocol(request)?,
        })
    }

    /// The 101 answer, with more headers: names and values that HTTP has.
    #[must_use]
    pub fn response<T: AsRef<str>>(&self, extensions: Option<&str>, headers: &[(T, T)]) -> Vec<u8> {
        let mut out = String::with_capacity(RESPONSE_BYTES);
        out.push_str(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        );
        out.push_str("Sec-WebSocket-Accept: ");
        out.push_str(&self.accept);
        out.push_str("\r\n");
        if let Some(extensions) = extensions {
            out.push_str("Sec-WebSocket-Extensions: ");
            out.push_str(extensions);
            out.push_str("\r\n");
        }
        // RFC 6455 §4.2.2: only where the client has offered some.
        if let Some(protocol) = &self.protocol {
            out.push_str("Sec-WebSocket-Protocol: ");
            out.push_str(protocol);
            out.push_str("\r\n");
        }
        for (name, value) in headers {
            out.push_str(&format!("{}: {}\r\n", name.as_ref(), value.as_ref()));
        }
        out.push_str("\r\n");
        out.into_bytes()
    }
}

/// RFC 6455 §4.2.1: 16 bytes, as base64.
fn is_nonce(key: &str) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut bytes) == Ok(16)
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let is_sign = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut bytes = name.bytes();
    !name.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// RFC 6455 §4.2.2: the server names one of the subprotocols that were offered, or none. What they mean is between the client and its application, so it is
/// the one that the client prefers, as with ws under engine.io. No longer than the head in which it came.
fn protocol(request: &Request) -> Result<Option<String>, UpgradeError> {
    let lines = request.headers("sec-websocket-protocol");
    let offers = lines.flat_map(|line| line.split(','));
    let (mut first, mut offered) = (None, BTreeSet::new());
    for offer in offers {
        let offer = offer.trim_matches([' ', '\t']);
        if !is_token(offer) || !offered.insert(offer) {
            return Err(UpgradeError::Protocol);
        }
        first.get_or_insert(offer);
    }
    Ok(first.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_4_2_2_the_answer_names_the_subprotocol_and_nothing_where_none_was_offered() {
        let answer = |protocol: Option<&str>| {
            let upgrade = Upgrade {
                accept: "a".to_owned(),
                extensions: String::new(),
                protocol: protocol.map(str::to_owned),
            };
            String::from_utf8(upgrade.response::<&str>(None, &[])).unwrap()
        };
        assert!(answer(Some("chat")).contains("\r\nSec-WebSocket-Protocol: chat\r\n"));
        assert!(!answer(None).contains("Sec-WebSocket-Protocol"));
    }

    #[test]
    fn rfc6455_4_2_1_a_key_is_16_bytes_of_base64() {
        for (key, expected) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("dGhlIHNhbXBsZSBub25jZQ", false),
            ("dGhlIHNhbXBsZSBub25jZVE=", false),
            ("dGhlIHNhbXBsZSBub25jZVFS", false),
            ("dGhlIHNhbXBsZSBub25jZR==", false),
            ("dGhlIHNhbXBsZSBub25jZ===", false),
            ("dGhlIHNhbXBsZSBub25jZQ==dGhl", false),
            ("dGhlIHNhbXBsZSBub25j_w==", false),
            ("dGhlIHNhbXBsZSBub25\u{e9}Q==", false),
            ("", false),
        ] {
            assert_eq!(is_nonce(key), expected, "{key}");
        }
    }

    #[test]
    fn rfc6455_1_3_sample_nonce() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
