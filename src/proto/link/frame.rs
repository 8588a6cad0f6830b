//! A frame with its fields: a table of the bodies in docs/link.md, read and written alike.
//!
//! Deliberately absent: what a frame does, and the connection that it is about, which stands in its header.

use super::HEADER_BYTES;
use super::field::Field;
use super::reader::Reader;
use super::{
    Bind, Challenge, CloseReason, ConnError, Flags, GoAway, Hello, HsRequest, HsResponse, Json,
    Kind, LinkError, Long, Movement, Open, Part, Payload, Phase, Raw, Resume, Side, Transport,
    Welcome, header,
};

macro_rules! frames {
    ($($(#[$doc:meta])* $kind:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        /// A frame with its fields, as far as possible borrowed from the buffer that it is in.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Frame<'a> {
            $($(#[$doc])* $kind { $($(#[$field_doc])* $field: $type,)* },)*
            /// A frame of a later version, which is passed over.
            Later {
                /// Its type, 0x80 or above.
                byte: u8,
                /// Its body.
                body: &'a [u8],
            },
        }

        impl<'a> Frame<'a> {
            /// Its type.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind { .. } => Kind::$kind,)*
                    Self::Later { byte, .. } => Kind::Later(*byte),
                }
            }

            fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
                Ok(match body.kind() {
                    // A struct's fields are evaluated in the order in which they are written, which is that of the wire.
                    $(Kind::$kind => Self::$kind { $($field: Field::read(body)?,)* },)*
                    Kind::Later(byte) => Self::Later { byte, body: Field::read(body)? },
                })
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$kind { $($field,)* } => { $($field.write(out);)* })*
                    Self::Later { body, .. } => body.write(out),
                }
            }
        }
    };
}

