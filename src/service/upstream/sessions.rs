//! Sockets whose clients are gone and may come back: by namespace and private id, each once.
//!
//! Deliberately absent: what their clients missed (`log`), and when a socket is kept or asked for (`recovery`).

use super::mail::{ClientNumber, SpaceId};
use super::worker::WorkerId;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Sockets that may wait.
const SESSIONS_MAX: usize = 131_072;
/// Their bytes, each with what it costs beside its texts.
const BYTES_MAX: usize = 128 << 20;
/// One of them: whose socket is larger starts anew.
pub(super) const SESSION_BYTES_MAX: usize = 256 << 10;
/// What one costs beside its texts, and a room beside its name.
const SESSION_COST_BYTES: usize = 256;
const ROOM_COST_BYTES: usize = 16;

const _: () = assert!(SESSION_BYTES_MAX <= BYTES_MAX);

/// What is kept of a socket.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: Box<str>,
    /// Its own among them.
    pub(super) rooms: Vec<Box<str>>,
    /// JSON.
    pub(super) data: Box<str>,
    /// The client that had it.
    pub(super) client: ClientNumber,
    /// The client's worker, if it had one.
    pub(super) worker: Option<WorkerId>,
    /// When it went.
    pub(super) since_us: u64,
    pub(super) expires_us: u64,
    /// That worker has not said yet what it was in the end.
    pub(super) is_unsure: bool,
}

impl Session {
    /// What keeping it costs.
    pub(super) fn bytes(&self) -> usize {
        let rooms = self.rooms.iter();
        let rooms: usize = rooms.map(|room| room.len() + ROOM_COST_BYTES).sum();
        SESSION_COST_BYTES + self.sid.len() + self.data.len() + rooms
    }
}

/// A session's place.
pub(super) type Place = (SpaceId, Rc<str>);

#[derive(Debug)]
struct Kept {
    session: Session,
    turn: u64,
}

