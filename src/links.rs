//! Where workers join: the addresses of `link.listen`, their sockets and their secret.
//!
//! Deliberately absent: what is said on a link (`service/upstream`).

use crate::config::{self, Config};
use crate::start::StartError;
use ringway_io::Peer;
use ringway_service::settings::UpstreamSettings;
use ringway_service::upstream::{
    APPLICATIONS_MAX, Affinity, Application, BreakerSettings, ExchangeSettings, FAILURES_MAX,
    FRAME_BODY_BYTES_MAX, LinkPeer, Notice, OnFailure, OnWorkerLoss, Secret, Window,
};
use ringway_uring::{bind_shared, bind_unix};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// The daemon's own user alone, whatever the umask says.
const SOCKET_MODE: u32 = 0o600;
/// Unsent bytes that the kernel holds for one link.
const NOTSENT_BYTES_MAX: u32 = 256 * 1024;

/// The shortest `link.stall_ms` and `link.flood_ms`.
const STALL_MS_MIN: u32 = 500;
/// The largest `link.namespaces_max`: with what is spare they have numbers of 16 bits.
const NAMESPACES_MAX: u32 = 60_000;
/// The largest `link.migrations_per_second`.
const MIGRATIONS_MAX: u32 = 1_000_000;
/// The longest `link.coalesce_us`.
const COALESCE_US_MAX: u32 = 10_000;

/// An address of `link.listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAddress {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `tcp://ADDRESS`
    Tcp(SocketAddr),
}

impl core::fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

impl LinkAddress {
    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Some(Self::Unix(path.into()));
        }
        let address = text.strip_prefix("tcp://")?.parse();
        address.ok().map(Self::Tcp)
    }

    /// A socket that is bound and does not listen yet.
    ///
    /// # Errors
    /// As of socket(2) and bind(2).
    pub fn bind(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(path) => bind_unix(path, SOCKET_MODE),
            Self::Tcp(address) => bind_shared(*address, NOTSENT_BYTES_MAX),
        }
    }
}

/// The addresses at which workers join.
///
/// # Errors
/// RW-1009 for what is no address, and for TCP that cannot be trusted.
pub fn addresses(config: &Config) -> Result<Vec<LinkAddress>, StartError> {
    let refused = |what: &str| Err(StartError::invalid_value("link.listen", what));
    let mut addresses = Vec::new();
    for text in &config.link.listen {
        match LinkAddress::parse(text) {
            None => {
                return refused(&format!(
                    "{text:?} is neither unix:PATH nor tcp://ADDRESS:PORT"
                ));
            }
            Some(LinkAddress::Tcp(_)) if config.link.secret_file.is_none() => {
                return refused("over TCP workers prove a secret: set link.secret_file");
            }
            Some(LinkAddress::Tcp(address))
                if !address.ip().is_loopback() && !config.link.plaintext =>
            {
                return refused(
                    "what goes over TCP can be read on the way: set link.plaintext to allow it beyond loopback",
                );
            }
            Some(address) => addresses.push(address),
        }
    }
    Ok(addresses)
}

/// The secret of `link.secret_file`.
fn secret(config: &Config) -> Result<Option<Secret>, StartError> {
    let Some(path) = config.link.secret_file.as_deref() else {
        return Ok(None);
    };
    let bytes =
        fs::read(path).map_err(|error| StartError::key_unreadable(path, &error.to_string()))?;
    match Secret::new(bytes.trim_ascii()) {
        Some(secret) => Ok(Some(secret)),
        None => Err(StartError::key_unreadable(
            path,
            "a secret has 16 bytes at least",
        )),
    }
}

/// When workers are kept from clients.
fn breaker(link: &config::Link) -> Result<BreakerSettings, StartError> {
    // A worker pings every five seconds and collects its garbage for one: what is shorter than this is no sign.
    for (key, ms) in [
        ("link.stall_ms", link.stall_ms),
        ("link.flood_ms", link.flood_ms),
    ] {
        if (1..STALL_MS_MIN).contains(&ms) {
            let what = format!("it is 0, or {STALL_MS_MIN} at least");
            return Err(StartError::invalid_value(key, &what));
        }
    }
    if link.failures_max as usize > FAILURES_MAX {
        let what = format!("it is {FAILURES_MAX} at most");
        return Err(StartError::invalid_value("link.failures_max", &what));
    }
    if link.isolate_ms_min > link.isolate_ms_max {
        let what = "it is link.isolate_ms_max at most";
        return Err(StartError::invalid_value("link.isolate_ms_min", what));
    }
    Ok(BreakerSettings {
        stall_ms: link.stall_ms,
        flood_ms: link.flood_ms,
        failures_max: link.failures_max,
        client_deaths_max: link.client_deaths_max,
        failures_within_ms: link.failures_within_ms,
        isolate_ms_min: link.isolate_ms_min,
        isolate_ms_max: link.isolate_ms_max,
        on_failure: match link.on_failure {
            config::OnFailure::Hold => OnFailure::Hold,
            config::OnFailure::Refuse => OnFailure::Refuse,
        },
    })
}

