//! Every client has one echo under way: a new one as soon as the last came back.
//!
//! Each has a number, as the acknowledgement's and within its payload: an answer that comes twice, or to something else, is no echo.

use super::{Load, Tally};
use crate::crowd::{Crowd, Work};
use crate::dialect::Incoming;
use core::fmt::Write as _;
use memchr::memmem::Finder;

/// Digits of the number at the payload's start. Decimal, so that none of them is the letter that follows.
const DIGITS: usize = 8;
const NUMBERS: u32 = 10_u32.pow(DIGITS as u32);

/// What a client waits for.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Of the last thing that was asked.
    number: u32,
    sent_ns: u64,
    is_awaited: bool,
}

/// The load.
pub(crate) struct Echo {
    tally: Tally,
    /// The payload without its number.
    rest: String,
    /// Looks for that; made once, as making it costs more than a search.
    finder: Finder<'static>,
    payload: String,
    asked: Vec<Asked>,
    under_way: u64,
    is_over: bool,
}

impl Echo {
    pub(crate) fn new(crowd: &Crowd, payload_bytes: usize) -> Self {
        let rest = "e".repeat(payload_bytes - DIGITS);
        Self {
            tally: Tally::new(),
            finder: Finder::new(&rest).into_owned(),
            rest,
            payload: String::with_capacity(payload_bytes),
            asked: vec![Asked::default(); crowd.len()],
            under_way: 0,
            is_over: false,
        }
    }

    fn ask(&mut self, crowd: &mut Crowd, who: usize) {
        self.under_way += 1;
        let asked = &mut self.asked[who];
        let number = (asked.number + 1) % NUMBERS;
        self.payload.clear();
        write!(self.payload, "{number:0DIGITS$}{}", self.rest).expect("memory takes it");
        *asked = Asked {
            number,
            sent_ns: crowd.clock_ns(),
            is_awaited: true,
        };
        crowd.send(who, &crowd.dialect.echo(number, &self.payload));
    }

    /// Whether the payload of that number stands in an answer.
    fn has_payload(&self, answer: &[u8], number: u32) -> bool {
        let found = self.finder.find(answer);
        let digits = found.and_then(|at| answer.get(at.checked_sub(DIGITS)?..at));
        let carried = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        carried == Some(number)
    }

    /// What is asked for is not under way any more; the next thing is.
    fn go_on(&mut self, crowd: &mut Crowd, who: usize) {
        self.asked[who].is_awaited = false;
        self.under_way -= 1;
        if !self.is_over {
            self.ask(crowd, who);
        }
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
        let Incoming::Answer(answer) = incoming else {
            self.tally.refused += 1;
            return;
        };
        let asked = self.asked[who];
        if !asked.is_awaited || !crowd.dialect.answers(answer, asked.number) {
            self.tally.disordered += 1;
        } else if !crowd.dialect.is_good(answer) {
            self.tally.refused += 1;
            self.go_on(crowd, who);
        } else if self.has_payload(answer, asked.number) {
            self.tally.done(asked.sent_ns, crowd.now_ns);
            self.go_on(crowd, who);
        } else {
            self.tally.disordered += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    const BYTES: usize = 25;

    /// A client that asks one thing after the other gets these answers, and is told to stop before the last of them; then what was counted: operations,
    /// refused, disordered, and what is under way.
    #[track_caller]
    fn check(dialect: Dialect, answers: &[String], counted: [u64; 4]) {
        let (mut crowd, _listener) = Crowd::pretended(dialect, 1);
        let mut echo = Echo::new(&crowd, BYTES);
        echo.start(&mut crowd);
        for (number, answer) in answers.iter().enumerate() {
            if number + 1 == answers.len() {
                echo.stop();
            }
            echo.on_message(&mut crowd, 0, dialect.understand(answer.as_bytes()));
        }
        let tally = &echo.tally;
        assert_eq!(
            [
                tally.operations,
                tally.refused,
                tally.disordered,
                echo.under_way
            ],
            counted,
            "{answers:?}"
        );
    }

    fn payload(number: u32) -> String {
        format!("{number:08}{}", "e".repeat(BYTES - DIGITS))
    }

    fn ack(id: u32, number: u32) -> String {
        format!(r#"43{id}[{{"ok":true,"data":"{}"}}]"#, payload(number))
    }

    #[test]
    fn each_answer_counts_once() {
        let ack = |number| ack(number, number);
        check(Dialect::SocketIo, &[ack(1), ack(2), ack(3)], [3, 0, 0, 0]);
        check(Dialect::SocketIo, &[ack(1), ack(1), ack(2)], [2, 0, 1, 0]);
        check(Dialect::SocketIo, &[ack(2), ack(1)], [1, 0, 1, 0]);
        check(Dialect::SocketIo, &[ack(2)], [0, 0, 1, 1]);
    }

    #[test]
    fn an_answer_after_the_end_does_not_wrap() {
        let (mut crowd, _listener) = Crowd::pretended(Dialect::SocketIo, 1);
        let mut echo = Echo::new(&crowd, BYTES);
        echo.start(&mut crowd);
        echo.stop();
        for _ in 0..3 {
            let answer = ack(1, 1);
            echo.on_message(&mut crowd, 0, Incoming::Answer(answer.as_bytes()));
        }
        let counted = (echo.tally.operations, echo.tally.disordered, echo.missing());
        assert_eq!(counted, (1, 2, 0));
    }

    #[test]
    fn an_answer_of_another_payload_is_none() {
        check(Dialect::SocketIo, &[ack(1, 2)], [0, 0, 1, 1]);
        check(Dialect::SocketIo, &[ack(1, 2), ack(1, 1)], [1, 0, 1, 0]);
        let short = r#"431[{"ok":true,"data":"00000001eee"}]"#.to_owned();
        check(Dialect::SocketIo, &[short], [0, 0, 1, 1]);
    }

    #[test]
    fn who_is_refused_asks_for_the_next() {
        let no = r#"431[{"ok":false,"code":"RW-2201"}]"#.to_owned();
        check(Dialect::SocketIo, &[no, ack(2, 2)], [1, 1, 0, 0]);
        check(Dialect::SocketIo, &["42[]".to_owned()], [0, 1, 0, 1]);
    }

    #[test]
    fn where_answers_have_no_number_the_payload_has() {
        let bare = |number| format!("e{}", payload(number));
        check(Dialect::Bare, &[bare(1), bare(1), bare(2)], [2, 0, 1, 0]);
        check(
            Dialect::Bytes,
            &[payload(1), payload(1), payload(2)],
            [2, 0, 1, 0],
        );
    }
}
