//! The journal of used one-time URLs, as text: a line for each use, and one for each use that came to nothing.
//!
//! `+ID EXPIRES CHECK` and `-ID CHECK`: the id in 32 hexadecimal digits, when its URL expires in Unix seconds, and a sum of what stands before it, by
//! which a line is known that a crash cut or that something else wrote over. What is no line is passed over and counted: of others beside it nothing is lost.
//!
//! A *generation* is what one process wrote. No process writes to files of another one: it reads them all, writes what counts of them to one file of
//! its own, and only then removes them. So a crash in between, or a disk that takes nothing, costs a use nowhere, however many shards there are.
//!
//! Deliberately absent: files (the wiring reads them, the shard writes them), and which ids a shard remembers (`once.rs`).

use std::collections::BTreeMap;
use std::io::Write as _;

/// The longest line, with its end: `+`, an id, the largest number of seconds, a sum, two blanks.
pub const LINE_BYTES_MAX: usize = 1 + 32 + 1 + 20 + 1 + 16 + 1;

/// Files of later generations are none of ours.
const GENERATIONS_MAX: u64 = 1 << 53;

const SUFFIX: &str = ".journal";
const NEW_SUFFIX: &str = ".new";

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A one-time URL was used.
    Used {
        /// Its id.
        id: u128,
        /// Nobody asks for it from then on.
        expires_unix_seconds: u64,
    },
    /// Its use came to nothing: it is good for another one.
    Returned {
        /// Its id.
        id: u128,
    },
}

impl Entry {
    /// Appends the line.
    pub fn append(&self, out: &mut Vec<u8>) {
        let from = out.len();
        let written = match self {
            Self::Used {
                id,
                expires_unix_seconds,
            } => write!(out, "+{id:032x} {expires_unix_seconds} "),
            Self::Returned { id } => write!(out, "-{id:032x} "),
        };
        let check = check_of(&out[from..]);
        let written = written.and_then(|()| writeln!(out, "{check:016x}"));
        written.expect("memory takes what is written to it");
    }

    /// Reads a line without its end; `None` for whatever [`Self::append`] would have written otherwise.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(line).ok()?;
        let (sign, rest) = text.split_at_checked(1)?;
        let (id, rest) = rest.split_once(' ')?;
        let id = u128::from_str_radix(id, 16).ok()?;
        let entry = match sign {
            "+" => Self::Used {
                id,
                expires_unix_seconds: rest.split_once(' ')?.0.parse().ok()?,
            },
            "-" => Self::Returned { id },
            _ => return None,
        };
        let mut same = Vec::with_capacity(LINE_BYTES_MAX);
        entry.append(&mut same);
        (same.strip_suffix(b"\n") == Some(line)).then_some(entry)
    }
}

/// FNV-1a: against accidents. Whoever may write here needs no trick.
fn check_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What the lines of one file come to. Its bytes come in pieces.
#[derive(Debug, Default)]
pub struct Replay {
    used: BTreeMap<u128, u64>,
    unreadable: u64,
    /// The beginning of a line whose end has not come, and no more of it than tells that it is none.
    line: Vec<u8>,
}

impl Replay {
    /// More of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        match Entry::parse(&self.line) {
            Some(Entry::Used {
                id,
                expires_unix_seconds,
            }) => {
                self.used.insert(id, expires_unix_seconds);
            }
            Some(Entry::Returned { id }) => {
                self.used.remove(&id);
            }
            None => self.unreadable += 1,
        }
        self.line.clear();
    }

    /// The file's end: the ids that are used, with the seconds at which their URLs expire, and how many lines were none.
    #[must_use]
    pub fn finish(mut self) -> (BTreeMap<u128, u64>, u64) {
        if !self.line.is_empty() {
            self.end_line();
        }
        (self.used, self.unreadable)
    }
}

/// The name of a shard's journal.
#[must_use]
pub fn journal_name(generation: u64, shard: u16) -> String {
    format!("{generation}-{shard}{SUFFIX}")
}

/// Its name as long as it is being written anew.
#[must_use]
pub fn new_journal_name(generation: u64, shard: u16) -> String {
    format!("{generation}-{shard}{NEW_SUFFIX}")
}

/// The names of what a generation took over from those before it: while it is written, and then.
#[must_use]
pub fn merged_names(generation: u64) -> [String; 2] {
    [NEW_SUFFIX, SUFFIX].map(|suffix| format!("{generation}-all{suffix}"))
}

