//! Clients say things that nobody acknowledges, one after the other by the clock; now and then one asks for an echo, which says that the server has dealt
//! with all that came before it.

use super::{Load, Tally, WAIT_MAX};
use crate::crowd::{Crowd, Work};
use crate::dialect::Incoming;
use crate::scenario::Scenario;
use core::time::Duration;

/// Things that a client says for each echo: it is a small part of the cost.
const SAID: u64 = 32;

/// The load.
pub(crate) struct Say {
    tally: Tally,
    /// What is said, and the echo.
    said: Vec<u8>,
    echo: Vec<u8>,
    interval_ns: u64,
    /// When the next thing is due, and how many were said.
    due_ns: u64,
    count: u64,
    asked_ns: Vec<u64>,
    under_way: u64,
    is_over: bool,
}

impl Say {
    pub(crate) fn new(crowd: &Crowd, scenario: &Scenario) -> Self {
        let payload = "s".repeat(scenario.payload_bytes);
        Self {
            tally: Tally::new(),
            said: crowd.dialect.say(&payload),
            echo: crowd.dialect.echo(0, "e"),
            interval_ns: 1_000_000_000 / scenario.publishes_per_second,
            due_ns: 0,
            count: 0,
            asked_ns: vec![0; crowd.len()],
            under_way: 0,
            is_over: false,
        }
    }

    /// The next client in turn says something.
    fn speak(&mut self, crowd: &mut Crowd) {
        let clients = crowd.len() as u64;
        let who = (self.count % clients) as usize;
        crowd.send(who, &self.said);
        self.tally.operations += 1;
        self.count += 1;
        if self.count.div_ceil(clients).is_multiple_of(SAID) {
            self.ask(crowd, who);
        }
    }

    fn ask(&mut self, crowd: &mut Crowd, who: usize) {
        self.under_way += 1;
        self.asked_ns[who] = crowd.clock_ns();
        crowd.send(who, &self.echo);
    }
}

impl Load for Say {
    fn start(&mut self, crowd: &mut Crowd) {
        self.due_ns = crowd.clock_ns();
    }

    fn due(&mut self, crowd: &mut Crowd) -> Duration {
        if self.is_over {
            return WAIT_MAX;
        }
        let now_ns = crowd.clock_ns();
        while self.due_ns <= now_ns {
            self.speak(crowd);
            self.due_ns += self.interval_ns;
        }
        Duration::from_nanos(self.due_ns.saturating_sub(crowd.clock_ns())).min(WAIT_MAX)
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
        self.under_way = self.under_way.saturating_sub(1);
        match incoming {
            Incoming::Answer(answer) if crowd.dialect.is_good(answer) => {
                self.tally.done(self.asked_ns[who], crowd.now_ns);
            }
            _ => self.tally.refused += 1,
        }
    }
}
