//! The open packet, and the errors that the reference server answers.

use serde::Serialize;

/// What the open packet says ("Handshake" in the protocol's document).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake<'a> {
    /// The session's id.
    pub sid: &'a str,
    /// Transports that the client may upgrade to.
    pub upgrades: &'a [&'a str],
    /// Milliseconds between pings.
    #[serde(rename = "pingInterval")]
    pub ping_interval_ms: u32,
    /// Milliseconds for a pong.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout_ms: u32,
    /// Bytes of one polling body.
    pub max_payload: u32,
}

impl Handshake<'_> {
    /// The packet in text form.
    ///
    /// # Panics
    /// Never: these fields always serialise.
    #[must_use]
    pub fn encode(&self) -> String {
        let json = serde_json::to_string(self).expect("strings and numbers serialise");
        format!("0{json}")
    }
}

/// Errors that a request is answered by, with the reference server's numbers and texts: clients read them. Its number 4, "Forbidden", is
/// absent: whoever may not come is told why by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// 0.
    UnknownTransport,
    /// 1.
    UnknownSid,
    /// 2.
    BadHandshakeMethod,
    /// 3.
    BadRequest,
    /// 5.
    UnsupportedProtocolVersion,
}

impl EngineError {
    /// The HTTP status of all of them.
    pub const STATUS: u16 = 400;

    /// The JSON body.
    #[must_use]
    pub const fn body(self) -> &'static str {
        match self {
            Self::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::UnknownSid => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadHandshakeMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            Self::UnsupportedProtocolVersion => {
                r#"{"code":5,"message":"Unsupported protocol version"}"#
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshake_open_packet() {
        let handshake = Handshake {
            sid: "abc",
            upgrades: &["websocket"],
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload: 1_000_000,
        };
        assert_eq!(
            handshake.encode(),
            r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }
}
