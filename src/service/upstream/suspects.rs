//! Clients on whom workers die: a request that every process of an application throws up on goes from one to the next, and takes all of them with it.
//!
//! Who it is nobody says: a process that dies by an exception says so (ERROR `exception`), not whose event it was. Suspect is a client of which it had not dealt with
//! something, or that had come to it a moment before. One who was that twice in a row waits aside while the others go on at once, and is tried with
//! those who are no better: first half of them, and when a worker dies of these half of those, until it is one. Who then was alone, and was suspect
//! `link.client_deaths_max` times in a row, is told to go and not to come back. All that with workers that have lived for a while without those who are tried: processes that die
//! soon after they begin, as their database is away, die with everybody. Deliberately absent: workers that are killed, or end without a word, of which this says nothing; and
//! what dies a while after its client came, which is for the circuit (`mend`).

use super::applications::AppId;
use super::breaker::Circuit;
use super::deal::Client;
use super::exchange::Exchange;
use super::mail::{ClientNumber, ToClients};
use super::mend::{Notice, called};
use super::worker::WorkerId;
use crate::time::Now;
use ringway_proto::link::{self, FRAME_BODY_BYTES_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// What a worker must live with those who are tried, and before that without them, and with whom it dies that came so shortly before.
const TRIAL_US: u64 = 1_000_000;
/// Who is tried must be told to its worker first.
const CALL_US: u64 = 500_000;
/// How long before its link ends a worker says that it falls. One that goes on after an exception has not fallen.
const FALL_US: u64 = 2_000_000;

/// Those of an application that are tried now.
#[derive(Debug)]
struct Trial {
    until_us: u64,
    clients: Vec<ClientNumber>,
}

/// Who is tried, of each application.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    trials: BTreeMap<AppId, Trial>,
}

impl Suspects {
    fn is_alone(&self, app: AppId, number: ClientNumber) -> bool {
        let trial = self.trials.get(&app);
        trial.is_some_and(|trial| *trial.clients == [number])
    }
}

/// Clients that frames are about.
fn clients_in(mut frames: &[u8]) -> BTreeSet<ClientNumber> {
    let mut clients = BTreeSet::new();
    while let Ok(Some((raw, bytes))) = link::split(frames, FRAME_BODY_BYTES_MAX) {
        frames = &frames[bytes..];
        clients.insert(ClientNumber(raw.conn));
    }
    clients
}

/// Who is tried next: all of those who are suspected least, if others are suspected more; else half of them.
fn chosen(mut aside: Vec<(u32, ClientNumber)>) -> Vec<ClientNumber> {
    aside.sort_unstable();
    let least = aside.first().map_or(0, |(deaths, _)| *deaths);
    let count = aside.iter().filter(|(deaths, _)| *deaths == least).count();
    let take = if count < aside.len() {
        count
    } else {
        count.div_ceil(2)
    };
    aside.iter().take(take).map(|(_, number)| *number).collect()
}

impl Client {
    /// Its worker died by an exception.
    const fn note_fall(&mut self, is_suspect: bool) {
        self.deaths = if is_suspect { self.deaths + 1 } else { 0 };
    }

    const fn came_before(&self, at_us: u64) -> bool {
        self.is_opened() && self.opened_us + TRIAL_US > at_us
    }
}

impl Exchange {
    /// A worker says that an exception ends it.
    pub(super) fn note_exception(&mut self, id: WorkerId) {
        let now_us = self.recovery.now_us;
        self.worker_mut(id).fell_us = Some(now_us);
    }

    /// Whether the client waits until it is tried.
    pub(super) fn is_aside(&self, client: &Client) -> bool {
        let deaths_max = self.settings.breaker.client_deaths_max;
        deaths_max > 0 && client.deaths >= aside_at(deaths_max)
    }

