//! Files that are compressed on the way. A small one is compressed whole, once for all who ask meanwhile, and kept as small files are. A larger one goes
//! piece by piece: read, compressed beside the shards, sent; the next piece is made while this one goes out, and none beyond it, so that a reader who
//! does not read stops it all.
//!
//! Deliberately absent: whether a file is compressed (`files/`), and how its pieces get to the wire (`bodies.rs`).

use super::errands::Errand;
use super::{FileAsk, Hub, Job, Key, Output, Seed, Turn};
use crate::files::{Content, Encoded, Encoder, HeldBytes, Kept, encode};
use core::any::Any;
use ringway_proto::http1::Coding;
use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;

/// Larger files go piece by piece, even from memory: a job is short.
const PACK_BYTES_MAX: usize = 256 * 1024;

/// What an encoder is given at a time. Of a quarter of it, zstd takes a fourth longer: other files' encoders have had the caches meanwhile.
const PIECE_BYTES: u64 = 256 * 1024;

/// Pieces that a transfer may have in memory at a time: read, made, on its way.
const PIECES_MAX: usize = 3;

/// What is compressed to what: everybody who wants it has the same name for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PackName {
    root: usize,
    path: Rc<str>,
    of: Encoded,
}

/// A file, and the coding that is wanted of it: its root's number, its path, and that.
pub(super) type Named<'a> = (usize, &'a str, Coding);

impl PackName {
    fn new((root, path, coding): Named<'_>, own: &Kept) -> Self {
        let stat = own.stat;
        let (path, of) = (path.into(), Encoded { coding, stat });
        Self { root, path, of }
    }
}

struct Pack {
    bytes: HeldBytes,
    /// Who waits for it. Some of them may be gone.
    waiters: Vec<Key>,
}

/// Files that are being compressed whole.
pub(super) struct Packs(HashMap<PackName, Pack, Seed>);

impl Packs {
    pub(super) fn new(seed: Seed) -> Self {
        Self(HashMap::with_hasher(seed))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whether a file is compressed whole.
pub(super) fn is_packed_whole(own: &Kept) -> bool {
    matches!(&own.content, Content::Whole(bytes) if bytes.len() <= PACK_BYTES_MAX)
}

/// A file on its way through an encoder.
pub(super) struct Encoding {
    name: PackName,
    content: Content,
    /// Which bytes of it come next.
    at: u64,
    end: u64,
    /// While it is with the pool it is not here.
    encoder: Option<Encoder>,
    /// What was read for it.
    input: Option<Vec<u8>>,
    /// A piece is being read or compressed.
    is_busy: bool,
    /// The last piece was made.
    is_over: bool,
    is_chunked: bool,
    /// What was made and does not go out yet.
    ready: Vec<u8>,
    /// All that was made so far, as long as it may be kept.
    kept: Option<Vec<u8>>,
    kept_bytes_max: usize,
    cost_bytes: usize,
}

/// Moves the first `count` bytes to those that go out.
pub(super) fn move_bytes(ready: &mut Vec<u8>, count: usize, out: &mut Vec<u8>) {
    if out.is_empty() && count == ready.len() {
        core::mem::swap(out, ready);
    } else {
        out.extend(ready.drain(..count));
    }
}

/// What comes back from the pool.
struct Made {
    encoder: Encoder,
    output: Option<Vec<u8>>,
}

impl Encoding {
    /// What it may take in memory.
    pub(super) const fn cost_bytes(&self) -> usize {
        self.cost_bytes
    }

    /// Bytes that may go out.
    pub(super) const fn ready_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Whether everything was made and taken.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over && self.ready.is_empty()
    }

    /// Moves so many bytes to those that go out.
    pub(super) fn take(&mut self, count: usize, out: &mut Vec<u8>) {
        move_bytes(&mut self.ready, count, out);
    }

    /// Whether a piece of it is being read or compressed.
    pub(super) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    const fn wants_piece(&self) -> bool {
        !self.is_busy && !self.is_over && self.ready.is_empty()
    }

    fn next_bytes(&self) -> u64 {
        PIECE_BYTES.min(self.end - self.at)
    }

    /// Frames what was made of a piece (RFC 9112 §7.1).
    fn add(&mut self, piece: &[u8], is_last: bool) {
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(piece);
        }
        self.kept.take_if(|kept| kept.len() > self.kept_bytes_max);
        // A chunk of no bytes would be the last.
        if self.is_chunked && !piece.is_empty() {
            let written = write!(self.ready, "{:x}\r\n", piece.len());
            written.expect("a vector takes everything");
        }
        self.ready.extend_from_slice(piece);
        if self.is_chunked && !piece.is_empty() {
            self.ready.extend_from_slice(b"\r\n");
        }
        if self.is_chunked && is_last {
            self.ready.extend_from_slice(b"0\r\n\r\n");
        }
        self.is_over = is_last;
    }
}