frames! {
    /// The daemon's first words.
    Challenge {
        /// Version, nonce, epoch.
        json: Json<'a, Challenge<'a>>,
    }
    /// The worker's answer.
    Hello {
        /// Who it is.
        json: Json<'a, Hello<'a>>,
        /// Its proof; empty on a Unix socket.
        mac: &'a str,
    }
    /// The link is open.
    Welcome {
        /// Where both are.
        json: Json<'a, Welcome<'a>>,
        /// The daemon's proof; empty on a Unix socket.
        mac: &'a str,
    }
    /// What the worker serves.
    Bind {
        /// Path and options.
        json: Json<'a, Bind<'a>>,
    }
    /// The sender will close.
    GoAway {
        /// How, why and when.
        json: Json<'a, GoAway<'a>>,
    }
    /// Asks whether the other side is there.
    Ping {
        /// Anything.
        number: u64,
    }
    /// It is.
    Pong {
        /// The PING's.
        number: u64,
    }
    /// Sums since the epoch began for this worker.
    Credit {
        /// Counted frames that were dealt with.
        frames: u64,
        /// Their bytes, headers included.
        bytes: u64,
    }
    /// Who has a namespace.
    Peers {
        /// Its name.
        nsp: &'a str,
        /// The workers.
        instances: Vec<&'a str>,
    }
    /// What the other side did wrong; the link closes behind it.
    Error {
        /// One of docs/link.md "Errors", or a later one.
        code: &'a str,
        /// For people.
        message: &'a str,
    }
    /// A client is there.
    Open {
        /// Who it is.
        json: Json<'a, Open<'a>>,
    }
    /// The client sent a message.
    Data {
        /// It.
        payload: Payload<'a>,
    }
    /// The client is gone.
    Close {
        /// Why.
        reason: CloseReason,
        /// The WebSocket's close code, or 0.
        code: u16,
        /// What more there is to say.
        text: &'a str,
    }
    /// The client changes its transport.
    Transport {
        /// How far it is.
        phase: Phase,
        /// To which one.
        transport: Transport,
    }
    /// A client of a worker that is gone.
    Resume {
        /// Who it is, and where.
        json: Json<'a, Resume<'a>>,
    }
    /// A message for the client.
    Send {
        /// It.
        payload: Payload<'a>,
    }
    /// Closes the client's connection.
    CloseConn {}
    /// May this client come in?
    HsReq {
        /// The question's number.
        request: u32,
        /// The client's request.
        json: Json<'a, HsRequest<'a>>,
    }
    /// Whether it may.
    HsRes {
        /// The question's number.
        request: u32,
        /// The answer.
        json: Json<'a, HsResponse<'a>>,
    }
    /// Whether a client is slow.
    Pressure {
        /// It is.
        on: bool,
        /// The bytes that wait for it.
        waiting: u32,
    }
    /// Whether the worker wants no more of what a client says.
    Hold {
        /// It does not.
        on: bool,
    }
    /// A namespace gets a number, the header's `conn`, or loses it (`REMOVED`).
    Nsp {
        /// The namespace.
        name: &'a str,
    }
    /// The client is in a namespace; replaces what was known.
    Member {
        /// The namespace.
        nsp: u16,
        /// The socket's name.
        sid: &'a str,
        /// Its secret name, by which it can come back.
        pid: &'a str,
        /// Its rooms.
        rooms: Vec<&'a str>,
        /// What it said when it connected: JSON.
        auth: Long<'a>,
        /// What the application keeps with it: JSON.
        data: Long<'a>,
    }
    /// The client joins rooms.
    Join {
        /// The namespace.
        nsp: u16,
        /// The rooms.
        rooms: Vec<&'a str>,
    }
    /// The client leaves rooms.
    Leave {
        /// The namespace.
        nsp: u16,
        /// The rooms.
        rooms: Vec<&'a str>,
    }
    /// The client leaves the namespace.
    LeaveAll {
        /// The namespace.
        nsp: u16,
    }
    /// A packet for rooms.
    Bcast {
        /// The namespace.
        nsp: u16,
        /// The rooms; none: the whole namespace.
        rooms: Vec<&'a str>,
        /// Whose members get nothing.
        except: Vec<&'a str>,
        /// The packet and its attachments.
        parts: Vec<Part<'a>>,
    }
    /// A packet for rooms, each of whose clients answers.
    BcastAck {
        /// The question's number.
        request: u32,
        /// How long answers are waited for.
        timeout_ms: u32,
        /// The namespace.
        nsp: u16,
        /// The rooms; none: the whole namespace.
        rooms: Vec<&'a str>,
        /// Whose members get nothing.
        except: Vec<&'a str>,
        /// The packet and its attachments.
        parts: Vec<Part<'a>>,
    }
    /// How many will answer.
    BcastCount {
        /// The question's number.
        request: u32,
        /// Clients that were asked.
        clients: u32,
    }
    /// An answer.
    BcastReply {
        /// The question's number.
        request: u32,
        /// The packet and its attachments.
        parts: Vec<Part<'a>>,
    }
    /// A message between workers.
    Bus {
        /// The namespace.
        nsp: &'a str,
        /// For whom; empty: for all.
        to: &'a str,
        /// Whose.
        from: &'a str,
        /// The adapter's own.
        opaque: &'a [u8],
    }
    /// Keeps a session for a client that may come back.
    SessionSave {
        /// The namespace.
        nsp: u16,
        /// The secret name, by which it can come back.
        pid: &'a str,
        /// Its rooms.
        rooms: Vec<&'a str>,
        /// The socket's name.
        sid: &'a str,
        /// What the application keeps with it: JSON.
        data: Long<'a>,
    }
    /// Asks for a session.
    SessionGet {
        /// The question's number.
        request: u32,
        /// The namespace.
        nsp: u16,
        /// The secret name.
        pid: &'a str,
        /// The last packet that the client has seen.
        offset: &'a str,
    }
    /// The answer.
    SessionRes {
        /// The question's number.
        request: u32,
        /// The session, if there is one.
        session: Option<Session<'a>>,
    }
    /// What the application keeps with a socket.
    SetData {
        /// The namespace.
        nsp: u16,
        /// It: JSON.
        data: Long<'a>,
    }
    /// A request was refused.
    ConnError {
        /// Which one, and why.
        json: Json<'a, ConnError<'a>>,
    }
    /// Moves sockets of any worker.
    Move {
        /// The namespace.
        nsp: u16,
        /// What becomes of them.
        what: Movement,
        /// The rooms whose members are moved; none: the whole namespace.
        rooms: Vec<&'a str>,
        /// Whose members are not.
        except: Vec<&'a str>,
        /// The rooms that they join or leave.
        places: Vec<&'a str>,
    }
    /// What became of one of them.
    Moved {
        /// The namespace.
        nsp: &'a str,
        /// The socket's name.
        sid: &'a str,
        /// How many JOINs and LEAVEs of its worker were obeyed before, behind its last MEMBER; [`MOVED_UNKNOWN`]: not even that.
        known: u32,
        /// What became of it.
        what: Movement,
        /// The rooms that it has joined or left.
        places: Vec<&'a str>,
    }
    /// The client is handed back.
    MigrateOut {}
}

