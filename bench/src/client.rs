//! One client's socket: what waits to be written, what was read and is not whole.

use crate::dial::dial;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The answer to the HTTP request is awaited.
    Upgrading,
    /// Engine.IO's handshake is awaited.
    Opening,
    /// The namespace is.
    Connecting,
    /// So many answers to joins are.
    Joining(u16),
    /// It does the scenario's work.
    Ready,
    /// Its connection is over.
    Gone,
}

/// A client.
pub(crate) struct Client {
    socket: OwnedFd,
    pub(crate) stage: Stage,
    /// Bytes of a frame that is not whole.
    pub(crate) partial: Vec<u8>,
    /// Bytes that the kernel did not take.
    pending: Vec<u8>,
    /// It was told goodbye.
    pub(crate) was_told_goodbye: bool,
    /// Messages of its room so far, or rather the number that comes next.
    pub(crate) next_number: u32,
}

impl Client {
    /// Connects from `source`; each of a few hundred addresses has its own ports.
    pub(crate) fn dial(source: Ipv4Addr, server: SocketAddrV4) -> io::Result<Self> {
        let socket = dial(source, server, 0)?;
        Ok(Self {
            socket,
            stage: Stage::Upgrading,
            partial: Vec::new(),
            pending: Vec::new(),
            was_told_goodbye: false,
            next_number: 0,
        })
    }

    /// Writes what the kernel takes and keeps the rest; whether anything is kept.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let mut rest = bytes;
        while self.pending.is_empty() && !rest.is_empty() {
            match net::send(&self.socket, rest, net::SendFlags::NOSIGNAL) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(!self.pending.is_empty())
    }

    /// Writes what was kept; whether anything still is.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let pending = core::mem::take(&mut self.pending);
        self.write(&pending)
    }

    /// Reads once; `None` when nothing is there, 0 at the end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match net::recv(&self.socket, buffer, net::RecvFlags::empty()) {
            Ok((count, _)) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(Errno::CONNRESET) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