/// What decides which worker a client gets.
fn affinity(link: &config::Link) -> Result<Affinity, StartError> {
    Affinity::parse(&link.affinity).ok_or_else(|| {
        let what = "it is header:NAME, cookie:NAME, query:NAME or address";
        StartError::invalid_value("link.affinity", what)
    })
}

/// The applications beside the main one.
fn applications(config: &Config) -> Result<Vec<Application>, StartError> {
    let refused = |what: String| Err(StartError::invalid_value("link.applications", &what));
    let others = &config.link.applications;
    if others.len() >= APPLICATIONS_MAX {
        let most = APPLICATIONS_MAX - 1;
        return refused(format!("there are {most} at most beside link.application"));
    }
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, namespaces) in others {
        if name.is_empty() || name.contains('\0') || *name == config.link.application {
            return refused(format!(
                "{name:?} is no name of an application beside link.application"
            ));
        }
        for namespace in namespaces {
            let (bare, is_own) = (namespace.trim_end_matches('*'), |native: &String| {
                native == namespace
            });
            if bare.len() < 2 || !bare.starts_with('/') || bare.contains(['*', ',', '?']) {
                return refused(format!(
                    "{namespace:?} is no namespace but /, which is the main application's"
                ));
            }
            if config.namespaces.native.iter().any(is_own) {
                return refused(format!("{namespace:?} is in namespaces.native"));
            }
            if let Some(other) = owners.insert(namespace, name) {
                return refused(format!("{namespace:?} is of {other:?} and of {name:?}"));
            }
        }
    }
    let applications = others.iter().map(|(name, namespaces)| Application {
        name: name.clone(),
        namespaces: namespaces.clone(),
    });
    Ok(applications.collect())
}

/// What the service reads of the application behind the daemon; `None` without a link.
///
/// # Errors
/// RW-1007 and RW-1009.
pub fn upstream(config: &Config) -> Result<Option<UpstreamSettings>, StartError> {
    let link = &config.link;
    if addresses(config)?.is_empty() {
        return Ok(None);
    }
    if config.engine.payload_bytes_max > FRAME_BODY_BYTES_MAX {
        let what =
            "with link.listen it is 16777216 at most: a message goes to its worker in one frame";
        return Err(StartError::invalid_value("engine.payload_bytes_max", what));
    }
    if !(1..=MIGRATIONS_MAX).contains(&link.migrations_per_second) {
        let what = format!("it is between 1 and {MIGRATIONS_MAX}");
        return Err(StartError::invalid_value(
            "link.migrations_per_second",
            &what,
        ));
    }
    if link.coalesce_us > COALESCE_US_MAX {
        let what = format!("it is {COALESCE_US_MAX} at most");
        return Err(StartError::invalid_value("link.coalesce_us", &what));
    }
    if !(1..=NAMESPACES_MAX).contains(&link.namespaces_max) {
        let what = format!("it is between 1 and {NAMESPACES_MAX}");
        return Err(StartError::invalid_value("link.namespaces_max", &what));
    }
    let native: BTreeSet<String> = config.namespaces.native.iter().cloned().collect();
    Ok(Some(UpstreamSettings {
        native,
        affinity: affinity(link)?,
        exchange: ExchangeSettings {
            application: link.application.clone(),
            applications: applications(config)?,
            namespaces_max: link.namespaces_max,
            window: Window::default(),
            grace_ms: link.grace_ms,
            hold_ms: link.hold_ms,
            payload_bytes_max: config.engine.payload_bytes_max,
            redeliver: link.redeliver,
            migrations_per_second: link.migrations_per_second,
            coalesce_us: link.coalesce_us,
            on_worker_loss: match link.on_worker_loss {
                config::OnWorkerLoss::Keep => OnWorkerLoss::Keep,
                config::OnWorkerLoss::Strict => OnWorkerLoss::Strict,
            },
            breaker: breaker(link)?,
            secret: secret(config)?,
        },
    }))
}

