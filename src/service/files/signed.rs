//! URLs that are a permission by themselves: signed, for one path and one class of methods, until a time, perhaps for one use.
//!
//! `/files/a.pdf?download=Report.pdf&rw-once=0f…&rw-sub=anna&rw-exp=1735689600&rw-key=2025&rw-sig=…`: the signature is HMAC-SHA-256 over all of it but
//! itself, so that nothing can be changed, taken away or added. One for writing names its subject, and with `rw-room` a pattern of the rooms that uploads by
//! it may name.
//!
//! Deliberately absent: which ids were used (`once.rs`), and randomness: the caller brings the id of a one-time URL.

use super::Refused;
use crate::refusal::Refusal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::fmt::Write as _;
use ringway_proto::http1::{Request, escape_path, escape_query};
use std::borrow::Cow;

/// Keys at a time: the one that signs, and those whose URLs still live.
const KEYS_MAX: usize = 16;
/// RFC 2104 §3: as long as the digest.
const SECRET_BYTES_MIN: usize = 32;
const KEY_ID_BYTES_MAX: usize = 64;
const SUBJECT_BYTES_MAX: usize = 256;
/// 2286, and as many digits as one can want.
const EXPIRES_DIGITS_MAX: usize = 10;
const ROOMS_BYTES_MAX: usize = 256;
/// All parameters that a signed URL may have.
const PARAMETERS: [&str; 7] = [
    "download", "rw-once", "rw-sub", "rw-room", "rw-exp", "rw-key", "rw-sig",
];

/// What a URL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlClass {
    /// GET and HEAD of a file.
    Read,
    /// Creating, continuing and ending uploads.
    Write,
}

impl UrlClass {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What a URL permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// What for.
    pub class: UrlClass,
    /// The whole path, not escaped: `/files/a b.pdf`.
    pub path: &'a str,
    /// Until when.
    pub expires_unix_seconds: u64,
    /// The name to save under; an empty one is the file's own.
    pub download: Option<&'a str>,
    /// For whom: whose limits count.
    pub subject: Option<&'a str>,
    /// Rooms that an upload may name, as a pattern of a token's; none without it.
    pub rooms: Option<&'a str>,
    /// An id that is used once; of the caller's randomness.
    pub once: Option<u128>,
}

/// What a verified URL permits, besides its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// For whom. A URL for writing always says it.
    pub subject: Option<String>,
    /// Rooms that an upload may name.
    pub rooms: Option<String>,
    /// The id that this use uses up. A HEAD uses nothing up.
    pub once: Option<u128>,
    /// Until when.
    pub expires_unix_seconds: u64,
}

struct UrlKey {
    id: String,
    key: hmac::Key,
}

/// Keys that sign URLs: the first signs, all verify, so that a new one can come before the old one goes.
pub struct UrlKeys(Vec<UrlKey>);

