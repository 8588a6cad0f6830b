//! The pretended disk: files and the directories that name them, as they are in memory and as they would be found after a power loss.
//!
//! Bytes and names are synced apart. What was not synced when the power goes may be there all the same, block by block; of names, which a file system keeps in a
//! journal, an older state is found and never a mixture. Directories are flat: a path with a slash is a name with a slash.

use crate::random::Random;
use ringway_io::{FileKind, FileStat};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that reach the disk together.
const BLOCK_BYTES: usize = 64;

/// A file, whatever its names.
#[derive(Clone, Default)]
struct Inode {
    /// As read and written.
    live: Vec<u8>,
    /// As found after a power loss.
    synced: Vec<u8>,
    modified: u64,
    /// Blocks that a sync that failed gave up: they are read as they were written, and no later sync writes them, unless they are written again.
    given_up: BTreeSet<usize>,
}

/// A change of names.
#[derive(Clone)]
enum Change {
    Name(Vec<u8>, usize),
    Unname(Vec<u8>),
    Move(Vec<u8>, Vec<u8>),
    /// It went to another directory, under that name.
    Gone(Vec<u8>, usize, Vec<u8>),
}

type Names = BTreeMap<Vec<u8>, usize>;

fn apply(names: &mut Names, change: Change) {
    match change {
        Change::Name(name, inode) => {
            names.insert(name, inode);
        }
        Change::Unname(name) | Change::Gone(name, ..) => {
            names.remove(&name);
        }
        Change::Move(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

#[derive(Clone, Default)]
struct Root {
    live: Names,
    synced: Names,
    /// Changes since the directory was synced.
    journal: Vec<Change>,
}

impl Root {
    fn change(&mut self, change: Change) {
        apply(&mut self.live, change.clone());
        self.journal.push(change);
    }
}

/// All that is stored.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    roots: Vec<Root>,
    /// Counts changes of contents, in place of a clock.
    changes: u64,
}

impl Disk {
    pub(crate) fn new(roots: usize) -> Self {
        Self {
            roots: vec![Root::default(); roots],
            ..Self::default()
        }
    }

    /// Another file, without a name.
    pub(crate) fn make(&mut self) -> usize {
        self.inodes.push(Inode::default());
        self.inodes.len() - 1
    }

    /// A file as if it had always been there.
    pub(crate) fn found(
        &mut self,
        root: usize,
        name: &[u8],
        bytes: impl Fn(usize) -> Vec<u8>,
    ) -> usize {
        let inode = self.make();
        let bytes = bytes(inode);
        self.changes += 1;
        self.inodes[inode] = Inode {
            live: bytes.clone(),
            synced: bytes,
            modified: self.changes,
            given_up: BTreeSet::new(),
        };
        self.roots[root].live.insert(name.to_vec(), inode);
        self.roots[root].synced.insert(name.to_vec(), inode);
        inode
    }

    pub(crate) fn look(&self, root: usize, name: &[u8]) -> Option<usize> {
        self.roots[root].live.get(name).copied()
    }

    pub(crate) fn names(&self, root: usize) -> impl Iterator<Item = &Vec<u8>> {
        self.roots[root].live.keys()
    }

    pub(crate) fn bytes(&self, inode: usize) -> &[u8] {
        &self.inodes[inode].live
    }

    pub(crate) fn stat(&self, inode: usize) -> FileStat {
        let names = self.roots.iter().flat_map(|root| root.live.values());
        let of = &self.inodes[inode];
        FileStat {
            kind: FileKind::Regular,
            size: of.live.len() as u64,
            modified_ns: i128::from(of.modified),
            changed_ns: i128::from(of.modified),
            inode: inode as u64,
            device: 1,
            links: names.filter(|named| **named == inode).count() as u64,
            permissions: 0,
        }
    }

    /// Writes, with zeroes where nothing was before.
    pub(crate) fn write(&mut self, inode: usize, offset: usize, bytes: &[u8]) {
        self.changes += 1;
        let of = &mut self.inodes[inode];
        of.modified = self.changes;
        let end = offset + bytes.len();
        of.live.resize(of.live.len().max(end), 0);
        of.live[offset..end].copy_from_slice(bytes);
        let blocks = offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
        of.given_up.retain(|block| !blocks.contains(block));
    }

    pub(crate) fn truncate(&mut self, inode: usize, size: usize) {
        self.changes += 1;
        let of = &mut self.inodes[inode];
        of.modified = self.changes;
        of.live.resize(size, 0);
    }

    pub(crate) fn sync(&mut self, inode: usize) {
        let of = &mut self.inodes[inode];
        let given_up = core::mem::take(&mut of.given_up);
        of.settle(|block| !given_up.contains(&block));
        of.given_up = given_up;
    }

    /// A sync that fails: some blocks are written, and the others are clean all the same.
    pub(crate) fn sync_badly(&mut self, inode: usize, random: &mut Random) {
        let of = &mut self.inodes[inode];
        let blocks = 0..of.live.len().div_ceil(BLOCK_BYTES);
        let dirty = blocks
            .filter(|block| Inode::block(&of.live, *block) != Inode::block(&of.synced, *block));
        let given_up: BTreeSet<usize> = dirty.filter(|_| random.chance(500)).collect();
        of.given_up.extend(given_up);
    }

    pub(crate) fn sync_names(&mut self, root: usize) {
        let root = &mut self.roots[root];
        root.synced.clone_from(&root.live);
        root.journal.clear();
    }

    pub(crate) fn name(&mut self, root: usize, name: &[u8], inode: usize) {
        self.roots[root].change(Change::Name(name.to_vec(), inode));
    }

    pub(crate) fn unname(&mut self, root: usize, name: &[u8]) {
        self.roots[root].change(Change::Unname(name.to_vec()));
    }

    /// Moves a name; between directories it is two changes, of which the second may be lost alone, and the first never: no file system forgets a file that way.
    pub(crate) fn rename(&mut self, (from, name): (usize, &[u8]), (to, new): (usize, &[u8])) {
        if from == to {
            let change = Change::Move(name.to_vec(), new.to_vec());
            return self.roots[from].change(change);
        }
        if let Some(inode) = self.look(from, name) {
            self.name(to, new, inode);
            let gone = Change::Gone(name.to_vec(), to, new.to_vec());
            self.roots[from].change(gone);
        }
    }

    /// The power goes, and comes back.
    pub(crate) fn lose_power(&mut self, random: &mut Random) {
        let mut gone = Vec::new();
        for (index, root) in self.roots.iter_mut().enumerate() {
            let kept = random.below(root.journal.len() + 1);
            for change in root.journal.drain(..).take(kept) {
                match change {
                    Change::Gone(name, to, new) => {
                        gone.extend(
                            root.synced
                                .get(&name)
                                .map(|inode| (index, name.clone(), *inode, to, new)),
                        );
                    }
                    change => apply(&mut root.synced, change),
                }
            }
        }
        for (from, name, inode, to, new) in gone {
            if self.roots[to].synced.get(&new) == Some(&inode) {
                self.roots[from].synced.remove(&name);
            }
        }
        for root in &mut self.roots {
            root.live.clone_from(&root.synced);
        }
        for inode in &mut self.inodes {
            inode.lose_power(random);
        }
    }
}

impl Inode {
    fn block(bytes: &[u8], block: usize) -> &[u8] {
        let start = (block * BLOCK_BYTES).min(bytes.len());
        &bytes[start..bytes.len().min(start + BLOCK_BYTES)]
    }

    /// What is read becomes what is found after a power loss, in those blocks; the others are as they were, or have never been.
    fn settle(&mut self, is_written: impl Fn(usize) -> bool) {
        let mut synced = self.live.clone();
        for (index, block) in synced.chunks_mut(BLOCK_BYTES).enumerate() {
            if !is_written(index) {
                let before = Self::block(&self.synced, index);
                let count = before.len().min(block.len());
                block[..count].copy_from_slice(&before[..count]);
                block[count..].fill(0);
            }
        }
        self.synced = synced;
    }

    fn lose_power(&mut self, random: &mut Random) {
        let size = if random.chance(500) {
            self.live.len()
        } else {
            self.synced.len()
        };
        let mut found = vec![0; size];
        let blocks = found.chunks_mut(BLOCK_BYTES);
        for (index, block) in blocks.enumerate() {
            let is_written = random.chance(500) && !self.given_up.contains(&index);
            let from = if is_written { &self.live } else { &self.synced };
            let start = (index * BLOCK_BYTES).min(from.len());
            let end = (start + block.len()).min(from.len());
            block[..end - start].copy_from_slice(&from[start..end]);
        }
        self.given_up.clear();
        self.live.clone_from(&found);
        self.synced = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found by that name after the power went, of many tries.
    fn found(prepare: impl Fn(&mut Disk)) -> Vec<Option<Vec<u8>>> {
        let tries = (0..50).map(|seed| {
            let mut disk = Disk::new(1);
            disk.found(0, b"old", |_| b"old".to_vec());
            prepare(&mut disk);
            disk.lose_power(&mut Random::new(seed));
            disk.look(0, b"new").map(|inode| disk.bytes(inode).to_vec())
        });
        let mut tries: Vec<_> = tries.collect();
        tries.sort();
        tries.dedup();
        tries
    }

    #[test]
    fn what_a_failed_sync_gave_up_no_later_one_writes() {
        let after = |rewrites: bool| {
            let tries = (0..50).map(|seed| {
                let mut random = Random::new(seed);
                let mut disk = Disk::new(1);
                let inode = disk.found(0, b"new", |_| b"old".to_vec());
                disk.write(inode, 0, b"new");
                disk.sync_badly(inode, &mut random);
                assert_eq!(disk.bytes(inode), b"new");
                if rewrites {
                    disk.write(inode, 0, b"new");
                }
                disk.sync(inode);
                disk.lose_power(&mut random);
                disk.bytes(inode).to_vec()
            });
            tries.collect::<BTreeSet<_>>().len()
        };
        assert_eq!((after(false), after(true)), (2, 1));
    }

    fn write(disk: &mut Disk) -> usize {
        let inode = disk.make();
        disk.write(inode, 0, b"bytes");
        inode
    }

    #[test]
    fn what_is_synced_with_its_name_is_found() {
        let whole = found(|disk| {
            let inode = write(disk);
            disk.sync(inode);
            disk.name(0, b"new", inode);
            disk.sync_names(0);
        });
        assert_eq!(whole, [Some(b"bytes".to_vec())]);
    }

    #[test]
    fn a_name_alone_may_find_nothing_in_it() {
        let some = found(|disk| {
            let inode = write(disk);
            disk.name(0, b"new", inode);
            disk.sync_names(0);
        });
        assert!(some.contains(&Some(Vec::new())) && some.contains(&Some(b"bytes".to_vec())));
    }

    #[test]
    fn bytes_alone_may_have_no_name() {
        let some = found(|disk| {
            let inode = write(disk);
            disk.sync(inode);
            disk.name(0, b"new", inode);
        });
        assert_eq!(some, [None, Some(b"bytes".to_vec())]);
    }

    #[test]
    fn a_move_is_lost_whole_or_not_at_all() {
        let some = found(|disk| disk.rename((0, b"old"), (0, b"new")));
        assert_eq!(some, [None, Some(b"old".to_vec())]);
    }
}
