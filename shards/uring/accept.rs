//! A few one-shot accepts in flight, each with room for the peer's address.
//!
//! Multishot accept gives no address, and asking for it afterwards costs a second completion for each client; one-shot accepts measured
//! 2.3 us against 2.2 in bursts, and are the same on every kernel since the floor. To the loop they look like one accept that stays armed.

use crate::driver::UringDriver;
use crate::ring::TOP_BYTE;
use io_uring::{opcode, squeue, types};
use ringway_io::{Completion, Errno, Key, Outcome, Socket};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd as _;

/// user_data of one-shot accepts, with the index of the place in the low bits; the top byte is no `OpKind`.
pub(crate) const ACCEPT: u64 = 0xa1 << 56;
/// user_data of the cancels that the driver makes for them, with the same index.
pub(crate) const OWN_CANCEL: u64 = 0xa2 << 56;

/// Accepts in flight per listener.
const ACCEPTS: usize = 16;

struct Place {
    address: Box<libc::sockaddr_storage>,
    length: Box<libc::socklen_t>,
    in_flight: bool,
}

/// The accepts of one listener.
pub(crate) struct Accepts {
    places: Vec<Place>,
    /// The loop's accept, from its submission to its terminal completion.
    key: Option<Key>,
    /// The loop wants clients.
    armed: bool,
}

impl Accepts {
    pub(crate) fn new() -> Self {
        // SAFETY: a sockaddr_storage of zeroes is a valid value.
        let blank = || unsafe { core::mem::zeroed::<libc::sockaddr_storage>() };
        let place = || Place {
            address: Box::new(blank()),
            length: Box::new(0),
            in_flight: false,
        };
        Self {
            places: (0..ACCEPTS).map(|_| place()).collect(),
            key: None,
            armed: false,
        }
    }

    /// An accept into the next free place; its index travels in user_data.
    fn next(&mut self, listener: i32) -> Option<(usize, squeue::Entry)> {
        let index = self.places.iter().position(|place| !place.in_flight)?;
        let place = &mut self.places[index];
        place.in_flight = true;
        *place.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // The boxes live until the place is free again, which only the completion makes it: see `finish`.
        let address = (&raw mut *place.address).cast();
        let entry = opcode::Accept::new(types::Fd(listener), address, &raw mut *place.length)
            .file_index(Some(types::DestinationSlot::auto_target()))
            .build();
        Some((index, entry))
    }

    /// The accept of that place completed.
    fn finish(&mut self, index: usize) -> SocketAddr {
        let place = &mut self.places[index];
        assert!(place.in_flight, "an accept completes once");
        place.in_flight = false;
        peer_of(&place.address)
    }

    fn in_flight(&self) -> impl Iterator<Item = usize> + '_ {
        (0..ACCEPTS).filter(|index| self.places[*index].in_flight)
    }

    /// Whether the kernel has no accept of ours.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight().next().is_none()
    }

    /// Whether `key` names the accept under way.
    pub(crate) fn is(&self, key: Key) -> bool {
        self.key == Some(key)
    }
}

/// The client gave up before it was accepted, or the kernel asks to try again (accept(2)): no reason to stop accepting.
const fn gave_up(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::EPROTO
    )
}

impl UringDriver {
    pub(crate) fn start_accept(&mut self, key: Key) {
        let accepts = &mut self.memory.accepts;
        assert!(accepts.key.is_none(), "one accept at a time");
        accepts.key = Some(key);
        accepts.armed = true;
        self.arm_accepts();
    }

    fn arm_accepts(&mut self) {
        let listener = self.listener.as_ref().map(|fd| fd.as_raw_fd());
        let listener = listener.expect("nothing is accepted after `stop_listening`");
        while let Some((index, entry)) = self.memory.accepts.next(listener) {
            // SAFETY: the place's address and length are boxed, and neither moved nor freed until `finish` saw this entry's only completion.
            unsafe { self.ring.push(entry, ACCEPT | index as u64) };
        }
    }

    /// A one-shot accept completed.
    pub(crate) fn accepted(&mut self, user_data: u64, result: i32) {
        let accepts = &mut self.memory.accepts;
        let peer = accepts.finish((user_data & !TOP_BYTE) as usize);
        match -result {
            ..=0 => self.tell_accepted(Ok((Socket(result as u32), peer))),
            libc::ECANCELED => {}
            errno if gave_up(errno) => {}
            // Any other error ends the accept, as it would end a multishot one; the loop arms it again when it sees fit.
            errno => {
                self.tell_accepted(Err(Errno(errno)));
                self.cancel_accepts();
            }
        }
        if self.memory.accepts.armed {
            self.arm_accepts();
        } else {
            self.end_accept();
        }
    }

    fn tell_accepted(&mut self, result: Result<(Socket, SocketAddr), Errno>) {
        let key = self.memory.accepts.key;
        let key = key.expect("the operation ends after the last one-shot accept");
        let outcome = Outcome::Accepted { result, more: true };
        self.backlog.push_back(Completion { key, outcome });
    }

    /// Cancels the one-shot accepts, once.
    fn cancel_accepts(&mut self) {
        if !core::mem::replace(&mut self.memory.accepts.armed, false) {
            return;
        }
        let indexes: Vec<usize> = self.memory.accepts.in_flight().collect();
        for index in indexes {
            self.push_accept_cancel(index as u64);
        }
    }

    fn push_accept_cancel(&mut self, index: u64) {
        let cancel = opcode::AsyncCancel::new(ACCEPT | index);
        self.push_plain(cancel.build(), OWN_CANCEL | index);
    }

    /// Repeated when the kernel was just about to try that accept again, as for the loop's cancels.
    pub(crate) fn accept_cancel_seen(&mut self, user_data: u64, result: i32) {
        let index = user_data & !TOP_BYTE;
        let accepts = &self.memory.accepts;
        let in_flight = !accepts.armed && accepts.places[index as usize].in_flight;
        if result == -libc::ENOENT && in_flight {
            self.push_accept_cancel(index);
        }
    }

    /// The loop cancels its accept.
    pub(crate) fn cancel_accept(&mut self) {
        self.cancel_accepts();
        self.end_accept();
    }

    /// The last one-shot accept ends the loop's accept.
    fn end_accept(&mut self) {
        let accepts = &mut self.memory.accepts;
        if !accepts.is_idle() {
            return;
        }
        let key = accepts.key.take();
        let key = key.expect("the operation ends with the last one-shot accept, once");
        let outcome = Outcome::Accepted {
            result: Err(Errno(libc::ECANCELED)),
            more: false,
        };
        self.backlog.push_back(Completion { key, outcome });
    }
}

fn peer_of(storage: &libc::sockaddr_storage) -> SocketAddr {
    let start = core::ptr::from_ref(storage);
    if i32::from(storage.ss_family) == libc::AF_INET6 {
        // SAFETY: the family says sockaddr_in6, which is smaller than, and no more aligned than, the storage.
        let raw = unsafe { &*start.cast::<libc::sockaddr_in6>() };
        let address = Ipv6Addr::from(raw.sin6_addr.s6_addr);
        return SocketAddrV6::new(
            address,
            u16::from_be(raw.sin6_port),
            raw.sin6_flowinfo,
            raw.sin6_scope_id,
        )
        .into();
    }
    // SAFETY: listeners are IPv4 or IPv6, and a failed accept leaves zeroes; sockaddr_in fits the storage.
    let raw = unsafe { &*start.cast::<libc::sockaddr_in>() };
    SocketAddr::from((
        Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()),
        u16::from_be(raw.sin_port),
    ))
}
