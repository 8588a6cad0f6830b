//! Who sleeps, and who waits for ring space: flags between shards, so that a wake is sent once per target and lap, and only to a sleeper.
//!
//! Both follow one pattern: the one who is about to wait stores its flag, then looks once more; the other one acts, then looks at the flag.
//! With both in one total order (SeqCst), at least one of them sees the other.
//!
//! A wake for mail may be owed for a moment (see [`Patience`]); one for space is not: whoever waits for space has nothing else to do.

use super::patience::Patience;
use super::{Class, PairOut};
use core::time::Duration;
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
    /// Targets that got mail, to be looked at when the lap ends, a bit each.
    touched: u64,
    /// Those that got space.
    given_space: u64,
    patience: Vec<Patience>,
    /// Rings that were full, and the shortest message that did not fit. Not the space that was free: the receiver may have taken everything
    /// between the look that found the ring full and a second one, after which no more would ever come.
    waiting: Vec<(usize, usize, usize)>,
}

impl Wakes {
    pub(super) fn new(me: u16, shared: Arc<Shared>) -> Self {
        Self {
            me: me as usize,
            patience: shared.parked.iter().map(|_| Patience::default()).collect(),
            shared,
            touched: 0,
            given_space: 0,
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
            self.given_space |= 1 << from.0;
        }
    }

    pub(super) fn set_parked(&self, parked: bool) {
        self.shared.parked[self.me].store(parked, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The shards to wake now; without a time all of them, none is owed a wake then.
    pub(super) fn take(
        &mut self,
        now: Option<Duration>,
        outs: &mut [Option<PairOut>],
        mut sink: impl FnMut(ShardId),
    ) {
        let mut targets = self.touched | self.given_space;
        if targets == 0 {
            return;
        }
        fence(Ordering::SeqCst);
        while targets != 0 {
            let to = ShardId(targets.trailing_zeros() as u16);
            targets &= targets - 1;
            let out = outs[usize::from(to.0)].as_mut();
            let out = out.expect("a shard sends to others, never to itself");
            if self.is_to_be_woken(to, now, out) && self.unset_parked(to) {
                sink(to);
            }
        }
        self.given_space = 0;
    }

    fn unset_parked(&self, to: ShardId) -> bool {
        self.shared.parked[usize::from(to.0)].swap(false, Ordering::SeqCst)
    }

    /// Whether that shard sleeps over something that it should not. Its mail is remembered until it is certain that it sees it.
    fn is_to_be_woken(&mut self, to: ShardId, now: Option<Duration>, out: &mut PairOut) -> bool {
        let (index, bit) = (usize::from(to.0), 1 << to.0);
        let space = self.given_space & bit != 0;
        let sleeps = self.shared.parked[index].load(Ordering::SeqCst);
        let patience = &mut self.patience[index];
        if !sleeps || out.is_taken_to_mark() {
            patience.came_by_itself();
        }
        let has_mail = self.touched & bit != 0 && !out.is_empty();
        if space {
            patience.forget();
        } else if sleeps && has_mail && now.is_some_and(|now| !patience.is_over(now, || out.mark()))
        {
            return false;
        }
        self.touched &= !bit;
        sleeps && (has_mail || space)
    }

    /// When the next wake that is owed must be sent.
    pub(super) fn next(&self) -> Option<Duration> {
        if self.touched == 0 {
            return None;
        }
        self.patience.iter().filter_map(Patience::owed_at).min()
    }

    /// When that shard must be woken, if it is owed a wake.
    pub(super) fn owed_at(&self, to: ShardId) -> Option<Duration> {
        self.patience[usize::from(to.0)].owed_at()
    }
}
