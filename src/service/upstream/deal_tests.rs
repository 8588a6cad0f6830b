//! What a worker hears of a client, whoever dies meanwhile.

use super::deal::frame_cost;
use super::random::Random;
use super::stage::{Stage, client};
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Frame, GoAway, GoAwayMode, Json};

fn stage(frames: u32) -> Stage {
    Stage::new(Window {
        frames,
        bytes: 1 << 20,
    })
}

#[test]
fn a_connect_that_waits_is_said_once() {
    let mut stage = stage(8);
    stage.open(1, &[]);
    stage.data(1, "40");
    let worker = stage.worker("a");
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.open(1, &["40"]);
    stage.open(1, &["40"]);
    assert_eq!(stage.heard_all(worker), ["OPEN 1", "DATA 1 40"]);
}

#[test]
fn a_connect_that_a_dead_worker_was_sent_is_said_again_before_all_else() {
    let mut stage = stage(2);
    let dead = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "40");
    stage.data(1, "42[1]");
    assert_eq!(stage.read(dead), ["OPEN 1", "DATA 1 40"]);
    stage.kill(dead);
    let next = stage.worker("b");
    stage.open(1, &["40"]);
    let expected = ["OPEN 1", "DATA 1 40", "DATA 1 42[1]"];
    assert_eq!(stage.heard_all(next), expected);
    stage.kill(next);
    let third = stage.worker("c");
    stage.open(1, &["40"]);
    assert_eq!(stage.heard_all(third), ["OPEN 1", "DATA 1 40"]);
}

#[test]
fn a_repeated_connect_that_was_not_sent_is_not_kept_twice() {
    let mut stage = stage(2);
    let dead = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "40");
    stage.kill(dead);
    // The next one has room for OPEN alone.
    let narrow = stage.worker("b");
    stage.open(2, &[]);
    stage.open(1, &["40"]);
    stage.kill(narrow);
    let last = stage.worker("c");
    stage.open(1, &["40"]);
    assert_eq!(stage.heard_all(last), ["OPEN 1", "DATA 1 40"]);
}

#[test]
fn attachments_without_their_header_are_of_use_to_nobody() {
    let mut stage = stage(2);
    let dead = stage.worker("a");
    stage.open(1, &[]);
    stage.part(1, "52-", true);
    stage.attachment(1, "first", true);
    assert_eq!(stage.read(dead), ["OPEN 1", "DATA 1 52-"]);
    stage.kill(dead);
    let next = stage.worker("b");
    stage.open(1, &[]);
    stage.attachment(1, "second", false);
    stage.part(1, "51-", true);
    stage.attachment(1, "whole", false);
    let expected = ["OPEN 1", "DATA 1 51-", "DATA 1 whole"];
    assert_eq!(stage.heard_all(next), expected);
}

#[test]
fn attachments_that_waited_are_dropped_as_far_as_their_packet_goes() {
    let mut stage = stage(2);
    let dead = stage.worker("a");
    stage.open(1, &[]);
    stage.part(1, "52-", true);
    stage.attachment(1, "first", true);
    stage.attachment(1, "second", false);
    stage.data(1, "42[\"next\"]");
    stage.kill(dead);
    let next = stage.worker("b");
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(next), ["OPEN 1", "DATA 1 42[\"next\"]"]);
}

#[test]
fn what_comes_while_a_link_is_cut_is_not_lost_with_its_worker() {
    let mut stage = stage(8);
    let dead = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "42[1]");
    assert_eq!(stage.heard(dead), ["OPEN 1", "DATA 1 42[1]"]);
    stage.cut(dead);
    stage.data(1, "42[2]");
    stage.pass(600_000);
    let next = stage.worker("b");
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(next), ["OPEN 1", "DATA 1 42[2]"]);
}

#[test]
fn with_redelivery_the_next_worker_hears_what_the_last_one_had_not_dealt_with() {
    let mut stage = stage(8);
    stage.exchange.settings.redeliver = true;
    let dead = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "40");
    stage.data(1, "42[1]");
    assert_eq!(stage.heard(dead).len(), 3, "it has dealt with these");
    stage.part(1, "51-[2]", true);
    stage.attachment(1, "two", false);
    stage.data(1, "40/other,");
    stage.part(1, "51-[3]", true);
    let dealt = stage.dealt.clone();
    stage.kill(dead);
    stage.attachment(1, "three", false);
    let next = stage.worker("b");
    stage.open(1, &["40/other,"]);
    let mut expected = vec!["OPEN 1", "DATA 1 51-[2]", "DATA 1 two", "DATA 1 40/other,"];
    expected.extend(["DATA 1 51-[3]", "DATA 1 three"]);
    assert_eq!(stage.heard_all(next), expected);
    assert_eq!(
        stage.dealt, dealt,
        "what is said again is not counted again"
    );
}

