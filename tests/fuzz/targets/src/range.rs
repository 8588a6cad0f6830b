//! Range headers: what is selected is what an independent reading of the same text asks for, and the rest of a request's conditions keeps its order.

use crate::input::{Input, text_of};
use ringway_proto::http1::{
    Accepted, Bounds, Coding, EntityTag, GAP_BYTES_MAX, Precondition, Request, Selection,
    Validators, evaluate, parse_head, select_ranges,
};

const BOUNDS: Bounds = Bounds {
    head_bytes_max: 8192,
    body_bytes_max: 0,
};

/// Two bytes that say how long the file is, then the value of a Range header; or header lines of a request.
pub fn range(data: &[u8]) {
    let mut input = Input::new(data);
    let length = usize::from(u16::from_be_bytes([input.byte(), input.byte()])) % 3000;
    let text = text_of(input.rest());
    check_selection(text, length);
    conditions(text);
}

fn check_selection(value: &str, length: usize) {
    let asked = asked(value, length);
    match select_ranges(value, length as u64) {
        Selection::Whole => assert!(asked.is_none() || length == 0, "{value}"),
        Selection::None => {
            let (bytes, ranges) = asked.expect("what is refused is understood");
            assert!(ranges > 32 || !bytes.contains(&true), "{value}");
        }
        Selection::Parts(parts) => {
            let (bytes, ranges) = asked.expect("what is selected is understood");
            assert!(ranges <= 32 && !parts.is_empty());
            let mut sent = vec![false; length];
            let mut end = None;
            for part in parts {
                let start = part.start as usize;
                assert!(part.start < part.end);
                assert!(end.is_none_or(|end| part.start > end + GAP_BYTES_MAX));
                assert!(bytes[start] && bytes[part.end as usize - 1]);
                sent[start..part.end as usize].fill(true);
                end = Some(part.end);
            }
            check_cover(&bytes, &sent);
        }
    }
}

/// Every byte that was asked for is sent, and of others only short runs between them.
fn check_cover(asked: &[bool], sent: &[bool]) {
    let mut run = 0;
    for (asked, sent) in asked.iter().zip(sent) {
        assert!(*sent || !asked);
        run = if *sent && !asked { run + 1 } else { 0 };
        assert!(run <= GAP_BYTES_MAX);
    }
}

/// Which bytes of the file the header asks for, and by how many ranges; `None`: it says nothing.
fn asked(value: &str, length: usize) -> Option<(Vec<bool>, usize)> {
    let lower = value.to_ascii_lowercase();
    let set = lower.strip_prefix("bytes=")?;
    let (mut bytes, mut ranges) = (vec![false; length], 0);
    for element in set.split(',') {
        let element = element.trim_matches([' ', '\t']);
        if element.is_empty() {
            continue;
        }
        ranges += 1;
        let dash = element.find('-')?;
        let (first, last) = (&element[..dash], &element[dash + 1..]);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
            return None;
        }
        // More digits than any length of this target has are as good as a large number.
        let value = |text: &str| -> u128 { text.parse::<u128>().unwrap_or(u128::MAX) };
        let last_at = if last.is_empty() {
            u128::MAX
        } else {
            value(last)
        };
        if !first.is_empty() && value(first).min(u64::MAX.into()) > last_at.min(u64::MAX.into()) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let from_end = (length - at) as u128;
            *byte |= if first.is_empty() {
                from_end <= value(last)
            } else {
                at as u128 >= value(first) && at as u128 <= last_at
            };
        }
    }
    (ranges > 0).then_some((bytes, ranges))
}

fn request(method: &str, lines: &str) -> Option<Request> {
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
    parse_head(head.as_bytes(), &BOUNDS)
        .ok()?
        .map(|parsed| parsed.0)
}

/// The text as header lines.
fn conditions(text: &str) {
    let own = Validators {
        etag: EntityTag {
            is_weak: false,
            opaque: "a",
        },
        modified_unix_seconds: 784_111_777,
    };
    let lines = text.trim_end_matches(['\r', '\n']);
    let verdict = |method| request(method, lines).map(|it| (evaluate(&it, &own, u64::MAX), it));
    let Some((got, request)) = verdict("GET") else {
        return;
    };
    let names = |name: &str| request.header(name).is_some();
    match got {
        Precondition::Passed { ranges_apply } => assert!(!ranges_apply || names("range")),
        Precondition::NotModified => {
            assert!(names("if-none-match") || names("if-modified-since"));
        }
        Precondition::Failed => assert!(names("if-match") || names("if-unmodified-since")),
    }
    let (for_head, _) = verdict("HEAD").expect("the same lines");
    match for_head {
        Precondition::Passed { ranges_apply } => {
            assert!(!ranges_apply && matches!(got, Precondition::Passed { .. }));
        }
        other => assert_eq!(other, got),
    }
    let (for_delete, _) = verdict("DELETE").expect("the same lines");
    assert_ne!(for_delete, Precondition::NotModified);
    check_codings(&request);
}

fn check_codings(request: &Request) {
    let ranked: Vec<Coding> = Accepted::of(request).ranked().collect();
    assert!(ranked.contains(&Coding::Identity));
    let mut single = ranked.clone();
    single.sort_unstable();
    single.dedup();
    assert_eq!(single.len(), ranked.len());
    let header = request.header("accept-encoding").unwrap_or_default();
    let is_free = ranked.len() > 1 && !header.contains('*') && !header.is_empty();
    let all: String = request.headers("accept-encoding").collect();
    for coding in ranked.iter().filter(|_| is_free && !all.contains('*')) {
        let named = all.to_ascii_lowercase().contains(coding.name());
        assert!(named || *coding == Coding::Identity, "{all}: {coding:?}");
    }
}
