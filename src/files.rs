//! Files: from the configuration to what the service reads, the directories that shards open files beneath, and what passes between the two.

use crate::config::{self, Config};
use crate::start::StartError;
use ringway_io::{FileKind, FileStat, OpenError, OpenHow, RelativePath, Root, Symlinks};
use ringway_runtime::{FileHandle, FileOutcome, FilePiece, FileRequest, OpenedFile};
use ringway_service::files::{
    Access, CacheBounds, Compression, FileRef, FilesSettings, Root as ServedRoot, SettingsError,
    Stat, UrlKeys,
};
use ringway_service::hub::{FileAnswer, FileAsk, NotOpened, OpenedFile as Opened, Seen};
use ringway_uring::FilesConfig;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// What the service reads of it.
///
/// # Errors
/// RW-1009.
pub fn settings(config: &Config) -> Result<Option<FilesSettings>, StartError> {
    let files = &config.files;
    let roots = files.roots.iter().map(served_root);
    let roots: Vec<ServedRoot> = roots.chain(crate::uploads::served_root(config)).collect();
    if roots.is_empty() {
        return Ok(None);
    }
    let invalid =
        |SettingsError(what): SettingsError| StartError::invalid_value("files.roots", &what);
    let mut settings = FilesSettings::new(roots).map_err(invalid)?;
    settings.cache = CacheBounds {
        entries_max: files.cache_names_max.max(CACHE_NAMES_LEAST),
        bytes_max: files.cache_bytes_max,
        file_bytes_max: files.cache_file_bytes_max.into(),
        open_max: Shares::of(files).cache as usize,
        fresh_us: u64::from(files.revalidate_ms) * 1000,
    };
    settings.compression = compression(files)?;
    settings.used_urls = crate::used_urls::root(config);
    Ok(Some(settings))
}

fn compression(files: &config::Files) -> Result<Compression, StartError> {
    for (name, level) in [
        ("files.compress_zstd_level", files.compress_zstd_level),
        (
            "files.compress_brotli_quality",
            files.compress_brotli_quality,
        ),
        ("files.compress_gzip_level", files.compress_gzip_level),
    ] {
        if level > 9 {
            return Err(StartError::invalid_value(name, "it is at most 9"));
        }
    }
    let level = |level| if files.compress { level } else { 0 };
    Ok(Compression {
        bytes_min: files.compress_bytes_min,
        bytes_max: files.compress_bytes_max,
        zstd_level: level(files.compress_zstd_level),
        brotli_quality: level(files.compress_brotli_quality),
        gzip_level: level(files.compress_gzip_level),
        memory_bytes_max: files.compress_memory_bytes_max,
        kept_bytes_max: files.compress_kept_bytes_max,
        jobs_max: files.compress_jobs_max.clamp(1, COMPRESS_JOBS_MAX),
    })
}

/// What one thread beside the shards takes of a shard, and something left for tokens.
const COMPRESS_JOBS_MAX: usize = 48;

/// Fewer names would forget one before its request was answered.
const CACHE_NAMES_LEAST: usize = 64;

fn served_root(root: &config::FileRoot) -> ServedRoot {
    ServedRoot {
        prefix: root.prefix.clone(),
        access: if root.public {
            Access::Open
        } else {
            Access::Granted
        },
        index: root.index.clone(),
        cache_control: root.cache_control.clone(),
        precompressed: root.precompressed,
        compress: root.compress,
        always_download: root.always_download,
        locks: None,
    }
}

/// The keys that sign URLs of files.
///
/// # Errors
/// RW-1007 for a file that cannot be read, RW-1009 for keys that cannot be.
pub fn url_keys(config: &Config) -> Result<Option<Arc<UrlKeys>>, StartError> {
    let keys = &config.files.url_keys;
    if keys.is_empty() {
        return Ok(None);
    }
    let read = |key: &config::UrlKey| {
        let bytes = fs::read(&key.file);
        let bytes =
            bytes.map_err(|error| StartError::key_unreadable(&key.file, &error.to_string()));
        Ok((key.id.clone(), bytes?))
    };
    let keys: Vec<(String, Vec<u8>)> = keys.iter().map(read).collect::<Result<_, StartError>>()?;
    let what = "an id is letters, digits, `-`, `_` and `.`, each once; a key has at least 32 bytes";
    let keys =
        UrlKeys::new(&keys).ok_or_else(|| StartError::invalid_value("files.url_keys", what))?;
    Ok(Some(Arc::new(keys)))
}

/// What may be open is that many at least.
const OPEN_LEAST: u32 = 64;

/// How the files that a shard may have open are divided, so that whoever opens many leaves some to the others.
pub(crate) struct Shares {
    /// All of them.
    pub(crate) all: u32,
    /// Parts of uploads whose bodies come in.
    pub(crate) bodies: u32,
    /// Files that the cache holds open.
    pub(crate) cache: u32,
    /// Uploads for which the store opens what it has to besides: for each of them two at most, a part and a record, say.
    pub(crate) openers: u32,
}

