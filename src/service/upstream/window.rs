//! Counted frames of a link, one direction each: what was sent and may have to be sent again, and what was dealt with and has to be said.
//!
//! Deliberately absent: what the frames mean. Both sides of docs/link.md "Credit" are here, so that one can be tested against the other.

use std::collections::VecDeque;

/// What may be on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Frames.
    pub frames: u32,
    /// Bytes of them, headers included.
    pub bytes: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            frames: 8192,
            bytes: 4 << 20,
        }
    }
}

/// How many counted frames, and their bytes, since the epoch began for this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Frames.
    pub frames: u64,
    /// Bytes of them, headers included.
    pub bytes: u64,
}

impl Sum {
    const fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }

    /// Whether `earlier` may be so far behind, and one frame of `bytes` still follow. A frame that is larger than the window goes when it is alone.
    const fn has_room(self, earlier: Self, window: Window, bytes: usize) -> bool {
        let frames = self.frames - earlier.frames;
        let ahead = self.bytes - earlier.bytes;
        frames < window.frames as u64
            && (frames == 0 || ahead + bytes as u64 <= window.bytes as u64)
    }
}

/// The peer says that it has dealt with frames which it was never sent, or with fewer than it said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FalseCredit;

/// The sender's side: frames are kept until the peer has dealt with them.
#[derive(Debug)]
pub struct Outgoing {
    window: Window,
    /// Kept frames, one behind the other, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    /// Of these, how far they were handed to the link that is now.
    handed: usize,
    /// The length of each kept frame, the oldest first.
    lengths: VecDeque<u32>,
    done: Sum,
    sent: Sum,
}

impl Outgoing {
    /// Nothing was sent yet.
    #[must_use]
    pub const fn new(window: Window) -> Self {
        Self {
            window,
            bytes: Vec::new(),
            start: 0,
            handed: 0,
            lengths: VecDeque::new(),
            done: Sum {
                frames: 0,
                bytes: 0,
            },
            sent: Sum {
                frames: 0,
                bytes: 0,
            },
        }
    }

    /// Whether a frame of so many bytes may go now.
    #[must_use]
    pub const fn fits(&self, frame_bytes: usize) -> bool {
        self.sent.has_room(self.done, self.window, frame_bytes)
    }

    /// Adds the frame that `encode` appends.
    ///
    /// # Panics
    /// When it does not fit; [`Self::fits`] is asked before.
    pub fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        encode(&mut self.bytes);
        let bytes = self.bytes.len() - before;
        assert!(self.fits(bytes), "the window was not asked");
        self.lengths.push_back(bytes as u32);
        self.sent.add(bytes);
    }

    /// What the link has not been handed yet: whole frames.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.handed..]
    }

    /// All of [`Self::unsent`] was handed to the link.
    pub const fn hand_over(&mut self) {
        self.handed = self.bytes.len();
    }

    /// What the peer has not dealt with, as far as it was handed to a link: whole frames.
    #[must_use]
    pub fn undealt(&self) -> &[u8] {
        &self.bytes[self.start..self.handed]
    }

    /// All that the peer has not dealt with, be it handed to a link or not: whole frames.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether a link was handed what the peer has not dealt with.
    #[must_use]
    pub const fn has_undealt(&self) -> bool {
        self.handed > self.start
    }

    /// How many frames the peer has dealt with.
    #[must_use]
    pub const fn done_frames(&self) -> u64 {
        self.done.frames
    }

    /// How many frames there were so far.
    #[must_use]
    pub const fn sent_frames(&self) -> u64 {
        self.sent.frames
    }

    /// The peer has dealt with so much. A sum that it said before changes nothing.
    ///
    /// # Errors
    /// When it says what cannot be; nothing has changed then.
    pub fn credit(&mut self, done: Sum) -> Result<(), FalseCredit> {
        self.credit_with(done, |_| {})
    }

    /// The same; `look` is shown the frames that are not kept any more.
    ///
    /// # Errors
    /// When it says what cannot be; nothing has changed then.
    pub fn credit_with(&mut self, done: Sum, look: impl FnOnce(&[u8])) -> Result<(), FalseCredit> {
        if done.frames < self.done.frames || done.frames > self.sent.frames {
            return Err(FalseCredit);
        }
        let count = (done.frames - self.done.frames) as usize;
        let bytes = self.bytes_of_oldest(count);
        let end = self.start + bytes as usize;
        if done.bytes != self.done.bytes + bytes || end > self.handed {
            return Err(FalseCredit);
        }
        look(&self.bytes[self.start..end]);
        self.lengths.drain(..count);
        self.done = done;
        self.start = end;
        self.compact();
        Ok(())
    }

    /// A new link of the same worker, which has dealt with so many frames: the rest goes again.
    ///
    /// # Errors
    /// When it says what cannot be; nothing has changed then.
    pub fn resume(&mut self, received_frames: u64) -> Result<(), FalseCredit> {
        self.resume_with(received_frames, |_| {})
    }

    /// The same; `look` is shown the frames that are not kept any more.
    ///
    /// # Errors
    /// When it says what cannot be; nothing has changed then.
    pub fn resume_with(
        &mut self,
        received_frames: u64,
        look: impl FnOnce(&[u8]),
    ) -> Result<(), FalseCredit> {
        let count = received_frames
            .checked_sub(self.done.frames)
            .ok_or(FalseCredit)?;
        let count = usize::try_from(count).map_err(|_| FalseCredit)?;
        if count > self.lengths.len() {
            return Err(FalseCredit);
        }
        let bytes = self.bytes_of_oldest(count);
        let done = Sum {
            frames: received_frames,
            bytes: self.done.bytes + bytes,
        };
        self.credit_with(done, look)?;
        self.handed = self.start;
        Ok(())
    }

    fn bytes_of_oldest(&self, frames: usize) -> u64 {
        let lengths = self.lengths.range(..frames);
        lengths.map(|bytes| u64::from(*bytes)).sum()
    }

    /// What was dealt with moves out when it is the larger part: each byte is moved less than once for each that was sent.
    fn compact(&mut self) {
        if self.start * 2 >= self.bytes.len() {
            self.bytes.drain(..self.start);
            self.handed -= self.start;
            self.start = 0;
        }
        // What a burst took goes back.
        if self.bytes.is_empty() {
            self.bytes.shrink_to(64 << 10);
        }
    }
}

