//! One client: which of its three requests is under way, and how much of the upload has been written.

use crate::dial::dial;
use crate::fetch::head::Head;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of one read: answers are small.
const READ_BYTES: usize = 4096;

/// The request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Create,
    Send,
    Remove,
}

/// What an answer has ended.
pub(super) enum Done {
    /// The server has said that it has all of it.
    Stored { bytes: u64, began_ns: u64 },
    /// It is gone again.
    Removed,
}

/// The client.
pub(super) struct Client {
    socket: OwnedFd,
    file_bytes: u64,
    request: Request,
    began_ns: u64,
    /// Where the upload is.
    location: String,
    /// Bytes of the upload that the kernel has taken.
    written: u64,
    partial: Vec<u8>,
    failure: Option<String>,
}

impl Client {
    pub(super) fn dial(
        source: Ipv4Addr,
        server: SocketAddrV4,
        file_bytes: u64,
    ) -> io::Result<Self> {
        let socket = dial(source, server, 0)?;
        Ok(Self {
            socket,
            file_bytes,
            request: Request::Create,
            began_ns: 0,
            location: String::new(),
            written: 0,
            partial: Vec::new(),
            failure: None,
        })
    }

    /// The next read says so.
    pub(super) fn fail(&mut self, error: &io::Error) {
        self.failure = Some(error.to_string());
    }

    /// Asks for a new upload.
    pub(super) fn create(&mut self, now_ns: u64) -> io::Result<()> {
        (self.request, self.began_ns) = (Request::Create, now_ns);
        self.say(&format!(
            "POST /uploads/ HTTP/1.1\r\nUpload-Length: {}\r\nContent-Length: 0\r\n",
            self.file_bytes
        ))
    }

    /// Sends a head; it is small, and a kernel that does not take it whole is an error.
    fn say(&self, head: &str) -> io::Result<()> {
        let text = format!("{head}Host: bench\r\nTus-Resumable: 1.0.0\r\n\r\n");
        let sent = net::send(&self.socket, text.as_bytes(), SendFlags::NOSIGNAL)?;
        if sent == text.len() {
            Ok(())
        } else {
            Err(io::Error::other("a head did not fit into the socket"))
        }
    }

    pub(super) fn wants_to_write(&self) -> bool {
        self.request == Request::Send && self.written < self.file_bytes
    }

    /// Writes what the kernel takes of the upload: the pattern, again and again.
    pub(super) fn write(&mut self, pattern: &[u8]) -> io::Result<()> {
        while self.wants_to_write() {
            let start = (self.written % pattern.len() as u64) as usize;
            let left = usize::try_from(self.file_bytes - self.written).unwrap_or(usize::MAX);
            let piece = &pattern[start..pattern.len().min(start.saturating_add(left))];
            match net::send(&self.socket, piece, SendFlags::NOSIGNAL) {
                Ok(count) => self.written += count as u64,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads once.
    ///
    /// # Errors
    /// The connection ended, or the answer is not the one that was due.
    pub(super) fn read(&mut self) -> io::Result<Option<Done>> {
        if let Some(failure) = self.failure.take() {
            return Err(io::Error::other(failure));
        }
        let mut buffer = [0; READ_BYTES];
        let count = match net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, 0)) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed",
                ));
            }
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.partial.extend_from_slice(&buffer[..count]);
        let Some(head) = Head::parse(&self.partial).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let has_ended = if head.is_chunked {
            self.partial.ends_with(b"0\r\n\r\n")
        } else {
            self.partial.len() as u64 >= head.bytes as u64 + head.length
        };
        if !has_ended {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        self.answered(&head)
            .map_err(|()| io::Error::other(format!("to {:?}: {text:?}", self.request)))
    }

    fn answered(&mut self, head: &Head) -> Result<Option<Done>, ()> {
        match (self.request, head.status) {
            (Request::Create, 201) => {
                let location = head.location.as_deref().ok_or(())?;
                // A server may say it whole.
                let path = location
                    .split_once("://")
                    .map_or(location, |(_, rest)| &rest[rest.find('/').unwrap_or(0)..]);
                path.clone_into(&mut self.location);
                (self.request, self.written) = (Request::Send, 0);
                let head = format!(
                    "PATCH {} HTTP/1.1\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n",
                    self.location, self.file_bytes
                );
                self.say(&head).map(|()| None).map_err(|_| ())
            }
            (Request::Send, 204) if self.written == self.file_bytes => {
                self.request = Request::Remove;
                self.say(&format!("DELETE {} HTTP/1.1\r\n", self.location))
                    .map_err(|_| ())?;
                Ok(Some(Done::Stored {
                    bytes: self.file_bytes,
                    began_ns: self.began_ns,
                }))
            }
            (Request::Remove, 204) => Ok(Some(Done::Removed)),
            _ => Err(()),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