impl Shares {
    /// Three eighths for bodies, three for the cache, and one for the openers. The last is for files that are just being opened or closed, that are sent and the cache has let go of, and for what is written
    /// down about one-time URLs.
    pub(crate) fn of(files: &config::Files) -> Self {
        let all = files.open_max.max(OPEN_LEAST);
        Self {
            all,
            bodies: all / 8 * 3,
            cache: all / 8 * 3,
            openers: all / 16,
        }
    }
}

/// The sizes of what one shard needs for files; `None` when it serves none.
#[must_use]
pub fn ring_files(config: &Config) -> Option<FilesConfig> {
    let files = &config.files;
    let page = 4096;
    let is_needed = !files.roots.is_empty() || config.uploads.directory.is_some();
    is_needed.then(|| FilesConfig {
        slots: files.slots.max(4),
        slot_bytes: files
            .slot_bytes
            .clamp(page, 16 << 20)
            .next_multiple_of(page),
        files_max: Shares::of(files).all,
        zero_copy: files.zero_copy,
        ..FilesConfig::default()
    })
}

/// The directories, opened: a name that leads elsewhere later changes nothing.
///
/// # Errors
/// RW-1014.
pub fn directories(config: &Config) -> Result<Vec<OwnedFd>, StartError> {
    let open = |path: &Path| {
        let file = fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Ok(OwnedFd::from(file));
        }
        Err(std::io::Error::from(std::io::ErrorKind::NotADirectory))
    };
    let roots = config.files.roots.iter();
    let open = roots.map(|root| {
        open(&root.directory)
            .map_err(|error| StartError::directory_unusable(&root.directory, &error))
    });
    let mut directories: Vec<OwnedFd> = open.collect::<Result<_, _>>()?;
    directories.extend(crate::uploads::directories(config)?);
    directories.extend(crate::used_urls::directory(config)?);
    Ok(directories)
}

/// What the service asks, as the loop understands it.
#[must_use]
pub fn request_of(ask: FileAsk) -> FileRequest {
    match ask {
        FileAsk::Open { root, path } => {
            let path = RelativePath::new(path.as_bytes());
            FileRequest::Open {
                root: Root(root as u32),
                path: path
                    .expect("the service has looked at paths: relative, short, without zeros"),
                how: OpenHow::Read(Symlinks::Beneath),
            }
        }
        FileAsk::Read {
            file,
            count,
            offset,
        } => FileRequest::Read {
            file: handle_of(&file),
            count,
            offset,
        },
        FileAsk::Stat(file) => FileRequest::Stat(handle_of(&file)),
    }
}

/// What came of it, as the service understands it.
#[must_use]
pub fn answer_of(outcome: FileOutcome) -> FileAnswer {
    match outcome {
        FileOutcome::Opened(Ok(OpenedFile { file, stat, .. })) => FileAnswer::Opened(Ok(Opened {
            file: Rc::new(file),
            stat: stat_of(&stat),
        })),
        FileOutcome::Opened(Err(error)) => FileAnswer::Opened(Err(not_opened(error))),
        FileOutcome::Read(result) => FileAnswer::Read(result.ok()),
        FileOutcome::Stat(result) => FileAnswer::Stat(result.ok().map(|looked| Seen {
            stat: stat_of(&looked.stat),
            has_its_bytes: looked.has_its_bytes,
        })),
        other => unreachable!("nobody asked for {other:?}"),
    }
}

/// A piece of a file for the wire.
#[must_use]
pub fn piece_of((file, range): (FileRef, core::ops::Range<u64>)) -> FilePiece {
    FilePiece {
        file: handle_of(&file),
        range,
    }
}

fn handle_of(file: &FileRef) -> FileHandle {
    let handle = file.downcast_ref::<FileHandle>();
    handle
        .expect("the service has only files that it was given here")
        .clone()
}

fn stat_of(stat: &FileStat) -> Stat {
    let nanoseconds = stat.modified_ns.max(0);
    Stat {
        bytes: stat.size,
        modified_unix_seconds: (nanoseconds / 1_000_000_000) as u64,
        modified_nanoseconds: (nanoseconds % 1_000_000_000) as u32,
        inode: stat.inode,
        device: stat.device,
        changed_ns: stat.changed_ns,
        links: stat.links,
        permissions: stat.permissions,
    }
}

/// Whatever is no file of this root is not there: that there is something else is nobody's business.
const fn not_opened(error: OpenError) -> NotOpened {
    match error {
        OpenError::Unfit(FileKind::Directory) => NotOpened::Directory,
        OpenError::Exhausted => NotOpened::Busy,
        OpenError::Failed(_) | OpenError::Full | OpenError::Exists => NotOpened::Failed,
        OpenError::Denied => NotOpened::Denied,
        OpenError::Absent | OpenError::Escapes | OpenError::NameTooLong | OpenError::Unfit(_) => {
            NotOpened::Absent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_divided_and_some_are_left() {
        for open_max in [0, 64, 100, 1024, u32::MAX] {
            let files = config::Files {
                open_max,
                ..config::Files::default()
            };
            let shares = Shares::of(&files);
            let taken = shares.bodies + shares.cache + 2 * shares.openers;
            assert!(shares.all - taken >= shares.all / 8, "{open_max}");
            assert!(shares.bodies.min(shares.cache) >= 24 && shares.openers >= 4);
        }
    }
}
