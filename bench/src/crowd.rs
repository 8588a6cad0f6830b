//! All clients of a run on one thread: they come in together, and what they read goes to the scenario's work.
//!
//! What a server does wrong is kept by [`Crowd::fail`] and ends the turn, so that nothing on the way of a message returns errors.

use crate::client::{Client, Stage};
use crate::dialect::{Dialect, Incoming};
use crate::poll::{Poll, Ready};
use crate::wire::{self, opcode};
use core::mem;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Clients that are on their way in at a time; few enough for any server's backlog.
const WAVE: usize = 250;
/// Everybody of a wave is in within this time, or the run fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;
/// Addresses from which clients come.
const ADDRESSES: usize = 200;

/// What clients do with what they read.
pub(crate) trait Work {
    /// A client came in.
    fn on_ready(&mut self, _crowd: &mut Crowd, _who: usize) {}

    /// A client that is ready got an answer or a message.
    fn on_message(&mut self, crowd: &mut Crowd, who: usize, incoming: Incoming<'_>);

    /// A client's connection ended. Most loads expect that of nobody.
    fn on_end(&mut self, crowd: &mut Crowd, who: usize) {
        crowd.fail(|| format!("the server closed the connection of client {who}"));
    }
}

/// Work of those who are on their way in.
struct Newcomers;

impl Work for Newcomers {
    fn on_message(&mut self, crowd: &mut Crowd, who: usize, incoming: Incoming<'_>) {
        crowd.fail(|| format!("client {who} asked for nothing and got {incoming:?}"));
    }
}

/// Whom a client pretends to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guest {
    pub(crate) token: String,
    pub(crate) rooms: Vec<String>,
}

/// The clients.
pub(crate) struct Crowd {
    pub(crate) dialect: Dialect,
    /// Bytes of an answer where answers have no frames.
    echo_bytes: usize,
    server: SocketAddrV4,
    start: Instant,
    /// The moment of the read that is being looked at, since the start.
    pub(crate) now_ns: u64,
    poll: Poll,
    clients: Vec<Client>,
    guests: Vec<Guest>,
    /// 127.N.1.0/24, and how many of its addresses clients come from: limits are per address.
    sources: (u8, usize),
    /// Pings that were answered.
    pings: u64,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
    outgoing: Vec<u8>,
    /// What the server did wrong first.
    failure: Option<String>,
}

