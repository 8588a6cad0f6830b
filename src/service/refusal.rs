//! Every reason that is told to a peer: one code each, which `ringway explain` explains.

use serde::{Deserialize, Serialize};

/// Why a peer is refused something, or its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// RW-2001: the HTTP request cannot be understood.
    BadRequest,
    /// RW-2002: the request for a WebSocket is wrong.
    BadUpgrade,
    /// RW-2003: a WebSocket frame breaks the protocol.
    WebSocketProtocol,
    /// RW-2004: the Engine.IO request does not fit its session, or contradicts itself.
    EngineRequest,
    /// RW-2005: two requests of one kind were made at a time for one session.
    OverlappingPoll,
    /// RW-2006: the polling body is malformed.
    BadPayload,
    /// RW-2007: the packet is malformed.
    BadPacket,
    /// RW-2008: an attachment came that no packet waits for, or it is too large.
    BadAttachment,
    /// RW-2009: the namespace cannot be joined.
    BadNamespace,
    /// RW-2010: the session has as many namespaces as it may have.
    TooManyNamespaces,
    /// RW-2011: no namespace was joined in time.
    ConnectTimeout,
    /// RW-2012: no pong came in time.
    PingTimeout,
    /// RW-2013: nothing was said in time.
    Silent,
    /// RW-2014: nothing is served at this path.
    NotFound,
    /// RW-2015: the namespace has no such event.
    UnknownEvent,
    /// RW-2016: the event's arguments are wrong.
    BadArguments,
    /// RW-2017: a polling answer broke off with packets in it.
    PollBroken,
    /// RW-2018: the Engine.IO request names no transport that is known.
    UnknownTransport,
    /// RW-2019: no such session is known.
    UnknownSid,
    /// RW-2020: a session is opened by GET only.
    HandshakeMethod,
    /// RW-2021: another version of Engine.IO's protocol is spoken here.
    EngineVersion,
    /// RW-2101: a token is needed. Sessions are told to send it as auth.token, requests for files and uploads another way.
    TokenMissing,
    /// RW-2102: the token is malformed.
    TokenMalformed,
    /// RW-2103: the token names a key that is not configured.
    TokenUnknownKey,
    /// RW-2104: the token's algorithm is not its key's.
    TokenAlgorithm,
    /// RW-2105: the token's signature is wrong.
    TokenSignature,
    /// RW-2106: the token has expired.
    TokenExpired,
    /// RW-2107: the token is not valid yet.
    TokenNotYetValid,
    /// RW-2108: the token lacks a claim that is needed, or its value is not accepted.
    TokenClaims,
    /// RW-2109: the token does not permit this.
    Forbidden,
    /// RW-2110: the origin is not allowed.
    ForeignOrigin,
    /// RW-2111: the proxy's header is malformed.
    BadProxyHeader,
    /// RW-2201: the connection sends events faster than it may.
    RateConnection,
    /// RW-2202: the user sends events faster than it may.
    RateUser,
    /// RW-2203: the room gets messages faster than it may.
    RateRoom,
    /// RW-2204: the address sends events faster than it may.
    RateAddress,
    /// RW-2205: the address connects more often, or has more connections, than it may.
    AddressConnections,
    /// RW-2206: the server takes no more connections now.
    ShardFull,
    /// RW-2207: the server is too busy for this; try again.
    Busy,
    /// RW-2301: the room's name is empty, too long, or has control characters.
    BadRoom,
    /// RW-2302: the session is in as many rooms as it may be.
    TooManyRooms,
    /// RW-2303: the server has as many rooms as it may have.
    RoomsFull,
    /// RW-2304: the session is not in this room.
    NotInRoom,
    /// RW-2401: the client reads too slowly.
    SlowConsumer,
    /// RW-2402: the server is being stopped; connect again.
    Draining,
    /// RW-2601: the application is away; connect again.
    NoWorker,
    /// RW-2602: the application closed the connection.
    WorkerClosed,
    /// RW-2603: the application is failing; connect again later.
    WorkersFailing,
    /// RW-2606: the application's process is gone before it answered; connect again.
    AnswerLost,
    /// RW-2607: the namespace has become another application's while the client came; connect again.
    NamespaceTaken,
    /// RW-2611: the application has not said in time whether the client may come in.
    NoAnswer,
    /// RW-2612: what the application said of the request cannot be said to the client.
    BadAnswer,
    /// RW-2613: the application does not let the client in.
    NotAdmitted,
    /// RW-2615: workers of the application die on the client.
    WorkersDie,
    /// RW-2616: the application has as many namespaces as it may have.
    NamespacesFull,
    /// RW-2701: the path names no file that could be served.
    FilePath,
    /// RW-2702: there is no such file.
    FileNotFound,
    /// RW-2703: files are read with GET or HEAD.
    FileMethod,
    /// RW-2704: the file has none of these ranges, or there are too many.
    FileRange,
    /// RW-2705: the file is not what the condition says.
    FileChanged,
    /// RW-2706: the signed URL is malformed, or was not signed by us.
    UrlSignature,
    /// RW-2707: the signed URL has expired.
    UrlExpired,
    /// RW-2708: the signed URL was for one use, and has been used.
    UrlUsed,
    /// RW-2709: the server remembers as many one-time URLs as it may; try again later.
    UrlsFull,
    /// RW-2710: the token does not permit this file.
    FileForbidden,
    /// RW-2711: the file could not be read.
    FileFailed,
    /// RW-2712: that the one-time URL is used could not be written down; it is good for another try.
    UrlNotRecorded,
    /// RW-2801: another version of the tus protocol is spoken here.
    TusVersion,
    /// RW-2802: the upload's headers are missing, malformed, or contradict each other.
    UploadHeaders,
    /// RW-2803: there is no such upload.
    UploadNotFound,
    /// RW-2804: the upload has expired or was terminated.
    UploadGone,
    /// RW-2805: the upload is at another offset.
    UploadOffset,
    /// RW-2806: the upload is larger than it may be, or than it said.
    UploadTooLarge,
    /// RW-2807: bytes of uploads are application/offset+octet-stream.
    UploadMediaType,
    /// RW-2808: another request writes to this upload.
    UploadLocked,
    /// RW-2809: the bytes do not have the checksum that was sent with them.
    ChecksumMismatch,
    /// RW-2810: the user has as many bytes or uploads as it may have.
    UploadQuota,
    /// RW-2811: the server has as many uploads as it may have.
    UploadsFull,
    /// RW-2812: the server's disk is full.
    StorageFull,
    /// RW-2813: the upload could not be stored.
    StorageFailed,
    /// RW-2814: the upload is put together from others and takes no bytes.
    UploadFinal,
    /// RW-2815: uploads know POST, HEAD, PATCH, DELETE and OPTIONS.
    UploadMethod,
    /// RW-2816: the server's disk may not be written to.
    StorageReadOnly,
    /// RW-2818: a checksum is announced that comes behind the body.
    UploadTrailer,
    /// RW-2819: the user, or the server, has as many bodies of uploads coming in as it may have.
    UploadsBusy,
}

