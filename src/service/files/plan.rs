//! The answer to a request for a file that was found.

use super::disposition::attachment;
use super::representation::Representation;
use super::{FilesSettings, Form, Media, Refused, Root, Stat, Wanted};
use crate::auth::Header;
use crate::refusal::Refusal;
use core::ops::Range;
use ringway_proto::http1::{
    Coding, EntityTag, Precondition, Request, Response, Selection, Validators, content_range,
    evaluate, format_date, select_ranges, unsatisfied_range,
};
use std::borrow::Cow;

/// The URL that let somebody in, if it was a signed one: nobody else may be given its answer out of a cache, nor anybody once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedUrl {
    /// Until when it is good.
    pub expires_unix_seconds: u64,
    /// Whether it is good once.
    pub is_once: bool,
}

/// What is known besides the files.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The request.
    pub request: &'a Request,
    /// What [`FilesSettings::wanted`] made of it.
    pub wanted: &'a Wanted,
    /// Now.
    pub now_unix_seconds: u64,
    /// Random bits, which part the ranges of a multipart body: no file has them in it.
    pub boundary: u128,
    /// Headers that every answer to this request has.
    pub headers: &'a [Header],
    /// Whether the connection may stay open.
    pub keep_alive: bool,
    /// With which URL.
    pub signed: Option<SignedUrl>,
}

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These of the file.
    File(Range<u64>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its status.
    pub status: u16,
    /// Status line and headers, with the empty line; the date comes to it when it goes out.
    pub head: Vec<u8>,
    /// The body, in order; empty for HEAD, 304 and files of no bytes.
    pub body: Vec<Segment>,
    /// Which file the body's segments are of: the one that was asked for, or its sibling of this coding.
    pub stored: Coding,
    /// The body is to be encoded so on the way, and sent in chunks if [`Self::is_chunked`]. It is the whole file then.
    pub compress: Option<Coding>,
    /// The body's segments are of what the file was compressed to before, so.
    pub encoded: Option<Coding>,
    /// The body is to be framed in chunks, with the last of no bytes behind it (RFC 9112 §7.1).
    pub is_chunked: bool,
    /// Whether the connection stays open behind it.
    pub keep_alive: bool,
    /// Why the client does not get what it asked for; to be counted.
    pub refusal: Option<Refusal>,
}

impl Plan {
    fn refused(refused: &Refused, facts: &Facts<'_>) -> Self {
        let is_head = facts.request.method == "HEAD";
        Self {
            status: refused.status,
            head: refused.answer(facts.headers, is_head, facts.keep_alive),
            body: Vec::new(),
            stored: Coding::Identity,
            compress: None,
            encoded: None,
            is_chunked: false,
            keep_alive: facts.keep_alive,
            refusal: Some(refused.refusal),
        }
    }
}

/// Plans the answer: `file` is what was asked for, `siblings` are those of [`Wanted::siblings`] that are regular files. `encoded` says what there is of
/// the file in a coding that it may be compressed to on the way.
#[must_use]
pub fn respond(
    settings: &FilesSettings,
    facts: &Facts<'_>,
    file: &Stat,
    siblings: &[(Coding, Stat)],
    encoded: &dyn Fn(Coding) -> Form,
) -> Plan {
    let root = &settings.roots()[facts.wanted.root];
    let media = Media::of(facts.wanted.path.name());
    let chosen = Representation::choose(
        settings,
        root,
        media,
        facts.request,
        file,
        siblings,
        encoded,
    );
    let opaque = chosen.opaque_tag();
    let answer = Answer {
        facts,
        root,
        media,
        chosen: &chosen,
        etag: EntityTag {
            is_weak: chosen.compress.is_some(),
            opaque: &opaque,
        },
    };
    answer.plan()
}

/// Everything that the parts of an answer are made of.
struct Answer<'a> {
    facts: &'a Facts<'a>,
    root: &'a Root,
    media: Media,
    chosen: &'a Representation,
    etag: EntityTag<'a>,
}

