//! One room: members that have stopped reading, members that read everything, and a publisher.

use crate::client::{Client, Dial};
use crate::crowd::{self, source};
use crate::daemon::{Daemon, token};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) const STALLED: usize = 1000;
pub(crate) const READERS: usize = 50;
/// Small, so that queues are full soon.
pub(crate) const QUEUE_PACKETS: usize = 64;
pub(crate) const QUEUE_BYTES: i64 = 128 * 1024;
const PAYLOAD_BYTES: usize = 1000;
/// A member's own receive buffer (the kernel doubles it), so that TCP_NOTSENT_LOWAT is what bounds the daemon's side.
pub(crate) const RECEIVE_BYTES: usize = 16 * 1024;
/// Messages between two looks at the queues; fewer than a queue holds, for the readers' sake.
const WINDOW: usize = 48;
/// As much as one send, and less than what the kernel and the queue hold for one member.
const SIP_BYTES: usize = 64 * 1024;
const ROOM: &str = "hall";

/// Nothing is limited: the publisher is one connection that publishes as fast as it can.
pub(crate) const NO_RATES: [&str; 4] = [
    "limits.connection_events_per_second=0",
    "limits.user_events_per_second=0",
    "limits.address_events_per_second=0",
    "limits.room_messages_per_second=0",
];

/// The room and everybody in it.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) stalled: Vec<Client>,
    readers: Vec<Client>,
    publisher: Client,
    /// Messages so far; the room's offset.
    pub(crate) published: u64,
    /// How many keys the messages have; none conflates when it is 0.
    keys: u64,
}

/// How long messages took from the publisher's write to a reader's read.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) median: Duration,
    pub(crate) maximum: Duration,
}

impl Scene {
    /// Everybody joins; the first `stalled` members never read again.
    pub(crate) fn open(stalled: usize, policy: &str, settings: &[&str]) -> Self {
        let policy_setting =
            format!("rooms.slow_consumers=[{{pattern=\"hall\",policy=\"{policy}\"}}]");
        let (packets, bytes) = (
            format!("limits.queue_packets_max={QUEUE_PACKETS}"),
            format!("limits.queue_bytes_max={QUEUE_BYTES}"),
        );
        let bounds = [&*policy_setting, &packets, &bytes];
        let all = [&bounds, &NO_RATES[..], settings].concat();
        // One shard: the operator's list begins with those who came first, who are the stalled ones.
        let daemon = Daemon::start(1, &all);
        let room = |_| vec![ROOM.to_owned()];
        let stalled_clients = crowd::open(&daemon, 0..stalled, Some(RECEIVE_BYTES), room);
        let readers = crowd::open(&daemon, stalled..stalled + READERS, None, room);
        let publisher = Self::publisher(&daemon);
        Self {
            daemon,
            stalled: stalled_clients,
            readers,
            publisher,
            published: 0,
            keys: if policy == "conflate" {
                QUEUE_PACKETS as u64
            } else {
                0
            },
        }
    }

    fn publisher(daemon: &Daemon) -> Client {
        let mut publisher = Client::dial(Dial {
            port: daemon.port,
            source: source(0),
            receive_bytes: None,
        });
        publisher.ask_upgrade();
        publisher.read_upgrade();
        publisher.ask_connect(&token("publisher"));
        publisher.read_connect();
        publisher
    }

    /// Publishes `count` messages; every reader reads them all, in order. Gives each reader's latency of the last one.
    pub(crate) fn publish(&mut self, count: usize) -> Vec<Duration> {
        let payload = "x".repeat(PAYLOAD_BYTES);
        let started = Instant::now();
        for number in 0..count as u64 {
            let options = match self.keys {
                0 => "{}".to_owned(),
                keys => format!("{{\"key\":\"{}\"}}", (self.published + number) % keys),
            };
            self.publisher.send(&format!(
                "420[\"publish\",\"{ROOM}\",\"{payload}\",{options}]"
            ));
        }
        let first = self.published + 1;
        self.published += count as u64;
        let mut latencies = Vec::with_capacity(READERS);
        for reader in &mut self.readers {
            for offset in first..=self.published {
                assert_eq!(offset_of(&reader.text()), Some(offset));
            }
            latencies.push(started.elapsed());
        }
        for offset in first..=self.published {
            assert_eq!(self.publisher.read_ack(), offset);
        }
        latencies
    }

    /// Publishes `count` messages in windows.
    pub(crate) fn publish_many(&mut self, count: u64) {
        let until = self.published + count;
        while self.published < until {
            self.publish(WINDOW.min((until - self.published) as usize));
        }
    }

    /// Latencies of single messages.
    pub(crate) fn latency(&mut self) -> Latency {
        let mut all: Vec<Duration> = (0..100).flat_map(|_| self.publish(1)).collect();
        all.sort_unstable();
        Latency {
            median: all[all.len() / 2],
            maximum: all[all.len() - 1],
        }
    }

    /// Packets that wait for each stalled member, as the operator's port says.
    pub(crate) fn queued(&self) -> Vec<u64> {
        let rows = self.daemon.rows("connections");
        let by_id: BTreeMap<&str, u64> = rows
            .iter()
            .filter_map(|row| Some((row["id"].as_str()?, row["queued_packets"].as_u64()?)))
            .collect();
        let queued = |client: &Client| *by_id.get(&*client.id).expect("stalled members come first");
        self.stalled.iter().map(queued).collect()
    }

    /// Publishes until every stalled member's queue is at its bound, and proves it: each further message drops one per stalled member.
    pub(crate) fn fill_queues(&mut self) {
        self.fill_once();
        // A last sip of each: the send in flight ends, and the next one takes as much of the queue as a send may. That is the worst case.
        for client in &mut self.stalled {
            client.sip(SIP_BYTES);
        }
        self.fill_once();
        let before = self.dropped();
        self.publish_many(WINDOW as u64);
        let dropped = self.dropped() - before;
        assert_eq!(dropped, (WINDOW * self.stalled.len()) as u64);
        assert!(self.queues_are_full());
    }

    fn fill_once(&mut self) {
        let until = self.published + 5000;
        while !self.queues_are_full() {
            assert!(self.published < until, "{:?}", self.queued());
            self.publish(WINDOW);
        }
    }

    fn queues_are_full(&self) -> bool {
        let bound = QUEUE_PACKETS as u64;
        self.queued().iter().all(|packets| *packets == bound)
    }

    /// Messages that were dropped, once everything that was published has been counted.
    pub(crate) fn dropped(&self) -> u64 {
        let delivered = self.published * (self.stalled.len() + READERS) as u64;
        let mut dropped = 0;
        self.daemon.wait_until("all deliveries are counted", || {
            let page = self.daemon.metrics();
            dropped = page.sum("ringway_dropped_total");
            page.sum("ringway_delivered_total") == delivered
        });
        dropped
    }
}

/// The offset in a `message` event.
pub(crate) fn offset_of(text: &str) -> Option<u64> {
    let event: Value = serde_json::from_str(text.strip_prefix("42")?).ok()?;
    assert_eq!(
        (event[0].as_str(), event[1].as_str()),
        (Some("message"), Some(ROOM))
    );
    event[3]["offset"].as_u64()
}
