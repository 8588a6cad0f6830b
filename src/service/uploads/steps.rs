//! What a want takes: its operations on files, in their order.

use super::record::Record;
use super::{Area, UploadId, Want};
use ringway_streams::crypt::Grid;
use std::collections::VecDeque;

/// One operation of a want.
pub(super) enum Step {
    /// The part is open from now on. That there is none may mean that what needs it is done already.
    OpenPart {
        creates: bool,
        may_be_absent: bool,
    },
    /// It is known whether the upload is encrypted, and if it is, its next byte is this one; without a number, wherever that is.
    Place(Option<u64>),
    /// That was found out: whoever else waits for it goes on.
    Placed,
    /// Another upload's part is open for this want.
    OpenSource(UploadId),
    /// An upload's record, with what is kept beside it, is open for this want; and read, for what [`Step::Place`] says.
    OpenStored(UploadId),
    ReadStored(Option<u64>),
    /// Likewise, of another upload whose bytes are copied.
    ReadSourceStored(UploadId),
    /// Likewise, of an upload whose whole file has a lock of its own by now.
    ReadLocked,
    /// The segment of the part that begins with what stands before this byte.
    ReadTail(u64),
    /// An empty file that is open for this want.
    CreateNew {
        area: Area,
        name: String,
    },
    /// Into the part: what was received, or copied.
    Put {
        bytes: Vec<u8>,
        offset: u64,
    },
    /// The header of an encrypted part.
    PutHeader,
    /// All that an encrypted part lacks to be whole; nothing of one that is not encrypted.
    PutEnd,
    /// Into the part, as it stands there.
    WritePart {
        bytes: Vec<u8>,
        offset: u64,
    },
    CutPart(u64),
    /// The record, with what is kept beside it, into the file that is open for this want.
    WriteRecord(Vec<u8>),
    /// The lock of a whole file, likewise.
    WriteLock,
    /// These bytes, likewise.
    WriteFile(Vec<u8>),
    /// From the source to the part.
    Copy {
        from: u64,
        to: u64,
        left: u64,
    },
    TruncatePart(u64),
    SyncPart,
    SyncFile,
    SyncArea(Area),
    Rename {
        from: Area,
        name: String,
        to: Area,
        new_name: String,
        may_be_absent: bool,
    },
    /// Of a part that was not there to be moved: whether it was moved before, or is nowhere.
    FindMoved {
        area: Area,
        name: String,
    },
    Unlink {
        area: Area,
        name: String,
    },
}

impl Step {
    /// Whether it is about a part, and not about what became of it.
    pub(super) const fn needs_part(&self) -> bool {
        matches!(self, Self::Place(_) | Self::PutEnd)
    }
}

/// The name of an upload's part.
#[must_use]
pub fn part_name(upload: UploadId) -> String {
    format!("{upload}.part")
}

/// The name of an upload's record.
#[must_use]
pub fn record_name(upload: UploadId) -> String {
    format!("{upload}.json")
}

/// The name of what is kept of a whole encrypted upload's key.
#[must_use]
pub fn lock_name(upload: UploadId) -> String {
    format!("{upload}.key")
}

/// The name of a lock that is sealed anew, before it has the name of the one that is there.
#[must_use]
pub fn resealing_name(upload: UploadId) -> String {
    format!("{upload}.reseal")
}

/// The name of a record or a lock before it takes the place of the one that is there.
pub(super) fn new_name(upload: UploadId) -> String {
    format!("{upload}.new")
}

/// The upload whose record or part has that name.
#[must_use]
pub fn upload_of(name: &str) -> Option<UploadId> {
    let (id, kind) = name.split_once('.')?;
    let id = UploadId::parse(id)?;
    matches!(kind, "part" | "json" | "new").then_some(id)
}

const OPEN: Step = Step::OpenPart {
    creates: false,
    may_be_absent: false,
};

fn new_file(upload: UploadId, area: Area, written: Step, name: String) -> [Step; 5] {
    [
        Step::CreateNew {
            area,
            name: new_name(upload),
        },
        written,
        Step::SyncFile,
        Step::Rename {
            from: area,
            name: new_name(upload),
            to: area,
            new_name: name,
            may_be_absent: false,
        },
        Step::SyncArea(area),
    ]
}

pub(super) fn record_steps(upload: UploadId, written: Step) -> [Step; 5] {
    new_file(upload, Area::Parts, written, record_name(upload))
}