impl Answer<'_> {
    fn plan(&self) -> Plan {
        let facts = self.facts;
        let own = Validators {
            etag: self.etag,
            modified_unix_seconds: self.modified_unix_seconds(),
        };
        match evaluate(facts.request, &own, facts.now_unix_seconds) {
            Precondition::Failed => Plan::refused(&Refused::new(412, Refusal::FileChanged), facts),
            Precondition::NotModified => self.not_modified(),
            Precondition::Passed { ranges_apply: true } => self.ranges(),
            Precondition::Passed {
                ranges_apply: false,
            } => self.whole(),
        }
    }

    fn ranges(&self) -> Plan {
        let length = self.chosen.stat.bytes;
        let value = self.facts.request.header("range").unwrap_or_default();
        match select_ranges(value, length) {
            Selection::Whole => self.whole(),
            Selection::Parts(parts) if parts.len() == 1 => self.part(&parts[0]),
            Selection::Parts(parts) => self.parts(&parts),
            Selection::None => {
                let refused = Refused::new(416, Refusal::FileRange);
                let refused = refused.with("Content-Range", unsatisfied_range(length));
                Plan::refused(&refused, self.facts)
            }
        }
    }

    /// RFC 9110 §15.4.5: the headers that a cache keeps, and no length.
    fn not_modified(&self) -> Plan {
        let head = self.validators(Response::new(304));
        let head = head.without_length(self.facts.keep_alive);
        self.finish(304, head, Vec::new())
    }

    fn whole(&self) -> Plan {
        let length = self.chosen.encoded_bytes;
        let length = length.unwrap_or(self.chosen.stat.bytes);
        let response = self.described(Response::new(200), self.media.content_type);
        let body = vec![Segment::File(0..length)];
        if self.chosen.compress.is_none() || self.chosen.encoded_bytes.is_some() {
            return self.measured(200, response, body);
        }
        let response = response.header("Transfer-Encoding", "chunked");
        let head = response.without_length(self.facts.keep_alive);
        let plan = self.finish(200, head, body);
        Plan {
            is_chunked: !plan.body.is_empty(),
            ..plan
        }
    }

    /// RFC 9110 §15.3.7.1.
    fn part(&self, part: &Range<u64>) -> Plan {
        let response = self.described(Response::new(206), self.media.content_type);
        let length = self.chosen.stat.bytes;
        let response = response.header("Content-Range", &content_range(part, length));
        self.measured(206, response, vec![Segment::File(part.clone())])
    }

    /// RFC 9110 §15.3.7.2: what each part is stands in its own head.
    fn parts(&self, parts: &[Range<u64>]) -> Plan {
        let boundary = format!("{:032x}", self.facts.boundary);
        let mut body = Vec::with_capacity(2 * parts.len() + 1);
        for (index, part) in parts.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\r\n" };
            let (content_type, range) = (
                self.media.content_type,
                content_range(part, self.chosen.stat.bytes),
            );
            let head = format!(
                "{line_break}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n"
            );
            body.push(Segment::Bytes(head.into_bytes()));
            body.push(Segment::File(part.clone()));
        }
        body.push(Segment::Bytes(
            format!("\r\n--{boundary}--\r\n").into_bytes(),
        ));
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        let response = self.described(Response::new(206), &content_type);
        self.measured(206, response, body)
    }

    /// An answer whose length is known.
    fn measured(&self, status: u16, response: Response, body: Vec<Segment>) -> Plan {
        let bytes = body.iter().map(segment_bytes).sum::<u64>();
        let head = response.without_body(bytes as usize, self.facts.keep_alive);
        self.finish(status, head, body)
    }

    fn finish(&self, status: u16, head: Vec<u8>, mut body: Vec<Segment>) -> Plan {
        if self.facts.request.method == "HEAD" {
            body.clear();
        }
        body.retain(|segment| segment_bytes(segment) > 0);
        let coding = self.chosen.compress.filter(|_| !body.is_empty());
        let is_made = self.chosen.encoded_bytes.is_some();
        Plan {
            status,
            head,
            body,
            stored: self.chosen.stored,
            compress: coding.filter(|_| !is_made),
            encoded: coding.filter(|_| is_made),
            is_chunked: false,
            keep_alive: self.facts.keep_alive,
            refusal: None,
        }
    }

    /// Headers of 200, 206 and 304.
    fn validators(&self, response: Response) -> Response {
        let mut response = response
            .header("ETag", &self.etag.to_string())
            .header("Last-Modified", &format_date(self.modified_unix_seconds()));
        if let Some(cache_control) = self.cache_control() {
            response = response.header("Cache-Control", &cache_control);
        }
        if let Some(vary) = self.vary() {
            response = response.header("Vary", &vary);
        }
        for (name, value) in self.facts.headers.iter().filter(|it| !is_vary(it)) {
            response = response.header(name, value);
        }
        response
    }

    /// On one line, whatever it depends on: there are caches that read the first one only.
    fn vary(&self) -> Option<Cow<'_, str>> {
        let mut headers = self.facts.headers.iter();
        let others = headers.find(|it| is_vary(it)).map(|(_, value)| &**value);
        match (self.chosen.varies, others) {
            (true, Some(others)) => Some(Cow::Owned(format!("Accept-Encoding, {others}"))),
            (true, None) => Some(Cow::Borrowed("Accept-Encoding")),
            (false, others) => others.map(Cow::Borrowed),
        }
    }

    fn cache_control(&self) -> Option<Cow<'_, str>> {
        let own = self.root.cache_control.as_deref();
        let Some(signed) = self.facts.signed else {
            return own.map(Cow::Borrowed);
        };
        let own = own.unwrap_or_default();
        if signed.is_once || own.contains("no-store") {
            return Some(Cow::Borrowed("no-store"));
        }
        let left = signed
            .expires_unix_seconds
            .saturating_sub(self.facts.now_unix_seconds);
        let seconds = left.min(max_age_of(own));
        Some(Cow::Owned(format!("private, max-age={seconds}")))
    }

    /// RFC 9110 §8.8.2.1: never later than the answer itself. What is said is what conditions are held against, or nobody could use it.
    ///
    /// A file whose time is in the future has that of its last change instead, which the kernel keeps: the present would be another one at each request.
    fn modified_unix_seconds(&self) -> u64 {
        let (stat, now) = (&self.chosen.stat, self.facts.now_unix_seconds);
        if stat.modified_unix_seconds <= now {
            return stat.modified_unix_seconds;
        }
        let changed = u64::try_from(stat.changed_ns / 1_000_000_000);
        changed.unwrap_or(0).min(now)
    }

    /// Headers of 200 and 206.
    fn described(&self, response: Response, content_type: &str) -> Response {
        let response = self.validators(response);
        let mut response = response
            .header("Content-Type", content_type)
            .header("X-Content-Type-Options", "nosniff");
        if self.chosen.coding() != Coding::Identity {
            response = response.header("Content-Encoding", self.chosen.coding().name());
        }
        if self.chosen.compress.is_none() {
            response = response.header("Accept-Ranges", "bytes");
        }
        if let Some(disposition) = self.disposition() {
            response = response.header("Content-Disposition", &disposition);
        }
        response
    }

    /// `?download` saves under the file's own name, `?download=name` under another.
    fn disposition(&self) -> Option<String> {
        let asked = self.facts.request.parameter("download");
        if asked.is_none() && !self.root.always_download {
            return None;
        }
        let own = self.facts.wanted.path.name();
        let name = asked.filter(|name| !name.is_empty());
        Some(attachment(name.as_deref().unwrap_or(own)))
    }
}

