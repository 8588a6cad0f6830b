//! The configuration: a TOML file, `RINGWAY_*` variables over it, flags over both; unknown keys are errors.
//!
//! A variable names its key with two underscores between the parts: `RINGWAY_ENGINE__PING_INTERVAL_MS=10000`.
//! What the values mean to shards and sessions is decided in [`crate::settings`].

use crate::start::StartError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Anonymous clients, no rate limits, demo page and echo endpoints.
    pub dev: bool,
    /// Where clients connect.
    pub listen: Listen,
    /// Where operators connect.
    pub admin: Admin,
    /// Threads and their memory.
    pub shards: Shards,
    /// Engine.IO.
    pub engine: Engine,
    /// WebSocket.
    pub websocket: WebSocket,
    /// Who may come in.
    pub auth: Auth,
    /// Browser origins.
    pub origins: Origins,
    /// Proxies in front.
    pub proxies: Proxies,
    /// What peers may cost.
    pub limits: Limits,
    /// Rooms.
    pub rooms: Rooms,
    /// Files over HTTP.
    pub files: Files,
    /// Uploads over HTTP.
    pub uploads: Uploads,
    /// The application behind the daemon.
    pub link: Link,
    /// Who serves which namespace.
    pub namespaces: Namespaces,
    /// Stopping.
    pub drain: Drain,
    /// Log lines.
    pub log: Log,
}

macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
        impl Default for $name {
            fn default() -> Self { Self { $($field: $default,)* } }
        }
    };
}

