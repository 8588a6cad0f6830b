//! `ringway reseal`: the keys of whole uploads, sealed anew by the first of the master keys, so that an older one may go.
//!
//! It runs beside the daemon, which may erase a key at any moment. A new lock takes the old one's place by an exchange of their names, which fails where the
//! old one is gone: what was erased stays erased.

use crate::cli::ConfigArgs;
use crate::config::Config;
use crate::start::StartError;
use crate::uploads::{self, LOCKS, PARTS};
use ringway_service::uploads::{
    LOCK_BYTES_MAX, Lock, Resealed, UploadId, Vault, lock_name, record_name, resealing_name,
    wants_older_key,
};
use rustix::fs::{CWD, RenameFlags};
use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{self as unix_fs, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What became of the keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    resealed: u64,
    /// Sealed by the first key before.
    current: u64,
    /// No key opens them, or they are not what we wrote.
    refused: Vec<String>,
    /// Parts that are sealed by an older key; what is written to them next seals them anew.
    older_parts: u64,
}

/// Seals anew, and says what became of the keys. It fails if some could not be opened.
///
/// # Errors
/// A configuration without uploads or without keys, and a directory that cannot be read or written.
#[expect(clippy::print_stdout, reason = "the answer of a command line tool")]
pub fn reseal(args: &ConfigArgs) -> Result<ExitCode, StartError> {
    let config = Config::load(args.config.as_deref(), std::env::vars(), &args.set)?;
    let missing = |path, what| StartError::invalid_value(path, what);
    let directory = config.uploads.directory.as_deref();
    let directory = directory.ok_or_else(|| missing("uploads.directory", "there is none"))?;
    let vault = uploads::vault(&config.uploads.key_files)?;
    let vault = vault.ok_or_else(|| missing("uploads.key_files", "there is none"))?;
    let tally = reseal_all(directory, &vault)
        .map_err(|error| StartError::uploads_unusable(directory, &error))?;
    print!("{}", told(&tally));
    Ok(match tally.refused.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn told(tally: &Tally) -> String {
    let Tally {
        resealed,
        current,
        refused,
        older_parts,
    } = tally;
    let mut text = format!(
        "{resealed} keys of files are sealed by the first master key now; {current} were before.\n"
    );
    if !refused.is_empty() {
        let (count, names) = (refused.len(), refused.join(", "));
        text += &format!("{count} are opened by none of the keys and stay as they are: {names}\n");
    }
    text += &match (older_parts, refused.len()) {
        (0, 0) => "The other master keys are needed no more.\n".to_owned(),
        (0, _) => String::new(),
        (parts, _) => format!(
            "{parts} uploads that are not whole need an older key until they go on or expire: run this again then.\n"
        ),
    };
    text
}

fn reseal_all(directory: &Path, vault: &Vault) -> io::Result<Tally> {
    let locks = directory.join(LOCKS);
    let claim = fs::File::open(&locks)?;
    claim.try_lock().map_err(|error| match error {
        fs::TryLockError::Error(error) => error,
        fs::TryLockError::WouldBlock => {
            io::Error::new(ErrorKind::ResourceBusy, "another `ringway reseal` is at it")
        }
    })?;
    let mut tally = Tally::default();
    for upload in uploads_in(&locks, resealing_name)? {
        // One that was stopped left it; whether it is the old lock or the new one, the other has the name.
        remove(&locks.join(resealing_name(upload)))?;
    }
    for upload in uploads_in(&locks, lock_name)? {
        reseal_one(&locks, upload, vault, &mut tally)?;
    }
    claim.sync_all()?;
    let parts = directory.join(PARTS);
    for upload in uploads_in(&parts, record_name)? {
        let stored = uploads::record_in(&parts.join(record_name(upload)))?;
        tally.older_parts +=
            u64::from(stored.is_some_and(|stored| wants_older_key(&stored, vault)));
    }
    Ok(tally)
}

fn reseal_one(locks: &Path, upload: UploadId, vault: &Vault, tally: &mut Tally) -> io::Result<()> {
    let path = locks.join(lock_name(upload));
    let Some(bytes) = lock_in(&path)? else {
        return Ok(());
    };
    let mut random = ringway_uring::Entropy::of_kernel();
    let mut nonce = [0; 12];
    for piece in nonce.chunks_mut(4) {
        let drawn = ringway_io::Entropy::draw(&mut random).to_le_bytes();
        piece.copy_from_slice(&drawn[..4]);
    }
    let resealed = Lock::decode(&bytes).map(|lock| vault.reseal(upload, &lock, nonce));
    match resealed {
        Some(Resealed::Current) => tally.current += 1,
        Some(Resealed::Anew(lock)) => {
            let replaced = replace(&path, &locks.join(resealing_name(upload)), &lock.encode())?;
            tally.resealed += u64::from(replaced);
        }
        Some(Resealed::Refused) | None => tally.refused.push(lock_name(upload)),
    }
    Ok(())
}

/// Puts other bytes in a file's place; whether it was still there.
fn replace(path: &Path, aside: &Path, bytes: &[u8]) -> io::Result<bool> {
    let Some(owner) = uploads::present(fs::symlink_metadata(path))? else {
        return Ok(false);
    };
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(aside)?;
    // Whoever runs this, the daemon reads it.
    let owned = unix_fs::fchown(&file, Some(owner.uid()), Some(owner.gid()));
    let exchanged = owned
        .and_then(|()| file.set_permissions(owner.permissions()))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            let how = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(CWD, aside, CWD, path, how).map_err(io::Error::from)
        });
    // What lies aside now is the old lock, or a new one of a file that was erased.
    remove(aside)?;
    Ok(uploads::present(exchanged)?.is_some())
}

fn remove(path: &Path) -> io::Result<()> {
    uploads::present(fs::remove_file(path)).map(drop)
}

/// The bytes of a lock; none of one that is gone. One that is too long is cut, and none for that.
fn lock_in(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = uploads::present(fs::File::open(path))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(LOCK_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The uploads of which there is a file by the name that `named` gives.
fn uploads_in(directory: &Path, named: fn(UploadId) -> String) -> io::Result<Vec<UploadId>> {
    let names = fs::read_dir(directory)?.map(|name| Ok(name?.file_name().into()));
    let names: Vec<PathBuf> = names.collect::<io::Result<_>>()?;
    let upload = |name: &PathBuf| {
        let name = name.to_str()?;
        let upload = UploadId::parse(name.split_once('.')?.0)?;
        (named(upload) == name).then_some(upload)
    };
    Ok(names.iter().filter_map(upload).collect())
}
