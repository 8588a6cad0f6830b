//! Readiness of many sockets, level-triggered.

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use std::io;
use std::time::Duration;

/// Sockets that one wait tells of. More would keep a publish that is due waiting for longer.
const EVENTS_MAX: usize = 256;

/// What is possible on a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The number under which the socket was added.
    pub(crate) number: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// An epoll instance.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    pub(crate) fn add(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        let data = EventData::new_u64(number as u64);
        Ok(epoll::add(&self.epoll, socket, data, EventFlags::IN)?)
    }

    /// Chooses whether to be told when the socket can be written to.
    pub(crate) fn watch(&self, socket: impl AsFd, number: usize, writes: bool) -> io::Result<()> {
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, writes);
        let data = EventData::new_u64(number as u64);
        Ok(epoll::modify(&self.epoll, socket, data, flags)?)
    }

    /// Tells nothing of the socket any more, not even that it ended.
    pub(crate) fn forget(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits for `most` at the longest and puts what is ready into `ready`.
    pub(crate) fn wait(&mut self, most: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: most.as_secs() as i64,
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        self.events.clear();
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, buffer, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.clear();
        ready.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                number: event.data.u64() as usize,
                readable: !flags.difference(EventFlags::OUT).is_empty(),
                writable: flags.contains(EventFlags::OUT),
            }
        }));
        Ok(())
    }
}
