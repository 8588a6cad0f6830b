//! A few one-shot accepts in flight on each listener, each with room for the peer's address.
//!
//! Multishot accept gives no address, and asking for it afterwards costs a second completion for each client; one-shot accepts measured
//! 2.3 us against 2.2 in bursts, and are the same on every kernel since the floor. To the loop they look like one accept that stays armed.
//!
//! Who connects to a Unix socket has no address but a user, and the kernel tells it only of a descriptor (of a direct one since 6.7, which is
//! above the floor). So such a client is accepted as an ordinary descriptor, asked for, and then put into the table by a second operation: links
//! of workers are few and last long.

use crate::driver::UringDriver;
use crate::listen::{is_unix, peer_of};
use crate::ring::TOP_BYTE;
use io_uring::{cqueue, opcode, squeue, types};
use ringway_io::{Completion, Errno, Key, Listener, Outcome, Peer, Socket};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

/// user_data of one-shot accepts, with their [`Spot`] in the low bits; the top byte is no `OpKind`.
pub(crate) const ACCEPT: u64 = 0xa1 << 56;
/// user_data of the cancels that the driver makes for them, with the same spot.
pub(crate) const OWN_CANCEL: u64 = 0xa2 << 56;
/// user_data of what puts an accepted descriptor into the table, with the spot of its accept.
pub(crate) const INSTALL: u64 = 0xa5 << 56;

/// Accepts in flight per listener.
const ACCEPTS: usize = 16;
const _: () = assert!(ACCEPTS <= 1 << 8, "a place is one byte of user_data");
/// IORING_FILE_INDEX_ALLOC, as the crate's signed offset: the kernel chooses the place, and writes it where the descriptor stood.
const ANY_PLACE: i32 = -1;

/// Which one-shot accept: the listener's number above the lowest byte, in which the place stands.
#[derive(Clone, Copy)]
struct Spot {
    listener: usize,
    place: usize,
}

impl Spot {
    const fn to_bits(self) -> u64 {
        (self.listener as u64) << 8 | self.place as u64
    }

    const fn from_bits(user_data: u64) -> Self {
        Self {
            listener: ((user_data & !TOP_BYTE) >> 8) as usize,
            place: (user_data & 0xff) as usize,
        }
    }
}

/// What the kernel reads and writes.
struct Room {
    address: libc::sockaddr_storage,
    length: libc::socklen_t,
    /// A descriptor on its way into the table, then its place there.
    file: RawFd,
}

/// A client that has no place in the table yet.
struct Guest {
    fd: OwnedFd,
    peer: Peer,
}

enum State {
    Free,
    Accepting,
    Installing(Guest),
}

struct Place {
    room: Box<Room>,
    state: State,
}

impl Place {
    fn new() -> Self {
        // SAFETY: a sockaddr_storage of zeroes is a valid value.
        let address = unsafe { core::mem::zeroed::<libc::sockaddr_storage>() };
        let (length, file) = (0, -1);
        Self {
            room: Box::new(Room {
                address,
                length,
                file,
            }),
            state: State::Free,
        }
    }

    /// An accept whose client goes straight into the table. The room lives until the place is free again, which only the completion makes it.
    fn accept_inet(&mut self, listener: RawFd) -> squeue::Entry {
        self.room.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let address = (&raw mut self.room.address).cast();
        opcode::Accept::new(types::Fd(listener), address, &raw mut self.room.length)
            .file_index(Some(types::DestinationSlot::auto_target()))
            .build()
    }

    /// Puts the guest into the table. Both the room and the descriptor live until the completion.
    fn install(&mut self, guest: Guest) -> squeue::Entry {
        self.room.file = guest.fd.as_raw_fd();
        self.state = State::Installing(guest);
        opcode::FilesUpdate::new(&raw mut self.room.file, 1)
            .offset(ANY_PLACE)
            .build()
    }
}

/// An accept whose client becomes an ordinary descriptor.
fn accept_unix(listener: RawFd) -> squeue::Entry {
    let (address, length) = (core::ptr::null_mut(), core::ptr::null_mut());
    opcode::Accept::new(types::Fd(listener), address, length)
        .flags(libc::SOCK_CLOEXEC)
        .build()
}

