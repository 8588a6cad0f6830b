//! A worker: a process that has an application behind a link, and does with its frames what the SDK does.

use super::client::{SPACES, prefix, split_number, split_space, trace};
use super::link::{Got, Link, News};
use super::mirror::Mirror;
use super::model::{LifeName, Model, Stay, Target, Who};
use core::time::Duration;
use ringway_proto::link::{
    self, FRAME_BODY_BYTES_MAX, Flags, Frame, GoAwayMode, Kind, Long, MOVED_UNKNOWN, Movement,
    Part, Payload, ResumedSocket, Side,
};
use ringway_sim::{Client, Kernel, Random};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Rooms of the application.
const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
/// Rooms into which workers move each other's sockets as well. Nobody says anything to them: it is about who is in them, and whether both sides agree.
const MOVED_ROOMS: [&str; 3] = ["m1", "m2", "m3"];

/// A client as its worker knows it.
struct Conn {
    who: Who,
    sockets: BTreeMap<&'static str, Stay>,
    /// Of each socket, the rooms into which it may be moved by others.
    mirrors: BTreeMap<&'static str, Mirror>,
    /// An event whose attachment comes next.
    header: Option<(&'static str, Option<u64>, u64)>,
    /// It was closed from here.
    is_closed: bool,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It reads nothing for now.
    Stalled,
    /// It reads nothing any more, and will be killed.
    Stuck,
    /// It has said that it goes, and its clients go to others.
    Leaving,
}

/// A process.
pub(crate) struct Worker {
    pub(crate) life: LifeName,
    link: Link,
    conns: BTreeMap<u64, Conn>,
    /// Those that it has let go of, and whether they have said something since: then they are gone, and CLOSE comes behind it.
    handed_over: BTreeMap<u64, bool>,
    pub(crate) mood: Mood,
    /// When it tries to join again.
    again_at: Duration,
    /// Connections that it has given up without a word.
    ghosts: Vec<Client>,
    /// Clients that it took over and has not said to be back, which it does in its next turn: every other life does.
    coming: Vec<u64>,
    /// Of these, the ones that have said something although: they are gone, and CLOSE comes behind it.
    last_words: BTreeSet<u64>,
    sockets_made: usize,
    has_begun: bool,
    /// Answers to PING since it said that it goes. Behind the second all clients have come that it was given before.
    pongs: u32,
    /// The daemon did not go on where they were: it is another life from now on.
    pub(crate) is_over: bool,
    /// The daemon has dealt with something of it: before, a cut may end its life.
    pub(crate) was_heard: bool,
    pub(crate) refused: Option<String>,
}

/// Where things happen.
pub(crate) struct Scene<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) random: &'a mut Random,
    pub(crate) model: &'a mut Model,
}

/// Whether a life has the capability.
const fn says_back(life: LifeName) -> bool {
    life % 2 == 1
}