impl Refusal {
    /// All of them, by code.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::BadUpgrade,
        Self::WebSocketProtocol,
        Self::EngineRequest,
        Self::OverlappingPoll,
        Self::BadPayload,
        Self::BadPacket,
        Self::BadAttachment,
        Self::BadNamespace,
        Self::TooManyNamespaces,
        Self::ConnectTimeout,
        Self::PingTimeout,
        Self::Silent,
        Self::NotFound,
        Self::UnknownEvent,
        Self::BadArguments,
        Self::PollBroken,
        Self::UnknownTransport,
        Self::UnknownSid,
        Self::HandshakeMethod,
        Self::EngineVersion,
        Self::TokenMissing,
        Self::TokenMalformed,
        Self::TokenUnknownKey,
        Self::TokenAlgorithm,
        Self::TokenSignature,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenClaims,
        Self::Forbidden,
        Self::ForeignOrigin,
        Self::BadProxyHeader,
        Self::RateConnection,
        Self::RateUser,
        Self::RateRoom,
        Self::RateAddress,
        Self::AddressConnections,
        Self::ShardFull,
        Self::Busy,
        Self::BadRoom,
        Self::TooManyRooms,
        Self::RoomsFull,
        Self::NotInRoom,
        Self::SlowConsumer,
        Self::Draining,
        Self::NoWorker,
        Self::WorkerClosed,
        Self::WorkersFailing,
        Self::AnswerLost,
        Self::NamespaceTaken,
        Self::NoAnswer,
        Self::BadAnswer,
        Self::NotAdmitted,
        Self::WorkersDie,
        Self::NamespacesFull,
        Self::FilePath,
        Self::FileNotFound,
        Self::FileMethod,
        Self::FileRange,
        Self::FileChanged,
        Self::UrlSignature,
        Self::UrlExpired,
        Self::UrlUsed,
        Self::UrlsFull,
        Self::FileForbidden,
        Self::FileFailed,
        Self::UrlNotRecorded,
        Self::TusVersion,
        Self::UploadHeaders,
        Self::UploadNotFound,
        Self::UploadGone,
        Self::UploadOffset,
        Self::UploadTooLarge,
        Self::UploadMediaType,
        Self::UploadLocked,
        Self::ChecksumMismatch,
        Self::UploadQuota,
        Self::UploadsFull,
        Self::StorageFull,
        Self::StorageFailed,
        Self::UploadFinal,
        Self::UploadMethod,
        Self::StorageReadOnly,
        Self::UploadTrailer,
        Self::UploadsBusy,
    ];

    /// The catalogue's code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "RW-2001",
            Self::BadUpgrade => "RW-2002",
            Self::WebSocketProtocol => "RW-2003",
            Self::EngineRequest => "RW-2004",
            Self::OverlappingPoll => "RW-2005",
            Self::BadPayload => "RW-2006",
            Self::BadPacket => "RW-2007",
            Self::BadAttachment => "RW-2008",
            Self::BadNamespace => "RW-2009",
            Self::TooManyNamespaces => "RW-2010",
            Self::ConnectTimeout => "RW-2011",
            Self::PingTimeout => "RW-2012",
            Self::Silent => "RW-2013",
            Self::NotFound => "RW-2014",
            Self::UnknownEvent => "RW-2015",
            Self::BadArguments => "RW-2016",
            Self::PollBroken => "RW-2017",
            Self::UnknownTransport => "RW-2018",
            Self::UnknownSid => "RW-2019",
            Self::HandshakeMethod => "RW-2020",
            Self::EngineVersion => "RW-2021",
            Self::TokenMissing => "RW-2101",
            Self::TokenMalformed => "RW-2102",
            Self::TokenUnknownKey => "RW-2103",
            Self::TokenAlgorithm => "RW-2104",
            Self::TokenSignature => "RW-2105",
            Self::TokenExpired => "RW-2106",
            Self::TokenNotYetValid => "RW-2107",
            Self::TokenClaims => "RW-2108",
            Self::Forbidden => "RW-2109",
            Self::ForeignOrigin => "RW-2110",
            Self::BadProxyHeader => "RW-2111",
            Self::RateConnection => "RW-2201",
            Self::RateUser => "RW-2202",
            Self::RateRoom => "RW-2203",
            Self::RateAddress => "RW-2204",
            Self::AddressConnections => "RW-2205",
            Self::ShardFull => "RW-2206",
            Self::Busy => "RW-2207",
            Self::BadRoom => "RW-2301",
            Self::TooManyRooms => "RW-2302",
            Self::RoomsFull => "RW-2303",
            Self::NotInRoom => "RW-2304",
            Self::SlowConsumer => "RW-2401",
            Self::Draining => "RW-2402",
            Self::NoWorker => "RW-2601",
            Self::WorkerClosed => "RW-2602",
            Self::WorkersFailing => "RW-2603",
            Self::AnswerLost => "RW-2606",
            Self::NamespaceTaken => "RW-2607",
            Self::NoAnswer => "RW-2611",
            Self::BadAnswer => "RW-2612",
            Self::NotAdmitted => "RW-2613",
            Self::WorkersDie => "RW-2615",
            Self::NamespacesFull => "RW-2616",
            Self::FilePath => "RW-2701",
            Self::FileNotFound => "RW-2702",
            Self::FileMethod => "RW-2703",
            Self::FileRange => "RW-2704",
            Self::FileChanged => "RW-2705",
            Self::UrlSignature => "RW-2706",
            Self::UrlExpired => "RW-2707",
            Self::UrlUsed => "RW-2708",
            Self::UrlsFull => "RW-2709",
            Self::FileForbidden => "RW-2710",
            Self::FileFailed => "RW-2711",
            Self::UrlNotRecorded => "RW-2712",
            Self::TusVersion => "RW-2801",
            Self::UploadHeaders => "RW-2802",
            Self::UploadNotFound => "RW-2803",
            Self::UploadGone => "RW-2804",
            Self::UploadOffset => "RW-2805",
            Self::UploadTooLarge => "RW-2806",
            Self::UploadMediaType => "RW-2807",
            Self::UploadLocked => "RW-2808",
            Self::ChecksumMismatch => "RW-2809",
            Self::UploadQuota => "RW-2810",
            Self::UploadsFull => "RW-2811",
            Self::StorageFull => "RW-2812",
            Self::StorageFailed => "RW-2813",
            Self::UploadFinal => "RW-2814",
            Self::UploadMethod => "RW-2815",
            Self::StorageReadOnly => "RW-2816",
            Self::UploadTrailer => "RW-2818",
            Self::UploadsBusy => "RW-2819",
        }
    }

    /// What the peer is told.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "the HTTP request cannot be understood",
            Self::BadUpgrade => "the request for a WebSocket is wrong",
            Self::WebSocketProtocol => "a WebSocket frame breaks the protocol",
            Self::EngineRequest => {
                "the Engine.IO request does not fit its session, or contradicts itself"
            }
            Self::OverlappingPoll => "two requests of one kind were made at a time for one session",
            Self::BadPayload => "the polling body is malformed",
            Self::BadPacket => "the packet is malformed",
            Self::BadAttachment => {
                "an attachment came that no packet waits for, or it is too large"
            }
            Self::BadNamespace => "the namespace cannot be joined",
            Self::TooManyNamespaces => "the session has as many namespaces as it may have",
            Self::ConnectTimeout => "no namespace was joined in time",
            Self::PingTimeout => "no pong came in time",
            Self::Silent => "nothing was said in time",
            Self::NotFound => "nothing is served at this path",
            Self::UnknownEvent => "the namespace has no such event",
            Self::BadArguments => "the event's arguments are wrong",
            Self::PollBroken => "a polling answer broke off with packets in it",
            Self::UnknownTransport => "the Engine.IO request names no transport that is known",
            Self::UnknownSid => "no such session is known",
            Self::HandshakeMethod => "a session is opened by GET only",
            Self::EngineVersion => "another version of Engine.IO's protocol is spoken here",
            Self::TokenMissing => "a token is needed: send it as auth.token",
            Self::TokenMalformed => "the token is malformed",
            Self::TokenUnknownKey => "the token names a key that is not configured",
            Self::TokenAlgorithm => "the token's algorithm is not its key's",
            Self::TokenSignature => "the token's signature is wrong",
            Self::TokenExpired => "the token has expired",
            Self::TokenNotYetValid => "the token is not valid yet",
            Self::TokenClaims => {
                "the token lacks a claim that is needed, or its value is not accepted"
            }
            Self::Forbidden => "the token does not permit this",
            Self::ForeignOrigin => "the origin is not allowed",
            Self::BadProxyHeader => "the proxy's header is malformed",
            Self::RateConnection => "the connection sends events faster than it may",
            Self::RateUser => "the user sends events faster than it may",
            Self::RateRoom => "the room gets messages faster than it may",
            Self::RateAddress => "the address sends events faster than it may",
            Self::AddressConnections => {
                "the address connects more often, or has more connections, than it may"
            }
            Self::ShardFull => "the server takes no more connections now",
            Self::Busy => "the server is too busy for this; try again",
            Self::BadRoom => "the room's name is empty, too long, or has control characters",
            Self::TooManyRooms => "the session is in as many rooms as it may be",
            Self::RoomsFull => "the server has as many rooms as it may have",
            Self::NotInRoom => "the session is not in this room",
            Self::SlowConsumer => "the client reads too slowly",
            Self::Draining => "the server is being stopped; connect again",
            Self::NoWorker => "the application is away; connect again",
            Self::WorkerClosed => "the application closed the connection",
            Self::WorkersFailing => "the application is failing; connect again later",
            Self::AnswerLost => {
                "the application's process is gone before it answered; connect again"
            }
            Self::NamespaceTaken => "the namespace is another application's by now; connect again",
            Self::NoAnswer => "the application has not said in time whether the client may come in",
            Self::BadAnswer => "what the application said of the request cannot be passed on",
            Self::NotAdmitted => "the application does not let the client in",
            Self::WorkersDie => "the application dies on this client",
            Self::NamespacesFull => "the application has as many namespaces as it may have",
            Self::FilePath => "the path names no file that could be served",
            Self::FileNotFound => "there is no such file",
            Self::FileMethod => "files are read with GET or HEAD",
            Self::FileRange => "the file has none of these ranges, or there are too many",
            Self::FileChanged => "the file is not what the condition says",
            Self::UrlSignature => "the signed URL is malformed, or was not signed by us",
            Self::UrlExpired => "the signed URL has expired",
            Self::UrlUsed => "the signed URL was for one use, and has been used",
            Self::UrlsFull => {
                "the server remembers as many one-time URLs as it may; try again later"
            }
            Self::FileForbidden => "the token does not permit this file",
            Self::FileFailed => "the file could not be read",
            Self::UrlNotRecorded => {
                "that the one-time URL is used could not be written down; it is good for another try"
            }
            Self::TusVersion => "another version of the tus protocol is spoken here",
            Self::UploadHeaders => {
                "the upload's headers are missing, malformed, or contradict each other"
            }
            Self::UploadNotFound => "there is no such upload",
            Self::UploadGone => "the upload has expired or was terminated",
            Self::UploadOffset => "the upload is at another offset",
            Self::UploadTooLarge => "the upload is larger than it may be, or than it said",
            Self::UploadMediaType => "bytes of uploads are application/offset+octet-stream",
            Self::UploadLocked => "another request writes to this upload",
            Self::ChecksumMismatch => "the bytes do not have the checksum that was sent with them",
            Self::UploadQuota => "the user has as many bytes or uploads as it may have",
            Self::UploadsFull => "the server has as many uploads as it may have",
            Self::StorageFull => "the server's disk is full",
            Self::StorageFailed => "the upload could not be stored",
            Self::UploadFinal => "the upload is put together from others and takes no bytes",
            Self::UploadMethod => "uploads know POST, HEAD, PATCH, DELETE and OPTIONS",
            Self::StorageReadOnly => "the server's disk may not be written to now",
            Self::UploadTrailer => {
                "checksums behind a body are not read: send Upload-Checksum with the head"
            }
            Self::UploadsBusy => "too many uploads come in now; try again",
        }
    }

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn the_list_is_in_order_and_whole() {
        for (index, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(refusal.index(), index);
        }
        assert!(Refusal::ALL.is_sorted_by_key(|refusal| refusal.code()));
    }
}
