//! What the fuzzer found before, again, and deterministic changes of it: the corpus is a test like any other.
//!
//! A failure prints the file, or the seed and the number of the change, and the bytes. `FUZZ_SEED` and `FUZZ_MUTATIONS` choose others.

use ringway_fuzz_targets::TARGETS;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

const SEED: u64 = 0x5eed_0002;
const MUTATIONS: u64 = 2_000;
const BYTES_MAX: usize = 4096;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// The corpus of a target, by file name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join(name);
    let entries = folder
        .read_dir()
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// A run that says what it ran on when it fails.
fn run(target: fn(&[u8]), bytes: &[u8], what: &dyn Fn() -> String) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{} ({} bytes): {hex}", what(), bytes.len());
        resume_unwind(panic);
    }
}

#[track_caller]
fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(other, _)| *other == name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for (file, bytes) in &corpus {
        run(*target, bytes, &|| format!("corpus/{name}/{file}"));
    }
    let seed = number("FUZZ_SEED", SEED);
    let mut random = Random(seed);
    for change in 0..number("FUZZ_MUTATIONS", MUTATIONS) {
        let bytes = mutated(&corpus, &mut random);
        run(*target, &bytes, &|| {
            format!("{name}: FUZZ_SEED={seed}, change {change}")
        });
    }
}

/// A small generator (xorshift64*): a seed always gives the same changes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        mixed as usize % bound.max(1)
    }
}

/// A file of the corpus with one to four changes.
fn mutated(corpus: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].1.clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let other = &corpus[random.below(corpus.len())].1;
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => bytes.insert(at, random.below(256) as u8),
            3 => drop(bytes.drain(at..bytes.len().min(at + 1 + random.below(8)))),
            4 => {
                let from = random.below(other.len() + 1);
                let len = random.below(64).min(other.len() - from);
                bytes.splice(at..at, other[from..from + len].iter().copied());
            }
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        /// A target without a test, or a folder without a target, is forgotten otherwise.
        #[test]
        fn every_target_is_replayed() {
            let tests = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            let targets = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(tests, targets);
            let names = |path: PathBuf| -> BTreeSet<String> {
                let entries = path.read_dir().unwrap().map(|entry| entry.unwrap().path());
                entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
            };
            assert_eq!(tests, names(folder()), "corpus");
            assert_eq!(tests, names(folder().join("../run/src/bin")), "binaries");
        }
    };
}

replays! {
    command config deflate engineio forwarded http1 hub link path proxy_v2 range sid socketio stream_brotli stream_deflate stream_lz4 stream_mux
    stored stream_segments stream_zstd token tus ws
}
