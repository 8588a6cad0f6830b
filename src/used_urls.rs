//! Used one-time URLs: where it is written down that they were used, and what earlier processes wrote.
//!
//! Deliberately absent: what is written meanwhile (the shards do), and how a line reads (the service's `files/journal.rs`).

use crate::config::Config;
use crate::start::StartError;
use crate::uploads;
use ringway_service::files::{Entry, Replay, UsedUrls, generation_of, merged_names};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Beneath the directory that the operator names. No name that begins with a dot is ever served, should that directory be a root of files as well.
const DIRECTORY: &str = ".used-urls";

/// No journal comes to so much: beyond it a file is passed over, as one line that is none.
const FILE_BYTES_MAX: u64 = 1 << 30;
const PIECE_BYTES: usize = 64 * 1024;

/// The directory beneath which it is written down; `None` where one-time URLs are forgotten with the process, or there are none.
fn parent(config: &Config) -> Option<&Path> {
    let files = &config.files;
    let are_served = !files.roots.is_empty() || config.uploads.directory.is_some();
    let are_signed = !files.url_keys.is_empty() && !config.dev;
    let directory = files.used_urls.as_ref();
    let directory = directory.or(config.uploads.directory.as_ref());
    directory
        .filter(|_| are_served && are_signed)
        .map(PathBuf::as_path)
}

/// Its number among the roots of the shards: it is the last one.
#[must_use]
pub fn root(config: &Config) -> Option<u32> {
    let of_uploads = config.uploads.directory.as_ref();
    let of_uploads = of_uploads.map_or(0, |_| uploads::ROOTS);
    parent(config).map(|_| config.files.roots.len() as u32 + of_uploads)
}

/// The directory, opened, and made if it is not there.
///
/// # Errors
/// RW-1014.
pub fn directory(config: &Config) -> Result<Option<OwnedFd>, StartError> {
    let open = |parent: &Path| {
        uploads::open_or_make(parent, DIRECTORY)
            .map_err(|error| StartError::used_urls_unusable(parent, &error))
    };
    parent(config).map(open).transpose()
}

/// Claims the directory for as long as this process lives: two daemons in one would not know of each other's uses.
///
/// # Errors
/// RW-1014.
pub fn claim(config: &Config) -> Result<Option<File>, StartError> {
    let (Some(parent), Some(directory)) = (parent(config), directory(config)?) else {
        return Ok(None);
    };
    let taken = "another daemon writes down there which one-time URLs were used";
    let claim = uploads::lock(File::from(directory), taken);
    claim
        .map(Some)
        .map_err(|error| StartError::used_urls_unusable(parent, &error))
}

/// What earlier processes wrote down and what counts still, which is one file afterwards.
///
/// # Errors
/// RW-1014.
pub fn found(config: &Config, now_unix_seconds: u64) -> Result<UsedUrls, StartError> {
    let Some(parent) = parent(config) else {
        return Ok(UsedUrls::default());
    };
    let directory = parent.join(DIRECTORY);
    let read = Journals::read(&directory, now_unix_seconds);
    let read = read.map_err(|error| StartError::used_urls_unusable(parent, &error))?;
    if read.unreadable > 0 {
        let lines = read.unreadable;
        tracing::warn!(
            code = "RW-2713",
            lines,
            "lines about used one-time URLs cannot be read"
        );
    }
    // A disk that is full or read-only keeps nobody from starting: what was read counts, and is there for the next one.
    if let Err(error) = read.merge(&directory) {
        tracing::warn!(
            code = "RW-2713",
            %error,
            "the journals of used one-time URLs could not be written anew"
        );
    }
    Ok(UsedUrls {
        generation: read.generation,
        used: read.used.into_iter().collect(),
        unreadable: read.unreadable,
    })
}

/// The journals of earlier processes.
#[derive(Default)]
struct Journals {
    /// Behind all of theirs.
    generation: u64,
    names: Vec<String>,
    used: BTreeMap<u128, u64>,
    unreadable: u64,
}

impl Journals {
    fn read(directory: &Path, now_unix_seconds: u64) -> io::Result<Self> {
        let mut all = Self::default();
        for name in fs::read_dir(directory)? {
            let name = name?.file_name();
            let known = name
                .to_str()
                .and_then(|name| Some((name, generation_of(name)?)));
            let Some((name, (generation, is_whole))) = known else {
                continue;
            };
            all.generation = all.generation.max(generation + 1);
            all.names.push(name.to_owned());
            // What was not written to its end holds nothing that anybody was promised.
            if is_whole {
                all.take(&directory.join(name), now_unix_seconds)?;
            }
        }
        Ok(all)
    }

    /// What counts of a file. Files are of one shard each and say all about its ids, so that their order does not matter: a use that any of them knows of
    /// was one.
    fn take(&mut self, path: &Path, now_unix_seconds: u64) -> io::Result<()> {
        // To open a pipe would wait for whoever writes to it.
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            self.unreadable += 1;
            return Ok(());
        }
        let (used, unreadable) = replay(path)?;
        self.unreadable += unreadable;
        for (id, expires) in used {
            if expires > now_unix_seconds {
                let known = self.used.entry(id).or_default();
                *known = expires.max(*known);
            }
        }
        Ok(())
    }

    /// One file instead of all: it has its name, durably, before any other one goes.
    fn merge(&self, directory: &Path) -> io::Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        let names = File::open(directory)?;
        if !self.used.is_empty() {
            let [new, merged] = merged_names(self.generation).map(|name| directory.join(name));
            self.write(&new)?;
            fs::rename(&new, merged)?;
            names.sync_all()?;
        }
        for name in &self.names {
            let path = directory.join(name);
            // Nobody knows whose a directory of that name is.
            if fs::symlink_metadata(&path)?.is_file() {
                fs::remove_file(path)?;
            }
        }
        names.sync_all()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create_new(path)?);
        let mut line = Vec::new();
        for (id, expires_unix_seconds) in &self.used {
            line.clear();
            let (id, expires_unix_seconds) = (*id, *expires_unix_seconds);
            let entry = Entry::Used {
                id,
                expires_unix_seconds,
            };
            entry.append(&mut line);
            out.write_all(&line)?;
        }
        out.into_inner()?.sync_all()
    }
}

