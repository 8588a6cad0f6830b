//! Nobody does anything; pings are answered by the crowd.

use super::{Load, Tally};
use crate::crowd::{Crowd, Work};
use crate::dialect::Incoming;

/// The load.
pub(crate) struct Idle {
    tally: Tally,
}

impl Idle {
    pub(crate) fn new() -> Self {
        Self {
            tally: Tally::new(),
        }
    }
}

impl Work for Idle {
    fn on_message(&mut self, _crowd: &mut Crowd, _who: usize, _incoming: Incoming<'_>) {
        self.tally.refused += 1;
    }
}

impl Load for Idle {
    fn missing(&self) -> u64 {
        0
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
