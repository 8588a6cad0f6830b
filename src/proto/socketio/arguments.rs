//! An event's arguments, cut apart but not parsed: most of them only travel on.

use super::SocketIoError;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;

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
    pub name: Cow<'a, str>,
    /// The rest, as raw JSON.
    pub values: SmallVec<[&'a RawValue; 4]>,
}

/// A string, which is only copied where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Arguments<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_seq(Cut)
    }
}

/// Cuts an array into its first string and the rest.
struct Cut;

impl<'de> Visitor<'de> for Cut {
    type Value = Arguments<'de>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an array that starts with a name")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Arguments<'de>, A::Error> {
        let name: Option<Text<'de>> = array.next_element()?;
        let Text(name) = name.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let mut values = SmallVec::new();
        while let Some(value) = array.next_element()? {
            values.push(value);
        }
        Ok(Arguments { name, values })
    }
}

impl<'a> Arguments<'a> {
    /// Cuts the data of an EVENT.
    ///
    /// # Errors
    /// [`SocketIoError::Data`] when it is not an array that starts with a name which a client may use.
    pub fn parse(data: &'a str) -> Result<Self, SocketIoError> {
        let arguments: Self = serde_json::from_str(data).map_err(|_| SocketIoError::Data)?;
        if RESERVED.contains(&&*arguments.name) {
            return Err(SocketIoError::Data);
        }
        Ok(arguments)
    }

    /// Argument `index` as a string.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<String> {
        serde_json::from_str(self.values.get(index)?.get()).ok()
    }
}

/// Counts the placeholders in a value, and checks that each names an attachment below `attachments`, none twice. In one pass: a client
/// that gets a placeholder of another shape gives its connection up (socket.io-parser, `reconstructPacket`), so that one publisher
/// could disconnect a whole room.
///
/// # Errors
/// [`SocketIoError::Attachments`], or [`SocketIoError::Data`] for what is nested too deeply.
pub fn count_placeholders(value: &RawValue, attachments: u16) -> Result<u16, SocketIoError> {
    if !may_hold_placeholder(value.get()) {
        return Ok(0);
    }
    let mut walk = Walk {
        seen: vec![false; usize::from(attachments)],
        wrong: false,
    };
    let mut json = serde_json::Deserializer::from_str(value.get());
    // serde_json bounds the depth of what it parses (128), so this recursion is bounded as well.
    (&mut walk)
        .deserialize(&mut json)
        .map_err(|_| SocketIoError::Data)?;
    if walk.wrong {
        return Err(SocketIoError::Attachments);
    }
    Ok(walk.seen.iter().filter(|seen| **seen).count() as u16)
}

/// Whether the name stands there, or an escape of one of its characters, which no client library writes. Anything else is not looked into:
/// JSON that JavaScript reads and Rust does not, such as half of a surrogate pair, travels on as it is.
fn may_hold_placeholder(json: &str) -> bool {
    ["_placeholder", "\\u005", "\\u006", "\\u007"]
        .iter()
        .any(|sign| json.contains(sign))
}

/// What a placeholder's fields can be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    True,
    Number(u64),
    Other,
}

/// Looks at every object once.
struct Walk {
    seen: Vec<bool>,
    wrong: bool,
}

impl Walk {
    fn placeholder(&mut self, num: Option<Node>) {
        let place = match num {
            Some(Node::Number(num)) => usize::try_from(num)
                .ok()
                .and_then(|num| self.seen.get_mut(num)),
            _ => None,
        };
        match place {
            Some(seen) if !*seen => *seen = true,
            _ => self.wrong = true,
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walk {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Node, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk {
    type Value = Node;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(if value { Node::True } else { Node::Other })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    /// JavaScript has one kind of number: 1.0 is 1 to a client, and to us it is no index.
    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        while list.next_element_seed(&mut *self)?.is_some() {}
        Ok(Node::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let (mut mark, mut num, mut twice) = (None, None, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value_seed(&mut *self)?;
            match &*key {
                "_placeholder" => twice |= mark.replace(value).is_some(),
                "num" => twice |= num.replace(value).is_some(),
                _ => {}
            }
        }
        // Which of two fields of one name counts depends on the reader: such an object is no placeholder for anybody.
        match mark {
            Some(_) if twice => self.wrong = true,
            Some(Node::True) => self.placeholder(num),
            _ => {}
        }
        Ok(Node::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_cut_not_parsed() {
        let arguments = Arguments::parse(r#"["publish", "room", {"a": [1, 2]} ]"#).unwrap();
        assert_eq!(
            (&*arguments.name, arguments.text(0).as_deref()),
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

    /// Each level was once copied whole.
    #[test]
    fn breadth_at_depth_costs_one_pass() {
        let wide = format!(r#"["_placeholder"{}]"#, ",0".repeat(200_000));
        let deep = format!("{}{wide}{}", "[".repeat(120), "]".repeat(120));
        check(&deep, 1, Ok(0));
    }

    #[test]
    fn what_only_javascript_reads_travels_on() {
        check(
            r#"{"text":"cut \ud83d","control":"\u0000\n\"\\","deep":[1e999]}"#,
            0,
            Ok(0),
        );
        check(
            r#"{"\u005fplaceholder":true,"num":0}"#,
            0,
            Err(SocketIoError::Attachments),
        );
        check(
            r#"{"_placehol\u0064er":true,"num":0}"#,
            0,
            Err(SocketIoError::Attachments),
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
        // What a client would give its connection up for, hidden behind one that is right.
        for wrong in [
            r#"{"_placeholder":true}"#,
            r#"{"_placeholder":true,"num":-1}"#,
            r#"{"_placeholder":true,"num":1.5}"#,
            r#"{"_placeholder":true,"num":"1"}"#,
            r#"{"_placeholder":true,"num":0,"num":9}"#,
            r#"{"_placeholder":false,"_placeholder":true,"num":1}"#,
            r#"{"\u005fplaceholder":true}"#,
        ] {
            let both = format!(r#"[{{"_placeholder":true,"num":0}},{{"a":[{wrong}]}}]"#);
            check(&both, 2, Err(SocketIoError::Attachments));
        }
        check(r#"{"_placeholder":false,"num":7}"#, 1, Ok(0));
        check(r#"{"num":0,"num":1}"#, 1, Ok(0));
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
