//! A token's claims, and the identity that they make.

use crate::rooms::matches;
use serde::{Deserialize, Serialize};

/// Patterns of one kind, and bytes of all of them.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 256;
const SUBJECT_BYTES_MAX: usize = 256;

/// Rooms that a token opens: patterns in which `*` stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomClaims {
    /// Rooms to join.
    #[serde(default)]
    pub join: Vec<String>,
    /// Rooms to publish to.
    #[serde(default)]
    pub publish: Vec<String>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom it names.
    pub sub: String,
    /// Until when, in Unix seconds.
    pub exp: u64,
    /// From when, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// What it permits.
    #[serde(default)]
    pub rw: RoomClaims,
}

/// A client that has shown a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    subject: Box<str>,
    expires_unix_ms: u64,
    join: Box<[Box<str>]>,
    publish: Box<[Box<str>]>,
}

impl Identity {
    /// The identity of verified claims; `None` when they are larger than they may be.
    pub(super) fn new(claims: Claims, leeway_seconds: u32) -> Option<Self> {
        let bounded = |patterns: &[String]| {
            patterns.len() <= PATTERNS_MAX
                && patterns
                    .iter()
                    .all(|pattern| pattern.len() <= PATTERN_BYTES_MAX)
        };
        let subject_fits = (1..=SUBJECT_BYTES_MAX).contains(&claims.sub.len());
        if !subject_fits || !bounded(&claims.rw.join) || !bounded(&claims.rw.publish) {
            return None;
        }
        let compact =
            |patterns: Vec<String>| patterns.into_iter().map(String::into_boxed_str).collect();
        Some(Self {
            subject: claims.sub.into(),
            expires_unix_ms: claims
                .exp
                .saturating_add(u64::from(leeway_seconds))
                .saturating_mul(1000),
            join: compact(claims.rw.join),
            publish: compact(claims.rw.publish),
        })
    }

    /// Whom the token names.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Until when it is valid.
    #[must_use]
    pub const fn expires_unix_ms(&self) -> Option<u64> {
        Some(self.expires_unix_ms)
    }

    pub(crate) fn may_join(&self, room: &str) -> bool {
        self.join.iter().any(|pattern| matches(pattern, room))
    }

    pub(crate) fn may_publish(&self, room: &str) -> bool {
        self.publish.iter().any(|pattern| matches(pattern, room))
    }
}
