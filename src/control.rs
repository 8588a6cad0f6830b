//! What the control thread asks of the shards, and how their answers become one.

use crate::metrics::{Metrics, Published};
use core::time::Duration;
use ringway_service::hub::{Answer, ConnectionRow, PublishOutcome, Query, RoomRow};
use ringway_service::rooms::home_shard;
use ringway_service::settings::Settings;
use ringway_uring::Waker;
use rtrb::Producer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// How long the metrics page waits for the shards.
const LAPS_WITHIN: Duration = Duration::from_millis(500);

/// A message to one shard.
pub enum Message {
    /// A question.
    Ask(Query, oneshot::Sender<Answer>),
    /// An operator's message to a room whose home this shard is.
    Publish(PublishRequest, oneshot::Sender<PublishOutcome>),
    /// New keys, origins and limits.
    Reload(Arc<Settings>),
    /// Take no more clients; close all sessions within this time.
    Drain {
        /// Microseconds from now.
        within_us: u64,
    },
    /// Nothing: a lap, so that an idle shard copies its numbers out.
    Nudge,
    /// End.
    Exit,
}

/// `POST /api/v1/publish`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// The namespace.
    #[serde(default = "main_namespace")]
    pub namespace: String,
    /// The room.
    pub room: String,
    /// Any JSON.
    pub data: Box<RawValue>,
}

fn main_namespace() -> String {
    "/".to_owned()
}

/// `GET /api/v1/connections`.
#[derive(Debug, Serialize)]
pub struct Connections {
    connections: Vec<ConnectionRow>,
    /// What to pass as `after` for more.
    next: Option<String>,
}

/// A place among the sessions of all shards: `shard-slot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionsCursor {
    shard: u16,
    slot: u32,
}

impl ConnectionsCursor {
    /// Reads what an answer said in `next`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (shard, slot) = text.split_once('-')?;
        let (shard, slot) = (shard.parse().ok()?, slot.parse().ok()?);
        (slot < u32::MAX).then_some(Self { shard, slot })
    }
}

/// `GET /api/v1/rooms`.
#[derive(Debug, Serialize)]
pub struct Rooms {
    rooms: Vec<RoomRow>,
    /// What to pass as `after` for more.
    next: Option<String>,
}

/// An operator's message was numbered.
#[derive(Debug, Serialize)]
pub struct PublishAnswer {
    ok: bool,
    epoch: u64,
    offset: u64,
}

/// The control thread's ends.
pub struct Control {
    ports: Vec<Mutex<Producer<Message>>>,
    wakers: Vec<Waker>,
    metrics: Metrics,
    published: Arc<[Published]>,
    draining: AtomicBool,
    publish_bytes_max: usize,
}

impl Control {
    /// One port and waker per shard.
    #[must_use]
    pub fn new(
        ports: Vec<Producer<Message>>,
        wakers: Vec<Waker>,
        metrics: Metrics,
        published: Arc<[Published]>,
        publish_bytes_max: usize,
    ) -> Self {
        let ports = ports.into_iter().map(Mutex::new).collect();
        Self {
            ports,
            wakers,
            metrics,
            published,
            draining: AtomicBool::new(false),
            publish_bytes_max,
        }
    }

    /// Sends to a shard; `false` when it has too much to do already.
    pub fn tell(&self, shard: usize, message: Message) -> bool {
        // Only tasks of the control thread meet here; a panic of one of them leaves the ring as it was.
        let sent = self.ports[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message)
            .is_ok();
        self.wakers[shard].wake();
        sent
    }

    /// Sends to every shard; `false` when one of them did not take it.
    pub fn tell_all(&self, message: impl Fn() -> Message) -> bool {
        let told = (0..self.ports.len())
            .filter(|shard| self.tell(*shard, message()))
            .count();
        told == self.ports.len()
    }

    /// From here on `/ready` says no.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether clients are welcome.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Bytes of an operator's message.
    #[must_use]
    pub const fn publish_bytes_max(&self) -> usize {
        self.publish_bytes_max
    }

