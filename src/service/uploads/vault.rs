//! Encryption at rest: a key for each upload, sealed by a master key, and what is kept of it.
//!
//! Bytes are sealed in segments as they come (see [`ringway_streams::crypt`]), and a client that was cut, or a process that crashed, writes some of them again. No nonce
//! may come twice, so whoever goes back begins a *run*: from that segment on another nonce prefix holds. A [`Lock`] is the sealed key and the runs; the seal covers
//! them, so that nobody puts a segment of an earlier run in the place of the one that counts.

use super::UploadId;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ringway_streams::crypt::{Envelope, FileKey, Grid, Header, MasterKey, PLAINTEXT_BYTES_MAX};
use serde::{Deserialize, Serialize};

/// Runs of one upload: each is a crash, or a failure of the disk, with progress in between. Beyond it the upload fails, and is to be begun anew.
pub(super) const RUNS_MAX: usize = 1024;
/// Bytes of a [`Lock`] that is kept.
pub const LOCK_BYTES_MAX: usize = 64 << 10;
/// The only version so far.
const VERSION: u8 = 1;

/// Master keys.
#[derive(Debug)]
pub struct Vault {
    masters: Vec<MasterKey>,
    grid: Grid,
}

/// Two are the same if they know the same keys by the same names.
impl PartialEq for Vault {
    fn eq(&self, other: &Self) -> bool {
        let ids = |vault: &Self| vault.masters.iter().map(MasterKey::id).collect::<Vec<_>>();
        ids(self) == ids(other)
    }
}

impl Eq for Vault {}

impl Vault {
    /// Bytes of the longest file.
    pub const FILE_BYTES_MAX: u64 = PLAINTEXT_BYTES_MAX - 1;

    /// The key that a file has: 32 bytes, as they are or in base64. `None` for anything else.
    #[must_use]
    pub fn key_in(file: &[u8]) -> Option<[u8; 32]> {
        if let Ok(key) = file.try_into() {
            return Some(key);
        }
        let key = BASE64.decode(file.trim_ascii()).ok()?;
        key.try_into().ok()
    }

    /// New uploads are locked by the first key; the others open what they locked. `None` without any. A key is known by its digest: by whichever name its file
    /// goes, it is the same key.
    #[must_use]
    pub fn of_keys(keys: &[[u8; 32]]) -> Option<Self> {
        let master = |key: &[u8; 32]| {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(b"ringway master key 1\0");
            context.update(key);
            let digest = context.finish();
            let id = digest.as_ref().first_chunk();
            MasterKey::new(*id.expect("a digest is longer"), *key)
        };
        Self::new(keys.iter().map(master).collect())
    }

    fn new(masters: Vec<MasterKey>) -> Option<Self> {
        let grid = Grid::default();
        (!masters.is_empty()).then_some(Self { masters, grid })
    }

    /// The same with smaller segments: a simulation has many of them in little.
    ///
    /// # Panics
    /// For more than the format has.
    #[must_use]
    pub fn with_segments(self, bytes: usize) -> Self {
        Self {
            grid: Grid::of_segments(bytes),
            ..self
        }
    }

    pub(crate) const fn grid(&self) -> Grid {
        self.grid
    }

    pub(super) fn lock(
        &self,
        upload: UploadId,
        key: &FileKey,
        (runs, what): (&[Run], What<'_>),
        nonce: [u8; 12],
    ) -> Lock {
        let header = binding(upload, runs, what);
        let bytes = what.bytes();
        Lock {
            envelope: Envelope::seal(&self.masters[0], nonce, &header, key),
            runs: runs.to_vec(),
            bytes,
        }
    }

    /// A lock of a whole file, by the first of the master keys; its key and its runs are the same.
    #[must_use]
    pub fn reseal(&self, upload: UploadId, lock: &Lock, nonce: [u8; 12]) -> Resealed {
        let anew = || {
            let header = binding(upload, &lock.runs, What::Whole(lock.bytes?));
            let (old, new) = (self.master_of(lock)?, &self.masters[0]);
            let envelope = lock.envelope.seal_anew(old, new, nonce, &header).ok()?;
            Some(match self.is_older(lock) {
                true => Resealed::Anew(Lock {
                    envelope,
                    ..lock.clone()
                }),
                false => Resealed::Current,
            })
        };
        anew().unwrap_or(Resealed::Refused)
    }

    fn master_of(&self, lock: &Lock) -> Option<&MasterKey> {
        let wanted = lock.envelope.master();
        self.masters.iter().find(|master| master.id() == wanted)
    }

    /// Whether it takes another key than the first to open a lock.
    pub(super) fn is_older(&self, lock: &Lock) -> bool {
        lock.envelope.master() != self.masters[0].id()
    }

    /// The key of an upload; `None` if none of the master keys opens it, or it is another's, or of something else.
    pub(super) fn open(&self, upload: UploadId, lock: &Lock, what: What<'_>) -> Option<FileKey> {
        if lock.bytes != what.bytes() {
            return None;
        }
        let header = binding(upload, &lock.runs, what);
        lock.envelope.open(self.master_of(lock)?, &header).ok()
    }
}

/// What [`Vault::reseal`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resealed {
    /// The first key sealed it already.
    Current,
    /// The lock to keep in its place.
    Anew(Lock),
    /// None of the keys opens it, or it is that of no whole file of this name.
    Refused,
}

