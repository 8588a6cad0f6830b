//! What may be wrong with a stream: what happened, and what to do about it.

use core::fmt;

/// What a stream was supposed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, which HTTP calls `deflate`.
    Zlib,
    /// RFC 1951 without a wrapper.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// The frame format of LZ4.
    Lz4,
    /// RFC 8878.
    Zstd,
    /// What [`crypt`](crate::crypt) makes.
    Encrypted,
    /// What [`mux`](crate::mux) makes.
    Mux,
}

impl Format {
    /// Its name, as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
            Self::Brotli => "brotli",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Encrypted => "encrypted",
            Self::Mux => "multiplexed",
        }
    }
}

/// Why a stream cannot go on. Each says whose fault it is by what it asks to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The bytes are not of the format.
    Malformed {
        /// What they should have been.
        format: Format,
        /// What is wrong with them.
        what: &'static str,
    },
    /// The input ended too early.
    Truncated {
        /// What it should have been.
        format: Format,
    },
    /// Something follows behind the end.
    TrailingBytes {
        /// What had ended.
        format: Format,
    },
    /// A kind of stream that the format allows and this reader does not read.
    Unsupported {
        /// The format.
        format: Format,
        /// What is not read.
        what: &'static str,
    },
    /// A reader of the stream would need more memory than it may have.
    WindowTooLarge {
        /// The format.
        format: Format,
        /// The window, or block, that is allowed.
        bytes_max: u64,
    },
    /// The output would be longer than the caller allowed.
    OutputTooLong {
        /// What it allowed.
        bytes_max: u64,
    },
    /// The output is larger beside its input than the caller allowed.
    RatioTooHigh {
        /// How many times the input it allowed.
        ratio_max: u32,
    },
    /// The compressor had no memory.
    OutOfMemory {
        /// The format.
        format: Format,
    },
    /// A segment does not fit its tag.
    Forged {
        /// Which, from 0.
        segment: u32,
    },
    /// A wrapped key does not fit its tag.
    KeyRefused,
    /// A length that no encrypted stream has.
    LengthImpossible {
        /// The length.
        bytes: u64,
    },
    /// More than the nonces of one key suffice for.
    TooLong {
        /// The most.
        bytes_max: u64,
    },
    /// A line is longer than the caller allowed.
    LineTooLong {
        /// What it allowed.
        bytes_max: usize,
    },
    /// A channel whose number is not one that may come now.
    ChannelUnknown {
        /// Its number.
        channel: u32,
    },
    /// A channel too many.
    ChannelsTooMany {
        /// How many there may be.
        channels_max: u32,
    },
    /// More bytes on a channel than its credit.
    CreditExceeded {
        /// Which channel.
        channel: u32,
    },
    /// Somebody pushed into a stage that was told that there is no more.
    PushAfterFinish,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { format, what } => {
                write!(f, "not a sound {} stream ({what}): ", format.name())?;
                write!(f, "have it made anew, or fetched again")
            }
            Self::Truncated { format } => {
                write!(f, "the {} stream ends before its end mark: ", format.name())?;
                write!(f, "fetch the rest of it")
            }
            Self::TrailingBytes { format } => {
                write!(f, "bytes follow the end of the {} stream: ", format.name())?;
                write!(f, "cut them off, or decode what they are by itself")
            }
            Self::Unsupported { format, what } => {
                write!(f, "a {} stream with {what} is not read: ", format.name())?;
                write!(f, "have it made without")
            }
            Self::WindowTooLarge { format, bytes_max } => {
                write!(
                    f,
                    "this {} stream needs a window of more than ",
                    format.name()
                )?;
                write!(
                    f,
                    "{bytes_max} bytes: have it made with a smaller one, or raise the limit"
                )
            }
            Self::OutputTooLong { bytes_max } => {
                write!(f, "the stream decodes to more than {bytes_max} bytes: ")?;
                write!(f, "refuse it, or raise the limit")
            }
            Self::RatioTooHigh { ratio_max } => {
                write!(
                    f,
                    "the stream decodes to more than {ratio_max} times its size, "
                )?;
                write!(
                    f,
                    "as decompression bombs do: refuse it, or raise the limit"
                )
            }
            Self::OutOfMemory { format } => {
                write!(
                    f,
                    "no memory for {}: try again when less is going on",
                    format.name()
                )
            }
            Self::Forged { segment } => {
                write!(
                    f,
                    "segment {segment} does not fit its tag: bytes were changed, moved, cut "
                )?;
                write!(
                    f,
                    "off or put in, or the key is another file's; take a copy that is whole"
                )
            }
            Self::KeyRefused => {
                write!(
                    f,
                    "the wrapped key does not fit its tag: it was changed or belongs to "
                )?;
                write!(
                    f,
                    "another file, or this is not the master key that it names"
                )
            }
            Self::LengthImpossible { bytes } => {
                write!(
                    f,
                    "no encrypted stream is {bytes} bytes long: it was cut off or added to; "
                )?;
                write!(f, "take a copy that is whole")
            }
            Self::TooLong { bytes_max } => {
                write!(
                    f,
                    "one key encrypts at most {bytes_max} bytes: divide the file"
                )
            }
            Self::LineTooLong { bytes_max } => {
                write!(f, "a line is longer than {bytes_max} bytes: ")?;
                write!(f, "is it a text at all? Raise the limit if so")
            }
            Self::ChannelUnknown { channel } => {
                write!(f, "channel {channel} was never opened, or has ended: ")?;
                write!(f, "the sender is at fault; close the stream")
            }
            Self::ChannelsTooMany { channels_max } => {
                write!(f, "more than {channels_max} channels are open: ")?;
                write!(f, "end some first, or agree on more")
            }
            Self::CreditExceeded { channel } => {
                write!(f, "channel {channel} was sent more than its credit: ")?;
                write!(f, "the sender is at fault; close the stream")
            }
            Self::PushAfterFinish => {
                write!(f, "a stage was pushed after it was told to finish: ")?;
                write!(
                    f,
                    "this is a bug of the caller; make a new stage for a new stream"
                )
            }
        }
    }
}

impl core::error::Error for StreamError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_happened_and_what_to_do() {
        let (format, what) = (Format::Lz4, "a dictionary");
        let said = StreamError::Unsupported { format, what }.to_string();
        assert_eq!(
            said,
            "a lz4 stream with a dictionary is not read: have it made without"
        );
        let said = StreamError::LineTooLong { bytes_max: 80 }.to_string();
        assert!(said.starts_with("a line is longer than 80 bytes"));
    }
}
