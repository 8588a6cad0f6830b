//! Replays the wire vectors in `tests/vectors`, which any implementation can read: what comes of each input, wherever a stream is cut.
//!
//! The vectors of what the service decides (events, addresses, tokens, session ids) are replayed inside its crate.

use ringway_proto::engineio::{self, EngineError, Params, PayloadError, split_payload};
use ringway_proto::http1::{self, BodyDecoder, BodyLength, HttpError, Request, parse_head};
use ringway_proto::socketio::{
    self, Arguments, Packet, PacketKind, Reassembly, SocketIoError, count_placeholders,
};
use ringway_proto::ws::{self, Decoder, Event, Upgrade, UpgradeError};
use serde_json::value::RawValue;
use serde_json::{Value, json};

macro_rules! vectors {
    ($name:literal) => {
        include_str!(concat!("../../../tests/vectors/", $name, ".json"))
    };
}

/// Runs each vector of a file through `result`, which gives what `expect` must say.
#[track_caller]
fn replay(file: &str, result: impl Fn(&Value) -> Value) {
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap();
    assert!(!vectors.is_empty(), "a file without vectors");
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        assert_eq!(result(vector), vector["expect"], "{name}");
    }
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().unwrap()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(pair).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same result for the whole stream, for every cut in two, and byte by byte.
fn at_every_cut(stream: &[u8], run: impl Fn(&[&[u8]]) -> Value) -> Value {
    let whole = run(&[stream]);
    for cut in 0..=stream.len() {
        let (head, rest) = stream.split_at(cut);
        assert_eq!(run(&[head, rest]), whole, "cut at {cut}");
    }
    assert_eq!(
        run(&stream.chunks(1).collect::<Vec<_>>()),
        whole,
        "byte by byte"
    );
    whole
}

// HTTP/1.

fn bounds(vector: &Value) -> http1::Bounds {
    http1::Bounds {
        head_bytes_max: number(vector, "head_bytes_max") as u32,
        body_bytes_max: number(vector, "body_bytes_max"),
    }
}

fn error_of(error: HttpError) -> Value {
    json!({ "error": error.status() })
}

/// Feeds a head as a connection does: all bytes so far, until something comes of them.
fn head(pieces: &[&[u8]], bounds: &http1::Bounds) -> Value {
    let stream = pieces.concat();
    let mut len = 0;
    for piece in pieces {
        len += piece.len();
        match parse_head(&stream[..len], bounds) {
            Ok(None) => {}
            Ok(Some((request, head_bytes))) => {
                return json!({ "request": request_of(&request, &stream[head_bytes..]) });
            }
            Err(error) => return error_of(error),
        }
    }
    json!({ "need_more": true })
}

fn request_of(request: &Request, rest: &[u8]) -> Value {
    let body = match request.body {
        BodyLength::Exact(bytes) => json!(bytes),
        BodyLength::Chunked => json!("chunked"),
    };
    json!({
        "method": request.method, "path": request.path, "query": request.query, "version": request.version, "body": body,
        "keeps_alive": request.keeps_alive(), "rest": String::from_utf8_lossy(rest),
    })
}

#[test]
fn http1_heads() {
    replay(vectors!("http1-heads"), |vector| {
        let bounds = bounds(vector);
        let stream = text(vector, "input").as_bytes();
        at_every_cut(stream, |pieces| head(pieces, &bounds))
    });
}

#[test]
fn http1_bodies() {
    replay(vectors!("http1-bodies"), |vector| {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
            text(vector, "header")
        );
        let body_bytes_max = number(vector, "body_bytes_max") as u32;
        let request = parsed(&head, body_bytes_max);
        let stream = text(vector, "input").as_bytes();
        at_every_cut(stream, |pieces| body(&request, pieces, body_bytes_max))
    });
}

fn parsed(head: &str, body_bytes_max: u32) -> Request {
    let bounds = http1::Bounds {
        head_bytes_max: 4096,
        body_bytes_max: body_bytes_max.into(),
    };
    parse_head(head.as_bytes(), &bounds).unwrap().unwrap().0
}

fn body(request: &Request, pieces: &[&[u8]], body_bytes_max: u32) -> Value {
    let mut decoder = BodyDecoder::new(request, body_bytes_max);
    let mut rest = Vec::new();
    for piece in pieces {
        match decoder.push(piece) {
            Ok(taken) => rest.extend_from_slice(&piece[taken..]),
            Err(error) => return error_of(error),
        }
    }
    if !decoder.is_done() {
        return json!({ "body": null });
    }
    let body = String::from_utf8(decoder.into_body()).unwrap();
    json!({ "body": body, "rest": String::from_utf8(rest).unwrap() })
}

