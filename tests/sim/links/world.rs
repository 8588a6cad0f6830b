//! Shards, workers, clients and what goes wrong between them.

use super::client::{LinkClient, SPACES, trace};
use super::liar::Liar;
use super::model::{Counts, Model};
use super::worker::{Mood, Scene, Worker};
use crate::seats::{Seat, mesh_bounds, next_timer, seats, sleeps_over_mail};
use core::time::Duration;
use ringway::config::Config as Configuration;
use ringway_runtime::MeshBounds;
use ringway_service::settings::Settings;
use ringway_service::upstream::{ExchangeStats, Window};
use ringway_sim::{Config, Kernel, Random};
use std::sync::Arc;

const CLIENTS: usize = 12;
const STEPS: usize = 2_500;
const SETTLE_TURNS_MAX: usize = 200_000;
const CATCH_UP_TURNS_MAX: usize = 1_000;

/// What may go wrong in a seed.
#[derive(Clone, Copy, Debug)]
struct Plan {
    redelivers: bool,
    /// Workers die. In seeds without that, nothing at all may be lost.
    kills: bool,
    /// Workers come back too late.
    late: bool,
    /// Workers stop reading until they are killed.
    sticks: bool,
    drains: bool,
    lies: bool,
    grace: Duration,
    stall: Duration,
    window: Window,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        let kills = random.chance(600);
        let (late, sticks) = (kills && random.chance(400), kills && random.chance(300));
        let stall_ms = if sticks { 2_500 } else { 60_000 };
        // Whoever is cut where nothing may be lost has all the time that it needs.
        let grace_ms = if kills { 500 } else { 15_000 };
        let frames = 4 + random.below(60) as u32;
        let bytes = 400 + random.below(8_000) as u32;
        Self {
            redelivers: random.chance(400),
            kills,
            late,
            sticks,
            drains: random.chance(400),
            lies: kills && random.chance(400),
            grace: Duration::from_millis(grace_ms),
            stall: Duration::from_millis(stall_ms),
            window: Window { frames, bytes },
        }
    }
}

/// What a seed did.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
    pub(crate) exchange: ExchangeStats,
    pub(crate) cuts: u64,
    pub(crate) kills: u64,
    pub(crate) lies: u64,
    pub(crate) refused_lies: u64,
}

/// All of it.
pub(crate) struct LinkWorld {
    plan: Plan,
    kernel: Kernel,
    random: Random,
    seats: Vec<Seat>,
    clients: Vec<LinkClient>,
    names: usize,
    workers: Vec<Worker>,
    lives: usize,
    liars: Vec<Liar>,
    model: Model,
    is_quiet: bool,
    cuts: u64,
    kills: u64,
    lies: u64,
    refused_lies: u64,
}

fn settings_of(plan: &Plan) -> Settings {
    let mut config = Configuration {
        dev: true,
        ..Configuration::default()
    };
    config.link.listen = vec!["unix:/simulated".to_owned()];
    config.link.grace_ms = plan.grace.as_millis() as u32;
    config.link.redeliver = plan.redelivers;
    config.link.stall_ms = plan.stall.as_millis() as u32;
    // Deaths are what this is about: nobody is kept from clients for dying.
    config.link.failures_max = 1_000;
    config.engine.ping_interval_ms = 2_000;
    config.engine.ping_timeout_ms = 4_000;
    config.limits.address_connections_per_second = 1_000_000;
    config.limits.address_connections_burst = 1_000_000;
    config.limits.address_connections_max = 1_000_000;
    let mut settings = ringway::settings::settings(&config).expect("a usable configuration");
    let upstream = settings.upstream.as_mut();
    upstream.expect("there are links").exchange.window = plan.window;
    settings
}

