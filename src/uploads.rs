//! Uploads: from the configuration to what the service reads, the directories in which they are kept, what an earlier process left there, and what passes
//! between service and loop.

use crate::config::Config;
use crate::files::Shares;
use crate::start::StartError;
use ringway_io::{Errno, FileName, OpenError, OpenHow, RelativePath, Root, Symlinks, SyncWhat};
use ringway_runtime::{FileHandle, FileOutcome, FileRequest, Place};
use ringway_service::files::{Access, FileRef, Root as ServedRoot};
use ringway_service::settings::UploadsService;
use ringway_service::uploads::{
    Area, Found, STORED_BYTES_MAX, StoreAnswer, StoreAsk, StoreError, UploadId, Uploads,
    UploadsSettings, Vault, part_name, record_name, upload_of,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Marks the tokens of uploads among those of files.
pub const TOKEN: u64 = 1 << 63;

/// Marks those of operations for which nothing can be absent but the directory itself, or what others took out of it.
const IN_DIRECTORY: u64 = 1 << 61;

/// The token under which the shard is asked.
#[must_use]
pub const fn token_of(token: u64, ask: &StoreAsk) -> u64 {
    let needs_directory = matches!(
        ask,
        StoreAsk::Open { creates: true, .. }
            // What should stand there has just been moved there, or before.
            | StoreAsk::Open {
                area: Area::Whole,
                ..
            }
            | StoreAsk::Rename {
                may_be_absent: false,
                ..
            }
    );
    TOKEN | token | if needs_directory { IN_DIRECTORY } else { 0 }
}

/// What the service called it, and whether nothing could be absent but the directory.
#[must_use]
pub const fn asked_under(token: u64) -> (u64, bool) {
    (token & !(TOKEN | IN_DIRECTORY), token & IN_DIRECTORY != 0)
}

/// Beneath the directory of uploads: parts with their records, and whole files.
pub(crate) const PARTS: &str = "parts";
const WHOLE: &str = "whole";
/// What is kept of the keys of whole files that are encrypted.
pub(crate) const LOCKS: &str = "keys";
/// How far behind the root of whole files theirs stand.
const PARTS_BEHIND: u32 = 1;
const LOCKS_BEHIND: u32 = 2;
/// How many roots there are of uploads.
pub(crate) const ROOTS: u32 = 3;
/// What the path of whole files' URLs begins with.
const WHOLE_PREFIX: &str = "/uploads/files/";

/// Pieces that are smaller cost more than they bring; larger ones are sent by no client in one breath.
const BUFFER_BYTES: core::ops::RangeInclusive<u32> = 4096..=4 << 20;

/// What the service reads of it.
///
/// # Errors
/// RW-1009.
pub fn settings(config: &Config) -> Result<Option<UploadsService>, StartError> {
    let uploads = &config.uploads;
    if uploads.directory.is_none() {
        return Ok(None);
    }
    let least: [(&str, u64); 4] = [
        ("uploads.user_bodies_max", uploads.user_bodies_max.into()),
        ("uploads.writes_max", uploads.writes_max.into()),
        ("uploads.buffers", uploads.buffers.into()),
        ("uploads.idle_timeout_ms", uploads.idle_timeout_ms.into()),
    ];
    if let Some((name, _)) = least.iter().find(|(_, value)| *value == 0) {
        return Err(StartError::invalid_value(name, "it is at least 1"));
    }
    if !BUFFER_BYTES.contains(&uploads.buffer_bytes) {
        let what = "a buffer has 4,096 to 4,194,304 bytes";
        return Err(StartError::invalid_value("uploads.buffer_bytes", what));
    }
    let shares = Shares::of(&config.files);
    // Anonymous clients are one user, who has no quota. Any other leaves as many bodies to the rest as it may send itself.
    let (user_bytes_max, user_uploads_max, user_bodies_max) = match config.dev {
        true => (u64::MAX, u32::MAX, u32::MAX),
        false => (
            uploads.user_bytes_max,
            uploads.user_uploads_max,
            uploads.user_bodies_max.min((shares.bodies / 2).max(1)),
        ),
    };
    let vault = vault(&uploads.key_files)?;
    let bytes_max = match vault {
        Some(_) => Vault::FILE_BYTES_MAX,
        None => i64::MAX as u64,
    };
    Ok(Some(UploadsService {
        uploads: UploadsSettings {
            bytes_max: uploads.bytes_max.min(bytes_max),
            user_bytes_max,
            user_uploads_max,
            user_bodies_max,
            bodies_max: shares.bodies,
            openers_max: shares.openers,
            uploads_max: uploads.uploads_max,
            expire_seconds: uploads.expire_seconds,
            remember_seconds: uploads.remember_seconds,
            checkpoint_bytes: uploads.checkpoint_bytes,
            writes_max: uploads.writes_max,
            vault,
            ..UploadsSettings::default()
        },
        buffers: uploads.buffers,
        buffer_bytes: uploads.buffer_bytes,
        idle_timeout_ms: uploads.idle_timeout_ms,
        namespace: uploads.namespace.clone(),
        url_seconds: uploads.url_seconds,
        whole_root: config.files.roots.len() as u32,
        whole_prefix: WHOLE_PREFIX.to_owned(),
    }))
}

/// The master keys.
///
/// # Errors
/// RW-1007 for a file that cannot be read, RW-1009 for what is no key.
pub(crate) fn vault(files: &[PathBuf]) -> Result<Option<Arc<Vault>>, StartError> {
    let key = |path: &PathBuf| {
        let bytes = fs::read(path);
        let bytes = bytes.map_err(|error| StartError::key_unreadable(path, &error.to_string()))?;
        Vault::key_in(&bytes).ok_or_else(|| {
            let what = format!(
                "{} has no key: 32 random bytes, as they are or in base64",
                path.display()
            );
            StartError::invalid_value("uploads.key_files", &what)
        })
    };
    let keys: Vec<[u8; 32]> = files.iter().map(key).collect::<Result<_, _>>()?;
    Ok(Vault::of_keys(&keys).map(Arc::new))
}

/// Whole files as they are served: to whoever has a signed URL or a token for them. What strangers wrote is saved and never shown.
#[must_use]
pub fn served_root(config: &Config) -> Option<ServedRoot> {
    config.uploads.directory.as_ref().map(|_| ServedRoot {
        prefix: WHOLE_PREFIX.to_owned(),
        access: Access::Granted,
        always_download: true,
        // Nobody puts anything beside them.
        precompressed: false,
        locks: Some(config.files.roots.len() + LOCKS_BEHIND as usize),
        ..ServedRoot::default()
    })
}

/// The directories of whole files, of parts and of keys, opened, and made if they are not there. None without uploads.
///
/// # Errors
/// RW-1014.
pub fn directories(config: &Config) -> Result<Vec<OwnedFd>, StartError> {
    let Some(directory) = &config.uploads.directory else {
        return Ok(Vec::new());
    };
    let open = |name| open_or_make(directory, name);
    let opened = [WHOLE, PARTS, LOCKS]
        .into_iter()
        .map(open)
        .collect::<io::Result<_>>();
    opened.map_err(|error| StartError::uploads_unusable(directory, &error))
}

pub(crate) fn open_or_make(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let path = directory.join(name);
    match fs::create_dir(&path) {
        // Its name must outlast a crash, as what will be in it.
        Ok(()) => fs::File::open(directory)?.sync_all()?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let file = fs::File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Ok(file.into()),
        false => Err(ErrorKind::NotADirectory.into()),
    }
}

/// Claims the directory for as long as this process lives: two daemons in one would take each other's uploads for what a crash left.
///
/// # Errors
/// RW-1014.
pub fn claim(config: &Config) -> Result<Option<fs::File>, StartError> {
    let Some(directory) = &config.uploads.directory else {
        return Ok(None);
    };
    let claim = fs::File::open(directory);
    let claim = claim.and_then(|claim| lock(claim, "another daemon keeps its uploads there"));
    claim
        .map(Some)
        .map_err(|error| StartError::uploads_unusable(directory, &error))
}

/// Locks a directory for as long as it is open. `taken` says what is so when another process has.
pub(crate) fn lock(directory: fs::File, taken: &str) -> io::Result<fs::File> {
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(fs::TryLockError::Error(error)) => Err(error),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(ErrorKind::ResourceBusy, taken)),
    }
}