/// One listener and its accepts.
pub(crate) struct Accepts {
    /// None once the loop has stopped listening.
    socket: Option<OwnedFd>,
    is_unix: bool,
    places: Vec<Place>,
    /// The loop's accept, from its submission to its terminal completion.
    key: Option<Key>,
    /// The loop wants clients.
    armed: bool,
}

impl Accepts {
    /// # Errors
    /// When it is no socket.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            is_unix: is_unix(&socket)?,
            socket: Some(socket),
            places: (0..ACCEPTS).map(|_| Place::new()).collect(),
            key: None,
            armed: false,
        })
    }

    pub(crate) const fn socket(&self) -> Option<&OwnedFd> {
        self.socket.as_ref()
    }

    /// An accept into the next free place.
    fn next(&mut self) -> Option<(usize, squeue::Entry)> {
        let socket = self.socket.as_ref();
        let listener = socket.expect("nothing is accepted after `stop_listening`");
        let listener = listener.as_raw_fd();
        let is_free = |place: &Place| matches!(place.state, State::Free);
        let index = self.places.iter().position(is_free)?;
        let place = &mut self.places[index];
        place.state = State::Accepting;
        let entry = if self.is_unix {
            accept_unix(listener)
        } else {
            place.accept_inet(listener)
        };
        Some((index, entry))
    }

    /// The accept of that place completed; its descriptor is an ordinary one if this is a Unix socket.
    fn finish(&mut self, place: usize) {
        let state = &mut self.places[place].state;
        assert!(
            matches!(state, State::Accepting),
            "an accept completes once"
        );
        *state = State::Free;
    }

    /// The table has taken the guest, or refused it: the ordinary descriptor has done its work and closes.
    fn installed(&mut self, place: usize) -> (Socket, Peer) {
        let place = &mut self.places[place];
        let State::Installing(guest) = core::mem::replace(&mut place.state, State::Free) else {
            unreachable!("a descriptor is installed once")
        };
        (Socket(place.room.file as u32), guest.peer)
    }

    fn is_accepting(&self, place: usize) -> bool {
        matches!(self.places[place].state, State::Accepting)
    }

    /// Whether the kernel has nothing of ours.
    fn is_idle(&self) -> bool {
        let is_free = |place: &Place| matches!(place.state, State::Free);
        self.places.iter().all(is_free)
    }

    /// Whether `key` names the accept under way.
    fn is(&self, key: Key) -> bool {
        self.key == Some(key)
    }

    /// Closes the listener.
    pub(crate) fn stop(&mut self) {
        assert!(
            self.is_idle(),
            "an accept in flight would keep the listener open"
        );
        self.socket = None;
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
    fn accepts(&mut self, listener: usize) -> &mut Accepts {
        &mut self.memory.accepts[listener]
    }

    pub(crate) fn start_accept(&mut self, key: Key, Listener(listener): Listener) {
        let accepts = self.accepts(listener as usize);
        assert!(accepts.key.is_none(), "one accept at a time");
        accepts.key = Some(key);
        accepts.armed = true;
        self.arm_accepts(listener as usize);
    }

    fn arm_accepts(&mut self, listener: usize) {
        while let Some((place, entry)) = self.accepts(listener).next() {
            let spot = Spot { listener, place };
            // SAFETY: the place's room is boxed, and neither moved nor freed until `finish` saw this entry's only completion.
            unsafe { self.ring.push(entry, ACCEPT | spot.to_bits()) };
        }
    }

    /// A one-shot accept completed.
    pub(crate) fn accepted(&mut self, user_data: u64, result: i32) {
        let spot = Spot::from_bits(user_data);
        self.accepts(spot.listener).finish(spot.place);
        match -result {
            ..=0 => self.client_came(spot, result),
            libc::ECANCELED => {}
            errno if gave_up(errno) => {}
            errno => self.accept_failed(spot.listener, errno),
        }
        self.go_on(spot.listener);
    }

    /// With its address it is in the table already; with its user it has to be put there.
    fn client_came(&mut self, spot: Spot, result: i32) {
        let accepts = self.accepts(spot.listener);
        if accepts.is_unix {
            return self.install(spot, adopt(result));
        }
        let peer = Peer::Inet(address_of(&accepts.places[spot.place].room.address));
        self.tell_accepted(spot.listener, Ok((Socket(result as u32), peer)));
    }

    fn install(&mut self, spot: Spot, fd: OwnedFd) {
        let Ok(peer) = peer_of(&fd) else {
            // Every Unix stream has one. A client of whom the kernel would not say who it is comes in under no circumstances.
            return;
        };
        let place = &mut self.accepts(spot.listener).places[spot.place];
        let entry = place.install(Guest { fd, peer });
        // SAFETY: the place's room is boxed, and neither moved nor freed until `installed` saw this entry's only completion.
        unsafe { self.ring.push(entry, INSTALL | spot.to_bits()) };
    }

    /// A Unix client has its place in the table, or there is none for it.
    pub(crate) fn installed(&mut self, user_data: u64, result: i32) {
        let spot = Spot::from_bits(user_data);
        let client = self.accepts(spot.listener).installed(spot.place);
        match -result {
            ..=0 => self.tell_accepted(spot.listener, Ok(client)),
            errno => self.accept_failed(spot.listener, errno),
        }
        self.go_on(spot.listener);
    }

    /// Ends the accept, as an error would end a multishot one; the loop arms it again when it sees fit.
    fn accept_failed(&mut self, listener: usize, errno: i32) {
        self.tell_accepted(listener, Err(Errno(errno)));
        self.cancel_accepts(listener);
    }

    fn go_on(&mut self, listener: usize) {
        if self.accepts(listener).armed {
            self.arm_accepts(listener);
        } else {
            self.end_accept(listener);
        }
    }

    fn tell_accepted(&mut self, listener: usize, result: Result<(Socket, Peer), Errno>) {
        let key = self.accepts(listener).key;
        let key = key.expect("the operation ends after the last one-shot accept");
        let outcome = Outcome::Accepted { result, more: true };
        self.backlog.push_back(Completion { key, outcome });
    }

    /// Cancels the one-shot accepts of a listener, once. What is being installed ends by itself.
    fn cancel_accepts(&mut self, listener: usize) {
        if !core::mem::replace(&mut self.accepts(listener).armed, false) {
            return;
        }
        for place in 0..ACCEPTS {
            if self.accepts(listener).is_accepting(place) {
                self.push_accept_cancel(Spot { listener, place });
            }
        }
    }

    fn push_accept_cancel(&mut self, spot: Spot) {
        let cancel = opcode::AsyncCancel::new(ACCEPT | spot.to_bits());
        self.push_plain(cancel.build(), OWN_CANCEL | spot.to_bits());
    }

    /// Repeated when the kernel was just about to try that accept again, as for the loop's cancels.
    pub(crate) fn accept_cancel_seen(&mut self, user_data: u64, result: i32) {
        let spot = Spot::from_bits(user_data);
        let accepts = self.accepts(spot.listener);
        let in_flight = !accepts.armed && accepts.is_accepting(spot.place);
        if result == -libc::ENOENT && in_flight {
            self.push_accept_cancel(spot);
        }
    }

    /// Which listener's accept under way `key` names.
    pub(crate) fn accepting_under(&self, key: Key) -> Option<usize> {
        let mut listeners = self.memory.accepts.iter();
        listeners.position(|accepts| accepts.is(key))
    }

    /// The loop cancels its accept.
    pub(crate) fn cancel_accept(&mut self, listener: usize) {
        self.cancel_accepts(listener);
        self.end_accept(listener);
    }

    /// The last one-shot accept ends the loop's accept.
    fn end_accept(&mut self, listener: usize) {
        let accepts = self.accepts(listener);
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

/// Nobody will handle this completion: a client that came as an ordinary descriptor is closed, or its number would be taken for ever. Those in
/// the table go with the table.
pub(crate) fn abandon(listeners: &[Accepts], entry: &cqueue::Entry) {
    let (user_data, result) = (entry.user_data(), entry.result());
    if user_data & TOP_BYTE != ACCEPT || result < 0 {
        return;
    }
    if listeners[Spot::from_bits(user_data).listener].is_unix {
        drop(adopt(result));
    }
}

/// The descriptor that an accept on a Unix socket gave.
fn adopt(result: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it for the accept of which this is the result; each completion is looked at once, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(result) }
}

fn address_of(storage: &libc::sockaddr_storage) -> SocketAddr {
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
    // SAFETY: a listener that is no Unix socket is IPv4 or IPv6, and sockaddr_in fits the storage.
    let raw = unsafe { &*start.cast::<libc::sockaddr_in>() };
    SocketAddr::from((
        Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()),
        u16::from_be(raw.sin_port),
    ))
}