/// Who has connected; by its process or its host it is known again if it lies.
#[must_use]
pub fn peer_of(peer: Peer) -> LinkPeer {
    match peer {
        Peer::Inet(address) => LinkPeer {
            name: address.ip().to_string(),
            needs_proof: true,
        },
        Peer::Unix { pid: 0, .. } => LinkPeer {
            name: LinkPeer::UNKNOWN.to_owned(),
            needs_proof: false,
        },
        Peer::Unix { pid, .. } => LinkPeer {
            name: format!("process {pid}"),
            needs_proof: false,
        },
    }
}

/// A line for what workers did. There are few: circuits open and close at a pace of their own.
pub fn log(notice: &Notice) {
    match notice {
        Notice::Opened {
            worker,
            failure,
            wait_ms,
            clients,
        } => {
            let why = failure.text();
            tracing::warn!(
                code = "RW-2604",
                ?worker,
                wait_ms,
                clients,
                "a worker gets no clients for now: {why}"
            );
        }
        Notice::TurnedAway { peer, wait_ms } => {
            tracing::warn!(code = "RW-2605", %peer, wait_ms, "a peer's links are refused at once: it said again and again what it must not");
        }
        Notice::Refused {
            peer,
            worker,
            code: said,
            message,
        } => {
            tracing::warn!(code = "RW-2608", %peer, ?worker, said, "a link was refused: {message}");
        }
        Notice::Kept {
            worker,
            application,
            namespace,
        } => {
            tracing::warn!(
                code = "RW-2609",
                ?worker,
                application,
                ?namespace,
                "a worker has a namespace that is the daemon's own (namespaces.native), and gets no clients in it"
            );
        }
        Notice::Crowded {
            application,
            namespace,
            namespaces,
        } => {
            tracing::warn!(
                code = "RW-2616",
                application,
                ?namespace,
                namespaces,
                "an application has as many namespaces as it may have (link.namespaces_max), and whoever asks for a new one is refused"
            );
        }
        Notice::Unanswered { worker, clients } => {
            tracing::warn!(
                code = "RW-2606",
                ?worker,
                clients,
                "a worker is gone, and clients were closed that waited for its acknowledgements"
            );
        }
        Notice::Dismissed { worker, deaths } => {
            tracing::warn!(
                code = "RW-2615",
                ?worker,
                deaths,
                "a client was told to go and not to come back, as workers died on it"
            );
        }
        Notice::Taken {
            worker,
            application,
            owner,
            namespace,
        } => {
            tracing::warn!(
                code = "RW-2607",
                ?worker,
                application,
                owner,
                ?namespace,
                "a worker has a namespace that is another application's, and gets no clients in it"
            );
        }
        Notice::HalfOpen { worker } => {
            tracing::info!(
                code = "RW-2604",
                ?worker,
                "a worker is tried with one client"
            );
        }
        Notice::Closed { worker } => {
            tracing::info!(code = "RW-2604", ?worker, "a worker gets clients again");
        }
    }
}

/// Whether a worker of that user may join by a Unix socket: of the daemon's own, and of root, who may do everything. When its own is not known, root alone.
#[must_use]
pub fn is_trusted(own_user: Option<u32>, uid: u32) -> bool {
    uid == 0 || own_user == Some(uid)
}

