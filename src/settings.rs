//! From the configuration to what the service of every shard reads; files are read here.

use crate::config::{self, Config};
use crate::start::StartError;
use ringway_service::auth::{KeyConfig, Keys, Origins, TrustedProxies};
use ringway_service::forwarded::ProxyHeaderName;
use ringway_service::limits::{ByteRate, Rate, RateLimits};
use ringway_service::rooms::{SlowConsumerPolicy, SlowConsumerRules};
use ringway_service::settings::{Asset, Settings};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The keys with their bytes.
///
/// # Errors
/// RW-1007 for a file that cannot be read.
pub fn key_configs(config: &Config) -> Result<Vec<KeyConfig>, StartError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| StartError::key_unreadable(path, &error.to_string()))
    };
    let key = |key: &config::Key| {
        Ok(KeyConfig {
            id: key.id.clone(),
            algorithm: key.algorithm.clone(),
            bytes: read(&key.file)?,
            private: key.private_file.as_deref().map(read).transpose()?,
        })
    };
    config.auth.keys.iter().map(key).collect()
}

fn keys(config: &Config) -> Result<Keys, StartError> {
    let (auth, configs) = (&config.auth, key_configs(config)?);
    for (key, bytes) in auth.keys.iter().zip(&configs) {
        let single = Keys::new(core::slice::from_ref(bytes), None, None, 0);
        single.map_err(|error| StartError::key_unreadable(&key.file, &error.0))?;
    }
    Keys::new(
        &configs,
        auth.issuer.clone(),
        auth.audience.clone(),
        auth.leeway_seconds,
    )
    .map_err(|error| StartError::invalid_value("auth.keys", &error.0))
}

/// The bearer token that `/api/v1` asks for, if one is configured.
///
/// # Errors
/// RW-1007 for a file that cannot be read or holds nothing.
pub fn admin_token(config: &Config) -> Result<Option<Arc<str>>, StartError> {
    let Some(path) = config.admin.token_file.as_deref() else {
        return Ok(None);
    };
    let text = fs::read_to_string(path)
        .map_err(|error| StartError::key_unreadable(path, &error.to_string()))?;
    match text.trim() {
        "" => Err(StartError::key_unreadable(path, "it is empty")),
        token => Ok(Some(token.into())),
    }
}

const fn rate(per_second: u32, burst: u32) -> Rate {
    Rate { per_second, burst }
}

const fn rates(limits: &config::Limits) -> RateLimits {
    RateLimits {
        connection_events: rate(
            limits.connection_events_per_second,
            limits.connection_events_burst,
        ),
        user_events: rate(limits.user_events_per_second, limits.user_events_burst),
        room_messages: rate(limits.room_messages_per_second, limits.room_messages_burst),
        address_events: rate(
            limits.address_events_per_second,
            limits.address_events_burst,
        ),
        address_connections: rate(
            limits.address_connections_per_second,
            limits.address_connections_burst,
        ),
        address_connections_max: limits.address_connections_max,
        connection_download: ByteRate {
            per_second: limits.connection_download_bytes_per_second,
            burst: limits.connection_download_burst_bytes,
        },
        user_download: ByteRate {
            per_second: limits.user_download_bytes_per_second,
            burst: limits.user_download_burst_bytes,
        },
    }
}

fn slow_consumers(config: &Config) -> SlowConsumerRules {
    let policy = |policy| match policy {
        config::SlowConsumerPolicy::Disconnect => SlowConsumerPolicy::Disconnect,
        config::SlowConsumerPolicy::DropOldest => SlowConsumerPolicy::DropOldest,
        config::SlowConsumerPolicy::Conflate => SlowConsumerPolicy::Conflate,
    };
    SlowConsumerRules::new(
        config
            .rooms
            .slow_consumers
            .iter()
            .map(|rule| (rule.pattern.clone(), policy(rule.policy)))
            .collect(),
    )
}

fn asset(content_type: &str, bytes: &[u8]) -> Asset {
    Asset {
        content_type: content_type.to_owned(),
        bytes: bytes.to_vec(),
    }
}

/// The demo page and the client that it loads: the daemon serves them wherever it is started.
fn assets(config: &Config) -> BTreeMap<String, Asset> {
    if !config.dev {
        return BTreeMap::new();
    }
    let (html, script) = ("text/html; charset=utf-8", "text/javascript; charset=utf-8");
    let client = include_bytes!("dev/socket.io.min.js");
    BTreeMap::from([
        ("/".to_owned(), asset(html, include_bytes!("dev/page.html"))),
        (
            "/page.js".to_owned(),
            asset(script, include_bytes!("dev/page.js")),
        ),
        ("/socket.io/socket.io.js".to_owned(), asset(script, client)),
    ])
}

