//! Whether a sleeping shard is left to find its mail by itself: one that has clients of its own is about to lap anyway, and waking it for
//! every message is a lap, a system call and an interrupt of another core for each.
//!
//! What pays is learned for each target. A wake that was put off and proved needless (the target took its mail meanwhile) earns trust; one
//! that had to be sent after all costs it. Without trust everything is woken at once, but for a trial now and then, and trials that fail
//! become rare: two shards that wait for each other's answers, as a client and its application may, soon pay next to nothing.

use core::time::Duration;

/// How long a wake is put off at most. It is paid only while the target laps so often that most messages wait for less.
pub(super) const WAKE_DELAY: Duration = Duration::from_micros(500);
const TRUST_MAX: u8 = 32;
/// Wakes between two trials.
const TRIAL_EVERY_MIN: u16 = 16;
const TRIAL_EVERY_MAX: u16 = 256;

/// What one shard knows of another's laps.
pub(super) struct Patience {
    /// The wake that is owed, and when it is sent at the latest.
    owed_at: Option<Duration>,
    trust: u8,
    trial_every: u16,
    /// Wakes until the next trial.
    until_trial: u16,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            owed_at: None,
            trust: 0,
            trial_every: TRIAL_EVERY_MIN,
            until_trial: TRIAL_EVERY_MIN,
        }
    }
}

impl Patience {
    pub(super) const fn owed_at(&self) -> Option<Duration> {
        self.owed_at
    }

    /// There is mail for the target, which sleeps: whether to wake it now. If not, the wake is owed; `begin` is called when it begins to be.
    pub(super) fn is_over(&mut self, now: Duration, begin: impl FnOnce()) -> bool {
        match self.owed_at {
            Some(at) if now < at => false,
            Some(_) => {
                self.failed();
                true
            }
            None => {
                let waits = self.is_worth_it();
                if waits {
                    self.owed_at = Some(now + WAKE_DELAY);
                    begin();
                }
                !waits
            }
        }
    }

    fn is_worth_it(&mut self) -> bool {
        if self.trust == 0 && self.until_trial > 0 {
            self.until_trial -= 1;
            return false;
        }
        true
    }

    fn failed(&mut self) {
        self.owed_at = None;
        self.trust = self.trust.saturating_sub(1);
        if self.trust == 0 {
            self.trial_every = (self.trial_every * 2).min(TRIAL_EVERY_MAX);
            self.until_trial = self.trial_every;
        }
    }

    /// The target is woken for something else.
    pub(super) fn forget(&mut self) {
        self.owed_at = None;
    }

    /// The target laps, or took everything.
    pub(super) fn came_by_itself(&mut self) {
        if self.owed_at.take().is_some() {
            self.trust = (self.trust + 1).min(TRUST_MAX);
            self.trial_every = (self.trial_every / 2).max(TRIAL_EVERY_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One message to a sleeper after the other; `laps`: whether the target comes by itself. Gives how many were woken at once.
    fn messages(patience: &mut Patience, count: u32, laps: bool) -> u32 {
        let mut at_once = 0;
        for number in 0..count {
            let now = WAKE_DELAY * 3 * number;
            if patience.is_over(now, || ()) {
                at_once += 1;
            } else if laps {
                patience.came_by_itself();
            } else {
                assert!(!patience.is_over(now + WAKE_DELAY / 2, || ()));
                assert!(
                    patience.is_over(now + WAKE_DELAY, || ()),
                    "put off for good"
                );
            }
        }
        at_once
    }

    #[test]
    fn whoever_laps_by_itself_is_soon_left_alone() {
        let mut patience = Patience::default();
        assert_eq!(
            messages(&mut patience, 10_000, true),
            u32::from(TRIAL_EVERY_MIN)
        );
    }

    #[test]
    fn whoever_does_not_is_woken_at_once() {
        let mut patience = Patience::default();
        assert!(messages(&mut patience, 100_000, false) > 99_500);
        // And again, after it was trusted.
        messages(&mut patience, 100_000, true);
        assert!(messages(&mut patience, 100_000, false) > 99_500);
    }

    #[test]
    fn trust_comes_back() {
        let mut patience = Patience::default();
        messages(&mut patience, 100_000, false);
        assert!(messages(&mut patience, 10_000, true) <= u32::from(TRIAL_EVERY_MAX));
    }
}
