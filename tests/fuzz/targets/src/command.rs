//! Native events, as a client sends them: the answer is what an independent reading of the arguments says.

use crate::client::{Seen, UPGRADE, get, masked};
use crate::input::{Input, text_of};
use crate::world::{World, settings};
use serde_json::Value;

const ROOM_BYTES_MAX: usize = 256;
const KEY_BYTES_MAX: usize = 128;

/// A byte that says whether an attachment follows, then an event's array.
pub fn command(data: &[u8]) {
    let mut input = Input::new(data);
    let attached = input.byte() & 1 == 1;
    let event = text_of(input.rest());
    if !event.starts_with('[') || event.len() > 3000 {
        return;
    }
    let mut world = World::new(1, settings(true));
    let conn = world.open(0);
    world.send(conn, &get("transport=websocket", UPGRADE));
    world.send(conn, &masked(0x81, b"40"));
    world.read(conn);
    let packet = if attached {
        format!("451-7{event}")
    } else {
        format!("427{event}")
    };
    world.send(conn, &masked(0x81, packet.as_bytes()));
    if attached {
        world.send(conn, &masked(0x82, &[1, 2, 3]));
    }
    let seen = world.read(conn);
    let code = code_of(&seen, attached);
    match expected(event, attached) {
        Some(expected) => assert_eq!(code, expected, "{event}: {seen:?}"),
        None => assert!(
            code.is_empty() || code.starts_with("RW-"),
            "{event}: {code}"
        ),
    }
    world.check_empty();
}

/// The code in the acknowledgement; empty when it says ok.
fn code_of(seen: &[Seen], attached: bool) -> String {
    let Some(Seen::Text(text)) = seen.first() else {
        panic!("no answer: {seen:?}")
    };
    let answer = text
        .strip_prefix("437[")
        .or_else(|| text.strip_prefix("461-7[").filter(|_| attached))
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or_else(|| panic!("no acknowledgement: {text}"));
    if let Some(data) = answer.strip_prefix(r#"{"ok":true,"data":"#) {
        // What comes back is passed on as it was, deeper than a parser may like.
        assert!(data.ends_with('}'));
        return String::new();
    }
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    let code = answer["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer["ok"], Value::Bool(code.is_empty()), "{answer}");
    code
}

/// The code that the event deserves; `None` where JSON may be read in two ways.
fn expected(event: &str, attached: bool) -> Option<&'static str> {
    let arguments: Value = serde_json::from_str(event).ok()?;
    let arguments = arguments.as_array()?;
    let Some(name) = arguments.first().and_then(Value::as_str) else {
        return Some("RW-2016");
    };
    let reserved = [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    ];
    if reserved.contains(&name) || (attached && !["publish", "echo"].contains(&name)) {
        return Some("RW-2016");
    }
    let args = &arguments[1..];
    match name {
        "join" => Some(if room_fits(args) { "" } else { "RW-2301" }),
        "leave" => Some(if room_fits(args) {
            "RW-2304"
        } else {
            "RW-2301"
        }),
        "publish" if !room_fits(args) => Some("RW-2301"),
        "publish" => publish(event, args, attached),
        "echo" | "info" => Some(""),
        "refresh" if args.first().is_some_and(Value::is_string) => None,
        "refresh" => Some("RW-2016"),
        _ => Some("RW-2015"),
    }
}

fn room_fits(args: &[Value]) -> bool {
    args.first().and_then(Value::as_str).is_some_and(|room| {
        (1..=ROOM_BYTES_MAX).contains(&room.len()) && !room.chars().any(char::is_control)
    })
}

fn publish(event: &str, args: &[Value], attached: bool) -> Option<&'static str> {
    let Some(data) = args.get(1) else {
        return Some("RW-2016");
    };
    // A key that stands twice is the last one to some and an error to others; escapes hide names.
    if event.matches("key").count() > 1 || event.contains(['\\']) {
        return None;
    }
    let options = match args.get(2) {
        None | Some(Value::Null) => true,
        Some(Value::Object(options)) => match options.get("key") {
            None | Some(Value::Null) => true,
            Some(Value::String(key)) => key.len() <= KEY_BYTES_MAX,
            Some(_) => false,
        },
        Some(_) => false,
    };
    let named = attached == data.to_string().contains(r#""_placeholder":true"#);
    match (options, named) {
        (false, _) => Some("RW-2016"),
        (true, true) if !attached => Some(""),
        _ => None,
    }
}
