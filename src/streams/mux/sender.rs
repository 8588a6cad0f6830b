//! The sending side of a multiplexed stream.

use super::frame::{self, Decoder, Head, Item, Kind, Side, malformed};
use super::{Agreement, PAYLOAD_BYTES_MAX, STOPPED};
use crate::StreamError;
use crate::tee::copy;
use std::collections::{BTreeMap, VecDeque};

/// Channels to send on. Each has a queue as long as its window; those that have something and credit take turns, a frame each.
#[derive(Debug)]
pub struct Sender {
    agreement: Agreement,
    channels: BTreeMap<u32, Channel>,
    /// The number of the next channel.
    next: u32,
    /// The channel that had the last turn.
    turn: u32,
    /// Channels whose OPEN was not sent yet: all from this number on.
    unopened: u32,
    head: Head,
    /// Of the frame that is being given: its channel, and what of it is to come.
    data: Option<(u32, usize)>,
    back: Decoder,
    error: Option<StreamError>,
}

#[derive(Debug)]
struct Channel {
    queue: VecDeque<u8>,
    credit: u32,
    close: Option<Close>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// When the queue has gone.
    End,
    /// At once.
    Reset(u32),
}

impl Sender {
    /// No channel is open yet.
    #[must_use]
    pub fn new(agreement: Agreement) -> Self {
        Self {
            agreement,
            channels: BTreeMap::new(),
            next: 1,
            turn: 0,
            unopened: 1,
            head: frame::preface(agreement.window_bytes),
            data: None,
            back: Decoder::new(Side::Receiver),
            error: None,
        }
    }

    /// Opens a channel; its number.
    ///
    /// # Errors
    /// [`StreamError::ChannelsTooMany`]: end one first, and see its END go.
    pub fn open(&mut self) -> Result<u32, StreamError> {
        let channels_max = self.agreement.channels_max;
        let number = self.next;
        let after = number.checked_add(1);
        let (Some(after), true) = (after, self.channels.len() < channels_max as usize) else {
            return Err(StreamError::ChannelsTooMany { channels_max });
        };
        self.next = after;
        let channel = Channel {
            queue: VecDeque::new(),
            credit: self.agreement.window_bytes,
            close: None,
        };
        self.channels.insert(number, channel);
        Ok(number)
    }

    /// Takes bytes for a channel; how many. None for a channel that was ended or stopped: whoever has more for it asks [`Sender::is_open`].
    pub fn push(&mut self, channel: u32, input: &[u8]) -> usize {
        let queue_bytes_max = self.agreement.window_bytes as usize;
        let Some(channel) = self.channels.get_mut(&channel) else {
            return 0;
        };
        if channel.close.is_some() {
            return 0;
        }
        let taken = input.len().min(queue_bytes_max - channel.queue.len());
        channel.queue.extend(&input[..taken]);
        taken
    }

    /// Whether a channel takes bytes: not ended, reset, or stopped by the receiver.
    #[must_use]
    pub fn is_open(&self, channel: u32) -> bool {
        let channel = self.channels.get(&channel);
        channel.is_some_and(|channel| channel.close.is_none())
    }

