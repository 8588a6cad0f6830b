//! The processes of clients: what they are told by lines on their standard input, and what they say.

use crate::crowd::{Crowd, Work};
use crate::dialect::{Dialect, Incoming};
use crate::job::{self, prepare_load};
use crate::load::publish::Publish;
use crate::scenario::Scenario;
use crate::stamp::{STAMP_BYTES, Stamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::env;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddrV4;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

/// Addresses of one cohort.
const ADDRESSES: usize = 20;
/// Networks 127.2.0.0/16 and on: one for each cohort.
const FIRST_NETWORK: usize = 2;
/// How long a cohort does not look at what it is told.
const WAIT: Duration = Duration::from_millis(50);
const COUNT: &str = "count";
const PUBLISH: &str = "publish";

/// Clients of one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cohort {
    server: SocketAddrV4,
    network: u8,
    /// The number of its first client among all.
    pub(crate) first: usize,
    pub(crate) connections: usize,
    rooms: usize,
    cpus: Vec<usize>,
}

impl Cohort {
    /// All clients of a scenario, at most `clients_max` in each.
    pub(super) fn all(
        scenario: &Scenario,
        server: SocketAddrV4,
        clients_max: usize,
    ) -> impl Iterator<Item = Self> {
        let starts = (0..scenario.connections).step_by(clients_max);
        starts.enumerate().map(move |(number, first)| Self {
            server,
            network: (FIRST_NETWORK + number) as u8,
            first,
            connections: clients_max.min(scenario.connections - first),
            rooms: scenario.rooms,
            cpus: scenario.load_cpus.clone(),
        })
    }
}

/// What a cohort, or all of them, have seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) pings: u64,
    /// Numbers that clients got for the first time.
    pub(crate) messages: u64,
    /// Numbers that a client had already, or had a later one of.
    #[serde(default)]
    pub(crate) duplicates: u64,
    /// When the last message came, by the machine's monotonic clock.
    pub(crate) last_message_ns: u64,
}

/// A process of clients.
struct Member {
    child: Child,
    told: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Member {
    fn tell(&mut self, word: &str) -> io::Result<()> {
        writeln!(self.told, "{word}")
    }

    fn hear(&mut self) -> io::Result<Count> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| {
            let ended = self.child.try_wait();
            io::Error::other(format!("a process of clients ended: {ended:?} {line}"))
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Who has ended already cannot be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All processes of clients.
#[derive(Default)]
pub(super) struct Legion(Vec<Member>);

impl Legion {
    /// One more cohort; it is in when this returns.
    pub(super) fn join(&mut self, cohort: &Cohort) -> io::Result<()> {
        let mut child = Command::new(env::current_exe()?)
            .arg("cohort")
            .arg(serde_json::to_string(cohort)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (told, says) = (child.stdin.take(), child.stdout.take());
        let mut member = Member {
            child,
            told: told.expect("it was asked for"),
            says: BufReader::new(says.expect("it was asked for")),
        };
        member.hear()?;
        self.0.push(member);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What everybody has seen.
    pub(super) fn count(&mut self) -> io::Result<Count> {
        self.0
            .iter_mut()
            .try_for_each(|member| member.tell(COUNT))?;
        let mut all = Count::default();
        for member in &mut self.0 {
            let count = member.hear()?;
            all.pings += count.pings;
            all.messages += count.messages;
            all.duplicates += count.duplicates;
            all.last_message_ns = all.last_message_ns.max(count.last_message_ns);
        }
        Ok(all)
    }

    /// The first client of each room publishes to it.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        self.0
            .iter_mut()
            .try_for_each(|member| member.tell(PUBLISH))
    }
}

pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Count {
    /// A client whose next number is `next` got a message of this number. A sum alone would let one that came twice hide one that was lost.
    const fn heard(&mut self, next: &mut u32, number: u32, now_ns: u64) {
        if number < *next {
            self.duplicates += 1;
            return;
        }
        *next = number + 1;
        self.messages += 1;
        self.last_message_ns = now_ns;
    }
}

/// Counts what comes to a cohort.
struct Listener<'a>(Count, &'a Cohort);

impl Work for Listener<'_> {
    fn on_message(&mut self, crowd: &mut Crowd, who: usize, incoming: Incoming<'_>) {
        let stamp = match incoming {
            Incoming::Message(message) => Stamp::find(message, STAMP_BYTES),
            _ => None,
        };
        let room = (self.1.first + who) % self.1.rooms;
        let Some(stamp) = stamp.filter(|stamp| stamp.room as usize == room) else {
            return crowd.fail(|| format!("client {who} got {incoming:?}"));
        };
        let next = &mut crowd.client(who).next_number;
        self.0.heard(next, stamp.number, now_ns());
    }
}

/// Is one cohort, until its standard input ends.
///
/// # Errors
/// The machine's, and what the server did wrong.
pub(crate) fn serve(cohort: &Cohort) -> io::Result<()> {
    prepare_load(&cohort.cpus)?;
    let mut crowd = Crowd::new(Dialect::SocketIo, cohort.server, 0)?;
    crowd.come_from(cohort.network, ADDRESSES);
    let numbers = cohort.first..cohort.first + cohort.connections;
    let guests =
        numbers.map(|number| job::guest(number, vec![Publish::room_of(number, cohort.rooms)]));
    crowd.open(guests.collect::<io::Result<_>>()?)?;
    let told = lines();
    let (mut listener, mut published) = (Listener(Count::default(), cohort), 0);
    say(listener.0)?;
    loop {
        crowd.turn(WAIT, &mut listener)?;
        match told.try_recv() {
            Ok(word) if word == COUNT => {
                listener.0.pings = crowd.pings();
                say(listener.0)?;
            }
            Ok(_) => {
                publish(&mut crowd, cohort, published);
                published += 1;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

/// The first client of each room publishes the message of this number, if it is of this cohort.
fn publish(crowd: &mut Crowd, cohort: &Cohort, number: u32) {
    let due_ns = crowd.clock_ns();
    let rooms = cohort.first..cohort.rooms.min(cohort.first + crowd.len());
    for (who, room) in rooms.enumerate() {
        let stamp = Stamp {
            due_ns,
            room: room as u32,
            number,
        };
        let name = Publish::room_of(room, cohort.rooms);
        let message = crowd.dialect.publish(&name, &stamp.payload(STAMP_BYTES));
        crowd.send(who, &message);
    }
}

/// Lines of the standard input.
fn lines() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = io::stdin().lines().map_while(Result::ok);
        // Nobody listens any more when the clients have ended.
        let _ = lines.into_iter().try_for_each(|line| sender.send(line));
    });
    receiver
}

fn say(count: Count) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{}", serde_json::to_string(&count)?)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client that gets these numbers counts: first times, and duplicates.
    #[track_caller]
    fn check(numbers: &[u32], messages: u64, duplicates: u64) {
        let (mut count, mut next) = (Count::default(), 0);
        for number in numbers {
            count.heard(&mut next, *number, 1);
        }
        assert_eq!((count.messages, count.duplicates), (messages, duplicates));
    }

    #[test]
    fn each_number_counts_once() {
        check(&[0, 1, 2], 3, 0);
        check(&[0, 0, 1], 2, 1);
        check(&[0, 2], 2, 0);
        check(&[1, 0], 1, 1);
    }
}
