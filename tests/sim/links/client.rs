//! A client of an application behind links, over a WebSocket: it connects to namespaces, says numbered events, and hears words.

use super::model::Model;
use crate::wire::{self, Parser, Received};
use core::time::Duration;
use ringway_sim::{Client, Kernel, Random};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// The namespaces of every seed.
pub(crate) const SPACES: [&str; 2] = ["/", "/chat"];

/// `SIM_TRACE=1` prints what everybody reads and writes.
pub(crate) static TRACE: std::sync::LazyLock<bool> =
    std::sync::LazyLock::new(|| std::env::var_os("SIM_TRACE").is_some());

pub(crate) fn trace(who: &str, name: usize, what: &dyn core::fmt::Debug) {
    if *TRACE {
        let mut line = format!("{what:?}");
        line.truncate(240);
        eprintln!("{who} {name}: {line}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Out,
    Asked,
    In,
}

/// A client.
pub(crate) struct LinkClient {
    pub(crate) name: usize,
    client: Client,
    out: VecDeque<u8>,
    parser: Parser,
    is_open: bool,
    stands: BTreeMap<&'static str, Stand>,
    pub(crate) is_stalled: bool,
    pub(crate) was_stalled: bool,
    /// How it ended, in the daemon's words.
    pub(crate) ended: Option<String>,
}

/// What stands in front of a packet's data: the namespace, unless it is the main one.
pub(crate) fn prefix(space: &str) -> String {
    match space {
        "/" => String::new(),
        other => format!("{other},"),
    }
}

/// The namespace of what stands behind a packet's type, and the rest.
pub(crate) fn split_space(text: &str) -> (&'static str, &str) {
    match text.strip_prefix("/chat") {
        Some(rest) => ("/chat", rest.strip_prefix(',').unwrap_or(rest)),
        None => ("/", text),
    }
}

/// The digits in front, and the rest.
pub(crate) fn split_number(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (text[..digits].parse().ok(), &text[digits..])
}

impl LinkClient {
    pub(crate) fn new(name: usize, kernel: &Kernel, random: &mut Random, shards: usize) -> Self {
        let client = kernel.connect(random.below(shards));
        let query = format!("transport=websocket&who={name}");
        let out = wire::get(&query, true).into();
        Self {
            name,
            client,
            out,
            parser: Parser::default(),
            is_open: false,
            stands: SPACES.map(|space| (space, Stand::Out)).into(),
            is_stalled: false,
            was_stalled: false,
            ended: None,
        }
    }

    pub(crate) fn has_work(&self, kernel: &Kernel) -> bool {
        let writes = !self.out.is_empty() && kernel.writable(self.client);
        let reads = kernel.readable(self.client) || kernel.end(self.client).is_some();
        self.ended.is_none() && (writes || reads && !self.is_stalled)
    }

    pub(crate) fn turn(&mut self, kernel: &Kernel, random: &mut Random, model: &mut Model) {
        let count = kernel.write(self.client, self.out.make_contiguous());
        self.out.drain(..count);
        if self.is_stalled || self.ended.is_some() {
            return;
        }
        let bytes = kernel.read(self.client, 1 + random.below(4096));
        self.parser.push(&bytes);
        while let Some(received) = self.parser.next() {
            trace("client", self.name, &received);
            self.received(received, model);
        }
        if self.ended.is_none() && kernel.end(self.client).is_some() {
            self.ended = Some("dropped".to_owned());
        }
    }

    fn received(&mut self, received: Received, model: &mut Model) {
        match received {
            Received::Answer { status: 101, .. } => {}
            Received::Answer { status, body } => {
                let body = String::from_utf8_lossy(&body).into_owned();
                self.ended = Some(format!("{status} {body}"));
            }
            Received::Text(text) => self.packet(&text, model),
            Received::Binary(_) => panic!("client {}: nobody sends attachments", self.name),
            Received::Close { code, reason } => self.ended = Some(format!("{code} {reason}")),
        }
    }

    fn packet(&mut self, text: &str, model: &mut Model) {
        let (kind, rest) = text.split_at(text.len().min(2));
        match kind {
            "2" => self.say("3"),
            "6" => {}
            _ if kind.starts_with('0') => {
                self.is_open = true;
                self.connect("/");
            }
            "40" => self.let_in(split_space(rest).0, model),
            "41" => panic!("client {}: nobody ends its sockets", self.name),
            "42" => self.word(split_space(rest), model),
            "43" => self.answered(split_space(rest).1, model),
            _ => panic!("client {}: {text}", self.name),
        }
    }

    fn let_in(&mut self, space: &'static str, model: &mut Model) {
        let before = self.stands.insert(space, Stand::In);
        let is_said_again = model.may_hear_again(self.name, space);
        assert!(
            before == Some(Stand::Asked) || is_said_again,
            "client {} is let into {space} and has not asked",
            self.name
        );
        model.joins(self.name, space);
    }

    fn word(&self, (space, rest): (&'static str, &str), model: &mut Model) {
        let word: Value = serde_json::from_str(rest).expect("an event");
        assert_eq!(word[0], "word", "client {}", self.name);
        assert_eq!(word[3], space, "client {}: another namespace", self.name);
        let number = |at: usize| word[at].as_u64().expect("a number");
        model.hears(self.name, number(1) as usize, number(2));
    }

    fn answered(&self, rest: &str, model: &mut Model) {
        let (id, data) = split_number(rest);
        let data: Value = serde_json::from_str(data).expect("an answer");
        let id = id.expect("an answer has a number");
        assert_eq!(data[0].as_u64(), Some(id), "client {}", self.name);
        assert_eq!(
            data[1].as_u64(),
            Some(self.name as u64),
            "client {} is answered what another asked",
            self.name
        );
        model.answers(self.name, id);
    }

    fn say(&mut self, packet: &str) {
        trace("client says", self.name, &packet);
        self.out.extend(wire::frame(1, packet.as_bytes()));
    }

    fn connect(&mut self, space: &'static str) {
        self.stands.insert(space, Stand::Asked);
        self.say(&format!("40{}", prefix(space)));
    }

    /// Whether it waits to be let in.
    pub(crate) fn waits(&self) -> bool {
        !self.is_open || self.stands.values().any(|stand| *stand == Stand::Asked)
    }

    pub(crate) fn is_in(&self) -> bool {
        self.ended.is_none() && self.stands["/"] == Stand::In
    }

    /// Does something that a client does.
    pub(crate) fn act(&mut self, random: &mut Random, model: &mut Model) {
        if !self.is_in() || self.out.len() > 16_000 {
            return;
        }
        let space = SPACES[random.below(SPACES.len())];
        match (random.below(20), self.stands[space]) {
            (_, Stand::Asked) => {}
            (_, Stand::Out) => self.connect(space),
            (0, Stand::In) if space != "/" => self.part(space, model),
            _ => self.speak(space, random, model),
        }
    }

    fn part(&mut self, space: &'static str, model: &mut Model) {
        self.stands.insert(space, Stand::Out);
        model.parts(self.name, space);
        self.say(&format!("41{}", prefix(space)));
    }

    /// Says an event.
    pub(crate) fn speak(&mut self, space: &'static str, random: &mut Random, model: &mut Model) {
        let (is_asked, is_binary) = (random.chance(400), random.chance(150));
        let number = model.says(self.name, is_asked);
        let id = if is_asked {
            number.to_string()
        } else {
            String::new()
        };
        let length = if random.chance(60) {
            random.below(3000)
        } else {
            random.below(60)
        };
        let (prefix, filler) = (prefix(space), "x".repeat(length));
        if is_binary {
            let event = r#"["say",NUMBER,"FILLER",{"_placeholder":true,"num":0}]"#;
            let event = event.replace("NUMBER", &number.to_string());
            self.say(&format!(
                "451-{prefix}{id}{}",
                event.replace("FILLER", &filler)
            ));
            let bytes = number.to_le_bytes();
            self.out.extend(wire::frame(2, &bytes));
        } else {
            self.say(&format!(r#"42{prefix}{id}["say",{number},"{filler}"]"#));
        }
    }

    pub(crate) const fn stall(&mut self, is_stalled: bool) {
        self.is_stalled = is_stalled;
        self.was_stalled |= is_stalled;
    }

    /// Goes away.
    pub(crate) fn leave(&self, kernel: &Kernel, resets: bool) {
        match resets {
            true => kernel.reset(self.client),
            false => kernel.finish(self.client),
        }
    }

    /// Who connects now.
    pub(crate) fn meets(&self, now: Duration, model: &mut Model) {
        model.connects(self.name, now);
    }
}
