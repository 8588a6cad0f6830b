//! What the shard of the links and the shards of the clients say to each other. It comes from ourselves: what does not decode is our bug.

use super::applications::AppId;
use super::parsing::Parser;
use super::pressure::Hold;
use super::shares::Weights;
use super::worker::WorkerId;
use ringway_proto::link::{Movement, Part};
use serde::{Deserialize, Serialize};

/// The first byte of such a message; those of rooms begin with a small number.
pub(crate) const MAIL: u8 = 0xff;

/// A namespace of the application, on all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SpaceId(pub(crate) u32);

/// A client as links know it: never used twice within an epoch. Its shard stands in the bits from the 40th on: a daemon has 64 shards at
/// most, so that JavaScript counts as far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ClientNumber(pub(crate) u64);

impl ClientNumber {
    const SHARD_SHIFT: u32 = 40;

    pub(crate) const fn new(shard: u16, count: u64) -> Self {
        assert!(
            count < 1 << Self::SHARD_SHIFT,
            "a shard has had 2^40 clients"
        );
        Self((shard as u64) << Self::SHARD_SHIFT | count)
    }

    pub(crate) const fn shard(self) -> u16 {
        (self.0 >> Self::SHARD_SHIFT) as u16
    }
}

/// What a client has said and no worker has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said<'a> {
    pub(crate) is_binary: bool,
    pub(crate) body: &'a [u8],
}

impl<'a> Said<'a> {
    pub(crate) const fn text(text: &'a str) -> Self {
        Self {
            is_binary: false,
            body: text.as_bytes(),
        }
    }

    /// The same on a link.
    pub(crate) fn part(&self) -> Option<Part<'a>> {
        match self.is_binary {
            true => Some(Part::Binary(self.body)),
            false => core::str::from_utf8(self.body).ok().map(Part::Text),
        }
    }
}

/// From a client's shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToLinks<'a> {
    /// A client wants a worker, or answers [`ToClients::Again`]: the body of OPEN or RESUME, and the CONNECTs that no worker has answered.
    Open {
        client: ClientNumber,
        app: AppId,
        resumes: bool,
        /// The one that let it in, and knows more of its request than the request says.
        worker: Option<u64>,
        /// What decides who its worker is, if anything does.
        affinity: Option<u64>,
        json: &'a str,
        #[serde(borrow)]
        connects: Vec<Said<'a>>,
    },
    /// A frame of a client that has asked for a worker before.
    Frame {
        client: ClientNumber,
        kind: u8,
        flags: u8,
        /// Attachments of the same packet follow.
        has_more: bool,
        #[serde(borrow)]
        body: &'a [u8],
    },
    /// May this request come in? The body of HS_REQ.
    Ask {
        shard: u16,
        question: u32,
        affinity: Option<u64>,
        json: &'a str,
    },
    /// A shard does what the application wants, as it was told.
    Obeyed,
    /// A request was refused: the body of CONN_ERROR.
    Refused { json: &'a str },
    /// The answer to the same word.
    Entered {
        client: ClientNumber,
        space: SpaceId,
    },
    /// A client has asked for a namespace that the application does not have, and may not have beside those that it has.
    Crowded { app: AppId, name: &'a str },
    /// Who is to wait, as clients of this shard have more before them than they can take in a moment; and of whom that is.
    Pressed {
        shard: u16,
        hold: Hold,
        /// Whether it is a good part of its clients that could not follow lately, and not a few that read slowly.
        is_many: bool,
        weights: Weights,
    },
    /// So many bytes of mail of the links were dealt with on this shard.
    Carried { shard: u16, bytes: u64 },
    /// So many clients of a shard were asked by a broadcast.
    Asked { number: u64, clients: u32 },
    /// One of them has answered: its packet.
    Answer {
        number: u64,
        #[serde(borrow)]
        parts: Vec<Said<'a>>,
    },
    /// What a MOVE did to clients of this shard, each in the namespace of that name.
    Moved {
        /// The shard, if that is the answer to a MOVE: each shard answers each, in their order.
        answers: Option<u16>,
        namespace: &'a str,
        what: Movement,
        /// The rooms of the MOVE.
        #[serde(borrow)]
        places: Vec<&'a str>,
        #[serde(borrow)]
        sockets: Vec<MovedSocket<'a>>,
    },
    /// The client is gone; the body of CLOSE, and its sockets that may come back.
    Closed {
        client: ClientNumber,
        app: AppId,
        #[serde(borrow)]
        body: &'a [u8],
        #[serde(borrow)]
        sockets: Vec<LeftSocket<'a>>,
    },
}

/// What became of one socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MovedSocket<'a> {
    pub(crate) client: ClientNumber,
    pub(crate) sid: &'a str,
    pub(crate) known: u32,
    /// Which of the rooms it has joined or left: a bit for each.
    pub(crate) places: u64,
}

