//! What a shard of clients asks the application about requests, and what it hears.
//!
//! Deliberately absent: who answers (`asking`), and HTTP.

use super::mail::Ruling;
use crate::auth::Header;
use crate::hub::Key;
use crate::refusal::Refusal;
use crate::session::Sid;
use ringway_proto::link::HsResponse;
use std::collections::{BTreeMap, VecDeque};

/// Questions of a shard without an answer.
const QUESTIONS_MAX: usize = 4096;
/// Bytes of the headers that an application adds to an answer.
const HEADERS_BYTES_MAX: usize = 16 << 10;
/// The body of an answer: the largest that socket.io has are the maps of its client, of 0.3 MiB.
const BODY_BYTES_MAX: usize = 1 << 20;
/// What a name of a session may have that an application gives.
const SID_BYTES_MAX: usize = 256;
/// Headers that are about the connection or the body, which are ours.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "date",
    "trailer",
];

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) key: Key,
    /// What its session will be called, if it is to open one.
    pub(crate) sid: Option<Sid>,
}

/// What the application says.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The request may come in.
    Admitted(Admitted),
    /// It may not, and is answered so.
    Refused {
        status: u16,
        headers: Vec<Header>,
        body: Box<str>,
    },
    /// Nothing, or nothing that could be said.
    Failed(Refusal),
}

/// A request that may come in.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// What its session will be called.
    pub(crate) sid: Option<Sid>,
    /// What the application calls it.
    pub(crate) public_sid: Option<Box<str>>,
    /// Who let it in.
    pub(crate) worker: u64,
    /// For the answer.
    pub(crate) headers: Vec<Header>,
}

/// A request and what was said of it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) key: Key,
    pub(crate) verdict: Verdict,
}

/// A question's number, what decides who is asked, and its JSON.
pub(crate) type Unsaid = (u32, Option<u64>, Box<str>);

/// The questions of a shard.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    next: u32,
    open: BTreeMap<u32, Asked>,
    /// Those that found no ring space.
    pub(crate) unsaid: VecDeque<Unsaid>,
    /// Answers, which the end of the lap looks at.
    heard: Vec<Judged>,
}

