//! Everything about the service that can be configured, as values that fit each other.
//!
//! Deliberately absent: files, variables and flags (the root package reads them) and defaults for production.

use crate::auth::{Keys, Origins, TrustedProxies};
use crate::files::{FilesSettings, UrlKeys};
use crate::forwarded::ProxyHeaderName;
use crate::limits::{Rate, RateLimits};
use crate::native::NAMESPACE_BYTES_MAX;
use crate::outbox::OutboxBounds;
use crate::rooms::RoomsBounds;
use crate::rooms::SlowConsumerRules;
use crate::uploads::UploadsSettings;
use crate::upstream::{Affinity, ExchangeSettings, SPACE_NAME_BYTES_MAX};
use ringway_proto::{http1, socketio, ws};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How the service of every shard behaves. One value, read by all shards, changed by none.
#[derive(Clone)]
pub struct Settings {
    /// Anonymous clients, no rate limits, echo endpoints and assets.
    pub dev: bool,
    /// This host's number, part of every session id.
    pub host: u16,
    /// What `info` tells clients.
    pub version: String,
    /// The path of Engine.IO requests: `/socket.io/`.
    pub path: String,
    /// Time for a request's head, and for its body, in milliseconds.
    pub head_timeout_ms: u32,
    /// How long a connection may idle between two requests, in milliseconds.
    pub keep_alive_timeout_ms: u32,
    /// Bytes of a request head.
    pub head_bytes_max: u32,
    /// Time between two pings.
    pub ping_interval_ms: u32,
    /// Time for the pong.
    pub ping_timeout_ms: u32,
    /// Time for the first CONNECT.
    pub connect_timeout_ms: u32,
    /// Bytes of a message or of a polling body.
    pub payload_bytes_max: u32,
    /// Whether permessage-deflate is offered.
    pub deflate: bool,
    /// Fragments of a message.
    pub fragments_max: u32,
    /// Connections of a shard.
    pub connections_max: u32,
    /// Sessions of a shard.
    pub sessions_max: u32,
    /// Namespaces of a session.
    pub namespaces_max: u16,
    /// Rooms of a session.
    pub session_rooms_max: u16,
    /// Rooms of a shard.
    pub shard_rooms_max: u32,
    /// Attachments of a packet.
    pub attachments_max: u16,
    /// Packets in a session's queue.
    pub queue_packets_max: u32,
    /// Bytes in a session's queue.
    pub queue_bytes_max: u32,
    /// Bytes in all queues of a shard; beyond it newcomers are refused.
    pub shard_queue_bytes_max: u64,
    /// Bytes of unfinished messages of a shard; beyond it newcomers are refused, and whoever adds to it is cut off.
    pub shard_input_bytes_max: u64,
    /// What happens to members that read too slowly.
    pub slow_consumers: SlowConsumerRules,
    /// Keys that verify tokens.
    pub keys: Keys,
    /// Which browser origins may come.
    pub origins: Origins,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// Which header those write.
    pub proxy_header: ProxyHeaderName,
    /// Rates and bursts.
    pub rates: RateLimits,
    /// The application behind links, if there is one.
    pub upstream: Option<UpstreamSettings>,
    /// Files beneath directories, if any are served.
    pub files: Option<FilesSettings>,
    /// Uploads, if any are taken.
    pub uploads: Option<UploadsService>,
    /// Keys that sign URLs of files, if there are any.
    pub url_keys: Option<Arc<UrlKeys>>,
    /// What `--dev` serves beside the sockets, by path.
    pub assets: BTreeMap<String, Asset>,
}

/// An application whose workers join by links.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Namespaces that stay the daemon's own; all others are the application's.
    pub native: BTreeSet<String>,
    /// What decides which worker a client gets.
    pub affinity: Affinity,
    /// How links and clients meet.
    pub exchange: ExchangeSettings,
}