impl Worker {
    pub(crate) fn new(life: LifeName) -> Self {
        Self {
            life,
            link: Link::new(format!("life-{life}"), says_back(life)),
            conns: BTreeMap::new(),
            handed_over: BTreeMap::new(),
            mood: Mood::Well,
            again_at: Duration::ZERO,
            ghosts: Vec::new(),
            coming: Vec::new(),
            last_words: BTreeSet::new(),
            sockets_made: 0,
            has_begun: false,
            pongs: 0,
            is_over: false,
            was_heard: false,
            refused: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.link.is_open()
    }

    pub(crate) fn is_settled(&self) -> bool {
        let hears_last = self.handed_over.values().any(|has| *has) || !self.last_words.is_empty();
        let is_settled = self.link.is_open() && self.link.is_settled();
        is_settled && !hears_last && self.coming.is_empty()
    }

    fn reads(&self) -> bool {
        matches!(self.mood, Mood::Well | Mood::Leaving)
    }

    pub(crate) fn has_work(&self, kernel: &Kernel) -> bool {
        let is_due = !self.link.is_there() && kernel.now() >= self.again_at;
        let has_news = self.link.has_work(kernel) || !self.link.inbox.is_empty();
        let is_at_it = has_news || (self.link.is_there() && !self.coming.is_empty());
        !self.is_over && self.reads() && (is_due || is_at_it)
    }

    /// When it has something to do although nothing comes.
    pub(crate) fn wakes_at(&self) -> Option<Duration> {
        (!self.link.is_there() && self.reads() && !self.is_over).then_some(self.again_at)
    }

    pub(crate) fn turn(&mut self, scene: &mut Scene<'_>) {
        if !self.reads() || self.is_over {
            return;
        }
        if !self.link.is_there() {
            if scene.kernel.now() >= self.again_at {
                self.link.connect(scene.kernel);
            }
            return;
        }
        self.link.flush(scene.kernel);
        for news in self.link.read(scene.kernel, scene.random) {
            self.hear(&news, scene);
        }
        if self.is_over {
            return;
        }
        if self.link.has_ended(scene.kernel) {
            return self.be_cut(scene);
        }
        self.say_back();
        let count = scene.random.below(20);
        for _ in 0..count {
            let Some(got) = self.link.inbox.pop_front() else {
                break;
            };
            self.dispatch(&got, scene);
            self.link.deal(got.bytes.len());
        }
        self.link.pump();
        if self.link.inbox.is_empty() || scene.random.chance(300) {
            self.link.credit();
        }
        self.link.flush(scene.kernel);
    }

    /// Sockets that were taken over are there again.
    fn say_back(&mut self) {
        for conn in core::mem::take(&mut self.coming) {
            if self.conns.contains_key(&conn) {
                self.link
                    .send(conn, Flags::NONE, &Frame::Hold { on: false });
            }
        }
    }

    fn hear(&mut self, news: &News, scene: &mut Scene<'_>) {
        match news {
            News::Open { resumed } => {
                trace("life", self.life, &("open", resumed));
                let done = self.link.done_frames();
                match resumed {
                    true => scene.model.credits(self.life, done),
                    false => self.begin(),
                }
                // What was said on a link that was cut may not have come.
                if self.mood == Mood::Leaving {
                    self.say_leave();
                }
            }
            News::Pong if self.mood == Mood::Leaving && self.pongs < 2 => {
                self.pongs += 1;
                self.link.say(&Frame::Ping { number: 0 });
            }
            News::Pong => {}
            News::Credit(frames) => {
                self.was_heard = true;
                scene.model.credits(self.life, *frames);
            }
            // Its clients stay, and it with them.
            News::Keep => {}
            News::Refused(code) => self.refused = Some(code.clone()),
        }
    }

    /// The daemon knows nothing of it. What it had of a life before is over, and another worker's; this one is given up for a new one.
    fn begin(&mut self) {
        if core::mem::replace(&mut self.has_begun, true) {
            self.is_over = true;
            return;
        }
        for (number, name) in SPACES.iter().enumerate() {
            let frame = Frame::Nsp { name };
            self.link.send(number as u64, Flags::NONE, &frame);
        }
    }

    fn be_cut(&mut self, scene: &Scene<'_>) {
        if let Some(client) = self.link.cut() {
            scene.kernel.hang_up(client);
        }
        trace("life", self.life, &"is cut");
        self.again_at = scene.kernel.now();
    }

    /// The link is cut; the worker comes back after a while. It may have given up a connection that the daemon still believes in.
    pub(crate) fn cut(&mut self, after: Duration, scene: &mut Scene<'_>) {
        let Some(client) = self.link.cut() else {
            return;
        };
        trace("life", self.life, &("cut for", after));
        match scene.random.below(3) {
            0 => scene.kernel.reset(client),
            1 => scene.kernel.finish(client),
            _ => self.ghosts.push(client),
        }
        self.again_at = scene.kernel.now() + after;
    }

    /// Nothing of it is left.
    pub(crate) fn kill(&mut self, scene: &mut Scene<'_>) {
        trace("life", self.life, &"is killed");
        let client = self.link.cut();
        for client in client.into_iter().chain(self.ghosts.drain(..)) {
            match scene.random.chance(500) {
                true => scene.kernel.reset(client),
                false => scene.kernel.finish(client),
            }
        }
    }

    /// It wants to go, and its clients to be given to others.
    pub(crate) fn leave(&mut self, scene: &Scene<'_>) {
        trace("life", self.life, &"leaves");
        self.mood = Mood::Leaving;
        self.say_leave();
        self.link.flush(scene.kernel);
    }

    fn say_leave(&mut self) {
        self.pongs = 0;
        self.link.say_goaway(GoAwayMode::Migrate, 30_000);
        self.link.say(&Frame::Ping { number: 0 });
    }

    /// Whether a worker that leaves may end now.
    pub(crate) fn has_left(&self) -> bool {
        let is_done = self.conns.is_empty() && self.link.is_settled() && self.pongs > 1;
        self.mood == Mood::Leaving && is_done
    }

    /// It has no clients any more.
    pub(crate) fn say_goodbye(&mut self, kernel: &Kernel) {
        self.link.say_goaway(GoAwayMode::Keep, 0);
        self.link.flush(kernel);
        let client = self.link.cut();
        for client in client.into_iter().chain(self.ghosts.drain(..)) {
            kernel.finish(client);
        }
    }

    /// Its clients' numbers.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.conns.keys().copied().collect()
    }