/// What an earlier process left. Of what none of these keys opens the log hears.
///
/// # Errors
/// RW-1014.
pub fn found(config: &Config, vault: Option<&Vault>) -> Result<Vec<Found>, StartError> {
    let Some(directory) = &config.uploads.directory else {
        return Ok(Vec::new());
    };
    let unusable = |error: io::Error| StartError::uploads_unusable(directory, &error);
    directories(config)?;
    let names = fs::read_dir(directory.join(PARTS)).map_err(unusable)?;
    let mut uploads = BTreeSet::new();
    for name in names {
        let name = name.map_err(unusable)?.file_name();
        uploads.extend(name.to_str().and_then(upload_of));
    }
    let found = uploads.into_iter().map(|upload| find(directory, upload));
    let found = found.collect::<io::Result<Vec<_>>>().map_err(unusable)?;
    warn_of_unreadable(&found, vault);
    Ok(found)
}

/// Names in the log of what may be many.
const NAMED_MAX: usize = 8;

fn warn_of_unreadable(found: &[Found], vault: Option<&Vault>) {
    let unreadable = found.iter().filter(|found| found.is_unreadable(vault));
    let names: Vec<String> = unreadable.map(|found| record_name(found.upload)).collect();
    if !names.is_empty() {
        let (count, first) = (names.len(), &names[..names.len().min(NAMED_MAX)]);
        tracing::warn!(
            code = "RW-2817",
            count,
            ?first,
            "records of uploads cannot be read, or are encrypted by keys that are not there; their files are left as they are"
        );
    }
}