impl Crowd {
    pub(crate) fn new(
        dialect: Dialect,
        server: SocketAddrV4,
        echo_bytes: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            dialect,
            echo_bytes,
            server,
            start: Instant::now(),
            now_ns: 0,
            poll: Poll::new()?,
            clients: Vec::new(),
            guests: Vec::new(),
            sources: (1, ADDRESSES),
            pings: 0,
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
            outgoing: Vec::new(),
            failure: None,
        })
    }

    /// Brings everybody in, in waves.
    ///
    /// # Errors
    /// The machine's, and [`io::ErrorKind::TimedOut`] when a wave does not get in.
    pub(crate) fn open(&mut self, guests: Vec<Guest>) -> io::Result<()> {
        for wave in guests.chunks(WAVE) {
            let first = self.clients.len();
            for guest in wave {
                self.guests.push(guest.clone());
                let client = self.fresh(self.clients.len())?;
                self.clients.push(client);
            }
            let until = Instant::now() + PATIENCE;
            while self.clients[first..]
                .iter()
                .any(|client| client.stage != Stage::Ready)
            {
                if Instant::now() > until {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        self.stragglers(first),
                    ));
                }
                self.turn(Duration::from_millis(100), &mut Newcomers)?;
            }
        }
        Ok(())
    }

    fn stragglers(&self, first: usize) -> String {
        let late = self.clients[first..]
            .iter()
            .filter(|client| client.stage != Stage::Ready);
        let stages: Vec<Stage> = late.map(|client| client.stage).collect();
        format!(
            "{} clients did not get in: {:?} …",
            stages.len(),
            &stages[..stages.len().min(3)]
        )
    }

    /// Clients that are in, on a listener that takes whatever they say and never answers: for tests of loads.
    #[cfg(test)]
    pub(crate) fn pretended(dialect: Dialect, clients: usize) -> (Self, std::net::TcpListener) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            unreachable!("it was bound to such a one");
        };
        let mut crowd = Self::new(dialect, address, 0).unwrap();
        for number in 0..clients {
            let mut client = crowd.fresh(number).unwrap();
            client.stage = Stage::Ready;
            crowd.clients.push(client);
        }
        (crowd, listener)
    }

    /// Keeps what the server did wrong, if it is the first thing.
    pub(crate) fn fail(&mut self, what: impl FnOnce() -> String) {
        self.failure.get_or_insert_with(what);
    }

    fn fresh(&self, number: usize) -> io::Result<Client> {
        let source = Ipv4Addr::new(127, self.sources.0, 1, 1 + (number % self.sources.1) as u8);
        let mut client = Client::dial(source, self.server)?;
        self.poll.add(&client, number)?;
        client.write(&self.dialect.hello())?;
        Ok(client)
    }

    /// The same guest comes in again over a connection of its own.
    pub(crate) fn dial_again(&mut self, who: usize) -> io::Result<()> {
        self.clients[who] = self.fresh(who)?;
        Ok(())
    }

    /// Clients that are dialed from now on come from `addresses` of another network.
    pub(crate) fn come_from(&mut self, network: u8, addresses: usize) {
        self.sources = (network, addresses);
    }

    /// Pings of Engine.IO that were answered so far.
    pub(crate) const fn pings(&self) -> u64 {
        self.pings
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn client(&mut self, who: usize) -> &mut Client {
        &mut self.clients[who]
    }

    /// Nanoseconds since the start, by the clock.
    pub(crate) fn clock_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Lets the client stop reading, for good.
    pub(crate) fn stall(&self, who: usize) -> io::Result<()> {
        self.poll.forget(&self.clients[who])
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, who: usize, message: &[u8]) {
        self.send_frame(who, self.dialect.opcode(), message);
    }

    /// Says goodbye; the server answers and closes.
    pub(crate) fn send_close(&mut self, who: usize) {
        self.send_frame(who, opcode::CLOSE, &1000_u16.to_be_bytes());
    }

    fn send_frame(&mut self, who: usize, opcode: u8, payload: &[u8]) {
        self.outgoing.clear();
        match self.dialect {
            Dialect::Bytes => self.outgoing.extend_from_slice(payload),
            Dialect::SocketIo | Dialect::Bare => {
                wire::frame_into(&mut self.outgoing, opcode, payload);
            }
            Dialect::Http => unreachable!("who fetches files is no crowd"),
        }
        let client = &mut self.clients[who];
        // Whoever is gone is heard of by the next read.
        if client.write(&self.outgoing).unwrap_or(false) {
            self.watch(who, true);
        }
    }

    fn watch(&mut self, who: usize, writes: bool) {
        if let Err(error) = self.poll.watch(&self.clients[who], who, writes) {
            self.fail(|| format!("epoll on client {who}: {error}"));
        }
    }

    /// Waits for `most` at the longest, then reads once from everybody who has something.
    ///
    /// # Errors
    /// The machine's, and what the server did wrong.
    pub(crate) fn turn(&mut self, most: Duration, work: &mut impl Work) -> io::Result<()> {
        let mut ready = mem::take(&mut self.ready);
        self.poll.wait(most, &mut ready)?;
        for one in &ready {
            if one.writable && !self.clients[one.number].flush().unwrap_or(false) {
                self.watch(one.number, false);
            }
            if one.readable {
                self.read(one.number, work)?;
            }
        }
        self.ready = ready;
        self.failure
            .take()
            .map_or(Ok(()), |what| Err(io::Error::other(what)))
    }

    fn read(&mut self, who: usize, work: &mut impl Work) -> io::Result<()> {
        let mut buffer = mem::take(&mut self.buffer);
        let count = self.clients[who].read(&mut buffer);
        self.now_ns = self.clock_ns();
        match count? {
            None => {}
            Some(0) => self.ended(who, work),
            Some(count) => self.take(who, &buffer[..count], work),
        }
        self.buffer = buffer;
        Ok(())
    }

    fn ended(&mut self, who: usize, work: &mut impl Work) {
        let client = &mut self.clients[who];
        let stage = mem::replace(&mut client.stage, Stage::Gone);
        match stage {
            Stage::Ready => return work.on_end(self, who),
            // Readiness is told again and again until the socket is closed.
            Stage::Gone => return,
            _ => {}
        }
        let last = String::from_utf8_lossy(&client.partial).into_owned();
        self.fail(|| format!("client {who} was turned away while {stage:?}: {last}"));
    }

    /// Takes the bytes of a read; only what is not whole is copied.
    fn take(&mut self, who: usize, bytes: &[u8], work: &mut impl Work) {
        let mut partial = mem::take(&mut self.clients[who].partial);
        if partial.is_empty() {
            let used = self.messages(who, bytes, work);
            self.clients[who].partial.extend_from_slice(&bytes[used..]);
            return;
        }
        partial.extend_from_slice(bytes);
        let used = self.messages(who, &partial, work);
        partial.drain(..used);
        if !partial.is_empty() {
            self.clients[who].partial = partial;
        }
    }

    /// Looks at everything that is whole; how many bytes it was.
    fn messages(&mut self, who: usize, bytes: &[u8], work: &mut impl Work) -> usize {
        match self.dialect {
            Dialect::Bytes => self.echoes(who, bytes, work),
            Dialect::SocketIo | Dialect::Bare => self.frames(who, bytes, work),
            Dialect::Http => unreachable!("who fetches files is no crowd"),
        }
    }

    /// The first byte that comes back lets a client in; from then on as many as an echo has are an answer.
    fn echoes(&mut self, who: usize, bytes: &[u8], work: &mut impl Work) -> usize {
        let mut at = 0;
        if self.clients[who].stage == Stage::Upgrading {
            at = 1;
            self.connected(who, work);
        }
        while let Some(answer) = bytes.get(at..at + self.echo_bytes) {
            at += self.echo_bytes;
            self.message(who, answer, work);
        }
        at
    }

    /// Looks at every whole frame; how many bytes they were.
    fn frames(&mut self, who: usize, bytes: &[u8], work: &mut impl Work) -> usize {
        let mut at = 0;
        if self.clients[who].stage == Stage::Upgrading {
            at = self.upgraded(who, bytes, work);
            if at == 0 {
                return 0;
            }
        }
        loop {
            match wire::parse(bytes, at) {
                Ok(Some(frame)) => {
                    at = frame.end;
                    self.frame(who, frame.opcode, &bytes[frame.start..frame.end], work);
                }
                Ok(None) => return at,
                Err(problem) => {
                    self.fail(|| format!("client {who} got {problem}"));
                    return bytes.len();
                }
            }
        }
    }

    fn frame(&mut self, who: usize, opcode: u8, payload: &[u8], work: &mut impl Work) {
        match opcode {
            opcode::TEXT | opcode::BINARY => self.message(who, payload, work),
            opcode::PING => self.send_frame(who, opcode::PONG, payload),
            opcode::CLOSE => self.closed(who, payload),
            other => self.fail(|| format!("client {who} got a frame of kind {other}")),
        }
    }

    fn closed(&mut self, who: usize, payload: &[u8]) {
        self.clients[who].was_told_goodbye = true;
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        if !matches!(code, None | Some(1000 | 1005)) {
            let why = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
            self.fail(|| format!("client {who} was closed with {code:?}: {why}"));
        }
    }

    /// Looks for the end of the head; how many bytes it has.
    fn upgraded(&mut self, who: usize, bytes: &[u8], work: &mut impl Work) -> usize {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return 0;
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            let head = String::from_utf8_lossy(&bytes[..end]);
            self.fail(|| format!("client {who} got {head}"));
        }
        self.clients[who].stage = Stage::Opening;
        if self.dialect == Dialect::Bare {
            self.connected(who, work);
        }
        end + 4
    }

    fn connected(&mut self, who: usize, work: &mut impl Work) {
        let rooms = mem::take(&mut self.guests[who].rooms);
        for room in &rooms {
            self.send(who, &self.dialect.join(room));
        }
        self.joins(who, rooms.len() as u16, work);
        self.guests[who].rooms = rooms;
    }

    /// So many rooms are still to be joined.
    fn joins(&mut self, who: usize, left: u16, work: &mut impl Work) {
        self.clients[who].stage = match left {
            0 => Stage::Ready,
            more => Stage::Joining(more),
        };
        if left == 0 {
            work.on_ready(self, who);
        }
    }

    fn message(&mut self, who: usize, payload: &[u8], work: &mut impl Work) {
        match (self.dialect.understand(payload), self.clients[who].stage) {
            (Incoming::Ping, _) => {
                self.pings += 1;
                self.send(who, b"3");
            }
            (incoming, Stage::Ready) => work.on_message(self, who, incoming),
            (Incoming::Open, Stage::Opening) => {
                self.clients[who].stage = Stage::Connecting;
                let hello = Dialect::connect(&self.guests[who].token);
                self.send(who, &hello);
            }
            (Incoming::Connected, Stage::Connecting) => self.connected(who, work),
            (Incoming::Answer(answer), Stage::Joining(left)) => {
                if !self.dialect.is_good(answer) {
                    let answer = String::from_utf8_lossy(answer);
                    self.fail(|| format!("client {who} was refused a room: {answer}"));
                }
                self.joins(who, left - 1, work);
            }
            (other, stage) => {
                self.fail(|| format!("client {who} is {stage:?} and got {other:?}"));
            }
        }
    }
}
