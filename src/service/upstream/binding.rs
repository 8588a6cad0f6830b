//! What BIND says: the options of the application's server that the daemon acts upon, each within bounds of ours.
//!
//! Deliberately absent: whoever obeys them (`hub/bound`).

use super::questions::is_token;
use crate::auth::Cors;
use serde_json::Value;

/// What BIND may have: options are few and short.
pub(super) const BIND_BYTES_MAX: usize = 64 << 10;
/// Times of the application, in milliseconds: less would be a storm of timers, more is never.
const TIME_MS: (u64, u64) = (10, 24 * 3600 * 1000);
/// The least that a message may have.
const PAYLOAD_BYTES_MIN: u64 = 64;
/// The path of requests, and what a cookie has.
const TEXT_BYTES_MAX: usize = 1024;
/// What applications serve that say nothing of it.
const PATH: &str = "/socket.io";

/// For which requests the application is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asks {
    #[default]
    None,
    Handshake,
    Every,
}

/// What it says of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Nothing: the operator says it alone.
    #[default]
    Unsaid,
    /// Rules.
    Rules(Cors),
    /// It decides case by case.
    Asked,
}

/// A cookie with the session's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) name: Box<str>,
    /// `; Path=/; HttpOnly`
    pub(crate) attributes: Box<str>,
}

/// The options. What the application does not say is as the operator wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    /// `/chat/`
    pub(crate) path: Option<String>,
    pub(crate) asks: Asks,
    pub(crate) origins: Origins,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) ping_interval_ms: Option<u32>,
    pub(crate) ping_timeout_ms: Option<u32>,
    pub(crate) upgrade_timeout_ms: Option<u32>,
    pub(crate) connect_timeout_ms: Option<u32>,
    pub(crate) payload_bytes_max: Option<u32>,
    pub(crate) has_polling: Option<bool>,
    pub(crate) has_websocket: Option<bool>,
    pub(crate) allows_upgrades: Option<bool>,
    /// It wants to hear of requests that are refused.
    pub(crate) hears_errors: bool,
    /// It has the files of Socket.IO's client.
    pub(crate) serves_client: bool,
}

impl Binding {
    /// What the JSON of a BIND says. What is not of the right shape is not said.
    pub(crate) fn parse(json: &str) -> Self {
        let json: Value = serde_json::from_str(json).unwrap_or_default();
        let opts = &json["opts"];
        let transports = opts["transports"].as_array();
        let has = |name: &str| transports.map(|them| them.iter().any(|one| one == name));
        Self {
            path: json["path"].as_str().and_then(path),
            asks: match json["rpc"].as_str() {
                Some("handshake") => Asks::Handshake,
                Some("every") => Asks::Every,
                _ => Asks::None,
            },
            origins: origins(&opts["cors"]),
            cookie: cookie(&opts["cookie"]),
            ping_interval_ms: time(&opts["pingInterval"]),
            ping_timeout_ms: time(&opts["pingTimeout"]),
            upgrade_timeout_ms: time(&opts["upgradeTimeout"]),
            connect_timeout_ms: time(&opts["connectTimeout"]),
            payload_bytes_max: number(
                &opts["maxHttpBufferSize"],
                PAYLOAD_BYTES_MIN,
                u32::MAX.into(),
            ),
            has_polling: has("polling"),
            has_websocket: has("websocket"),
            allows_upgrades: opts["allowUpgrades"].as_bool(),
            hears_errors: opts["connectionErrors"].as_bool() == Some(true),
            serves_client: opts["serveClient"].as_bool() == Some(true),
        }
    }
}

fn number(value: &Value, min: u64, max: u64) -> Option<u32> {
    let number = value.as_f64().filter(|number| *number >= 0.0)?;
    // A float of JavaScript, cut to what fits.
    Some((number as u64).clamp(min, max) as u32)
}

fn time(value: &Value) -> Option<u32> {
    number(value, TIME_MS.0, TIME_MS.1)
}

/// The path as it is compared: with one slash at either end. None for that which is meant when nothing is said.
fn path(said: &str) -> Option<String> {
    let bare = said.trim_matches('/');
    let is_plain = bare
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    let is_said = said != PATH && said.trim_end_matches('/') != PATH;
    (is_said && is_plain && !bare.is_empty() && bare.len() <= TEXT_BYTES_MAX)
        .then(|| format!("/{bare}/"))
}

fn origins(value: &Value) -> Origins {
    if value == "asked" {
        return Origins::Asked;
    }
    Cors::parse(value).map_or(Origins::Unsaid, Origins::Rules)
}

fn cookie(value: &Value) -> Option<Cookie> {
    let name = value["name"].as_str()?;
    let attributes = value["attributes"].as_str().unwrap_or("");
    let is_text = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let fits = (1..=TEXT_BYTES_MAX).contains(&name.len()) && attributes.len() <= TEXT_BYTES_MAX;
    let is_good = name.bytes().all(is_token) && attributes.bytes().all(is_text);
    (fits && is_good).then(|| Cookie {
        name: name.into(),
        attributes: attributes.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_within_bounds() {
        let said = r#"{"path":"/chat/","rpc":"every","parser":"default","opts":{"pingInterval":5,"pingTimeout":250.7,
            "maxHttpBufferSize":1e8,"transports":["websocket"],"allowUpgrades":false,"connectTimeout":1e300,
            "cookie":{"name":"io","attributes":"; Path=/"},"connectionErrors":true,"serveClient":true,"cors":"asked"}}"#;
        let binding = Binding::parse(said);
        assert_eq!(binding.path.as_deref(), Some("/chat/"));
        assert_eq!(
            (binding.asks, binding.origins),
            (Asks::Every, Origins::Asked)
        );
        assert_eq!(binding.ping_interval_ms, Some(10));
        assert_eq!(binding.ping_timeout_ms, Some(250));
        assert_eq!(binding.connect_timeout_ms, Some(24 * 3600 * 1000));
        assert_eq!(binding.payload_bytes_max, Some(100_000_000));
        assert_eq!(
            (binding.has_polling, binding.has_websocket),
            (Some(false), Some(true))
        );
        assert_eq!(
            (binding.allows_upgrades, binding.hears_errors),
            (Some(false), true)
        );
        assert!(binding.serves_client);
        assert_eq!(
            binding.cookie.expect("a cookie").attributes.as_ref(),
            "; Path=/"
        );
    }

    #[test]
    fn what_is_not_of_its_shape_is_not_said() {
        for said in [
            "",
            "[]",
            "{}",
            r#"{"opts":null}"#,
            r#"{"path":"/socket.io","rpc":"none","opts":{}}"#,
            r#"{"path":"/a b","rpc":7,"opts":{"pingInterval":"1","maxHttpBufferSize":null,"transports":"websocket","cors":7,"serveClient":"yes",
                "cookie":{"name":"a=b"},"allowUpgrades":1}}"#,
            r#"{"path":"//","opts":{"pingInterval":-1,"cookie":{"name":"a","attributes":"\r\nSet-Cookie: x"}}}"#,
        ] {
            assert_eq!(Binding::parse(said), Binding::default(), "{said}");
        }
    }
}
