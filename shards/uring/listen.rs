//! Listening sockets: of TCP, and of this host alone.

use ringway_io::Peer;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

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

/// A Unix stream socket at `path`, which only those may connect to whom `mode` lets write (0600: this user), whatever the umask and at no time
/// anybody else. Its peers' users are in [`ringway_io::Peer::Unix`].
///
/// What a daemon that died has left at `path` makes way; what is no socket, a symbolic link, or a socket that somebody listens at does not. A socket
/// that is bound and does not listen yet looks like one that was left: two daemons that start at once need another claim on what they share.
///
/// # Errors
/// AlreadyExists and AddrInUse as said, with the path; as of socket(2) and bind(2).
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let address = unix_address(path)?;
    // The file gets the mode of the socket's own inode (unix(7) is silent, unix_bind_bsd of the kernel is not), less the umask.
    let fd = File::from(stream_socket(libc::AF_UNIX, 0)?);
    fd.set_permissions(Permissions::from_mode(mode))?;
    let fd = OwnedFd::from(fd);
    bind_or_replace(&fd, path, &address)?;
    widen(path, mode)?;
    Ok(fd)
}

fn bind_or_replace(fd: &OwnedFd, path: &Path, address: &libc::sockaddr_un) -> io::Result<()> {
    match bind_to(fd, address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        outcome => return outcome,
    }
    demand_stale(path, address)?;
    fs::remove_file(path)?;
    bind_to(fd, address)
}

/// Nobody listens at the socket that stands there. Whoever may not connect to it, or finds its queue full, does not know that.
fn demand_stale(path: &Path, address: &libc::sockaddr_un) -> io::Result<()> {
    let refusal = |kind, why| Err(io::Error::new(kind, format!("{}: {why}", path.display())));
    // Of the name itself: a connect would follow a link and ask for another socket than the one that would be removed.
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return refusal(ErrorKind::AlreadyExists, "exists and is no socket");
    }
    let asker = stream_socket(libc::AF_UNIX, libc::SOCK_NONBLOCK)?;
    match connect(&asker, address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            refusal(error.kind(), "is the socket of another user")
        }
        _ => refusal(ErrorKind::AddrInUse, "somebody listens there"),
    }
}

/// Gives back what the umask has taken from the mode. By a handle of the file itself, since a chmod of its name would follow a link.
fn widen(path: &Path, mode: u32) -> io::Result<()> {
    if fs::symlink_metadata(path)?.permissions().mode() & 0o777 == mode {
        return Ok(());
    }
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let handle = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(handle, Permissions::from_mode(mode))
}

/// An empty path would let the kernel choose a name that anybody may connect to.
fn unix_address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: a sockaddr_un of zeroes is a valid value.
    let mut address = unsafe { core::mem::zeroed::<libc::sockaddr_un>() };
    address.sun_family = libc::AF_UNIX as u16;
    let bytes = path.as_os_str().as_bytes();
    // Shorter, so that a zero ends it.
    let fits = (1..address.sun_path.len()).contains(&bytes.len());
    if !fits || bytes.contains(&0) {
        let why = format!("{}: no path for a socket", path.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

/// Whether it is a Unix socket.
///
/// # Errors
/// ENOTSOCK.
pub(crate) fn is_unix(fd: &OwnedFd) -> io::Result<bool> {
    let domain: i32 = get_option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, 0)?;
    Ok(domain == libc::AF_UNIX)
}

/// Whose process has connected, as of its connect.
///
/// # Errors
/// As of getsockopt(2).
pub(crate) fn peer_of(fd: &OwnedFd) -> io::Result<Peer> {
    let nobody = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    get_option(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, nobody).map(|user| Peer::Unix {
        uid: user.uid,
        pid: u32::try_from(user.pid).unwrap_or(0),
    })
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
    let fd = stream_socket(family, 0)?;
    set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    Ok(fd)
}

fn stream_socket(family: i32, flags: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags;
    // SAFETY: no memory is involved.
    let raw = checked(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: `raw` was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
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

/// A value that the kernel fills in; of those that are plain numbers.
fn get_option<T: Copy>(fd: &OwnedFd, level: i32, name: i32, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    let start = (&raw mut value).cast();
    // SAFETY: value and length are on the stack and written during the call, the value no further than the length says. Both callers ask for an
    // option of exactly the type that they pass, whose every bit pattern is valid.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, start, &raw mut length) })?;
    Ok(value)
}

const UNIX_ADDRESS_BYTES: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

fn bind_to(fd: &OwnedFd, address: &libc::sockaddr_un) -> io::Result<()> {
    let start = core::ptr::from_ref(address).cast();
    // SAFETY: a whole sockaddr_un, borrowed during the call.
    checked(unsafe { libc::bind(fd.as_raw_fd(), start, UNIX_ADDRESS_BYTES) }).map(drop)
}

fn connect(fd: &OwnedFd, address: &libc::sockaddr_un) -> io::Result<()> {
    let start = core::ptr::from_ref(address).cast();
    // SAFETY: a whole sockaddr_un, borrowed during the call.
    checked(unsafe { libc::connect(fd.as_raw_fd(), start, UNIX_ADDRESS_BYTES) }).map(drop)
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