fn replay(path: &Path) -> io::Result<(BTreeMap<u128, u64>, u64)> {
    let mut file = File::open(path)?.take(FILE_BYTES_MAX);
    let mut replay = Replay::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(replay.finish()),
            count => replay.push(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_service::files::journal_name;

    const NOW: u64 = 1_700_000_000;

    /// A directory of journals, which goes with it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("ringway-used-{}-{name}", std::process::id());
            let place = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(place.0.join(DIRECTORY)).unwrap();
            place
        }

        fn config(&self) -> Config {
            let mut config = Config::default();
            config.uploads.directory = Some(self.0.clone());
            let file = "key".into();
            let key = crate::config::UrlKey {
                id: "k".to_owned(),
                file,
            };
            config.files.url_keys.push(key);
            config
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(DIRECTORY).join(name)
        }

        fn write(&self, name: &str, entries: &[Entry], rest: &[u8]) {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| entry.append(&mut bytes));
            bytes.extend_from_slice(rest);
            fs::write(self.path(name), bytes).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(self.0.join(DIRECTORY)).unwrap();
            let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        }

        #[track_caller]
        fn check(&self, generation: u64, ids: &[u128], unreadable: u64, names: &[&str]) {
            let found = found(&self.config(), NOW).unwrap();
            let used: Vec<u128> = found.used.iter().map(|(id, _)| *id).collect();
            assert_eq!(
                (found.generation, &used[..], found.unreadable),
                (generation, ids, unreadable)
            );
            assert_eq!(self.names(), names);
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const fn used(id: u128, seconds: u64) -> Entry {
        let expires_unix_seconds = NOW + seconds;
        Entry::Used {
            id,
            expires_unix_seconds,
        }
    }

    #[test]
    fn nothing_is_written_where_nothing_was_used() {
        let place = Place::new("nothing");
        place.check(0, &[], 0, &[]);
    }

    #[test]
    fn what_counts_of_all_journals_is_one_file_afterwards() {
        let place = Place::new("merge");
        let returned = Entry::Returned { id: 1 };
        place.write("3-all.journal", &[used(1, 9), used(2, 9)], b"");
        place.write(&journal_name(3, 0), &[used(4, 9), used(6, 0)], b"torn");
        place.write(
            &journal_name(3, 1),
            &[used(3, 9), used(1, 9), returned],
            b"",
        );
        place.write("3-1.new", &[used(8, 9)], b"");
        place.write("notes", &[], b"of somebody");
        place.check(4, &[1, 2, 3, 4], 1, &["4-all.journal", "notes"]);
        place.check(5, &[1, 2, 3, 4], 0, &["5-all.journal", "notes"]);
    }

    #[test]
    fn what_expired_goes_with_its_file() {
        let place = Place::new("expired");
        place.write(&journal_name(0, 0), &[used(1, 0)], b"");
        place.check(1, &[], 0, &[]);
    }

    #[test]
    fn a_crash_between_the_new_file_and_the_removal_of_the_old_ones_changes_nothing() {
        let place = Place::new("between");
        place.write("1-all.journal", &[used(1, 9)], b"");
        place.write(&journal_name(0, 0), &[used(1, 9)], b"");
        place.write("1-all.new", &[], b"+");
        place.check(2, &[1], 0, &["2-all.journal"]);
    }

    #[test]
    fn what_is_no_file_is_left_and_counted() {
        let place = Place::new("directory");
        fs::create_dir(place.path("7-0.journal")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", place.path("7-1.journal")).unwrap();
        place.check(8, &[], 2, &["7-0.journal", "7-1.journal"]);
    }

    #[test]
    fn a_journal_that_cannot_be_merged_counts_and_stays() {
        let place = Place::new("stays");
        place.write(&journal_name(0, 0), &[used(1, 9)], b"");
        fs::create_dir(place.path("1-all.new")).unwrap();
        place.check(2, &[1], 0, &["1-all.new", "2-all.journal"]);
        // A name that is taken is that of another generation the next time.
        place.write(&journal_name(2, 0), &[used(2, 9)], b"");
        place.check(3, &[1, 2], 0, &["1-all.new", "3-all.journal"]);
    }

    #[test]
    fn one_daemon_has_the_directory() {
        let place = Place::new("claim");
        let first = claim(&place.config()).unwrap();
        assert!(first.is_some());
        assert_eq!(claim(&place.config()).unwrap_err().code, "RW-1014");
        drop(first);
        assert!(claim(&place.config()).unwrap().is_some());
    }

    #[test]
    fn it_is_the_last_root_where_there_are_one_time_urls() {
        let mut config = Place::new("root").config();
        assert_eq!(root(&config), Some(3));
        config.dev = true;
        assert_eq!(root(&config), None);
        config.dev = false;
        config.uploads.directory = None;
        assert_eq!(root(&config), None);
        config.files.used_urls = Some("somewhere".into());
        assert_eq!(root(&config), None);
    }
}