fn find(directory: &Path, upload: UploadId) -> io::Result<Found> {
    let parts = directory.join(PARTS);
    let mut record = record_in(&parts.join(record_name(upload)))?;
    if let Some(record) = &mut record {
        record.truncate(record_bytes(record));
    }
    let name = record.as_deref();
    let name = name.and_then(|record| Uploads::final_name_in(upload, record));
    let whole = name.map(|name| directory.join(WHOLE).join(name));
    Ok(Found {
        upload,
        record,
        part_bytes: length(&parts.join(part_name(upload)))?,
        final_bytes: whole.map_or(Ok(None), |path: PathBuf| length(&path))?,
    })
}

/// The bytes of a record, and no more of them than one may have and one, by which it is known to be too long. One that cannot be read is empty: it is no
/// reason not to start, and nobody's upload is removed for it.
pub(crate) fn record_in(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(metadata) = present(fs::symlink_metadata(path))? else {
        return Ok(None);
    };
    // To open a pipe would wait for whoever writes to it.
    if !metadata.is_file() {
        return Ok(Some(Vec::new()));
    }
    let mut bytes = Vec::new();
    let most = STORED_BYTES_MAX as u64 + 1;
    let read = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    Ok(Some(read.map_or_else(|_| Vec::new(), |_| bytes)))
}

/// The bytes of a record and of its lock, without what is left of a segment: many are in memory at the start.
fn record_bytes(stored: &[u8]) -> usize {
    let mut breaks = stored
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n');
    breaks.nth(1).map_or(stored.len(), |(at, _)| at)
}

/// The length of a file; what is no file has none.
fn length(path: &Path) -> io::Result<Option<u64>> {
    let metadata = present(fs::symlink_metadata(path))?.filter(fs::Metadata::is_file);
    Ok(metadata.map(|metadata| metadata.len()))
}