/// This process's user, whose workers may open Unix links.
///
/// # Errors
/// When `/proc` is not there.
pub fn own_user() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|metadata| metadata.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_two_kinds() {
        let tcp = LinkAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 7)));
        for (text, expected) in [
            (
                "unix:/run/a.sock",
                Some(LinkAddress::Unix("/run/a.sock".into())),
            ),
            ("tcp://127.0.0.1:7", Some(tcp)),
            ("tcp://localhost:7", None),
            ("tcp:127.0.0.1:7", None),
            ("unix:", None),
            ("/run/a.sock", None),
        ] {
            let parsed = LinkAddress::parse(text);
            assert_eq!(parsed, expected, "{text}");
            assert!(parsed.is_none_or(|address| address.to_string() == text));
        }
    }

    fn check(listen: &str, secret: Option<&str>, plaintext: bool, is_allowed: bool) {
        let mut config = Config::default();
        config.link.listen = vec![listen.to_owned()];
        config.link.secret_file = secret.map(Into::into);
        config.link.plaintext = plaintext;
        assert_eq!(
            addresses(&config).is_ok(),
            is_allowed,
            "{listen} {secret:?} {plaintext}"
        );
    }

    #[test]
    fn a_message_fits_a_frame() {
        let mut config = Config::default();
        config.link.listen = vec!["unix:/run/a.sock".to_owned()];
        config.engine.payload_bytes_max = 16 << 20;
        assert!(upstream(&config).is_ok());
        config.engine.payload_bytes_max += 1;
        let refused = upstream(&config).err().map(|error| error.to_string());
        assert!(refused.is_some_and(|text| text.contains("engine.payload_bytes_max")));
        config.link.listen.clear();
        assert!(upstream(&config).is_ok(), "without links there is no frame");
    }

    #[test]
    fn a_breaker_has_values_that_work() {
        let check = |key: &str, change: fn(&mut config::Link)| {
            let mut config = Config::default();
            config.link.listen = vec!["unix:/run/a.sock".to_owned()];
            assert!(upstream(&config).is_ok());
            change(&mut config.link);
            let refused = upstream(&config).err().map(|error| error.to_string());
            assert!(refused.is_some_and(|text| text.contains(key)), "{key}");
        };
        check("link.stall_ms", |link| link.stall_ms = 499);
        check("link.flood_ms", |link| link.flood_ms = 499);
        check("link.migrations_per_second", |link| {
            link.migrations_per_second = 0;
        });
        check("link.coalesce_us", |link| link.coalesce_us = 10_001);
        check("link.namespaces_max", |link| link.namespaces_max = 0);
        check("link.namespaces_max", |link| link.namespaces_max = 60_001);
        check("link.affinity", |link| link.affinity = "path".to_owned());
        check("link.failures_max", |link| link.failures_max = 1_001);
        check("link.isolate_ms_min", |link| link.isolate_ms_min = 10_001);
    }

    #[test]
    fn applications_have_namespaces_of_their_own() {
        let check = |name: &str, namespaces: &[&str], is_allowed: bool| {
            let mut config = Config::default();
            config.link.listen = vec!["unix:/run/a.sock".to_owned()];
            config.namespaces.native = vec!["/live".to_owned()];
            let shop = vec!["/orders".to_owned(), "/tenant-*".to_owned()];
            let namespaces = namespaces.iter().map(|name| (*name).to_owned());
            config.link.applications.insert("shop".to_owned(), shop);
            config
                .link
                .applications
                .insert(name.to_owned(), namespaces.collect());
            let is_ok = upstream(&config).is_ok();
            assert_eq!(
                is_ok,
                is_allowed,
                "{name} {namespaces:?}",
                namespaces = config.link.applications
            );
        };
        check("chat", &[], true);
        check("chat", &["/chat", "/tenant-7*"], true);
        check("chat", &["/orders"], false);
        check("chat", &["/live"], false);
        check("default", &["/chat"], false);
        check("", &["/chat"], false);
        for namespace in ["/", "*", "/*", "chat", "/a*b", "/a,b", ""] {
            check("chat", &[namespace], false);
        }
    }

    #[test]
    fn a_unix_link_is_its_own_users_and_roots() {
        for (own_user, uid, is_allowed) in [
            (Some(1000), 1000, true),
            (Some(1000), 0, true),
            (Some(1000), 1001, false),
            (Some(0), 1000, false),
            (None, 0, true),
            (None, 1000, false),
        ] {
            assert_eq!(is_trusted(own_user, uid), is_allowed, "{own_user:?} {uid}");
        }
        let unix = peer_of(Peer::Unix { uid: 1000, pid: 7 });
        assert_eq!((&*unix.name, unix.needs_proof), ("process 7", false));
        let unknown = peer_of(Peer::Unix { uid: 1000, pid: 0 });
        assert_eq!(&*unknown.name, LinkPeer::UNKNOWN);
        let tcp = peer_of(Peer::Inet(SocketAddr::from(([127, 0, 0, 1], 7))));
        assert_eq!((&*tcp.name, tcp.needs_proof), ("127.0.0.1", true));
    }

    #[test]
    fn tcp_is_proven_and_stays_at_home() {
        check("unix:/run/a.sock", None, false, true);
        check("tcp://127.0.0.1:7", None, false, false);
        check("tcp://127.0.0.1:7", Some("s"), false, true);
        check("tcp://10.0.0.1:7", Some("s"), false, false);
        check("tcp://10.0.0.1:7", Some("s"), true, true);
        check("tcp://10.0.0.1:7", None, true, false);
    }
}
