//! One timer wheel per shard: hashed, one tick wide slots, without cancel (whoever is called checks whether it is due).

use core::time::Duration;

const TICK_MS: u64 = 8;
const TICK: Duration = Duration::from_millis(TICK_MS);
const SLOTS: usize = 4096;

/// Timers that carry a `T`. One fires at the first [`TimerWheel::expire`] whose time is not before its own, at most a tick late. A timer costs what it
/// carries and eight bytes.
pub struct TimerWheel<T> {
    /// The first timer of each slot, or none.
    slots: Box<[u32]>,
    occupied: [u64; SLOTS / 64],
    timers: Vec<Timer<T>>,
    /// The first of those that have fired, whose places are used again.
    free: u32,
    /// Every tick before this one has fired.
    tick: u64,
    len: usize,
}

/// A timer in the list of its slot.
struct Timer<T> {
    value: T,
    /// How often the wheel turns before it fires, counted from the start; 32 bits are four thousand years.
    turn: u32,
    next: u32,
}

const _: () = assert!(size_of::<Timer<u64>>() == 16);

/// The end of a list.
const NONE: u32 = u32::MAX;

const fn tick_of(at: Duration) -> u64 {
    (at.as_nanos().div_ceil(TICK.as_nanos())) as u64
}

const fn turn_of(tick: u64) -> u32 {
    (tick / SLOTS as u64) as u32
}

impl<T> Default for TimerWheel<T> {
    fn default() -> Self {
        Self {
            slots: [NONE; SLOTS].into(),
            occupied: [0; SLOTS / 64],
            timers: Vec::new(),
            free: NONE,
            tick: 0,
            len: 0,
        }
    }
}

impl<T: Copy> TimerWheel<T> {
    /// Adds a timer.
    pub fn insert(&mut self, at: Duration, value: T) {
        let tick = tick_of(at).max(self.tick);
        let slot = tick as usize % SLOTS;
        let timer = Timer {
            value,
            turn: turn_of(tick),
            next: self.slots[slot],
        };
        self.slots[slot] = self.place(timer);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    fn place(&mut self, timer: Timer<T>) -> u32 {
        let place = self.free;
        if let Some(free) = self.timers.get_mut(place as usize) {
            self.free = free.next;
            *free = timer;
            return place;
        }
        self.timers.push(timer);
        (self.timers.len() - 1) as u32
    }

    /// Moves every timer that is due at `now` into `due`, earlier ticks first.
    pub fn expire(&mut self, now: Duration, due: &mut Vec<T>) {
        let last = now.as_nanos() as u64 / TICK.as_nanos() as u64;
        while self.tick <= last && self.len > 0 {
            let slot = self.tick as usize % SLOTS;
            if self.occupied[slot / 64] >> (slot % 64) & 1 == 1 {
                self.expire_slot(slot, due);
            }
            self.tick += 1;
        }
        self.tick = self.tick.max(last + 1);
    }

    fn expire_slot(&mut self, slot: usize, due: &mut Vec<T>) {
        let (turn, before) = (turn_of(self.tick), due.len());
        let mut at = core::mem::replace(&mut self.slots[slot], NONE);
        while at != NONE {
            let timer = &mut self.timers[at as usize];
            // What lies a turn of the wheel ahead stays.
            let list = if timer.turn <= turn {
                due.push(timer.value);
                &mut self.free
            } else {
                &mut self.slots[slot]
            };
            let next = core::mem::replace(&mut timer.next, *list);
            *list = core::mem::replace(&mut at, next);
        }
        self.len -= due.len() - before;
        if self.slots[slot] == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// When to look again: no timer fires before. May be earlier than any timer, by a turn of the wheel.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        if self.len == 0 {
            return None;
        }
        let start = self.tick as usize % SLOTS;
        let ahead = (0..=SLOTS / 64).find_map(|word| self.occupied_ahead(start, word))?;
        Some(Duration::from_millis(TICK_MS * (self.tick + ahead)))
    }

    /// How many slots after `start` the first occupied one is, looking at the `word`th word from there.
    fn occupied_ahead(&self, start: usize, word: usize) -> Option<u64> {
        let index = (start / 64 + word) % (SLOTS / 64);
        let mut bits = self.occupied[index];
        if word == 0 {
            bits &= u64::MAX << (start % 64);
        }
        (bits != 0).then(|| {
            let slot = index * 64 + bits.trailing_zeros() as usize;
            ((slot + SLOTS - start) % SLOTS) as u64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// 400 days are more ticks than 32 bits hold.
    #[test]
    fn looks_ahead_after_a_year_and_more() {
        let now = Duration::from_secs(400 * 86_400);
        let mut wheel = TimerWheel::default();
        wheel.expire(now, &mut Vec::new());
        wheel.insert(now + Duration::from_secs(1), ());
        assert!(wheel.next().is_some_and(|next| next > now));
    }

    /// Against a sorted map, with times from a small generator: nothing early, nothing more than a tick late, nothing lost.
    #[test]
    fn fires_like_a_sorted_map() {
        let (mut wheel, mut model, mut seed) = (TimerWheel::default(), BTreeMap::new(), 0x5eed_u64);
        let mut now = Duration::ZERO;
        let mut random = |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for token in 0..20_000_u64 {
            let at = now + Duration::from_micros(random(100_000_000));
            wheel.insert(at, token);
            model.insert((at, token), ());
            now += Duration::from_micros(random(20_000));
            assert!(
                wheel.next().is_some_and(|next| model
                    .keys()
                    .next()
                    .is_none_or(|(at, _)| next <= *at + TICK))
            );
            let mut due = Vec::new();
            wheel.expire(now, &mut due);
            for token in due {
                let key = *model.keys().find(|(_, other)| *other == token).unwrap();
                assert!(key.0 <= now, "early");
                model.remove(&key);
            }
            assert!(
                model.keys().next().is_none_or(|(at, _)| *at + TICK > now),
                "late"
            );
        }
    }
}
