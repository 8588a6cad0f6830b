//! Clients that lost their connection come back to their sockets, on whichever worker: what was broadcast is kept with an offset in it, and sockets whose
//! clients are gone wait for a while.
//!
//! Here is what is known of that. Deliberately absent: how much is kept (`log`, `sessions`), what workers say of it (`keeping`), and how a client enters
//! (`rejoin`).

use super::applications::AppId;
use super::fault::Fault;
use super::living::Living;
use super::log::{Listener, Logs};
use super::mail::{ClientNumber, SpaceId};
use super::sessions::{Place, Session, Sessions};
use super::worker::WorkerId;
use ringway_proto::link::{Kind, LinkError};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How long workers may have clients come back.
const TTL_MS_MAX: u64 = 3_600_000;
/// How long packets are kept beyond that: who was cut off has seen its last packet before anybody noticed.
pub(super) const NOTICE_US: u64 = 60_000_000;
/// How long a worker may take to say what a socket was in the end. Then it is what was known of it.
pub(super) const UNSURE_US: u64 = 2_000_000;
/// How long the end of a connection may be overtaken by the client that comes back. Its socket may also be there for good: then it is another's.
pub(super) const OVERTAKEN_US: u64 = 250_000;
/// A private id.
pub(super) const PID_BYTES_MAX: usize = 128;
/// Clients that are coming back, and bytes of their sessions and of what is held back of them.
const ENTERING_MAX: usize = 65_536;
const ENTERING_BYTES_MAX: usize = 64 << 20;
/// What is held back of one: a MEMBER, and what is said of its rooms until CONNECT is answered.
const HELD_BYTES_MAX: usize = 2 << 20;
const HELD_COST_BYTES: usize = 64;
/// Sockets of clients that are still there, and that workers have said goodbye of.
pub(super) const SAVED_MAX: usize = 65_536;
/// Digits that are this daemon's life, in front of an offset's number.
const LIFE_BYTES: usize = 12;

/// A client that was given its session, and has not entered yet.
#[derive(Debug)]
pub(super) struct Entering {
    pub(super) pid: Rc<str>,
    pub(super) session: Session,
    /// The last packet that the client has seen.
    pub(super) from: u64,
    /// Frames about its membership, MEMBER first.
    pub(super) held: Vec<(Kind, Box<[u8]>)>,
    pub(super) held_bytes: usize,
    /// All was said to its shard, which has not answered: the client may have gone before.
    pub(super) is_in: bool,
}

impl Entering {
    pub(super) fn bytes(&self) -> usize {
        self.session.bytes() + self.held_bytes
    }
}

/// A worker's question for a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) worker: WorkerId,
    pub(super) request: u32,
    pub(super) client: ClientNumber,
    pub(super) from: Option<u64>,
    /// It is answered then with what is known.
    pub(super) due_us: u64,
}

/// What is kept for clients that come back.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) life: Box<str>,
    pub(super) now_us: u64,
    /// As the last worker of an application that wants it has said.
    pub(super) ttls_us: BTreeMap<AppId, u64>,
    pub(super) logs: Logs,
    pub(super) sessions: Sessions,
    pub(super) living: Living,
    pub(super) entering: BTreeMap<(ClientNumber, SpaceId), Entering>,
    pub(super) entering_bytes: usize,
    /// What clients were given that came back since links were looked at last: a few words of a worker cause much.
    pub(super) given_bytes: usize,
    pub(super) saved: BTreeSet<(ClientNumber, SpaceId)>,
    /// Questions for sessions of which a worker is still to say what they were in the end, or whose clients are still to go: one of each.
    pub(super) asks: BTreeMap<Place, Ask>,
}

