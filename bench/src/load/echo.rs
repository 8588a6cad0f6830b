//! Every client has one echo under way: a new one as soon as the last came back.

use super::{Load, Tally};
use crate::crowd::{Crowd, Work};
use crate::dialect::Incoming;
use memchr::memmem::Finder;

/// The load.
pub(crate) struct Echo {
    tally: Tally,
    /// Looks for the payload; made once, as making it costs more than a search.
    payload: Finder<'static>,
    message: Vec<u8>,
    sent_ns: Vec<u64>,
    under_way: u64,
    is_over: bool,
}

impl Echo {
    pub(crate) fn new(crowd: &Crowd, payload_bytes: usize) -> Self {
        let payload = "e".repeat(payload_bytes);
        Self {
            tally: Tally::new(),
            message: crowd.dialect.echo(&payload),
            payload: Finder::new(&payload).into_owned(),
            sent_ns: vec![0; crowd.len()],
            under_way: 0,
            is_over: false,
        }
    }

    fn ask(&mut self, crowd: &mut Crowd, who: usize) {
        self.under_way += 1;
        self.sent_ns[who] = crowd.clock_ns();
        crowd.send(who, &self.message);
    }
}

impl Load for Echo {
    /// Lets everybody begin.
    fn start(&mut self, crowd: &mut Crowd) {
        (0..crowd.len()).for_each(|who| self.ask(crowd, who));
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

impl Work for Echo {
    fn on_message(&mut self, crowd: &mut Crowd, who: usize, incoming: Incoming<'_>) {
        self.under_way -= 1;
        match incoming {
            Incoming::Answer(answer)
                if crowd.dialect.is_good(answer) && self.payload.find(answer).is_some() =>
            {
                self.tally.done(self.sent_ns[who], crowd.now_ns);
            }
            _ => self.tally.refused += 1,
        }
        if !self.is_over {
            self.ask(crowd, who);
        }
    }
}
