//! Bytes to values and back: HTTP/1, WebSocket, Engine.IO, Socket.IO, the link to workers. Sans-IO: bytes (and time) in, values out.
//!
//! Deliberately absent: sockets, clocks, randomness, policy.

pub mod engineio;
pub mod http1;
pub mod link;
mod quoted;
pub mod socketio;
pub mod tus;
pub mod ws;
