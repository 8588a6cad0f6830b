//! Every client says things that nobody acknowledges, and then asks for an echo: when that comes back the server has dealt with all of them.

use super::{Load, Tally};
use crate::crowd::{Crowd, Work};
use crate::dialect::Incoming;

/// Things said for each echo: it is a small part of the cost.
const SAID: u64 = 32;

/// The load.
pub(crate) struct Say {
    tally: Tally,
    /// What is said, and the echo.
    said: Vec<u8>,
    echo: Vec<u8>,
    sent_ns: Vec<u64>,
    under_way: u64,
    is_over: bool,
}

impl Say {
    pub(crate) fn new(crowd: &Crowd, payload_bytes: usize) -> Self {
        let payload = "s".repeat(payload_bytes);
        Self {
            tally: Tally::new(),
            said: crowd.dialect.say(&payload),
            echo: crowd.dialect.echo("e"),
            sent_ns: vec![0; crowd.len()],
            under_way: 0,
            is_over: false,
        }
    }

    fn speak(&mut self, crowd: &mut Crowd, who: usize) {
        self.under_way += 1;
        self.sent_ns[who] = crowd.clock_ns();
        (0..SAID).for_each(|_| crowd.send(who, &self.said));
        crowd.send(who, &self.echo);
    }
}

impl Load for Say {
    fn start(&mut self, crowd: &mut Crowd) {
        (0..crowd.len()).for_each(|who| self.speak(crowd, who));
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

impl Work for Say {
    fn on_message(&mut self, crowd: &mut Crowd, who: usize, incoming: Incoming<'_>) {
        self.under_way -= 1;
        match incoming {
            Incoming::Answer(answer) if crowd.dialect.is_good(answer) => {
                self.tally.done(self.sent_ns[who], crowd.now_ns);
                self.tally.operations += SAID;
            }
            _ => self.tally.refused += 1,
        }
        if !self.is_over {
            self.speak(crowd, who);
        }
    }
}