section! {
    /// Where clients connect.
    Listen {
        /// Address and port.
        address: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7300)),
        /// Connections that the kernel holds before a shard takes them.
        backlog: u32 = 4096,
        /// Unsent bytes that the kernel holds for one connection (TCP_NOTSENT_LOWAT).
        notsent_bytes_max: u32 = 16 * 1024,
    }
}
section! {
    /// Where operators connect.
    Admin {
        /// Address and port; keep it private.
        address: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7301)),
        /// A file with the bearer token that `/api/v1` asks for. Without one `/api/v1` answers loopback peers only.
        token_file: Option<PathBuf> = None,
    }
}
section! {
    /// Threads and their memory.
    Shards {
        /// How many; 0 means one per allowed CPU.
        count: u16 = 0,
        /// Connections per shard.
        connections_max: u32 = 19_000,
        /// Receive buffers per shard.
        receive_buffers: u16 = 512,
        /// Bytes of each receive buffer.
        receive_buffer_bytes: u32 = 4096,
        /// Threads beside the shards, which verify signatures and compress.
        compute_threads: u16 = 2,
        /// Bytes of all rings between shards together.
        mesh_bytes_max: usize = 64 << 20,
    }
}
section! {
    /// Engine.IO.
    Engine {
        /// The path of Engine.IO requests.
        path: String = "/socket.io/".to_owned(),
        /// Time between pings.
        ping_interval_ms: u32 = 25_000,
        /// Time for the pong.
        ping_timeout_ms: u32 = 20_000,
        /// Time for the first CONNECT, and for the upgrade probe.
        connect_timeout_ms: u32 = 45_000,
        /// The largest message. A POST of a polling client, which may have many, may have half more.
        payload_bytes_max: u32 = 1_000_000,
    }
}
section! {
    /// Files over HTTP.
    Files {
        /// Directories whose files are served, each under a path.
        roots: Vec<FileRoot> = Vec::new(),
        /// Keys that sign URLs of files; the first signs, all verify.
        url_keys: Vec<UrlKey> = Vec::new(),
        /// A directory beneath which it is written down that a one-time URL was used, so that it stays used when the daemon starts again; without one that is `uploads.directory`,
        /// and without that one, too, it is forgotten when the daemon ends.
        used_urls: Option<PathBuf> = None,
        /// Bytes of small files that each shard keeps in memory.
        cache_bytes_max: usize = 16 << 20,
        /// Names of which each shard remembers whether there is such a file, and which.
        cache_names_max: usize = 2048,
        /// Larger files are not kept in memory.
        cache_file_bytes_max: u32 = 64 * 1024,
        /// How long a file that has changed may still be served as it was.
        revalidate_ms: u32 = 1000,
        /// Pieces of locked memory that each shard reads files into which are not in memory.
        slots: u16 = 16,
        /// Bytes of each.
        slot_bytes: u32 = 128 * 1024,
        /// Whether what was read into them is sent without a copy (SEND_ZC) where the kernel's notices say that it is avoided; where they do not, it is tried ever more rarely.
        zero_copy: bool = true,
        /// Files that each shard may have open, 64 at least: three eighths are for bodies of uploads, three for files that are kept open to be served, one for beginning and ending uploads, and the rest for opening others.
        open_max: u32 = 1024,
        /// Whether what compresses and has no compressed file beside it is compressed while it is sent.
        compress: bool = true,
        /// Smaller files are not.
        compress_bytes_min: u64 = 1024,
        /// Nor are larger ones.
        compress_bytes_max: u64 = 8 << 20,
        /// From 1 to 9; 0: never to zstd.
        compress_zstd_level: u8 = 3,
        /// From 1 to 9; 0: never to brotli. Above 4 it takes tens of MiB for each transfer.
        compress_brotli_quality: u8 = 4,
        /// From 1 to 9; 0: never to gzip.
        compress_gzip_level: u8 = 4,
        /// Bytes of memory that compressing takes on each shard at most; beyond it files go out as they are.
        compress_memory_bytes_max: usize = 64 << 20,
        /// What a file was compressed to is kept in memory, beside the small files, if it is no longer than this.
        compress_kept_bytes_max: usize = 1 << 20,
        /// Pieces of files that each shard has compressed at a time.
        compress_jobs_max: usize = 4,
    }
}
section! {
    /// Uploads over HTTP (tus 1.0.0).
    Uploads {
        /// Where they are kept; without it none are taken.
        directory: Option<PathBuf> = None,
        /// Bytes of one.
        bytes_max: u64 = 64 << 30,
        /// Bytes of all of one user.
        user_bytes_max: u64 = 256 << 30,
        /// Uploads of one user, finished ones among them until they are forgotten.
        user_uploads_max: u32 = 4096,
        /// Bodies of one user that come in at a time, on each shard; all users together have three eighths of `files.open_max`, and one of them at most half of those.
        user_bodies_max: u32 = 128,
        /// Uploads of each shard.
        uploads_max: u32 = 65_536,
        /// How long an unfinished one is kept after its last bytes.
        expire_seconds: u64 = 24 * 3600,
        /// How long a finished one is remembered; its file stays.
        remember_seconds: u64 = 24 * 3600,
        /// After so many bytes of one request what came is synced, so that a cut costs less than that.
        checkpoint_bytes: u64 = 64 << 20,
        /// Writes of one request that the disk has at a time.
        writes_max: u32 = 4,
        /// Pieces of memory of each shard that bodies go through on their way to the disk; while they are encrypted each has a second one.
        buffers: u32 = 64,
        /// Bytes of each.
        buffer_bytes: u32 = 512 * 1024,
        /// How long a client may send nothing in the middle of a body.
        idle_timeout_ms: u32 = 60_000,
        /// The native namespace whose rooms uploads may name.
        namespace: String = "/".to_owned(),
        /// How long a URL lives that members of a room get.
        url_seconds: u64 = 3600,
        /// Files with a master key each, 32 random bytes as they are or in base64. With one, new uploads are encrypted by the first; the others are for what they encrypted.
        key_files: Vec<PathBuf> = Vec::new(),
    }
}
/// A directory whose files are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRoot {
    /// What the path of its URLs begins with.
    #[serde(default = "files_prefix")]
    pub prefix: String,
    /// The directory.
    pub directory: PathBuf,
    /// Everybody may read; otherwise whoever has a signed URL.
    #[serde(default)]
    pub public: bool,
    /// The file that stands for a directory; without one directories are not there.
    #[serde(default)]
    pub index: Option<String>,
    /// The value of Cache-Control.
    #[serde(default)]
    pub cache_control: Option<String>,
    /// Whether `a.js.zst`, `a.js.br` and `a.js.gz` are sent for `a.js` to clients that take them.
    #[serde(default = "yes")]
    pub precompressed: bool,
    /// Whether files beneath it are compressed while they are sent, if `files.compress` is not off.
    #[serde(default = "yes")]
    pub compress: bool,
    /// Whether browsers are told to save everything and show nothing: for files that strangers wrote.
    #[serde(default)]
    pub always_download: bool,
}