impl Recovery {
    /// `epoch` is hexadecimal.
    pub(super) fn new(epoch: &str) -> Self {
        Self {
            life: epoch[..LIFE_BYTES].into(),
            now_us: 0,
            ttls_us: BTreeMap::new(),
            logs: Logs::new(),
            sessions: Sessions::default(),
            living: Living::default(),
            entering: BTreeMap::new(),
            entering_bytes: 0,
            given_bytes: 0,
            saved: BTreeSet::new(),
            asks: BTreeMap::new(),
        }
    }

    /// What is done next is done now.
    pub(super) const fn pass(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    pub(super) fn sessions_waiting(&self) -> u64 {
        self.sessions.len() as u64
    }

    pub(super) const fn log_bytes(&self) -> u64 {
        self.logs.bytes() as u64
    }

    /// Whether nothing here grows old.
    pub(super) fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.sessions.len() == 0 && self.asks.is_empty()
    }

    /// Broadcasts from before that time are of no use: not to who goes away next, nor to any that waits, be it that workers want another time by now.
    pub(super) fn needed_from_us(&self) -> u64 {
        let ttl_us = self.ttls_us.values().max().unwrap_or(&0);
        let newest_us = self.now_us.saturating_sub(*ttl_us);
        let entering = self.entering.values().map(|it| it.session.since_us);
        let since_us = entering.chain(self.sessions.oldest_us());
        let oldest_us = since_us.fold(newest_us, u64::min);
        oldest_us.saturating_sub(NOTICE_US)
    }

    /// Whether clients may come back to a namespace, or are about to.
    pub(super) fn wait_in(&self, space: SpaceId) -> bool {
        self.sessions.wait_in(space) || self.entering.keys().any(|at| at.1 == space)
    }

    /// Nobody has the namespace any more.
    pub(super) fn retire(&mut self, space: SpaceId) {
        self.logs.retire(space);
        self.sessions.retire(space);
        self.living.retire(space);
        let entering: Vec<_> = self.entering.keys().copied().collect();
        for at in entering.into_iter().filter(|at| at.1 == space) {
            self.stop_entering(at);
        }
    }

    /// A packet's offset: this life's, so that what another one has said is found by nobody.
    pub(super) fn offset(&self, number: u64) -> String {
        format!("{}{number:x}", self.life)
    }

    /// The number that an offset of this life has.
    pub(super) fn number(&self, offset: &str) -> Option<u64> {
        let digits = offset.strip_prefix(&*self.life)?;
        u64::from_str_radix(digits, 16).ok()
    }

    /// A session as far as its client may have it now.
    pub(super) fn find(
        &self,
        space: SpaceId,
        pid: &str,
        from: Option<u64>,
    ) -> Option<(&Session, u64)> {
        let session = self.sessions.get(space, pid)?;
        let from = from.filter(|number| self.logs.has(space, *number))?;
        let is_late = self.now_us > session.expires_us;
        let is_whole = self.logs.missed(space, from, listener(session)).is_some();
        (!is_late && is_whole).then_some((session, from))
    }

    /// Whether who asks has overtaken the end of the connection that it had: another client is still believed to have its socket. An offset that was not
    /// given out is nobody's.
    pub(super) fn is_ahead(&self, place: &Place, ask: &Ask) -> bool {
        let has_offset = ask
            .from
            .is_some_and(|number| self.logs.has(place.0, number));
        has_offset && self.living.is_of_another(place, ask.client)
    }

    pub(super) fn may_enter(&self, session: &Session) -> bool {
        let bytes = self.entering_bytes + session.bytes();
        self.entering.len() < ENTERING_MAX && bytes <= ENTERING_BYTES_MAX
    }

    pub(super) fn enter(
        &mut self,
        client: ClientNumber,
        (space, pid): Place,
        from: u64,
    ) -> Option<&Session> {
        let session = self.sessions.remove(space, &pid)?;
        // One client has one socket in a namespace.
        self.put_back((client, space));
        self.living.insert((client, space), &pid);
        let entering = Entering {
            pid,
            session,
            from,
            held: Vec::new(),
            held_bytes: 0,
            is_in: false,
        };
        self.start_entering((client, space), entering);
        let entering = self.entering.get(&(client, space));
        entering.map(|entering| &entering.session)
    }

