//! Why a request gets no file, and the answer that says so.

use crate::auth::Header;
use crate::refusal::Refusal;
use ringway_proto::http1::{PathFault, Response};

/// A refusal with its status and the headers that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// Its entry in the catalogue.
    pub refusal: Refusal,
    /// Headers that the status asks for.
    pub headers: Vec<(&'static str, String)>,
}

impl Refused {
    /// A refusal without headers of its own.
    #[must_use]
    pub const fn new(status: u16, refusal: Refusal) -> Self {
        Self {
            status,
            refusal,
            headers: Vec::new(),
        }
    }

    /// The refusal with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Nothing to be seen at this path.
    #[must_use]
    pub const fn not_found() -> Self {
        Self::new(404, Refusal::FileNotFound)
    }

    /// A token is needed (RFC 6750 §3).
    #[must_use]
    pub fn token_missing() -> Self {
        Self::new(401, Refusal::TokenMissing).with("WWW-Authenticate", "Bearer")
    }

    /// A token is not good (RFC 6750 §3.1).
    #[must_use]
    pub fn token(refusal: Refusal) -> Self {
        Self::new(401, refusal).with("WWW-Authenticate", "Bearer error=\"invalid_token\"")
    }

    /// The JSON that says why, as every other refusal of the daemon does.
    #[must_use]
    pub fn body(&self) -> String {
        let (code, message) = (self.refusal.code(), self.message());
        serde_json::json!({ "code": code, "message": message }).to_string()
    }

    /// A token comes by another way than those of sessions do.
    const fn message(&self) -> &'static str {
        match self.refusal {
            Refusal::TokenMissing => {
                "a token is needed: send it as Authorization: Bearer, or come by a signed URL"
            }
            other => other.message(),
        }
    }

    /// The whole answer; to HEAD without its body. `headers` are those that every answer to this request has.
    #[must_use]
    pub fn answer(&self, headers: &[Header], is_head: bool, keep_alive: bool) -> Vec<u8> {
        let mut response = Response::new(self.status).header("Content-Type", "application/json");
        response = response.header("X-Content-Type-Options", "nosniff");
        for (name, value) in headers {
            response = response.header(name, value);
        }
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        response = response.header("Cache-Control", "no-store");
        let body = self.body();
        if is_head {
            response.without_body(body.len(), keep_alive)
        } else {
            response.body(body.as_bytes(), keep_alive)
        }
    }
}

impl From<PathFault> for Refused {
    fn from(fault: PathFault) -> Self {
        match fault {
            PathFault::Hidden => Self::not_found(),
            PathFault::Malformed | PathFault::TooLong => {
                Self::new(fault.status(), Refusal::FilePath)
            }
        }
    }
}
