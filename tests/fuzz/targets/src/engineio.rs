//! Engine.IO: packets, polling payloads, and the parameters of a request.

use crate::input::{Input, text_of};
use ringway_proto::engineio::{
    EngineError, Handshake, Packet, Params, PayloadError, push_binary, push_text, split_payload,
};
use ringway_proto::http1::{Bounds, Request, parse_head};

const PACKETS_MAX: usize = 16;
const BOUNDS: Bounds = Bounds {
    head_bytes_max: 65_536,
    body_bytes_max: 1024,
};

/// A byte that chooses, then a payload, a query or a session id.
pub fn engineio(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => payload(input.rest()),
        1 => query(text_of(input.rest())),
        2 => session(text_of(input.rest())),
        _ => written(&mut input),
    }
}

fn payload(body: &[u8]) {
    match split_payload(body, PACKETS_MAX) {
        Ok(packets) => {
            assert!((1..=PACKETS_MAX).contains(&packets.len()));
            assert_eq!(joined(&packets), body, "base64 and kinds have one form");
        }
        Err(PayloadError::Utf8) => assert!(core::str::from_utf8(body).is_err()),
        Err(PayloadError::TooManyPackets) => {
            let separators = body.iter().filter(|byte| **byte == 0x1e).count();
            assert!(separators >= PACKETS_MAX);
        }
        Err(PayloadError::Packet) => assert!(core::str::from_utf8(body).is_ok()),
    }
}

fn joined(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for packet in packets {
        match packet {
            Packet::Text(kind, rest) => {
                push_text(format!("{}{rest}", kind.symbol()).as_bytes(), &mut body);
            }
            Packet::Binary(bytes) => push_binary(bytes, &mut body),
        }
    }
    body
}

/// Packets that are written are read: any bytes as binary messages.
fn written(input: &mut Input<'_>) {
    let (mut body, mut expected) = (Vec::new(), Vec::new());
    while !input.is_empty() && expected.len() < PACKETS_MAX {
        let bytes = input.block();
        push_binary(bytes, &mut body);
        expected.push(Packet::Binary(bytes.into()));
    }
    if !expected.is_empty() {
        assert_eq!(split_payload(&body, PACKETS_MAX), Ok(expected));
    }
}

fn request(target: &str, headers: &str) -> Option<Request> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let parsed = parse_head(head.as_bytes(), &BOUNDS).ok()??;
    Some(parsed.0)
}

/// Whatever the query says, a transport is chosen or the error is one of the reference server's.
fn query(text: &str) {
    for headers in ["", "Upgrade: websocket\r\n"] {
        let Some(request) = request(&format!("/socket.io/?{text}"), headers) else {
            continue;
        };
        match Params::parse(&request) {
            Ok(params) => {
                assert_eq!(params.websocket, !headers.is_empty());
                assert_ne!(params.sid.as_deref(), Some(""));
                assert_eq!(request.parameter("EIO").as_deref(), Some("4"));
            }
            Err(error) => assert!(matches!(
                error,
                EngineError::UnknownTransport
                    | EngineError::UnsupportedProtocolVersion
                    | EngineError::BadRequest
            )),
        }
    }
}

/// Any text is a session id to the parser, and stands in the handshake as it was.
fn session(text: &str) {
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={encoded}");
    if let Some(request) = request(&target, "") {
        let params = Params::parse(&request).expect("all that is needed");
        assert_eq!(params.sid.unwrap_or_default(), text);
    }
    let open = Handshake {
        sid: text,
        upgrades: &["websocket"],
        ping_interval_ms: 1,
        ping_timeout_ms: 2,
        max_payload: 3,
    }
    .encode();
    let Ok(Packet::Text(kind, json)) = Packet::parse_text(&open) else {
        unreachable!("an open packet")
    };
    assert_eq!(kind.symbol(), '0');
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(json["sid"], text);
}
