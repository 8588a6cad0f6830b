//! Which key a token means: what its header says of that, and nothing else, is believed.
//!
//! Deliberately absent: keys themselves, and whether one of them signed anything.

use crate::refusal::Refusal;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use serde_json::json;
use std::collections::BTreeMap;

/// Bytes of a `kid`.
const KEY_ID_BYTES_MAX: usize = 128;

/// A key's `kid`, and what it signs with.
pub(super) struct Name {
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
}

/// The names of all keys, in their order.
pub(super) struct Naming {
    names: Vec<Name>,
    /// Headers as libraries write them for these keys, encoded, with what decoding each has said: nearly all tokens of an issuer begin
    /// with the same text.
    usual: BTreeMap<String, usize>,
}

impl Naming {
    pub(super) fn new(names: Vec<Name>) -> Self {
        let decoded = |header: String| decode(&names, &header).ok().map(|index| (header, index));
        let usual = names.iter().flat_map(usual_headers).filter_map(decoded);
        let usual = usual.collect();
        Self { names, usual }
    }

    /// The key that a token's header names, or the only one of its algorithm.
    pub(super) fn key_of(&self, header: &str) -> Result<usize, Refusal> {
        match self.usual.get(header) {
            Some(index) => Ok(*index),
            None => decode(&self.names, header),
        }
    }
}

/// What the key at an index is that an encoded header names.
fn decode(names: &[Name], header: &str) -> Result<usize, Refusal> {
    let header = BASE64_URL_SAFE_NO_PAD.decode(header);
    let header = header.map_err(|_| Refusal::TokenMalformed)?;
    // `alg: none` and unknown algorithms do not decode at all.
    let header: Header = serde_json::from_slice(&header).map_err(|_| Refusal::TokenMalformed)?;
    let kid = header.kid.as_deref();
    if kid.is_some_and(|kid| kid.len() > KEY_ID_BYTES_MAX) {
        return Err(Refusal::TokenMalformed);
    }
    // RFC 7515 §4.1.11: an extension that must be understood, and is not.
    if header.crit.is_some() {
        return Err(Refusal::TokenMalformed);
    }
    let index = only(names, |name| match kid {
        Some(kid) => kid == name.id,
        None => name.algorithm == header.alg,
    })?;
    // The key says the algorithm: a public key is never taken for a shared secret.
    if names[index].algorithm == header.alg {
        Ok(index)
    } else {
        Err(Refusal::TokenAlgorithm)
    }
}

/// The index of the one that is meant; none where several could be.
fn only(names: &[Name], is_meant: impl Fn(&Name) -> bool) -> Result<usize, Refusal> {
    let mut found = (0..names.len()).filter(|index| is_meant(&names[*index]));
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        _ => Err(Refusal::TokenUnknownKey),
    }
}

/// What libraries begin a token of that key with: `alg`, and mostly `typ` and `kid`, in one order or another, without spaces.
fn usual_headers(name: &Name) -> impl Iterator<Item = String> {
    let alg = format!("\"alg\":{}", json!(name.algorithm));
    let kid = format!("\"kid\":{}", json!(name.id));
    let typ = r#""typ":"JWT""#;
    let orders = [
        format!("{{{alg}}}"),
        format!("{{{alg},{typ}}}"),
        format!("{{{typ},{alg}}}"),
        format!("{{{alg},{kid}}}"),
        format!("{{{kid},{alg}}}"),
        format!("{{{alg},{typ},{kid}}}"),
        format!("{{{alg},{kid},{typ}}}"),
        format!("{{{typ},{alg},{kid}}}"),
        format!("{{{typ},{kid},{alg}}}"),
        format!("{{{kid},{alg},{typ}}}"),
        format!("{{{kid},{typ},{alg}}}"),
    ];
    orders.into_iter().map(|header| encoded(&header))
}