#[test]
fn what_a_worker_that_leaves_had_not_dealt_with_goes_to_the_next() {
    let mut stage = stage(8);
    let leaver = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "42[1]");
    assert_eq!(stage.heard(leaver), ["OPEN 1", "DATA 1 42[1]"]);
    stage.data(1, "42[2]");
    assert_eq!(
        stage.read(leaver),
        ["DATA 1 42[2]"],
        "it is there, and not dealt with"
    );
    let json = Json::new(GoAway {
        mode: GoAwayMode::Keep,
        reason: "deploy".into(),
        deadline_ms: 0,
    });
    stage.say(leaver, 0, &Frame::GoAway { json });
    stage.cut(leaver);
    stage.data(1, "42[3]");
    let next = stage.worker("b");
    stage.open(1, &[]);
    assert_eq!(
        stage.heard_all(next),
        ["OPEN 1", "DATA 1 42[2]", "DATA 1 42[3]"]
    );
}

#[test]
fn redelivery_puts_the_header_before_what_is_left_of_a_packet() {
    let mut stage = stage(2);
    stage.exchange.settings.redeliver = true;
    let dead = stage.worker("a");
    stage.open(1, &[]);
    stage.part(1, "52-", true);
    assert_eq!(stage.heard(dead), ["OPEN 1", "DATA 1 52-"]);
    stage.attachment(1, "first", true);
    stage.attachment(1, "second", false);
    stage.data(1, "42[1]");
    stage.kill(dead);
    let next = stage.worker("b");
    stage.open(1, &[]);
    let mut expected = vec!["OPEN 1", "DATA 1 52-", "DATA 1 first", "DATA 1 second"];
    expected.push("DATA 1 42[1]");
    assert_eq!(stage.heard_all(next), expected);
}

#[test]
fn attachments_stay_without_their_header_whoever_dies_next() {
    let mut stage = stage(8);
    let first = stage.worker("a");
    stage.open(1, &[]);
    stage.part(1, "51-", true);
    assert_eq!(stage.read(first), ["OPEN 1", "DATA 1 51-"]);
    stage.kill(first);
    let second = stage.worker("b");
    stage.open(1, &[]);
    stage.kill(second);
    let third = stage.worker("c");
    stage.open(1, &[]);
    stage.attachment(1, "late", false);
    stage.data(1, "42[1]");
    assert_eq!(stage.heard_all(third), ["OPEN 1", "DATA 1 42[1]"]);
}

#[test]
fn whoever_waits_is_called_once_until_it_answers() {
    let mut stage = stage(8);
    stage.open(1, &[]);
    let first = stage.worker("a");
    stage.worker("b");
    assert_eq!(stage.take_told(), ["again 1"]);
    stage.kill(first);
    assert_eq!(stage.take_told(), Vec::<String>::new());
    stage.open(1, &[]);
    stage.worker("c");
    assert_eq!(stage.take_told(), Vec::<String>::new(), "it has a worker");
}

#[test]
fn last_words_are_heard_before_the_end() {
    let mut stage = stage(1);
    let worker = stage.worker("a");
    stage.open(1, &[]);
    stage.data(1, "42[\"bye\"]");
    stage.close(1);
    let expected = ["OPEN 1", "DATA 1 42[\"bye\"]", "CLOSE 1"];
    assert_eq!(stage.heard_all(worker), expected);
    assert!(stage.exchange.clients.is_empty());
}