/// In MOVED, of a socket that its worker has not described yet.
pub const MOVED_UNKNOWN: u32 = u32::MAX;

/// A session that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// The socket's name.
    pub sid: &'a str,
    /// Its rooms.
    pub rooms: Vec<&'a str>,
    /// What the application keeps with it: JSON.
    pub data: Long<'a>,
    /// The packets that it missed, with their attachments.
    pub parts: Vec<Part<'a>>,
}

impl<'a> Field<'a> for Session<'a> {
    const BYTES_MIN: usize = 10;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        Ok(Self {
            sid: Field::read(body)?,
            rooms: Field::read(body)?,
            data: Field::read(body)?,
            parts: Field::read(body)?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.sid.write(out);
        self.rooms.write(out);
        self.data.write(out);
        self.parts.write(out);
    }
}

impl<'a> Frame<'a> {
    /// Looks into a frame that `from` sent.
    ///
    /// # Errors
    /// The first fault: of the direction, of the flags, of a field, of what is behind them.
    pub fn parse(raw: &Raw<'a>, from: Side) -> Result<Self, LinkError> {
        check(raw, from)?;
        let mut body = Reader::new(raw);
        let frame = Self::read(&mut body)?;
        body.end()?;
        Ok(frame)
    }

    /// Appends the frame. The flag `BINARY` is the payload's to say; `ASCII` is believed.
    ///
    /// # Panics
    /// On what no frame can say, which is our own bug: a flag that the type does not know, a text or a list that is too long, a body
    /// beyond the bound.
    pub fn encode_into(&self, conn: u64, flags: Flags, out: &mut Vec<u8>) {
        let (kind, flags) = (self.kind(), self.marked(flags));
        assert!(kind.flags().contains(flags), "{kind} with {flags:?}");
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        self.write(out);
        let header = header(kind, flags, conn, out.len() - start - HEADER_BYTES);
        out[start..][..HEADER_BYTES].copy_from_slice(&header);
    }

    /// The body alone, for whoever writes the header elsewhere.
    ///
    /// # Panics
    /// As [`Self::encode_into`].
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.write(&mut body);
        body
    }

    /// The flags with what the payload says.
    const fn marked(&self, flags: Flags) -> Flags {
        match self {
            Self::Data { payload } | Self::Send { payload } if payload.0.is_binary() => {
                flags.union(Flags::BINARY)
            }
            Self::Data { .. } | Self::Send { .. } => flags.without(Flags::BINARY),
            _ => flags,
        }
    }
}

/// What can be said of a frame by its header.
fn check(raw: &Raw<'_>, from: Side) -> Result<(), LinkError> {
    if !raw.kind.is_from(from) {
        return Err(LinkError::Direction(raw.kind));
    }
    let unknown = raw.flags.without(raw.kind.flags());
    if !unknown.is_empty() {
        return Err(LinkError::UnknownFlags(raw.kind, unknown));
    }
    // Other frames name a namespace in a u16.
    if raw.kind == Kind::Nsp && raw.conn > u64::from(u16::MAX) {
        return Err(LinkError::Value(raw.kind, raw.conn));
    }
    Ok(())
}
