//! Shards, clients and the pretended machine; and who of them goes next.

use crate::client::{Ended, Kind, SimClient};
use crate::model::{Model, ROOMS};
use crate::seats::{Seat, mesh_bounds, next_timer, seats, sleeps_over_mail};
use core::time::Duration;
use ringway::config::{Config as Configuration, SlowConsumer, SlowConsumerPolicy};
use ringway::control::Message;
use ringway::shard::{conn_id, conn_of};
use ringway_runtime::{FrozenConnection, MeshBounds};
use ringway_service::hub::Frozen;
use ringway_service::settings::Settings;
use ringway_service::time::ConnId;
use ringway_sim::{Config, Fault, Faults, Kernel, Moved, Random};
use std::collections::HashMap;
use std::sync::Arc;

/// Clients at a time.
const CLIENTS: usize = 50;
/// Steps of a seed before it is brought to its end.
const STEPS: usize = 5_000;
/// Turns within which everything must have come to its end once nothing goes wrong any more.
const SETTLE_TURNS_MAX: usize = 400_000;
/// Turns of everybody before much time passes.
const CATCH_UP_TURNS_MAX: usize = 2_000;

/// Sockets on their way, and what the loop knew of them.
type Frozens = HashMap<(u16, ConnId), (Moved, Vec<u8>)>;

/// What a seed did.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) faults: Faults,
    pub(crate) rings_full: u64,
    pub(crate) migrations: u64,
    pub(crate) deliveries: u64,
    pub(crate) acks: u64,
    pub(crate) gaps: u64,
    pub(crate) refused: u64,
    pub(crate) slow_closes: u64,
    pub(crate) drains: u64,
    pub(crate) rebuilds: u64,
}

/// All of it.
pub(crate) struct World {
    kernel: Kernel,
    random: Random,
    settings: Arc<Settings>,
    mesh_bounds: MeshBounds,
    seats: Vec<Seat>,
    clients: Vec<SimClient>,
    names: usize,
    model: Model,
    table_is_small: bool,
    draining: bool,
    slow_closes: u64,
    rebuilds: u64,
}