    /// A worker is gone: by whom, if an exception ended it?
    pub(super) fn suspect(&mut self, id: WorkerId) {
        let deaths_max = self.settings.breaker.client_deaths_max;
        let worker = &self.workers[&id];
        let lost_us = worker.lost_us;
        let fell = worker.fell_us.is_some_and(|at| at + FALL_US > lost_us);
        if !fell || deaths_max == 0 {
            return;
        }
        let (app, undealt) = (worker.app, clients_in(worker.outgoing.undealt()));
        let proven_us = worker.standing.joined_us + TRIAL_US;
        let probed = match worker.standing.circuit {
            Circuit::HalfOpen { probe } => probe.map(|probe| probe.client),
            _ => None,
        };
        let tried = self.tried_with(app, id);
        for number in self.clients_of(id) {
            let Some(client) = self.clients.get_mut(&number).filter(|one| one.is_there()) else {
                continue;
            };
            // Of whom the worker has not heard it did not die.
            if !client.is_opened() {
                continue;
            }
            // Those who are tried are why it died, if there are such, and nobody else who came at that time.
            if tried.is_empty() {
                client.note_fall(undealt.contains(&number) || client.came_before(lost_us));
            } else if tried.contains(&number) {
                client.note_fall(true);
            }
            let is_alone = probed == Some(number) || self.suspects.is_alone(app, number);
            // A worker that dies as soon as it is there would have died without it.
            if is_alone && client.opened_us >= proven_us && client.deaths >= deaths_max {
                self.dismiss(id, number);
            }
        }
        // Whoever is left of it waits aside again. Of those who are with another worker this one said nothing.
        if !tried.is_empty() {
            self.suspects.trials.remove(&app);
        }
    }

    /// Of the workers that have lived for a while the one that has least to do: what becomes of it is the affair of who is tried with it.
    fn proven(&self, now_us: u64, app: AppId) -> Option<WorkerId> {
        self.soundest_of(app, |worker| worker.standing.joined_us + TRIAL_US <= now_us)
    }

    /// The worker of a client that is tried. None: it is not, or there is none for it, and it gets one as all do.
    pub(super) fn tried_at(
        &self,
        now_us: u64,
        app: AppId,
        number: ClientNumber,
    ) -> Option<WorkerId> {
        let client = self.clients.get(&number);
        let is_tried = client.is_some_and(|client| self.is_aside(client));
        is_tried.then(|| self.proven(now_us, app)).flatten()
    }

    /// Who of those that are tried is with this worker.
    fn tried_with(&self, app: AppId, id: WorkerId) -> Vec<ClientNumber> {
        let trial = self.suspects.trials.get(&app);
        let tried = trial.map_or(&[][..], |trial| &trial.clients);
        let is_there = |number: &&ClientNumber| {
            let client = self.clients.get(number);
            client.is_some_and(|client| client.worker == Some(id) && client.is_opened())
        };
        tried.iter().filter(is_there).copied().collect()
    }

    /// It is told to go, and not to come back.
    fn dismiss(&mut self, id: WorkerId, client: ClientNumber) {
        let worker = called(&self.workers[&id]);
        let deaths = self
            .clients
            .remove(&client)
            .map_or(0, |client| client.deaths);
        self.recovery.begin_anew(client);
        self.stats.clients_dismissed += 1;
        self.say(client.shard(), &ToClients::Dismissed { client });
        self.notice(Notice::Dismissed { worker, deaths });
    }

    /// Now and then: those who wait aside are tried, some at a time.
    pub(super) fn try_suspects(&mut self, now: Now) {
        let now_us = now.monotonic_us;
        self.end_trials(now_us);
        let mut aside: BTreeMap<AppId, Vec<(u32, ClientNumber)>> = BTreeMap::new();
        for (_, number) in &self.waiting {
            let client = self.clients.get(number);
            if let Some(client) = client.filter(|client| self.is_aside(client)) {
                let place = (client.deaths, *number);
                aside.entry(client.app).or_default().push(place);
            }
        }
        for (app, clients) in aside {
            if !self.suspects.trials.contains_key(&app) && self.proven(now_us, app).is_some() {
                self.try_some(now_us, app, chosen(clients));
            }
        }
    }