pub(crate) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Where a shard writes to, by the numbers of its roots.
#[derive(Clone, Copy, Debug)]
pub struct StoreRoots {
    /// That of whole files; that of parts and that of keys stand behind it.
    pub whole: u32,
    /// That of used one-time URLs.
    pub used_urls: Option<u32>,
}

impl StoreRoots {
    fn of(self, area: Area) -> Root {
        Root(match area {
            Area::Whole => self.whole,
            Area::Parts => self.whole + PARTS_BEHIND,
            Area::Locks => self.whole + LOCKS_BEHIND,
            Area::UsedUrls => self
                .used_urls
                .expect("only where there is one it is written to"),
        })
    }
}

/// What the service asks, as the loop understands it.
#[must_use]
pub fn request_of(ask: StoreAsk, roots: StoreRoots) -> FileRequest {
    let root = |area| roots.of(area);
    let place = |area| Place::Root(root(area));
    match ask {
        StoreAsk::Open {
            area,
            name,
            creates,
            reads,
        } => FileRequest::Open {
            root: root(area),
            path: RelativePath::new(name.as_bytes())
                .expect("names that the service gives are short and plain"),
            how: match (creates, reads) {
                (true, _) => OpenHow::Create,
                (false, true) => OpenHow::Read(Symlinks::Refused),
                (false, false) => OpenHow::Write,
            },
        },
        StoreAsk::Read {
            file,
            offset,
            count,
        } => FileRequest::Read {
            file: handle_of(&file),
            count,
            offset,
        },
        StoreAsk::Write {
            file,
            bytes,
            offset,
        } => FileRequest::Write {
            file: handle_of(&file),
            bytes,
            offset,
        },
        StoreAsk::Sync(file) => FileRequest::Sync {
            file: handle_of(&file),
            what: SyncWhat::Data,
        },
        StoreAsk::SyncArea(area) => FileRequest::SyncPlace(place(area)),
        StoreAsk::Rename {
            from,
            name,
            to,
            new_name,
            ..
        } => FileRequest::Rename {
            from: place(from),
            name: name_of(&name),
            to: place(to),
            new_name: name_of(&new_name),
            replaces: true,
        },
        StoreAsk::Unlink { area, name } => FileRequest::Unlink {
            place: place(area),
            name: name_of(&name),
        },
        StoreAsk::Truncate { file, bytes } => FileRequest::Truncate {
            file: handle_of(&file),
            size: bytes,
        },
    }
}

fn name_of(name: &str) -> FileName {
    FileName::new(name.as_bytes()).expect("names that the service gives are those of one entry")
}

fn handle_of(file: &FileRef) -> FileHandle {
    let handle = file.downcast_ref::<FileHandle>();
    handle
        .expect("the service has only files that it was given here")
        .clone()
}

/// What came of it, as the service understands it.
#[must_use]
pub fn answer_of(outcome: FileOutcome) -> StoreAnswer {
    match outcome {
        FileOutcome::Opened(result) => {
            let opened = result.map(|opened| Rc::new(opened.file) as FileRef);
            StoreAnswer::Opened(opened.map_err(not_opened))
        }
        FileOutcome::Read(result) => StoreAnswer::Read(result.map_err(error_of)),
        FileOutcome::Wrote { bytes, result, .. } => {
            StoreAnswer::Wrote(bytes, result.map_err(error_of))
        }
        FileOutcome::Done(result) => StoreAnswer::Done(result.map_err(error_of)),
        other @ FileOutcome::Stat(_) => unreachable!("nobody asked for {other:?}"),
    }
}

const EAGAIN: i32 = 11;
const EFBIG: i32 = 27;
const EROFS: i32 = 30;

const fn error_of(errno: Errno) -> StoreError {
    not_opened(OpenError::of(errno))
}

