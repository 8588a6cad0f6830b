//! Which worker a client gets when something that it says decides: each value has an order of all workers of its own (rendezvous hashing), and gets the
//! first that is there.
//!
//! A worker that goes moves its own clients alone, and one that comes gets its share of the new ones. Deliberately absent: clients that say nothing, which
//! go to whoever has least to do (`deal`).

use super::applications::AppId;
use super::exchange::Exchange;
use super::worker::{Worker, WorkerId};
use crate::address::Address;
use crate::hub::Seed;
use core::hash::BuildHasher as _;
use ringway_proto::http1;
use std::borrow::Cow;

/// Of what two clients have in common that are to have one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Nothing.
    #[default]
    None,
    /// A header of the request that opened the connection, by its name in lower case.
    Header(String),
    /// One of its cookies.
    Cookie(String),
    /// A parameter of its query.
    Query(String),
    /// The client's address, as trusted proxies say it.
    Address,
}

impl Affinity {
    /// `header:NAME`, `cookie:NAME`, `query:NAME` or `address`; nothing for none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => return Some(Self::None),
            "address" => return Some(Self::Address),
            _ => {}
        }
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty())?;
        match kind {
            "header" => Some(Self::Header(name.to_ascii_lowercase())),
            "cookie" => Some(Self::Cookie(name.to_owned())),
            "query" => Some(Self::Query(name.to_owned())),
            _ => None,
        }
    }

    /// A number for what the request says of it. `None`: it says nothing.
    pub(crate) fn value(&self, request: &http1::Request, address: Address) -> Option<u64> {
        let value = match self {
            Self::None => None,
            Self::Header(name) => request.header(name).map(Cow::from),
            Self::Cookie(name) => cookie(request, name).map(Cow::from),
            Self::Query(name) => request.parameter(name),
            Self::Address => Some(address.to_string().into()),
        };
        let value = value.filter(|value| !value.is_empty())?;
        Some(Seed::new(0).hash_one(value))
    }
}

/// RFC 6265 §5.4: pairs behind each other, with `; ` between them.
fn cookie<'a>(request: &'a http1::Request, name: &str) -> Option<&'a str> {
    let mut headers = request.all_headers();
    headers.find_map(|(header, value)| {
        let pairs = value.split(';').filter(|_| header == "cookie");
        let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        found.map(|(_, value)| value)
    })
}

/// How far a worker is from being a value's first: the least wins. With weights this is the logarithmic method, by which each gets clients as its
/// weight says.
fn distance(seed: u64, value: u64, worker: &Worker) -> f64 {
    let hash = Seed::new(seed).hash_one((value, &*worker.instance));
    // In the open interval between 0 and 1.
    let share = ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -share.ln() / f64::from(worker.weight)
}

impl Exchange {
    /// Who gets a client that says this, of the application's workers that take clients as ever.
    pub(super) fn chosen(&self, app: AppId, value: Option<u64>) -> Option<WorkerId> {
        let seed = self.affinity_seed;
        let first = value.and_then(|value| {
            let workers = self.workers_of(app);
            let workers = workers.filter(|(_, worker)| worker.takes_clients());
            let distances = workers.map(|(id, worker)| (distance(seed, value, worker), id));
            distances.min_by(|one, other| one.0.total_cmp(&other.0))
        });
        first.map_or_else(|| self.soundest(app), |(_, id)| Some(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn what_the_configuration_may_say() {
        let name = || "X-User".to_owned();
        for (text, expected) in [
            ("", Some(Affinity::None)),
            ("address", Some(Affinity::Address)),
            ("header:X-User", Some(Affinity::Header("x-user".to_owned()))),
            ("cookie:X-User", Some(Affinity::Cookie(name()))),
            ("query:X-User", Some(Affinity::Query(name()))),
            ("header:", None),
            ("header", None),
            ("address:1", None),
            ("path:/", None),
        ] {
            assert_eq!(Affinity::parse(text), expected, "{text}");
        }
    }

    fn value(affinity: &str, head: &str) -> Option<u64> {
        let affinity = Affinity::parse(affinity).expect("it may be said");
        let text = format!("GET /socket.io/?EIO=4&user=a HTTP/1.1\r\nHost: h\r\n{head}\r\n");
        let bounds = http1::Bounds {
            head_bytes_max: 1000,
            body_bytes_max: 0,
        };
        let parsed = http1::parse_head(text.as_bytes(), &bounds);
        let (request, _) = parsed.expect("a request").expect("all of it");
        affinity.value(&request, IpAddr::from([10, 0, 0, 1]).into())
    }

    #[test]
    fn what_a_request_says() {
        let said = value("query:user", "");
        assert!(said.is_some());
        for (affinity, head) in [
            ("header:x-user", "X-User: a\r\n"),
            ("cookie:user", "Cookie: x=1; user=a; y\r\n"),
            ("cookie:user", "Cookie: x=user\r\nCookie: user=a\r\n"),
        ] {
            assert_eq!(value(affinity, head), said, "{affinity} {head}");
        }
        assert_ne!(value("header:x-user", "X-User: b\r\n"), said);
        assert_eq!(
            value("address", ""),
            value("header:a", "A: 10.0.0.1\r\n"),
            "as text"
        );
        for (affinity, head) in [
            ("header:x-user", ""),
            ("header:x-user", "X-User:\r\n"),
            ("cookie:user", "Cookie: xuser=a; user\r\n"),
            ("cookie:user", "X-Cookie: user=a\r\n"),
            ("query:other", ""),
            ("", "X-User: a\r\n"),
        ] {
            assert_eq!(value(affinity, head), None, "{affinity} {head}");
        }
    }
}