fn files_prefix() -> String {
    "/files/".to_owned()
}

const fn yes() -> bool {
    true
}

/// A key that signs URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlKey {
    /// Its name, which stands in the URLs.
    pub id: String,
    /// A file with at least 32 bytes.
    pub file: PathBuf,
}

section! {
    /// The application behind the daemon (docs/link.md).
    Link {
        /// Where its workers join: `unix:PATH` or `tcp://ADDRESS`; without any, every namespace is the daemon's own.
        listen: Vec<String> = Vec::new(),
        /// The application whose workers may join: the main one, which has the namespace `/` and all that no other one has.
        application: String = "default".to_owned(),
        /// Applications beside it, each with the namespaces that are its own alone (`*` at the end stands for anything): clients reach all of them over
        /// one connection.
        applications: BTreeMap<String, Vec<String>> = BTreeMap::new(),
        /// What two clients have in common that are to have one worker, of the request that opens the connection: `header:NAME`, `cookie:NAME`, `query:NAME` or
        /// `address`. Without it, or when a client does not say it, it gets the worker that has least to do.
        affinity: String = String::new(),
        /// Namespaces of one application that its clients may name, where it has dynamic ones: whoever asks for a new one beyond is refused (CONNECT_ERROR, RW-2616).
        /// What the application names itself has room for a sixteenth more. One costs some 1.5 KB and its name, on each shard.
        namespaces_max: u32 = 16_384,
        /// A file with the secret that workers must prove over TCP; at least 16 bytes.
        secret_file: Option<PathBuf> = None,
        /// Allow TCP beyond loopback: what goes over it can be read on the way.
        plaintext: bool = false,
        /// How long a worker whose link was cut may take to come back.
        grace_ms: u32 = 500,
        /// How long clients wait for a worker.
        hold_ms: u32 = 30_000,
        /// Events that a worker was sent and had not dealt with when it died go to the next one, which may so hear some twice; otherwise they are lost with it.
        redeliver: bool = false,
        /// What becomes of clients whose worker died: `keep`, all go on with the next one; `strict`, those that wait for an acknowledgement of it are closed
        /// (RW-2606), come back by themselves, and may ask again.
        on_worker_loss: OnWorkerLoss = OnWorkerLoss::Keep,
        /// How many clients of workers that leave go to others in a second: each runs the application's middlewares there.
        migrations_per_second: u32 = 200,
        /// How long what clients say waits for more that goes with it, when many speak to one worker at once (by more than twelve thousand events a second): a worker pays
        /// more for being woken than for an event. 0: never.
        coalesce_us: u32 = 200,
        /// How long a worker may deal with nothing of what it was sent; then its clients go to others, and it gets none. 0: for ever.
        stall_ms: u32 = 10_000,
        /// How long a worker may flood: so much longer many clients could not take what it said, and it was made to wait and said more, than it was not. Then its clients go to
        /// other workers of its application, and it is not read for a while (RW-2614); one that is alone is only made to wait. 0: for ever.
        flood_ms: u32 = 30_000,
        /// So many failures of workers of one name (those without a name count as one) within `failures_within_ms` open their circuit: the next one gets no
        /// clients for a while, and then one to begin with. Failures are deaths of workers that did not live longer, and links that were refused for what
        /// they said. 0: never.
        failures_max: u32 = 5,
        /// A client on whom so many workers in a row died by an exception, and that was alone with the last of them, is told to go and not to come back (RW-2615). From the last
        /// death but one on it waits until it is tried, apart from those with whom workers live. 0: clients are not looked at.
        client_deaths_max: u32 = 3,
        /// The time within which failures are counted.
        failures_within_ms: u32 = 60_000,
        /// How long such a worker waits for its one client; each time in a row twice as long.
        isolate_ms_min: u32 = 1_000,
        /// The longest such time; half of `hold_ms` at most.
        isolate_ms_max: u32 = 10_000,
        /// What becomes of clients when all workers are kept from them: `hold`, they wait for `hold_ms`; `refuse`, they are told at once to come later (RW-2603).
        on_failure: OnFailure = OnFailure::Hold,
    }
}

