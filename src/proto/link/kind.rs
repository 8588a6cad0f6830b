//! The types of frames: who sends them, which flags they know, whether they are counted.

use super::Flags;

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// It owns the clients' sockets.
    Daemon,
    /// A process that runs a Socket.IO server.
    Worker,
}

/// The flags of a type that has none, one or more of them.
const fn set(flags: &[Flags]) -> Flags {
    let (mut set, mut index) = (Flags::NONE, 0);
    while index < flags.len() {
        set = set.union(flags[index]);
        index += 1;
    }
    set
}

const BROADCAST: Flags = set(&[
    Flags::VOLATILE,
    Flags::NO_COMPRESS,
    Flags::LOCAL,
    Flags::RECOVER,
    Flags::ASCII,
]);
const SEND: Flags = set(&[
    Flags::BINARY,
    Flags::VOLATILE,
    Flags::NO_COMPRESS,
    Flags::ASCII,
    Flags::REST,
]);
const DATA: Flags = set(&[Flags::BINARY, Flags::ASCII]);
const NONE: Flags = Flags::NONE;
/// Who may send what both may.
const BOTH: Option<Side> = None;
const DAEMON: Option<Side> = Some(Side::Daemon);
const WORKER: Option<Side> = Some(Side::Worker);

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $byte:literal $name:literal $sender:ident $flags:expr;)*) => {
        /// A type of frame (docs/link.md "Types").
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
            /// A type of a later version, 0x80 or above: it is passed over.
            Later(u8),
        }

        impl Kind {
            /// All types of this version.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// `None` when it may not be passed over although it is unknown.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$kind),)*
                    0x80.. => Some(Self::Later(byte)),
                    _ => None,
                }
            }

            /// The byte in the header.
            #[must_use]
            pub const fn to_byte(self) -> u8 {
                match self {
                    $(Self::$kind => $byte,)*
                    Self::Later(byte) => byte,
                }
            }

            /// The name in docs/link.md.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::Later(_) => "a later type",
                }
            }

            /// Who alone may send it; `None` when both may.
            #[must_use]
            pub const fn sender(self) -> Option<Side> {
                match self {
                    $(Self::$kind => $sender,)*
                    Self::Later(_) => BOTH,
                }
            }

            /// The flags that it knows.
            #[must_use]
            pub const fn flags(self) -> Flags {
                match self {
                    $(Self::$kind => $flags,)*
                    Self::Later(_) => Flags::ALL,
                }
            }
        }
    };
}