#[test]
fn clients_that_come_and_go_cost_a_worker_that_does_not_read_little() {
    let mut stage = stage(4);
    let stuck = stage.worker("stuck");
    let text = "x".repeat(1_000);
    for number in 1..=50_000 {
        stage.open(number, &[]);
        stage.data(number, &text);
        stage.close(number);
    }
    let worker = stage.exchange.workers.values().next().unwrap();
    let kept = stage.exchange.clients.len();
    assert!(kept * 1_000 < 5 << 20, "{kept} clients are kept");
    assert!(worker.row.len() <= kept * 2 + 2, "{}", worker.row.len());
    let heard = stage.heard_all(stuck);
    let count = |name: &str| heard.iter().filter(|frame| frame.starts_with(name)).count();
    assert_eq!(count("OPEN"), count("CLOSE"), "whoever came has gone");
    assert!(stage.exchange.clients.is_empty());
    let worker = stage.exchange.workers.values().next().unwrap();
    assert_eq!(
        (worker.row.len(), worker.farewell_bytes, worker.load),
        (0, 0, 0)
    );
}

#[test]
fn each_client_has_its_turn() {
    let mut stage = stage(1);
    let worker = stage.worker("a");
    stage.open(1, &[]);
    stage.open(2, &[]);
    for _ in 0..3 {
        stage.data(1, "a");
    }
    stage.data(2, "b");
    let heard = stage.heard_all(worker);
    let place = |frame: &str| heard.iter().position(|heard| heard == frame).unwrap();
    assert!(place("DATA 2 b") < heard.len() - 1, "{heard:?}");
}

#[test]
fn of_how_a_client_keeps_up_a_worker_hears_the_last_word() {
    let mut stage = stage(1);
    let worker = stage.worker("a");
    stage.open(1, &[]);
    for number in 0..1_000 {
        stage.pressure(1, number % 2 == 0);
    }
    stage.data(1, "42[1]");
    let heard = stage.heard_all(worker);
    assert_eq!(heard, ["OPEN 1", "PRESSURE 1 0", "DATA 1 42[1]"]);
}

/// What shards are told when a worker dies that was sent a packet, and had dealt with it or not.
fn told_of(packet: &str, deals: bool, redeliver: bool) -> Vec<String> {
    let mut stage = stage(8);
    stage.exchange.settings.redeliver = redeliver;
    let worker = stage.worker("a");
    stage.open(1, &[]);
    stage.heard_all(worker);
    stage.data(1, packet);
    match deals {
        true => stage.heard(worker),
        false => stage.read(worker),
    };
    stage.kill(worker);
    stage.take_told()
}

#[test]
fn who_has_connected_again_is_not_taken_out_for_its_leave() {
    let mut stage = stage(8);
    let worker = stage.worker("a");
    stage.open(1, &[]);
    stage.heard_all(worker);
    for packet in ["1/chat,", "1/news,", "0/chat,"] {
        stage.data(1, packet);
    }
    stage.read(worker);
    stage.kill(worker);
    assert_eq!(stage.take_told(), ["left 1 /news"]);
}

#[test]
fn a_namespace_that_a_client_has_left_does_not_come_back() {
    assert_eq!(told_of("1", false, false), ["left 1 /"]);
    assert_eq!(told_of("1/chat,", false, false), ["left 1 /chat"]);
    assert_eq!(told_of("1/chat?a=1,", false, false), ["left 1 /chat"]);
    assert_eq!(told_of("2[1]", false, false), [""; 0]);
    assert_eq!(
        told_of("1", true, false),
        [""; 0],
        "its worker has seen to that"
    );
    assert_eq!(told_of("1", false, true), [""; 0], "the next one hears it");
}

/// Clients that talk, workers that die: each client's words are numbered.
struct Run {
    random: Random,
    stage: Stage,
    workers: Vec<ConnId>,
    lives: u64,
    /// By client: the next number, whether it is still there, what it was charged, and attachments that are to come.
    clients: Vec<(u64, bool, u64, u64)>,
    /// By client: the last packet that some worker heard.
    last: Vec<i64>,
    heard_parts: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let frames = 1 + random.below(6) as u32;
        let mut stage = stage(frames);
        stage.exchange.settings.redeliver = random.below(2) == 0;
        Self {
            random,
            stage,
            workers: Vec::new(),
            lives: 0,
            clients: Vec::new(),
            last: Vec::new(),
            heard_parts: 0,
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let open: Vec<usize> = (0..self.clients.len())
            .filter(|client| self.clients[*client].1)
            .collect();
        (!open.is_empty()).then(|| open[self.random.below(open.len() as u64) as usize])
    }