impl UrlKeys {
    /// Keys by id and secret, the one that signs first. `None`: there are none or too many, two have the same id, or one is too short or ill named.
    #[must_use]
    pub fn new(keys: &[(String, Vec<u8>)]) -> Option<Self> {
        let fits =
            |(id, secret): &(String, Vec<u8>)| is_key_id(id) && secret.len() >= SECRET_BYTES_MIN;
        let is_single = |index: usize| keys[..index].iter().all(|(id, _)| *id != keys[index].0);
        let is_good = (1..=KEYS_MAX).contains(&keys.len())
            && keys.iter().all(fits)
            && (0..keys.len()).all(is_single);
        let key = |(id, secret): &(String, Vec<u8>)| UrlKey {
            id: id.clone(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        };
        is_good.then(|| Self(keys.iter().map(key).collect()))
    }

    /// The URL, without scheme and host.
    #[must_use]
    pub fn mint(&self, grant: &Grant<'_>) -> String {
        let signer = &self.0[0];
        let signature = hmac::sign(&signer.key, &transcript(&signer.id, grant));
        let mut url = escape_path(grant.path);
        url.push('?');
        if let Some(name) = grant.download {
            let _ = write!(url, "download={}&", escape_query(name));
        }
        if let Some(once) = grant.once {
            let _ = write!(url, "rw-once={once:032x}&");
        }
        if let Some(subject) = grant.subject {
            let _ = write!(url, "rw-sub={}&", escape_query(subject));
        }
        if let Some(rooms) = grant.rooms {
            let _ = write!(url, "rw-room={}&", escape_query(rooms));
        }
        let (expires, id) = (grant.expires_unix_seconds, &signer.id);
        let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
        let _ = write!(url, "rw-exp={expires}&rw-key={id}&rw-sig={signature}");
        url
    }

    /// Whom a request's URL says that it is for, which nobody has verified; `None` when it is not a signed one.
    #[must_use]
    pub fn claimed_subject(request: &Request) -> Option<String> {
        is_signed(&request.query)
            .then(|| request.parameter("rw-sub").unwrap_or_default().into_owned())
    }

    /// What a request's URL permits; `None` when it is not a signed one. `path` is the request's, decoded.
    ///
    /// # Errors
    /// [`Refused`] with 403 for everything that we did not sign just so, and 410 for what has expired.
    pub fn verify(
        &self,
        request: &Request,
        class: UrlClass,
        path: &str,
        now_unix_seconds: u64,
    ) -> Result<Option<Granted>, Refused> {
        if !is_signed(&request.query) {
            return Ok(None);
        }
        let granted = self.granted(request, class, path);
        let granted = granted.ok_or_else(|| Refused::new(403, Refusal::UrlSignature))?;
        if granted.expires_unix_seconds <= now_unix_seconds {
            return Err(Refused::new(410, Refusal::UrlExpired));
        }
        Ok(Some(granted))
    }

    fn granted(&self, request: &Request, class: UrlClass, path: &str) -> Option<Granted> {
        if !are_known_and_single(&request.query) {
            return None;
        }
        let id = request.parameter("rw-key")?;
        let signer = self.0.iter().find(|signer| signer.id == id)?;
        let signature = request.parameter("rw-sig")?;
        let signature = URL_SAFE_NO_PAD.decode(&*signature).ok()?;
        let download = request.parameter("download");
        let subject = request.parameter("rw-sub");
        let rooms = request.parameter("rw-room");
        let once = match request.parameter("rw-once") {
            Some(digits) => Some(once_of(&digits)?),
            None => None,
        };
        let grant = Grant {
            class,
            path,
            expires_unix_seconds: seconds_of(&request.parameter("rw-exp")?)?,
            download: download.as_deref(),
            subject: subject.as_deref(),
            rooms: rooms.as_deref(),
            once,
        };
        // Takes the same time wherever a wrong signature differs.
        hmac::verify(&signer.key, &transcript(&id, &grant), &signature).ok()?;
        let expires_unix_seconds = grant.expires_unix_seconds;
        let subject = subject.filter(|subject| subject.len() <= SUBJECT_BYTES_MAX);
        let rooms = rooms.filter(|rooms| rooms.len() <= ROOMS_BYTES_MAX);
        let granted = Granted {
            once,
            expires_unix_seconds,
            subject: subject.map(Cow::into_owned),
            rooms: rooms.map(Cow::into_owned),
        };
        // Uploads of nobody would be those of everybody who has such a URL.
        let is_named = granted.subject.as_deref().is_some_and(|it| !it.is_empty());
        (class == UrlClass::Read || is_named).then_some(granted)
    }
}

fn is_key_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

fn keys_of(query: &str) -> impl Iterator<Item = &str> {
    let pairs = query.split('&');
    pairs.map(|pair| pair.split_once('=').map_or(pair, |(key, _)| key))
}

/// Whether anything in a query says that the URL was signed. One that lost its signature is a wrong one, not one without.
fn is_signed(query: &str) -> bool {
    keys_of(query).any(|key| key.starts_with("rw-"))
}

/// What stands twice is read differently by everybody; what is unknown was not signed.
fn are_known_and_single(query: &str) -> bool {
    let mut seen = [false; PARAMETERS.len()];
    keys_of(query).all(|key| {
        let place = PARAMETERS.iter().position(|known| *known == key);
        place.is_some_and(|place| !core::mem::replace(&mut seen[place], true))
    })
}

/// One way to write each number, so that one URL is one text.
fn seconds_of(digits: &str) -> Option<u64> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = (1..=EXPIRES_DIGITS_MAX).contains(&digits.len());
    let seconds: u64 = digits.parse().ok().filter(|_| is_plain && is_short)?;
    (seconds.to_string() == digits).then_some(seconds)
}