kinds! {
    /// The daemon's first words.
    Challenge = 0 "CHALLENGE" DAEMON NONE;
    /// The worker's answer.
    Hello = 1 "HELLO" WORKER NONE;
    /// The link is open.
    Welcome = 2 "WELCOME" DAEMON NONE;
    /// What the worker serves.
    Bind = 3 "BIND" WORKER NONE;
    /// The sender will close.
    GoAway = 4 "GOAWAY" BOTH NONE;
    /// Asks whether the other side is there.
    Ping = 5 "PING" BOTH NONE;
    /// It is.
    Pong = 6 "PONG" BOTH NONE;
    /// What was dealt with.
    Credit = 7 "CREDIT" BOTH NONE;
    /// Who has a namespace.
    Peers = 8 "PEERS" DAEMON NONE;
    /// What the other side did wrong.
    Error = 9 "ERROR" BOTH NONE;
    /// A client is there.
    Open = 16 "OPEN" DAEMON NONE;
    /// It sent a packet or an attachment.
    Data = 17 "DATA" DAEMON DATA;
    /// It is gone.
    Close = 18 "CLOSE" DAEMON NONE;
    /// It changes from polling to a WebSocket.
    Transport = 19 "TRANSPORT" DAEMON NONE;
    /// A client of a worker that is gone.
    Resume = 20 "RESUME" DAEMON NONE;
    /// A packet or an attachment for a client.
    Send = 21 "SEND" WORKER SEND;
    /// Closes a client's connection.
    CloseConn = 22 "CLOSE_CONN" WORKER set(&[Flags::DISCARD]);
    /// May this client come in?
    HsReq = 23 "HS_REQ" DAEMON NONE;
    /// Whether it may.
    HsRes = 24 "HS_RES" WORKER NONE;
    /// A client is slow.
    Pressure = 25 "PRESSURE" DAEMON NONE;
    /// A client is to wait, or goes on.
    Hold = 26 "HOLD" WORKER NONE;
    /// A namespace's number and name.
    Nsp = 32 "NSP" WORKER set(&[Flags::REMOVED]);
    /// A socket of a client in a namespace, with its rooms.
    Member = 33 "MEMBER" WORKER NONE;
    /// It joins rooms.
    Join = 34 "JOIN" WORKER NONE;
    /// It leaves rooms.
    Leave = 35 "LEAVE" WORKER NONE;
    /// It leaves the namespace.
    LeaveAll = 36 "LEAVE_ALL" WORKER NONE;
    /// A packet for rooms.
    Bcast = 37 "BCAST" WORKER BROADCAST;
    /// A packet for rooms, each of whose clients answers.
    BcastAck = 38 "BCAST_ACK" WORKER BROADCAST;
    /// How many will answer.
    BcastCount = 39 "BCAST_COUNT" DAEMON NONE;
    /// One of the answers.
    BcastReply = 40 "BCAST_REPLY" DAEMON NONE;
    /// A message between workers.
    Bus = 41 "BUS" BOTH set(&[Flags::VOLATILE]);
    /// Keeps a session for a client that may come back.
    SessionSave = 42 "SESSION_SAVE" WORKER NONE;
    /// Asks for one.
    SessionGet = 43 "SESSION_GET" WORKER NONE;
    /// The session, and what was missed.
    SessionRes = 44 "SESSION_RES" DAEMON NONE;
    /// What the application keeps with a socket.
    SetData = 45 "SET_DATA" WORKER NONE;
    /// A request was refused.
    ConnError = 46 "CONN_ERROR" DAEMON NONE;
    /// Moves sockets of any worker in or out of rooms.
    Move = 47 "MOVE" WORKER NONE;
    /// What that did to one socket.
    Moved = 48 "MOVED" DAEMON NONE;
    /// Hands a client back: the daemon asks for it, and the worker says that it is done.
    MigrateOut = 50 "MIGRATE_OUT" BOTH NONE;
}

impl Kind {
    /// Whether it is kept until the other side's CREDIT covers it.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(self.to_byte(), 3 | 8 | 16..=63)
    }

    /// Whether `side` may send it.
    #[must_use]
    pub fn is_from(self, side: Side) -> bool {
        self.sender().is_none_or(|sender| sender == side)
    }
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_one_type() {
        for byte in 0..=u8::MAX {
            let kind = Kind::from_byte(byte);
            assert!(kind.is_none_or(|kind| kind.to_byte() == byte), "{byte}");
            assert!(kind.is_some() || byte < 0x80, "{byte}");
        }
        let known =
            |byte: &u8| matches!(Kind::from_byte(*byte), Some(kind) if kind != Kind::Later(*byte));
        assert_eq!((0..=u8::MAX).filter(known).count(), Kind::ALL.len());
    }

    #[test]
    fn counted_are_those_of_clients_and_two_of_the_link() {
        let uncounted = |kind: &&Kind| !kind.is_counted();
        let names: Vec<_> = Kind::ALL
            .iter()
            .filter(uncounted)
            .map(|k| k.name())
            .collect();
        let link = [
            "CHALLENGE",
            "HELLO",
            "WELCOME",
            "GOAWAY",
            "PING",
            "PONG",
            "CREDIT",
            "ERROR",
        ];
        assert_eq!(names, link);
        assert!(!Kind::Later(0x80).is_counted());
    }
}
