//! What storage is asked for.

use super::UploadId;

/// A piece of work. Storage says by [`super::Uploads::stored`] what came of it. Writes of one upload may be done in any order; everything else is asked
/// for when what must go before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// An empty part that was not there, and this record; both durable when it is done.
    Create {
        /// Which.
        upload: UploadId,
        /// The record.
        record: Vec<u8>,
    },
    /// The piece of the body that was just given, into the part at `offset`, all of it. There is one such want for each piece.
    Write {
        /// Which.
        upload: UploadId,
        /// Where.
        offset: u64,
        /// How many bytes the piece has.
        bytes: u64,
    },
    /// `bytes` of the part of another upload, from its start, to the end of this one's, at `offset`.
    Append {
        /// Which.
        upload: UploadId,
        /// Where.
        offset: u64,
        /// Whose part.
        from: UploadId,
        /// How many.
        bytes: u64,
    },
    /// The part has so many bytes and no more.
    Truncate {
        /// Which.
        upload: UploadId,
        /// How many.
        bytes: u64,
    },
    /// Everything that was written to the part is durable when it is done.
    Sync {
        /// Which.
        upload: UploadId,
    },
    /// This record instead of the one that is there: after a crash one of both is there, and this one when it was done.
    Record {
        /// Which.
        upload: UploadId,
        /// The record.
        record: Vec<u8>,
    },
    /// The part gets its final name, durably. That it has it already, and that there is no part any more, is no failure.
    Finish {
        /// Which.
        upload: UploadId,
        /// The name.
        name: String,
        /// How many bytes the part has.
        bytes: u64,
    },
    /// The final file, if that name is given and there, or the part; then the record. Durably; that something is not there is no failure.
    Remove {
        /// Which.
        upload: UploadId,
        /// The final name.
        name: Option<String>,
    },
    /// The record alone: the final file stays.
    Forget {
        /// Which.
        upload: UploadId,
    },
}

impl Want {
    /// Whose part or record it is about.
    #[must_use]
    pub const fn upload(&self) -> UploadId {
        match self {
            Self::Create { upload, .. }
            | Self::Write { upload, .. }
            | Self::Append { upload, .. }
            | Self::Truncate { upload, .. }
            | Self::Sync { upload }
            | Self::Record { upload, .. }
            | Self::Finish { upload, .. }
            | Self::Remove { upload, .. }
            | Self::Forget { upload } => *upload,
        }
    }
}

/// Names a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    pub(super) transfer: u64,
    pub(super) sequence: u64,
}

impl Ticket {
    /// Whose want it is.
    #[must_use]
    pub const fn transfer(self) -> super::TransferId {
        super::TransferId(self.transfer)
    }
}

/// Why storage could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// There is no room (ENOSPC, EDQUOT).
    Full,
    /// Too much is open or under way (EMFILE, EAGAIN): nothing was done, and a moment later it may work.
    Busy,
    /// It may not be written to (EROFS).
    ReadOnly,
    /// No file may be so long (EFBIG).
    TooLarge,
    /// Anything else; what was written and not synced is not to be believed.
    Failed,
}
