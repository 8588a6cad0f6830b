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

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Whom the token names: whose uploads these are, and whose quota counts.
    pub subject: &'a str,
    /// What the token permits; `None`: everything, with `--dev` or a signed URL for writing.
    pub permits: Option<&'a FilePermits>,
}

impl Who<'_> {
    pub(super) fn may_upload(&self, name: &str) -> bool {
        self.permits.is_none_or(|permits| permits.may_upload(name))
    }

    pub(super) fn may_announce(&self, room: &str) -> bool {
        self.permits
            .is_none_or(|permits| permits.may_announce(room))
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
    fn patterns_are_bounded() {
        let many = vec![String::new(); PATTERNS_MAX + 1];
        assert_eq!(FilePermits::new(many, Vec::new(), Vec::new()), None);
        let long = vec!["x".repeat(PATTERN_BYTES_MAX + 1)];
        assert_eq!(FilePermits::new(Vec::new(), long, Vec::new()), None);
    }
}