impl Hub {
    /// Compresses a small file, or waits for whoever does.
    pub(super) fn pack(&mut self, key: Key, name: Named<'_>, own: &Kept, turn: &mut Turn<'_>) {
        let Content::Whole(bytes) = &own.content else {
            unreachable!("what is in memory is compressed whole")
        };
        let name = PackName::new(name, own);
        if let Some(pack) = self.files.packs.0.get_mut(&name) {
            pack.waiters.push(key);
            self.stats.file_encodings_joined += 1;
            return;
        }
        let pack = Pack {
            bytes: bytes.clone(),
            waiters: vec![key],
        };
        self.files.packs.0.insert(name.clone(), pack);
        self.run_errand(Errand::Pack(name), turn);
    }

    pub(super) fn pack_job(&mut self, name: &PackName) -> Option<Job> {
        let pack = self.files.packs.0.get(name)?;
        let bytes = pack.bytes.to_vec();
        let compression = self.settings.files.as_ref()?.compression;
        let coding = name.of.coding;
        self.stats.file_bytes_encoded += bytes.len() as u64;
        Some(Box::new(move || {
            let encoder = compression.encoder(coding);
            let output = encoder.and_then(|mut encoder| encode(&mut *encoder, &bytes, true));
            Box::new(output)
        }))
    }

    /// A small file was compressed, or could not be.
    pub(super) fn packed(
        &mut self,
        name: &PackName,
        result: Box<dyn Any + Send>,
        turn: &mut Turn<'_>,
    ) {
        let Some(pack) = self.files.packs.0.remove(name) else {
            return;
        };
        let output = result.downcast::<Option<Vec<u8>>>();
        let output = *output.expect("the job makes bytes");
        let bytes = output.map(|bytes| self.files.cache.hold(bytes));
        if let Some(bytes) = &bytes {
            self.learn_encoded(name, bytes.clone(), turn);
        }
        for key in pack.waiters {
            if let Some(mut opening) = self.files.openings.remove(&key) {
                opening.found_encoded(name.of.coding, bytes.clone());
                self.look_on(key, opening, turn);
                self.advance(key, turn);
            }
        }
    }

    fn learn_encoded(&mut self, name: &PackName, bytes: HeldBytes, turn: &Turn<'_>) {
        let (cache, now_us) = (&mut self.files.cache, turn.now.monotonic_us);
        cache.learn_encoded(name.root, &name.path, &name.of, bytes, now_us);
    }

    /// An encoder for a file, if there is memory for it.
    pub(super) fn begin_encoding(
        &self,
        name: Named<'_>,
        own: &Kept,
        is_chunked: bool,
    ) -> Option<Box<Encoding>> {
        let compression = &self.settings.files.as_ref()?.compression;
        let encoder = compression.encoder(name.2)?;
        let kept_bytes_max = compression.kept_bytes_max;
        let kept_bytes = kept_bytes_max.min(own.stat.bytes as usize);
        let pieces_bytes = PIECES_MAX * PIECE_BYTES as usize;
        let cost_bytes = encoder.memory_bytes_max() + pieces_bytes + kept_bytes;
        let is_affordable =
            self.files.bodies.encoding_bytes() + cost_bytes <= compression.memory_bytes_max;
        let encoding = Encoding {
            name: PackName::new(name, own),
            content: own.content.clone(),
            at: 0,
            end: own.stat.bytes,
            encoder: Some(encoder),
            input: None,
            is_busy: false,
            is_over: false,
            is_chunked,
            ready: Vec::new(),
            kept: Some(Vec::new()),
            kept_bytes_max,
            cost_bytes,
        };
        is_affordable.then(|| Box::new(encoding))
    }

    /// Has the next piece read, unless there is one that does not go out yet.
    pub(super) fn feed_encoder(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(encoding) = self.files.bodies.encoding(key) else {
            return;
        };
        if !encoding.wants_piece() {
            return;
        }
        encoding.is_busy = true;
        let (at, count) = (encoding.at, encoding.next_bytes());
        match &encoding.content {
            Content::Whole(bytes) => {
                let piece = bytes[at as usize..(at + count) as usize].to_vec();
                self.piece_read(key, Some(piece), turn);
            }
            Content::Open(file) => {
                let ask = FileAsk::Read {
                    file: file.clone(),
                    count: count as u32,
                    offset: at,
                };
                let token = key.bits();
                turn.out.push(Output::File { token, ask });
            }
            Content::Sealed(_) => unreachable!("what is encrypted is not compressed"),
        }
    }

    /// A piece was read. One that is shorter than promised ends the connection, and what was said of the file with it: its end must not look like one.
    pub(super) fn piece_read(&mut self, key: Key, bytes: Option<Vec<u8>>, turn: &mut Turn<'_>) {
        let Some(encoding) = self.files.bodies.encoding(key) else {
            return self.sealed_read(key, bytes, turn);
        };
        let count = encoding.next_bytes();
        let bytes = bytes.filter(|bytes| bytes.len() as u64 == count);
        if bytes.is_none() {
            self.stats.file_encodings_cut += 1;
            return self.close_now(key, turn);
        }
        encoding.at += count;
        encoding.input = bytes;
        if let Content::Open(file) = &encoding.content
            && encoding.at == encoding.end
        {
            // Before its end is made: what was read piece by piece must be one file.
            let (token, ask) = (key.bits(), FileAsk::Stat(file.clone()));
            return turn.out.push(Output::File { token, ask });
        }
        self.run_errand(Errand::Piece(key), turn);
    }

