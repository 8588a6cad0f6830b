//! What an application lets pages of other origins do (Fetch standard, CORS protocol), by the options that it gives its Socket.IO server: those of the
//! npm package `cors`, as far as they are plain values.
//!
//! Deliberately absent: functions and regular expressions, which only the application can ask.

use serde_json::{Map, Value};

/// A header of an answer: name and value.
pub(crate) type Header = (Box<str>, Box<str>);

/// Bytes of each of the options.
const OPTION_BYTES_MAX: usize = 8 << 10;
/// Origins in a list.
const ORIGINS_MAX: usize = 1024;

/// Which origins are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Allow {
    /// Every one, without credentials.
    Any,
    /// Whichever asks.
    Asking,
    /// This one, which is said to all.
    One(Box<str>),
    /// These.
    Some(Vec<Box<str>>),
}

/// The rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cors {
    allow: Allow,
    credentials: bool,
    methods: Box<str>,
    /// Which headers a request may have; none: those that it asks for.
    headers: Option<Box<str>>,
    exposed: Option<Box<str>>,
    max_age: Option<Box<str>>,
}

impl Cors {
    /// The rules of the option `cors`. `None`: it is off, or not of this shape.
    pub(crate) fn parse(option: &Value) -> Option<Self> {
        let none = Map::new();
        let options = match option {
            Value::Object(options) => options,
            Value::Bool(true) => &none,
            _ => return None,
        };
        Some(Self {
            allow: allow(options.get("origin"))?,
            credentials: options.get("credentials") == Some(&Value::Bool(true)),
            methods: joined(options.get("methods"))
                .unwrap_or_else(|| "GET,HEAD,PUT,PATCH,POST,DELETE".into()),
            headers: joined(options.get("allowedHeaders")),
            exposed: joined(options.get("exposedHeaders")),
            max_age: options
                .get("maxAge")
                .and_then(Value::as_u64)
                .map(|seconds| seconds.to_string().into()),
        })
    }

    /// Whether a page of `origin` may talk to us.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        match &self.allow {
            Allow::Any | Allow::Asking => true,
            Allow::One(one) => &**one == origin,
            Allow::Some(some) => some.iter().any(|one| &**one == origin),
        }
    }

    /// The headers of an answer to a request of `origin`.
    pub(crate) fn answer(&self, origin: Option<&str>) -> Vec<Header> {
        let mut headers = self.common(origin);
        headers.extend(header(
            "Access-Control-Expose-Headers",
            self.exposed.as_deref(),
        ));
        headers
    }

    /// The headers of the answer to a preflight, which asks for the headers `asked`.
    pub(crate) fn preflight(&self, origin: Option<&str>, asked: Option<&str>) -> Vec<Header> {
        let mut headers = self.common(origin);
        headers.extend(header("Access-Control-Allow-Methods", Some(&self.methods)));
        if self.headers.is_none() {
            headers.extend(header("Vary", Some("Access-Control-Request-Headers")));
        }
        let allowed = self.headers.as_deref().or(asked);
        headers.extend(header("Access-Control-Allow-Headers", allowed));
        headers.extend(header("Access-Control-Max-Age", self.max_age.as_deref()));
        headers.extend(header(
            "Access-Control-Expose-Headers",
            self.exposed.as_deref(),
        ));
        headers
    }

    fn common(&self, origin: Option<&str>) -> Vec<Header> {
        let said = match &self.allow {
            Allow::Any => Some("*"),
            Allow::One(one) => Some(&**one),
            Allow::Asking | Allow::Some(_) => origin.filter(|origin| self.allows(origin)),
        };
        let mut headers: Vec<Header> = Vec::new();
        headers.extend(header("Access-Control-Allow-Origin", said));
        if self.allow != Allow::Any {
            headers.extend(header("Vary", Some("Origin")));
        }
        let credentials = self.credentials.then_some("true");
        headers.extend(header("Access-Control-Allow-Credentials", credentials));
        headers
    }
}

