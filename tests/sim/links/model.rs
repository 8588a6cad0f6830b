//! The judge: what docs/link.md promises about workers and their clients, from what both of them see and nothing else.
//!
//! Events go up, numbered by their client; words go down, numbered by the life of the worker that says them. What the daemon knows of memberships is known by
//! its CREDIT: before a frame is covered the daemon may have obeyed it or not, and both outcomes are right.

use super::client::trace;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A simulated client.
pub(crate) type Who = usize;
/// A worker's life, never used twice.
pub(crate) type LifeName = usize;

/// What a broadcast is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) space: &'static str,
    pub(crate) rooms: Vec<String>,
    pub(crate) except: Vec<String>,
    /// Clients of the sending life alone.
    pub(crate) is_local: bool,
}

/// A socket as its worker described it: its name, and its rooms without that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) sid: String,
    pub(crate) rooms: BTreeSet<String>,
}

impl Target {
    fn reaches(&self, stay: Option<&Stay>) -> bool {
        let Some(stay) = stay else {
            return false;
        };
        let is_in = |room: &String| *room == stay.sid || stay.rooms.contains(room);
        (self.rooms.is_empty() || self.rooms.iter().any(is_in)) && !self.except.iter().any(is_in)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Must,
    May,
}

/// A socket as the daemon knows it: as it was when all that is covered by CREDIT was said, and after each frame since.
#[derive(Default)]
struct Known {
    sure: Option<Stay>,
    pending: VecDeque<(LifeName, u64, Option<Stay>)>,
    /// The client has said that it leaves: it may be out at any time.
    is_leaving: bool,
}

impl Known {
    fn last(&self) -> Option<&Stay> {
        let last = self.pending.back().map(|(_, _, stay)| stay);
        last.unwrap_or(&self.sure).as_ref()
    }

    fn possible(&self) -> impl Iterator<Item = Option<&Stay>> {
        let pending = self.pending.iter().map(|(_, _, stay)| stay.as_ref());
        core::iter::once(self.sure.as_ref()).chain(pending)
    }

    /// The daemon has obeyed so many frames of a life.
    fn settle(&mut self, life: LifeName, frames: u64) {
        let obeyed =
            |(by, frame, _): &(LifeName, u64, Option<Stay>)| *by == life && *frame <= frames;
        // What a life before said that never came is over by then, too.
        if let Some(last) = self.pending.iter().rposition(obeyed) {
            let (_, _, stay) = self
                .pending
                .drain(..=last)
                .next_back()
                .expect("it is there");
            self.sure = stay;
        }
    }
}

#[derive(Default)]
struct Client {
    is_gone: bool,
    /// Its worker has closed it.
    is_closed: bool,
    life: Option<LifeName>,
    /// All that it ever had.
    had: BTreeSet<LifeName>,
    /// Events that it has said.
    said: u64,
    /// The last that was dispatched.
    dispatched: u64,
    /// Its worker has handed it over, and its rooms are as that one said last.
    is_handed_over: bool,
    /// When a worker heard of it last.
    heard_at: Duration,
    /// Workers that were in doubt when an event of it was dispatched last.
    doubts: u64,
    /// The next event may come behind some that a worker took with it.
    may_skip: bool,
    /// Namespaces: those it is in as it knows, and those that it left or has not heard of.
    joined: BTreeSet<&'static str>,
    /// Those that it has ever left.
    parted: BTreeSet<&'static str>,
    spaces: BTreeMap<&'static str, Known>,
    expected: BTreeMap<LifeName, BTreeMap<u64, Expect>>,
    /// Lives that spoke to it alone.
    spoken: Vec<LifeName>,
    /// Events that are to be answered, and who has dispatched them.
    asked: BTreeMap<u64, Option<LifeName>>,
}

struct Word {
    frame: u64,
    /// `None`: to one client.
    target: Option<Target>,
}

#[derive(Default)]
struct Life {
    is_over: bool,
    credited: u64,
    words: BTreeMap<u64, Word>,
    last_word: u64,
}

/// What happened, for the table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) dispatched: u64,
    pub(crate) answered: u64,
    pub(crate) words: u64,
    pub(crate) resumed: u64,
    pub(crate) skipped: u64,
    pub(crate) again: u64,
    pub(crate) handed_over: u64,
    pub(crate) deaths: u64,
    pub(crate) parted: u64,
    pub(crate) nowhere: u64,
    pub(crate) moved: u64,
    pub(crate) passed_over: u64,
    pub(crate) moved_unknown: u64,
}

/// Everything that clients and workers saw.
#[derive(Default)]
pub(crate) struct Model {
    redelivers: bool,
    /// By when a death was noticed by everybody.
    notice: Duration,
    /// How many frames a worker may take with it.
    window_frames: u64,
    died_at: Option<Duration>,
    doubts: u64,
    clients: BTreeMap<Who, Client>,
    lives: BTreeMap<LifeName, Life>,
    pub(crate) counts: Counts,
}