    /// All of a file was read, which may have been written to meanwhile. One that grew goes as far as it went.
    pub(super) fn encoding_checked(&mut self, key: Key, has_its_bytes: bool, turn: &mut Turn<'_>) {
        if self.files.bodies.encoding(key).is_none() {
            return;
        }
        if has_its_bytes {
            return self.run_errand(Errand::Piece(key), turn);
        }
        self.stats.file_encodings_cut += 1;
        self.close_now(key, turn);
    }

    pub(super) fn piece_job(&mut self, key: Key) -> Option<Job> {
        let encoding = self.files.bodies.encoding(key)?;
        let (mut encoder, input) = (encoding.encoder.take()?, encoding.input.take()?);
        let is_last = encoding.at == encoding.end;
        self.stats.file_bytes_encoded += input.len() as u64;
        Some(Box::new(move || {
            let output = encode(&mut *encoder, &input, is_last);
            Box::new(Made { encoder, output })
        }))
    }

    /// A piece was compressed; its connection may be gone.
    pub(super) fn piece_made(
        &mut self,
        key: Key,
        result: Box<dyn Any + Send>,
        turn: &mut Turn<'_>,
    ) {
        let made = result.downcast::<Made>();
        let Made { encoder, output } = *made.expect("the job makes a piece");
        let Some(encoding) = self.files.bodies.encoding(key) else {
            return;
        };
        let Some(output) = output else {
            self.stats.file_encodings_cut += 1;
            return self.close_now(key, turn);
        };
        (encoding.encoder, encoding.is_busy) = (Some(encoder), false);
        let is_last = encoding.at == encoding.end;
        encoding.add(&output, is_last);
        if let Some(kept) = encoding.kept.take_if(|_| is_last) {
            let name = encoding.name.clone();
            let kept = self.files.cache.hold(kept);
            self.learn_encoded(&name, kept, turn);
        }
        self.push_body(key, Vec::new(), turn);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::files::Stat;

    impl Encoding {
        pub(in crate::hub) const fn set_busy(&mut self, is_busy: bool) {
            self.is_busy = is_busy;
        }
    }

    pub(in crate::hub) fn encoding(is_chunked: bool) -> Encoding {
        let stat = Stat {
            bytes: 6,
            modified_unix_seconds: 1,
            modified_nanoseconds: 0,
            inode: 1,
            device: 1,
            changed_ns: 1,
            links: 1,
            permissions: 0,
        };
        let content = Content::Whole(crate::files::Ledger::default().hold(b"abcdef".to_vec()));
        let own = Kept::new(stat, content);
        Encoding {
            name: PackName::new((0, "a", Coding::Gzip), &own),
            content: own.content,
            at: 0,
            end: 6,
            encoder: None,
            input: None,
            is_busy: false,
            is_over: false,
            is_chunked,
            ready: Vec::new(),
            kept: Some(Vec::new()),
            kept_bytes_max: 5,
            cost_bytes: 0,
        }
    }

    /// What goes out of pieces that were made.
    fn framed(pieces: &[&str], is_chunked: bool) -> String {
        let mut encoding = encoding(is_chunked);
        for (index, piece) in pieces.iter().enumerate() {
            encoding.add(piece.as_bytes(), index + 1 == pieces.len());
        }
        let mut out = Vec::new();
        encoding.take(encoding.ready_bytes(), &mut out);
        assert!(encoding.is_over());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc9112_7_1_a_chunk_of_no_bytes_is_the_last() {
        for (pieces, chunked) in [
            (
                &["abc", "0123456789abcdef"][..],
                "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
            ),
            // An encoder may keep all that it was given until its end.
            (&["", "abc"], "3\r\nabc\r\n0\r\n\r\n"),
            (&["abc", ""], "3\r\nabc\r\n0\r\n\r\n"),
        ] {
            assert_eq!(framed(pieces, true), chunked);
            assert_eq!(framed(pieces, false), pieces.concat());
        }
    }

    #[test]
    fn what_is_taken_in_parts_comes_in_order() {
        let mut encoding = encoding(false);
        encoding.add(b"abcdef", true);
        let mut out = b"head".to_vec();
        encoding.take(2, &mut out);
        assert!(!encoding.is_over() && !encoding.wants_piece());
        encoding.take(4, &mut out);
        assert_eq!(
            (out.as_slice(), encoding.is_over()),
            (&b"headabcdef"[..], true)
        );
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let mut encoding = encoding(true);
        encoding.add(b"abc", false);
        assert_eq!(
            encoding.kept.as_deref(),
            Some(&b"abc"[..]),
            "without its frame"
        );
        encoding.add(b"def", true);
        assert_eq!(encoding.kept, None);
    }
}