/// The settings of a seed, whose queues are short or, in roomy seeds, never full, and whose rates are low or without an end.
fn settings_of(random: &mut Random, is_roomy: bool, is_throttled: bool) -> Settings {
    let mut config = Configuration {
        dev: true,
        ..Configuration::default()
    };
    let rule = |pattern: &str, policy| SlowConsumer {
        pattern: pattern.to_owned(),
        policy,
    };
    config.rooms.slow_consumers = vec![
        rule("oldest:*", SlowConsumerPolicy::DropOldest),
        rule("latest:*", SlowConsumerPolicy::Conflate),
    ];
    config.engine.ping_interval_ms = 2_000;
    config.engine.ping_timeout_ms = 4_000;
    config.limits.queue_packets_max = 6 + random.below(60) as u32;
    config.limits.queue_bytes_max = 8_000 + random.below(60_000) as u32;
    if is_roomy {
        config.limits.queue_packets_max = 1 << 20;
        config.limits.queue_bytes_max = 1 << 26;
    }
    let limits = &mut config.limits;
    // All are one user and come from one address: what has to last for everybody is much more.
    for (per_second, burst) in [
        (
            &mut limits.connection_events_per_second,
            &mut limits.connection_events_burst,
        ),
        (
            &mut limits.room_messages_per_second,
            &mut limits.room_messages_burst,
        ),
        (
            &mut limits.user_events_per_second,
            &mut limits.user_events_burst,
        ),
    ] {
        *per_second = 10 + random.below(90) as u32;
        *burst = 10 + random.below(40) as u32;
    }
    limits.address_events_per_second = 1_000_000;
    limits.address_events_burst = 1_000_000;
    limits.address_connections_per_second = 1_000_000;
    limits.address_connections_burst = 1_000_000;
    limits.address_connections_max = 1_000_000;
    let settings = ringway::settings::settings(&config).expect("a configuration that can be used");
    Settings {
        upstream: None,
        dev: !is_throttled,
        keys: crate::tokens::keys(),
        ..settings
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shards = 3 + random.below(3);
        let table_is_small = random.chance(100);
        let config = Config {
            recv_buffers: 2 + random.below(6) as u32,
            recv_buffer_bytes: 32 + random.below(2048),
            sockets_max: if table_is_small { 40 } else { 400 },
            listeners: 1,
            up_bytes_max: 64 + random.below(8_000),
            down_bytes_max: 256 + random.below(16_000),
        };
        let kernel = Kernel::new(random.fork(), shards, config);
        let is_roomy = random.chance(250);
        let is_throttled = random.chance(250);
        let settings = Arc::new(settings_of(&mut random, is_roomy, is_throttled));
        let mesh_bounds = mesh_bounds(&mut random);
        let mut world = Self {
            kernel,
            random,
            settings,
            mesh_bounds,
            seats: Vec::new(),
            clients: Vec::new(),
            names: 0,
            model: Model::new(is_roomy, is_throttled),
            table_is_small,
            draining: false,
            slow_closes: 0,
            rebuilds: 0,
        };
        world.seats = world.fresh_seats(shards);
        for seat in &mut world.seats {
            seat.shard.start();
        }
        world
    }

    fn fresh_seats(&mut self, shards: usize) -> Vec<Seat> {
        let machine = (&self.kernel, &mut self.random);
        seats(machine, shards, &self.settings, &self.mesh_bounds, 200)
    }

    /// The whole seed.
    pub(crate) fn run(mut self) -> Report {
        let drain_at = if self.random.chance(250) {
            self.random.below(STEPS)
        } else {
            STEPS
        };
        let rebuild_at = self.random.below(STEPS);
        for step in 0..STEPS {
            if step == rebuild_at {
                self.rebuild();
            }
            if step == drain_at {
                self.drain();
            }
            self.step();
        }
        self.come_to_an_end();
        self.judge();
        self.say_last_words();
        self.empty_out();
        self.report()
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=44 => self.shard_turn(),
            45..=84 => self.client_turn(),
            85..=94 => self.client_acts(),
            95..=96 => self.somebody_changes(),
            _ if self.random.chance(100) => self.let_much_time_pass(),
            _ => self.let_time_pass(20_000),
        }
    }

    fn let_time_pass(&mut self, most_us: usize) {
        let passed = Duration::from_micros(self.random.below(most_us) as u64);
        self.kernel.pass(self.kernel.now() + passed);
    }

    /// So much that pings, pongs and lingering connections fall due in the middle of everything. Who reads and answers has done so before:
    /// turns are not time, and nobody is slow for having had none.
    fn let_much_time_pass(&mut self) {
        for _ in 0..CATCH_UP_TURNS_MAX {
            let shards =
                (0..self.seats.len()).fold(false, |moved, index| moved | self.run_shard(index));
            let clients = (0..self.clients.len())
                .rev()
                .fold(false, |moved, index| moved | self.run_client(index));
            if !shards && !clients {
                break;
            }
        }
        self.let_time_pass(800_000);
    }

    /// Whether a shard would go on if it were its turn.
    fn is_awake(&self, index: usize) -> bool {
        self.seats[index].is_awake(&self.kernel, index)
    }

    fn shard_turn(&mut self) {
        let index = self.random.below(self.seats.len());
        self.run_shard(index);
    }

    fn run_shard(&mut self, index: usize) -> bool {
        self.seats[index].run(&self.kernel, &mut self.random, index)
    }

    fn client_turn(&mut self) {
        if self.clients.len() < CLIENTS && !self.draining && self.random.chance(300) {
            self.join_client();
        }
        if self.clients.is_empty() {
            return;
        }
        let index = self.random.below(self.clients.len());
        self.run_client(index);
    }

    fn join_client(&mut self) {
        let kind = [Kind::WebSocket, Kind::Polling, Kind::Upgrade][self.random.below(3)];
        let shards = self.seats.len();
        let client = SimClient::new(self.names, kind, &self.kernel, &mut self.random, shards);
        self.clients.push(client);
        self.names += 1;
    }

    fn run_client(&mut self, index: usize) -> bool {
        let shards = self.seats.len();
        let client = &mut self.clients[index];
        let worked = client.has_work(&self.kernel);
        client.turn(&self.kernel, &mut self.random, shards, &mut self.model);
        if client.ended.is_some() {
            let client = self.clients.swap_remove(index);
            self.bury(client);
        }
        worked
    }

    /// A client that ended was told why, or did it itself.
    fn bury(&mut self, mut client: SimClient) {
        let name = client.name;
        match &client.ended {
            Some(Ended::ByClient) => {}
            Some(Ended::Told(1008, reason)) if reason == "RW-2401" => {
                self.slow_closes += 1;
                self.may_be_slow(&client);
            }
            // Polling has a packet for it, without a word why.
            Some(Ended::ClosePacket) => {
                assert!(self.draining || client.was_stalled || self.may_be_slow(&client));
            }
            // Who reads and answers is not cut off for silence.
            Some(Ended::Told(1008, reason)) if reason == "RW-2012" => {
                assert!(client.was_stalled, "client {name} answered every ping");
            }
            Some(Ended::Told(1012, reason)) => {
                assert!(self.draining, "client {name}: there is no drain");
                assert_eq!(reason, "RW-2402", "client {name}");
            }
            other => assert!(
                self.is_excused(&client),
                "client {name} ({:?}) ended with {other:?}",
                client.kind
            ),
        }
        client.leave(&self.kernel, false);
    }

    /// Queues that are never full make nobody slow.
    fn may_be_slow(&self, client: &SimClient) -> bool {
        assert!(
            !self.model.is_roomy,
            "client {} ended as slow with room for everything: {:?}",
            client.name, client.ended
        );
        true
    }

    /// Whether somebody could not be told: it did not read, or its request met a listener that was closed or had no place.
    fn is_excused(&self, client: &SimClient) -> bool {
        let is_turned_away = self.draining || self.table_is_small;
        match &client.ended {
            Some(Ended::Dropped("WebSocket finished" | "WebSocket reset")) => {
                client.was_stalled || (!client.ready && is_turned_away)
            }
            Some(Ended::Dropped(_)) => is_turned_away,
            Some(Ended::Told(503, _)) => self.draining,
            // It came for its last words after they were given up.
            Some(Ended::Told(400, reason)) => {
                client.was_stalled && reason.contains("Session ID unknown")
            }
            _ => false,
        }
    }

    fn client_acts(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let index = self.random.below(self.clients.len());
        let count = 1 + self.random.below(4);
        for _ in 0..count {
            self.clients[index].act(&mut self.random, &mut self.model);
        }
    }

    /// Somebody stops reading, reads again, says goodbye, or goes away.
    fn somebody_changes(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let index = self.random.below(self.clients.len());
        match self.random.below(10) {
            0..=3 => self.clients[index].stall(true),
            4..=6 => self.clients[index].stall(false),
            7 => self.clients[index].say_goodbye(),
            way => {
                let mut client = self.clients.swap_remove(index);
                client.leave(&self.kernel, way == 8);
            }
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        for index in 0..self.seats.len() {
            let message = Message::Drain {
                within_us: 3_000_000,
            };
            assert!(
                self.seats[index].control.push(message).is_ok(),
                "the inbox holds sixteen"
            );
            self.kernel.wake(index);
        }
    }

    /// All connections become bytes and are rebuilt on another number of shards. No client does anything meanwhile, and none may notice.
    fn rebuild(&mut self) {
        self.seats.iter_mut().for_each(|seat| seat.shard.hush());
        let is_quiet = |seat: &Seat| seat.shard.is_quiet() && seat.shard.handler().hub().is_quiet();
        self.turn_shards_until(|seats| seats.iter().all(is_quiet));
        self.seats.iter_mut().for_each(|seat| seat.shard.still());
        for _ in 0..SETTLE_TURNS_MAX {
            if self.seats.iter().all(|seat| seat.shard.is_still()) {
                return self.move_over();
            }
            self.seats
                .iter_mut()
                .for_each(|seat| seat.shard.reap(Some(Duration::ZERO)));
        }
        panic!("no stillness: {}", self.state());
    }

    fn turn_shards_until(&mut self, done: impl Fn(&[Seat]) -> bool) {
        for _ in 0..SETTLE_TURNS_MAX {
            if done(&self.seats) {
                return;
            }
            let moved =
                (0..self.seats.len()).fold(false, |moved, index| moved | self.run_shard(index));
            if !moved {
                self.kernel
                    .pass(self.kernel.now() + Duration::from_millis(1));
            }
        }
        panic!("no quiet: {}", self.state());
    }

    /// One to six, and not as many as there are.
    fn another_number_of_shards(&mut self) -> usize {
        let now = self.seats.len();
        let other = 1 + self.random.below(5);
        other + usize::from(other >= now)
    }

    fn move_over(&mut self) {
        let (mut parts, mut moved) = (Vec::new(), HashMap::new());
        let shards = self.another_number_of_shards();
        for (index, seat) in core::mem::take(&mut self.seats).into_iter().enumerate() {
            let (connections, mut application) = seat.shard.dissolve();
            parts.push(application.freeze_all().to_bytes());
            for (conn, socket, frozen) in connections {
                let pair = self.kernel.take(index, socket);
                moved.insert((index as u16, conn_id(conn)), (pair, frozen.to_bytes()));
            }
        }
        // Fewer shards may get the connections of many: whoever moves a daemon sees to it that they fit.
        self.kernel.replace_rings(shards, moved.len());
        let read = |bytes: &Vec<u8>| Frozen::from_bytes(bytes).expect("what was written");
        let parts = Frozen::regroup(parts.iter().map(read).collect(), shards as u16);
        self.seats = self.fresh_seats(shards);
        for (index, part) in parts.into_iter().enumerate() {
            self.thaw(index, part, &mut moved);
        }
        assert!(moved.is_empty(), "connections that belong nowhere");
        self.rebuilds += 1;
    }

    fn thaw(&mut self, index: usize, part: Frozen, moved: &mut Frozens) {
        let shard = &mut self.seats[index].shard;
        let (mut names, mut frozens) = (HashMap::new(), Vec::new());
        for old in part.connections() {
            let (pair, frozen) = moved.remove(&old).expect("a connection has a socket");
            let conn = shard.adopt(self.kernel.put(index, pair));
            names.insert(old, conn_id(conn));
            frozens.push((
                conn,
                FrozenConnection::from_bytes(&frozen).expect("what was written"),
            ));
        }
        shard.tell(|application, cx| application.thaw(cx, part, &names));
        for (conn, frozen) in frozens {
            shard.revive(conn_of(conn_id(conn)), frozen);
        }
        if !self.draining {
            shard.start();
        }
    }

    /// Nothing goes wrong any more, everybody reads: all that was promised has to happen within a bounded number of turns.
    fn come_to_an_end(&mut self) {
        self.kernel.be_quiet();
        self.clients
            .iter_mut()
            .for_each(|client| client.stall(false));
        let until = self.kernel.now() + Duration::from_secs(3);
        self.settle(until);
    }

    /// Lets everybody go on until nobody has anything to do, and time pass until then.
    fn settle(&mut self, until: Duration) {
        let mut turns = 0;
        loop {
            let mut moved = false;
            for index in 0..self.seats.len() {
                moved |= self.run_shard(index);
            }
            for index in (0..self.clients.len()).rev() {
                moved |= self.run_client(index);
            }
            turns += 1;
            assert!(turns < SETTLE_TURNS_MAX, "no end: {}", self.state());
            if !moved {
                self.nobody_sleeps_over_mail();
                if self.kernel.now() >= until {
                    return;
                }
                self.pass_to_next_timer(until);
            }
        }
    }

    /// Before time passes, which would heal it: whoever sleeps has nothing in its rings, unless a wake is owed to it.
    fn nobody_sleeps_over_mail(&self) {
        let forgotten = sleeps_over_mail(&self.seats);
        assert_eq!(forgotten, None, "it was not woken: {}", self.state());
    }

    fn pass_to_next_timer(&self, until: Duration) {
        let next = next_timer(&self.seats).unwrap_or(until);
        self.kernel.pass(next.clamp(self.kernel.now(), until));
    }

    fn state(&self) -> String {
        let rings: Vec<_> = (0..self.seats.len())
            .map(|shard| self.kernel.in_flight(shard))
            .collect();
        let seats = 0..self.seats.len();
        let awake: Vec<_> = seats
            .map(|index| (self.is_awake(index), self.seats[index].parked))
            .collect();
        let busy = self
            .clients
            .iter()
            .filter(|client| client.has_work(&self.kernel));
        let busy: Vec<_> = busy.map(|client| (client.name, client.kind)).collect();
        let (count, now) = (self.clients.len(), self.kernel.now());
        format!("{count} clients at {now:?}; awake {awake:?}, busy {busy:?}, in flight {rings:?}")
    }

    fn judge(&self) {
        for client in &self.clients {
            client.judge(&self.model);
        }
        assert!(
            !self.draining || self.clients.is_empty(),
            "a drain leaves nobody: {}",
            self.state()
        );
    }

    /// One message more for each room, with nothing after it: whoever is a member of the room by its own account gets it.
    fn say_last_words(&mut self) {
        for room in ROOMS {
            if self.clients.is_empty() {
                return;
            }
            let speaker = self.random.below(self.clients.len());
            self.clients[speaker].publish(room, &mut self.random, &mut self.model);
            let until = self.kernel.now() + Duration::from_millis(200);
            self.settle(until);
            for client in &self.clients {
                client.judge_last_word(room, &self.model);
            }
        }
    }

    /// Everybody goes; then nothing may be left of anybody.
    fn empty_out(&mut self) {
        for mut client in core::mem::take(&mut self.clients) {
            client.leave(&self.kernel, false);
        }
        let until = self.kernel.now() + Duration::from_secs(80);
        self.settle(until);
        for (index, seat) in self.seats.iter().enumerate() {
            assert_eq!(
                self.kernel.leased(index),
                0,
                "shard {index}: a lease is missing"
            );
            assert_eq!(
                seat.shard.stats().connections,
                0,
                "shard {index}: connections are left"
            );
            let stats = seat.shard.handler().hub().stats();
            assert_eq!(
                (stats.connections, stats.sessions),
                (0, 0),
                "shard {index}: connections, sessions"
            );
        }
    }

    fn report(&self) -> Report {
        let sum = |count: fn(&ringway_runtime::LoopStats) -> u64| {
            self.seats
                .iter()
                .map(|seat| count(seat.shard.stats()))
                .sum::<u64>()
        };
        let parked: u64 = self
            .seats
            .iter()
            .map(|seat| seat.shard.handler().hub().stats().parked)
            .sum();
        Report {
            faults: self.kernel.faults(),
            rings_full: sum(|stats| stats.mail_waits) + parked,
            migrations: sum(|stats| stats.migrations),
            deliveries: self.model.deliveries,
            acks: self.model.acks,
            gaps: self.model.gaps,
            refused: self.model.refused,
            slow_closes: self.slow_closes,
            drains: u64::from(self.draining),
            rebuilds: self.rebuilds,
        }
    }
}

/// The faults' names, for the table.
pub(crate) fn names() -> impl Iterator<Item = Fault> {
    Fault::ALL.into_iter()
}