impl Questions {
    /// A number for the question. `None`: there are too many.
    pub(crate) fn open(&mut self, asked: Asked) -> Option<u32> {
        if self.open.len() >= QUESTIONS_MAX {
            return None;
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(number, asked);
        Some(number)
    }

    /// # Panics
    /// When it was not asked, or answered before.
    pub(crate) fn hear(&mut self, number: u32, said: Ruling<'_>) {
        let asked = self.open.remove(&number);
        let asked = asked.expect("a question has one answer");
        let (key, verdict) = (asked.key, verdict(&asked, said));
        self.heard.push(Judged { key, verdict });
    }

    pub(crate) fn take_heard(&mut self) -> Vec<Judged> {
        core::mem::take(&mut self.heard)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

fn verdict(asked: &Asked, said: Ruling<'_>) -> Verdict {
    let (worker, json) = match said {
        Ruling::Answer { worker, json } => (worker, json),
        Ruling::Late => return Verdict::Failed(Refusal::NoAnswer),
        Ruling::Away => return Verdict::Failed(Refusal::NoWorker),
        Ruling::Failing => return Verdict::Failed(Refusal::WorkersFailing),
        Ruling::Busy => return Verdict::Failed(Refusal::Busy),
    };
    let answer = serde_json::from_str(json).expect("the exchange has parsed it");
    judged(asked, worker, &answer).unwrap_or(Verdict::Failed(Refusal::BadAnswer))
}

/// Whether a client could be told it, whatever it asked for: the links count answers by that, and have no sessions.
pub(super) fn can_be_said(answer: &HsResponse<'_>) -> bool {
    let sid = Sid::new([0, 0], 0, 0);
    let asked = Asked {
        key: Key::from_bits(0),
        sid: Some(sid),
    };
    judged(&asked, 0, answer).is_some()
}

/// `None`: it cannot be said to a client.
fn judged(asked: &Asked, worker: u64, answer: &HsResponse<'_>) -> Option<Verdict> {
    let headers = headers(answer)?;
    if !answer.ok {
        let status = answer.status.unwrap_or(403);
        let body = answer.body.as_deref().unwrap_or_default();
        let fits = (200..=599).contains(&status) && body.len() <= BODY_BYTES_MAX;
        return fits.then(|| Verdict::Refused {
            status,
            headers,
            body: body.into(),
        });
    }
    let public_sid = answer.sid.as_deref().filter(|_| asked.sid.is_some());
    let fits = public_sid.is_none_or(|sid| (1..=SID_BYTES_MAX).contains(&sid.len()));
    fits.then(|| {
        Verdict::Admitted(Admitted {
            sid: asked.sid,
            public_sid: public_sid.map(Into::into),
            worker,
            headers,
        })
    })
}

/// Whether a name may have the byte (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The headers that are the application's to say. `None`: they are too many, or none that HTTP has (RFC 9110 §5.1, §5.5).
fn headers(answer: &HsResponse<'_>) -> Option<Vec<Header>> {
    let said = answer.headers.as_deref().unwrap_or_default();
    let bytes: usize = said
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let is_good = |name: &str, value: &str| {
        let is_named = !name.is_empty() && name.bytes().all(is_token);
        is_named
            && !value
                .bytes()
                .any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f)
    };
    if bytes > HEADERS_BYTES_MAX || !said.iter().all(|(name, value)| is_good(name, value)) {
        return None;
    }
    let is_theirs = |name: &str| {
        let is_ours = OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name));
        !is_ours && !name.to_ascii_lowercase().starts_with("sec-websocket-")
    };
    let theirs = said.iter().filter(|(name, _)| is_theirs(name));
    Some(
        theirs
            .map(|(name, value)| (name.as_ref().into(), value.as_ref().into()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(json: &str) -> Verdict {
        let asked = Asked {
            key: Key::from_bits(7),
            sid: Some(Sid::new([1, 2], 0, 0)),
        };
        verdict(&asked, Ruling::Answer { worker: 3, json })
    }

    #[test]
    fn an_answer_adds_headers_that_are_not_ours() {
        let said = r#"{"ok":true,"headers":[["X-A","b"],["Content-Length","9"],["Sec-WebSocket-Accept","x"],["Set-Cookie","c=d"]],"sid":"mine"}"#;
        let Verdict::Admitted(admitted) = heard(said) else {
            panic!("it was let in");
        };
        let names: Vec<&str> = admitted.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["X-A", "Set-Cookie"]);
        assert_eq!(
            (admitted.worker, admitted.public_sid.as_deref()),
            (3, Some("mine"))
        );
    }

    #[test]
    fn a_refusal_is_said_as_the_application_says_it() {
        let Verdict::Refused { status, body, .. } =
            heard(r#"{"ok":false,"status":418,"body":"no"}"#)
        else {
            panic!("it was refused");
        };
        assert_eq!((status, &*body), (418, "no"));
        assert!(matches!(
            heard(r#"{"ok":false}"#),
            Verdict::Refused { status: 403, .. }
        ));
    }

    #[test]
    fn what_no_client_could_be_told_is_a_failure() {
        let long = format!(
            r#"{{"ok":true,"headers":[["a","{}"]]}}"#,
            "b".repeat(HEADERS_BYTES_MAX)
        );
        let named = format!(r#"{{"ok":true,"sid":"{}"}}"#, "s".repeat(SID_BYTES_MAX + 1));
        let body = |bytes| format!(r#"{{"ok":false,"body":"{}"}}"#, "b".repeat(bytes));
        assert!(matches!(
            heard(&body(BODY_BYTES_MAX)),
            Verdict::Refused { .. }
        ));
        let large = body(BODY_BYTES_MAX + 1);
        for said in [
            r#"{"ok":false,"status":101}"#,
            r#"{"ok":false,"status":600}"#,
            r#"{"ok":true,"headers":[["a b","c"]]}"#,
            r#"{"ok":true,"headers":[["","c"]]}"#,
            r#"{"ok":true,"headers":[["a","b\r\nSet-Cookie: c"]]}"#,
            &long,
            &named,
            &large,
        ] {
            assert!(
                matches!(heard(said), Verdict::Failed(Refusal::BadAnswer)),
                "{said}"
            );
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let mut questions = Questions::default();
        let asked = Asked {
            key: Key::from_bits(1),
            sid: None,
        };
        for _ in 0..QUESTIONS_MAX {
            assert!(questions.open(asked).is_some());
        }
        assert_eq!(questions.open(asked), None);
        questions.hear(0, Ruling::Late);
        assert!(questions.open(asked).is_some());
        assert!(matches!(
            questions.take_heard()[..],
            [Judged {
                verdict: Verdict::Failed(Refusal::NoAnswer),
                ..
            }]
        ));
    }
}