fn is_vary((name, _): &Header) -> bool {
    name.eq_ignore_ascii_case("vary")
}

/// RFC 9111 §5.2.2.1; none is taken for zero: then whoever keeps an answer asks each time.
fn max_age_of(cache_control: &str) -> u64 {
    let mut directives = cache_control.split(',');
    let seconds = directives.find_map(|one| one.trim().strip_prefix("max-age="));
    seconds
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0)
}

const fn segment_bytes(segment: &Segment) -> u64 {
    match segment {
        Segment::Bytes(bytes) => bytes.len() as u64,
        Segment::File(range) => range.end - range.start,
    }
}

/// The answer to a request for what turned out to be a directory: the same with a slash behind it, where relative links work. `None` without an index:
/// such directories are not there.
#[must_use]
pub fn redirect(settings: &FilesSettings, facts: &Facts<'_>) -> Option<Plan> {
    settings.roots()[facts.wanted.root].index.as_ref()?;
    let (path, query) = (&facts.request.path, &facts.request.query);
    let mark = if query.is_empty() { "" } else { "?" };
    let mut response = Response::new(301).header("Location", &format!("{path}/{mark}{query}"));
    for (name, value) in facts.headers {
        response = response.header(name, value);
    }
    Some(Plan {
        status: 301,
        head: response.without_body(0, facts.keep_alive),
        body: Vec::new(),
        stored: Coding::Identity,
        compress: None,
        encoded: None,
        is_chunked: false,
        keep_alive: facts.keep_alive,
        refusal: None,
    })
}