/// What a lock is the lock of.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// A part, of which this record says how far it counts.
    Part(&'a [u8]),
    /// A whole file of so many bytes.
    Whole(u64),
}

impl What<'_> {
    const fn bytes(self) -> Option<u64> {
        match self {
            Self::Part(_) => None,
            Self::Whole(bytes) => Some(bytes),
        }
    }
}

/// From this segment on this prefix holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The segment.
    pub first: u32,
    /// The first seven bytes of its nonces.
    pub prefix: [u8; 7],
}

/// What is kept of an upload's key. Whoever destroys it has destroyed the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    envelope: Envelope,
    runs: Vec<Run>,
    bytes: Option<u64>,
}

/// As JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u8,
    envelope: String,
    runs: Vec<(u32, String)>,
    bytes: Option<u64>,
}

impl Lock {
    /// The runs, in order; the first one begins with the first segment.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How long the whole file is; `None` for a part.
    #[must_use]
    pub const fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// The bytes to keep: one line.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let runs = self.runs.iter();
        let written = Written {
            version: VERSION,
            envelope: BASE64.encode(self.envelope.as_bytes()),
            runs: runs
                .map(|run| (run.first, BASE64.encode(run.prefix)))
                .collect(),
            bytes: self.bytes,
        };
        serde_json::to_vec(&written).expect("strings and numbers are JSON")
    }

    /// What was kept; `None` for what no version of ours wrote.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LOCK_BYTES_MAX {
            return None;
        }
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let envelope = BASE64.decode(written.envelope).ok()?;
        let run = |(first, prefix): &(u32, String)| {
            let prefix = BASE64.decode(prefix).ok()?.try_into().ok()?;
            Some(Run {
                first: *first,
                prefix,
            })
        };
        let lock = Self {
            envelope: Envelope::parse(&envelope.try_into().ok()?).ok()?,
            runs: written.runs.iter().map(run).collect::<Option<_>>()?,
            bytes: written.bytes,
        };
        let begins = lock.runs.first().is_some_and(|run| run.first == 0);
        let ordered = lock.runs.is_sorted_by(|one, next| one.first < next.first);
        let is_sound = begins && ordered && lock.runs.len() <= RUNS_MAX;
        (written.version == VERSION && is_sound).then_some(lock)
    }
}

/// The prefix that holds for a segment.
///
/// # Panics
/// Without a run from the first segment on.
#[must_use]
pub(super) fn prefix_of(runs: &[Run], index: u32) -> [u8; 7] {
    let after = runs.partition_point(|run| run.first <= index);
    runs[after - 1].prefix
}