/// What becomes of clients whose worker died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnWorkerLoss {
    /// They go on with the next one.
    Keep,
    /// Those that wait for an acknowledgement are closed.
    Strict,
}

/// What becomes of clients when all workers are kept from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// They wait.
    Hold,
    /// They are closed, and come again.
    Refuse,
}
section! {
    /// Who serves which namespace.
    Namespaces {
        /// Namespaces that stay the daemon's own beside an application.
        native: Vec<String> = Vec::new(),
    }
}
section! {
    /// WebSocket.
    WebSocket {
        /// Offer permessage-deflate (RFC 7692), without context takeover.
        deflate: bool = false,
        /// Fragments of one message.
        fragments_max: u32 = 16_384,
    }
}
section! {
    /// Who may come in.
    Auth {
        /// Keys that verify tokens.
        keys: Vec<Key> = Vec::new(),
        /// The `iss` that tokens must carry.
        issuer: Option<String> = None,
        /// The `aud` that tokens must carry.
        audience: Option<String> = None,
        /// Tolerated difference of clocks.
        leeway_seconds: u32 = 5,
    }
}

/// A key that verifies tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The `kid` that tokens name.
    pub id: String,
    /// HS256, RS256, ES256 or EdDSA.
    pub algorithm: String,
    /// The file: the secret's bytes for HS256, a PEM public key otherwise.
    pub file: PathBuf,
    /// A PEM private key, for `ringway token` only.
    #[serde(default)]
    pub private_file: Option<PathBuf>,
}

section! {
    /// Browser origins.
    Origins {
        /// Exact origins, `https://*.example.com`, or `*`. Empty: same host only.
        allowed: Vec<String> = Vec::new(),
    }
}
section! {
    /// Proxies in front.
    Proxies {
        /// Networks whose forwarding headers and PROXY v2 prefix are believed.
        trusted: Vec<String> = Vec::new(),
        /// The header that they write: `forwarded`, `x-forwarded-for`, or `any` (a request with both must say the same in both).
        header: ProxyHeader = ProxyHeader::Any,
    }
}
/// The header in which proxies name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// Either.
    Any,
    /// RFC 7239.
    Forwarded,
    /// What most write.
    XForwardedFor,
}

