//! The receiving side of a multiplexed stream.

use super::Agreement;
use super::frame::{self, Decoder, Head, Item, Kind, PREFACE_BYTES, Side, malformed};
use crate::{Format, StreamError};
use std::collections::{BTreeMap, BTreeSet};

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A channel.
    Open {
        /// Its number.
        channel: u32,
    },
    /// Bytes of it, which cost its credit until [`Receiver::release`].
    Data {
        /// Which channel's.
        channel: u32,
        /// As many as came at once.
        bytes: &'a [u8],
    },
    /// It is complete.
    End {
        /// Which channel.
        channel: u32,
    },
    /// It is not complete, and never will be.
    Reset {
        /// Which channel.
        channel: u32,
        /// Why; [`STOPPED`](super::STOPPED) if [`Receiver::stop`] was the reason.
        code: u32,
    },
}

/// Channels to receive from. It holds nothing of what comes, and counts what its owner has not released.
#[derive(Debug)]
pub struct Receiver {
    agreement: Agreement,
    /// What the preface says, once it is there.
    window: Option<u32>,
    preface: Head,
    decoder: Decoder,
    channels: BTreeMap<u32, Channel>,
    /// The number of the channel that is opened next.
    next: u32,
    /// Channels with a CREDIT or STOP to send.
    due: BTreeSet<u32>,
    head: Head,
    error: Option<StreamError>,
}

#[derive(Debug)]
struct Channel {
    /// What the sender may send.
    credit: u32,
    /// What was given to the owner, and not released.
    held: u32,
    /// What was released, and not told to the sender.
    owed: u32,
    stop: Option<Stop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Wanted,
    Sent,
}

impl Receiver {
    /// Nothing came yet.
    #[must_use]
    pub fn new(agreement: Agreement) -> Self {
        Self {
            agreement,
            window: None,
            preface: Head::default(),
            decoder: Decoder::new(Side::Sender),
            channels: BTreeMap::new(),
            next: 1,
            due: BTreeSet::new(),
            head: Head::default(),
            error: None,
        }
    }

    /// The next event of the input, which is shortened by it; `None` when all of it is used up.
    ///
    /// # Errors
    /// What is wrong with it; from then on for ever.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, StreamError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let event = self.event(input);
        if let Err(error) = &event {
            self.error = Some(error.clone());
        }
        event
    }

    fn event<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, StreamError> {
        let Some(window) = self.begin(input)? else {
            return Ok(None);
        };
        while let Some(item) = self.decoder.next(input)? {
            if let Some(event) = self.judge(item, window)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The window, once the preface is there.
    fn begin(&mut self, input: &mut &[u8]) -> Result<Option<u32>, StreamError> {
        if self.window.is_none() && self.preface.gather(input, PREFACE_BYTES) {
            let window = self.preface.window()?;
            if window == 0 || window > self.agreement.window_bytes {
                return Err(malformed("its window is not the one that was agreed on"));
            }
            self.window = Some(window);
        }
        Ok(self.window)
    }

    fn judge<'a>(&mut self, item: Item<'a>, window: u32) -> Result<Option<Event<'a>>, StreamError> {
        match item {
            Item::Begin { channel, bytes } => self.charge(channel, bytes).map(|()| None),
            Item::Data { channel, bytes } => Ok(self.data(channel, bytes)),
            Item::Frame {
                channel,
                kind: Kind::Open,
                ..
            } => self.open(channel, window).map(Some),
            Item::Frame {
                channel,
                kind,
                number: code,
            } => {
                self.due.remove(&channel);
                let removed = self.channels.remove(&channel);
                removed.ok_or(StreamError::ChannelUnknown { channel })?;
                Ok(Some(match kind {
                    Kind::Reset => Event::Reset { channel, code },
                    _ => Event::End { channel },
                }))
            }
        }
    }

    fn open(&mut self, channel: u32, window: u32) -> Result<Event<'static>, StreamError> {
        let channels_max = self.agreement.channels_max;
        if self.channels.len() >= channels_max as usize {
            return Err(StreamError::ChannelsTooMany { channels_max });
        }
        let after = channel.checked_add(1).filter(|_| channel == self.next);
        self.next = after.ok_or(StreamError::ChannelUnknown { channel })?;
        let new = Channel {
            credit: window,
            held: 0,
            owed: 0,
            stop: None,
        };
        self.channels.insert(channel, new);
        Ok(Event::Open { channel })
    }

    /// A frame's bytes cost credit when its header is there, before any of them.
    fn charge(&mut self, number: u32, bytes: u32) -> Result<(), StreamError> {
        let channel = self.channels.get_mut(&number);
        let channel = channel.ok_or(StreamError::ChannelUnknown { channel: number })?;
        let left = channel.credit.checked_sub(bytes);
        channel.credit = left.ok_or(StreamError::CreditExceeded { channel: number })?;
        Ok(())
    }

    fn data<'a>(&mut self, number: u32, bytes: &'a [u8]) -> Option<Event<'a>> {
        let channel = self.channels.get_mut(&number);
        let channel = channel.expect("a channel does not end within its frame");
        channel.held += bytes.len() as u32;
        // Who stopped hears no more.
        channel.stop.is_none().then_some(Event::Data {
            channel: number,
            bytes,
        })
    }

    /// The owner has done with so many bytes of a channel: its sender may send as many more. More than were given count as all that were.
    pub fn release(&mut self, number: u32, bytes: usize) {
        let (Some(channel), Some(window)) = (self.channels.get_mut(&number), self.window) else {
            return;
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(channel.held);
        channel.held -= bytes;
        channel.owed += bytes;
        // Told in halves of a window, not each time: a frame for each read would cost as much as the bytes.
        if channel.owed >= window.div_ceil(2) && channel.stop.is_none() {
            self.due.insert(number);
        }
    }

    /// Nothing more of a channel is wanted: no DATA of it is an event any more, END or RESET will be.
    pub fn stop(&mut self, number: u32) {
        if let Some(channel) = self.channels.get_mut(&number)
            && channel.stop.is_none()
        {
            channel.stop = Some(Stop::Wanted);
            self.due.insert(number);
        }
    }

    /// Gives bytes for the sender; how many.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let mut written = 0;
        while self.head.give(out, &mut written) {
            let Some(number) = self.due.pop_first() else {
                break;
            };
            let channel = self.channels.get_mut(&number).expect("what is due is open");
            self.head = match channel.stop {
                Some(_) => {
                    channel.stop = Some(Stop::Sent);
                    frame::encode(number, Kind::Stop, 0, None)
                }
                None => {
                    let bytes = core::mem::take(&mut channel.owed);
                    channel.credit += bytes;
                    frame::encode(number, Kind::Credit, 4, Some(bytes))
                }
            };
        }
        written
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`StreamError::Truncated`] when it ended within a frame, or with a channel open.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let within = self.window.is_none() || self.decoder.is_within();
        if within || !self.channels.is_empty() {
            let error = StreamError::Truncated {
                format: Format::Mux,
            };
            self.error = Some(error.clone());
            return Err(error);
        }
        Ok(())
    }

    /// The most memory that it ever owns: numbers only.
    #[must_use]
    pub const fn memory_bytes_max(&self) -> usize {
        let channel = 2 * (size_of::<Channel>() + 3 * size_of::<u32>()) + 64;
        self.agreement.channels_max as usize * channel
    }
}
