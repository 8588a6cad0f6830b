//! A worker's end of its link: handshake, the window in both directions, credit, and what goes again after a cut.
//!
//! Written anew from docs/link.md, and not with the service's own windows: what both did wrong alike would never show. Deliberately absent: what frames mean
//! to the application.

use ringway_io::Listener;
use ringway_proto::link::{
    self, FRAME_BODY_BYTES_MAX, Flags, Frame, GoAway, GoAwayMode, Hello, Json, Kind, ResumePoint,
    Side,
};
use ringway_sim::{Client, Kernel, Random};
use std::collections::VecDeque;

/// By which links come.
const LINKS: Listener = Listener(1);

/// A connection to the daemon.
struct Line {
    client: Client,
    out: VecDeque<u8>,
    input: Vec<u8>,
    is_open: bool,
}

/// Frames and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    frames: u64,
    bytes: u64,
}

/// A frame that the application has not looked at.
pub(crate) struct Got {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

/// What the link tells its worker.
pub(crate) enum News {
    /// WELCOME: what was before goes on, or all is new.
    Open { resumed: bool },
    /// So many of the worker's frames were dealt with.
    Credit(u64),
    /// An answer to PING.
    Pong,
    /// The daemon has nobody else for its clients.
    Keep,
    /// The link was refused, by this code.
    Refused(String),
}

/// The link of a worker's life, over any number of connections.
pub(crate) struct Link {
    instance: String,
    /// It says when a client that it took over is back.
    says_back: bool,
    epoch: Option<String>,
    line: Option<Line>,
    window: (u64, u64),
    /// Frames that are on the way, and the bytes of each.
    kept: VecDeque<Vec<u8>>,
    /// Those that found no room.
    waiting: VecDeque<Vec<u8>>,
    /// Of the worker's frames: all that went into `kept`, and those that were dealt with.
    sent: Sum,
    done: Sum,
    /// Of the daemon's frames: those that were dealt with, and what was said of that.
    dealt: Sum,
    told: Sum,
    /// What came and was not looked at, the oldest first.
    pub(crate) inbox: VecDeque<Got>,
    /// What came since the last cut.
    received: Sum,
}

impl Link {
    pub(crate) fn new(instance: String, says_back: bool) -> Self {
        Self {
            instance,
            says_back,
            epoch: None,
            line: None,
            window: (0, 0),
            kept: VecDeque::new(),
            waiting: VecDeque::new(),
            sent: Sum::default(),
            done: Sum::default(),
            dealt: Sum::default(),
            told: Sum::default(),
            inbox: VecDeque::new(),
            received: Sum::default(),
        }
    }

    pub(crate) const fn is_there(&self) -> bool {
        self.line.is_some()
    }

    /// Whether it has joined.
    pub(crate) fn is_open(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.is_open)
    }

    /// All that was said was dealt with.
    pub(crate) fn is_settled(&self) -> bool {
        self.kept.is_empty() && self.waiting.is_empty() && self.inbox.is_empty()
    }

    pub(crate) fn connect(&mut self, kernel: &Kernel) {
        self.line = Some(Line {
            client: kernel.connect_to(0, LINKS),
            out: VecDeque::new(),
            input: Vec::new(),
            is_open: false,
        });
    }

    /// The connection is given up: what was received and not dealt with comes again.
    pub(crate) fn cut(&mut self) -> Option<Client> {
        self.inbox.clear();
        self.received = self.dealt;
        self.told = self.dealt;
        self.line.take().map(|line| line.client)
    }

    /// A counted frame; gives its number.
    pub(crate) fn send(&mut self, conn: u64, flags: Flags, frame: &Frame<'_>) -> u64 {
        let mut bytes = Vec::new();
        frame.encode_into(conn, flags, &mut bytes);
        self.waiting.push_back(bytes);
        self.sent.frames + self.waiting.len() as u64
    }

