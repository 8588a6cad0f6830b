//! Socket.IO: packets, arguments, placeholders, and packets that wait for attachments.

use crate::input::{Input, text_of};
use ringway_proto::socketio::{
    Arguments, Bounds, Packet, PacketKind, Reassembly, SocketIoError, count_placeholders,
    event_into,
};
use serde_json::Value;
use serde_json::value::RawValue;

const BOUNDS: Bounds = Bounds {
    namespace_bytes_max: 16,
    attachments_max: 4,
    message_bytes_max: 256,
};

/// A byte that chooses, then a packet, or attachments, or a value with placeholders.
pub fn socketio(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => packet(text_of(input.rest())),
        1 => attachments(&mut input),
        _ => {
            let attachments = u16::from(input.byte() % 5);
            placeholders(text_of(input.rest()), attachments);
        }
    }
}

fn packet(text: &str) {
    let Ok(packet) = Packet::parse(text, &BOUNDS) else {
        return;
    };
    assert!(packet.namespace.starts_with('/') && !packet.namespace.contains([',', '?']));
    assert!(packet.namespace.len() <= usize::from(BOUNDS.namespace_bytes_max));
    assert!(packet.attachments <= BOUNDS.attachments_max);
    assert!(packet.id.is_none_or(|id| id < 1 << 53));
    assert!(text.ends_with(packet.data));
    let arguments = Arguments::parse(packet.data);
    if let Ok(arguments) = &arguments {
        check_arguments(arguments);
        if carries_arguments(packet.kind) {
            written_is_read(&packet, arguments);
        }
    }
}

const fn carries_arguments(kind: PacketKind) -> bool {
    use PacketKind::{Ack, BinaryAck, BinaryEvent, Event};
    matches!(kind, Event | Ack | BinaryEvent | BinaryAck)
}

fn check_arguments(arguments: &Arguments<'_>) {
    assert!(!["connect", "connect_error", "disconnect"].contains(&&*arguments.name));
    for (index, value) in arguments.values.iter().enumerate() {
        let text: Option<String> = serde_json::from_str(value.get()).ok();
        assert_eq!(arguments.text(index), text);
    }
    assert_eq!(arguments.text(arguments.values.len()), None);
}

/// The encoder writes what the parser reads back, in the one form that each packet has.
fn written_is_read(packet: &Packet<'_>, arguments: &Arguments<'_>) {
    let name = serde_json::to_string(&arguments.name).expect("strings serialise");
    let mut values = vec![name.as_str()];
    values.extend(arguments.values.iter().map(|value| value.get()));
    let answer = matches!(packet.kind, PacketKind::Ack | PacketKind::BinaryAck);
    let mut out = Vec::new();
    event_into(
        &mut out,
        answer,
        packet.attachments,
        packet.namespace,
        packet.id,
        &values,
    );
    let out = String::from_utf8(out).expect("text of texts");
    let again = Packet::parse(&out, &BOUNDS).expect("what was written is read");
    assert_eq!((again.namespace, again.id), (packet.namespace, packet.id));
    assert_eq!(again.attachments, packet.attachments);
    let again = Arguments::parse(again.data).expect("arguments too");
    let raw = |values: &[&RawValue]| -> Vec<String> {
        values.iter().map(|value| value.get().to_owned()).collect()
    };
    assert_eq!(again.name, arguments.name);
    assert_eq!(raw(&again.values), raw(&arguments.values));
}

fn attachments(input: &mut Input<'_>) {
    let due = u16::from(input.byte() % 5);
    let text = format!("5{due}-[\"a\"]");
    let packet = Packet::parse(&text, &BOUNDS).expect("a packet");
    let mut reassembly = Reassembly::new(&packet);
    let mut bytes = packet.data.len();
    while !input.is_empty() {
        let attachment = input.block();
        let before = reassembly.attachments.len();
        let whole = before == usize::from(due);
        let large = bytes + attachment.len() > BOUNDS.message_bytes_max as usize;
        match reassembly.push(attachment, BOUNDS.message_bytes_max) {
            Err(SocketIoError::Attachments) => assert!(whole),
            Err(SocketIoError::TooLarge) => assert!(large && !whole),
            Err(error) => panic!("{error:?}"),
            Ok(complete) => {
                assert!(!whole && !large);
                assert_eq!(complete, before + 1 == usize::from(due));
                assert_eq!(reassembly.attachments[before], attachment);
                bytes += attachment.len();
                continue;
            }
        }
        // After an error the session is closed.
        return;
    }
}

/// The same judgement as the reference client's `reconstructPacket`, and no attachment twice.
fn placeholders(text: &str, attachments: u16) {
    let (Ok(raw), Ok(value)) = (
        serde_json::from_str::<&RawValue>(text),
        serde_json::from_str::<Value>(text),
    ) else {
        return;
    };
    if !text.contains("_placeholder") {
        // Only an escaped mark can stand here: it is not looked for, and names nothing.
        assert_eq!(count_placeholders(raw, attachments), Ok(0), "{text}");
        return;
    }
    let mut seen = vec![false; usize::from(attachments)];
    let expected = match named(&value, &mut seen) {
        true => Ok(seen.iter().filter(|seen| **seen).count() as u16),
        false => Err(SocketIoError::Attachments),
    };
    let counted = count_placeholders(raw, attachments);
    // Of two fields of one name this reader keeps the last one, the reference client too; the code refuses such a placeholder, and may say so.
    let is_refused = counted == Err(SocketIoError::Attachments);
    assert!(
        counted == expected || (is_refused && has_doubles(text, &value)),
        "{counted:?}, expected {expected:?}: {text}"
    );
}

/// Whether what was read has lost a field of a placeholder to another one of its name.
fn has_doubles(text: &str, value: &Value) -> bool {
    let read = value.to_string();
    let lost = |mark: &&str| text.matches(*mark).count() > read.matches(*mark).count();
    ["_placeholder", "num"].iter().any(lost)
}

/// Whether every placeholder names an attachment that exists and that no other names.
fn named(value: &Value, seen: &mut [bool]) -> bool {
    match value {
        Value::Array(list) => list.iter().all(|inner| named(inner, seen)),
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
            let num = map.get("num").and_then(Value::as_u64);
            let place = num
                .and_then(|num| usize::try_from(num).ok())
                .and_then(|num| seen.get_mut(num));
            place.is_some_and(|seen| !core::mem::replace(seen, true))
        }
        Value::Object(map) => map.values().all(|inner| named(inner, seen)),
        _ => true,
    }
}
