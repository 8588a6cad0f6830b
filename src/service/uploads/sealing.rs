//! How the bytes of an encrypted upload stand on the disk: a header, full segments as soon as they are full, and the rest, less than a segment, in the record.
//!
//! A segment is never sealed twice under one nonce, whatever is written again: what was sealed before is known while the process lives, and what an earlier process
//! has sealed is not, so that a new run begins (see `vault.rs`).
//!
//! Deliberately absent: operations on files (`store.rs`).

use super::vault::{Lock, RUNS_MAX, Run, Vault, What, prefix_of};
use super::{LOCK_BYTES_MAX, RECORD_BYTES_MAX, UploadId};
use ringway_streams::crypt::{
    FileCipher, FileKey, Grid, HEADER_BYTES, Header, SEGMENT_BYTES, TAG_BYTES,
};

const PREFIX_BYTES: usize = 7;
/// Bytes of what is kept for one upload: its record, its lock, and what there is of a segment.
pub const STORED_BYTES_MAX: usize =
    RECORD_BYTES_MAX + LOCK_BYTES_MAX + SEGMENT_BYTES + TAG_BYTES + PREFIX_BYTES + 2;

/// The upload cannot be gone on with: it has too many runs, or its bytes are not what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spoilt;

/// Where random bytes come from.
pub(super) type Chance<'a> = &'a mut dyn FnMut() -> u64;

fn random<const N: usize>(entropy: Chance<'_>) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&entropy().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// What is kept for an upload: its record, and of an encrypted one the lock and what is left of a segment, each behind a line break.
pub(super) struct Stored<'a> {
    pub(super) record: &'a [u8],
    pub(super) sealed: Option<(&'a [u8], &'a [u8])>,
}

/// Stands in the place of the lock once that is kept for the whole file: whoever erases it there has erased it.
pub(super) const LOCKED_ELSEWHERE: &[u8] = b"-";

impl<'a> Stored<'a> {
    pub(super) fn split(bytes: &'a [u8]) -> Self {
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        let record = parts.next().unwrap_or_default();
        let lock = parts.next();
        let tail = parts.next().unwrap_or_default();
        Self {
            record,
            sealed: lock.map(|lock| (lock, tail)),
        }
    }

    /// Whether the lock is that of a whole file, and not here.
    pub(super) fn is_locked_elsewhere(&self) -> bool {
        self.sealed
            .is_some_and(|(lock, _)| lock == LOCKED_ELSEWHERE)
    }
}

/// Whether what is kept of a part is sealed by another of the keys than the first, as far as it says.
#[must_use]
pub fn wants_older_key(stored: &[u8], vault: &Vault) -> bool {
    let lock = Stored::split(stored).sealed;
    let lock = lock.and_then(|(lock, _)| Lock::decode(lock));
    lock.is_some_and(|lock| vault.is_older(&lock))
}

/// How many of an upload's bytes its part may have, up to `offset` and beyond, by its length.
pub(super) fn plain_bytes_of_part(grid: Grid, part_bytes: u64, offset: u64) -> u64 {
    let full = grid.full_segments_of(part_bytes) * grid.segment_bytes();
    // What is left behind the last full segment is in the record.
    match full >= offset - grid.rest(offset) {
        true => full.max(offset),
        false => full,
    }
}

/// A segment of a whole file: where it is, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentAt {
    index: u32,
    /// It is not full, and sealed as the last one.
    is_last: bool,
    /// Where its plaintext begins.
    pub(crate) start: u64,
    /// Where it begins on the disk, and how many bytes it has there.
    pub(crate) place: u64,
    pub(crate) sealed_bytes: u32,
}

impl SegmentAt {
    /// The one that has the byte `offset` of a file of so many bytes.
    fn of(grid: Grid, offset: u64, bytes: u64) -> Self {
        let index = grid.index_of(offset);
        let start = offset - grid.rest(offset);
        let plain_bytes = (bytes - start).min(grid.segment_bytes());
        Self {
            index,
            is_last: plain_bytes < grid.segment_bytes(),
            start,
            place: grid.place_of(index),
            sealed_bytes: plain_bytes as u32 + TAG_BYTES as u32,
        }
    }