impl Model {
    pub(crate) fn new(redelivers: bool, notice: Duration, window_frames: u64) -> Self {
        Self {
            redelivers,
            notice,
            window_frames,
            ..Self::default()
        }
    }

    fn client(&mut self, who: Who) -> &mut Client {
        self.clients.entry(who).or_default()
    }

    fn life(&mut self, name: LifeName) -> &mut Life {
        self.lives.entry(name).or_default()
    }

    /// Whether a worker that is gone may have had a client since then, without anybody's knowledge.
    fn may_have_died_since(&self, since: Duration) -> bool {
        self.died_at.is_some_and(|at| at + self.notice >= since)
    }

    /// A worker may have been given up.
    pub(crate) const fn doubts(&mut self, now: Duration) {
        self.doubts += 1;
        self.died_at = Some(now);
    }

    /// A worker is gone with all that it knew, or will come back as another one.
    pub(crate) fn dies(&mut self, name: LifeName, now: Duration) {
        self.life(name).is_over = true;
        self.doubts(now);
        self.counts.deaths += 1;
        // That it let go of a client may have been on its way, and what it said of it before.
        let last_words = self.clients.values_mut();
        for client in last_words.filter(|client| client.life == Some(name)) {
            client.is_handed_over = false;
        }
    }

    pub(crate) fn connects(&mut self, who: Who, now: Duration) {
        self.client(who).heard_at = now;
    }

    pub(crate) fn leaves(&mut self, who: Who) {
        self.client(who).is_gone = true;
    }

    /// A worker wants its connection closed.
    pub(crate) fn closes(&mut self, who: Who) {
        self.client(who).is_closed = true;
    }

    pub(crate) fn is_closed(&self, who: Who) -> bool {
        self.clients
            .get(&who)
            .is_some_and(|client| client.is_closed)
    }

    pub(crate) fn says(&mut self, who: Who, is_asked: bool) -> u64 {
        let client = self.client(who);
        client.said += 1;
        let number = client.said;
        if is_asked {
            client.asked.insert(number, None);
        }
        number
    }

    /// A worker hears of a client: by OPEN, or by RESUME with its sockets. `was_here`: its last worker may still believe that it has it.
    pub(crate) fn opens(
        &mut self,
        who: Who,
        name: LifeName,
        sockets: &BTreeMap<String, Stay>,
        now: Duration,
    ) {
        let heard_at = self.client(who).heard_at;
        let may_skip = self.may_have_died_since(heard_at);
        trace("life", name, &("opens", who, sockets));
        let client = self.clients.entry(who).or_default();
        assert_ne!(
            client.life,
            Some(name),
            "client {who} comes to life {name} twice"
        );
        client.may_skip |= may_skip;
        client.heard_at = now;
        client.life = Some(name);
        client.had.insert(name);
        for (space, known) in &mut client.spaces {
            let stay = sockets.get(*space);
            let is_possible = match client.is_handed_over {
                true => known.last() == stay,
                false => known.possible().any(|possible| possible == stay),
            };
            // It has not heard that it is in, or has left: it connects again, or does not come back.
            let may_be_out = !client.joined.contains(space) && stay.is_none();
            assert!(
                is_possible || may_be_out,
                "client {who} is said to be in {space} as {stay:?}; sure is {:?}, then {:?}",
                known.sure,
                known.pending
            );
            if may_be_out {
                // The daemon may know of its last socket all the same.
                known.is_leaving = true;
                continue;
            }
            known.sure = stay.cloned();
            known.pending.clear();
        }
        for space in sockets.keys() {
            let is_known = client.spaces.contains_key(&**space);
            assert!(is_known, "client {who} was never in {space}");
        }
        client.is_handed_over = false;
        self.counts.resumed += u64::from(!sockets.is_empty());
    }

    /// A worker lets go of a client that it was asked for.
    pub(crate) fn hands_over(&mut self, who: Who, now: Duration) {
        self.counts.handed_over += 1;
        let client = self.client(who);
        client.is_handed_over = true;
        client.heard_at = now;
    }