/// Why the shard could not, of what the system said.
pub(crate) const fn not_opened(error: OpenError) -> StoreError {
    match error {
        OpenError::Absent => StoreError::Absent,
        OpenError::Exists => StoreError::Exists,
        OpenError::Full => StoreError::Full,
        OpenError::Exhausted => StoreError::Busy,
        OpenError::Failed(errno) => failed(errno),
        _ => StoreError::Failed,
    }
}

const fn failed(errno: Errno) -> StoreError {
    match errno.0 {
        EAGAIN => StoreError::Busy,
        EFBIG => StoreError::TooLarge,
        EROFS => StoreError::ReadOnly,
        _ => StoreError::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of uploads with one upload in it, whose record is made by `spoil`.
    fn found_of(name: &str, spoil: impl FnOnce(&Path)) -> Found {
        let directory = std::env::temp_dir().join(format!("ringway-{}-{name}", std::process::id()));
        let mut config = Config::default();
        config.uploads.directory = Some(directory.clone());
        fs::create_dir_all(&directory).unwrap();
        directories(&config).unwrap();
        let upload = UploadId::new(1 << 20, 0);
        fs::write(directory.join(PARTS).join(part_name(upload)), b"abc").unwrap();
        spoil(&directory.join(PARTS).join(record_name(upload)));
        let found = found(&config, None);
        fs::remove_dir_all(directory).unwrap();
        let mut found = found.expect("a bad record is no reason not to start");
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    /// Bodies of all users and of one, for so many open files and so many bodies of a user.
    fn bodies(open_max: u32, user_bodies_max: u32) -> Result<(u32, u32), StartError> {
        let mut config = Config::default();
        config.files.open_max = open_max;
        config.uploads.directory = Some("uploads".into());
        config.uploads.user_bodies_max = user_bodies_max;
        let settings = settings(&config)?.expect("there is a directory").uploads;
        Ok((settings.bodies_max, settings.user_bodies_max))
    }

    #[test]
    fn a_user_leaves_half_of_the_bodies_to_others() {
        for (open_max, user_bodies_max, expected) in [
            (1024, 128, (384, 128)),
            (1024, 1000, (384, 192)),
            (256, 128, (96, 48)),
            (1, 128, (24, 12)),
            (64, 1, (24, 1)),
        ] {
            assert_eq!(bodies(open_max, user_bodies_max).unwrap(), expected);
        }
    }

    #[test]
    fn a_user_who_may_send_no_body_is_no_setting() {
        let error = bodies(1024, 0).unwrap_err();
        assert_eq!(error.code, "RW-1009", "{error}");
        assert!(error.to_string().contains("uploads.user_bodies_max"));
    }

    #[test]
    fn what_went_wrong_is_told_apart() {
        for (errno, error) in [
            (2, StoreError::Absent),
            (5, StoreError::Failed),
            (11, StoreError::Busy),
            (12, StoreError::Busy),
            (23, StoreError::Busy),
            (24, StoreError::Busy),
            (27, StoreError::TooLarge),
            (28, StoreError::Full),
            (30, StoreError::ReadOnly),
            (122, StoreError::Full),
        ] {
            assert_eq!(error_of(Errno(errno)), error, "{errno}");
            assert_eq!(not_opened(OpenError::of(Errno(errno))), error, "{errno}");
        }
    }

    #[test]
    fn a_record_is_read_as_far_as_one_may_go() {
        let found = found_of("long", |path| {
            fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
        });
        assert!(found.is_unreadable(None));
        let bytes = found.record.map(|record| record.len());
        assert_eq!(bytes, Some(STORED_BYTES_MAX + 1));
    }

    #[test]
    fn a_record_that_is_no_file_is_unreadable_and_not_absent() {
        let directory = found_of("directory", |path| fs::create_dir(path).unwrap());
        assert!(directory.is_unreadable(None));
        let link = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        assert!(found_of("link", link).is_unreadable(None));
        assert!(!found_of("absent", |_| {}).is_unreadable(None));
    }
}
