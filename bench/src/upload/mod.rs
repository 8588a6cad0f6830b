//! Uploads by tus 1.0.0 (creation, core, termination): clients that create one, send it in one PATCH, and remove it.
//!
//! Removed, because a disk that fills up in the middle of a run is another measurement.

mod client;

use crate::fetch::pattern;
use crate::load::{Drive, Tally, WAIT_MAX};
use crate::poll::{Poll, Ready};
use client::{Client, Done};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// What a quick run makes of a large upload.
const QUICK_FILE_BYTES: u64 = 1 << 20;
/// Addresses from which clients come.
const ADDRESSES: usize = 200;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sent {
    /// Of each upload.
    pub(crate) file_bytes: u64,
}

impl Sent {
    /// The same with small files.
    pub(crate) fn quick(self) -> Self {
        let file_bytes = self.file_bytes.min(QUICK_FILE_BYTES);
        Self { file_bytes }
    }
}

/// Clients that upload.
pub(crate) struct Uploading {
    start: Instant,
    tally: Tally,
    poll: Poll,
    clients: Vec<Client>,
    pattern: Vec<u8>,
    ready: Vec<Ready>,
    under_way: u64,
    is_over: bool,
}

impl Uploading {
    /// Connects everybody.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn open(server: SocketAddrV4, sent: Sent, connections: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(connections);
        for number in 0..connections {
            let source = Ipv4Addr::new(127, 1, 1, (number % ADDRESSES) as u8 + 1);
            let client = Client::dial(source, server, sent.file_bytes)?;
            poll.add(&client, number)?;
            clients.push(client);
        }
        Ok(Self {
            start: Instant::now(),
            tally: Tally::new(),
            poll,
            clients,
            pattern: pattern(),
            ready: Vec::new(),
            under_way: 0,
            is_over: false,
        })
    }

    fn begin(&mut self, who: usize) -> io::Result<()> {
        self.under_way += 1;
        let now_ns = self.clock_ns();
        self.clients[who].create(now_ns)
    }

    fn look(&mut self, one: Ready) -> io::Result<()> {
        let who = one.number;
        let client = &mut self.clients[who];
        if one.writable {
            client.write(&self.pattern)?;
        }
        let done = if one.readable { client.read()? } else { None };
        self.poll.watch(&*client, who, client.wants_to_write())?;
        match done {
            None => Ok(()),
            Some(Done::Stored { bytes, began_ns }) => {
                self.tally.bytes += bytes;
                self.tally.done(began_ns, self.clock_ns());
                Ok(())
            }
            Some(Done::Removed) => {
                self.under_way -= 1;
                if self.is_over {
                    Ok(())
                } else {
                    self.begin(who)
                }
            }
        }
    }
}

impl Drive for Uploading {
    /// Everybody creates one. A socket that takes no request is found by its first read.
    fn start(&mut self) {
        for who in 0..self.clients.len() {
            if let Err(error) = self.begin(who) {
                self.clients[who].fail(&error);
            }
        }
    }

    fn due(&mut self) -> Duration {
        WAIT_MAX
    }

    fn turn(&mut self, most: Duration) -> io::Result<()> {
        let mut ready = core::mem::take(&mut self.ready);
        self.poll.wait(most, &mut ready)?;
        for one in &ready {
            let looked = self.look(*one);
            looked.map_err(|error| {
                io::Error::new(error.kind(), format!("client {}: {error}", one.number))
            })?;
        }
        self.ready = ready;
        Ok(())
    }

    fn stop(&mut self) {
        self.is_over = true;
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