    /// Connections and sessions of all shards, as last published.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.published.iter().map(Published::open).sum()
    }

    /// The metrics page. A shard copies its numbers out at the end of a lap in which it was asked something, and an idle one makes none: it is
    /// asked for two laps, of which the second begins after the first one's copy.
    pub async fn render_metrics(&self) -> String {
        let laps = async {
            for _ in 0..2 {
                let (after, limit) = (None, 0);
                self.ask_all(Query::Rooms { after, limit }).await;
            }
        };
        // A shard that does not answer is no reason to be silent about the others.
        let _ = tokio::time::timeout(LAPS_WITHIN, laps).await;
        self.metrics.render(&self.published)
    }

    async fn ask_all(&self, query: Query) -> Vec<Answer> {
        let mut waiting = Vec::new();
        for shard in 0..self.ports.len() {
            let (answer, receiver) = oneshot::channel();
            if self.tell(shard, Message::Ask(query.clone(), answer)) {
                waiting.push(receiver);
            }
        }
        let mut answers = Vec::new();
        for receiver in waiting {
            answers.extend(receiver.await);
        }
        answers
    }

    /// Sessions shard by shard, at most `limit`, from a place on.
    pub async fn connections(&self, after: Option<ConnectionsCursor>, limit: usize) -> Connections {
        let (first, mut from) = after.map_or((0, 0), |after| (after.shard, after.slot + 1));
        let mut connections = Vec::new();
        for shard in usize::from(first)..self.ports.len() {
            let limit = limit - connections.len();
            let answer = self.ask(shard, Query::Connections { from, limit }).await;
            if let Some(Answer::Connections(rows)) = answer {
                connections.extend(rows);
            }
            from = 0;
        }
        let last = connections.last().filter(|_| connections.len() == limit);
        let next = last.map(|row| format!("{}-{}", row.shard, row.slot));
        Connections { connections, next }
    }

    /// Rooms of all shards by namespace and name, at most `limit`, each once, behind `after`.
    pub async fn rooms(&self, after: Option<(String, String)>, limit: usize) -> Rooms {
        let mut rooms = joined(self.ask_all(Query::Rooms { after, limit }).await);
        // A shard's rows end at its limit: what lies behind the first `limit` of all may lack somebody's members.
        rooms.truncate(limit);
        let last = rooms.last().filter(|_| rooms.len() == limit);
        let next = last.map(|row| format!("{},{}", row.namespace, row.room));
        Rooms { rooms, next }
    }

    async fn ask(&self, shard: usize, query: Query) -> Option<Answer> {
        let (answer, receiver) = oneshot::channel();
        if self.tell(shard, Message::Ask(query, answer)) {
            receiver.await.ok()
        } else {
            None
        }
    }

    /// One room.
    pub async fn room(&self, namespace: &str, room: &str) -> Option<RoomRow> {
        let query = Query::Room {
            namespace: namespace.to_owned(),
            room: room.to_owned(),
        };
        joined(self.ask_all(query).await).pop()
    }

    /// Publishes to a room by its home.
    ///
    /// # Errors
    /// A code and a message when the shard is too busy.
    pub async fn publish(
        &self,
        request: PublishRequest,
    ) -> Result<PublishAnswer, (&'static str, &'static str)> {
        const BUSY: (&str, &str) = ("RW-2504", "the room's shard is too busy; try again");
        let home = home_shard(&request.namespace, &request.room, self.ports.len() as u16);
        let (answer, receiver) = oneshot::channel();
        if !self.tell(usize::from(home), Message::Publish(request, answer)) {
            return Err(BUSY);
        }
        match receiver.await {
            Ok(PublishOutcome::Done { epoch, offset }) => Ok(PublishAnswer {
                ok: true,
                epoch,
                offset,
            }),
            Ok(PublishOutcome::Busy) | Err(_) => Err(BUSY),
        }
    }
}

/// Rows of one room from several shards become one: members add up, the home knows the position.
fn joined(answers: Vec<Answer>) -> Vec<RoomRow> {
    let mut rooms: BTreeMap<(String, String), RoomRow> = BTreeMap::new();
    for answer in answers {
        let Answer::Rooms(rows) = answer else {
            continue;
        };
        for row in rows {
            let known = rooms.entry((row.namespace.clone(), row.room.clone()));
            let known = known.or_insert_with(|| RoomRow {
                members: 0,
                epoch: None,
                offset: None,
                ..row.clone()
            });
            known.members += row.members;
            known.epoch = known.epoch.or(row.epoch);
            known.offset = known.offset.or(row.offset);
        }
    }
    rooms.into_values().collect()
}
