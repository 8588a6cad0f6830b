//! Two stages, one behind the other, are a stage. So are more: chains of chains, of `Box<dyn Stage>` where their number is not known before.

use crate::life::Life;
use crate::{Next, Progress, Stage, StreamError};

/// The first stage's output is the second one's input.
///
/// Between them is a buffer of a fixed size, which is what the first one has as room: it never runs ahead by more.
#[derive(Debug)]
pub struct Chain<A, B> {
    first: A,
    second: B,
    buffer: Box<[u8]>,
    /// What of the buffer waits for the second stage.
    start: usize,
    end: usize,
    /// Whether the first stage has ended.
    drained: bool,
    life: Life,
}

impl<A: Stage, B: Stage> Chain<A, B> {
    /// The buffer of [`Chain::new`].
    pub const BUFFER_BYTES: usize = 16 * 1024;

    /// `first`, then `second`.
    pub fn new(first: A, second: B) -> Self {
        Self::with_buffer(first, second, Self::BUFFER_BYTES)
    }

    /// The same with a buffer of another size; one of 0 bytes is made 1.
    pub fn with_buffer(first: A, second: B, bytes: usize) -> Self {
        Self {
            first,
            second,
            buffer: vec![0; bytes.max(1)].into(),
            start: 0,
            end: 0,
            drained: false,
            life: Life::Open,
        }
    }

    /// Gives what waits to the second stage, behind `written` bytes of output. Says why it stopped, unless it was for want of input.
    fn forward(
        &mut self,
        out: &mut [u8],
        written: &mut usize,
    ) -> Result<Option<Next>, StreamError> {
        let waiting = &self.buffer[self.start..self.end];
        let progress = self.second.push(waiting, &mut out[*written..])?;
        self.start += progress.consumed;
        *written += progress.written;
        Ok((progress.next != Next::Input).then_some(progress.next))
    }

    /// Takes what the first stage made in its whole buffer, and says why it stopped, unless it was for want of room.
    const fn refill(&mut self, progress: Progress) -> Option<Next> {
        (self.start, self.end) = (0, progress.written);
        match progress.next {
            Next::Room => None,
            next => Some(next),
        }
    }

    fn pushed(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let (mut consumed, mut written, mut stopped) = (0, 0, None);
        loop {
            if let Some(next) = self.forward(out, &mut written)? {
                return Ok(Progress::new(consumed, written, next));
            }
            // The second stage took all there was, and the first one has no more.
            if let Some(next) = stopped {
                return Ok(Progress::new(consumed, written, next));
            }
            let progress = self.first.push(&input[consumed..], &mut self.buffer)?;
            consumed += progress.consumed;
            stopped = self.refill(progress);
        }
    }

    fn finished(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let mut written = 0;
        while !self.drained || self.start < self.end {
            if let Some(next) = self.forward(out, &mut written)? {
                return Ok(Progress::new(0, written, next));
            }
            if self.drained {
                break;
            }
            let progress = self.first.finish(&mut self.buffer)?;
            match self.refill(progress) {
                Some(Next::End) => self.drained = true,
                Some(next) if progress.written == 0 => return Ok(Progress::new(0, written, next)),
                _ => {}
            }
        }
        let progress = self.second.finish(&mut out[written..])?;
        Ok(Progress::new(0, written + progress.written, progress.next))
    }
}

impl<A: Stage, B: Stage> Stage for Chain<A, B> {
    fn push(&mut self, input: &[u8], out: &mut [u8]) -> Result<Progress, StreamError> {
        let mut life = core::mem::take(&mut self.life);
        let progress = life.push(out.len(), || self.pushed(input, out));
        self.life = life;
        progress
    }

    fn finish(&mut self, out: &mut [u8]) -> Result<Progress, StreamError> {
        let mut life = core::mem::take(&mut self.life);
        let progress = life.finish(out.len(), || self.finished(out));
        self.life = life;
        progress
    }

    fn tick(&mut self, now_us: u64) {
        self.first.tick(now_us);
        self.second.tick(now_us);
    }

    fn memory_bytes_max(&self) -> usize {
        let stages = self.first.memory_bytes_max() + self.second.memory_bytes_max();
        stages + self.buffer.len()
    }
}