/// What the envelope's seal covers beside itself.
fn binding(upload: UploadId, runs: &[Run], what: What<'_>) -> Header {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"ringway upload lock 1\0");
    context.update(&upload.to_bytes());
    match what {
        What::Part(record) => {
            context.update(b"part");
            context.update(&(record.len() as u64).to_le_bytes());
            context.update(record);
        }
        What::Whole(bytes) => {
            context.update(b"whole");
            context.update(&bytes.to_le_bytes());
        }
    }
    for run in runs {
        context.update(&run.first.to_le_bytes());
        context.update(&run.prefix);
    }
    let digest = context.finish();
    let (file, rest) = digest
        .as_ref()
        .split_first_chunk()
        .expect("it is 32 bytes long");
    let prefix = rest.first_chunk().expect("16 are left");
    Header::new(*prefix, *file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: UploadId = UploadId::new(1 << 64, 1);
    const WHOLE: What<'_> = What::Whole(600_000);

    fn vault(ids: &[u8]) -> Vault {
        let master = |id: &u8| MasterKey::new([*id; 8], [*id; 32]);
        Vault::new(ids.iter().map(master).collect()).unwrap()
    }

    fn runs() -> Vec<Run> {
        [(0, 1), (5, 2), (9, 3)]
            .map(|(first, byte)| Run {
                first,
                prefix: [byte; 7],
            })
            .into()
    }

    fn lock() -> Lock {
        let key = FileKey::new([7; 32]);
        vault(&[1]).lock(ID, &key, (&runs(), WHOLE), [9; 12])
    }

    #[test]
    fn a_lock_is_read_back_and_opened_by_its_key_alone() {
        let lock = lock();
        assert_eq!(Lock::decode(&lock.encode()).as_ref(), Some(&lock));
        assert!(vault(&[1]).open(ID, &lock, WHOLE).is_some());
        assert!(vault(&[2, 1]).open(ID, &lock, WHOLE).is_some());
        assert!(vault(&[2]).open(ID, &lock, WHOLE).is_none());
        assert!(
            vault(&[1])
                .open(UploadId::new(0, 1), &lock, WHOLE)
                .is_none()
        );
    }

    #[test]
    fn a_lock_is_sealed_anew_by_the_first_key_alone() {
        let old = lock();
        let Resealed::Anew(new) = vault(&[2, 1]).reseal(ID, &old, [8; 12]) else {
            panic!("it was sealed by the second");
        };
        assert_eq!(new.runs(), old.runs());
        assert!(vault(&[2]).open(ID, &new, WHOLE).is_some());
        assert!(vault(&[1]).open(ID, &new, WHOLE).is_none());
        assert_eq!(vault(&[2, 1]).reseal(ID, &new, [8; 12]), Resealed::Current);
        let refused = [
            vault(&[2]).reseal(ID, &old, [8; 12]),
            vault(&[2, 1]).reseal(UploadId::new(0, 1), &old, [8; 12]),
            vault(&[2, 1]).reseal(ID, &Lock { bytes: None, ..old }, [8; 12]),
        ];
        assert!(refused.iter().all(|refused| *refused == Resealed::Refused));
    }

    #[test]
    fn a_lock_that_says_something_else_does_not_open() {
        let spoils: [fn(&mut Lock); 4] = [
            |lock| lock.bytes = Some(600_001),
            |lock| lock.bytes = None,
            |lock| lock.runs[1].prefix = [1; 7],
            |lock| {
                lock.runs.pop();
            },
        ];
        for spoil in spoils {
            let mut lock = lock();
            spoil(&mut lock);
            let what = lock.bytes.map_or(What::Part(b""), What::Whole);
            assert!(vault(&[1]).open(ID, &lock, what).is_none());
        }
    }

    #[test]
    fn a_lock_of_a_part_is_that_of_its_record_alone() {
        let key = FileKey::new([7; 32]);
        let lock = vault(&[1]).lock(ID, &key, (&runs(), What::Part(b"{}")), [9; 12]);
        assert!(vault(&[1]).open(ID, &lock, What::Part(b"{}")).is_some());
        assert!(vault(&[1]).open(ID, &lock, What::Part(b"{} ")).is_none());
        assert!(vault(&[1]).open(ID, &lock, What::Whole(0)).is_none());
    }

    #[test]
    fn what_is_no_lock_is_none() {
        let text = String::from_utf8(lock().encode()).unwrap();
        let spoilt = [
            String::new(),
            "{}".to_owned(),
            text.replace("\"version\":1", "\"version\":2"),
            text.replace("[0,", "[1,"),
            text.replace("[9,", "[5,"),
            text.replace("[0,\"A", "[0,\""),
            text.replace("UldFS", "UldFT"),
            format!("{text}{}", " ".repeat(LOCK_BYTES_MAX)),
        ];
        for text in spoilt {
            assert_eq!(Lock::decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_run_holds_until_the_next() {
        let runs = runs();
        let prefixes = [0, 4, 5, 8, 9, u32::MAX].map(|index| prefix_of(&runs, index)[0]);
        assert_eq!(prefixes, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn the_longest_lock_may_be_kept() {
        let runs: Vec<Run> = (0..RUNS_MAX as u32)
            .map(|index| Run {
                first: index * (u32::MAX / RUNS_MAX as u32),
                prefix: [0xff; 7],
            })
            .collect();
        let key = FileKey::new([7; 32]);
        let lock = vault(&[1]).lock(ID, &key, (&runs, What::Whole(u64::MAX)), [9; 12]);
        assert_eq!(Lock::decode(&lock.encode()), Some(lock));
    }
}