    fn dispatch(&mut self, got: &Got, scene: &mut Scene<'_>) {
        let split = link::split(&got.bytes, FRAME_BODY_BYTES_MAX);
        let (raw, _) = split.expect("a frame").expect("a whole frame");
        let frame = Frame::parse(&raw, Side::Daemon).expect("frames of the daemon");
        trace("life", self.life, &(got.kind, raw.conn, &frame));
        match &frame {
            Frame::Open { json } => self.open(raw.conn, &json.value().url, &[], scene),
            Frame::Resume { json } => {
                let resume = json.value();
                self.open(raw.conn, &resume.open.url, &resume.sockets, scene);
                self.coming.extend(says_back(self.life).then_some(raw.conn));
            }
            Frame::Data { payload } => self.data(raw.conn, payload.0, scene),
            Frame::Close { .. } => {
                let is_here = self.conns.remove(&raw.conn).is_some();
                let was_here = self.handed_over.remove(&raw.conn).is_some();
                self.last_words.remove(&raw.conn);
                assert!(
                    is_here || was_here,
                    "CLOSE of {}, who is not here",
                    raw.conn
                );
            }
            Frame::Moved {
                nsp,
                sid,
                known,
                what,
                places,
            } => {
                let did = (*what == Movement::Join, &**places);
                self.moved(raw.conn, (nsp, sid), (*known, did), scene);
            }
            Frame::MigrateOut {} => self.hand_over(raw.conn, scene),
            Frame::Peers { .. } | Frame::Pressure { .. } | Frame::Transport { .. } => {}
            other => panic!("{:?} is not expected", other.kind()),
        }
    }

