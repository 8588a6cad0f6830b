//! Files over HTTP: clients that ask for one after the other, on connections that stay.
//!
//! Deliberately absent: pipelining, and trailers behind chunks.

mod chunks;
mod client;
pub(crate) mod head;
mod wanted;

pub(crate) use wanted::{Files, Wanted, pattern};

use crate::load::{Drive, Tally, WAIT_MAX};
use crate::poll::{Poll, Ready};
use client::Client;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Bytes that one read takes at most. What is not asked to copy still names as many.
const READ_BYTES: usize = 256 * 1024;
/// Addresses from which clients come.
const ADDRESSES: usize = 200;
/// Turns of a second in which slow readers read.
const SLOW_TURNS_PER_SECOND: u64 = 10;

/// Clients that fetch.
pub(crate) struct Fetching {
    start: Instant,
    tally: Tally,
    wanted: Wanted,
    files: Files,
    poll: Poll,
    clients: Vec<Client>,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
    under_way: u64,
    is_over: bool,
    /// Draws files and ranges; the same ones in each run.
    random: u64,
    /// Slow readers: when the next turn is.
    next_turn_ns: u64,
}

impl Fetching {
    /// Connects everybody.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn open(
        server: SocketAddrV4,
        wanted: Wanted,
        files: Files,
        connections: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(connections);
        for number in 0..connections {
            let source = Ipv4Addr::new(127, 1, 1, (number % ADDRESSES) as u8 + 1);
            let client = Client::dial(source, server, wanted.recv_buffer_bytes)?;
            if !wanted.is_slow() {
                poll.add(&client, number)?;
            }
            clients.push(client);
        }
        Ok(Self {
            start: Instant::now(),
            tally: Tally::new(),
            wanted,
            files,
            poll,
            clients,
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
            under_way: 0,
            is_over: false,
            random: 0x9e37_79b9_7f4a_7c15,
            next_turn_ns: 0,
        })
    }

    /// The next of a xorshift.
    const fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn ask(&mut self, who: usize) -> io::Result<()> {
        let (file, offset) = (self.draw(), self.draw());
        let now_ns = self.clock_ns();
        let client = &mut self.clients[who];
        let request = self
            .files
            .request(&self.wanted, file, offset, client.etag());
        self.under_way += 1;
        client.ask(request, now_ns)
    }

    /// Reads what a client has got, until there is no more or it has its answer and asks again.
    fn read(&mut self, who: usize, most: usize) -> io::Result<()> {
        let discards = self.wanted.discards;
        let client = &mut self.clients[who];
        let progress = client.read(&mut self.buffer[..most], discards, &self.files);
        let progress = progress.map_err(|error| {
            let context = format!("client {who}: {error}");
            io::Error::new(error.kind(), context)
        })?;
        let now_ns = self.clock_ns();
        self.tally.bytes += progress.body_bytes as u64;
        if self.wanted.is_slow() && progress.body_bytes > 0 {
            self.tally.operations += 1;
        }
        let Some(answer) = progress.answered else {
            return Ok(());
        };
        self.under_way -= 1;
        if self.wanted.is_answered_by(&answer) {
            self.tally.done(answer.asked_ns, now_ns);
        } else {
            self.tally.refused += 1;
        }
        if self.is_over {
            return Ok(());
        }
        self.ask(who)
    }

    /// Each slow reader takes its share of a turn.
    fn read_slowly(&mut self, most: Duration) -> io::Result<()> {
        let now_ns = self.clock_ns();
        if now_ns < self.next_turn_ns {
            let wait = Duration::from_nanos(self.next_turn_ns - now_ns).min(most);
            std::thread::sleep(wait);
            return Ok(());
        }
        self.next_turn_ns = now_ns + 1_000_000_000 / SLOW_TURNS_PER_SECOND;
        let share = self.wanted.bytes_per_second / SLOW_TURNS_PER_SECOND;
        for who in 0..self.clients.len() {
            self.read(who, share as usize)?;
        }
        Ok(())
    }
}

impl Drive for Fetching {
    /// Everybody asks.
    fn start(&mut self) {
        for who in 0..self.clients.len() {
            if let Err(error) = self.ask(who) {
                self.clients[who].fail(&error);
            }
        }
    }

    fn due(&mut self) -> Duration {
        WAIT_MAX
    }

    fn turn(&mut self, most: Duration) -> io::Result<()> {
        if self.wanted.is_slow() {
            return self.read_slowly(most);
        }
        let mut ready = core::mem::take(&mut self.ready);
        self.poll.wait(most, &mut ready)?;
        for one in &ready {
            self.read(one.number, READ_BYTES)?;
        }
        self.ready = ready;
        Ok(())
    }

    fn stop(&mut self) {
        self.is_over = true;
        if self.wanted.is_slow() {
            // Nobody waits for hours: what they have not read is no loss.
            self.under_way = 0;
        }
    }

    fn missing(&self) -> u64 {
        self.under_way
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn clock_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}