    /// Its plaintext; `None` if it is not what was written.
    pub(crate) fn open(&self, reader: &Reader, sealed: Vec<u8>) -> Option<Vec<u8>> {
        if sealed.len() as u64 != u64::from(self.sealed_bytes) {
            return None;
        }
        reader.open(self.index, self.is_last, sealed)
    }
}

/// The upload of a whole file's name.
pub(crate) fn upload_of_whole(name: &str) -> Option<UploadId> {
    UploadId::parse(name.split('.').next()?)
}

/// Bytes of a header that may be damaged. Of 25 that are known twelve are random at least: no other file has as many of them.
const HEAD_BYTES_DAMAGED_MAX: usize = 4;

/// Whether the first bytes of a whole file are the header of an encrypted one of that name. Without the file's key nothing else says that it was encrypted, so some
/// damage is overlooked.
pub(crate) fn is_sealed_upload(name: &str, head: &[u8]) -> bool {
    let head = head.first_chunk::<HEADER_BYTES>();
    let (Some(head), Some(upload)) = (head, upload_of_whole(name)) else {
        return false;
    };
    let prefix = head[PREFIX_PLACE].try_into().expect("it is as long");
    let header = Header::new(prefix, upload.to_bytes()).to_bytes();
    let pairs = header.iter().zip(head);
    pairs.filter(|(one, other)| one != other).count() <= HEAD_BYTES_DAMAGED_MAX
}

/// Where a header has the nonces' prefix.
const PREFIX_PLACE: core::ops::Range<usize> = 8..8 + PREFIX_BYTES;
/// Bytes of that header.
pub(crate) const SEALED_HEAD_BYTES: u32 = HEADER_BYTES as u32;

/// Reads segments of one file.
pub(crate) struct Reader {
    grid: Grid,
    cipher: FileCipher,
    runs: Vec<Run>,
}