section! {
    /// What peers may cost. Rates are per second, bursts are counts; a rate of zero, and zero connections of an address, mean unlimited.
    Limits {
        /// Events per connection.
        connection_events_per_second: u32 = 100,
        /// Burst of the above.
        connection_events_burst: u32 = 200,
        /// Events per user (the token's subject), on one shard.
        user_events_per_second: u32 = 200,
        /// Burst of the above.
        user_events_burst: u32 = 400,
        /// Messages per room.
        room_messages_per_second: u32 = 10_000,
        /// Burst of the above.
        room_messages_burst: u32 = 20_000,
        /// Events per address.
        address_events_per_second: u32 = 2_000,
        /// Burst of the above.
        address_events_burst: u32 = 4_000,
        /// New connections per address.
        address_connections_per_second: u32 = 100,
        /// Burst of the above.
        address_connections_burst: u32 = 1_000,
        /// Connections per address at a time, on one shard; one whose session lives on another shard needs a place there, and is answered 429 (RW-2205)
        /// if there is none.
        address_connections_max: u32 = 10_000,
        /// Bytes of files per connection.
        connection_download_bytes_per_second: u64 = 0,
        /// Burst of the above.
        connection_download_burst_bytes: u64 = 256 * 1024,
        /// Bytes of files per user (the subject of a token or a signed URL), on one shard.
        user_download_bytes_per_second: u64 = 0,
        /// Burst of the above.
        user_download_burst_bytes: u64 = 1 << 20,
        /// Packets queued for one slow session.
        queue_packets_max: u32 = 256,
        /// Bytes queued for one slow session. A packet counts its frames, the names of its room and key, some 110 bytes of its own, and its frames
        /// once more where `websocket.deflate` may need a compressed copy.
        queue_bytes_max: u32 = 1 << 20,
        /// Bytes queued on one shard, counted alike: a packet for a thousand sessions counts a thousand times; new connections are refused beyond it. Answers of files may
        /// have a quarter of it.
        shard_queue_bytes_max: u64 = 256 << 20,
        /// Bytes of unfinished requests and messages on one shard; beyond it new connections are refused, and whoever adds to it is cut off.
        shard_input_bytes_max: u64 = 256 << 20,
        /// Sessions per shard.
        shard_sessions_max: u32 = 25_000,
        /// Time for a request head; each 1,000 bytes of a polling body add a second.
        head_timeout_ms: u32 = 10_000,
        /// How long a connection may idle between two requests.
        keep_alive_timeout_ms: u32 = 60_000,
        /// Bytes of a request head.
        head_bytes_max: u32 = 16 * 1024,
        /// Namespaces per session, with those that it has asked for and has no answer about. One more of an application's is refused (CONNECT_ERROR), one more of
        /// the daemon's own ends the session (RW-2010).
        namespaces_max: u16 = 64,
        /// Rooms per session.
        session_rooms_max: u16 = 256,
        /// Rooms per shard.
        shard_rooms_max: u32 = 100_000,
        /// Attachments of one packet.
        attachments_max: u16 = 32,
    }
}
section! {
    /// Rooms.
    Rooms {
        /// What happens to members that read too slowly, by pattern; the first match counts, else `disconnect`.
        slow_consumers: Vec<SlowConsumer> = Vec::new(),
    }
}

/// What happens to slow members of the rooms that match a pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowConsumer {
    /// Rooms, `*` stands for anything: `ticker:*`.
    pub pattern: String,
    /// What happens.
    pub policy: SlowConsumerPolicy,
}

/// What happens to a member whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlowConsumerPolicy {
    /// Its connection is closed with the reason.
    Disconnect,
    /// Its oldest queued message of the room goes; the numbers show the gap.
    DropOldest,
    /// A newer message of the same key replaces the queued one; the numbers show the gap.
    Conflate,
}

section! {
    /// Stopping.
    Drain {
        /// Everything is closed within this time after SIGTERM.
        deadline_ms: u32 = 30_000,
    }
}
section! {
    /// Log lines.
    Log {
        /// `text` or `json`.
        format: LogFormat = LogFormat::Text,
        /// error, warn, info, debug or trace.
        level: String = "info".to_owned(),
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Config {
    /// Reads the file, lays environment and overrides over it, and checks every key.
    ///
    /// # Errors
    /// RW-1011 when the file cannot be read, RW-1008 for an unknown key, RW-1009 for a value that does not fit.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, StartError> {
        let mut table = file.map_or_else(|| Ok(Table::new()), read_file)?;
        for (name, value) in environment {
            if let Some(path) = environment_path(&name)? {
                lay(&mut table, &path, parse_value(&value))?;
            }
        }
        for entry in overrides {
            let (path, value) = entry
                .split_once('=')
                .ok_or_else(|| StartError::invalid_value(entry, "expected KEY=VALUE"))?;
            lay(&mut table, path, parse_value(value))?;
        }
        serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| refuse(&error))
    }
}

