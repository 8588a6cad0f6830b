//! What is answered to requests for files: which file, which of its forms, which ranges, which headers, or why not.
//!
//! Deliberately absent: opening and reading (the shard has descriptors, this has names and numbers), clocks and randomness.
//!
//! A request goes through here twice. [`FilesSettings::wanted`] says what to open: a root, a path below it, and which encoded siblings to look for.
//! With what the files' `stat` says, [`respond`] makes a [`Plan`]: the head's bytes, and segments of the body that are bytes or pieces of one file.

mod cache;
mod compression;
mod disposition;
mod held;
mod journal;
mod media;
mod once;
mod plan;
mod refused;
mod representation;
mod settings;
mod signed;
#[cfg(test)]
mod tests;

pub(crate) use cache::{Cache, Content, Encoded, Kept, Known, SealedFile};
pub use cache::{CacheBounds, FileRef};
pub use compression::Compression;
pub(crate) use compression::{Encoder, encode};
pub(crate) use held::{HeldBytes, Ledger};
pub use journal::{
    Entry, LINE_BYTES_MAX, Replay, UsedUrls, generation_of, journal_name, merged_names,
    new_journal_name,
};
pub use media::Media;
pub use once::{OnceIds, OnceVerdict};
pub use plan::{Facts, Plan, Segment, SignedUrl, redirect, respond};
pub use refused::Refused;
pub use representation::{Form, Stat};
pub use settings::{Access, FilesSettings, Root, SettingsError, Wanted};
pub use signed::{Grant, Granted, UrlClass, UrlKeys};
