//! Two ends of a multiplexed stream, driven by seeds: every channel's bytes arrive, in order, within credit, and nobody starves.

mod support;

use ringway_streams::StreamError;
use ringway_streams::mux::{Agreement, Event, PAYLOAD_BYTES_MAX, Receiver, STOPPED, Sender};
use std::collections::{BTreeMap, BTreeSet};
use support::Random;

const AGREEMENT: Agreement = Agreement {
    window_bytes: 1000,
    channels_max: 8,
};

/// What became of a channel, at either end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    bytes: Vec<u8>,
    end: Option<Result<(), u32>>,
}

/// Both ends, with the two streams between them in pieces.
struct World {
    random: Random,
    sender: Sender,
    receiver: Receiver,
    there: Vec<u8>,
    back: Vec<u8>,
    said: BTreeMap<u32, Story>,
    heard: BTreeMap<u32, Story>,
    stopped: BTreeSet<u32>,
    /// Bytes that the receiver's owner has not released.
    held: BTreeMap<u32, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            sender: Sender::new(AGREEMENT),
            receiver: Receiver::new(AGREEMENT),
            there: vec![],
            back: vec![],
            said: BTreeMap::new(),
            heard: BTreeMap::new(),
            stopped: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }

    fn any_open(&mut self) -> Option<u32> {
        let open = |(channel, _): (&u32, _)| self.sender.is_open(*channel).then_some(*channel);
        let open: Vec<u32> = self.said.iter().filter_map(open).collect();
        open.get(self.random.below(open.len())).copied()
    }

    fn act(&mut self) {
        match self.random.below(20) {
            0 => {
                if let Ok(channel) = self.sender.open() {
                    self.said.insert(channel, Story::default());
                }
            }
            1 => self.close(Ok(())),
            2 if self.random.below(5) == 0 => self.close(Err(7)),
            3 if self.random.below(5) == 0 => self.stop(),
            4..9 => self.push(),
            9..13 => self.carry_there(),
            13..16 => self.carry_back(),
            _ => self.release(),
        }
    }

    fn close(&mut self, how: Result<(), u32>) {
        let Some(channel) = self.any_open() else {
            return;
        };
        match how {
            Ok(()) => self.sender.end(channel),
            Err(code) => self.sender.reset(channel, code),
        }
        self.said.get_mut(&channel).unwrap().end = Some(how);
    }

    fn stop(&mut self) {
        let open: Vec<u32> = self.held.keys().copied().collect();
        if let Some(channel) = open.get(self.random.below(open.len())) {
            self.receiver.stop(*channel);
            self.stopped.insert(*channel);
        }
    }

    fn push(&mut self) {
        let Some(channel) = self.any_open() else {
            return;
        };
        let size = self.random.below(2000);
        let bytes = self.random.bytes(size);
        let taken = self.sender.push(channel, &bytes);
        let story = self.said.get_mut(&channel).unwrap();
        story.bytes.extend_from_slice(&bytes[..taken]);
    }

    fn carry_there(&mut self) {
        let mut out = vec![0; self.random.below(700)];
        let bytes = self.sender.take(&mut out);
        self.there.extend_from_slice(&out[..bytes]);
        let cut = self.random.below(self.there.len() + 1);
        let piece: Vec<u8> = self.there.drain(..cut).collect();
        let mut piece = piece.as_slice();
        while let Some(event) = self.receiver.next(&mut piece).unwrap() {
            hear(&mut self.heard, &mut self.held, event);
        }
        assert!(piece.is_empty());
    }

    fn carry_back(&mut self) {
        let mut out = vec![0; self.random.below(50)];
        let bytes = self.receiver.take(&mut out);
        self.back.extend_from_slice(&out[..bytes]);
        let cut = self.random.below(self.back.len() + 1);
        let piece: Vec<u8> = self.back.drain(..cut).collect();
        self.sender.back(&piece).unwrap();
    }

    fn release(&mut self) {
        for (channel, held) in &mut self.held {
            let bytes = self.random.below(*held + 1);
            self.receiver.release(*channel, bytes);
            *held -= bytes;
        }
    }

    /// Nothing new begins; all that is there comes to its end.
    fn wind_down(&mut self) {
        let said: Vec<u32> = self.said.keys().copied().collect();
        for channel in said {
            if self.sender.is_open(channel) {
                self.sender.end(channel);
                self.said.get_mut(&channel).unwrap().end = Some(Ok(()));
            }
        }
        for _ in 0..20_000 {
            if self.sender.is_done() && self.there.is_empty() && self.held.is_empty() {
                return;
            }
            self.carry_there();
            self.release();
            self.carry_back();
        }
        panic!("no end: {:?} {:?}", self.sender, self.receiver);
    }
}

fn hear(heard: &mut BTreeMap<u32, Story>, held: &mut BTreeMap<u32, usize>, event: Event<'_>) {
    match event {
        Event::Open { channel } => {
            assert!(heard.insert(channel, Story::default()).is_none());
            held.insert(channel, 0);
        }
        Event::Data { channel, bytes } => {
            heard
                .get_mut(&channel)
                .unwrap()
                .bytes
                .extend_from_slice(bytes);
            let held = held.get_mut(&channel).unwrap();
            *held += bytes.len();
            assert!(
                *held <= AGREEMENT.window_bytes as usize,
                "more than the window"
            );
        }
        Event::End { channel } => {
            heard.get_mut(&channel).unwrap().end = Some(Ok(()));
            held.remove(&channel);
        }
        Event::Reset { channel, code } => {
            heard.get_mut(&channel).unwrap().end = Some(Err(code));
            held.remove(&channel);
        }
    }
}