fn read_file(path: &Path) -> Result<Table, StartError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| StartError::config_unreadable(path, &error.to_string()))?;
    text.parse()
        .map_err(|error: toml::de::Error| StartError::config_unreadable(path, &error.to_string()))
}

/// `RINGWAY_ENGINE__PATH` is `engine.path`, and what looks like a setting and is none is an error. `RINGWAY_TEST_…` and `RINGWAY_COMPAT_…` belong to the
/// tests.
fn environment_path(name: &str) -> Result<Option<String>, StartError> {
    let Some(rest) = name.strip_prefix("RINGWAY_") else {
        return Ok(None);
    };
    if rest.starts_with("TEST_") || rest.starts_with("COMPAT_") {
        return Ok(None);
    }
    if rest != "DEV" && !rest.contains("__") {
        let what = "a variable names its key with two underscores between the parts";
        return Err(StartError::unknown_key(name, what));
    }
    Ok(Some(rest.to_ascii_lowercase().replace("__", ".")))
}

/// A TOML value if it reads as one, else the text itself: `--set listen.address=0.0.0.0:7300` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn lay(table: &mut Table, path: &str, value: Value) -> Result<(), StartError> {
    let Some((section, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return Ok(());
    };
    let inner = table
        .entry(section.to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    let inner = inner
        .as_table_mut()
        .ok_or_else(|| StartError::invalid_value(path, "is inside something that is no table"))?;
    lay(inner, rest, value)
}

fn refuse(error: &serde_path_to_error::Error<toml::de::Error>) -> StartError {
    let what = error.inner().message().to_owned();
    let path = error.path().to_string();
    if what.starts_with("unknown field") {
        StartError::unknown_key(&path, &what)
    } else {
        StartError::invalid_value(&path, &what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], overrides: &[&str]) -> Result<Config, StartError> {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let overrides: Vec<String> = overrides.iter().map(|entry| (*entry).to_owned()).collect();
        Config::load(None, environment, &overrides)
    }

    #[test]
    fn flags_go_over_environment() {
        let config = load(
            &[
                ("RINGWAY_ENGINE__PING_INTERVAL_MS", "7"),
                ("RINGWAY_LOG__FORMAT", "json"),
            ],
            &["engine.ping_interval_ms=9"],
        );
        let config = config.unwrap();
        assert_eq!(
            (config.engine.ping_interval_ms, config.log.format),
            (9, LogFormat::Json)
        );
    }

    #[test]
    fn a_variable_that_is_no_setting_is_refused() {
        for name in ["RINGWAY_ENGINE_PING_INTERVAL_MS", "RINGWAY_BOGUS"] {
            let error = load(&[(name, "1")], &[]).unwrap_err();
            assert_eq!(error.code, "RW-1008");
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(load(&[("RINGWAY_TEST_BINARY", "x"), ("OTHER", "y")], &[]).is_ok());
    }

    #[test]
    fn unquoted_text_is_text() {
        assert_eq!(
            load(&[], &["listen.address=0.0.0.0:80"])
                .unwrap()
                .listen
                .address
                .port(),
            80
        );
    }

    #[track_caller]
    fn check_refused(overrides: &[&str], code: &str, names: &str) {
        let error = load(&[], overrides).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().contains(names), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        check_refused(
            &["engine.ping_intervall_ms=9"],
            "RW-1008",
            "ping_intervall_ms",
        );
        check_refused(&["engin.path=x"], "RW-1008", "engin");
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        check_refused(
            &["engine.ping_interval_ms=soon"],
            "RW-1009",
            "engine.ping_interval_ms",
        );
        check_refused(&["log.format=xml"], "RW-1009", "log.format");
        check_refused(&["dev"], "RW-1009", "KEY=VALUE");
    }
}
