//! A client: Engine.IO over WebSocket, over polling, or first one and then the other; and what it holds the server to.

use crate::model::{Keyed, Model, Policy, ROOMS, Seen, policy_of};
use crate::tokens;
use crate::wire::{self, Parser, Received};
use ringway_sim::{Client, End, Kernel, Random};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// `SIM_TRACE=1` prints what every client writes and reads.
static TRACE: std::sync::LazyLock<bool> =
    std::sync::LazyLock::new(|| std::env::var_os("SIM_TRACE").is_some());

fn trace(name: usize, what: &dyn core::fmt::Debug) {
    if *TRACE {
        let mut line = format!("{what:?}");
        line.truncate(160);
        eprintln!("client {name}: {line}");
    }
}

/// How a client travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WebSocket,
    Polling,
    Upgrade,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client did it.
    ByClient,
    /// With a code and a reason.
    Told(u16, String),
    /// With Engine.IO's close packet.
    ClosePacket,
    /// Without a word.
    Dropped(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    Out,
    Joining,
    In(Seen),
    Rejoining(Seen),
    Leaving(Seen),
}

enum Asked {
    Join(&'static str),
    Leave(&'static str),
    Publish(&'static str, String),
    Echo(u64),
}

/// One TCP connection of the client.
struct Line {
    client: Client,
    out: VecDeque<u8>,
    parser: Parser,
    /// A request waits for its answer.
    busy: bool,
}

impl Line {
    fn new(kernel: &Kernel, random: &mut Random, shards: usize) -> Self {
        let client = kernel.connect(random.below(shards));
        let (out, parser) = (VecDeque::new(), Parser::default());
        Self {
            client,
            out,
            parser,
            busy: false,
        }
    }

    fn request(&mut self, bytes: &[u8]) {
        assert!(!self.busy, "one request at a time");
        self.out.extend(bytes);
        self.busy = true;
    }

    fn flush(&mut self, kernel: &Kernel) {
        let count = kernel.write(self.client, self.out.make_contiguous());
        self.out.drain(..count);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upgrade {
    No,
    Probing,
    /// The probe was answered; the GET that waits has to come back first.
    Pausing,
    Done,
}

/// A client.
pub(crate) struct SimClient {
    pub(crate) name: usize,
    pub(crate) kind: Kind,
    socket: Option<Line>,
    get: Option<Line>,
    post: Option<Line>,
    sid: String,
    upgrade: Upgrade,
    pub(crate) ready: bool,
    pub(crate) ended: Option<Ended>,
    /// Packets that wait for the next POST.
    outgoing: Vec<String>,
    asked: BTreeMap<u64, Asked>,
    next_id: u64,
    rooms: BTreeMap<&'static str, Membership>,
    /// The rooms' stays: where each began, and the newest message of each key since.
    stays: BTreeMap<&'static str, (Seen, Keyed)>,
    /// A binary message whose attachment comes next.
    header: Option<String>,
    /// It has sent the frame that closes, and waits for the answer.
    said_goodbye: bool,
    pub(crate) stalled: bool,
    /// It has not always read: its last words may have been cut off.
    pub(crate) was_stalled: bool,
}

const GET_SID: &str = "transport=polling&sid=";

impl SimClient {
    pub(crate) fn new(
        name: usize,
        kind: Kind,
        kernel: &Kernel,
        random: &mut Random,
        shards: usize,
    ) -> Self {
        let mut line = Line::new(kernel, random, shards);
        let websocket = kind == Kind::WebSocket;
        let query = if websocket {
            "transport=websocket"
        } else {
            "transport=polling"
        };
        line.request(&wire::get(query, websocket));
        let (socket, get) = if websocket {
            (Some(line), None)
        } else {
            (None, Some(line))
        };
        Self {
            name,
            kind,
            socket,
            get,
            post: None,
            sid: String::new(),
            upgrade: Upgrade::No,
            ready: false,
            ended: None,
            outgoing: Vec::new(),
            asked: BTreeMap::new(),
            next_id: 0,
            rooms: ROOMS
                .into_iter()
                .map(|room| (room, Membership::Out))
                .collect(),
            stays: BTreeMap::new(),
            header: None,
            said_goodbye: false,
            stalled: false,
            was_stalled: false,
        }
    }

    fn on_socket(&self) -> bool {
        self.kind == Kind::WebSocket || self.upgrade == Upgrade::Done
    }

    /// Whether a turn would do anything.
    pub(crate) fn has_work(&self, kernel: &Kernel) -> bool {
        let moves = |line: &Line| {
            (!line.out.is_empty() && kernel.writable(line.client))
                || (!self.stalled
                    && (kernel.readable(line.client) || kernel.end(line.client).is_some()))
        };
        let lines = [&self.socket, &self.get, &self.post];
        self.ended.is_none() && (lines.into_iter().flatten().any(moves) || self.wants_request())
    }

    fn wants_request(&self) -> bool {
        if self.on_socket() || self.sid.is_empty() || self.stalled {
            return false;
        }
        let idle = |line: &Option<Line>| line.as_ref().is_none_or(|line| !line.busy);
        (self.upgrade != Upgrade::Pausing && idle(&self.get))
            || (!self.outgoing.is_empty() && idle(&self.post))
    }

    /// Writes, reads, and answers what it read.
    pub(crate) fn turn(
        &mut self,
        kernel: &Kernel,
        random: &mut Random,
        shards: usize,
        model: &mut Model,
    ) {
        if self.ended.is_some() {
            return;
        }
        self.requests(kernel, random, shards);
        let mut lines = [self.socket.take(), self.get.take(), self.post.take()];
        let mut news = Vec::new();
        for (index, slot) in lines.iter_mut().enumerate() {
            let Some(line) = slot else { continue };
            line.flush(kernel);
            if self.stalled {
                continue;
            }
            line.parser
                .push(&kernel.read(line.client, 1 + random.below(4096)));
            while let Some(received) = line.parser.next() {
                trace(self.name, &(index, &received));
                line.busy = false;
                news.push((index, received));
            }
            if let Some(end) = kernel.end(line.client) {
                kernel.hang_up(line.client);
                self.line_ended(index, line, end, &news);
                *slot = None;
            }
        }
        let [socket, get, post] = lines;
        (self.socket, self.get, self.post) = (socket, get, post);
        for (index, received) in news {
            self.received(index, received, model);
        }
        if self.upgrade == Upgrade::Pausing && !self.waits_for_get() && self.posts_are_done() {
            self.upgrade = Upgrade::Done;
            self.frame("5");
            for packet in core::mem::take(&mut self.outgoing) {
                match packet.strip_prefix('b') {
                    Some(binary) => self.send_binary(&wire::unbase64(binary)),
                    None => self.send_packet(&packet),
                }
            }
        }
    }

    fn give_up_upgrade(&mut self) {
        self.kind = Kind::Polling;
        self.upgrade = Upgrade::No;
        self.socket = None;
    }

    fn waits_for_get(&self) -> bool {
        self.get.as_ref().is_some_and(|line| line.busy)
    }

    fn posts_are_done(&self) -> bool {
        self.post.as_ref().is_none_or(|line| !line.busy)
    }

    fn line_ended(&mut self, index: usize, line: &Line, end: End, news: &[(usize, Received)]) {
        if index == 0 && !self.on_socket() {
            return self.give_up_upgrade();
        }
        let told = news
            .iter()
            .any(|(_, received)| matches!(received, Received::Close { .. }));
        let matters = if index == 0 { !told } else { line.busy };
        if matters && self.ended.is_none() {
            self.ended = Some(Ended::Dropped(match (index, end) {
                (0, End::Finished) => "WebSocket finished",
                (0, End::Reset) => "WebSocket reset",
                (_, End::Finished) => "request finished",
                (_, End::Reset) => "request reset",
            }));
        }
    }

    /// Starts the requests of polling that are due.
    fn requests(&mut self, kernel: &Kernel, random: &mut Random, shards: usize) {
        if !self.wants_request() {
            return;
        }
        let sid = self.sid.clone();
        let fresh = random.chance(300);
        if self.upgrade != Upgrade::Pausing {
            let line = Self::idle_line(&mut self.get, fresh, kernel, random, shards);
            if let Some(line) = line {
                line.request(&wire::get(&format!("{GET_SID}{sid}"), false));
            }
        }
        if !self.outgoing.is_empty() {
            let packets = self.outgoing.join("\x1e");
            if let Some(line) = Self::idle_line(&mut self.post, fresh, kernel, random, shards) {
                line.request(&wire::post(&sid, &packets));
                self.outgoing.clear();
            }
        }
        if self.kind == Kind::Upgrade && self.upgrade == Upgrade::No && self.ready {
            let mut line = Line::new(kernel, random, shards);
            line.request(&wire::get(&format!("transport=websocket&sid={sid}"), true));
            self.socket = Some(line);
            self.upgrade = Upgrade::Probing;
        }
    }

    /// The connection for the next request, often another one on another shard; `None` while a request is out.
    fn idle_line<'a>(
        slot: &'a mut Option<Line>,
        fresh: bool,
        kernel: &Kernel,
        random: &mut Random,
        shards: usize,
    ) -> Option<&'a mut Line> {
        if slot.as_ref().is_some_and(|line| line.busy) {
            return None;
        }
        let usable = slot
            .as_ref()
            .is_some_and(|line| !line.parser.is_last && kernel.end(line.client).is_none());
        if fresh || !usable {
            if let Some(old) = slot {
                kernel.finish(old.client);
            }
            *slot = Some(Line::new(kernel, random, shards));
        }
        slot.as_mut()
    }

    fn received(&mut self, index: usize, received: Received, model: &mut Model) {
        if self.ended.is_some() {
            return;
        }
        match received {
            Received::Answer { status: 101, .. } => {
                if self.upgrade == Upgrade::Probing {
                    self.frame("2probe");
                }
            }
            Received::Answer { status: 200, body } if index == 1 => self.payload(&body, model),
            Received::Answer { status: 200, .. } => {}
            Received::Answer { .. } if index == 0 && !self.on_socket() => self.give_up_upgrade(),
            // The session is over; the GET that waits says why.
            Received::Answer { status: 400, .. } if index == 2 && self.waits_for_get() => {}
            Received::Answer { status, body } => {
                let text = String::from_utf8_lossy(&body).into_owned();
                self.ended = Some(Ended::Told(status, text));
            }
            Received::Text(text) if text == "3probe" => self.upgrade = Upgrade::Pausing,
            Received::Text(text) => self.packet(&text, model),
            Received::Binary(bytes) => self.attachment(&bytes, model),
            // It has stopped polling, and would take this for a failed upgrade: it would hear nothing more.
            Received::Close { code, reason } if self.upgrade == Upgrade::Pausing => {
                assert!(
                    self.was_stalled,
                    "client {} was told {code} {reason} where it does not listen",
                    self.name
                );
                self.ended = Some(Ended::Told(code, reason));
            }
            // A probe that fails leaves the client where it was.
            Received::Close { .. } if !self.on_socket() => self.give_up_upgrade(),
            Received::Close { code: 1000, .. } if self.said_goodbye => {
                self.ended = Some(Ended::ByClient);
            }
            Received::Close { code, reason } => self.ended = Some(Ended::Told(code, reason)),
        }
    }

    fn payload(&mut self, body: &[u8], model: &mut Model) {
        for packet in body.split(|byte| *byte == 0x1e) {
            let packet = core::str::from_utf8(packet).expect("polling is text");
            match packet.strip_prefix('b') {
                Some(binary) => self.attachment(&wire::unbase64(binary), model),
                None => self.packet(packet, model),
            }
        }
    }

    fn packet(&mut self, packet: &str, model: &mut Model) {
        match packet.as_bytes() {
            [b'0', ..] => self.opened(&packet[1..], model),
            b"1" => self.ended = Some(Ended::ClosePacket),
            b"2" => self.send_packet("3"),
            b"6" => {}
            [b'4', b'0', ..] => self.ready = true,
            [b'4', b'2', ..] => self.event(&packet[2..], None, model),
            [b'4', b'3', ..] => self.answered(&packet[2..], model),
            [b'4', b'5', ..] => {
                let header = packet
                    .strip_prefix("451-")
                    .expect("one attachment")
                    .to_owned();
                assert!(
                    self.header.replace(header).is_none(),
                    "an attachment is missing"
                );
            }
            other => panic!("client {}: {:?}", self.name, String::from_utf8_lossy(other)),
        }
    }

    fn opened(&mut self, handshake: &str, model: &Model) {
        let handshake: Value = serde_json::from_str(handshake).expect("a handshake");
        self.sid = handshake["sid"].as_str().expect("a session id").to_owned();
        // Every third shows a token, whose signature is checked beside the shards; where rates are limited nobody comes in without one.
        match self.name % 3 {
            _ if model.is_throttled => {
                self.send_packet(&format!(r#"40{{"token":"{}"}}"#, *tokens::TOKEN))
            }
            0 => self.send_packet(&format!(r#"40{{"token":"{}"}}"#, *tokens::TOKEN)),
            _ => self.send_packet("40"),
        }
    }

    fn attachment(&mut self, bytes: &[u8], model: &mut Model) {
        let header = self.header.take().expect("an attachment has a header");
        let payload = core::str::from_utf8(bytes)
            .expect("payloads are text")
            .to_owned();
        self.event(&header, Some(payload), model);
    }

    fn event(&mut self, data: &str, attached: Option<String>, model: &mut Model) {
        let event: Value = serde_json::from_str(data).expect("an event");
        assert_eq!(event[0], "message", "client {}", self.name);
        let room = event[1].as_str().expect("a room");
        let payload = attached
            .or_else(|| event[2].as_str().map(str::to_owned))
            .expect("a payload");
        let at = seen_of(&event[3]);
        let (&room, membership) = self
            .rooms
            .iter_mut()
            .find(|(name, _)| **name == room)
            .expect("a room that was joined");
        match membership {
            Membership::In(seen) | Membership::Leaving(seen) | Membership::Rejoining(seen) => {
                model.delivered(room, seen, at, &payload);
                if let (Some(key), Some((_, had))) =
                    (model.key_of(&payload), self.stays.get_mut(room))
                {
                    had.insert(key.to_owned(), at);
                }
            }
            Membership::Out | Membership::Joining => {
                panic!(
                    "client {} is {membership:?} of {room} and got {payload}",
                    self.name
                )
            }
        }
    }

    fn answered(&mut self, packet: &str, model: &mut Model) {
        let split = packet.find('[').expect("an acknowledgement has data");
        let id: u64 = packet[..split].parse().expect("an id");
        let answer: Value = serde_json::from_str(&packet[split..]).expect("data");
        let answer = &answer[0];
        let asked = self
            .asked
            .remove(&id)
            .expect("each event is acknowledged once");
        model.acks += 1;
        if model.is_throttled && answer["ok"] == false {
            return self.refused(asked, answer, model);
        }
        assert_eq!(answer["ok"], true, "client {}: {answer}", self.name);
        match asked {
            Asked::Echo(number) => assert_eq!(answer["data"], number),
            Asked::Publish(room, payload) => model.numbered(room, seen_of(answer), &payload),
            Asked::Leave(room) => {
                self.rooms.insert(room, Membership::Out);
            }
            Asked::Join(room) => self.joined(room, seen_of(answer)),
        }
    }

    /// Nothing has changed by what was refused, and nobody hears of it.
    fn refused(&mut self, asked: Asked, answer: &Value, model: &mut Model) {
        let code = answer["code"].as_str().unwrap_or_default();
        assert!(
            matches!(code, "RW-2201" | "RW-2202" | "RW-2203"),
            "client {}: {answer}",
            self.name
        );
        model.refused += 1;
        match asked {
            Asked::Publish(_, payload) => model.refuses(&payload),
            Asked::Join(room) | Asked::Leave(room) => {
                let before = match self.rooms[room] {
                    Membership::Rejoining(seen) | Membership::Leaving(seen) => Membership::In(seen),
                    _ => Membership::Out,
                };
                self.rooms.insert(room, before);
            }
            Asked::Echo(_) => {}
        }
    }

    fn joined(&mut self, room: &'static str, at: Seen) {
        if let Membership::Rejoining(seen) = self.rooms[room] {
            assert_eq!(seen.epoch, at.epoch, "{room}: one stay, one epoch");
            let complete = seen.offset == at.offset || policy_of(room) != Policy::Disconnect;
            assert!(
                complete && seen.offset <= at.offset,
                "{room}: joined again at {at:?} after {seen:?}"
            );
        }
        if self.rooms[room] == Membership::Joining {
            self.stays.insert(room, (at, Keyed::new()));
        }
        self.rooms.insert(room, Membership::In(at));
    }

    /// Does something that a client of a room does.
    pub(crate) fn act(&mut self, random: &mut Random, model: &mut Model) {
        if !self.ready || self.ended.is_some() || self.said_goodbye || self.asked.len() > 8 {
            return;
        }
        let room = ROOMS[random.below(ROOMS.len())];
        match (random.below(10), self.rooms[room]) {
            (0..=3, Membership::Out) => self.join(room, Membership::Joining),
            (0, Membership::In(seen)) => self.join(room, Membership::Rejoining(seen)),
            (1, Membership::In(seen)) => {
                self.rooms.insert(room, Membership::Leaving(seen));
                let id = self.ask(Asked::Leave(room));
                self.send_packet(&format!(r#"42{id}["leave","{room}"]"#));
            }
            (2, _) => {
                let id = self.ask(Asked::Echo(self.next_id));
                self.send_packet(&format!(r#"42{id}["echo",{id}]"#));
            }
            _ => self.publish(room, random, model),
        }
    }

    fn join(&mut self, room: &'static str, membership: Membership) {
        self.rooms.insert(room, membership);
        let id = self.ask(Asked::Join(room));
        self.send_packet(&format!(r#"42{id}["join","{room}"]"#));
    }

    fn ask(&mut self, asked: Asked) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, asked);
        id
    }

    pub(crate) fn publish(&mut self, room: &'static str, random: &mut Random, model: &mut Model) {
        let length = if random.chance(50) {
            random.below(3000)
        } else {
            random.below(200)
        };
        let payload = format!("{}-{}-{}", self.name, self.next_id, "x".repeat(length));
        let key = (policy_of(room) == Policy::Conflate).then(|| format!("k{}", random.below(3)));
        model.publishes(room, key.as_deref(), &payload);
        let id = self.ask(Asked::Publish(room, payload.clone()));
        let options = key.map_or_else(String::new, |key| format!(r#",{{"key":"{key}"}}"#));
        if random.chance(200) {
            let header =
                format!(r#"451-{id}["publish","{room}",{{"_placeholder":true,"num":0}}{options}]"#);
            self.send_packet(&header);
            self.send_binary(payload.as_bytes());
        } else {
            self.send_packet(&format!(
                r#"42{id}["publish","{room}","{payload}"{options}]"#
            ));
        }
    }

    fn send_packet(&mut self, packet: &str) {
        trace(self.name, &("says", packet));
        if self.on_socket() {
            self.frame(packet)
        } else {
            self.outgoing.push(packet.to_owned())
        }
    }

    fn send_binary(&mut self, bytes: &[u8]) {
        if self.on_socket() {
            let frame = wire::frame(2, bytes);
            self.socket
                .iter_mut()
                .for_each(|line| line.out.extend(&frame));
        } else {
            self.outgoing.push(format!("b{}", wire::base64(bytes)));
        }
    }

    fn frame(&mut self, text: &str) {
        if self.said_goodbye {
            return;
        }
        trace(self.name, &("frame", text));
        let frame = wire::frame(1, text.as_bytes());
        self.socket
            .iter_mut()
            .for_each(|line| line.out.extend(&frame));
    }

    /// Closes as RFC 6455 §7.1.2 has it: the server answers, and closes first. Whoever polls has no word for it.
    pub(crate) fn say_goodbye(&mut self) {
        if self.ready && self.on_socket() && !self.said_goodbye {
            let frame = wire::frame(8, &1000_u16.to_be_bytes());
            self.socket
                .iter_mut()
                .for_each(|line| line.out.extend(&frame));
            self.said_goodbye = true;
        }
    }

    pub(crate) fn stall(&mut self, stalled: bool) {
        self.stalled = stalled;
        self.was_stalled |= stalled;
    }

    /// Goes away: by a reset, or by finishing.
    pub(crate) fn leave(&mut self, kernel: &Kernel, reset: bool) {
        for line in [&self.socket, &self.get, &self.post].into_iter().flatten() {
            if reset {
                kernel.reset(line.client)
            } else {
                kernel.finish(line.client)
            }
        }
        if self.ended.is_none() {
            self.ended = Some(Ended::ByClient);
        }
    }

    /// A message was published to the room that nothing came after.
    pub(crate) fn judge_last_word(&self, room: &str, model: &Model) {
        if let (None, Membership::In(seen)) = (&self.ended, self.rooms[room]) {
            model.has_last_word(room, seen, self.name);
        }
    }

    /// Everything that was promised has happened.
    pub(crate) fn judge(&self, model: &Model) {
        if self.ended.is_some() {
            return;
        }
        assert!(
            !self.said_goodbye,
            "client {} ({:?}) waits for the end",
            self.name, self.kind
        );
        assert!(
            self.ready,
            "client {} ({:?}) never got in",
            self.name, self.kind
        );
        assert!(
            self.asked.is_empty(),
            "client {} ({:?}) waits for {:?}",
            self.name,
            self.kind,
            self.asked.keys()
        );
        for (room, membership) in &self.rooms {
            match membership {
                Membership::In(seen) => {
                    model.is_complete(room, *seen, self.name);
                    let (since, had) = &self.stays[room];
                    model.is_conflated_by_key(room, *since, had, self.name);
                }
                Membership::Out => {}
                other => panic!("client {} is still {other:?} of {room}", self.name),
            }
        }
    }
}

fn seen_of(value: &Value) -> Seen {
    let number = |name: &str| {
        value[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {value}"))
    };
    Seen {
        epoch: number("epoch"),
        offset: number("offset"),
    }
}