    /// The channel is complete.
    pub fn end(&mut self, channel: u32) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.close.get_or_insert(Close::End);
        }
    }

    /// The channel will not be complete. What is queued for it goes nowhere.
    pub fn reset(&mut self, channel: u32, code: u32) {
        // What a frame has promised is still given.
        let promised = self.data.filter(|(current, _)| *current == channel);
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.queue.truncate(promised.map_or(0, |(_, left)| left));
            channel.close = Some(Close::Reset(code));
        }
    }

    /// What the receiver sent back.
    ///
    /// # Errors
    /// What is wrong with it; from then on for ever.
    pub fn back(&mut self, mut input: &[u8]) -> Result<(), StreamError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        loop {
            let item = self.back.next(&mut input);
            match item.and_then(|item| item.map(|item| self.obey(item)).transpose()) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.error = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    fn obey(&mut self, item: Item<'_>) -> Result<(), StreamError> {
        let Item::Frame {
            channel: number,
            kind,
            number: bytes,
        } = item
        else {
            unreachable!("a receiver sends no DATA, and the decoder knows that");
        };
        // A channel that the receiver cannot have heard of.
        if number == 0 || number >= self.unopened {
            return Err(StreamError::ChannelUnknown { channel: number });
        }
        if kind == Kind::Stop {
            self.reset_if_open(number);
            return Ok(());
        }
        if bytes == 0 {
            return Err(malformed("a CREDIT of nothing"));
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let credit = channel.credit.checked_add(bytes);
        let credit = credit.filter(|credit| *credit <= self.agreement.window_bytes);
        channel.credit = credit.ok_or(malformed("more CREDIT than the window"))?;
        Ok(())
    }

    fn reset_if_open(&mut self, number: u32) {
        if let Some(Channel { close, .. }) = self.channels.get(&number)
            && !matches!(close, Some(Close::Reset(_)))
        {
            self.reset(number, STOPPED);
        }
    }

    /// Gives bytes for the receiver; how many, 0 if there is nothing to send or no credit.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let mut written = 0;
        while self.head.give(out, &mut written) {
            if let Some((number, left)) = self.data {
                let channel = self.channels.get_mut(&number);
                let queue = &mut channel.expect("it waits for its frame").queue;
                let bytes = left.min(out.len() - written);
                copy(queue, 0, &mut out[written..written + bytes]);
                queue.drain(..bytes);
                written += bytes;
                self.data = (bytes < left).then_some((number, left - bytes));
                if self.data.is_some() {
                    break;
                }
            }
            if !self.begin() {
                break;
            }
        }
        written
    }

    /// Whether everything went, of the channels that there are, and each was closed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.channels.is_empty()
    }

    /// The most memory that it ever owns.
    #[must_use]
    pub const fn memory_bytes_max(&self) -> usize {
        let channel = 2 * self.agreement.window_bytes as usize + 2 * size_of::<Channel>() + 64;
        self.agreement.channels_max as usize * channel
    }

    /// Makes the header of the next frame, if there is one to send.
    fn begin(&mut self) -> bool {
        if self.unopened < self.next {
            self.head = frame::encode(self.unopened, Kind::Open, 0, None);
            self.unopened += 1;
            return true;
        }
        let after = self.channels.range(self.turn.saturating_add(1)..);
        let mut in_turn = after.chain(self.channels.range(..=self.turn));
        let ready = in_turn.find(|(_, channel)| channel.is_ready());
        let Some((number, channel)) = ready.map(|(number, channel)| (*number, channel)) else {
            return false;
        };
        self.turn = number;
        match channel.close {
            Some(Close::Reset(code)) => {
                self.head = frame::encode(number, Kind::Reset, 4, Some(code));
                self.channels.remove(&number);
            }
            Some(Close::End) if channel.queue.is_empty() => {
                self.head = frame::encode(number, Kind::End, 0, None);
                self.channels.remove(&number);
            }
            _ => self.begin_data(number),
        }
        true
    }

    fn begin_data(&mut self, number: u32) {
        let channel = self.channels.get_mut(&number).expect("it is ready");
        let bytes = channel.queue.len().min(PAYLOAD_BYTES_MAX);
        let bytes = bytes.min(channel.credit as usize);
        channel.credit -= bytes as u32;
        self.head = frame::encode(number, Kind::Data, bytes, None);
        self.data = Some((number, bytes));
    }
}

impl Channel {
    fn is_ready(&self) -> bool {
        match self.close {
            Some(Close::Reset(_)) => true,
            Some(Close::End) if self.queue.is_empty() => true,
            _ => self.credit > 0 && !self.queue.is_empty(),
        }
    }
}
