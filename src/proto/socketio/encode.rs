//! Packets on their way out.

use super::PacketKind;
use crate::quoted::quoted;
use std::io::Write as _;

/// Appends an EVENT or ACK (or its binary form when there are attachments) with raw JSON values.
pub fn event_into(
    out: &mut Vec<u8>,
    answer: bool,
    attachments: u16,
    namespace: &str,
    id: Option<u64>,
    values: &[&str],
) {
    event_head_into(out, answer, attachments, namespace, id);
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b']');
}

/// Appends what stands before the array of an EVENT or ACK.
pub fn event_head_into(
    out: &mut Vec<u8>,
    answer: bool,
    attachments: u16,
    namespace: &str,
    id: Option<u64>,
) {
    let kind = match (answer, attachments) {
        (false, 0) => PacketKind::Event,
        (true, 0) => PacketKind::Ack,
        (false, _) => PacketKind::BinaryEvent,
        (true, _) => PacketKind::BinaryAck,
    };
    out.push(kind as u8);
    if attachments > 0 {
        // Writing into a Vec cannot fail.
        let _ = write!(out, "{attachments}-");
    }
    push_namespace(out, namespace);
    if let Some(id) = id {
        let _ = write!(out, "{id}");
    }
}

fn push_namespace(out: &mut Vec<u8>, namespace: &str) {
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
}

/// The answer to a CONNECT.
#[must_use]
pub fn connect(namespace: &str, sid: &str) -> Vec<u8> {
    let sid = quoted(sid);
    // The kind, a comma, and what stands around the id.
    let mut out = Vec::with_capacity(namespace.len() + sid.len() + 10);
    out.push(PacketKind::Connect as u8);
    push_namespace(&mut out, namespace);
    out.extend_from_slice(b"{\"sid\":");
    out.extend_from_slice(sid.as_bytes());
    out.push(b'}');
    out
}

/// The refusal of a CONNECT: `message` becomes the error's message, `code` its `data.code`.
#[must_use]
pub fn connect_error(namespace: &str, message: &str, code: &str) -> Vec<u8> {
    let mut out = vec![PacketKind::ConnectError as u8];
    push_namespace(&mut out, namespace);
    let _ = write!(
        out,
        "{{\"message\":{},\"data\":{{\"code\":{}}}}}",
        quoted(message),
        quoted(code)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: bool, attachments: u16, namespace: &str, id: Option<u64>, expected: &str) {
        let mut out = Vec::new();
        event_into(
            &mut out,
            answer,
            attachments,
            namespace,
            id,
            &["\"a\"", "1"],
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn packet_encoding_of_events_and_acks() {
        check(false, 0, "/", None, "2[\"a\",1]");
        check(true, 0, "/admin", Some(12), "3/admin,12[\"a\",1]");
        check(false, 2, "/", Some(1), "52-1[\"a\",1]");
        check(true, 1, "/a", Some(0), "61-/a,0[\"a\",1]");
    }

    #[test]
    fn packet_encoding_of_connect_and_its_refusal() {
        assert_eq!(connect("/", "x"), br#"0{"sid":"x"}"#);
        assert_eq!(
            connect_error("/a", "no", "RW-2101"),
            br#"4/a,{"message":"no","data":{"code":"RW-2101"}}"#
        );
    }
}
