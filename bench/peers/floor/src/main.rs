//! The floor: the bare dialect in a server written by hand over epoll, on one thread. What is slower than this pays for something.
//!
//! Deliberately absent: timeouts, limits of connections, statistics, drains; a server that must live needs them.

mod connections;
mod frame;
mod handshake;
mod rooms;
mod server;

fn main() -> std::io::Result<()> {
    let listener = peer_listen::bind(peer_listen::port())?;
    let mut server = server::Server::new(listener)?;
    peer_listen::ready();
    server.run()
}
