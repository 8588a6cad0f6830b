//! A client's socket, of whatever protocol.

use rustix::fd::OwnedFd;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Connects from `source`, each of which has its own ports, and waits for nothing from then on. A receive buffer of 0 bytes is the kernel's choice; one that is
/// chosen must be so before the peer hears of the window.
pub(crate) fn dial(
    source: Ipv4Addr,
    server: SocketAddrV4,
    recv_buffer_bytes: usize,
) -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if recv_buffer_bytes > 0 {
        sockopt::set_socket_recv_buffer_size(&socket, recv_buffer_bytes)?;
    }
    net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    net::connect(&socket, &server)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}