/// Values below which nothing works: refused at start, not found out by clients.
fn demand_least(config: &Config) -> Result<(), StartError> {
    let (limits, engine, shards) = (&config.limits, &config.engine, &config.shards);
    let least: [(&str, u64, u64); 15] = [
        (
            "limits.queue_packets_max",
            limits.queue_packets_max.into(),
            2,
        ),
        (
            "limits.queue_bytes_max",
            limits.queue_bytes_max.into(),
            1024,
        ),
        (
            "limits.shard_queue_bytes_max",
            limits.shard_queue_bytes_max,
            4096,
        ),
        (
            "limits.shard_input_bytes_max",
            limits.shard_input_bytes_max,
            4096,
        ),
        (
            "limits.shard_sessions_max",
            limits.shard_sessions_max.into(),
            1,
        ),
        ("limits.head_timeout_ms", limits.head_timeout_ms.into(), 100),
        (
            "limits.keep_alive_timeout_ms",
            limits.keep_alive_timeout_ms.into(),
            100,
        ),
        ("limits.head_bytes_max", limits.head_bytes_max.into(), 512),
        ("limits.namespaces_max", limits.namespaces_max.into(), 1),
        (
            "engine.ping_interval_ms",
            engine.ping_interval_ms.into(),
            100,
        ),
        ("engine.ping_timeout_ms", engine.ping_timeout_ms.into(), 100),
        (
            "engine.connect_timeout_ms",
            engine.connect_timeout_ms.into(),
            100,
        ),
        (
            "engine.payload_bytes_max",
            engine.payload_bytes_max.into(),
            128,
        ),
        ("shards.connections_max", shards.connections_max.into(), 1),
        (
            "shards.receive_buffer_bytes",
            shards.receive_buffer_bytes.into(),
            64,
        ),
    ];
    match least.iter().find(|(_, value, least)| value < least) {
        Some((name, _, least)) => Err(StartError::invalid_value(
            name,
            &format!("it is at least {least}"),
        )),
        None => Ok(()),
    }
}

/// What the service reads.
///
/// # Errors
/// RW-1007, RW-1009 or RW-1010.
pub fn settings(config: &Config) -> Result<Settings, StartError> {
    let keys = keys(config)?;
    let upstream = crate::links::upstream(config)?;
    if keys.is_empty() && !config.dev && upstream.is_none() {
        return Err(StartError::no_auth());
    }
    if !config.engine.path.starts_with('/') {
        return Err(StartError::invalid_value(
            "engine.path",
            "it must start with a slash",
        ));
    }
    demand_least(config)?;
    let trusted_proxies = TrustedProxies::parse(&config.proxies.trusted).map_err(|entry| {
        StartError::invalid_value(
            "proxies.trusted",
            &format!("{entry:?} is neither a network nor an address"),
        )
    })?;
    let (limits, engine) = (&config.limits, &config.engine);
    Ok(Settings {
        dev: config.dev,
        host: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        path: engine.path.clone(),
        head_timeout_ms: limits.head_timeout_ms,
        keep_alive_timeout_ms: limits.keep_alive_timeout_ms,
        head_bytes_max: limits.head_bytes_max,
        ping_interval_ms: engine.ping_interval_ms,
        ping_timeout_ms: engine.ping_timeout_ms,
        connect_timeout_ms: engine.connect_timeout_ms,
        payload_bytes_max: engine.payload_bytes_max,
        deflate: config.websocket.deflate,
        fragments_max: config.websocket.fragments_max,
        connections_max: config.shards.connections_max,
        sessions_max: limits.shard_sessions_max,
        namespaces_max: limits.namespaces_max,
        session_rooms_max: limits.session_rooms_max,
        shard_rooms_max: limits.shard_rooms_max,
        attachments_max: limits.attachments_max,
        queue_packets_max: limits.queue_packets_max,
        queue_bytes_max: limits.queue_bytes_max,
        shard_queue_bytes_max: limits.shard_queue_bytes_max,
        shard_input_bytes_max: limits.shard_input_bytes_max,
        slow_consumers: slow_consumers(config),
        keys,
        origins: Origins::new(config.origins.allowed.clone()),
        trusted_proxies,
        proxy_header: match config.proxies.header {
            config::ProxyHeader::Any => ProxyHeaderName::Any,
            config::ProxyHeader::Forwarded => ProxyHeaderName::Forwarded,
            config::ProxyHeader::XForwardedFor => ProxyHeaderName::XForwardedFor,
        },
        rates: rates(limits),
        upstream,
        files: crate::files::settings(config)?,
        uploads: crate::uploads::settings(config)?,
        url_keys: crate::files::url_keys(config)?,
        assets: assets(config),
    })
}
