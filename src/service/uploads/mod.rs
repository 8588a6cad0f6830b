//! Resumable uploads (tus 1.0.0): which there are, who may write to them, and what storage has to do in which order.
//!
//! Deliberately absent: files, clocks, randomness, and the bytes themselves. Storage is told what to do by [`Want`]s and says what came of each; a write
//! is "the piece of the body that was just given", so that its bytes stay where they were received.
//!
//! What holds at every moment, whatever fails:
//! - An offset that a client was told is never taken back: its bytes were synced, and then the record that says so, before it was told.
//! - Under its final name a file is whole: it is renamed when everything is synced and recorded, and only then.
//! - One request at a time writes to an upload.
//!
//! Of each upload storage has a *record* (the JSON of [`Record`], replaced as a whole and durably), a *part* (the bytes so far) and, instead of the part,
//! a *final* file. [`Uploads::recover`] says what to make of what a crash left: the offset is the recorded one, or the part's length where that is less;
//! what lies behind it was never acknowledged and is written again. A part whose record says that it is whole is renamed then.

mod answer;
mod begin;
mod chores;
#[cfg(test)]
mod disk_tests;
mod id;
mod machine;
mod memory;
#[cfg(test)]
mod model_tests;
mod permits;
mod quota;
mod record;
mod recovery;
mod sealing;
mod settings;
mod steps;
mod storage;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod vault;

pub use answer::{Answer, options};
pub use begin::{Ask, Begun};
pub use id::UploadId;
pub use machine::{Event, Input, Output, TransferId, Uploads, UploadsStats};
pub(crate) use memory::Buffers;
pub use permits::{FilePermits, Who};
pub use record::{RECORD_BYTES_MAX, Record};
pub use recovery::Found;
pub(crate) use sealing::{Reader, SEALED_HEAD_BYTES, SegmentAt, is_sealed_upload, upload_of_whole};
pub use sealing::{STORED_BYTES_MAX, unseal, wants_older_key};
pub use settings::UploadsSettings;
pub use steps::{lock_name, part_name, record_name, resealing_name, upload_of};
pub use storage::{StorageError, Ticket, Want};
pub(crate) use store::Store;
pub use store::{Area, StoreAnswer, StoreAsk, StoreError};
pub use vault::{LOCK_BYTES_MAX, Lock, Resealed, Run, Vault};
