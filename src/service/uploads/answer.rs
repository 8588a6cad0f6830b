//! Answers of tus: a status, its headers, and why not.

use super::UploadsSettings;
use crate::auth::Header;
use crate::files::Refused;
use crate::refusal::Refusal;
use ringway_proto::http1::Response;
use ringway_proto::tus::{self, Algorithm, TusError};

/// An answer to a request for an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers besides those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    /// Why not; to be counted.
    pub refusal: Option<Refusal>,
}

impl Answer {
    pub(super) const fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            refusal: None,
        }
    }

    pub(crate) const fn refused(status: u16, refusal: Refusal) -> Self {
        Self {
            status,
            headers: Vec::new(),
            refusal: Some(refusal),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A header's value, for those who look.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The bytes for the wire. `headers` are those that every answer to this request has.
    ///
    /// Whoever answers before the body was read passes no `keep_alive`: what follows would be taken for a request.
    #[must_use]
    pub fn bytes(&self, headers: &[Header], is_head: bool, keep_alive: bool) -> Vec<u8> {
        if let Some(refusal) = self.refusal {
            let refused = Refused {
                status: self.status,
                refusal,
                headers: self.headers.clone(),
            };
            let refused = refused.with("Tus-Resumable", tus::VERSION);
            return refused.answer(headers, is_head, keep_alive);
        }
        let mut response = Response::new(self.status).header("Tus-Resumable", tus::VERSION);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        response = response.header("Cache-Control", "no-store");
        response.without_body(0, keep_alive)
    }
}

impl From<TusError> for Answer {
    fn from(error: TusError) -> Self {
        let refusal = match error {
            TusError::Version => Refusal::TusVersion,
            TusError::Header(_) => Refusal::UploadHeaders,
            TusError::TooLarge => Refusal::UploadTooLarge,
            TusError::MediaType => Refusal::UploadMediaType,
            TusError::Trailer => Refusal::UploadTrailer,
        };
        let answer = Self::refused(error.status(), refusal);
        if error == TusError::Version {
            answer.with("Tus-Version", tus::VERSION)
        } else {
            answer
        }
    }
}

/// The answer to OPTIONS: what the server knows.
#[must_use]
pub fn options(settings: &UploadsSettings) -> Answer {
    let algorithms = Algorithm::ALL.map(Algorithm::name).join(",");
    Answer::new(204)
        .with("Tus-Version", tus::VERSION)
        .with("Tus-Extension", tus::EXTENSIONS)
        .with("Tus-Max-Size", settings.bytes_max.to_string())
        .with("Tus-Checksum-Algorithm", algorithms)
}
