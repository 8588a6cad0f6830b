//! An event's arguments, cut apart but not parsed: most of them only travel on.

use super::SocketIoError;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Names that the client library keeps for itself ("Event" in the protocol's document).
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// The arguments of an event; the first is its name.
#[derive(Debug)]
pub struct Arguments<'a> {
    /// The event's name.
    pub name: String,
    /// The rest, as raw JSON.
    pub values: Vec<&'a RawValue>,
}

impl<'a> Arguments<'a> {
    /// Cuts the data of an EVENT.
    ///
    /// # Errors
    /// [`SocketIoError::Data`] when it is not an array that starts with a name which a client may use.
    pub fn parse(data: &'a str) -> Result<Self, SocketIoError> {
        let mut values: Vec<&RawValue> =
            serde_json::from_str(data).map_err(|_| SocketIoError::Data)?;
        if values.is_empty() {
            return Err(SocketIoError::Data);
        }
        let name: String =
            serde_json::from_str(values.remove(0).get()).map_err(|_| SocketIoError::Data)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(SocketIoError::Data);
        }
        Ok(Self { name, values })
    }

    /// Argument `index` as a string.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<String> {
        serde_json::from_str(self.values.get(index)?.get()).ok()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Node {
    Mark(bool),
    Index(u16),
    Object(std::collections::BTreeMap<String, Self>),
    Array(Vec<Self>),
    Other(serde::de::IgnoredAny),
}

/// Counts the placeholders in a value, and checks that each names an attachment below `attachments`, none twice.
///
/// A placeholder is what the reference client takes for one: an object whose `_placeholder` is true. That client fails on one whose `num` is
/// no attachment's, so that a packet with one would cut off whoever receives it.
///
/// # Errors
/// [`SocketIoError::Attachments`].
pub fn count_placeholders(value: &RawValue, attachments: u16) -> Result<u16, SocketIoError> {
    // Nothing is parsed without need. An escaped mark is not found here: then no attachment is named either.
    if !value.get().contains("_placeholder") {
        return Ok(0);
    }
    let node: Node = serde_json::from_str(value.get()).map_err(|_| SocketIoError::Data)?;
    let mut seen = vec![false; usize::from(attachments)];
    walk(&node, &mut seen)?;
    Ok(seen.iter().filter(|seen| **seen).count() as u16)
}

/// serde_json bounds the depth of what it parses (128), so this recursion is bounded as well.
fn walk(node: &Node, seen: &mut [bool]) -> Result<(), SocketIoError> {
    match node {
        Node::Object(map) if matches!(map.get("_placeholder"), Some(Node::Mark(true))) => {
            let Some(Node::Index(num)) = map.get("num") else {
                return Err(SocketIoError::Attachments);
            };
            match seen.get_mut(usize::from(*num)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(SocketIoError::Attachments),
            }
        }
        Node::Object(map) => map.values().try_for_each(|inner| walk(inner, seen))?,
        Node::Array(list) => list.iter().try_for_each(|inner| walk(inner, seen))?,
        Node::Mark(_) | Node::Index(_) | Node::Other(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_cut_not_parsed() {
        let arguments = Arguments::parse(r#"["publish", "room", {"a": [1, 2]} ]"#).unwrap();
        assert_eq!(
            (arguments.name.as_str(), arguments.text(0).as_deref()),
            ("publish", Some("room"))
        );
        assert_eq!(arguments.values[1].get(), r#"{"a": [1, 2]}"#);
    }

    #[test]
    fn data_of_other_shapes_is_refused() {
        for data in [
            "",
            "{}",
            "[]",
            "[1]",
            "[\"connect\"]",
            "[\"disconnecting\"]",
            "[\"a\"",
            "[\"a\"]x",
        ] {
            assert!(Arguments::parse(data).is_err(), "{data}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!(
            "[\"a\",{}\"_placeholder\"{}]",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let arguments = Arguments::parse(&deep).unwrap();
        assert_eq!(
            count_placeholders(arguments.values[0], 1),
            Err(SocketIoError::Data)
        );
    }

    #[track_caller]
    fn check(json: &str, attachments: u16, expected: Result<u16, SocketIoError>) {
        let value: Box<RawValue> = serde_json::from_str(json).unwrap();
        assert_eq!(count_placeholders(&value, attachments), expected, "{json}");
    }

    #[test]
    fn placeholders_name_each_attachment_once() {
        check(
            r#"{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}]}"#,
            2,
            Ok(2),
        );
        check(
            r#"{"_placeholder":true,"num":2}"#,
            2,
            Err(SocketIoError::Attachments),
        );
        check(
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
            2,
            Err(SocketIoError::Attachments),
        );
        check(r#""_placeholder""#, 1, Ok(0));
        check("[1, null, true]", 1, Ok(0));
    }

    #[test]
    fn placeholders_are_what_the_reference_client_takes_for_one() {
        for num in [r#""0""#, "-1", "0.5", "65536", "null"] {
            let json =
                format!(r#"[{{"_placeholder":true,"num":0}},{{"_placeholder":true,"num":{num}}}]"#);
            check(&json, 1, Err(SocketIoError::Attachments));
        }
        check(
            r#"{"_placeholder":true}"#,
            1,
            Err(SocketIoError::Attachments),
        );
        check(r#"{"_placeholder":false,"num":0}"#, 1, Ok(0));
        check(r#"{"_placeholder":1,"num":0}"#, 1, Ok(0));
        let last = r#"{"_placeholder":false,"_placeholder":true,"num":"x"}"#;
        check(last, 1, Err(SocketIoError::Attachments));
    }
}