fn encoded(header: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naming(names: &[(&str, Algorithm)]) -> Naming {
        let name = |&(id, algorithm): &(&str, Algorithm)| Name {
            id: id.to_owned(),
            algorithm,
        };
        Naming::new(names.iter().map(name).collect())
    }

    /// What the library makes of a header of that text.
    fn library(header: &str) -> Result<Header, Refusal> {
        let token = format!("{}..", encoded(header));
        jsonwebtoken::decode_header(token).map_err(|_| Refusal::TokenMalformed)
    }

    #[track_caller]
    fn check_same(naming: &Naming, encoded: &str) -> Result<usize, Refusal> {
        let by_table = naming.key_of(encoded);
        assert_eq!(by_table, decode(&naming.names, encoded), "{encoded}");
        by_table
    }

    const MIXED: [(&str, Algorithm); 5] = [
        ("a", Algorithm::HS256),
        ("b\"\\\u{1}é", Algorithm::HS256),
        ("", Algorithm::RS256),
        ("HS256", Algorithm::ES256),
        ("d", Algorithm::EdDSA),
    ];

    #[test]
    fn what_libraries_write_is_known_and_names_what_decoding_names() {
        let naming = naming(&MIXED);
        for (index, name) in naming.names.iter().enumerate() {
            for (at, header) in usual_headers(name).enumerate() {
                let named = check_same(&naming, &header);
                // Two keys share a secret's algorithm: without a `kid` neither is meant.
                let is_nobodys = at < 3 && name.algorithm == Algorithm::HS256;
                let expected = (!is_nobodys).then_some(index);
                assert_eq!(named.ok(), expected, "{header}");
                assert_eq!(naming.usual.contains_key(&header), !is_nobodys);
            }
        }
    }

    #[test]
    fn an_only_key_is_known_without_its_name() {
        let naming = naming(&[("a", Algorithm::HS256), ("b", Algorithm::ES256)]);
        for (text, index) in [
            (r#"{"alg":"HS256","typ":"JWT"}"#, 0),
            (r#"{"typ":"JWT","alg":"HS256"}"#, 0),
            (r#"{"alg":"HS256"}"#, 0),
            (r#"{"typ":"JWT","alg":"ES256","kid":"b"}"#, 1),
        ] {
            assert_eq!(naming.usual.get(&encoded(text)), Some(&index), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_not_known() {
        let long = "k".repeat(KEY_ID_BYTES_MAX + 1);
        let naming = naming(&[(&long, Algorithm::HS256), ("b", Algorithm::HS256)]);
        for header in usual_headers(&naming.names[0]) {
            assert!(check_same(&naming, &header).is_err(), "{header}");
        }
    }

    #[test]
    fn what_the_library_mints_is_known() {
        let naming = naming(&MIXED);
        for (index, name) in naming.names.iter().enumerate() {
            let header = Header {
                kid: Some(name.id.clone()),
                ..Header::new(name.algorithm)
            };
            let header = encoded(&serde_json::to_string(&header).unwrap());
            assert_eq!(naming.usual.get(&header), Some(&index), "{}", name.id);
        }
    }

    /// Headers near those that are known: members of any number, order and spacing.
    fn near_headers() -> impl Strategy<Value = String> {
        let value = prop::sample::select(vec![
            "\"HS256\"",
            "\"ES256\"",
            "\"JWT\"",
            "\"a\"",
            "\"b\"",
            "\"\\u0061\"",
            "\"\"",
            "null",
            "[]",
        ]);
        let key = prop::sample::select(vec!["alg", "typ", "kid", "crit"]);
        let member = (key, "[ ]{0,1}", value)
            .prop_map(|(key, space, value)| format!("\"{key}\":{space}{value}"));
        prop::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(",")))
    }

    proptest! {
        #[test]
        fn any_header_names_the_same_by_table_and_by_decoding(
            near in near_headers(),
            wild in "[A-Za-z0-9_.=-]{0,80}",
            (key, order) in (0usize..5, 0usize..11),
            (at, byte) in (0usize..200, 0x21u8..0x7f),
        ) {
            let naming = naming(&MIXED);
            let known = usual_headers(&naming.names[key]).nth(order).unwrap();
            let mut changed = known.clone().into_bytes();
            let at = at % changed.len();
            changed[at] = byte;
            for header in [encoded(&near), known, String::from_utf8(changed).unwrap(), wild] {
                let _ = check_same(&naming, &header);
            }
        }

        #[test]
        fn a_header_is_read_as_the_library_reads_it(near in near_headers()) {
            let names = [Name { id: "a".to_owned(), algorithm: Algorithm::HS256 }];
            let named = decode(&names, &encoded(&near));
            let Ok(header) = library(&near) else {
                prop_assert_eq!(named, Err(Refusal::TokenMalformed));
                return Ok(());
            };
            let is_named = header.kid.is_none_or(|kid| kid == "a");
            let is_meant = is_named && header.alg == Algorithm::HS256 && header.crit.is_none();
            prop_assert_eq!(named.is_ok(), is_meant);
        }
    }
}
