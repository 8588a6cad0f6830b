//! Clients made of bytes drive one or several hubs over rings in memory.
//!
//! Deliberately absent: the real loop and sockets.

mod clients;
mod hostile;
mod proxies;
mod vectors;
mod world;