    pub(crate) fn dispatches(&mut self, who: Who, number: u64, name: LifeName, now: Duration) {
        self.counts.dispatched += 1;
        let (window_frames, total) = (self.window_frames, self.doubts);
        let redelivers = self.redelivers;
        let client = self.clients.entry(who).or_default();
        assert_eq!(client.life, Some(name), "client {who} is another worker's");
        assert!(number <= client.said, "client {who} never said {number}");
        let next = client.dispatched + 1;
        let may_skip = core::mem::take(&mut client.may_skip);
        client.heard_at = now;
        // Each worker that is gone may have taken a window's worth with it, the last one before this, too.
        let doubts = 1 + total - core::mem::replace(&mut client.doubts, total);
        if number > next {
            let is_lost = may_skip && !redelivers && number - next <= window_frames * doubts;
            // Whoever closed it does not hear the rest, and may be gone before that is done.
            assert!(
                is_lost || client.is_closed,
                "client {who}: {number} at life {name} comes behind {}: what is between is lost",
                client.dispatched
            );
            self.counts.skipped += number - next;
        }
        if number < next {
            assert!(
                may_skip && redelivers,
                "client {who}: {number} was dispatched before {}: twice or out of order",
                client.dispatched
            );
            self.counts.again += 1;
        }
        client.dispatched = number;
        if let Some(asked) = client.asked.get_mut(&number) {
            *asked = Some(name);
        }
    }

    /// An event is of a socket that its worker does not know: the client has left it behind the event, and connects again.
    pub(crate) fn says_nowhere(&mut self, who: Who, number: u64, space: &'static str) {
        self.counts.nowhere += 1;
        let client = self.client(who);
        assert!(
            client.parted.contains(space),
            "client {who} says {number} in {space}, where it is not"
        );
        client.asked.remove(&number);
    }

    /// A client is answered.
    pub(crate) fn answers(&mut self, who: Who, number: u64) {
        self.counts.answered += 1;
        let redelivers = self.redelivers;
        let client = self.client(who);
        let asked = client.asked.remove(&number);
        match asked {
            Some(Some(_)) => {}
            None if redelivers && number <= client.said => {}
            other => panic!("client {who}: an answer to {number}, which is {other:?}"),
        }
    }

    /// A worker is asked for a namespace in which the client is: only where things are said again.
    pub(crate) fn connects_again(&self, who: Who) {
        assert!(self.redelivers, "client {who} connects twice");
    }

    /// Whether a client that has left a namespace and comes back may be let in twice: where things are said again, its first CONNECT is, too.
    pub(crate) fn may_hear_again(&self, who: Who, space: &'static str) -> bool {
        let client = self.clients.get(&who);
        self.redelivers && client.is_some_and(|client| client.parted.contains(space))
    }

    /// The client knows that it is in a namespace, or has left it.
    pub(crate) fn joins(&mut self, who: Who, space: &'static str) {
        let may_hear_again = self.may_hear_again(who, space);
        let is_new = self.client(who).joined.insert(space);
        assert!(
            is_new || may_hear_again,
            "client {who} is let into {space} twice"
        );
    }

    /// The client leaves a namespace.
    pub(crate) fn parts(&mut self, who: Who, space: &'static str) {
        self.counts.parted += 1;
        let client = self.clients.entry(who).or_default();
        client.joined.remove(space);
        client.parted.insert(space);
        client.spaces.entry(space).or_default().is_leaving = true;
        for (name, expected) in &mut client.expected {
            let words = self.lives.get(name).map(|life| &life.words);
            let is_here = |number: &u64| {
                let word = words.and_then(|words| words.get(number)?.target.as_ref());
                word.is_some_and(|target| target.space == space)
            };
            let here = expected.iter_mut().filter(|(number, _)| is_here(number));
            here.for_each(|(_, expect)| *expect = Expect::May);
        }
    }

    /// A worker says what a socket is from now on, in a frame of its own.
    pub(crate) fn describes(
        &mut self,
        (name, frame): (LifeName, u64),
        who: Who,
        space: &'static str,
        stay: Option<Stay>,
    ) {
        trace("life", name, &("describes", frame, who, space, &stay));
        let client = self.clients.entry(who).or_default();
        for (other, life) in self.lives.iter().filter(|(other, _)| **other != name) {
            let expected = client.expected.entry(*other).or_default();
            for (number, word) in &life.words {
                let Some(target) = &word.target else {
                    continue;
                };
                if word.frame <= life.credited || target.space != space || target.is_local {
                    continue;
                }
                // The daemon may hear this before that, or that before this.
                match (expected.get(number), target.reaches(stay.as_ref())) {
                    (Some(Expect::Must), false) | (None, true) => {
                        expected.insert(*number, Expect::May);
                    }
                    _ => {}
                }
            }
        }
        let known = client.spaces.entry(space).or_default();
        known.is_leaving &= stay.is_none();
        known.pending.push_back((name, frame, stay));
    }

    /// The daemon has dealt with so many frames of a life.
    pub(crate) fn credits(&mut self, name: LifeName, frames: u64) {
        let life = self.life(name);
        assert!(frames >= life.credited, "credit goes back");
        life.credited = frames;
        for client in self.clients.values_mut() {
            let spaces = client.spaces.values_mut();
            spaces.for_each(|known| known.settle(name, frames));
        }
        let life = self.life(name);
        life.words.retain(|_, word| word.frame > frames);
    }