    fn part(&mut self, at: usize, text: &str, has_more: bool) {
        self.clients[at].2 += u64::from(frame_cost(text.len()));
        match text.starts_with("part") {
            true => self.stage.attachment(at as u64 + 1, text, has_more),
            false => self.stage.part(at as u64 + 1, text, has_more),
        }
    }

    /// A packet, or the next attachment of the last one.
    fn talk(&mut self) {
        let Some(at) = self.pick() else { return };
        let (number, _, _, left) = self.clients[at];
        if left > 0 {
            self.clients[at].3 -= 1;
            return self.part(at, &format!("part {}", number - 1), left > 1);
        }
        let attachments = self.random.below(4).saturating_sub(1);
        self.clients[at].0 += 1;
        self.clients[at].3 = attachments;
        let text = match attachments {
            0 => format!("packet {number}"),
            some => format!("5{some}-packet {number}"),
        };
        self.part(at, &text, attachments > 0);
    }

    fn answer_calls(&mut self) {
        for told in self.stage.take_told() {
            if let Some(number) = told.strip_prefix("again ") {
                let number: u64 = number.parse().unwrap();
                if self.clients[number as usize - 1].1 {
                    self.stage.open(number, &[]);
                }
            }
        }
    }

    fn hear(&mut self) {
        for conn in self.workers.clone() {
            let frames = self.stage.heard(conn);
            self.check(&frames);
        }
    }

    fn check(&mut self, frames: &[String]) {
        for frame in frames {
            let words: Vec<&str> = frame.split(' ').collect();
            let ["DATA", client, what, number] = words[..] else {
                continue;
            };
            let at = client.parse::<usize>().unwrap() - 1;
            let number: i64 = number.parse().unwrap();
            if what == "part" {
                self.heard_parts += 1;
                assert_eq!(number, self.last[at], "a part of another packet: {frame}");
            } else if self.stage.exchange.settings.redeliver {
                assert!(number <= self.last[at] + 1, "something was lost: {frame}");
                self.last[at] = number;
            } else {
                assert!(number > self.last[at], "heard twice, or late: {frame}");
                self.last[at] = number;
            }
        }
    }

    fn kill(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        let at = self.random.below(self.workers.len() as u64) as usize;
        let conn = self.workers.swap_remove(at);
        let frames = self.stage.read(conn);
        self.check(&frames);
        self.stage.kill(conn);
    }

    fn join(&mut self) {
        self.lives += 1;
        let conn = self.stage.worker(&format!("w{}", self.lives));
        self.workers.push(conn);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=1 => self.kill(),
            2..=4 if self.workers.len() < 3 => self.join(),
            5..=9 => {
                self.clients.push((0, true, 0, 0));
                self.last.push(-1);
                self.stage.open(self.clients.len() as u64, &[]);
            }
            10..=12 => {
                if let Some(at) = self.pick() {
                    self.clients[at].1 = false;
                    self.stage.close(at as u64 + 1);
                }
            }
            13..=80 => self.talk(),
            _ => self.hear(),
        }
        self.answer_calls();
    }

    /// With one worker that reads, everybody's last packet is heard, and all that was charged is given back.
    fn finish(&mut self) {
        self.join();
        for at in 0..self.clients.len() {
            while self.clients[at].1 && self.clients[at].3 > 0 {
                self.clients[at].3 -= 1;
                let number = self.clients[at].0 - 1;
                let has_more = self.clients[at].3 > 0;
                self.part(at, &format!("part {number}"), has_more);
            }
            if self.clients[at].1 {
                let number = self.clients[at].0;
                self.clients[at].0 += 1;
                self.part(at, &format!("packet {number}"), false);
            }
        }
        self.answer_calls();
        // A worker whose kin has failed waits at first, and then has one client for a second.
        for _ in 0..130 {
            self.stage.pass(100_000);
            self.answer_calls();
            (0..100).for_each(|_| self.hear());
        }
        for (at, (next, is_open, charged, _)) in self.clients.iter().enumerate() {
            if *is_open {
                assert_eq!(self.last[at], *next as i64 - 1, "client {at}");
                let dealt = self.stage.dealt.get(&client(at as u64 + 1));
                let open = charged - dealt.copied().unwrap_or(0);
                assert!(open < 16 * 1024, "client {at} is owed {open} of {charged}");
            }
        }
    }
}