impl Reader {
    /// Of the upload whose lock it is.
    pub(super) fn new(
        vault: &Vault,
        upload: UploadId,
        (lock, what): (&Lock, What<'_>),
    ) -> Option<Self> {
        let key = vault.open(upload, lock, what)?;
        Some(Self::of_key(vault, upload, &key, lock.runs().to_vec()))
    }

    fn of_key(vault: &Vault, upload: UploadId, key: &FileKey, runs: Vec<Run>) -> Self {
        Self {
            grid: vault.grid(),
            cipher: FileCipher::new(key, upload.to_bytes()),
            runs,
        }
    }

    /// Of a whole file of so many bytes.
    pub(crate) fn of_whole(
        vault: &Vault,
        upload: UploadId,
        lock: &[u8],
        bytes: u64,
    ) -> Option<Self> {
        let lock = Lock::decode(lock)?;
        Self::new(vault, upload, (&lock, What::Whole(bytes)))
    }

    /// What stands before the segments.
    fn header(&self) -> [u8; HEADER_BYTES] {
        self.cipher.header(self.runs[0].prefix).to_bytes()
    }

    /// Whether a file begins with the header that it was given. Segments are read by the lock alone, and their seals say nothing of what stands before them.
    pub(crate) fn is_header(&self, head: &[u8]) -> bool {
        head.first_chunk() == Some(&self.header())
    }

    /// The segment that has the byte `offset` of its file, which has so many.
    pub(crate) fn segment_at(&self, offset: u64, bytes: u64) -> SegmentAt {
        SegmentAt::of(self.grid, offset, bytes)
    }

    /// A segment's plaintext.
    pub(super) fn open(&self, index: u32, last: bool, sealed: Vec<u8>) -> Option<Vec<u8>> {
        self.open_under(prefix_of(&self.runs, index), index, last, sealed)
    }

    /// What is left of a segment, as a record has it.
    pub(super) fn open_tail(&self, index: u32, tail: &[u8]) -> Option<Vec<u8>> {
        let (prefix, sealed) = tail.split_first_chunk::<PREFIX_BYTES>()?;
        self.open_under(*prefix, index, true, sealed.to_vec())
    }

    fn open_under(
        &self,
        prefix: [u8; PREFIX_BYTES],
        index: u32,
        last: bool,
        mut sealed: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let count = self
            .cipher
            .open(prefix, index, last, &mut sealed)
            .ok()?
            .len();
        sealed.truncate(count);
        Some(sealed)
    }

    /// All of a whole file, which has so many bytes.
    pub(crate) fn open_whole(&self, bytes: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        if !self.is_header(sealed) {
            return None;
        }
        let mut text = Vec::with_capacity(bytes as usize);
        loop {
            let segment = self.segment_at(text.len() as u64, bytes);
            let from = segment.place as usize;
            let sealed = sealed.get(from..from + segment.sealed_bytes as usize)?;
            text.extend_from_slice(&segment.open(self, sealed.to_vec())?);
            if text.len() as u64 == bytes {
                return Some(text);
            }
        }
    }
}

/// What a whole file was before it was encrypted, by what is kept of its key; `None` when none of the master keys is its key's, or it is not what was written.
#[must_use]
pub fn unseal(vault: &Vault, upload: UploadId, lock: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let bytes = vault.grid().plain_bytes(sealed.len() as u64)?;
    Reader::of_whole(vault, upload, lock, bytes)?.open_whole(bytes, sealed)
}

/// An encrypted upload whose bytes come.
pub(super) struct Sealing {
    upload: UploadId,
    key: FileKey,
    reader: Reader,
    /// Segments before this one may have been sealed under the last run; `None`: by another process, which may have sealed any.
    sealed_to: Option<u32>,
    /// Where the next byte goes, and what there is of its segment; `None` while that is with the disk alone.
    at: Option<u64>,
    tail: Vec<u8>,
}

impl Sealing {
    /// A new upload.
    pub(super) fn new(vault: &Vault, upload: UploadId, entropy: Chance<'_>) -> Self {
        let key = FileKey::new(random(entropy));
        let prefix = random(entropy);
        Self {
            reader: Reader::of_key(vault, upload, &key, vec![Run { first: 0, prefix }]),
            upload,
            key,
            sealed_to: Some(0),
            at: Some(0),
            tail: Vec::new(),
        }
    }

    /// One that another process has left.
    pub(super) fn of_lock(
        vault: &Vault,
        upload: UploadId,
        (lock, what): (&Lock, What<'_>),
    ) -> Option<Self> {
        let key = vault.open(upload, lock, what)?;
        Some(Self {
            reader: Reader::of_key(vault, upload, &key, lock.runs().to_vec()),
            upload,
            key,
            sealed_to: None,
            at: None,
            tail: Vec::new(),
        })
    }

    /// Reads what was sealed so far.
    pub(super) const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What stands before the segments.
    pub(super) fn header(&self) -> Vec<u8> {
        self.reader.header().to_vec()
    }

    pub(super) const fn at(&self) -> Option<u64> {
        self.at
    }

    /// The next byte is this one, behind those of its segment.
    pub(super) fn place(&mut self, at: u64, tail: Vec<u8>) {
        debug_assert!(
            tail.len() as u64 == self.reader.grid.rest(at),
            "there is as much as is said"
        );
        self.at = Some(at);
        self.tail = tail;
    }

    /// Everything behind is gone.
    pub(super) fn cut(&mut self, at: u64) {
        if self.at == Some(at) {
            return;
        }
        self.tail = Vec::new();
        self.at = (self.reader.grid.rest(at) == 0).then_some(at);
    }

    /// Nobody writes any more: what the record has is not kept in memory.
    pub(super) fn rest(&mut self) {
        if !self.tail.is_empty() {
            self.tail = Vec::new();
            self.at = None;
        }
    }

    /// Takes bytes that follow; gives segments that are full, and where they go.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        entropy: Chance<'_>,
    ) -> Result<(u64, Vec<u8>), Spoilt> {
        let at = self.at.ok_or(Spoilt)?;
        let place = self.reader.grid.place_of(self.reader.grid.index_of(at));
        let segment = self.reader.grid.segment_bytes() as usize;
        let count = (self.tail.len() + bytes.len()) / segment;
        let mut out = Vec::with_capacity(count * self.reader.grid.sealed_bytes() as usize);
        let mut index = self.reader.grid.index_of(at);
        self.at = Some(at + bytes.len() as u64);
        while self.tail.len() + bytes.len() >= segment {
            let (now, rest) = bytes.split_at(segment - self.tail.len());
            bytes = rest;
            let from = out.len();
            out.extend_from_slice(&self.tail);
            out.extend_from_slice(now);
            self.tail.clear();
            let tag = self.seal(index, false, &mut out[from..], entropy)?;
            out.extend_from_slice(&tag);
            index += 1;
        }
        self.tail.extend_from_slice(bytes);
        Ok((place, out))
    }