// WebSocket.

fn event_of(event: &Event<'_>) -> Value {
    match event {
        Event::Text(text) => json!({ "text": text }),
        Event::Binary(bytes) => json!({ "binary_hex": hex_of(bytes) }),
        Event::Ping(bytes) => json!({ "ping_hex": hex_of(bytes) }),
        Event::Pong(bytes) => json!({ "pong_hex": hex_of(bytes) }),
        Event::Close { code } => json!({ "close": code }),
    }
}

fn frames(pieces: &[&[u8]], bounds: &ws::Bounds) -> Value {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    for piece in pieces {
        let mut closed = false;
        let result = decoder.push(&mut piece.to_vec(), bounds, &mut |event| {
            closed = matches!(event, Event::Close { .. });
            events.push(event_of(&event));
            true
        });
        if let Err(error) = result {
            return json!({ "events": events, "error_close_code": error.close_code() });
        }
        if closed {
            break;
        }
    }
    json!({ "events": events, "error_close_code": null })
}

#[test]
fn websocket() {
    replay(vectors!("websocket"), |vector| {
        let bounds = ws::Bounds {
            message_bytes_max: number(vector, "message_bytes_max") as u32,
            fragments_max: number(vector, "fragments_max") as u32,
            deflate: vector["deflate"].as_bool().unwrap(),
        };
        let stream = bytes_of(text(vector, "input_hex"));
        at_every_cut(&stream, |pieces| frames(pieces, &bounds))
    });
}

#[test]
fn websocket_offers() {
    replay(vectors!("websocket-offers"), |vector| {
        let agreed = ws::deflate::negotiate(text(vector, "input"));
        json!({ "answer": agreed.map(|agreed| agreed.answer()), "compresses": agreed.is_some_and(|agreed| agreed.compresses()) })
    });
}

#[test]
fn websocket_upgrades() {
    replay(vectors!("websocket-upgrades"), |vector| {
        let error = match Upgrade::parse(&parsed(text(vector, "input"), 0)) {
            Ok(upgrade) => {
                let Upgrade {
                    accept,
                    extensions,
                    protocol,
                } = upgrade;
                return json!({ "accept": accept, "extensions": extensions, "protocol": protocol });
            }
            Err(UpgradeError::NotUpgrade) => "not_upgrade",
            Err(UpgradeError::Key) => "key",
            Err(UpgradeError::Protocol) => "protocol",
            Err(UpgradeError::Version) => "version",
        };
        json!({ "error": error })
    });
}

// Engine.IO.

fn engine_packet(packet: &engineio::Packet<'_>) -> Value {
    use engineio::PacketKind::{Close, Message, Noop, Open, Ping, Pong, Upgrade};
    let (kind, data) = match packet {
        engineio::Packet::Text(kind, data) => (kind, data),
        engineio::Packet::Binary(bytes) => return json!({ "binary_hex": hex_of(bytes) }),
    };
    let kind = match kind {
        Open => "open",
        Close => "close",
        Ping => "ping",
        Pong => "pong",
        Message => "message",
        Upgrade => "upgrade",
        Noop => "noop",
    };
    json!({ "kind": kind, "data": data })
}

#[test]
fn engineio_packets() {
    replay(vectors!("engineio-packets"), |vector| {
        engineio::Packet::parse_text(text(vector, "input")).map_or_else(
            |_| json!({ "error": "packet" }),
            |packet| engine_packet(&packet),
        )
    });
}

#[test]
fn engineio_payloads() {
    replay(vectors!("engineio-payloads"), |vector| {
        let body = vector["input"].as_str().map_or_else(
            || bytes_of(text(vector, "input_hex")),
            |input| input.as_bytes().to_vec(),
        );
        match split_payload(&body, number(vector, "packets_max") as usize) {
            Ok(packets) => {
                let packets: Vec<Value> = packets.iter().map(engine_packet).collect();
                json!({ "packets": packets })
            }
            Err(PayloadError::Utf8) => json!({ "error": "utf8" }),
            Err(PayloadError::Packet) => json!({ "error": "packet" }),
            Err(PayloadError::TooManyPackets) => json!({ "error": "too_many_packets" }),
        }
    });
}

