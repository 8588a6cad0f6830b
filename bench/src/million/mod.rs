//! More connections than one process may have descriptors for: a legion of processes, each with a crowd of its own, beside one server.
//!
//! Deliberately absent: peers. Those that hold all connections in one table of descriptors cannot hold so many here.

mod legion;

pub(crate) use legion::serve;

use crate::outcome::Report;
use crate::process::Memory;
use crate::run;
use crate::scenario::Scenario;
use crate::server::{Running, Server};
use legion::{Cohort, Count, Legion, now_ns};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, Instant};

/// Descriptors that are no clients': epoll's, the pipes, what the process was given.
const SPARE_DESCRIPTORS: usize = 64;
/// Publishes to everybody, one after the other.
const BROADCASTS: usize = 3;
/// A message has reached everybody within this time, or is lost.
const BROADCAST_PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);

/// What holding them came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) connections: usize,
    pub(crate) processes_of_clients: usize,
    /// From the first connection until the last was in its room.
    pub(crate) opening_seconds: f64,
    /// The server's, meanwhile.
    pub(crate) opening_cpu_seconds: f64,
    /// The server's before the first connection.
    pub(crate) resident_bytes_before: i64,
    /// The server's with all of them idle.
    pub(crate) resident_bytes: i64,
    /// Growth, the kernel's for both ends.
    pub(crate) growth: Memory,
    pub(crate) idle_seconds: f64,
    /// The server's while nothing but heartbeats happened.
    pub(crate) idle_cpu_seconds: f64,
    /// Pings that were answered in that time.
    pub(crate) heartbeats: u64,
    pub(crate) broadcasts: Vec<Broadcast>,
    /// Resident in the end.
    pub(crate) resident_bytes_after: i64,
}

/// One message to everybody.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Broadcast {
    /// Clients that got it.
    pub(crate) deliveries: u64,
    /// Those that did not.
    #[serde(default)]
    pub(crate) missing: u64,
    /// Messages that a client had already.
    #[serde(default)]
    pub(crate) duplicates: u64,
    /// From the publish until the last client had it.
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

impl Broadcast {
    /// Whether each client got it once.
    const fn is_whole(&self) -> bool {
        self.missing == 0 && self.duplicates == 0
    }

    /// What clients have counted between two moments, of a message to `all` of them.
    const fn between(before: Count, after: Count, all: u64) -> Self {
        let deliveries = after.messages - before.messages;
        Self {
            deliveries,
            missing: all.saturating_sub(deliveries),
            duplicates: after.duplicates - before.duplicates,
            seconds: 0.0,
            cpu_seconds: 0.0,
        }
    }
}

/// The run, and what it was made with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Million {
    pub(crate) report: Report,
    pub(crate) held: Held,
}

/// Brings everybody in and looks at the server.
///
/// # Errors
/// The machine's, and whatever a client or the server did wrong.
pub(crate) fn hold(scenario: &Scenario, server: &Server) -> io::Result<Held> {
    let running = Running::start(server, scenario, run::root())?;
    let held = hold_with(scenario, &running);
    held.map_err(|error| io::Error::other(format!("{error}\n{}", running.last_words())))
}

fn hold_with(scenario: &Scenario, running: &Running) -> io::Result<Held> {
    let rest = Duration::from_millis(scenario.rest_ms);
    let before = running.memory()?;
    let (start, cpu) = (Instant::now(), running.cpu()?);
    let mut legion = Legion::default();
    let clients_max = cohort_max().min(scenario.connections.div_ceil(2));
    for cohort in Cohort::all(scenario, running.address, clients_max) {
        legion.join(&cohort)?;
        eprintln!(
            "{} connections after {:.0} s, {} MiB resident",
            cohort.first + cohort.connections,
            start.elapsed().as_secs_f64(),
            running.memory()?.resident >> 20
        );
    }
    let mut held = Held {
        connections: scenario.connections,
        processes_of_clients: legion.len(),
        opening_seconds: start.elapsed().as_secs_f64(),
        opening_cpu_seconds: running.cpu()?.since(cpu).0,
        resident_bytes_before: before.resident,
        ..Held::default()
    };
    std::thread::sleep(rest);
    let memory = running.memory()?;
    (held.resident_bytes, held.growth) = (memory.resident, memory.since(before));
    idle(scenario, running, &mut legion, &mut held)?;
    eprintln!("{}", held.told());
    for _ in 0..BROADCASTS {
        let broadcast = broadcast(running, &mut legion, held.connections as u64)?;
        held.broadcasts.push(broadcast);
        // What is late would count for the next one.
        if !held.is_whole() {
            break;
        }
    }
    held.resident_bytes_after = running.memory()?.resident;
    Ok(held)
}