pub(super) fn lock_steps(upload: UploadId) -> [Step; 5] {
    new_file(upload, Area::Locks, Step::WriteLock, lock_name(upload))
}

fn unlink(area: Area, name: String) -> Step {
    Step::Unlink { area, name }
}

/// Where the next byte goes when this record is written: what is left of a segment stands beside it.
fn place_of_record(upload: UploadId, record: &[u8], grid: Grid) -> Step {
    let offset = Record::decode(upload, record).map(|record| record.offset);
    Step::Place(offset.filter(|offset| grid.rest(*offset) > 0))
}

/// The operations of a want. With a grid uploads may be encrypted.
pub(super) fn steps_of(want: Want, piece: Vec<u8>, grid: Option<Grid>) -> VecDeque<Step> {
    let locks = grid.is_some();
    let mut steps = VecDeque::new();
    let parts = Step::SyncArea(Area::Parts);
    match want {
        Want::Create { upload, record } => {
            steps.push_back(Step::OpenPart {
                creates: true,
                may_be_absent: false,
            });
            steps.extend(locks.then_some(Step::PutHeader));
            steps.extend(record_steps(upload, Step::WriteRecord(record)));
        }
        Want::Write { offset, .. } => {
            steps.push_back(OPEN);
            steps.extend(locks.then_some(Step::Place(Some(offset))));
            steps.push_back(Step::Put {
                bytes: piece,
                offset,
            });
        }
        Want::Append {
            offset,
            from,
            bytes,
            ..
        } => {
            steps.push_back(OPEN);
            if bytes > 0 {
                if locks {
                    steps.push_back(Step::Place(Some(offset)));
                    steps.push_back(Step::OpenStored(from));
                    steps.push_back(Step::ReadSourceStored(from));
                }
                steps.push_back(Step::OpenSource(from));
                steps.push_back(Step::Copy {
                    from: 0,
                    to: offset,
                    left: bytes,
                });
            }
        }
        Want::Truncate { bytes, .. } => {
            steps.push_back(OPEN);
            steps.extend(locks.then_some(Step::Place(None)));
            steps.push_back(Step::TruncatePart(bytes));
        }
        Want::Sync { .. } => steps.extend([OPEN, Step::SyncPart]),
        Want::Record { upload, record } => {
            if let Some(grid) = grid {
                steps.extend([OPEN, place_of_record(upload, &record, grid)]);
            }
            steps.extend(record_steps(upload, Step::WriteRecord(record)));
        }
        Want::Finish {
            upload,
            name,
            bytes,
        } => finish(upload, (name, bytes), locks, &mut steps),
        Want::Remove { upload, name } => {
            if let Some(name) = name {
                steps.push_back(unlink(Area::Whole, name));
                steps.push_back(Step::SyncArea(Area::Whole));
            }
            if locks {
                steps.push_back(unlink(Area::Locks, lock_name(upload)));
                steps.push_back(unlink(Area::Locks, new_name(upload)));
                steps.push_back(unlink(Area::Locks, resealing_name(upload)));
                steps.push_back(Step::SyncArea(Area::Locks));
            }
            steps.push_back(unlink(Area::Parts, part_name(upload)));
            steps.push_back(unlink(Area::Parts, new_name(upload)));
            steps.push_back(unlink(Area::Parts, record_name(upload)));
            steps.push_back(parts);
        }
        Want::Forget { upload } => {
            steps.extend([unlink(Area::Parts, record_name(upload)), parts]);
        }
    }
    steps
}

/// The lock of an encrypted upload lasts before its file has its name: nobody finds a file that cannot be read.
fn finish(upload: UploadId, (name, bytes): (String, u64), locks: bool, steps: &mut VecDeque<Step>) {
    if locks {
        steps.push_back(Step::OpenPart {
            creates: false,
            may_be_absent: true,
        });
        steps.extend([Step::Place(Some(bytes)), Step::PutEnd]);
    }
    steps.push_back(Step::Rename {
        from: Area::Parts,
        name: part_name(upload),
        to: Area::Whole,
        new_name: name.clone(),
        may_be_absent: true,
    });
    let area = Area::Whole;
    steps.extend([Step::FindMoved { area, name }, Step::SyncArea(area)]);
    steps.push_back(Step::SyncArea(Area::Parts));
    if locks {
        // From now on the key is in one place.
        steps.extend([Step::OpenStored(upload), Step::ReadLocked]);
    }
}
