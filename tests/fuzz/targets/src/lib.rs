//! What must hold for any bytes: one function per parser. The fuzzer in `tests/fuzz/run` calls them with what it invents, `tests/corpus.rs`
//! with what it found before.
//!
//! Each asserts properties (round trips, equal results wherever a stream is cut, bounds, an independent reading of the same bytes), not only
//! that nothing panics. Parsers that are private to the service are reached as clients reach them: by bytes on connections of a `Hub`.

mod client;
mod command;
mod config;
mod deflate;
mod engineio;
mod forwarded;
mod http1;
mod hub;
mod input;
mod link;
mod path;
mod range;
mod sid;
mod socketio;
mod stored;
mod stream_compress;
mod stream_mux;
mod stream_segments;
mod token;
mod tus;
mod world;
mod ws;

pub use command::command;
pub use config::config;
pub use deflate::deflate;
pub use engineio::engineio;
pub use forwarded::{forwarded, proxy_v2};
pub use http1::http1;
pub use hub::hub;
pub use link::link;
pub use path::path;
pub use range::range;
pub use sid::sid;
pub use socketio::socketio;
pub use stored::stored;
pub use stream_compress::{stream_brotli, stream_deflate, stream_lz4, stream_zstd};
pub use stream_mux::stream_mux;
pub use stream_segments::stream_segments;
pub use token::token;
pub use tus::tus;
pub use ws::ws;

/// A target: panics when a property does not hold.
pub type Target = fn(&[u8]);

/// All targets by name; each has a folder of that name in `tests/fuzz/corpus` and a binary in `tests/fuzz/run`.
pub const TARGETS: [(&str, Target); 23] = [
    ("command", command),
    ("config", config),
    ("deflate", deflate),
    ("engineio", engineio),
    ("forwarded", forwarded),
    ("http1", http1),
    ("hub", hub),
    ("link", link),
    ("path", path),
    ("proxy_v2", proxy_v2),
    ("range", range),
    ("sid", sid),
    ("socketio", socketio),
    ("stored", stored),
    ("stream_brotli", stream_brotli),
    ("stream_deflate", stream_deflate),
    ("stream_lz4", stream_lz4),
    ("stream_mux", stream_mux),
    ("stream_segments", stream_segments),
    ("stream_zstd", stream_zstd),
    ("token", token),
    ("tus", tus),
    ("ws", ws),
];