    /// The last segment, and where it goes; `None` where the last one is full, which was sealed when it was.
    ///
    /// That one stays as it is, since nothing else has its bytes: in the middle of writing it anew there would be none. How long the whole is says the lock.
    pub(super) fn finish(&mut self, entropy: Chance<'_>) -> Result<Option<(u64, Vec<u8>)>, Spoilt> {
        let at = self.at.ok_or(Spoilt)?;
        if at > 0 && self.reader.grid.rest(at) == 0 {
            return Ok(None);
        }
        let index = self.reader.grid.index_of(at);
        let mut out = self.tail.clone();
        let tag = self.seal(index, true, &mut out, entropy)?;
        out.extend_from_slice(&tag);
        Ok(Some((self.reader.grid.place_of(index), out)))
    }

    fn seal(
        &mut self,
        index: u32,
        last: bool,
        text: &mut [u8],
        entropy: Chance<'_>,
    ) -> Result<[u8; TAG_BYTES], Spoilt> {
        if self.sealed_to.is_none_or(|sealed_to| index < sealed_to) {
            self.begin_run(index, entropy)?;
        }
        self.sealed_to = Some(index + 1);
        let prefix = prefix_of(&self.reader.runs, index);
        Ok(self.reader.cipher.seal(prefix, index, last, text))
    }

    /// What was sealed from this segment on does not count any more.
    fn begin_run(&mut self, first: u32, entropy: Chance<'_>) -> Result<(), Spoilt> {
        self.reader.runs.retain(|run| run.first < first);
        if self.reader.runs.len() >= RUNS_MAX {
            return Err(Spoilt);
        }
        let prefix = random(entropy);
        let is_new = self.reader.runs.iter().all(|run| run.prefix != prefix) && prefix != [0; 7];
        assert!(is_new, "the source of entropy gives the same bytes again");
        self.reader.runs.push(Run { first, prefix });
        Ok(())
    }

    /// What is kept beside this record, which says that so many bytes count.
    pub(super) fn keep(
        &self,
        vault: &Vault,
        (record, offset): (&[u8], u64),
        entropy: Chance<'_>,
    ) -> Result<Vec<u8>, Spoilt> {
        let mut kept = self.lock(vault, What::Part(record), entropy).encode();
        if self.reader.grid.rest(offset) == 0 {
            return Ok(kept);
        }
        if self.at != Some(offset) {
            return Err(Spoilt);
        }
        kept.push(b'\n');
        let prefix: [u8; PREFIX_BYTES] = random(entropy);
        kept.extend_from_slice(&prefix);
        let from = kept.len();
        kept.extend_from_slice(&self.tail);
        let (cipher, index) = (&self.reader.cipher, self.reader.grid.index_of(offset));
        let tag = cipher.seal(prefix, index, true, &mut kept[from..]);
        kept.extend_from_slice(&tag);
        Ok(kept)
    }

