//! What pages of other origins are told of files and uploads (Fetch standard, CORS): which requests they may send, and what of the answers they may see.
//!
//! Deliberately absent: which origins may come, and what sessions say of them (`bound.rs`).

use super::http::preflight_of;
use super::{Hub, Key, Turn};
use crate::auth::Header;
use crate::connection::Reply;
use crate::files::Refused;
use crate::refusal::Refusal;
use ringway_proto::http1::Request;

/// What a route lets pages do.
pub(super) struct Manners {
    pub(super) methods: &'static str,
    /// Headers that they may send.
    pub(super) sent: &'static str,
    /// Headers of answers that they may see.
    pub(super) seen: &'static str,
}

/// What pages may do with files. A script that reads one piece by piece asks for ranges, and for those of the file that it has begun.
const FILES: Manners = Manners {
    methods: "GET, HEAD",
    sent: "Authorization, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, X-Requested-With",
    seen: "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, ETag, Last-Modified",
};

/// Seconds for which a page need not ask again.
const MAX_AGE: &str = "600";

fn has(headers: &[Header], name: &str) -> bool {
    let mut names = headers.iter();
    names.any(|(said, _)| said.eq_ignore_ascii_case(name))
}

/// Adds what a page is told of a route, if it is told anything. What the application says itself stays as it is.
pub(super) fn tell_page(headers: &mut Vec<Header>, route: &Manners, is_preflight: bool) {
    if !has(headers, "access-control-allow-origin") {
        return;
    }
    let answer = [("Access-Control-Expose-Headers", route.seen)];
    let preflight = [
        ("Access-Control-Allow-Methods", route.methods),
        ("Access-Control-Allow-Headers", route.sent),
        ("Access-Control-Max-Age", MAX_AGE),
    ];
    let preflight = preflight.into_iter().filter(|_| is_preflight);
    for (name, value) in answer.into_iter().chain(preflight) {
        if !has(headers, name) {
            headers.push((name.into(), value.into()));
        }
    }
}

/// A browser's question whether it may. OPTIONS without it is a method like any other.
fn is_preflight(request: &Request) -> bool {
    let is_asked = request.header("access-control-request-method").is_some();
    request.method == "OPTIONS" && request.header("origin").is_some() && is_asked
}

impl Hub {
    /// What the answer to a request for a file has of its own: which page may read it.
    pub(super) fn reply_to_file(&self, request: &Request) -> Reply {
        let mut reply = self.reply_to(request);
        tell_page(&mut reply.headers, &FILES, is_preflight(request));
        // Where pages of several origins come, what nobody's page asked for is another answer than theirs: a cache would give them one that they may not read.
        if !self.settings.origins.is_unsaid() && !has(&reply.headers, "vary") {
            reply.headers.push(("Vary".into(), "Origin".into()));
        }
        reply
    }

    /// Answers a page that asks whether it may, or that may not come. Nobody has looked for a token: browsers send none with their questions.
    pub(super) fn answer_page(&mut self, key: Key, request: &Request, turn: &mut Turn<'_>) -> bool {
        let is_foreign = !self.origin_allowed(request);
        if !is_foreign && !is_preflight(request) {
            return false;
        }
        let reply = self.reply_to_file(request);
        if is_foreign {
            let refused = Refused::new(403, Refusal::ForeignOrigin);
            self.refuse_file(key, &refused, &reply, turn);
        } else {
            let keep_alive = reply.keep_alive && !self.drain_told_everybody();
            let answer = preflight_of(&reply.headers, keep_alive);
            self.send_answer(key, &answer, keep_alive, turn);
        }
        true
    }
}