    fn open(&mut self, conn: u64, url: &str, resumed: &[ResumedSocket<'_>], scene: &mut Scene<'_>) {
        let who = url.split("who=").nth(1).expect("a client says who it is");
        let who: Who = who.parse().expect("a number");
        let is_moved = |room: &str| MOVED_ROOMS.contains(&room);
        let mut mirrors: BTreeMap<String, Mirror> = BTreeMap::new();
        let stays: BTreeMap<String, Stay> = resumed
            .iter()
            .map(|socket| {
                let (moved, rooms): (Vec<String>, Vec<String>) = socket
                    .rooms
                    .iter()
                    .map(|room| room.to_string())
                    .partition(|room| is_moved(room));
                mirrors.insert(socket.nsp.to_string(), Mirror::of(moved));
                let rooms = rooms.into_iter();
                let stay = Stay {
                    sid: socket.sid.to_string(),
                    rooms: rooms.collect(),
                };
                (socket.nsp.to_string(), stay)
            })
            .collect();
        scene
            .model
            .opens(who, self.life, &stays, scene.kernel.now());
        let known = Conn {
            who,
            sockets: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            header: None,
            is_closed: false,
        };
        let before = self.conns.insert(conn, known);
        assert!(before.is_none(), "connection {conn} is open");
        for (name, stay) in stays {
            let space = SPACES.iter().find(|space| **space == name);
            let mirror = mirrors.remove(&name).unwrap_or_default();
            self.describe(conn, space.expect("a namespace"), (stay, mirror), scene);
        }
    }

    fn number_of(space: &str) -> u16 {
        let found = SPACES.iter().position(|other| *other == space);
        found.expect("a namespace") as u16
    }

    /// Says everything about a socket.
    fn describe(
        &mut self,
        conn: u64,
        space: &'static str,
        (stay, mirror): (Stay, Mirror),
        scene: &mut Scene<'_>,
    ) {
        let Some(known) = self.conns.get_mut(&conn) else {
            return;
        };
        known.sockets.insert(space, stay.clone());
        let rooms: Vec<String> = stay.rooms.iter().chain(mirror.rooms()).cloned().collect();
        known.mirrors.insert(space, mirror);
        let frame = Frame::Member {
            nsp: Self::number_of(space),
            sid: &stay.sid,
            pid: "",
            rooms: rooms.iter().map(String::as_str).collect(),
            auth: Long("{}"),
            data: Long("{}"),
        };
        let number = self.link.send(conn, Flags::NONE, &frame);
        let (at, who) = ((self.life, number), known.who);
        scene.model.describes(at, who, space, Some(stay));
    }

    fn data(&mut self, conn: u64, part: Part<'_>, scene: &mut Scene<'_>) {
        if let Some(has_last_words) = self.handed_over.get_mut(&conn) {
            *has_last_words = true;
            return;
        }
        if self.coming.contains(&conn) {
            self.last_words.insert(conn);
        }
        let known = self.conns.get_mut(&conn);
        let known = known.unwrap_or_else(|| panic!("DATA of {conn}, who is not here"));
        if known.is_closed {
            return;
        }
        let text = match part {
            Part::Text(text) => text,
            Part::Binary(bytes) => {
                let header = known.header.take();
                let (space, id, number) = header.expect("an attachment has a header");
                assert_eq!(*bytes, number.to_le_bytes(), "another's attachment");
                return self.event(conn, space, id, number, scene);
            }
        };
        assert!(known.header.is_none(), "an attachment is missing");
        let (space, rest) = split_space(text[1..].trim_start_matches("1-"));
        match text.as_bytes()[0] {
            b'0' => self.let_in(conn, space, scene),
            b'1' => self.let_go(conn, space, scene),
            kind @ (b'2' | b'5') => {
                let (id, rest) = split_number(rest);
                let event: Value = serde_json::from_str(rest).expect("an event");
                let number = event[1].as_u64().expect("events are numbered");
                match kind {
                    b'5' => known.header = Some((space, id, number)),
                    _ => self.event(conn, space, id, number, scene),
                }
            }
            _ => panic!("{text} is not expected"),
        }
    }

    fn let_in(&mut self, conn: u64, space: &'static str, scene: &mut Scene<'_>) {
        // What was dealt with and is said again: as socket.io, it takes no notice.
        let known = &self.conns[&conn];
        if known.sockets.contains_key(space) {
            return scene.model.connects_again(known.who);
        }
        self.sockets_made += 1;
        let sid = format!("s{}-{}", self.life, self.sockets_made);
        let answer = format!(r#"0{}{{"sid":"{sid}"}}"#, prefix(space));
        let rooms = Default::default();
        let described = (Stay { sid, rooms }, Mirror::default());
        self.describe(conn, space, described, scene);
        let payload = Payload(Part::Text(&answer));
        self.link.send(conn, Flags::ASCII, &Frame::Send { payload });
    }

    fn let_go(&mut self, conn: u64, space: &'static str, scene: &mut Scene<'_>) {
        let known = self.conns.get_mut(&conn).expect("it was just found");
        // Its last worker may have heard that it left, and died with it.
        known.mirrors.remove(space);
        if known.sockets.remove(space).is_none() {
            return;
        }
        let nsp = Self::number_of(space);
        let number = self.link.send(conn, Flags::NONE, &Frame::LeaveAll { nsp });
        let (at, who) = ((self.life, number), known.who);
        scene.model.describes(at, who, space, None);
    }

    /// An event of a client: it is answered, and the application does something because of it.
    fn event(
        &mut self,
        conn: u64,
        space: &'static str,
        id: Option<u64>,
        number: u64,
        scene: &mut Scene<'_>,
    ) {
        let known = &self.conns[&conn];
        let who = known.who;
        scene
            .model
            .dispatches(who, number, self.life, scene.kernel.now());
        if !known.sockets.contains_key(space) {
            return scene.model.says_nowhere(who, number, space);
        }
        if let Some(id) = id {
            let answer = format!("3{}{id}[{number},{who}]", prefix(space));
            let payload = Payload(Part::Text(&answer));
            self.link.send(conn, Flags::ASCII, &Frame::Send { payload });
        }
        match scene.random.below(10) {
            0..=2 => self.speak(conn, space, scene),
            3 => self.change_rooms(conn, space, scene),
            4 => self.change_moved_rooms(conn, space, scene),
            5 => self.broadcast(scene),
            6 => self.move_sockets(scene),
            7 if scene.random.chance(30) => self.close(conn, scene),
            _ => {}
        }
    }

    fn word(&self, space: &str, scene: &mut Scene<'_>) -> String {
        let number = scene.model.next_word(self.life);
        let length = match scene.random.chance(40) {
            true => scene.random.below(2000),
            false => scene.random.below(40),
        };
        let (prefix, life, filler) = (prefix(space), self.life, "y".repeat(length));
        format!(r#"2{prefix}["word",{life},{number},"{space}","{filler}"]"#)
    }

    fn speak(&mut self, conn: u64, space: &'static str, scene: &mut Scene<'_>) {
        let word = self.word(space, scene);
        let payload = Payload(Part::Text(&word));
        let number = self.link.send(conn, Flags::ASCII, &Frame::Send { payload });
        scene
            .model
            .speaks((self.life, number), self.conns[&conn].who);
    }

    fn change_rooms(&mut self, conn: u64, space: &'static str, scene: &mut Scene<'_>) {
        let room = ROOMS[scene.random.below(ROOMS.len())];
        let known = self.conns.get_mut(&conn).expect("it was just found");
        let stay = known.sockets.get_mut(space).expect("it was just found");
        let (nsp, rooms) = (Self::number_of(space), vec![room]);
        let frame = match stay.rooms.remove(room) {
            true => Frame::Leave { nsp, rooms },
            false => {
                stay.rooms.insert(room.to_owned());
                Frame::Join { nsp, rooms }
            }
        };
        let (who, stay) = (known.who, stay.clone());
        known.mirrors.entry(space).or_default().says(&[]);
        let number = self.link.send(conn, Flags::NONE, &frame);
        scene
            .model
            .describes((self.life, number), who, space, Some(stay));
    }

    /// The same of a room into which others may move it.
    fn change_moved_rooms(&mut self, conn: u64, space: &'static str, scene: &mut Scene<'_>) {
        let room = MOVED_ROOMS[scene.random.below(MOVED_ROOMS.len())];
        let known = self.conns.get_mut(&conn).expect("it was just found");
        let mirror = known.mirrors.entry(space).or_default();
        let (nsp, rooms) = (Self::number_of(space), vec![room]);
        let frame = match mirror.turn(room) {
            true => Frame::Join { nsp, rooms },
            false => Frame::Leave { nsp, rooms },
        };
        self.link.send(conn, Flags::NONE, &frame);
    }

    /// Moves sockets, its own among them, into rooms or out of them.
    fn move_sockets(&mut self, scene: &mut Scene<'_>) {
        let space = SPACES[scene.random.below(SPACES.len())];
        let all = [&ROOMS[..], &MOVED_ROOMS].concat();
        let mut some = |most: usize, of: &[&'static str]| -> Vec<&'static str> {
            let count = scene.random.below(most + 1);
            let rooms = (0..count).map(|_| of[scene.random.below(of.len())]);
            rooms.collect()
        };
        let (rooms, except, places) = (some(2, &all), some(1, &all), some(2, &MOVED_ROOMS));
        let what = match scene.random.chance(500) {
            true => Movement::Join,
            false => Movement::Leave,
        };
        let frame = Frame::Move {
            nsp: Self::number_of(space),
            what,
            rooms,
            except,
            places,
        };
        self.link.send(0, Flags::NONE, &frame);
    }

    /// A socket was moved by whatever worker.
    fn moved(
        &mut self,
        conn: u64,
        (space, sid): (&str, &str),
        (known, (joins, places)): (u32, (bool, &[&str])),
        scene: &mut Scene<'_>,
    ) {
        let space = SPACES.iter().find(|other| **other == space);
        let space = space.expect("a namespace");
        let Some(client) = self.conns.get_mut(&conn) else {
            return;
        };
        if client.sockets.get(space).is_none_or(|stay| stay.sid != sid) {
            return;
        }
        let mirror = client.mirrors.entry(space).or_default();
        let counts = &mut scene.model.counts;
        counts.moved += 1;
        counts.moved_unknown += u64::from(known == MOVED_UNKNOWN);
        counts.passed_over += u64::from(mirror.passes_over(known, places));
        let again = mirror.moved(known, joins, places);
        if !again.is_empty() {
            let (nsp, rooms) = (Self::number_of(space), again);
            let frame = match joins {
                true => Frame::Join { nsp, rooms },
                false => Frame::Leave { nsp, rooms },
            };
            self.link.send(conn, Flags::NONE, &frame);
        }
    }

    /// The rooms of its sockets into which they may be moved, by namespace and id.
    pub(crate) fn moved_rooms(&self) -> impl Iterator<Item = (&'static str, &str, Vec<String>)> {
        let there = self.conns.values().filter(|conn| !conn.is_closed);
        there.flat_map(|conn| {
            conn.sockets.iter().map(|(space, stay)| {
                let mirror = conn.mirrors.get(space);
                let rooms = mirror.into_iter().flat_map(Mirror::rooms).cloned();
                (*space, &*stay.sid, rooms.collect())
            })
        })
    }

    /// Says something to rooms, to one socket, or to all of a namespace.
    pub(crate) fn broadcast(&mut self, scene: &mut Scene<'_>) {
        if !self.link.is_open() {
            return;
        }
        let space = SPACES[scene.random.below(SPACES.len())];
        let some = |random: &mut Random, most: usize| -> Vec<String> {
            let count = random.below(most + 1);
            let rooms = (0..count).map(|_| ROOMS[random.below(ROOMS.len())].to_owned());
            rooms.collect()
        };
        let (mut rooms, except) = (some(scene.random, 2), some(scene.random, 1));
        let mut stays = self
            .conns
            .values()
            .filter_map(|conn| conn.sockets.get(space));
        if let Some(stay) = stays.next().filter(|_| scene.random.chance(200)) {
            rooms = vec![stay.sid.clone()];
        }
        let is_local = scene.random.chance(150);
        let word = self.word(space, scene);
        let frame = Frame::Bcast {
            nsp: Self::number_of(space),
            rooms: rooms.iter().map(String::as_str).collect(),
            except: except.iter().map(String::as_str).collect(),
            parts: vec![Part::Text(&word)],
        };
        let flags = if is_local { Flags::LOCAL } else { Flags::NONE };
        let number = self.link.send(0, flags, &frame);
        let target = Target {
            space,
            rooms,
            except,
            is_local,
        };
        scene.model.broadcasts((self.life, number), target);
    }

    fn close(&mut self, conn: u64, scene: &mut Scene<'_>) {
        let known = self.conns.get_mut(&conn).expect("it was just found");
        known.is_closed = true;
        scene.model.closes(known.who);
        self.link.send(conn, Flags::NONE, &Frame::CloseConn {});
    }

    fn hand_over(&mut self, conn: u64, scene: &mut Scene<'_>) {
        let known = self.conns.remove(&conn);
        let known = known.expect("a client that is here is asked for");
        self.handed_over.insert(conn, false);
        assert!(known.header.is_none(), "a packet goes whole to one worker");
        assert_eq!(self.mood, Mood::Leaving, "nobody wanted to go");
        scene.model.hands_over(known.who, scene.kernel.now());
        self.link.send(conn, Flags::NONE, &Frame::MigrateOut {});
    }

    /// The kind of the first frame that it has not looked at, for a report.
    pub(crate) fn state(&self) -> String {
        let (life, mood, clients) = (self.life, self.mood, self.conns.len());
        let first: Option<Kind> = self.link.inbox.front().map(|got| got.kind);
        let is_open = self.link.is_open();
        format!("life {life} {mood:?} open {is_open} with {clients}, {first:?}")
    }
}
