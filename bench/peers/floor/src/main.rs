//! The floor: the bare dialect in a server written by hand over epoll, on one thread. What is slower than this pays for something.
//!
//! With `--each` every message is written to every member by itself: what fan-out costs without joining.
//!
//! Deliberately absent: timeouts, limits of connections, statistics, drains; a server that must live needs them.

mod connections;
mod frame;
mod handshake;
mod rooms;
mod server;

fn main() -> std::io::Result<()> {
    let (port, each) = peer_listen::port_and("--each");
    let joined_bytes_max = if each { 0 } else { rooms::JOINED_BYTES_MAX };
    let mut server = server::Server::new(peer_listen::bind(port)?, joined_bytes_max)?;
    peer_listen::ready();
    server.run()
}
