//! The open packet, and the errors that the reference server answers.

use crate::quoted::{push_number, push_quoted};

/// Bytes for which an open packet has room at once: those of our ids and settings.
const ENCODED_BYTES: usize = 160;

/// What the open packet says ("Handshake" in the protocol's document).
#[derive(Clone, Debug)]
pub struct Handshake<'a> {
    /// The session's id.
    pub sid: &'a str,
    /// Transports that the client may upgrade to.
    pub upgrades: &'a [&'a str],
    /// Milliseconds between pings.
    pub ping_interval_ms: u32,
    /// Milliseconds for a pong.
    pub ping_timeout_ms: u32,
    /// Bytes of one polling body.
    pub max_payload: u32,
}

impl Handshake<'_> {
    /// The packet in text form.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(ENCODED_BYTES);
        out.push_str(r#"0{"sid":"#);
        push_quoted(&mut out, self.sid);
        out.push_str(r#","upgrades":["#);
        for (at, transport) in self.upgrades.iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            push_quoted(&mut out, transport);
        }
        out.push(']');
        for (name, number) in [
            ("pingInterval", self.ping_interval_ms),
            ("pingTimeout", self.ping_timeout_ms),
            ("maxPayload", self.max_payload),
        ] {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            push_number(&mut out, number);
        }
        out.push('}');
        out
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
    fn an_open_packet_is_the_json_of_its_fields() {
        for (sid, upgrades) in [
            ("", &[][..]),
            ("a\"\\\n\u{e9}", &["a\"", "b", ""]),
            (&"x".repeat(1000), &["websocket"]),
        ] {
            let handshake = Handshake {
                sid,
                upgrades,
                ping_interval_ms: 0,
                ping_timeout_ms: u32::MAX,
                max_payload: 10,
            };
            let packet = handshake.encode();
            let json: serde_json::Value = serde_json::from_str(&packet[1..]).unwrap();
            let expected = serde_json::json!({
                "sid": sid, "upgrades": upgrades, "pingInterval": 0, "pingTimeout": u32::MAX, "maxPayload": 10
            });
            assert_eq!((&packet[..1], json), ("0", expected));
        }
    }

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