/// The sessions that wait for their clients.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_space: BTreeMap<SpaceId, BTreeMap<Rc<str>, Kept>>,
    /// In the order in which they came: the first gives way.
    turns: BTreeMap<u64, Place>,
    /// When their clients went, each with its turn: one that could not enter waits again behind those that came later.
    sinces: BTreeSet<(u64, u64)>,
    /// Those that are unsure, by who had them.
    unsure: BTreeMap<(ClientNumber, SpaceId), Rc<str>>,
    next_turn: u64,
    bytes: usize,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    /// When the first of those went that wait.
    pub(super) fn oldest_us(&self) -> Option<u64> {
        self.sinces.first().map(|(since_us, _)| *since_us)
    }

    /// Whether any waits in a namespace.
    pub(super) fn wait_in(&self, space: SpaceId) -> bool {
        self.by_space.contains_key(&space)
    }

    /// Keeps a session; the oldest ones give way. `false`: it is too large.
    pub(super) fn insert(&mut self, (space, pid): Place, session: Session) -> bool {
        self.remove(space, &pid);
        if session.bytes() > SESSION_BYTES_MAX {
            return false;
        }
        self.bytes += session.bytes();
        if session.is_unsure {
            let had = (session.client, space);
            self.unsure.insert(had, Rc::clone(&pid));
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        self.turns.insert(turn, (space, Rc::clone(&pid)));
        self.sinces.insert((session.since_us, turn));
        let sessions = self.by_space.entry(space).or_default();
        sessions.insert(pid, Kept { session, turn });
        while self.turns.len() > SESSIONS_MAX || self.bytes > BYTES_MAX {
            self.remove_first();
        }
        true
    }

    pub(super) fn get(&self, space: SpaceId, pid: &str) -> Option<&Session> {
        Some(&self.by_space.get(&space)?.get(pid)?.session)
    }

    pub(super) fn remove(&mut self, space: SpaceId, pid: &str) -> Option<Session> {
        let sessions = self.by_space.get_mut(&space)?;
        let Kept { session, turn } = sessions.remove(pid)?;
        if sessions.is_empty() {
            self.by_space.remove(&space);
        }
        self.turns.remove(&turn);
        self.sinces.remove(&(session.since_us, turn));
        self.bytes -= session.bytes();
        if session.is_unsure {
            self.unsure.remove(&(session.client, space));
        }
        Some(session)
    }

    fn remove_first(&mut self) {
        if let Some((space, pid)) = self.turns.values().next().cloned() {
            self.remove(space, &pid);
        }
    }

    /// The private id of a client's socket that a worker may still say something of.
    pub(super) fn unsure_of(
        &self,
        client: ClientNumber,
        space: SpaceId,
        worker: WorkerId,
    ) -> Option<Rc<str>> {
        let pid = self.unsure.get(&(client, space))?;
        let session = self.get(space, pid)?;
        (session.worker == Some(worker)).then(|| Rc::clone(pid))
    }

    /// Nothing more will be said of a session.
    pub(super) fn settle(&mut self, space: SpaceId, pid: &str) {
        let sessions = self.by_space.get_mut(&space);
        if let Some(kept) = sessions.and_then(|sessions| sessions.get_mut(pid)) {
            kept.session.is_unsure = false;
            self.unsure.remove(&(kept.session.client, space));
        }
    }

    /// Nor of any that a worker had.
    pub(super) fn settle_all(&mut self, worker: WorkerId) {
        let unsure = self.unsure.iter();
        let places: Vec<Place> = unsure
            .map(|((_, space), pid)| (*space, Rc::clone(pid)))
            .filter(|(space, pid)| {
                let session = self.get(*space, pid);
                session.is_some_and(|session| session.worker == Some(worker))
            })
            .collect();
        for (space, pid) in places {
            self.settle(space, &pid);
        }
    }

    /// Those that waited too long are no more.
    pub(super) fn expire(&mut self, now_us: u64) {
        while let Some((space, pid)) = self.turns.values().next() {
            let session = self.get(*space, pid);
            if session.is_some_and(|session| now_us <= session.expires_us) {
                return;
            }
            self.remove_first();
        }
    }

    /// Nobody has the namespace any more.
    pub(super) fn retire(&mut self, space: SpaceId) {
        let sessions = self.by_space.get(&space);
        let pids: Vec<Rc<str>> = sessions
            .into_iter()
            .flat_map(|sessions| sessions.keys().cloned())
            .collect();
        for pid in pids {
            self.remove(space, &pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId(7);

    fn session(client: u64, expires_us: u64) -> Session {
        Session {
            sid: "s".into(),
            rooms: vec!["s".into()],
            data: "{}".into(),
            client: ClientNumber(client),
            worker: Some(WorkerId(1)),
            since_us: expires_us,
            expires_us,
            is_unsure: true,
        }
    }

    fn holds_nothing(sessions: &Sessions) -> bool {
        let Sessions {
            by_space,
            turns,
            unsure,
            bytes,
            ..
        } = sessions;
        by_space.is_empty() && turns.is_empty() && unsure.is_empty() && *bytes == 0
    }

    #[test]
    fn a_session_is_replaced_removed_and_leaves_nothing() {
        let mut sessions = Sessions::default();
        assert!(sessions.insert((SPACE, "p".into()), session(1, 10)));
        assert!(sessions.insert((SPACE, "p".into()), session(2, 20)));
        assert_eq!(sessions.len(), 1);
        assert_eq!(
            sessions.unsure_of(ClientNumber(1), SPACE, WorkerId(1)),
            None
        );
        let unsure = sessions.unsure_of(ClientNumber(2), SPACE, WorkerId(1));
        assert_eq!(unsure.as_deref(), Some("p"));
        assert_eq!(
            sessions.unsure_of(ClientNumber(2), SPACE, WorkerId(2)),
            None,
            "another worker has no say"
        );
        assert_eq!(sessions.remove(SPACE, "p").map(|s| s.expires_us), Some(20));
        assert!(sessions.remove(SPACE, "p").is_none());
        assert!(holds_nothing(&sessions));
    }

    #[test]
    fn a_worker_that_is_gone_says_nothing_more() {
        let mut sessions = Sessions::default();
        sessions.insert((SPACE, "p".into()), session(1, 10));
        sessions.settle_all(WorkerId(2));
        assert!(sessions.get(SPACE, "p").is_some_and(|s| s.is_unsure));
        sessions.settle_all(WorkerId(1));
        assert!(sessions.get(SPACE, "p").is_some_and(|s| !s.is_unsure));
        assert_eq!(
            sessions.unsure_of(ClientNumber(1), SPACE, WorkerId(1)),
            None
        );
    }

    #[test]
    fn time_and_namespaces_take_sessions_away() {
        let mut sessions = Sessions::default();
        sessions.insert((SPACE, "p".into()), session(1, 10));
        sessions.insert((SPACE, "q".into()), session(2, 20));
        sessions.insert((SpaceId(8), "q".into()), session(2, 20));
        sessions.expire(10);
        assert_eq!(sessions.len(), 3, "until then it may come");
        sessions.expire(11);
        assert!(sessions.get(SPACE, "p").is_none() && sessions.get(SPACE, "q").is_some());
        sessions.retire(SPACE);
        assert_eq!(sessions.len(), 1);
        sessions.expire(21);
        assert!(holds_nothing(&sessions));
    }

    #[test]
    fn the_oldest_gives_way_to_too_many_and_too_much() {
        let mut sessions = Sessions::default();
        for number in 0..=SESSIONS_MAX as u64 {
            sessions.insert((SPACE, number.to_string().into()), session(number, 10));
        }
        assert_eq!(sessions.len(), SESSIONS_MAX);
        assert!(sessions.get(SPACE, "0").is_none() && sessions.get(SPACE, "1").is_some());

        let mut sessions = Sessions::default();
        let large = |data_bytes: usize| Session {
            data: "x".repeat(data_bytes).into(),
            ..session(1, 10)
        };
        assert!(!sessions.insert((SPACE, "p".into()), large(SESSION_BYTES_MAX)));
        assert!(holds_nothing(&sessions));
        for number in 0..BYTES_MAX / SESSION_BYTES_MAX + 8 {
            let session = large(SESSION_BYTES_MAX - 1024);
            assert!(sessions.insert((SPACE, number.to_string().into()), session));
        }
        assert!(sessions.bytes <= BYTES_MAX && sessions.get(SPACE, "0").is_none());
    }
}