impl LinkWorld {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        trace("seed", seed as usize, &plan);
        let shards = 1 + random.below(3);
        let config = Config {
            recv_buffers: 2 + random.below(6) as u32,
            recv_buffer_bytes: 32 + random.below(2048),
            sockets_max: 200,
            listeners: 2,
            up_bytes_max: 64 + random.below(8_000),
            down_bytes_max: 256 + random.below(16_000),
        };
        let kernel = Kernel::new(random.fork(), shards, config);
        let mesh_bounds = mesh_bounds(&mut random);
        let notice = plan.grace + Duration::from_secs(3);
        let model = Model::new(plan.redelivers, notice, plan.window.frames.into());
        let mut world = Self {
            plan,
            kernel,
            random,
            seats: Vec::new(),
            clients: Vec::new(),
            names: 0,
            workers: Vec::new(),
            lives: 0,
            liars: Vec::new(),
            model,
            is_quiet: false,
            cuts: 0,
            kills: 0,
            lies: 0,
            refused_lies: 0,
        };
        world.seats = world.fresh_seats(shards, &mesh_bounds);
        world.seats.iter_mut().for_each(|seat| seat.shard.start());
        world
    }

    fn fresh_seats(&mut self, shards: usize, bounds: &MeshBounds) -> Vec<Seat> {
        let settings = Arc::new(settings_of(&self.plan));
        let machine = (&self.kernel, &mut self.random);
        seats(machine, shards, &settings, bounds, 150)
    }

    /// The whole seed.
    pub(crate) fn run(mut self) -> Report {
        for _ in 0..STEPS {
            self.step();
        }
        self.come_to_an_end();
        self.model.judge();
        self.say_last_words();
        let report = self.report();
        self.empty_out();
        report
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=34 => self.shard_turn(),
            35..=54 => self.client_turn(),
            55..=74 => self.worker_turn(),
            75..=89 => self.somebody_acts(),
            90..=92 => self.client_changes(),
            93..=95 => self.worker_changes(),
            _ if self.random.chance(150) => self.let_much_time_pass(),
            _ => self.let_time_pass(20_000),
        }
    }

    fn shard_turn(&mut self) {
        let index = self.random.below(self.seats.len());
        self.run_shard(index);
    }

    fn let_time_pass(&mut self, most_us: usize) {
        let passed = Duration::from_micros(self.random.below(most_us) as u64);
        self.kernel.pass(self.kernel.now() + passed);
    }

    /// Who reads has read before: turns are not time.
    fn let_much_time_pass(&mut self) {
        for _ in 0..CATCH_UP_TURNS_MAX {
            if !self.turn_everybody() {
                break;
            }
        }
        self.let_time_pass(800_000);
    }

    fn turn_everybody(&mut self) -> bool {
        let mut moved = false;
        if self.is_quiet && self.sound_or_coming() == 0 {
            self.start_worker();
        }
        for index in 0..self.seats.len() {
            moved |= self.run_shard(index);
        }
        for index in (0..self.clients.len()).rev() {
            moved |= self.run_client(index);
        }
        for index in (0..self.workers.len()).rev() {
            moved |= self.run_worker(index);
        }
        moved | self.run_liars()
    }

    fn run_shard(&mut self, index: usize) -> bool {
        self.seats[index].run(&self.kernel, &mut self.random, index)
    }

    fn client_turn(&mut self) {
        if self.clients.len() < CLIENTS && self.random.chance(150) {
            let shards = self.seats.len();
            let client = LinkClient::new(self.names, &self.kernel, &mut self.random, shards);
            client.meets(self.kernel.now(), &mut self.model);
            self.clients.push(client);
            self.names += 1;
        }
        if !self.clients.is_empty() {
            let index = self.random.below(self.clients.len());
            self.run_client(index);
        }
    }

    fn run_client(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let worked = client.has_work(&self.kernel);
        client.turn(&self.kernel, &mut self.random, &mut self.model);
        if client.ended.is_some() {
            let client = self.clients.swap_remove(index);
            self.bury(&client);
        }
        worked
    }

    /// Who ended was closed by its worker, or did not read.
    fn bury(&mut self, client: &LinkClient) {
        let name = client.name;
        let is_excused = self.model.is_closed(name) || client.was_stalled;
        assert!(is_excused, "client {name} ended with {:?}", client.ended);
        client.leave(&self.kernel, false);
        self.model.leaves(name);
    }

    fn worker_turn(&mut self) {
        let is_due = self.workers.is_empty() || self.workers.len() < 3 && self.random.chance(20);
        if is_due && self.random.chance(300) {
            self.start_worker();
        }
        if self.plan.lies && self.liars.len() < 2 && self.random.chance(10) {
            self.liars.push(Liar::new(self.lies, &self.kernel));
            self.lies += 1;
        }
        self.run_liars();
        if !self.workers.is_empty() {
            let index = self.random.below(self.workers.len());
            self.run_worker(index);
        }
    }

    /// Workers that take clients, or will.
    fn sound_or_coming(&self) -> usize {
        let workers = self.workers.iter();
        workers.filter(|worker| worker.mood == Mood::Well).count()
    }

    fn start_worker(&mut self) {
        self.workers.push(Worker::new(self.lives));
        self.lives += 1;
    }

    fn run_worker(&mut self, index: usize) -> bool {
        let mut scene = Scene {
            kernel: &self.kernel,
            random: &mut self.random,
            model: &mut self.model,
        };
        let worker = &mut self.workers[index];
        let worked = worker.has_work(&self.kernel);
        worker.turn(&mut scene);
        let refused = worker.refused.take();
        let (is_over, has_left) = (worker.is_over, worker.has_left());
        // One that was cut again and again may have dealt with nothing for too long.
        let is_stuck = self.plan.sticks && refused.as_deref() == Some("stalled");
        // Whoever had no turn for so long that its HELLO came too late comes again.
        let is_late = !worker.is_open() && refused.as_deref() == Some("silent");
        assert!(
            refused.is_none() || is_stuck || is_late,
            "{} is refused: {refused:?}",
            worker.state()
        );
        let is_over = is_over || is_stuck;
        if is_over {
            let may_end = self.plan.kills || !self.workers[index].was_heard;
            assert!(may_end, "{} did not go on", self.workers[index].state());
            self.end_worker(index);
        } else if has_left {
            self.finish_leaving(index);
        }
        worked
    }

    fn end_worker(&mut self, index: usize) {
        let mut worker = self.workers.swap_remove(index);
        self.model.dies(worker.life, self.kernel.now());
        let mut scene = Scene {
            kernel: &self.kernel,
            random: &mut self.random,
            model: &mut self.model,
        };
        worker.kill(&mut scene);
    }

    fn finish_leaving(&mut self, index: usize) {
        let mut worker = self.workers.swap_remove(index);
        worker.say_goodbye(&self.kernel);
        self.model.ends(worker.life);
    }

    /// Those of whose clients the daemon knows the same.
    fn sound_workers(&self) -> impl Iterator<Item = &Worker> {
        let workers = self.workers.iter();
        workers.filter(|worker| worker.is_open() && worker.mood == Mood::Well)
    }

    fn run_liars(&mut self) -> bool {
        let mut moved = false;
        let numbers: Vec<u64> = self.sound_workers().flat_map(Worker::numbers).collect();
        for liar in &mut self.liars {
            moved |= liar.has_work(&self.kernel);
            liar.turn(&self.kernel, &mut self.random, &numbers);
        }
        let before = self.liars.len();
        let ended = self.liars.iter().filter(|liar| liar.is_done);
        let was_refused = ended.filter(|liar| liar.was_refused).count();
        self.refused_lies += was_refused as u64;
        self.liars.retain(|liar| !liar.is_done);
        if self.liars.len() < before {
            self.model.doubts(self.kernel.now());
        }
        moved
    }

    fn somebody_acts(&mut self) {
        if self.random.chance(150) && !self.workers.is_empty() {
            let index = self.random.below(self.workers.len());
            let mut scene = Scene {
                kernel: &self.kernel,
                random: &mut self.random,
                model: &mut self.model,
            };
            self.workers[index].broadcast(&mut scene);
        } else if !self.clients.is_empty() {
            let index = self.random.below(self.clients.len());
            for _ in 0..1 + self.random.below(3) {
                self.clients[index].act(&mut self.random, &mut self.model);
            }
        }
    }

    fn client_changes(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let index = self.random.below(self.clients.len());
        match self.random.below(12) {
            0..=3 => self.clients[index].stall(true),
            4..=9 => self.clients[index].stall(false),
            way if self.random.chance(300) => {
                let client = self.clients.swap_remove(index);
                client.leave(&self.kernel, way == 10);
                self.model.leaves(client.name);
            }
            _ => {}
        }
    }

    fn worker_changes(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        let index = self.random.below(self.workers.len());
        let mut scene = Scene {
            kernel: &self.kernel,
            random: &mut self.random,
            model: &mut self.model,
        };
        let worker = &mut self.workers[index];
        let is_well = worker.mood == Mood::Well;
        match scene.random.below(12) {
            0..=3 if worker.mood != Mood::Stuck => {
                let mut after = Duration::from_micros(scene.random.below(200_000) as u64);
                if self.plan.late && scene.random.chance(300) {
                    after += self.plan.grace;
                }
                if self.plan.kills {
                    scene.model.doubts(scene.kernel.now());
                }
                worker.cut(after, &mut scene);
                self.cuts += 1;
            }
            4 if self.plan.kills => {
                self.end_worker(index);
                self.kills += 1;
            }
            // Where a short stall ends a life, whoever wakes from it says what nobody wants to hear: it is killed instead.
            5 | 6 if is_well && !self.plan.sticks => worker.mood = Mood::Stalled,
            7 | 8 if worker.mood == Mood::Stalled => worker.mood = Mood::Well,
            9 if self.plan.sticks && is_well => {
                worker.mood = Mood::Stuck;
                let (life, now) = (worker.life, self.kernel.now());
                self.model.dies(life, now);
            }
            10 if self.plan.drains && is_well && worker.is_open() => worker.leave(&scene),
            _ => {}
        }
    }

    /// Nothing goes wrong any more; whoever was stuck is killed, and there is a worker.
    fn come_to_an_end(&mut self) {
        self.is_quiet = true;
        self.kernel.be_quiet();
        self.clients
            .iter_mut()
            .for_each(|client| client.stall(false));
        if self.plan.sticks {
            // The daemon takes their clients from those that are stuck.
            self.settle(Duration::from_secs(6));
        }
        for index in (0..self.workers.len()).rev() {
            match self.workers[index].mood {
                Mood::Stuck => self.end_worker(index),
                Mood::Stalled => self.workers[index].mood = Mood::Well,
                Mood::Well | Mood::Leaving => {}
            }
        }
        self.settle(Duration::from_secs(25));
    }

    fn settle(&mut self, lasts: Duration) {
        let until = self.kernel.now() + lasts;
        for _ in 0..SETTLE_TURNS_MAX {
            if self.turn_everybody() {
                continue;
            }
            assert_eq!(sleeps_over_mail(&self.seats), None, "it was not woken");
            if self.kernel.now() >= until {
                return;
            }
            self.pass_to_next_timer(until);
        }
        panic!("no end: {}", self.state());
    }

    fn pass_to_next_timer(&self, until: Duration) {
        let workers = self.workers.iter().filter_map(Worker::wakes_at);
        let next = workers.chain(next_timer(&self.seats)).min();
        let next = next.unwrap_or(until);
        self.kernel.pass(next.clamp(self.kernel.now(), until));
    }

    fn state(&self) -> String {
        let workers: Vec<String> = self.workers.iter().map(Worker::state).collect();
        let busy = self.clients.iter().filter(|it| it.has_work(&self.kernel));
        let busy: Vec<usize> = busy.map(|client| client.name).collect();
        format!(
            "{workers:?}, busy clients {busy:?} at {:?}",
            self.kernel.now()
        )
    }

    /// Each client says one event more, and a worker one word to everybody: all of it comes, whatever was before.
    fn say_last_words(&mut self) {
        for client in &self.clients {
            let is_let_in = !client.waits() || self.model.is_closed(client.name);
            assert!(
                is_let_in,
                "client {} never got in: {}",
                client.name,
                self.state()
            );
        }
        for worker in &self.workers {
            assert!(worker.is_settled(), "not settled: {}", self.state());
        }
        self.agree_on_rooms();
        self.model.forget_gaps();
        for client in self.clients.iter_mut().filter(|client| client.is_in()) {
            client.speak(SPACES[0], &mut self.random, &mut self.model);
        }
        self.settle(Duration::from_secs(1));
        self.model.judge();
    }

    /// Whoever has moved them: each worker knows of its sockets' rooms what the daemon does.
    fn agree_on_rooms(&self) {
        for worker in &self.workers {
            for (space, sid, rooms) in worker.moved_rooms() {
                let known = self.seats.iter().find_map(|seat| {
                    let hub = seat.shard.handler().hub();
                    hub.rooms_at_worker(space, sid)
                });
                let known = known.map(|mut known| {
                    known.retain(|room| room.starts_with('m'));
                    known.sort_unstable();
                    known
                });
                assert_eq!(
                    known,
                    Some(rooms),
                    "{sid} in {space}, of {}",
                    worker.state()
                );
            }
        }
    }

    fn report(&self) -> Report {
        Report {
            counts: self.model.counts,
            exchange: self.seats[0].shard.handler().hub().stats().exchange,
            cuts: self.cuts,
            kills: self.kills,
            lies: self.lies,
            refused_lies: self.refused_lies,
        }
    }

    /// All clients go: then nothing is left of any of them. The workers go after that.
    fn empty_out(&mut self) {
        for client in core::mem::take(&mut self.clients) {
            client.leave(&self.kernel, false);
        }
        self.settle(Duration::from_secs(20));
        for (index, seat) in self.seats.iter().enumerate() {
            let hub = seat.shard.handler().hub();
            hub.audit();
            let left = hub.leftovers();
            assert!(left.is_empty(), "shard {index}: {left:?} is left");
            assert_eq!(hub.stats().sessions, 0, "shard {index}: sessions");
        }
        self.is_quiet = false;
        for index in (0..self.workers.len()).rev() {
            self.end_worker(index);
        }
        self.settle(Duration::from_secs(80));
        for (index, seat) in self.seats.iter().enumerate() {
            let stats = seat.shard.handler().hub().stats();
            assert_eq!(self.kernel.leased(index), 0, "shard {index}: a lease");
            assert_eq!(seat.shard.stats().connections, 0, "shard {index}: links");
            assert_eq!(stats.exchange.workers, 0, "workers are left");
        }
    }
}
