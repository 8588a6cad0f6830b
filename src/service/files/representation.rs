//! Which form of a file is sent: itself, a sibling that was compressed beforehand, or itself compressed on the way; and the validators of that form.

use super::{FilesSettings, Media, Root};
use core::fmt::Write as _;
use ringway_proto::http1::{Accepted, Coding, Request};

/// What `statx` says of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stat {
    /// Its length.
    pub bytes: u64,
    /// When it was changed, in Unix seconds.
    pub modified_unix_seconds: u64,
    /// And the nanoseconds behind them.
    pub modified_nanoseconds: u32,
    /// Its number on the disk.
    pub inode: u64,
    /// The disk.
    pub device: u64,
    /// When anything of it last changed, in Unix nanoseconds. Whoever writes a file can set back when it was modified, but not this.
    pub changed_ns: i128,
    /// Its names.
    pub links: u64,
    /// Its mode and its owner, as one number.
    pub permissions: u128,
}

impl Stat {
    const fn modified(&self) -> (u64, u32) {
        (self.modified_unix_seconds, self.modified_nanoseconds)
    }
}

/// What a file is when it is compressed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It has to be made yet.
    Unmade,
    /// It was made before, and has so many bytes.
    Made(u64),
    /// It cannot be made now.
    Never,
}

impl Form {
    const fn bytes(self) -> Option<u64> {
        match self {
            Self::Made(bytes) => Some(bytes),
            Self::Unmade | Self::Never => None,
        }
    }
}

/// A form of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Representation {
    /// How the file that is opened is encoded.
    pub(super) stored: Coding,
    /// How it is to be encoded on the way.
    pub(super) compress: Option<Coding>,
    /// How long that is, if it was done before.
    pub(super) encoded_bytes: Option<u64>,
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
        encoded: &dyn Fn(Coding) -> Form,
    ) -> Self {
        let is_compressing = media.compresses && root.compress && settings.compression.is_on();
        let may_be_packed = media.may_be_packed && root.precompressed;
        let own = Self {
            stored: Coding::Identity,
            compress: None,
            encoded_bytes: None,
            stat: *file,
            varies: may_be_packed || is_compressing,
        };
        // The parts of several ranges are not encoded as a whole, and a field for each that said so nobody reads: they are of the file as it is.
        if !own.varies || has_several_ranges(request) {
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
        if !is_compressing || !compresses_on_the_way(settings, request, file) {
            return own;
        }
        let offered = liked().filter(|coding| settings.compression.offers(*coding));
        let mut forms = offered.map(|coding| (coding, encoded(coding)));
        let possible = forms.find(|(_, form)| *form != Form::Never);
        let Some((coding, form)) = possible else {
            return own;
        };
        Self {
            compress: Some(coding),
            encoded_bytes: form.bytes(),
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
        let form = match self.coding() {
            Coding::Identity => "",
            coding => coding.suffix(),
        };
        let form = form.trim_start_matches('.');
        let dash = if form.is_empty() { "" } else { "-" };
        // Whatever changes the time of modification changes this one. The disk's number is not in it: it may be another one after a reboot.
        let mut tag = String::with_capacity(64);
        let (inode, bytes, changed_ns) = (stat.inode, stat.bytes, stat.changed_ns);
        write!(tag, "{inode:x}-{bytes:x}-{changed_ns:x}{dash}{form}").expect("memory takes it");
        tag
    }
}

fn has_several_ranges(request: &Request) -> bool {
    let range = request.header("range");
    range.is_some_and(|range| range.contains(','))
}

/// Never for ranges: they are of bytes that do not exist before they are compressed. Nor for a client of HTTP/1.0, which knows no chunks (RFC 9112 §6.1): to it a
/// body that is cut would look like one that is over.
fn compresses_on_the_way(settings: &FilesSettings, request: &Request, file: &Stat) -> bool {
    let compression = &settings.compression;
    let bounds = compression.bytes_min.max(1)..=compression.bytes_max;
    bounds.contains(&file.bytes) && request.version == 1 && request.header("range").is_none()
}
