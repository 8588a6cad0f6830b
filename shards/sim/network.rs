//! Clients and their connections: two bounded streams of bytes each, and the ways in which they end.

use std::collections::VecDeque;

/// A client's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(pub usize);

/// How a connection ended, as its client sees it after the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side finished.
    Finished,
    /// Reset, or never accepted.
    Reset,
}

/// One direction.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) bytes_max: usize,
    /// The last of the bytes that its reader does not see yet, because the writer has said that more follows. The kernel would show them after a fifth of a second; here
    /// nobody sees them until something does follow.
    held: usize,
    /// The writer has finished.
    pub(crate) ended: bool,
}

impl Stream {
    pub(crate) fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes.len())
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.held = 0;
    }

    /// The last so many bytes wait for what follows.
    pub(crate) fn hold(&mut self, count: usize) {
        self.held = count;
    }

    /// Bytes to be read.
    pub(crate) fn seen(&self) -> usize {
        match self.ended {
            true => self.bytes.len(),
            false => self.bytes.len() - self.held,
        }
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.seen());
        self.bytes.drain(..count).collect()
    }
}

/// One TCP connection.
pub(crate) struct Pair {
    /// From the client.
    pub(crate) up: Stream,
    /// To the client.
    pub(crate) down: Stream,
    /// Descriptors of ours.
    pub(crate) descriptors: u32,
    pub(crate) reset: bool,
}

impl Pair {
    pub(crate) fn new(up_bytes_max: usize, down_bytes_max: usize) -> Self {
        let stream = |bytes_max| Stream {
            bytes_max,
            ..Stream::default()
        };
        Self {
            up: stream(up_bytes_max),
            down: stream(down_bytes_max),
            descriptors: 0,
            reset: false,
        }
    }

    /// Our last descriptor is closed. Bytes that nobody read reset the connection, and what was on its way to the client is lost.
    pub(crate) fn close(&mut self) {
        if self.up.bytes.is_empty() {
            self.down.ended = true;
        } else {
            self.break_off();
        }
    }

    pub(crate) fn break_off(&mut self) {
        self.reset = true;
        self.up.bytes.clear();
        self.down.bytes.clear();
        self.down.held = 0;
    }

    pub(crate) fn end(&self) -> Option<End> {
        match (self.reset, self.down.ended && self.down.bytes.is_empty()) {
            (true, _) => Some(End::Reset),
            (false, true) => Some(End::Finished),
            (false, false) => None,
        }
    }
}