    pub(super) fn lock(&self, vault: &Vault, what: What<'_>, entropy: Chance<'_>) -> Lock {
        let nonce = random(entropy);
        vault.lock(self.upload, &self.key, (&self.reader.runs, what), nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const ID: UploadId = UploadId::new(1 << 70, 1);

    fn vault() -> Vault {
        let vault = Vault::of_keys(&[[3; 32]]).unwrap();
        vault.with_segments(16)
    }

    fn counter(seed: u64) -> impl FnMut() -> u64 {
        let mut random = super::super::disk_tests::Random(seed);
        move || random.below(u64::MAX)
    }

    /// What the disk has: the part, and what is kept beside the record of the last offset that counts.
    struct Disk {
        part: Vec<u8>,
        offset: u64,
        kept: Vec<u8>,
    }

    impl Disk {
        fn write(&mut self, (place, bytes): (u64, Vec<u8>)) {
            let end = place as usize + bytes.len();
            self.part.resize(self.part.len().max(end), 0);
            self.part[place as usize..end].copy_from_slice(&bytes);
        }

        /// A process that starts goes on where the record says.
        fn sealing(&self) -> Sealing {
            let (vault, mut parts) = (vault(), self.kept.splitn(2, |byte| *byte == b'\n'));
            let lock = Lock::decode(parts.next().unwrap()).unwrap();
            let mut sealing = Sealing::of_lock(&vault, ID, (&lock, What::Part(b""))).unwrap();
            let tail = parts.next().map(|tail| {
                let index = vault.grid().index_of(self.offset);
                sealing.reader().open_tail(index, tail).unwrap()
            });
            sealing.place(self.offset, tail.unwrap_or_default());
            sealing
        }
    }

    /// Segments of the part by the nonces that they were sealed under.
    fn watch(seen: &mut BTreeMap<([u8; 7], u32), Vec<u8>>, sealing: &Sealing, disk: &Disk) {
        let grid = vault().grid();
        for index in 0..disk.part.len() as u64 / grid.sealed_bytes() {
            let place = grid.place_of(index as u32) as usize;
            let end = place + grid.sealed_bytes() as usize;
            let Some(sealed) = disk.part.get(place..end) else {
                continue;
            };
            if sealing
                .reader()
                .open(index as u32, false, sealed.to_vec())
                .is_none()
            {
                continue;
            }
            let nonce = (prefix_of(&sealing.reader.runs, index as u32), index as u32);
            let before = seen.entry(nonce).or_insert_with(|| sealed.to_vec());
            assert!(before == sealed, "two segments under one nonce");
        }
    }

    #[test]
    fn no_nonce_comes_twice_whatever_is_written_again() {
        for seed in 0..200 {
            let mut random = super::super::disk_tests::Random(seed);
            let mut entropy = counter(seed ^ 0xabcd);
            let mut sealing = Sealing::new(&vault(), ID, &mut entropy);
            let mut disk = Disk {
                part: sealing.header(),
                offset: 0,
                kept: sealing.keep(&vault(), (b"", 0), &mut entropy).unwrap(),
            };
            let mut seen = BTreeMap::new();
            for step in 0..100 {
                let bytes: Vec<u8> = (0..random.below(60)).map(|_| step as u8).collect();
                disk.write(sealing.push(&bytes, &mut entropy).unwrap());
                watch(&mut seen, &sealing, &disk);
                match random.below(4) {
                    0 => {
                        disk.offset = sealing.at().unwrap();
                        disk.kept = sealing
                            .keep(&vault(), (b"", disk.offset), &mut entropy)
                            .unwrap();
                    }
                    // A crash: what came since is written again, as something else.
                    1 => sealing = disk.sealing(),
                    // A body that did not count.
                    2 if disk.offset.is_multiple_of(16) => sealing.cut(disk.offset),
                    _ => {}
                }
            }
            assert!(sealing.reader.runs.len() > 1, "nothing was written again");
        }
    }

    #[test]
    fn a_file_of_any_length_is_read_back_and_proves_its_length() {
        let text: Vec<u8> = (0..100).collect();
        for bytes in 0..=text.len() {
            let mut entropy = counter(bytes as u64);
            let mut sealing = Sealing::new(&vault(), ID, &mut entropy);
            let mut disk = Disk {
                part: sealing.header(),
                offset: 0,
                kept: Vec::new(),
            };
            for piece in text[..bytes].chunks(7) {
                disk.write(sealing.push(piece, &mut entropy).unwrap());
            }
            if let Some(end) = sealing.finish(&mut entropy).unwrap() {
                disk.write(end);
            }
            let what = What::Whole(bytes as u64);
            let lock = sealing.lock(&vault(), what, &mut entropy).encode();
            let opened = unseal(&vault(), ID, &lock, &disk.part);
            assert_eq!(opened.as_deref(), Some(&text[..bytes]));
            for short in [0, 1, 16, 32].map(|less| disk.part.len().saturating_sub(less + 1)) {
                assert_eq!(unseal(&vault(), ID, &lock, &disk.part[..short]), None);
            }
            for spoilt in 0..disk.part.len() {
                let mut part = disk.part.clone();
                part[spoilt] ^= 1;
                assert_eq!(unseal(&vault(), ID, &lock, &part), None, "byte {spoilt}");
            }
        }
    }

    #[test]
    fn without_its_key_a_file_is_known_by_most_of_its_header() {
        let (name, other) = (ID.to_string() + ".txt", UploadId::new(1 << 71, 1));
        let header = Sealing::new(&vault(), ID, &mut counter(1)).header();
        assert!(is_sealed_upload(&name, &header));
        assert!(!is_sealed_upload(&other.to_string(), &[0; HEADER_BYTES]));
        for at in 0..HEADER_BYTES {
            let mut damaged = header.clone();
            damaged[at] ^= 1;
            assert!(is_sealed_upload(&name, &damaged), "byte {at}");
        }
        for plain in [
            &header[..31],
            &[0; 32],
            b"RWEF\x01\x01\x10\0 of some other kind...",
        ] {
            assert!(!is_sealed_upload(&name, plain), "{plain:?}");
        }
    }

    #[test]
    fn an_upload_with_too_many_runs_is_spoilt() {
        let mut entropy = counter(1);
        let mut sealing = Sealing::new(&vault(), ID, &mut entropy);
        for segment in 0..RUNS_MAX as u64 {
            sealing.sealed_to = None;
            assert!(
                sealing.push(&[0; 16], &mut entropy).is_ok(),
                "run {segment}"
            );
        }
        sealing.sealed_to = None;
        assert_eq!(sealing.push(&[0; 16], &mut entropy), Err(Spoilt));
    }

    #[test]
    fn what_a_part_has_is_told_by_its_length() {
        let grid = vault().grid();
        // A header, and segments of 16 and their tags of 16.
        for (part_bytes, offset, plain) in [
            (0, 0, 0),
            (32, 0, 0),
            (32, 5, 5),
            (32, 21, 0),
            (64, 21, 21),
            (63, 21, 0),
            (96, 21, 32),
            (96, 48, 32),
        ] {
            assert_eq!(plain_bytes_of_part(grid, part_bytes, offset), plain);
        }
        for (file_bytes, plain) in [
            (0, None),
            (32, None),
            (48, Some(0)),
            (49, Some(1)),
            (64, Some(16)),
            (80, None),
            (81, Some(17)),
        ] {
            assert_eq!(grid.plain_bytes(file_bytes), plain, "{file_bytes}");
        }
    }
}