    pub(super) fn start_entering(&mut self, at: (ClientNumber, SpaceId), entering: Entering) {
        self.entering_bytes += entering.bytes();
        self.entering.insert(at, entering);
    }

    pub(super) fn stop_entering(&mut self, at: (ClientNumber, SpaceId)) -> Option<Entering> {
        let entering = self.entering.remove(&at)?;
        self.entering_bytes -= entering.bytes();
        Some(entering)
    }

    /// The client did not enter: its session waits again.
    pub(super) fn put_back(&mut self, at: (ClientNumber, SpaceId)) {
        if let Some(Entering { pid, session, .. }) = self.stop_entering(at) {
            self.sessions.insert((at.1, pid), session);
        }
    }

    /// The client is gone. Where its worker believes that it has entered, that one will say what the socket was.
    pub(super) fn put_all_back(&mut self, client: ClientNumber, worker: Option<WorkerId>) {
        for at in self.entering_of(client) {
            if let Some(entering) = self.entering.get_mut(&at).filter(|entering| entering.is_in) {
                entering.session.client = client;
                entering.session.worker = worker.or(entering.session.worker);
                entering.session.is_unsure = worker.is_some();
            }
            self.put_back(at);
        }
    }

    /// The namespaces into which a client is coming back.
    pub(super) fn entering_of(&self, client: ClientNumber) -> Vec<(ClientNumber, SpaceId)> {
        let entering = self.entering.range(spaces_of(client));
        entering.map(|(at, _)| *at).collect()
    }

    /// Its worker is gone with what it had begun: the next one begins anew.
    pub(super) fn begin_anew(&mut self, client: ClientNumber) {
        for at in self.entering_of(client) {
            self.let_go(at);
        }
    }

    /// What was held back of a client is out of date.
    pub(super) fn let_go(&mut self, at: (ClientNumber, SpaceId)) {
        if let Some(entering) = self.entering.get_mut(&at) {
            self.entering_bytes -= core::mem::take(&mut entering.held_bytes);
            entering.held.clear();
        }
    }

    /// Holds back what a worker says of a client's membership. `None`: it is too much.
    pub(super) fn hold(
        &mut self,
        at: (ClientNumber, SpaceId),
        kind: Kind,
        body: &[u8],
    ) -> Option<()> {
        let entering = self.entering.get_mut(&at)?;
        let cost = HELD_COST_BYTES + body.len();
        if entering.held_bytes + cost > HELD_BYTES_MAX
            || self.entering_bytes + cost > ENTERING_BYTES_MAX
        {
            return None;
        }
        entering.held_bytes += cost;
        self.entering_bytes += cost;
        entering.held.push((kind, body.into()));
        Some(())
    }
}

pub(super) fn spaces_of(
    client: ClientNumber,
) -> core::ops::RangeInclusive<(ClientNumber, SpaceId)> {
    (client, SpaceId(0))..=(client, SpaceId(u32::MAX))
}

pub(super) fn listener(session: &Session) -> Listener<'_> {
    Listener {
        rooms: &session.rooms,
        worker: session.worker,
    }
}

/// What BIND says of recovery, in microseconds; what is unlimited is our bound.
pub(super) fn ttl_us(opts: &str) -> Result<Option<u64>, Fault> {
    #[derive(Deserialize)]
    struct Wanted {
        ttl: Option<f64>,
    }
    #[derive(Deserialize)]
    struct Options {
        recovery: Option<Wanted>,
    }
    let options: Options = serde_json::from_str(opts).map_err(|_| {
        Fault::Frame(LinkError::Json(
            Kind::Bind,
            "recovery is no object with a ttl".into(),
        ))
    })?;
    // A float becomes the nearest integer that there is, and Infinity is no JSON: it comes as null.
    let ttl_ms = |wanted: Wanted| wanted.ttl.map_or(TTL_MS_MAX, |ms| ms as u64);
    Ok(options
        .recovery
        .map(|wanted| ttl_ms(wanted).min(TTL_MS_MAX) * 1000))
}

