//! One client: its request, and how much of the answer it has.

use super::chunks::{Chunks, Taken};
use super::head::Head;
use super::wanted::{Asked, Files};
use crate::dial::dial;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Answers of each connection whose bodies are compared byte by byte; after them only lengths are, as comparing costs more than serving.
const COMPARED: u32 = 2;

/// An answer that is whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) length: u64,
    pub(super) encoding: Option<String>,
    pub(super) asked_ns: u64,
    pub(super) knew_etag: bool,
}

/// What a read brought.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) body_bytes: usize,
    pub(super) answered: Option<Answer>,
}

/// The client.
pub(super) struct Client {
    socket: OwnedFd,
    asked_ns: u64,
    /// The offset that was asked for.
    first: u64,
    knew_etag: bool,
    etag: Option<String>,
    /// Bytes of a head that is not whole.
    partial: Vec<u8>,
    head: Option<Head>,
    /// Of a body that comes in chunks.
    chunks: Option<Chunks>,
    /// Of the body.
    got: u64,
    answers: u32,
    failure: Option<String>,
}

impl Client {
    /// Connects, with a receive buffer of that many bytes unless it is 0.
    pub(super) fn dial(
        source: Ipv4Addr,
        server: SocketAddrV4,
        recv_buffer_bytes: usize,
    ) -> io::Result<Self> {
        let socket = dial(source, server, recv_buffer_bytes)?;
        Ok(Self {
            socket,
            asked_ns: 0,
            first: 0,
            knew_etag: false,
            etag: None,
            partial: Vec::new(),
            head: None,
            chunks: None,
            got: 0,
            answers: 0,
            failure: None,
        })
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The next read says so.
    pub(super) fn fail(&mut self, error: &io::Error) {
        self.failure = Some(error.to_string());
    }

    /// Sends a request. It is small: a kernel that does not take it whole is an error.
    pub(super) fn ask(&mut self, asked: Asked, now_ns: u64) -> io::Result<()> {
        let Asked {
            text,
            first,
            knew_etag,
        } = asked;
        (self.asked_ns, self.first, self.knew_etag) = (now_ns, first, knew_etag);
        let sent = net::send(&self.socket, &text, SendFlags::NOSIGNAL)?;
        if sent == text.len() {
            return Ok(());
        }
        Err(io::Error::other("a request did not fit into the socket"))
    }

    /// Reads once.
    ///
    /// # Errors
    /// The connection ended, the answer is none, or its bytes are not the file's.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        discards: bool,
        files: &Files,
    ) -> io::Result<Progress> {
        if let Some(failure) = self.failure.take() {
            return Err(io::Error::other(failure));
        }
        // A head is always looked at, and so are the bodies that are compared.
        let is_body = self.head.is_some() && self.answers >= COMPARED;
        let head = self.head.as_ref().filter(|head| !head.is_chunked);
        let left = head.map_or(u64::MAX, |head| head.length - self.got);
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let flags = if discards && is_body && self.chunks.is_none() {
            RecvFlags::TRUNC
        } else {
            RecvFlags::empty()
        };
        let count = match net::recv(&self.socket, &mut buffer[..most], flags) {
            Ok((_, 0)) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed",
                ));
            }
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Progress::default()),
            Err(error) => return Err(error.into()),
        };
        if self.head.is_some() {
            return self.body(&buffer[..count], files);
        }
        self.begin(&buffer[..count], files)
    }

    fn begin(&mut self, bytes: &[u8], files: &Files) -> io::Result<Progress> {
        self.partial.extend_from_slice(bytes);
        let Some(head) = Head::parse(&self.partial).map_err(io::Error::other)? else {
            return Ok(Progress::default());
        };
        let partial = core::mem::take(&mut self.partial);
        let body = &partial[head.bytes..];
        if head.first.is_some_and(|first| first != self.first) {
            return Err(io::Error::other(format!(
                "{head:?}, and {} was asked for",
                self.first
            )));
        }
        if let Some(etag) = &head.etag {
            self.etag = Some(etag.clone());
        }
        self.chunks = head.is_chunked.then(Chunks::new);
        self.head = Some(head);
        self.got = 0;
        self.body(body, files)
    }

    fn body(&mut self, bytes: &[u8], files: &Files) -> io::Result<Progress> {
        if let Some(chunks) = &mut self.chunks {
            let Taken {
                body_bytes,
                is_whole,
            } = chunks.take(bytes).map_err(io::Error::other)?;
            self.got += body_bytes as u64;
            return Ok(Progress {
                body_bytes,
                answered: is_whole.then(|| self.finish()),
            });
        }
        let head = self.head.as_ref().expect("a body follows a head");
        let is_plain = head.encoding.is_none() && matches!(head.status, 200 | 206);
        if self.answers < COMPARED && is_plain && !files.has_at(self.first + self.got, bytes) {
            return Err(io::Error::other(format!(
                "other bytes than the file's near {}",
                self.first + self.got
            )));
        }
        self.got += bytes.len() as u64;
        if self.got > head.length {
            return Err(io::Error::other("more bytes than the head has said"));
        }
        let is_whole = self.got == head.length;
        Ok(Progress {
            body_bytes: bytes.len(),
            answered: is_whole.then(|| self.finish()),
        })
    }

    fn finish(&mut self) -> Answer {
        let head = self.head.take().expect("a body follows a head");
        self.answers += 1;
        self.chunks = None;
        Answer {
            status: head.status,
            length: self.got,
            encoding: head.encoding,
            asked_ns: self.asked_ns,
            knew_etag: self.knew_etag,
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
