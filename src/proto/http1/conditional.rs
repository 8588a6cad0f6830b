//! Preconditions in the order of RFC 9110 §13.2.2.
//!
//! Deliberately absent: what a resource without a representation answers; those who ask have found one.

use super::etag::{Comparison, EntityTag, list_has};
use super::{Request, parse_date};

/// What is known of the representation that would be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Its tag.
    pub etag: EntityTag<'a>,
    /// When it was last changed, in whole Unix seconds.
    pub modified_unix_seconds: u64,
}

/// What a request's preconditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The request is served.
    Passed {
        /// Whether its Range counts; otherwise it gets everything.
        ranges_apply: bool,
    },
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks.
    Failed,
}

/// Evaluates the preconditions of a request on an existing representation. `now_unix_seconds` says which dates are strong validators.
#[must_use]
pub fn evaluate(request: &Request, own: &Validators<'_>, now_unix_seconds: u64) -> Precondition {
    let reads = matches!(request.method.as_str(), "GET" | "HEAD");
    if is_stale(request, own) {
        return Precondition::Failed;
    }
    if is_known(request, own, reads) {
        return if reads {
            Precondition::NotModified
        } else {
            Precondition::Failed
        };
    }
    // §14.2: Range is defined for GET alone.
    let ranges_apply = request.method == "GET"
        && single(request, "range").is_some()
        && if_range_holds(request, own, now_unix_seconds);
    Precondition::Passed { ranges_apply }
}

/// The value of a header that may come once; two are read differently by everybody.
fn single<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut values = request.headers(name);
    values.next().filter(|_| values.next().is_none())
}

fn any_list_has(request: &Request, name: &str, own: &Validators<'_>, by: Comparison) -> bool {
    request
        .headers(name)
        .any(|list| list_has(list, &own.etag, by))
}

/// Steps 1 and 2: If-Match, or else If-Unmodified-Since.
fn is_stale(request: &Request, own: &Validators<'_>) -> bool {
    if request.header("if-match").is_some() {
        return !any_list_has(request, "if-match", own, Comparison::Strong);
    }
    // §13.1.4: ignored unless it is a date.
    let since = single(request, "if-unmodified-since").and_then(parse_date);
    since.is_some_and(|since| own.modified_unix_seconds > since)
}

/// Steps 3 and 4: If-None-Match, or else If-Modified-Since.
fn is_known(request: &Request, own: &Validators<'_>, reads: bool) -> bool {
    if request.header("if-none-match").is_some() {
        return any_list_has(request, "if-none-match", own, Comparison::Weak);
    }
    // §13.1.3: ignored unless it is a date and the method reads.
    let since = single(request, "if-modified-since").and_then(parse_date);
    reads && since.is_some_and(|since| own.modified_unix_seconds <= since)
}

/// Step 5. Anything but one strong validator that is ours gives everything: a client must never join halves of two files.
fn if_range_holds(request: &Request, own: &Validators<'_>, now_unix_seconds: u64) -> bool {
    if request.header("if-range").is_none() {
        return true;
    }
    let Some(value) = single(request, "if-range") else {
        return false;
    };
    if let Some(tag) = EntityTag::parse(value) {
        return tag.matches(&own.etag, Comparison::Strong);
    }
    // §8.8.2.2: a date is weak as long as its second may see another change.
    let is_strong = own.modified_unix_seconds < now_unix_seconds.saturating_sub(1);
    is_strong && parse_date(value) == Some(own.modified_unix_seconds)
}
