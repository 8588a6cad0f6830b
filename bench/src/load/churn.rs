//! Connect, shake hands, say goodbye, hear it, and again.

use super::{Load, Tally};
use crate::crowd::{Crowd, Work};
use crate::dialect::Incoming;

/// The load.
pub(crate) struct Churn {
    tally: Tally,
    began_ns: Vec<u64>,
    under_way: u64,
    is_over: bool,
}

impl Churn {
    pub(crate) fn new(crowd: &Crowd) -> Self {
        Self {
            tally: Tally::new(),
            began_ns: vec![0; crowd.len()],
            under_way: crowd.len() as u64,
            is_over: false,
        }
    }
}

impl Load for Churn {
    /// Lets everybody who came in go.
    fn start(&mut self, crowd: &mut Crowd) {
        (0..crowd.len()).for_each(|who| crowd.send_close(who));
    }

    fn stop(&mut self) {
        self.is_over = true;
    }

    fn missing(&self) -> u64 {
        self.under_way
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Work for Churn {
    fn on_ready(&mut self, crowd: &mut Crowd, who: usize) {
        crowd.send_close(who);
    }

    fn on_message(&mut self, _crowd: &mut Crowd, _who: usize, _incoming: Incoming<'_>) {
        self.tally.refused += 1;
    }

    fn on_end(&mut self, crowd: &mut Crowd, who: usize) {
        if crowd.client(who).was_told_goodbye {
            self.tally.done(self.began_ns[who], crowd.now_ns);
        } else {
            // It was cut off, which is cheaper.
            self.tally.disordered += 1;
        }
        if self.is_over {
            self.under_way -= 1;
            return;
        }
        self.began_ns[who] = crowd.clock_ns();
        if let Err(error) = crowd.dial_again(who) {
            crowd.fail(|| format!("client {who} cannot connect: {error}"));
        }
    }
}