    /// A frame of the link itself.
    pub(crate) fn say(&mut self, frame: &Frame<'_>) {
        let Some(line) = &mut self.line else {
            return;
        };
        let mut bytes = Vec::new();
        frame.encode_into(0, Flags::NONE, &mut bytes);
        line.out.extend(bytes);
    }

    pub(crate) fn say_goaway(&mut self, mode: GoAwayMode, deadline_ms: u32) {
        let json = Json::new(GoAway {
            mode,
            reason: "".into(),
            deadline_ms,
        });
        self.say(&Frame::GoAway { json });
    }

    /// The oldest frame that came was dealt with.
    pub(crate) fn deal(&mut self, bytes: usize) {
        self.dealt.frames += 1;
        self.dealt.bytes += bytes as u64;
        assert!(
            self.dealt.frames <= self.received.frames,
            "dealt with twice"
        );
    }

    /// Says how much was dealt with, behind what came of it: if that were lost with the worker, nobody would hear of either again.
    pub(crate) fn credit(&mut self) {
        if self.is_open() && self.waiting.is_empty() && self.told != self.dealt {
            self.told = self.dealt;
            let Sum { frames, bytes } = self.told;
            self.say(&Frame::Credit { frames, bytes });
        }
    }

    /// Moves what fits into the window.
    pub(crate) fn pump(&mut self) {
        while self.is_open() {
            let Some(next) = self.waiting.front().map(Vec::len) else {
                return;
            };
            let ahead = self.sent.frames - self.done.frames;
            let ahead_bytes = self.sent.bytes - self.done.bytes;
            let fits =
                ahead < self.window.0 && (ahead == 0 || ahead_bytes + next as u64 <= self.window.1);
            if !fits {
                return;
            }
            let frame = self.waiting.pop_front().expect("it was just looked at");
            self.sent.frames += 1;
            self.sent.bytes += next as u64;
            let line = self.line.as_mut().expect("it is open");
            line.out.extend(&frame);
            self.kept.push_back(frame);
        }
    }

    pub(crate) fn has_work(&self, kernel: &Kernel) -> bool {
        self.line.as_ref().is_some_and(|line| {
            (!line.out.is_empty() && kernel.writable(line.client))
                || kernel.readable(line.client)
                || kernel.end(line.client).is_some()
        })
    }

    /// Whether the daemon has closed the connection.
    pub(crate) fn has_ended(&self, kernel: &Kernel) -> bool {
        let line = self.line.as_ref();
        line.is_some_and(|line| kernel.end(line.client).is_some())
    }

    pub(crate) fn flush(&mut self, kernel: &Kernel) {
        if let Some(line) = &mut self.line {
            let count = kernel.write(line.client, line.out.make_contiguous());
            line.out.drain(..count);
        }
    }

    /// Reads, and takes care of what is the link's own.
    pub(crate) fn read(&mut self, kernel: &Kernel, random: &mut Random) -> Vec<News> {
        let Some(line) = &mut self.line else {
            return Vec::new();
        };
        let bytes = kernel.read(line.client, 1 + random.below(4096));
        line.input.extend(bytes);
        let input = core::mem::take(&mut line.input);
        let (mut taken, mut news) = (0, Vec::new());
        while let Some((raw, bytes)) =
            link::split(&input[taken..], FRAME_BODY_BYTES_MAX).expect("frames of the daemon")
        {
            let whole = &input[taken..taken + bytes];
            taken += bytes;
            if raw.kind.is_counted() {
                self.receive(raw.kind, whole);
                continue;
            }
            let frame = Frame::parse(&raw, Side::Daemon).expect("frames of the daemon");
            news.extend(self.hear(&frame));
        }
        if let Some(line) = &mut self.line {
            line.input = input[taken..].to_vec();
        }
        news
    }

