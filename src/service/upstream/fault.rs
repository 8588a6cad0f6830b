//! What a link does wrong: each has a code of docs/link.md "Errors", is told to the peer, and ends the link.

use ringway_proto::link::LinkError;

/// A peer's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Within a frame.
    Frame(LinkError),
    /// A frame that has no place in this state.
    Turn(&'static str),
    /// No common version.
    Version([u32; 2]),
    /// A proof that is wrong.
    Proof,
    /// More than the window allows.
    Window,
    /// Credit for what was never sent.
    Credit,
    /// Something that this peer may not have.
    NotAllowed(&'static str),
    /// More of something than there may be.
    TooMany(&'static str),
    /// A packet that is to be kept and has no list of arguments.
    NoOffset,
    /// What a worker may say, said by an emitter.
    NoWorker(&'static str),
    /// A parser that the application's other workers do not have.
    OtherParser,
    /// A parser of the application's own, where clients speak to the daemon's namespaces as well.
    ParserBesideNative,
    /// A namespace that is another application's.
    OtherApplication,
    /// Questions about requests, of an application that is not the main one.
    AskedBeside,
    /// A parser of an application's own, where clients speak to several.
    ParserBesideOthers,
    /// It has said nothing for too long.
    Silent,
    /// It has dealt with nothing for too long.
    Stalled,
    /// It has answered no CONNECT for too long.
    Unanswered,
    /// It has said more than others can take, for too long.
    Flooded,
}

impl Fault {
    /// Whether a worker that says so again and again is to be kept away. One of another version waits for the others to go, and is sound.
    pub(super) const fn is_lie(&self) -> bool {
        !matches!(self, Self::Silent | Self::OtherParser)
    }

    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Frame(error) => error.code(),
            Self::Turn(_) => "out-of-turn",
            Self::Version(_) => "version",
            Self::Proof => "proof",
            Self::Window | Self::Credit => "window",
            Self::NotAllowed(_)
            | Self::NoWorker(_)
            | Self::OtherParser
            | Self::OtherApplication
            | Self::AskedBeside
            | Self::ParserBesideOthers
            | Self::ParserBesideNative => "not-allowed",
            Self::TooMany(_) => "too-many",
            Self::NoOffset => "bad-value",
            Self::Silent => "silent",
            Self::Stalled | Self::Unanswered => "stalled",
            Self::Flooded => "flooded",
        }
    }
}

impl From<LinkError> for Fault {
    fn from(error: LinkError) -> Self {
        Self::Frame(error)
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Turn(what) => write!(f, "{what} has no place here"),
            Self::Version([major, minor]) => {
                write!(f, "version 1 is spoken here, not {major}.{minor}")
            }
            Self::Proof => f.write_str("the proof is wrong: are both secrets the same?"),
            Self::Window => f.write_str("more frames than the window allows"),
            Self::Credit => f.write_str("credit for what was never sent, or less than before"),
            Self::NotAllowed(what) => write!(f, "this {what} may not join here"),
            Self::NoWorker(what) => write!(f, "an emitter may not say {what}"),
            Self::OtherParser => f.write_str("the application's other workers have another parser"),
            Self::ParserBesideNative => f.write_str(
                "a parser of one's own has no place beside namespaces.native: clients have one parser for all namespaces",
            ),
            Self::OtherApplication => {
                f.write_str("the namespace is another application's (link.applications)")
            }
            Self::AskedBeside => f.write_str(
                "about requests link.application is asked alone: rpc is none here, and a middleware of the namespace may refuse clients",
            ),
            Self::ParserBesideOthers => f.write_str(
                "a parser of one's own has no place beside other applications: clients have one parser for all namespaces",
            ),
            Self::TooMany(what) => write!(f, "there are too many {what}"),
            Self::NoOffset => {
                f.write_str("a packet with RECOVER has no arguments to put an offset behind")
            }
            Self::Silent => f.write_str("nothing was said for too long"),
            Self::Stalled => f.write_str("nothing was dealt with for too long"),
            Self::Unanswered => f.write_str("no CONNECT was answered for too long"),
            Self::Flooded => f.write_str("more was said than clients can take, for too long"),
        }
    }
}