#[test]
fn engineio_handshakes() {
    replay(
        vectors!("engineio-handshakes"),
        |vector| match Params::parse(&parsed(text(vector, "input"), 0)) {
            Ok(params) => {
                let transport = if params.websocket {
                    "websocket"
                } else {
                    "polling"
                };
                json!({ "transport": transport, "sid": params.sid })
            }
            Err(error) => {
                let body: Value = serde_json::from_str(error.body()).unwrap();
                json!({ "error_code": body["code"], "status": EngineError::STATUS })
            }
        },
    );
}

// Socket.IO.

fn socketio_error(error: SocketIoError) -> Value {
    let error = match error {
        SocketIoError::Packet => "packet",
        SocketIoError::Data => "data",
        SocketIoError::Namespace => "namespace",
        SocketIoError::TooManyAttachments => "too_many_attachments",
        SocketIoError::TooLarge => "too_large",
        SocketIoError::Attachments => "attachments",
    };
    json!({ "error": error })
}

const fn kind_of(kind: PacketKind) -> &'static str {
    match kind {
        PacketKind::Connect => "connect",
        PacketKind::Disconnect => "disconnect",
        PacketKind::Event => "event",
        PacketKind::Ack => "ack",
        PacketKind::ConnectError => "connect_error",
        PacketKind::BinaryEvent => "binary_event",
        PacketKind::BinaryAck => "binary_ack",
    }
}

#[test]
fn socketio_packets() {
    replay(vectors!("socketio-packets"), |vector| {
        let bounds = socketio::Bounds {
            namespace_bytes_max: number(vector, "namespace_bytes_max") as u16,
            attachments_max: number(vector, "attachments_max") as u16,
            message_bytes_max: 1000,
        };
        Packet::parse(text(vector, "input"), &bounds).map_or_else(socketio_error, |packet| {
            json!({
                "kind": kind_of(packet.kind), "attachments": packet.attachments, "namespace": packet.namespace,
                "id": packet.id, "data": packet.data,
            })
        })
    });
}

#[test]
fn socketio_encoding() {
    replay(vectors!("socketio-encoding"), |vector| {
        let packet = &vector["packet"];
        let namespace = text(packet, "namespace");
        let out = match text(packet, "kind") {
            "connect" => socketio::connect(namespace, text(packet, "sid")),
            "connect_error" => {
                socketio::connect_error(namespace, text(packet, "message"), text(packet, "code"))
            }
            kind => {
                let values = packet["values"].as_array().unwrap();
                let values: Vec<&str> = values.iter().map(|raw| raw.as_str().unwrap()).collect();
                let (answer, attachments) = (kind == "ack", number(packet, "attachments") as u16);
                let mut out = Vec::new();
                let id = packet["id"].as_u64();
                socketio::event_into(&mut out, answer, attachments, namespace, id, &values);
                out
            }
        };
        json!({ "output": String::from_utf8(out).unwrap() })
    });
}

#[test]
fn socketio_arguments() {
    replay(vectors!("socketio-arguments"), |vector| {
        Arguments::parse(text(vector, "input")).map_or_else(socketio_error, |arguments| {
            let values: Vec<&str> = arguments.values.iter().map(|value| value.get()).collect();
            json!({ "event": arguments.name, "arguments": values })
        })
    });
}

#[test]
fn socketio_placeholders() {
    replay(vectors!("socketio-placeholders"), |vector| {
        let value: Box<RawValue> = serde_json::from_str(text(vector, "input")).unwrap();
        count_placeholders(&value, number(vector, "attachments") as u16)
            .map_or_else(socketio_error, |count| json!({ "placeholders": count }))
    });
}

#[test]
fn socketio_attachments() {
    replay(vectors!("socketio-attachments"), |vector| {
        let bounds = socketio::Bounds {
            namespace_bytes_max: 16,
            attachments_max: 3,
            message_bytes_max: 100,
        };
        let packet = Packet::parse(text(vector, "input"), &bounds).unwrap();
        let mut reassembly = Reassembly::new(&packet);
        let bytes_max = number(vector, "bytes_max") as u32;
        for attachment in vector["attachments_hex"].as_array().unwrap() {
            let bytes = bytes_of(attachment.as_str().unwrap());
            if let Err(error) = reassembly.push(&bytes, bytes_max) {
                return socketio_error(error);
            }
        }
        json!({ "complete": reassembly.is_complete() })
    });
}