/// The receiver's side.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    window: Window,
    received: Sum,
    dealt: Sum,
    told: Sum,
}

/// The peer sent more than the window allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

impl Incoming {
    /// Nothing was received yet.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self {
            window,
            received: Sum::default(),
            dealt: Sum::default(),
            told: Sum::default(),
        }
    }

    /// A counted frame came.
    ///
    /// # Errors
    /// When the peer must not have sent it yet.
    pub const fn receive(&mut self, frame_bytes: usize) -> Result<(), Overrun> {
        if !self.received.has_room(self.told, self.window, frame_bytes) {
            return Err(Overrun);
        }
        self.received.add(frame_bytes);
        Ok(())
    }

    /// The oldest frame that was not dealt with is dealt with.
    ///
    /// # Panics
    /// When there is none.
    pub fn deal(&mut self, frame_bytes: usize) {
        self.dealt.add(frame_bytes);
        assert!(
            self.dealt.frames <= self.received.frames,
            "dealt with twice"
        );
    }

    /// What to say in CREDIT now, if it is worth a frame: a quarter of the window, or, when it is time for it, anything.
    pub const fn credit(&mut self, is_time: bool) -> Option<Sum> {
        let frames = self.dealt.frames - self.told.frames;
        let bytes = self.dealt.bytes - self.told.bytes;
        let is_much =
            frames >= self.window.frames as u64 / 4 || bytes >= self.window.bytes as u64 / 4;
        if frames == 0 || !(is_time || is_much) {
            return None;
        }
        self.told = self.dealt;
        Some(self.told)
    }

    /// The link is gone: what was received and not dealt with will come again. Says how many frames were dealt with.
    pub const fn resume(&mut self) -> u64 {
        self.received = self.dealt;
        self.told = self.dealt;
        self.dealt.frames
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;
    use std::collections::VecDeque;

    const SMALL: Window = Window {
        frames: 8,
        bytes: 100,
    };

    fn push(outgoing: &mut Outgoing, number: u64, bytes: usize) {
        outgoing.push(|out| {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&(bytes as u32).to_le_bytes());
            out.resize(out.len() + bytes - 12, 0);
        });
    }

    #[test]
    fn the_window_counts_frames_and_bytes() {
        let mut outgoing = Outgoing::new(SMALL);
        for number in 0..8 {
            assert!(outgoing.fits(12));
            push(&mut outgoing, number, 12);
        }
        assert!(!outgoing.fits(1), "eight frames are on the way");
        outgoing.hand_over();
        assert_eq!(
            outgoing.credit(Sum {
                frames: 7,
                bytes: 84
            }),
            Ok(())
        );
        assert!(outgoing.fits(88) && !outgoing.fits(89));
    }

    #[test]
    fn a_frame_larger_than_the_window_goes_alone() {
        let mut outgoing = Outgoing::new(SMALL);
        assert!(outgoing.fits(1000));
        push(&mut outgoing, 0, 1000);
        assert!(!outgoing.fits(1));
        let mut incoming = Incoming::new(SMALL);
        assert_eq!(incoming.receive(1000), Ok(()));
        assert_eq!(incoming.receive(1), Err(Overrun));
        incoming.deal(1000);
        assert_eq!(incoming.receive(1), Err(Overrun), "it was not told yet");
        assert_eq!(
            incoming.credit(false),
            Some(Sum {
                frames: 1,
                bytes: 1000
            })
        );
        assert_eq!(incoming.receive(1), Ok(()));
    }

    #[test]
    fn credit_that_cannot_be_changes_nothing() {
        let mut outgoing = Outgoing::new(SMALL);
        push(&mut outgoing, 0, 12);
        push(&mut outgoing, 1, 20);
        let sum = |frames, bytes| Sum { frames, bytes };
        assert_eq!(
            outgoing.credit(sum(1, 12)),
            Err(FalseCredit),
            "it was not handed over"
        );
        outgoing.hand_over();
        for wrong in [
            sum(3, 32),
            sum(1, 13),
            sum(1, 11),
            sum(2, 12),
            sum(0, 12),
            sum(u64::MAX, 0),
        ] {
            assert_eq!(outgoing.credit(wrong), Err(FalseCredit), "{wrong:?}");
        }
        assert_eq!(outgoing.credit(sum(1, 12)), Ok(()));
        assert_eq!(
            outgoing.credit(sum(1, 12)),
            Ok(()),
            "saying it again is nothing new"
        );
        assert_eq!(outgoing.credit(sum(0, 0)), Err(FalseCredit));
        for wrong in [0, 3, u64::MAX] {
            assert_eq!(outgoing.resume(wrong), Err(FalseCredit), "{wrong}");
        }
        assert!(outgoing.unsent().is_empty());
        assert_eq!(outgoing.resume(1), Ok(()));
        assert_eq!(
            outgoing.unsent().len(),
            20,
            "what is not dealt with goes again"
        );
    }

    #[test]
    fn credit_is_said_when_it_is_worth_a_frame() {
        let mut incoming = Incoming::new(SMALL);
        incoming.receive(10).unwrap();
        assert_eq!(incoming.credit(true), None, "nothing was dealt with");
        incoming.deal(10);
        assert_eq!(incoming.credit(false), None);
        assert_eq!(
            incoming.credit(true),
            Some(Sum {
                frames: 1,
                bytes: 10
            })
        );
        assert_eq!(incoming.credit(true), None);
    }

    /// Two ends and what is on the wire between them; a cut loses the wire.
    struct Run {
        random: Random,
        outgoing: Outgoing,
        incoming: Incoming,
        wire: VecDeque<Vec<u8>>,
        credits: VecDeque<Sum>,
        /// Received and not dealt with.
        waiting: VecDeque<Vec<u8>>,
        next: u64,
        dealt: u64,
        cuts: u32,
    }

    impl Run {
        fn new(seed: u64) -> Self {
            Self {
                random: Random(seed),
                outgoing: Outgoing::new(SMALL),
                incoming: Incoming::new(SMALL),
                wire: VecDeque::new(),
                credits: VecDeque::new(),
                waiting: VecDeque::new(),
                next: 0,
                dealt: 0,
                cuts: 0,
            }
        }

        fn send(&mut self) {
            let bytes = match self.random.below(20) {
                0 => 300,
                other => 12 + other as usize * 2,
            };
            if self.outgoing.fits(bytes) {
                push(&mut self.outgoing, self.next, bytes);
                self.next += 1;
            }
        }

        /// The link takes what there is.
        fn hand_over(&mut self) {
            let mut unsent = self.outgoing.unsent();
            while !unsent.is_empty() {
                let bytes = u32::from_le_bytes(unsent[8..12].try_into().unwrap());
                let (frame, rest) = unsent.split_at(bytes as usize);
                self.wire.push_back(frame.to_vec());
                unsent = rest;
            }
            self.outgoing.hand_over();
        }

        fn receive(&mut self) {
            if let Some(frame) = self.wire.pop_front() {
                assert_eq!(
                    self.incoming.receive(frame.len()),
                    Ok(()),
                    "the sender keeps the window"
                );
                self.waiting.push_back(frame);
            }
        }

        fn deal(&mut self) {
            if let Some(frame) = self.waiting.pop_front() {
                let number = u64::from_le_bytes(frame[..8].try_into().unwrap());
                assert_eq!(number, self.dealt, "nothing is lost, doubled or moved");
                self.dealt += 1;
                self.incoming.deal(frame.len());
            }
            let is_end = self.random.below(3) == 0;
            self.credits.extend(self.incoming.credit(is_end));
        }

        fn hear(&mut self) {
            if let Some(sum) = self.credits.pop_front() {
                assert_eq!(self.outgoing.credit(sum), Ok(()));
            }
        }

        fn cut(&mut self) {
            self.wire.clear();
            self.credits.clear();
            self.waiting.clear();
            let received = self.incoming.resume();
            assert_eq!(self.outgoing.resume(received), Ok(()));
            self.cuts += 1;
        }

        fn step(&mut self) {
            match self.random.below(60) {
                0 => self.cut(),
                1..=19 => self.send(),
                20..=29 => self.hand_over(),
                30..=44 => self.receive(),
                45..=52 => self.deal(),
                _ => self.hear(),
            }
            assert!(
                self.outgoing.bytes.len() < 2 * 400,
                "what is kept is bounded"
            );
        }

        fn finish(&mut self) {
            while self.dealt < self.next {
                self.hand_over();
                self.receive();
                self.deal();
                self.hear();
            }
        }
    }

    #[test]
    fn whatever_is_cut_nothing_is_lost_doubled_or_moved() {
        for seed in 0..200 {
            let mut run = Run::new(seed);
            for _ in 0..2_000 {
                run.step();
            }
            run.finish();
            assert!(
                run.cuts > 5 && run.next > 100,
                "seed {seed}: {} cuts, {} frames",
                run.cuts,
                run.next
            );
        }
    }
}
