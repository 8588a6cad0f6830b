//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// A socket that is bound to `address` together with the other shards' (SO_REUSEPORT); nobody can connect before [`listen`]. What is set here is
/// inherited by what it accepts: no delay, keep-alive at the host's intervals, and at most about `notsent_bytes_max` unsent bytes in the kernel
/// (TCP_NOTSENT_LOWAT), so that a member that does not read costs little.
///
/// # Errors
/// As of socket(2) and bind(2).
pub fn bind_shared(address: SocketAddr, notsent_bytes_max: u32) -> io::Result<OwnedFd> {
    let fd = socket(address)?;
    set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    set_option(&fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set_option(
        &fd,
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        notsent_bytes_max as i32,
    )?;
    bind(&fd, address)?;
    Ok(fd)
}

/// A socket that is bound to `address` and refuses to share it with whoever listens there. It is not to listen itself: what a client had connected to it
/// would be reset when it goes, and would keep the port from [`bind_shared`].
///
/// # Errors
/// As of socket(2) and bind(2): EADDRINUSE while somebody listens.
pub fn bind_alone(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = socket(address)?;
    bind(&fd, address)?;
    Ok(fd)
}

/// From now on clients connect to the bound socket; they wait until somebody accepts them.
///
/// # Errors
/// As of listen(2).
pub(crate) fn listen(fd: &OwnedFd, backlog: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::listen(fd.as_raw_fd(), backlog as i32) }).map(drop)
}

fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: no memory is involved.
    let raw = checked(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `raw` was just made and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    Ok(fd)
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn set_option(fd: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option value is an int on the stack, read during the call.
    checked(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as u32,
        )
    })
    .map(drop)
}

fn bind(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let result = match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: a whole sockaddr_in on the stack, read during the call.
            unsafe {
                libc::bind(
                    fd.as_raw_fd(),
                    (&raw const raw).cast(),
                    size_of::<libc::sockaddr_in>() as u32,
                )
            }
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: a whole sockaddr_in6 on the stack, read during the call.
            unsafe {
                libc::bind(
                    fd.as_raw_fd(),
                    (&raw const raw).cast(),
                    size_of::<libc::sockaddr_in6>() as u32,
                )
            }
        }
    };
    checked(result).map(drop)
}