#[test]
fn whoever_dies_each_client_is_heard_in_order_once_and_in_whole_packets() {
    let mut parts = 0;
    for seed in 0..100 {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
        }
        run.finish();
        parts += run.heard_parts;
    }
    assert!(parts > 1_000, "attachments were heard: {parts}");
}

/// A worker has dealt with the header of one client's packet, with a header and an attachment of another's, and with all of a third one's.
fn within_packets(stage: &mut Stage) -> ConnId {
    let first = stage.worker("a");
    (1..=3).for_each(|number| stage.open(number, &[]));
    stage.part(1, "51-[1]", true);
    stage.part(2, "52-[2]", true);
    stage.attachment(2, "two", true);
    stage.part(3, "51-[3]", true);
    stage.attachment(3, "three", false);
    assert_eq!(stage.heard(first).len(), 8, "it has dealt with these");
    stage.attachment(1, "one", false);
    first
}

fn heard_by_the_next(stage: &mut Stage) -> Vec<String> {
    let next = stage.worker("b");
    (1..=3).for_each(|number| stage.open(number, &[]));
    stage.attachment(2, "more", false);
    let heard = stage.heard_all(next);
    let data = heard.into_iter().filter(|frame| frame.starts_with("DATA"));
    let mut data: Vec<String> = data.collect();
    // In which order clients' turns come is another matter.
    data.sort_by_key(|frame| frame.as_bytes()[5]);
    data
}

const WHOLE: [&str; 5] = [
    "DATA 1 51-[1]",
    "DATA 1 one",
    "DATA 2 52-[2]",
    "DATA 2 two",
    "DATA 2 more",
];

#[test]
fn a_packet_of_which_a_worker_that_stops_has_a_part_is_whole_at_the_next() {
    let mut stage = stage(32);
    let first = within_packets(&mut stage);
    let json = Json::new(GoAway {
        mode: GoAwayMode::Keep,
        reason: "".into(),
        deadline_ms: 0,
    });
    stage.say(first, 0, &Frame::GoAway { json });
    stage.cut(first);
    assert_eq!(heard_by_the_next(&mut stage), WHOLE);
}

#[test]
fn with_redelivery_so_is_one_of_which_a_worker_that_dies_has() {
    for redeliver in [false, true] {
        let mut stage = stage(32);
        stage.exchange.settings.redeliver = redeliver;
        let first = within_packets(&mut stage);
        stage.kill(first);
        let expected = if redeliver { &WHOLE[..] } else { &[] };
        assert_eq!(heard_by_the_next(&mut stage), expected);
    }
}

#[test]
fn what_a_worker_had_of_a_packet_before_its_link_was_cut_is_not_forgotten() {
    let mut stage = stage(32);
    stage.exchange.settings.redeliver = true;
    let first = stage.worker("a");
    stage.open(1, &[]);
    stage.part(1, "52-[1]", true);
    assert_eq!(stage.read(first).len(), 2);
    stage.cut(first);
    let again = stage.accept();
    stage.hello_again(again, "a", Some(2));
    stage.attachment(1, "one", true);
    stage.heard(again);
    stage.kill(again);
    stage.attachment(1, "more", false);
    let next = stage.worker("b");
    stage.open(1, &[]);
    let expected = ["OPEN 1", "DATA 1 52-[1]", "DATA 1 one", "DATA 1 more"];
    assert_eq!(stage.heard_all(next), expected);
}

#[test]
fn what_is_kept_of_begun_packets_has_a_bound() {
    let mut stage = stage(32);
    stage.exchange.settings.redeliver = true;
    let first = stage.worker("a");
    (1..=9).for_each(|number| stage.open(number, &[]));
    let large = "x".repeat(600 << 10);
    for number in 1..=9 {
        stage.part(number, &format!("52-[{number}]"), true);
        stage.attachment(number, &large, true);
        stage.heard(first);
    }
    stage.kill(first);
    (1..=9).for_each(|number| stage.attachment(number, "last", false));
    let next = stage.worker("b");
    (1..=9).for_each(|number| stage.open(number, &[]));
    let heard = stage.heard_all(next);
    let whole = |number: &u64| heard.contains(&format!("DATA {number} last"));
    assert_eq!(
        (1..=9).filter(whole).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    let headers = heard.iter().filter(|frame| frame.contains(" 52-"));
    assert_eq!(headers.count(), 6, "of the others nothing is left");
}