fn once_of(digits: &str) -> Option<u128> {
    let id = u128::from_str_radix(digits, 16).ok()?;
    (format!("{id:032x}") == digits).then_some(id)
}

/// Every field behind its length, and whether it is there, so that no two grants read the same.
fn transcript(key_id: &str, grant: &Grant<'_>) -> Vec<u8> {
    let expires = grant.expires_unix_seconds.to_string();
    let once = grant.once.map(|once| format!("{once:032x}"));
    let fields = [
        Some(key_id),
        Some(grant.class.name()),
        Some(grant.path),
        Some(&expires),
        grant.download,
        grant.subject,
        once.as_deref(),
    ];
    let mut bytes = b"ringway url/1".to_vec();
    for field in fields {
        append(&mut bytes, field);
    }
    // It came later: URLs without it are signed as ever, and none of them reads like one with it, which is longer by a field.
    if grant.rooms.is_some() {
        append(&mut bytes, grant.rooms);
    }
    bytes
}

fn append(bytes: &mut Vec<u8>, field: Option<&str>) {
    let text = field.unwrap_or_default();
    bytes.push(u8::from(field.is_some()));
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_proto::http1::{Bounds, parse_head};

    const NOW: u64 = 1_700_000_000;

    fn keys(ids: &[(&str, u8)]) -> UrlKeys {
        let keys = ids
            .iter()
            .map(|(id, byte)| ((*id).to_owned(), vec![*byte; 32]));
        UrlKeys::new(&keys.collect::<Vec<_>>()).unwrap()
    }

    const GRANT: Grant<'_> = Grant {
        class: UrlClass::Read,
        path: "/files/a b.pdf",
        expires_unix_seconds: NOW + 60,
        download: Some("Ünder 100%&more.pdf"),
        subject: Some("anna"),
        rooms: Some("order:*"),
        once: Some(7),
    };

    fn request(url: &str) -> Request {
        let head = format!("GET {url} HTTP/1.1\r\nHost: a\r\n\r\n");
        let bounds = Bounds {
            head_bytes_max: 8192,
            body_bytes_max: 0,
        };
        parse_head(head.as_bytes(), &bounds).unwrap().unwrap().0
    }

    fn verify(keys: &UrlKeys, url: &str) -> Result<Option<Granted>, u16> {
        let verdict = keys.verify(&request(url), UrlClass::Read, GRANT.path, NOW);
        verdict.map_err(|refused| refused.status)
    }

    #[test]
    fn a_minted_url_is_what_it_grants() {
        let keys = keys(&[("a", 1)]);
        let granted = Granted {
            subject: Some("anna".to_owned()),
            rooms: Some("order:*".to_owned()),
            once: Some(7),
            expires_unix_seconds: NOW + 60,
        };
        assert_eq!(verify(&keys, &keys.mint(&GRANT)), Ok(Some(granted)));
        let bare = Grant {
            download: None,
            subject: None,
            rooms: None,
            once: None,
            ..GRANT
        };
        let granted = verify(&keys, &keys.mint(&bare)).unwrap().unwrap();
        assert_eq!((granted.subject, granted.once), (None, None));
        assert_eq!(granted.rooms, None);
    }

    #[test]
    fn whoever_writes_has_a_name() {
        let keys = keys(&[("a", 1)]);
        let long = "x".repeat(SUBJECT_BYTES_MAX + 1);
        for (subject, is_good) in [
            (Some("anna"), true),
            (None, false),
            (Some(""), false),
            (Some(&*long), false),
        ] {
            for class in [UrlClass::Read, UrlClass::Write] {
                let grant = Grant {
                    class,
                    subject,
                    once: None,
                    ..GRANT
                };
                let request = request(&keys.mint(&grant));
                let granted = keys.verify(&request, class, GRANT.path, NOW);
                let expected = is_good || class == UrlClass::Read;
                assert_eq!(granted.is_ok(), expected, "{class:?} {subject:?}");
            }
        }
    }

    /// Computed by Python's hmac module over the transcript's fields.
    #[test]
    fn a_signature_is_what_others_compute() {
        let url = keys(&[("a", 1)]).mint(&Grant {
            class: UrlClass::Read,
            path: "/files/a",
            expires_unix_seconds: 1_700_000_060,
            download: None,
            subject: Some("anna"),
            rooms: None,
            once: None,
        });
        assert_eq!(
            url,
            "/files/a?rw-sub=anna&rw-exp=1700000060&rw-key=a&rw-sig=d8P_eLJ1imIEkSgVAL1vyX6CjkpyhjD3JkgQyvOxT2o"
        );
    }

    #[test]
    fn nothing_can_be_changed() {
        let keys = keys(&[("a", 1)]);
        let url = keys.mint(&GRANT);
        let (path, query) = url.split_once('?').unwrap();
        let pairs: Vec<&str> = query.split('&').collect();
        for (index, pair) in pairs.iter().enumerate() {
            let without: Vec<&str> = pairs.iter().copied().filter(|it| it != pair).collect();
            let without = format!("{path}?{}", without.join("&"));
            assert_eq!(verify(&keys, &without), Err(403), "without {pair}");
            assert_eq!(verify(&keys, &format!("{url}&{pair}")), Err(403), "{pair}");
            let mut changed: Vec<String> = pairs.iter().map(|it| (*it).to_owned()).collect();
            changed[index].push('0');
            let changed = format!("{path}?{}", changed.join("&"));
            assert_eq!(verify(&keys, &changed), Err(403), "{changed}");
        }
        assert_eq!(verify(&keys, &format!("{url}&v=1")), Err(403));
        assert_eq!(verify(&keys, "/files/a?v=1"), Ok(None));
        assert_eq!(verify(&keys, "/files/a?download=x"), Ok(None));
        let read = request(&url);
        for (class, path) in [(UrlClass::Write, GRANT.path), (UrlClass::Read, "/files/a")] {
            assert!(keys.verify(&read, class, path, NOW).is_err(), "{path}");
        }
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        for digits in ["", "+1", "01", "1 ", "10000000000", "-1", "1e3"] {
            assert_eq!(seconds_of(digits), None, "{digits}");
        }
        for digits in ["7", "+7", "0000000000000000000000000000000G"] {
            assert_eq!(once_of(digits), None, "{digits}");
        }
        assert_eq!(once_of(&format!("{:032X}", 10)), None);
    }

    #[test]
    fn time_ends_it() {
        let keys = keys(&[("a", 1)]);
        let request = request(&keys.mint(&GRANT));
        let at = |now| {
            let verdict = keys.verify(&request, UrlClass::Read, GRANT.path, now);
            verdict.map_err(|refused| refused.refusal)
        };
        assert!(at(NOW + 59).is_ok());
        assert_eq!(at(NOW + 60), Err(Refusal::UrlExpired));
    }

    #[test]
    fn keys_come_and_go() {
        let url = keys(&[("old", 1)]).mint(&GRANT);
        assert!(verify(&keys(&[("new", 2), ("old", 1)]), &url).is_ok());
        assert_eq!(verify(&keys(&[("new", 2)]), &url), Err(403));
        // A key of the same name and another secret is another key.
        assert_eq!(verify(&keys(&[("old", 2)]), &url), Err(403));
        let minted = keys(&[("new", 2), ("old", 1)]).mint(&GRANT);
        assert!(minted.contains("rw-key=new"));
        for wrong in [
            vec![],
            vec![("a".to_owned(), vec![1; 31])],
            vec![("".to_owned(), vec![1; 32])],
            vec![("a&b".to_owned(), vec![1; 32])],
            vec![("a".to_owned(), vec![1; 32]), ("a".to_owned(), vec![2; 32])],
        ] {
            assert!(UrlKeys::new(&wrong).is_none());
        }
    }
}
