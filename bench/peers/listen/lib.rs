//! How every peer in Rust starts: `--port N`, as many descriptors as the host allows, a listener on loopback, and the line `ready`.
//!
//! Nothing ends a peer but SIGTERM, whose default action is what they want: no handler is installed here.

use rustix::net::{listen, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// How many connections may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
pub const BACKLOG: i32 = 16 * 1024;

/// The port that the command line names.
///
/// # Panics
/// If it names none: a peer is started by the benchmark alone.
#[must_use]
pub fn port() -> u16 {
    port_and("").0
}

/// The port, and whether `option` stands before it.
///
/// # Panics
/// If the command line says anything else.
#[must_use]
pub fn port_and(option: &str) -> (u16, bool) {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (port, is_set) = match words.as_slice() {
        [flag, port] if flag == "--port" => (port, false),
        [first, flag, port] if first == option && flag == "--port" => (port, true),
        _ => panic!("usage: {option} --port N"),
    };
    let port = port.parse().expect("a port is a number below 65536");
    (port, is_set)
}

/// Lifts the soft limit of open descriptors to the hard one.
///
/// # Errors
/// What the kernel answers.
pub fn raise_descriptors() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?)
}

/// A listener on 127.0.0.1 that does not block. What it accepts inherits TCP_NODELAY, which spares a system call per connection.
///
/// # Errors
/// If the port is taken.
pub fn bind(port: u16) -> io::Result<TcpListener> {
    raise_descriptors()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    // Listening again only replaces the backlog, which std sets to 128.
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Tells whoever started this process that connections are accepted.
pub fn ready() {
    println!("ready");
}
