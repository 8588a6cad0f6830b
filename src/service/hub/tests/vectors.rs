//! Replays the wire vectors of what the service decides: events and their acknowledgements, whom proxies name, tokens.

use super::clients::{frame, get};
use super::world::{World, key, settings};
use crate::auth::{Keys, TrustedProxies, Verdict};
use crate::hub::{Answer, Query};
use crate::time::Now;
use serde_json::{Value, json};

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

fn texts<'a>(vector: &'a Value, field: &str) -> Vec<&'a str> {
    let list = vector[field].as_array().unwrap();
    list.iter().map(|text| text.as_str().unwrap()).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(pair).collect()
}

/// A masked binary frame of few bytes; a mask of zeroes changes nothing.
fn binary(bytes: &[u8]) -> Vec<u8> {
    [&[0x82, 0x80 | bytes.len() as u8, 0, 0, 0, 0], bytes].concat()
}

#[test]
fn native_events() {
    replay(
        include_str!("../../../../tests/vectors/native-events.json"),
        |vector| {
            let answer = acknowledgement(vector);
            let Some(expected) = vector["expect"]["answer"].as_object() else {
                return json!({ "code": answer["code"] });
            };
            // An epoch is nobody's to foretell: only what the vector names is compared.
            let named = expected
                .keys()
                .map(|field| (field.clone(), answer[field].clone()));
            json!({ "answer": named.collect::<serde_json::Map<_, _>>() })
        },
    );
}

/// What a client that sends this event gets as its acknowledgement.
fn acknowledgement(vector: &Value) -> Value {
    let mut world = World::new(1, settings(true));
    let conn = world.websocket(0, "40");
    world.read(conn);
    let (event, attachments) = (
        vector["input"].as_str().unwrap(),
        texts(vector, "attachments_hex"),
    );
    let packet = match attachments.len() {
        0 => format!("427{event}"),
        count => format!("45{count}-7{event}"),
    };
    world.send(conn, &frame(&packet));
    for attachment in attachments {
        world.send(conn, &binary(&bytes_of(attachment)));
    }
    let seen = world.read(conn);
    let start = ["437[", "461-7["]
        .iter()
        .find_map(|mark| Some(seen.find(mark)? + mark.len()));
    let rest = &seen[start.unwrap_or_else(|| panic!("no acknowledgement: {seen}"))..];
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    values.next().unwrap().unwrap()
}

#[test]
fn forwarded() {
    replay(
        include_str!("../../../../tests/vectors/forwarded.json"),
        |vector| {
            let prefix = vector["proxy_v2_hex"]
                .as_str()
                .map(bytes_of)
                .unwrap_or_default();
            let headers: String = texts(vector, "headers")
                .iter()
                .map(|line| format!("{line}\r\n"))
                .collect();
            let stream = [prefix, get("transport=polling", &headers).into_bytes()].concat();
            let whole = client(vector, &[&stream]);
            for cut in 1..stream.len() {
                let (head, rest) = stream.split_at(cut);
                assert_eq!(client(vector, &[head, rest]), whole, "cut at {cut}");
            }
            assert_eq!(
                client(vector, &stream.chunks(1).collect::<Vec<_>>()),
                whole,
                "byte by byte"
            );
            whole
        },
    );
}

/// Whom the hub takes for the client of the session that this stream opens.
fn client(vector: &Value, pieces: &[&[u8]]) -> Value {
    let trusted: Vec<String> = texts(vector, "trusted")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut settings = settings(true);
    settings.trusted_proxies = TrustedProxies::parse(&trusted).unwrap();
    let mut world = World::new(1, settings);
    let conn = world.open(0);
    for piece in pieces {
        world.send(conn, piece);
    }
    let Answer::Connections(mut rows) =
        world.hubs[0].query(&Query::Connections { from: 0, limit: 1 })
    else {
        panic!("the question was for connections")
    };
    if let Some(row) = rows.pop() {
        return json!({ "client": row.address });
    }
    let (closed, answer) = (world.wires[&conn].closed, world.read(conn));
    match answer.get(9..12) {
        Some(status) => json!({ "closed": closed, "status": status.parse::<u16>().unwrap() }),
        None => json!({ "closed": closed }),
    }
}

#[test]
fn tokens() {
    replay(
        include_str!("../../../../tests/vectors/tokens.json"),
        |vector| {
            let now = Now {
                monotonic_us: 0,
                unix_ms: vector["unix_seconds"].as_u64().unwrap() * 1000,
            };
            let keys = Keys::new(&[key()], None, None, 0).unwrap();
            let Verdict::Done(result) = keys.verify(vector["input"].as_str().unwrap(), now) else {
                panic!("a shared secret verifies at once")
            };
            result.map_or_else(
                |refusal| json!({ "code": refusal.code() }),
                |identity| json!({ "subject": identity.subject() }),
            )
        },
    );
}
