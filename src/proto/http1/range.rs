//! Byte ranges: what a Range header asks for, and what of it a representation of some length has (RFC 9110 §14).
//!
//! Deliberately absent: units other than bytes, which are ignored as if the header were not there.

use core::ops::Range;

/// Ranges that one header may ask for; §14.2 lets a server refuse "many small ranges".
pub const RANGES_MAX: usize = 32;
/// A gap between two ranges that costs less to send than the head of another part (§15.3.7.2).
pub const GAP_BYTES_MAX: u64 = 128;

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything, with status 200: there is no range that we understand.
    Whole,
    /// These, with status 206: at least one, ascending, apart by more than [`GAP_BYTES_MAX`], none empty, none behind the end.
    Parts(Vec<Range<u64>>),
    /// Nothing, with status 416: no range has anything of the representation, or there are too many.
    None,
}

/// One range as it was asked for (§14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// From a byte to another, that included, or to the end.
    From(u64, Option<u64>),
    /// The last so many.
    Suffix(u64),
}

/// What of a representation of `length` bytes the value of a Range header selects.
///
/// A malformed value is ignored, as a unit that is unknown (§14.2). Ranges that overlap, or nearly touch, become one, so that what is sent is never more
/// than the representation and some heads.
#[must_use]
pub fn select_ranges(value: &str, length: u64) -> Selection {
    // §14.2: what has no content may be sent whole, whatever was asked for.
    if length == 0 {
        return Selection::Whole;
    }
    let Some(specs) = parse(value) else {
        return Selection::Whole;
    };
    if specs.len() > RANGES_MAX {
        return Selection::None;
    }
    let satisfied = specs.into_iter().filter_map(|spec| resolve(spec, length));
    let parts = coalesced(satisfied.collect());
    if parts.is_empty() {
        Selection::None
    } else {
        Selection::Parts(parts)
    }
}

/// At most one more than [`RANGES_MAX`], which is enough to see that there are too many.
fn parse(value: &str) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    // §5.6.1.2: a recipient accepts empty elements.
    for element in set.split(',').map(|text| text.trim_matches([' ', '\t'])) {
        if element.is_empty() {
            continue;
        }
        let spec = parse_spec(element)?;
        if specs.len() <= RANGES_MAX {
            specs.push(spec);
        }
    }
    (!specs.is_empty()).then_some(specs)
}

fn parse_spec(text: &str) -> Option<Spec> {
    let (first, last) = text.split_once('-')?;
    match (first, last) {
        ("", last) => Some(Spec::Suffix(number(last)?)),
        (first, "") => Some(Spec::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            // §14.1.1: a last position below the first makes the whole set invalid.
            (first <= last).then_some(Spec::From(first, Some(last)))
        }
    }
}

/// Digits only; what is larger than any file is as good as the largest number.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn resolve(spec: Spec, length: u64) -> Option<Range<u64>> {
    let range = match spec {
        Spec::From(first, last) => {
            first..last.map_or(length, |last| last.saturating_add(1).min(length))
        }
        Spec::Suffix(bytes) => length.saturating_sub(bytes)..length,
    };
    (range.start < range.end).then_some(range)
}

fn coalesced(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(before) if range.start <= before.end.saturating_add(GAP_BYTES_MAX) => {
                before.end = before.end.max(range.end);
            }
            _ => out.push(range),
        }
    }
    out
}

/// The value of a Content-Range header for a part (§14.4).
#[must_use]
pub fn content_range(part: &Range<u64>, length: u64) -> String {
    format!(
        "bytes {}-{}/{length}",
        part.start,
        part.end.saturating_sub(1)
    )
}

/// The value of a Content-Range header of a 416 (§14.4).
#[must_use]
pub fn unsatisfied_range(length: u64) -> String {
    format!("bytes */{length}")
}