/// How uploads are taken.
#[derive(Clone, Debug)]
pub struct UploadsService {
    /// How they behave.
    pub uploads: UploadsSettings,
    /// Pieces of memory of each shard that bodies go through on their way to the disk.
    pub buffers: u32,
    /// Bytes of each.
    pub buffer_bytes: u32,
    /// How long a client may send nothing in the middle of a body.
    pub idle_timeout_ms: u32,
    /// The native namespace whose rooms uploads may name.
    pub namespace: String,
    /// How long a URL lives that members of a room are given.
    pub url_seconds: u64,
    /// The root of whole files, and what the path of their URLs begins with.
    pub whole_root: u32,
    /// See there.
    pub whole_prefix: String,
}

/// A file served from memory.
#[derive(Clone)]
pub struct Asset {
    /// `text/html; charset=utf-8`
    pub content_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Settings {
    /// These settings with what may change while clients are connected taken from `fresh`: keys, origins, proxies and limits. What clients were
    /// told when they came (ping interval, payload), and what connections were made with, stays.
    #[must_use]
    pub fn reloaded(&self, fresh: &Self) -> Self {
        Self {
            head_timeout_ms: fresh.head_timeout_ms,
            keep_alive_timeout_ms: fresh.keep_alive_timeout_ms,
            head_bytes_max: fresh.head_bytes_max,
            sessions_max: fresh.sessions_max,
            namespaces_max: fresh.namespaces_max,
            session_rooms_max: fresh.session_rooms_max,
            shard_rooms_max: fresh.shard_rooms_max,
            attachments_max: fresh.attachments_max,
            queue_packets_max: fresh.queue_packets_max,
            queue_bytes_max: fresh.queue_bytes_max,
            shard_queue_bytes_max: fresh.shard_queue_bytes_max,
            shard_input_bytes_max: fresh.shard_input_bytes_max,
            slow_consumers: fresh.slow_consumers.clone(),
            keys: fresh.keys.clone(),
            origins: fresh.origins.clone(),
            trusted_proxies: fresh.trusted_proxies.clone(),
            proxy_header: fresh.proxy_header,
            rates: fresh.rates.clone(),
            ..self.clone()
        }
    }

    pub(crate) const fn http_bounds(&self) -> http1::Bounds {
        http1::Bounds {
            head_bytes_max: self.head_bytes_max,
            body_bytes_max: self.post_bytes_max() as u64,
        }
    }

    /// What a POST of several messages may have. Clients stop filling one at what they were told of, and count too little for messages in base64: for one
    /// byte, which is six with its mark and what separates it from the next, four.
    pub(crate) const fn post_bytes_max(&self) -> u32 {
        self.payload_bytes_max
            .saturating_add(self.payload_bytes_max / 2)
    }

    /// Of a WebSocket, `deflate` if it agreed to permessage-deflate.
    pub(crate) const fn websocket_bounds(&self, deflate: bool) -> ws::Bounds {
        ws::Bounds {
            message_bytes_max: self.payload_bytes_max,
            fragments_max: self.fragments_max,
            deflate,
        }
    }

    pub(crate) const fn packet_bounds(&self) -> socketio::Bounds {
        socketio::Bounds {
            namespace_bytes_max: match self.upstream {
                Some(_) => SPACE_NAME_BYTES_MAX as u16,
                None => NAMESPACE_BYTES_MAX,
            },
            attachments_max: self.attachments_max,
            message_bytes_max: self.payload_bytes_max,
        }
    }

    pub(crate) const fn outbox_bounds(&self) -> OutboxBounds {
        OutboxBounds {
            packets_max: self.queue_packets_max as usize,
            bytes_max: self.queue_bytes_max as usize,
        }
    }

    pub(crate) fn rooms_bounds(&self) -> RoomsBounds {
        RoomsBounds {
            rooms_max: self.shard_rooms_max as usize,
            rooms_per_member_max: usize::from(self.session_rooms_max),
            messages: if self.dev {
                Rate::default()
            } else {
                self.rates.room_messages
            },
            slow_consumers: self.slow_consumers.clone(),
            deflate: self.deflate,
        }
    }
}
