//! What a token permits with files: patterns of its `rw` claim, as those of rooms.
//!
//! `rw.files` names paths beneath a root that may be read (`avatars/*`), `rw.uploads` names of files that may be uploaded (`*.png`; the `filename` of
//! Upload-Metadata, empty if there is none). Naming a room in an upload takes `rw.publish` for that room, for its members will hear of it.

use crate::rooms::matches;

/// Patterns of one kind, and bytes of each: what rooms may have.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 256;

/// What somebody may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePermits {
    files: Vec<String>,
    uploads: Vec<String>,
    publish: Vec<String>,
}

impl FilePermits {
    /// The permits of these patterns; `None` when there are more, or longer ones, than there may be.
    #[must_use]
    pub fn new(files: Vec<String>, uploads: Vec<String>, publish: Vec<String>) -> Option<Self> {
        let fits = |patterns: &Vec<String>| {
            let short = |pattern: &String| pattern.len() <= PATTERN_BYTES_MAX;
            patterns.len() <= PATTERNS_MAX && patterns.iter().all(short)
        };
        let is_bounded = [&files, &uploads, &publish].into_iter().all(fits);
        is_bounded.then_some(Self {
            files,
            uploads,
            publish,
        })
    }

    /// Whether the file at this path beneath its root may be read.
    #[must_use]
    pub fn may_read(&self, path: &str) -> bool {
        any_matches(&self.files, path)
    }

    /// Whether a file of this name may be uploaded.
    #[must_use]
    pub fn may_upload(&self, name: &str) -> bool {
        any_matches(&self.uploads, name)
    }

    /// Whether this room's members may be told.
    #[must_use]
    pub fn may_announce(&self, room: &str) -> bool {
        any_matches(&self.publish, room)
    }
}

fn any_matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Whose request it is. What it permits was verified: nobody becomes one of these by what a request says alone.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// Anybody, who may hear what the server knows and nothing of uploads.
    Anybody,
    /// Whoever comes with `--dev`: all are one, without a name, and may do everything.
    Developer,
    /// The subject of a token, and what that permits.
    Bearer(&'a str, &'a FilePermits),
    /// Whoever has a URL that was signed for writing to its path. Its subject, and a pattern of the rooms that an upload may name.
    Holder(&'a str, Option<&'a str>),
}

impl<'a> Who<'a> {
    /// Whose uploads these are, and whose quota counts.
    #[must_use]
    pub const fn subject(&self) -> &'a str {
        match self {
            Self::Anybody | Self::Developer => "",
            Self::Bearer(subject, _) | Self::Holder(subject, _) => subject,
        }
    }

    /// Whether a file of this name may be uploaded.
    pub(super) fn may_upload(&self, name: &str) -> bool {
        match self {
            Self::Anybody => false,
            Self::Developer | Self::Holder(..) => true,
            Self::Bearer(_, permits) => permits.may_upload(name),
        }
    }

    /// Whether a new upload may name this room.
    pub(super) fn may_announce(&self, room: &str) -> bool {
        match self {
            Self::Anybody => false,
            Self::Developer => true,
            Self::Bearer(_, permits) => permits.may_announce(room),
            Self::Holder(_, rooms) => rooms.is_some_and(|rooms| matches(rooms, room)),
        }
    }

    /// Whether an upload of one's own, of this name and for this room, may be asked about, continued and ended: by whom it could be created now. A URL was
    /// signed for this one upload, whatever its room.
    pub(super) fn may_continue(&self, name: &str, room: Option<&str>) -> bool {
        let is_signed_for_it = matches!(self, Self::Holder(..));
        let may_announce = room.is_none_or(|room| self.may_announce(room));
        is_signed_for_it || self.may_upload(name) && may_announce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str], uploads: &[&str]) -> FilePermits {
        let owned = |patterns: &[&str]| patterns.iter().map(|it| (*it).to_owned()).collect();
        FilePermits::new(owned(files), owned(uploads), Vec::new()).unwrap()
    }

    #[test]
    fn reading_and_writing_are_apart() {
        let permits = of(&["avatars/*"], &["*.png"]);
        assert!(permits.may_read("avatars/a.png") && !permits.may_read("a.png"));
        assert!(permits.may_upload("a.png") && !permits.may_upload("a.exe"));
        assert!(!permits.may_announce("room"));
    }

    #[test]
    fn nothing_is_permitted_by_nothing() {
        let permits = FilePermits::default();
        assert!(!permits.may_read("") && !permits.may_upload("") && !permits.may_announce(""));
    }

    #[test]
    fn whoever_continues_could_create() {
        let permits = FilePermits::new(
            Vec::new(),
            vec!["*.png".to_owned()],
            vec!["order:*".to_owned()],
        );
        let permits = permits.unwrap();
        let bearer = Who::Bearer("anna", &permits);
        assert!(bearer.may_continue("a.png", None) && !bearer.may_continue("a.exe", None));
        assert!(bearer.may_continue("a.png", Some("order:1")));
        assert!(!bearer.may_continue("a.png", Some("x")));
        assert!(Who::Developer.may_continue("a.exe", Some("x")));
        assert!(Who::Holder("anna", None).may_continue("a.exe", Some("x")));
        assert!(!Who::Anybody.may_continue("", None));
    }

    #[test]
    fn a_signed_url_announces_where_it_says() {
        let holder = Who::Holder("anna", Some("order:*"));
        assert!(holder.may_announce("order:1") && !holder.may_announce("x"));
        assert!(!Who::Holder("anna", None).may_announce("order:1"));
    }

    #[test]
    fn patterns_are_bounded() {
        let many = vec![String::new(); PATTERNS_MAX + 1];
        assert_eq!(FilePermits::new(many, Vec::new(), Vec::new()), None);
        let long = vec!["x".repeat(PATTERN_BYTES_MAX + 1)];
        assert_eq!(FilePermits::new(Vec::new(), long, Vec::new()), None);
    }
}
