//! Who sleeps, and who waits for ring space: flags between shards, so that a wake is sent once per target and lap, and only to a sleeper.
//!
//! Both follow one pattern: the one who is about to wait stores its flag, then looks once more; the other one acts, then looks at the flag.
//! With both in one total order (SeqCst), at least one of them sees the other.

use super::Class;
use crossbeam_utils::CachePadded;
use ringway_io::ShardId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// What the shards see of each other.
pub(super) struct Shared {
    parked: Vec<CachePadded<AtomicBool>>,
    /// `wants[from * shards + to]`: `from` found a ring to `to` full.
    wants: Vec<AtomicBool>,
}

impl Shared {
    pub(super) fn new(shards: u16) -> Self {
        let count = usize::from(shards);
        Self {
            parked: (0..count)
                .map(|_| CachePadded::new(AtomicBool::new(false)))
                .collect(),
            wants: (0..count * count).map(|_| AtomicBool::new(false)).collect(),
        }
    }
}

/// One shard's side.
pub(super) struct Wakes {
    me: usize,
    shared: Arc<Shared>,
    /// Targets to look at when the lap ends, a bit each.
    touched: u64,
    /// Rings that were full, and the shortest message that did not fit. Not the space that was free: the receiver may have taken everything
    /// between the look that found the ring full and a second one, after which no more would ever come.
    waiting: Vec<(usize, usize, usize)>,
}

impl Wakes {
    pub(super) const fn new(me: u16, shared: Arc<Shared>) -> Self {
        Self {
            me: me as usize,
            shared,
            touched: 0,
            waiting: Vec::new(),
        }
    }

    fn shards(&self) -> usize {
        self.shared.parked.len()
    }

    pub(super) fn touch(&mut self, to: ShardId) {
        self.touched |= 1 << to.0;
    }

    pub(super) fn want_space(&mut self, to: ShardId, class: Class, bytes: usize) {
        let to = usize::from(to.0);
        let known = self
            .waiting
            .iter_mut()
            .find(|(other, ring, _)| (*other, *ring) == (to, class as usize));
        match known {
            Some((.., shortest)) => *shortest = bytes.min(*shortest),
            None => self.waiting.push((to, class as usize, bytes)),
        }
        self.shared.wants[self.me * self.shards() + to].store(true, Ordering::SeqCst);
    }

    /// Whether a message that did not fit now would.
    pub(super) fn space_came(&self, fits: impl Fn(usize, usize, usize) -> bool) -> bool {
        fence(Ordering::SeqCst);
        self.waiting
            .iter()
            .any(|(to, class, bytes)| fits(*to, *class, *bytes))
    }

    pub(super) fn forget_waits(&mut self) {
        self.waiting.clear();
    }

    /// This shard took a message of `from`'s.
    pub(super) fn freed(&mut self, from: ShardId) {
        fence(Ordering::SeqCst);
        let flag = &self.shared.wants[usize::from(from.0) * self.shards() + self.me];
        if flag.load(Ordering::SeqCst) && flag.swap(false, Ordering::SeqCst) {
            self.touched |= 1 << from.0;
        }
    }

    pub(super) fn set_parked(&self, parked: bool) {
        self.shared.parked[self.me].store(parked, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(super) fn take(&mut self, mut sink: impl FnMut(ShardId)) {
        if self.touched == 0 {
            return;
        }
        fence(Ordering::SeqCst);
        let mut touched = core::mem::take(&mut self.touched);
        while touched != 0 {
            let to = touched.trailing_zeros() as usize;
            touched &= touched - 1;
            if self.shared.parked[to].swap(false, Ordering::SeqCst) {
                sink(ShardId(to as u16));
            }
        }
    }
}