/// A packet's text with its offset behind the last argument.
pub(super) fn with_offset(text: &str, offset: &str) -> Option<String> {
    let arguments = text.strip_suffix(']')?;
    // A list without arguments is no event.
    let has_some = arguments.contains('[') && !arguments.ends_with('[');
    has_some.then(|| format!("{arguments},\"{offset}\"]"))
}

/// The namespace of an answer to CONNECT, and whether it is welcome.
pub(super) fn answered(text: &[u8]) -> Option<(&str, bool)> {
    text.first().filter(|first| matches!(first, b'0' | b'4'))?;
    let text = core::str::from_utf8(text).ok()?;
    let is_welcome = text.starts_with('0');
    let rest = text.strip_prefix(['0', '4'])?;
    let name = match rest.starts_with('/') {
        true => rest.split(',').next()?,
        false => "/",
    };
    Some((name, is_welcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_stands_behind_the_last_argument() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(with_offset(text, "o").as_deref(), expected, "{text}");
        };
        check("2[\"a\"]", Some("2[\"a\",\"o\"]"));
        check("2/n,[\"a\",[1]]", Some("2/n,[\"a\",[1],\"o\"]"));
        check(
            "51-[\"b\",{\"_placeholder\":true,\"num\":0}]",
            Some("51-[\"b\",{\"_placeholder\":true,\"num\":0},\"o\"]"),
        );
        for text in ["", "2", "]", "2]", "2[]", "2[\"a\"] ", "2{}"] {
            check(text, None);
        }
    }

    #[test]
    fn an_offset_of_another_life_is_none() {
        let (one, other) = (
            Recovery::new("00112233445566778899"),
            Recovery::new("00112233445666778899"),
        );
        let offset = one.offset(0x1f);
        assert_eq!(offset, "0011223344551f");
        assert_eq!(one.number(&offset), Some(0x1f));
        assert_eq!(other.number(&offset), None);
        for offset in ["", "001122334455", "001122334455g", "é", &"0".repeat(99)] {
            assert_eq!(one.number(offset), None, "{offset}");
        }
    }

    #[test]
    fn what_bind_wants() {
        let check = |opts: &str, expected: Option<Option<u64>>| {
            assert_eq!(ttl_us(opts).ok(), expected, "{opts}");
        };
        check("{}", Some(None));
        check(
            "{\"recovery\":{\"ttl\":120000},\"cors\":{}}",
            Some(Some(120_000_000)),
        );
        check("{\"recovery\":{\"ttl\":0.5}}", Some(Some(0)));
        check("{\"recovery\":{\"ttl\":-1}}", Some(Some(0)));
        check("{\"recovery\":null}", Some(None));
        for unlimited in [
            "{\"recovery\":{\"ttl\":null}}",
            "{\"recovery\":{\"ttl\":1e300}}",
        ] {
            check(unlimited, Some(Some(3_600_000_000)));
        }
        for bad in ["{\"recovery\":1}", "{\"recovery\":{\"ttl\":\"1\"}}"] {
            check(bad, None);
        }
    }

    #[test]
    fn an_answer_names_its_namespace() {
        let check = |text: &str, expected: Option<(&str, bool)>| {
            assert_eq!(answered(text.as_bytes()), expected, "{text}");
        };
        check("0{\"sid\":\"s\"}", Some(("/", true)));
        check("0/chat,{\"sid\":\"s\"}", Some(("/chat", true)));
        check("4/chat,{\"message\":\"no\"}", Some(("/chat", false)));
        check("2[\"a\"]", None);
        check("", None);
    }
}