    fn receive(&mut self, kind: Kind, bytes: &[u8]) {
        let ahead = self.received.frames - self.told.frames;
        let ahead_bytes = self.received.bytes - self.told.bytes;
        let fits = ahead < self.window.0
            && (ahead == 0 || ahead_bytes + bytes.len() as u64 <= self.window.1);
        assert!(
            fits,
            "{}: {kind} is more than the window: {ahead} frames, {ahead_bytes} bytes, {} of {:?}",
            self.instance,
            bytes.len(),
            self.window
        );
        self.received.frames += 1;
        self.received.bytes += bytes.len() as u64;
        let bytes = bytes.to_vec();
        self.inbox.push_back(Got { kind, bytes });
    }

    fn hear(&mut self, frame: &Frame<'_>) -> Option<News> {
        match frame {
            Frame::Challenge { json } => {
                self.say_hello(&json.value().epoch);
                None
            }
            Frame::Welcome { json, .. } => {
                let welcome = json.value();
                let window = &welcome.window;
                self.window = (window.frames.into(), window.bytes.into());
                self.welcomed(welcome.resumed, welcome.received, &welcome.epoch)
            }
            Frame::Credit { frames, bytes } => {
                let oldest = frames.checked_sub(self.done.frames);
                let oldest = oldest.expect("credit does not go back") as usize;
                assert!(oldest <= self.kept.len(), "credit for what was never sent");
                let dealt: usize = self.kept.drain(..oldest).map(|frame| frame.len()).sum();
                self.done.frames = *frames;
                self.done.bytes += dealt as u64;
                assert_eq!(self.done.bytes, *bytes, "bytes of credit");
                Some(News::Credit(*frames))
            }
            Frame::Ping { number } => {
                self.say(&Frame::Pong { number: *number });
                None
            }
            Frame::Pong { .. } => Some(News::Pong),
            Frame::GoAway { .. } => Some(News::Keep),
            Frame::Error { code, .. } => Some(News::Refused((*code).to_owned())),
            other => panic!("{:?} is not expected", other.kind()),
        }
    }

    fn say_hello(&mut self, epoch: &str) {
        let known = self.epoch.as_deref().filter(|known| *known == epoch);
        let resume = known.map(|epoch| ResumePoint {
            epoch: epoch.to_owned().into(),
            received: self.dealt.frames,
        });
        let json = Json::new(Hello {
            proto: [1, 0],
            app: "default".into(),
            instance: self.instance.clone().into(),
            role: "worker".into(),
            nonce: "0".repeat(32).into(),
            name: None,
            weight: None,
            resume,
            caps: Some(match self.says_back {
                true => vec!["hold".into(), "move".into()],
                false => vec!["move".into()],
            }),
        });
        self.say(&Frame::Hello { json, mac: "" });
    }

    fn welcomed(&mut self, resumed: bool, received: u64, epoch: &str) -> Option<News> {
        let was_known = self.epoch.replace(epoch.to_owned()).is_some();
        let line = self.line.as_mut().expect("it speaks");
        line.is_open = true;
        if !resumed {
            assert_eq!(received, 0, "a new life");
            self.kept.clear();
            self.waiting.clear();
            (self.sent, self.done) = (Sum::default(), Sum::default());
            (self.dealt, self.told) = (Sum::default(), Sum::default());
            self.received = Sum::default();
            return Some(News::Open { resumed: false });
        }
        assert!(was_known, "nobody wanted to go on");
        let oldest = received.checked_sub(self.done.frames);
        let oldest = oldest.expect("what was dealt with stays so") as usize;
        assert!(oldest <= self.kept.len(), "what was never sent");
        let dealt: usize = self.kept.drain(..oldest).map(|frame| frame.len()).sum();
        self.done.frames = received;
        self.done.bytes += dealt as u64;
        // The rest goes again, in order.
        for frame in &self.kept {
            line.out.extend(frame);
        }
        Some(News::Open { resumed: true })
    }

    /// Frames of the worker that were dealt with.
    pub(crate) const fn done_frames(&self) -> u64 {
        self.done.frames
    }
}