/// A socket with a private id whose client is gone, as its worker described it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftSocket<'a> {
    pub(crate) space: SpaceId,
    pub(crate) sid: &'a str,
    pub(crate) pid: &'a str,
    /// Its own is left out.
    pub(crate) rooms: Vec<&'a str>,
    pub(crate) data: &'a str,
}

/// To the clients' shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToClients<'a> {
    /// The name of a namespace, and whose it is, before it is used.
    Space {
        space: SpaceId,
        app: AppId,
        name: &'a str,
    },
    /// A frame of a worker; those of no single client have the number that no client has.
    Frame {
        client: Option<ClientNumber>,
        space: Option<SpaceId>,
        /// Who says it.
        worker: WorkerId,
        kind: u8,
        flags: u8,
        #[serde(borrow)]
        body: &'a [u8],
    },
    /// What the application wants: the body of BIND.
    Bound { json: &'a str },
    /// What became of a question.
    Judged {
        question: u32,
        #[serde(borrow)]
        said: Ruling<'a>,
    },
    /// Nobody waits for answers to a broadcast any more.
    Answered { number: u64 },
    /// How the application's packets are encoded from now on.
    Parser { parser: Parser },
    /// Nobody has the namespace any more, or another application.
    Gone { space: SpaceId, is_given: bool },
    /// The client has come back to its socket: its shard says so, too, unless the client was gone before.
    Entered {
        client: ClientNumber,
        space: SpaceId,
    },
    /// The client is in a namespace that there cannot be.
    Refused { client: ClientNumber },
    /// The client is in a namespace that has become another application's.
    Moved { client: ClientNumber },
    /// So much of what the client's frames cost is on the link, or of use to nobody.
    Dealt { client: ClientNumber, bytes: u32 },
    /// The client's worker is gone and there is another: say again what OPEN said.
    Again { client: ClientNumber },
    /// The client has left the namespace; its worker was sent that and is gone, and nobody else will hear it.
    Left { client: ClientNumber, name: &'a str },
    /// The client's worker is gone, and none came in time.
    Lost { client: ClientNumber },
    /// The client's worker is gone, and with it an answer that the client waits for.
    Unanswered { client: ClientNumber },
    /// Every worker is failing, and clients are not to wait.
    Failing { client: ClientNumber },
    /// Workers die on the client.
    Dismissed { client: ClientNumber },
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ruling<'a> {
    /// A worker has answered: the body of HS_RES.
    Answer { worker: u64, json: &'a str },
    /// None has, in time.
    Late,
    /// There was none, all the time.
    Away,
    /// Those that there are fail, and clients are not to wait for others.
    Failing,
    /// There are as many questions as there may be.
    Busy,
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    let bytes = vec![MAIL];
    postcard::to_extend(message, bytes).expect("these shapes always serialise")
}

fn decode<'a, M: Deserialize<'a>>(bytes: &'a [u8]) -> M {
    let message = bytes.split_first().filter(|(first, _)| **first == MAIL);
    let message = message.map(|(_, rest)| postcard::from_bytes(rest));
    message
        .expect("its first byte was looked at")
        .expect("messages between our own shards decode")
}

impl<'a> ToLinks<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Self {
        decode(bytes)
    }
}

impl<'a> ToClients<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Self {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_its_shard() {
        let number = ClientNumber::new(63, (1 << 40) - 1);
        assert_eq!((number.shard(), number.0), (63, 0x3fff_ffff_ffff));
        assert!(number.0 < 1 << 53);
    }

    #[test]
    fn mail_comes_back() {
        let client = ClientNumber::new(3, 9);
        let body = &[0, 255, 7][..];
        let frame = ToLinks::Frame {
            client,
            kind: 17,
            flags: 64,
            has_more: true,
            body,
        };
        assert_eq!(ToLinks::decode(&frame.encode()), frame);
        let space = Some(SpaceId(4));
        let frame = ToClients::Frame {
            client: None,
            space,
            worker: WorkerId(9),
            kind: 37,
            flags: 0,
            body,
        };
        assert_eq!(ToClients::decode(&frame.encode()), frame);
        assert_eq!(frame.encode()[0], MAIL);
    }
}