/// The generation of a journal by its name, and whether it was written to its end. `None` for what is no journal.
#[must_use]
pub fn generation_of(name: &str) -> Option<(u64, bool)> {
    let whole = name.strip_suffix(SUFFIX);
    let stem = whole.or_else(|| name.strip_suffix(NEW_SUFFIX))?;
    let (generation, owner) = stem.split_once('-')?;
    let is_owner = owner == "all" || owner.parse::<u16>().is_ok();
    let generation = generation
        .parse()
        .ok()
        .filter(|number| *number < GENERATIONS_MAX)?;
    is_owner.then_some((generation, whole.is_some()))
}

/// What was found at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedUrls {
    /// The generation of this process.
    pub generation: u64,
    /// Ids that were used, with the seconds at which their URLs expire.
    pub used: Vec<(u128, u64)>,
    /// Lines that were none.
    pub unreadable: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entries: &[Entry]) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in entries {
            entry.append(&mut out);
        }
        out
    }

    const fn used(id: u128) -> Entry {
        let expires_unix_seconds = 1_700_000_000;
        Entry::Used {
            id,
            expires_unix_seconds,
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], ids: &[u128], unreadable: u64) {
        for piece_bytes in [1, 7, bytes.len().max(1)] {
            let mut replay = Replay::default();
            bytes
                .chunks(piece_bytes)
                .for_each(|piece| replay.push(piece));
            let (used, passed_over) = replay.finish();
            assert_eq!(used.into_keys().collect::<Vec<_>>(), ids);
            assert_eq!(passed_over, unreadable);
        }
    }

    #[test]
    fn lines_read_as_they_were_written() {
        let longest = Entry::Used {
            id: u128::MAX,
            expires_unix_seconds: u64::MAX,
        };
        for entry in [used(0), used(7), longest, Entry::Returned { id: 1 << 90 }] {
            let line = text(&[entry]);
            assert!(line.len() <= LINE_BYTES_MAX);
            assert_eq!(Entry::parse(&line[..line.len() - 1]), Some(entry));
        }
        assert_eq!(text(&[longest]).len(), LINE_BYTES_MAX);
    }

    #[test]
    fn the_last_word_about_an_id_counts() {
        let returned = Entry::Returned { id: 1 };
        check(&[], &[], 0);
        check(&text(&[used(1), used(2)]), &[1, 2], 0);
        check(&text(&[used(1), used(2), returned]), &[2], 0);
        check(&text(&[used(1), returned, used(1)]), &[1], 0);
        check(&text(&[returned, used(1)]), &[1], 0);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_has_all_whole_lines() {
        let all = text(&[used(1), used(2)]);
        let half = all.len() / 2;
        for cut in 0..half - 1 {
            let torn = u64::from(cut > 0);
            check(&all[..cut], &[], torn);
            check(&all[..half + cut], &[1], torn);
        }
        // Only the end of the line is missing.
        check(&all[..all.len() - 1], &[1, 2], 0);
    }

    #[test]
    fn what_is_no_line_is_counted_and_harms_no_other() {
        let (first, second) = (text(&[used(1)]), text(&[used(2)]));
        for garbage in [
            &b"\n"[..],
            b"garbage\n",
            b"+\n",
            b"\xff\xfe\n",
            "\u{e4} x y\n".as_bytes(),
            &[&[0; 100_000][..], b"\n"].concat(),
            b"+00000000000000000000000000000003 1700000000 0000000000000000\n",
        ] {
            check(&[&first, garbage, &second].concat(), &[1, 2], 1);
        }
        // A line within another one, as of a write that was cut and begun again.
        check(&[&first[..20], &second, &first].concat(), &[1], 1);
        for at in 0..first.len() - 1 {
            let mut changed = first.clone();
            changed[at] ^= 1;
            check(&[changed, second.clone()].concat(), &[2], 1);
        }
    }

    #[test]
    fn one_number_is_written_in_one_way() {
        for line in ["+1 1700000000 ", "+00000000000000000000000000000001 01 "] {
            let line = format!("{line}{:016x}", check_of(line.as_bytes()));
            assert_eq!(Entry::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn names_say_whose_they_are() {
        let [new, merged] = merged_names(3);
        for (name, expected) in [
            (journal_name(12, 5).as_str(), Some((12, true))),
            (&new_journal_name(12, 5), Some((12, false))),
            (&merged, Some((3, true))),
            (&new, Some((3, false))),
            ("3-all.journal.bak", None),
            ("3-x.journal", None),
            ("journal", None),
            ("99999999999999999999-0.journal", None),
            ("9999999999999999999-0.journal", None),
            ("-1-0.journal", None),
        ] {
            assert_eq!(generation_of(name), expected, "{name}");
        }
    }
}