    /// The number of the next word of a life.
    pub(crate) fn next_word(&mut self, name: LifeName) -> u64 {
        self.life(name).last_word + 1
    }

    /// A worker says a word to one client.
    pub(crate) fn speaks(&mut self, (name, frame): (LifeName, u64), who: Who) {
        let number = self.add_word(name, frame, None);
        trace("life", name, &("speaks", number, frame, who));
        let client = self.client(who);
        let expected = client.expected.entry(name).or_default();
        expected.insert(number, Expect::Must);
        if !client.spoken.contains(&name) {
            client.spoken.push(name);
        }
    }

    /// A worker says a word to all who are in some rooms.
    pub(crate) fn broadcasts(&mut self, (name, frame): (LifeName, u64), target: Target) {
        trace("life", name, &("broadcasts", frame, &target));
        for client in self.clients.values_mut().filter(|client| !client.is_gone) {
            let Some(known) = client.spaces.get(target.space) else {
                continue;
            };
            let is_own = client.life == Some(name);
            let (mut all, mut any) = (true, false);
            let mut look = |reaches: bool| {
                all &= reaches;
                any |= reaches;
            };
            match is_own && !client.is_handed_over && !known.is_leaving {
                // One link, one order.
                true => look(target.reaches(known.last())),
                false => {
                    let possible = known.possible();
                    possible.for_each(|stay| look(target.reaches(stay)));
                    // A socket that was handed over is described anew by its next worker.
                    all &= !target.is_local;
                }
            }
            // Who comes back and has not heard that it is in may have been taken out for its leave.
            let comes_back =
                client.parted.contains(target.space) && !client.joined.contains(target.space);
            all &= !known.is_leaving && !comes_back && (!target.is_local || is_own);
            // Until its next worker has described it, a client is its last one's.
            let is_on_its_way = target.is_local && client.had.contains(&name);
            if !any || (target.is_local && !is_own && !is_on_its_way) {
                continue;
            }
            let expect = if all { Expect::Must } else { Expect::May };
            let number = self.lives.get(&name).map_or(0, |life| life.last_word) + 1;
            let expected = client.expected.entry(name).or_default();
            expected.insert(number, expect);
        }
        self.add_word(name, frame, Some(target));
    }

    fn add_word(&mut self, name: LifeName, frame: u64, target: Option<Target>) -> u64 {
        let life = self.life(name);
        life.last_word += 1;
        let number = life.last_word;
        life.words.insert(number, Word { frame, target });
        number
    }

    /// A client hears a word. Whatever it was to hear before that is lost if it has not come.
    pub(crate) fn hears(&mut self, who: Who, name: LifeName, number: u64) {
        self.counts.words += 1;
        let client = self.client(who);
        let expected = client.expected.entry(name).or_default();
        let before: Vec<_> = expected
            .range(..number)
            .map(|(at, it)| (*at, *it))
            .collect();
        for (at, expect) in before {
            assert_ne!(
                expect,
                Expect::Must,
                "client {who} hears {number} of life {name} and has not heard {at}"
            );
            expected.remove(&at);
        }
        let heard = expected.remove(&number);
        assert!(
            heard.is_some(),
            "client {who} hears {number} of life {name}, which is not for it, or was heard"
        );
    }

    /// Nothing moves any more.
    pub(crate) fn judge(&self) {
        for (who, client) in &self.clients {
            if client.is_gone || client.is_closed {
                continue;
            }
            assert!(
                client.dispatched == client.said || client.may_skip,
                "client {who} has said {} and {} were dispatched",
                client.said,
                client.dispatched
            );
            for (number, life) in &client.asked {
                let is_lost = life.is_none_or(|life| self.lives[&life].is_over);
                assert!(
                    is_lost,
                    "client {who} has no answer to {number} of {life:?}"
                );
            }
            for (name, expected) in &client.expected {
                let life = &self.lives[name];
                for (number, expect) in expected {
                    let frame = life.words.get(number).map_or(0, |word| word.frame);
                    let is_sure = !life.is_over || frame <= life.credited;
                    assert!(
                        *expect == Expect::May || !is_sure,
                        "client {who} never heard {number} of life {name}"
                    );
                }
            }
        }
    }

    /// What a worker may have taken with it is known by now: what comes next is not lost.
    pub(crate) fn forget_gaps(&mut self) {
        for client in self.clients.values_mut() {
            client.asked.clear();
            client.may_skip &= client.dispatched < client.said;
        }
    }

    /// A worker has left with nobody behind it.
    pub(crate) fn ends(&mut self, name: LifeName) {
        self.life(name).is_over = true;
    }
}