#[test]
fn what_is_said_is_heard_in_order() {
    let (mut ends, mut resets, mut stops) = (0, 0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            world.act();
        }
        world.wind_down();
        assert_eq!(world.receiver.finish(), Ok(()), "seed {seed}");
        assert_eq!(world.said.len(), world.heard.len(), "seed {seed}");
        for (channel, heard) in &world.heard {
            let said = &world.said[channel];
            assert!(
                said.bytes.starts_with(&heard.bytes),
                "seed {seed}, channel {channel}"
            );
            match heard.end {
                // It had all been sent when the receiver stopped it.
                Some(Ok(())) if world.stopped.contains(channel) => {}
                Some(Ok(())) => {
                    assert_eq!(said, heard, "seed {seed}, channel {channel}");
                    ends += 1;
                }
                Some(Err(STOPPED)) => stops += 1,
                Some(Err(code)) => {
                    assert_eq!(said.end, Some(Err(code)), "seed {seed}, channel {channel}");
                    resets += 1;
                }
                None => panic!("seed {seed}: channel {channel} has no end"),
            }
        }
    }
    assert!(
        ends > 1000 && resets > 100 && stops > 100,
        "{ends} {resets} {stops}"
    );
}

fn sent(sender: &mut Sender, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    let taken = sender.take(&mut out);
    out.truncate(taken);
    out
}

#[test]
fn who_does_not_release_holds_up_nobody_else() {
    let agreement = Agreement {
        window_bytes: 100_000,
        channels_max: 2,
    };
    let (mut sender, mut receiver) = (Sender::new(agreement), Receiver::new(agreement));
    let (slow, fast) = (sender.open().unwrap(), sender.open().unwrap());
    let mut got = BTreeMap::from([(slow, 0), (fast, 0)]);
    let chunk = vec![0; 50_000];
    for _ in 0..100 {
        sender.push(slow, &chunk);
        sender.push(fast, &chunk);
        let stream = sent(&mut sender, 60_000);
        let mut input = stream.as_slice();
        while let Some(event) = receiver.next(&mut input).unwrap() {
            if let Event::Data { channel, bytes } = event {
                *got.get_mut(&channel).unwrap() += bytes.len();
                if channel == fast {
                    receiver.release(fast, bytes.len());
                }
            }
        }
        let mut out = [0; 100];
        let bytes = receiver.take(&mut out);
        sender.back(&out[..bytes]).unwrap();
    }
    assert_eq!(got[&slow], 100_000, "its window, and no more");
    assert!(got[&fast] > 3_000_000, "{got:?}");
}

#[test]
fn channels_take_turns() {
    let agreement = Agreement {
        window_bytes: 1 << 20,
        channels_max: 3,
    };
    let mut sender = Sender::new(agreement);
    let chunk = vec![0; 1 << 20];
    for _ in 0..3 {
        let channel = sender.open().unwrap();
        sender.push(channel, &chunk);
    }
    // Whatever room there is, no channel is a frame ahead of another one.
    let stream = sent(&mut sender, 12 + 3 * 8 + 30 * (PAYLOAD_BYTES_MAX + 8));
    let mut receiver = Receiver::new(agreement);
    let mut got = [0; 4];
    let mut input = stream.as_slice();
    while let Some(event) = receiver.next(&mut input).unwrap() {
        if let Event::Data { channel, bytes } = event {
            got[channel as usize] += bytes.len();
        }
    }
    assert_eq!(
        got,
        [
            0,
            10 * PAYLOAD_BYTES_MAX,
            10 * PAYLOAD_BYTES_MAX,
            10 * PAYLOAD_BYTES_MAX
        ]
    );
}

#[test]
fn a_channel_too_many_waits_for_an_end() {
    let mut sender = Sender::new(AGREEMENT);
    for _ in 0..8 {
        sender.open().unwrap();
    }
    let refused = Err(StreamError::ChannelsTooMany { channels_max: 8 });
    assert_eq!(sender.open(), refused);
    sender.end(3);
    assert_eq!(sender.open(), refused, "its END did not go yet");
    sent(&mut sender, 1000);
    assert_eq!(sender.open(), Ok(9));
}

#[test]
fn nobody_pushes_what_is_closed() {
    let mut sender = Sender::new(AGREEMENT);
    let channel = sender.open().unwrap();
    assert_eq!(
        sender.push(channel, &[0; 5000]),
        1000,
        "its queue is its window"
    );
    sender.reset(channel, 1);
    assert_eq!((sender.push(channel, b"x"), sender.push(99, b"x")), (0, 0));
    // Preface, OPEN, RESET: what was queued goes nowhere.
    assert_eq!(sent(&mut sender, 5000).len(), 12 + 8 + 12);
    assert!(sender.is_done());
}

#[test]
fn a_fault_is_final() {
    let mut receiver = Receiver::new(AGREEMENT);
    let error = receiver
        .next(&mut &b"RWMX\x02\0\0\0\0\0\0\0"[..])
        .unwrap_err();
    assert_eq!(receiver.next(&mut &b"more"[..]), Err(error.clone()));
    assert_eq!(receiver.finish(), Err(error));
}
