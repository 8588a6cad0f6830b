//! Upload-Metadata: keys and base64 values, which come back as they were sent.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Bytes of the header.
const HEADER_BYTES_MAX: usize = 4096;
const PAIRS_MAX: usize = 32;
const KEY_BYTES_MAX: usize = 128;

/// Keys and values, and the text that they came in: visible ASCII, fit for a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    raw: String,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    /// The metadata in a header; `None` when it is malformed or too large, or has a key twice.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > HEADER_BYTES_MAX {
            return None;
        }
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        // A header without anything in it says that there is nothing.
        for element in value.split(',').filter(|_| !value.is_empty()) {
            let (key, data) = parse_pair(element.trim_matches(' '))?;
            if pairs.len() == PAIRS_MAX || pairs.iter().any(|(other, _)| other == key) {
                return None;
            }
            pairs.push((key.to_owned(), data));
        }
        let raw = value.to_owned();
        Some(Self { raw, pairs })
    }

    /// The header's value.
    #[must_use]
    pub fn as_header(&self) -> &str {
        &self.raw
    }

    /// The value of a key, if it is there and text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let (_, data) = self.pairs.iter().find(|(other, _)| other == key)?;
        core::str::from_utf8(data).ok()
    }

    /// All pairs, in their order.
    #[must_use]
    pub fn pairs(&self) -> &[(String, Vec<u8>)] {
        &self.pairs
    }
}

fn parse_pair(element: &str) -> Option<(&str, Vec<u8>)> {
    let (key, value) = element.split_once(' ').unwrap_or((element, ""));
    let is_key =
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let data = BASE64_STANDARD.decode(value.trim_matches(' ')).ok()?;
    is_key.then_some((key, data))
}