/// Clients of one process: as many as it may have descriptors.
fn cohort_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    limit.map_or(usize::MAX, |limit| {
        (limit as usize).saturating_sub(SPARE_DESCRIPTORS)
    })
}

fn idle(
    scenario: &Scenario,
    running: &Running,
    legion: &mut Legion,
    held: &mut Held,
) -> io::Result<()> {
    let (start, cpu, count) = (Instant::now(), running.cpu()?, legion.count()?);
    std::thread::sleep(Duration::from_millis(scenario.measured_ms));
    held.idle_cpu_seconds = running.cpu()?.since(cpu).0;
    held.idle_seconds = start.elapsed().as_secs_f64();
    held.heartbeats = legion.count()?.pings - count.pings;
    Ok(())
}

/// One member of each room publishes to it.
fn broadcast(running: &Running, legion: &mut Legion, all: u64) -> io::Result<Broadcast> {
    let (before, cpu, start) = (legion.count()?, running.cpu()?, Instant::now());
    let start_ns = now_ns();
    legion.publish()?;
    let mut count = before;
    while count.messages - before.messages < all && start.elapsed() < BROADCAST_PATIENCE {
        std::thread::sleep(LOOK);
        count = legion.count()?;
    }
    let cpu_seconds = running.cpu()?.since(cpu).0;
    // What comes now comes twice.
    std::thread::sleep(LOOK);
    count = legion.count()?;
    Ok(Broadcast {
        seconds: count.last_message_ns.saturating_sub(start_ns) as f64 / 1e9,
        cpu_seconds,
        ..Broadcast::between(before, count, all)
    })
}

impl Held {
    /// Whether every client got every message once.
    pub(crate) fn is_whole(&self) -> bool {
        self.broadcasts.iter().all(Broadcast::is_whole)
    }

    /// Lines for people.
    pub(crate) fn render(&self) -> String {
        let mut text = self.told();
        for broadcast in &self.broadcasts {
            text += &format!(
                "a message to all: {} deliveries, {} missing, {} duplicates in {:.2} s, server CPU {:.2} s ({:.2} us each)\n",
                broadcast.deliveries,
                broadcast.missing,
                broadcast.duplicates,
                broadcast.seconds,
                broadcast.cpu_seconds,
                broadcast.cpu_seconds * 1e6 / broadcast.deliveries as f64,
            );
        }
        text + &format!(
            "in the end: {} MiB resident\n",
            self.resident_bytes_after >> 20
        )
    }

    /// What there is to say before the messages.
    fn told(&self) -> String {
        let each = |bytes: i64| bytes as f64 / self.connections as f64;
        let mib = |bytes: i64| bytes >> 20;
        format!(
            "{} connections of {} processes in {:.0} s, server CPU {:.0} s\n\
             process: {} MiB resident ({} MiB before the first), {:.0} bytes a connection\n\
             kernel: {:.0} bytes of slab a connection, both ends; {} MiB in TCP's queues\n\
             heartbeats: {} in {:.0} s, {:.1} us of server CPU each, {:.0} % of one CPU\n",
            self.connections,
            self.processes_of_clients,
            self.opening_seconds,
            self.opening_cpu_seconds,
            mib(self.resident_bytes),
            mib(self.resident_bytes_before),
            each(self.growth.resident),
            each(self.growth.kernel_slab),
            mib(self.growth.kernel_tcp),
            self.heartbeats,
            self.idle_seconds,
            self.idle_cpu_seconds * 1e6 / self.heartbeats as f64,
            self.idle_cpu_seconds * 100.0 / self.idle_seconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_does_not_hide_a_loss() {
        let count = |messages, duplicates| Count {
            messages,
            duplicates,
            ..Count::default()
        };
        for (messages, duplicates, missing, is_whole) in [
            (10, 0, 0, true),
            (9, 1, 1, false),
            (10, 1, 0, false),
            (0, 0, 10, false),
        ] {
            let after = count(20 + messages, 3 + duplicates);
            let broadcast = Broadcast::between(count(20, 3), after, 10);
            assert_eq!(broadcast.missing, missing);
            assert_eq!(broadcast.duplicates, duplicates);
            assert_eq!(broadcast.is_whole(), is_whole);
        }
    }
}
