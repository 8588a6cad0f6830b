//! The connections, and what each holds: 32 bytes, and nothing on the heap while it is idle.
//!
//! A connection's place is the number of its descriptor: the kernel gives the lowest one that is free, so the table is dense and no
//! map leads to it. Places are filled only after a batch of events has been worked through, so no event can meet a successor.

use crate::frame::Fault;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// What a client that does not read may leave waiting before it is dropped.
const PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The descriptor's number.
pub(crate) type Place = u32;

/// A membership: the room, and where in its list of members.
#[derive(Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) room: u32,
    pub(crate) index: u32,
}

impl Seat {
    const NONE: Self = Self {
        room: u32::MAX,
        index: 0,
    };
}

const SEATS_INLINE: usize = 2;

pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    /// Whether the handshake is done.
    pub(crate) open: bool,
    seats: [Seat; SEATS_INLINE],
    /// What is needed only now and then; absent otherwise.
    spill: Option<Box<Spill>>,
}

const _: () = assert!(
    size_of::<Option<Connection>>() == 32,
    "two connections to a cache line"
);

#[derive(Default)]
pub(crate) struct Spill {
    /// The start of a frame whose end has not come yet.
    pub(crate) input: Vec<u8>,
    /// What the kernel did not take.
    output: Vec<u8>,
    /// The start of a message that comes in several frames, and its opcode.
    pub(crate) fragments: Vec<u8>,
    pub(crate) fragments_opcode: u8,
    /// Memberships beyond those inline.
    seats: Vec<Seat>,
}

impl Spill {
    fn is_empty(&self) -> bool {
        self.input.is_empty()
            && self.output.is_empty()
            && self.fragments_opcode == 0
            && self.seats.is_empty()
    }
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            open: false,
            seats: [Seat::NONE; SEATS_INLINE],
            spill: None,
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.socket.as_raw_fd().cast_unsigned()
    }

    pub(crate) fn spill(&mut self) -> &mut Spill {
        self.spill.get_or_insert_default()
    }

    pub(crate) fn has_input(&self) -> bool {
        self.spill
            .as_ref()
            .is_some_and(|spill| !spill.input.is_empty())
    }

    /// Gives the spill back if nothing is in it.
    pub(crate) fn settle(&mut self) {
        self.spill.take_if(|spill| spill.is_empty());
    }

    pub(crate) fn seats(&self) -> impl Iterator<Item = Seat> {
        let more = self.spill.as_ref().map_or(&[][..], |spill| &spill.seats);
        self.seats
            .iter()
            .chain(more)
            .copied()
            .filter(|seat| seat.room != Seat::NONE.room)
    }

    pub(crate) fn sit(&mut self, seat: Seat) {
        match self
            .seats
            .iter_mut()
            .find(|seat| seat.room == Seat::NONE.room)
        {
            Some(free) => *free = seat,
            None => self.spill().seats.push(seat),
        }
    }

    /// The room has moved this member within its list.
    pub(crate) fn reseat(&mut self, moved: Seat) {
        let more = self
            .spill
            .as_mut()
            .map_or(&mut [][..], |spill| &mut spill.seats);
        let seat = self
            .seats
            .iter_mut()
            .chain(more)
            .find(|seat| seat.room == moved.room);
        seat.expect("a member of a room has a seat there").index = moved.index;
    }

    /// Adds a frame to a message that comes in several.
    pub(crate) fn fragment(
        &mut self,
        opcode: u8,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<(), Fault> {
        let spill = self.spill();
        // RFC 6455 §5.4: the first names the opcode, the others continue it, and no other message comes between.
        match (spill.fragments_opcode, opcode) {
            (0, 0) => return Err(Fault::Protocol),
            (0, first) => spill.fragments_opcode = first,
            (_, 0) => {}
            _ => return Err(Fault::Protocol),
        }
        if spill.fragments.len() + payload.len() > bytes_max {
            return Err(Fault::TooBig);
        }
        spill.fragments.extend_from_slice(payload);
        Ok(())
    }

    pub(crate) fn in_fragments(&self) -> bool {
        self.spill
            .as_ref()
            .is_some_and(|spill| spill.fragments_opcode != 0)
    }

    /// Writes `bytes`, or keeps what the kernel does not take until it is writable again.
    ///
    /// # Errors
    /// If the peer is gone, or has left too much unread: the connection is to be closed.
    pub(crate) fn send(&mut self, epoll: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
        if let Some(spill) = &mut self.spill
            && !spill.output.is_empty()
        {
            return pend(&mut spill.output, bytes);
        }
        let sent = transmit(&self.socket, bytes)?;
        if sent < bytes.len() {
            pend(&mut self.spill().output, &bytes[sent..])?;
            self.watch(epoll, EventFlags::IN | EventFlags::OUT)?;
        }
        Ok(())
    }

    /// Writes what waits, now that the socket is writable.
    ///
    /// # Errors
    /// If the peer is gone.
    pub(crate) fn send_pending(&mut self, epoll: &OwnedFd) -> io::Result<()> {
        let Some(spill) = &mut self.spill else {
            return Ok(());
        };
        let sent = transmit(&self.socket, &spill.output)?;
        spill.output.drain(..sent);
        if spill.output.is_empty() {
            spill.output = Vec::new();
            self.settle();
            self.watch(epoll, EventFlags::IN)?;
        }
        Ok(())
    }

    fn watch(&self, epoll: &OwnedFd, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(
            epoll,
            &self.socket,
            EventData::new_u64(self.place().into()),
            flags,
        )?)
    }
}

/// How much of `bytes` the kernel took.
fn transmit(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN) => Ok(0),
        outcome => Ok(outcome?),
    }
}

fn pend(output: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    if output.len() + bytes.len() > PENDING_BYTES_MAX {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    output.extend_from_slice(bytes);
    Ok(())
}
