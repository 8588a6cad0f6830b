//! Which form of a file is sent: itself, a sibling that was compressed beforehand, or itself compressed on the way; and the validators of that form.

use super::{FilesSettings, Media, Root};
use ringway_proto::http1::{Accepted, Coding, Request};

/// What `statx` says of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length.
    pub bytes: u64,
    /// When it was changed, in Unix seconds.
    pub modified_unix_seconds: u64,
    /// And the nanoseconds behind them.
    pub modified_nanoseconds: u32,
    /// Its number on the disk.
    pub inode: u64,
}

impl Stat {
    const fn modified(&self) -> (u64, u32) {
        (self.modified_unix_seconds, self.modified_nanoseconds)
    }
}

/// A form of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Representation {
    /// How the file that is opened is encoded.
    pub(super) stored: Coding,
    /// How it is to be encoded on the way.
    pub(super) compress: Option<Coding>,
    /// Of the file that is opened.
    pub(super) stat: Stat,
    /// Whether another client could get another form.
    pub(super) varies: bool,
}

impl Representation {
    /// The form that this request gets of a file and of those siblings of it that exist.
    pub(super) fn choose(
        settings: &FilesSettings,
        root: &Root,
        media: Media,
        request: &Request,
        file: &Stat,
        siblings: &[(Coding, Stat)],
    ) -> Self {
        let own = Self {
            stored: Coding::Identity,
            compress: None,
            stat: *file,
            varies: media.compresses && (root.precompressed || root.compress),
        };
        if !own.varies {
            return own;
        }
        let accepted = Accepted::of(request);
        let liked = || {
            let ranked = accepted.ranked();
            ranked.take_while(|coding| *coding != Coding::Identity)
        };
        // A sibling that is older than the file is of an older file.
        let fresh = |coding: Coding| {
            let found = siblings.iter().find(|(other, _)| *other == coding)?;
            (root.precompressed && found.1.modified() >= file.modified()).then_some(*found)
        };
        if let Some((stored, stat)) = liked().find_map(fresh) {
            return Self {
                stored,
                stat,
                ..own
            };
        }
        let compress = liked().find(|coding| is_quick(*coding));
        let applies = compresses_on_the_way(settings, root, request, file);
        Self {
            compress: compress.filter(|_| applies),
            ..own
        }
    }

    /// How the bytes that the client gets are encoded.
    pub(super) fn coding(&self) -> Coding {
        self.compress.unwrap_or(self.stored)
    }

    /// The tag, without quotes: another one for each form, and weak for what the next version of a compressor may write differently.
    pub(super) fn opaque_tag(&self) -> String {
        let stat = &self.stat;
        let nanoseconds = u128::from(stat.modified_unix_seconds) * 1_000_000_000
            + u128::from(stat.modified_nanoseconds);
        let form = match self.coding() {
            Coding::Identity => "",
            coding => coding.suffix(),
        };
        let form = form.trim_start_matches('.');
        let dash = if form.is_empty() { "" } else { "-" };
        format!(
            "{:x}-{:x}-{nanoseconds:x}{dash}{form}",
            stat.inode, stat.bytes
        )
    }
}

/// Brotli at a level that is worth it takes tens of times as long as the others: only beforehand.
const fn is_quick(coding: Coding) -> bool {
    matches!(coding, Coding::Zstd | Coding::Gzip)
}

/// Never for ranges: they are of bytes that do not exist before they are compressed.
fn compresses_on_the_way(
    settings: &FilesSettings,
    root: &Root,
    request: &Request,
    file: &Stat,
) -> bool {
    let bounds = settings.compress_bytes_min..=settings.compress_bytes_max;
    root.compress && bounds.contains(&file.bytes) && request.header("range").is_none()
}