    fn try_some(&mut self, now_us: u64, app: AppId, clients: Vec<ClientNumber>) {
        clients.iter().for_each(|number| self.call(*number));
        let until_us = now_us + CALL_US + TRIAL_US;
        self.suspects
            .trials
            .insert(app, Trial { until_us, clients });
    }

    /// With whom a worker has lived on is suspect no more.
    fn end_trials(&mut self, now_us: u64) {
        let trials = &mut self.suspects.trials;
        let is_over = |trial: &Trial| now_us >= trial.until_us;
        let over: Vec<AppId> = trials
            .iter()
            .filter(|(_, trial)| is_over(trial))
            .map(|(app, _)| *app)
            .collect();
        let over = over.iter().filter_map(|app| trials.remove(app));
        for number in over.flat_map(|trial| trial.clients) {
            let client = self.clients.get_mut(&number);
            if let Some(client) = client.filter(|client| client.is_opened()) {
                client.deaths = 0;
            }
        }
    }
}

/// From how many deaths on a client waits aside: at the last but one it may be alone.
const fn aside_at(deaths_max: u32) -> u32 {
    match deaths_max {
        0..=2 => 1,
        more => more - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_of(aside: &[(u32, u64)]) -> Vec<u64> {
        let aside = aside.iter();
        let aside = aside.map(|(deaths, number)| (*deaths, ClientNumber(*number)));
        chosen(aside.collect()).iter().map(|one| one.0).collect()
    }

    #[test]
    fn half_of_the_equal_and_all_of_the_better_are_tried() {
        assert_eq!(chosen_of(&[]), [0; 0]);
        assert_eq!(chosen_of(&[(2, 7)]), [7]);
        assert_eq!(chosen_of(&[(2, 9), (2, 7)]), [7]);
        assert_eq!(
            chosen_of(&[(2, 5), (2, 4), (2, 3), (2, 2), (2, 1)]),
            [1, 2, 3]
        );
        assert_eq!(chosen_of(&[(3, 1), (2, 5), (2, 6), (4, 2)]), [5, 6]);
        assert_eq!(chosen_of(&[(3, 1), (3, 2)]), [1]);
    }

    /// One of so many is it: how many workers die until it is found, and how often somebody is tried.
    fn search(count: u64, guilty: u64) -> (u32, u32) {
        let mut aside: Vec<(u32, ClientNumber)> =
            (0..count).map(|number| (2, ClientNumber(number))).collect();
        let (mut deaths, mut trials) = (0, 0);
        loop {
            let tried = chosen(aside.clone());
            trials += 1;
            if !tried.contains(&ClientNumber(guilty)) {
                aside.retain(|(_, number)| !tried.contains(number));
                continue;
            }
            deaths += 1;
            if tried.len() == 1 {
                return (deaths, trials);
            }
            let is_tried = |number: &ClientNumber| tried.contains(number);
            let suspects = aside.iter_mut().filter(|(_, number)| is_tried(number));
            suspects.for_each(|(deaths, _)| *deaths += 1);
        }
    }

    #[test]
    fn one_of_many_is_found_with_few_deaths() {
        for (count, deaths_max, trials_max) in [(1, 1, 1), (2, 2, 3), (10, 5, 9), (1_000, 11, 21)] {
            for guilty in [0, count / 2, count - 1] {
                let (deaths, trials) = search(count, guilty);
                assert!(deaths <= deaths_max, "{deaths} of {count} for {guilty}");
                assert!(trials <= trials_max, "{trials} of {count} for {guilty}");
            }
        }
    }

    #[test]
    fn before_the_last_death_a_client_is_aside() {
        assert_eq!([1, 2, 3, 4].map(aside_at), [1, 1, 2, 3]);
    }
}