fn header(name: &str, value: Option<&str>) -> Option<Header> {
    value.map(|value| (name.into(), value.into()))
}

fn allow(origin: Option<&Value>) -> Option<Allow> {
    match origin {
        None => Some(Allow::Any),
        Some(Value::Bool(true)) => Some(Allow::Asking),
        Some(Value::String(one)) if one == "*" => Some(Allow::Any),
        Some(Value::String(one)) if is_value(one) => Some(Allow::One(one.as_str().into())),
        Some(Value::Array(some)) if some.len() <= ORIGINS_MAX => {
            let some = some.iter().filter_map(Value::as_str);
            Some(Allow::Some(some.map(Into::into).collect()))
        }
        Some(_) => None,
    }
}

/// A list, as one text.
fn joined(option: Option<&Value>) -> Option<Box<str>> {
    let text = match option? {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            parts.join(",")
        }
        _ => return None,
    };
    (!text.is_empty() && is_value(&text)).then(|| text.into())
}

/// Whether a text may stand in a header: it comes from a worker, and must not end it early.
fn is_value(text: &str) -> bool {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    text.len() <= OPTION_BYTES_MAX && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(headers: &[Header]) -> String {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn answers_say_who_may() {
        let a = Some("https://a.com");
        for (option, origin, expected) in [
            (json!(true), a, "Access-Control-Allow-Origin: *"),
            (json!({}), None, "Access-Control-Allow-Origin: *"),
            (
                json!({ "origin": "https://b.com" }),
                a,
                "Access-Control-Allow-Origin: https://b.com\nVary: Origin",
            ),
            (
                json!({ "origin": true, "credentials": true }),
                a,
                "Access-Control-Allow-Origin: https://a.com\nVary: Origin\nAccess-Control-Allow-Credentials: true",
            ),
            (json!({ "origin": ["https://c.com"] }), a, "Vary: Origin"),
            (
                json!({ "origin": ["https://a.com"], "exposedHeaders": ["x", "y"] }),
                a,
                "Access-Control-Allow-Origin: https://a.com\nVary: Origin\nAccess-Control-Expose-Headers: x,y",
            ),
        ] {
            let cors = Cors::parse(&option).expect("rules");
            assert_eq!(text(&cors.answer(origin)), expected, "{option}");
        }
        for off in [
            json!({ "origin": "https://a.com\r\nSet-Cookie: b" }),
            json!(false),
            json!(null),
            json!("*"),
            json!({ "origin": false }),
        ] {
            assert_eq!(Cors::parse(&off), None, "{off}");
        }
    }

    #[test]
    fn a_preflight_is_told_what_it_may_send() {
        let cors = Cors::parse(&json!({ "origin": "*", "methods": ["GET", "POST"], "maxAge": 5 }));
        let said = cors.expect("rules").preflight(None, Some("x-mine"));
        assert_eq!(
            text(&said),
            "Access-Control-Allow-Origin: *\nAccess-Control-Allow-Methods: GET,POST\n\
             Vary: Access-Control-Request-Headers\nAccess-Control-Allow-Headers: x-mine\nAccess-Control-Max-Age: 5"
        );
        let cors = Cors::parse(&json!({ "allowedHeaders": "x-theirs" })).expect("rules");
        let said = text(&cors.preflight(None, Some("x-mine")));
        assert!(
            said.ends_with("Access-Control-Allow-Headers: x-theirs"),
            "{said}"
        );
    }

    #[test]
    fn whose_page_may_talk() {
        let cors = Cors::parse(&json!({ "origin": ["https://a.com"] })).expect("rules");
        assert!(cors.allows("https://a.com") && !cors.allows("https://a.com.evil.org"));
        let cors = Cors::parse(&json!({ "origin": "https://a.com" })).expect("rules");
        assert!(cors.allows("https://a.com") && !cors.allows("https://b.com"));
    }
}
