//! The loop: wait for a batch of events, read and answer each connection, then write to each room what the batch brought for it.

use crate::connections::{Connection, Place, Seat};
use crate::frame::{self, Fault, Header};
use crate::handshake::{self, Outcome};
use crate::rooms::Rooms;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, accept_with, recv};
use std::io;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

/// Messages that arrive within one batch share a write per member.
const BATCH_EVENTS: usize = 1024;
/// One for the process: large enough to empty a socket at once, small enough for the second-level cache.
const READ_BYTES: usize = 64 * 1024;
/// The event's word that stands for the listener; a place is shorter.
const LISTENER: u64 = u64::MAX;

pub(crate) struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    rooms: Rooms,
    /// What the connection that is being read shall get.
    reply: Vec<u8>,
    /// Connections whose writes failed while a room was written to.
    doomed: Vec<Place>,
}

impl Server {
    pub(crate) fn new(listener: TcpListener, joined_bytes_max: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            rooms: Rooms::new(joined_bytes_max),
            reply: Vec::new(),
            doomed: Vec::new(),
        })
    }

    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(BATCH_EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(Errno::INTR) => continue,
                outcome => outcome?,
            };
            let mut accept = false;
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => accept = true,
                    place => self.serve(place as Place, event.flags, &mut buffer),
                }
            }
            while let Some(room) = self.rooms.next_dirty() {
                self.fan_out(room);
            }
            while let Some(place) = self.doomed.pop() {
                self.close(place);
            }
            // Last, so that no event of this batch meets a connection that took the place of another.
            if accept {
                self.accept()?;
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let connection = Connection::new(socket);
            let place = connection.place();
            epoll::add(
                &self.epoll,
                &connection.socket,
                EventData::new_u64(place.into()),
                EventFlags::IN,
            )?;
            if self.connections.len() <= place as usize {
                self.connections.resize_with(place as usize + 1, || None);
            }
            self.connections[place as usize] = Some(connection);
        }
    }

    fn serve(&mut self, place: Place, flags: EventFlags, buffer: &mut [u8]) {
        let Some(connection) = &mut self.connections[place as usize] else {
            return;
        };
        if flags.contains(EventFlags::OUT) && connection.send_pending(&self.epoll).is_err() {
            return self.close(place);
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR)
            && self.read(place, buffer).is_break()
        {
            self.close(place);
        }
    }

    /// Reads once: the batch is level-triggered, so what is left comes with the next.
    fn read(&mut self, place: Place, buffer: &mut [u8]) -> ControlFlow<()> {
        let Some(connection) = &mut self.connections[place as usize] else {
            return ControlFlow::Break(());
        };
        let read_bytes = match recv(&connection.socket, &mut *buffer, RecvFlags::empty()) {
            Err(Errno::AGAIN | Errno::INTR) => return ControlFlow::Continue(()),
            Err(_) | Ok((0, _)) => return ControlFlow::Break(()),
            Ok((read_bytes, _)) => read_bytes,
        };
        let fresh = &mut buffer[..read_bytes];
        if !connection.has_input() {
            let used = self.consume(place, fresh)?;
            if used < fresh.len() {
                self.connection(place).spill().input = fresh[used..].to_vec();
            }
            return ControlFlow::Continue(());
        }
        let mut input = std::mem::take(&mut connection.spill().input);
        input.extend_from_slice(fresh);
        let used = self.consume(place, &mut input)?;
        let connection = self.connection(place);
        if used < input.len() {
            input.drain(..used);
            connection.spill().input = input;
        }
        connection.settle();
        ControlFlow::Continue(())
    }

    /// Works through `input` and writes all its answers at once; returns how much of it was whole frames.
    fn consume(&mut self, place: Place, input: &mut [u8]) -> ControlFlow<(), usize> {
        self.reply.clear();
        let flow = self.work(place, input);
        if !self.reply.is_empty() {
            let connection = self.connections[place as usize]
                .as_mut()
                .expect("it is being read");
            if connection.send(&self.epoll, &self.reply).is_err() {
                return ControlFlow::Break(());
            }
        }
        flow
    }

    fn work(&mut self, place: Place, input: &mut [u8]) -> ControlFlow<(), usize> {
        let mut used = 0;
        if !self.connection(place).open {
            match handshake::answer(input, &mut self.reply) {
                Outcome::Incomplete => return ControlFlow::Continue(0),
                Outcome::Refused => return ControlFlow::Break(()),
                Outcome::Open(head_bytes) => used = head_bytes,
            }
            self.connection(place).open = true;
        }
        loop {
            let header = match Header::parse(&input[used..]) {
                Ok(Some(header)) => header,
                Ok(None) => return ControlFlow::Continue(used),
                Err(fault) => return self.fail(fault),
            };
            let start = used + header.header_bytes;
            let end = start + header.payload_bytes;
            let Some(payload) = input.get_mut(start..end) else {
                return ControlFlow::Continue(used);
            };
            frame::unmask(payload, header.mask);
            self.frame(place, header, payload)?;
            used = end;
        }
    }

    fn frame(&mut self, place: Place, header: Header, payload: &[u8]) -> ControlFlow<()> {
        match header.opcode {
            frame::PING => frame::push(&mut self.reply, frame::PONG, [payload, &[]]),
            frame::PONG => {}
            frame::CLOSE => {
                frame::push(&mut self.reply, frame::CLOSE, [payload, &[]]);
                return ControlFlow::Break(());
            }
            opcode if header.fin && opcode != frame::CONTINUATION => {
                if self.connection(place).in_fragments() {
                    self.fail::<()>(Fault::Protocol)?;
                }
                return self.message(place, opcode, payload);
            }
            opcode => return self.fragment(place, header.fin, opcode, payload),
        }
        ControlFlow::Continue(())
    }

    fn fragment(&mut self, place: Place, fin: bool, opcode: u8, payload: &[u8]) -> ControlFlow<()> {
        let connection = self.connection(place);
        if let Err(fault) = connection.fragment(opcode, payload, frame::MESSAGE_BYTES_MAX) {
            return self.fail(fault);
        }
        if !fin {
            return ControlFlow::Continue(());
        }
        let spill = connection.spill();
        let opcode = std::mem::take(&mut spill.fragments_opcode);
        let message = std::mem::take(&mut spill.fragments);
        connection.settle();
        self.message(place, opcode, &message)
    }

    /// The bare dialect.
    fn message(&mut self, place: Place, opcode: u8, message: &[u8]) -> ControlFlow<()> {
        // RFC 6455 §8.1.
        if opcode == frame::TEXT && std::str::from_utf8(message).is_err() {
            return self.fail(Fault::NotUtf8);
        }
        match message {
            [b'e', ..] => frame::push(&mut self.reply, opcode, [message, &[]]),
            [b'j', name @ ..] => {
                self.join(place, name);
                frame::push(&mut self.reply, opcode, [message, &[]]);
            }
            [b'p', name_bytes, rest @ ..] => {
                if let Some((name, payload)) = rest.split_at_checked(usize::from(*name_bytes))
                    && let Some(room) = self.rooms.publish(name, opcode, payload)
                {
                    self.fan_out(room);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn join(&mut self, place: Place, name: &[u8]) {
        let room = self.rooms.open(name);
        if self.connection(place).seats().any(|seat| seat.room == room) {
            return;
        }
        // What was published before belongs to those who were members before.
        self.fan_out(room);
        let index = self.rooms.enter(room, place);
        self.connection(place).sit(Seat { room, index });
    }

    /// Writes to every member, once, all that was published to the room since the last time.
    fn fan_out(&mut self, room: u32) {
        let queue = self.rooms.take_queue(room);
        if queue.is_empty() {
            return;
        }
        for &member in &self.rooms.get(room).members {
            let connection = self.connections[member as usize]
                .as_mut()
                .expect("a member is connected");
            if connection.send(&self.epoll, &queue).is_err() {
                self.doomed.push(member);
            }
        }
        self.rooms.return_queue(room, queue);
    }

    fn close(&mut self, place: Place) {
        let Some(connection) = self.connections[place as usize].take() else {
            return;
        };
        for seat in connection.seats() {
            if let Some(moved) = self.rooms.leave(seat.room, seat.index) {
                // It may be this very connection only if it sat there twice, which `join` rules out.
                self.connection(moved).reseat(seat);
            }
        }
    }

    fn connection(&mut self, place: Place) -> &mut Connection {
        self.connections[place as usize]
            .as_mut()
            .expect("it is not closed while it is worked on")
    }

    /// Says why with a close frame; the connection ends after it has been written.
    fn fail<T>(&mut self, fault: Fault) -> ControlFlow<(), T> {
        frame::push(
            &mut self.reply,
            frame::CLOSE,
            [&(fault as u16).to_be_bytes(), &[]],
        );
        ControlFlow::Break(())
    }
}
