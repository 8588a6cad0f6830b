//! One scenario against one server, in a process and a session of its own.
//!
//! A session, because the scheduler shares a CPU out among sessions first; a process, so that whatever happens here is one outcome's failure.

use crate::bulk::Neighbours;
use crate::crowd::{Crowd, Guest};
use crate::dialect::Dialect;
use crate::fetch::{Fetching, Files};
use crate::load::churn::Churn;
use crate::load::echo::Echo;
use crate::load::idle::Idle;
use crate::load::publish::Publish;
use crate::load::say::Say;
use crate::load::{Drive, Driven, Latency};
use crate::outcome::Outcome;
use crate::process::{self, Cpu, CpuTime, Everybody, Memory};
use crate::profiler::Profiler;
use crate::scenario::{Kind, Scenario};
use crate::server::{Running, SECRET, Server};
use crate::upload::Uploading;
use jsonwebtoken::{EncodingKey, Header, encode};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is under way at the end arrives within this time, or is missing.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);
/// Members of an idle client's second room.
const GROUP: usize = 100;
const TOKEN_SECONDS: u64 = 24 * 3600;

/// What is to be measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) scenario: Scenario,
    pub(crate) server: Server,
    pub(crate) pass: u32,
    /// Where perf puts its samples of the server in the measured time, if they are wanted.
    pub(crate) profile: Option<PathBuf>,
}

impl Job {
    /// An outcome that says nothing but why.
    pub(crate) fn failed(&self, why: String) -> Outcome {
        Outcome {
            failure: Some(why),
            ..self.blank()
        }
    }

    fn blank(&self) -> Outcome {
        Outcome {
            scenario: self.name.clone(),
            server: self.server.name.clone(),
            pass: self.pass,
            connections: self.scenario.connections,
            members: self.scenario.members_of_room(),
            shares_cpus: self.scenario.shares_cpus(),
            ..Outcome::default()
        }
    }

    /// Measures.
    pub(crate) fn run(&self, root: &Path) -> Outcome {
        let outcome = prepare_load(&self.scenario.load_cpus).and_then(|()| {
            let running = Running::start(&self.server, &self.scenario, root)?;
            // The crowd is gone before the server is stopped, whatever happened.
            let outcome = self.measure(&running);
            outcome.map_err(|error| io::Error::other(format!("{error}\n{}", running.last_words())))
        });
        outcome.unwrap_or_else(|error| self.failed(error.to_string().trim().to_owned()))
    }

    fn measure(&self, running: &Running) -> io::Result<Outcome> {
        let rest = Duration::from_millis(self.scenario.rest_ms);
        std::thread::sleep(rest);
        let before = running.memory()?;
        if let Some(wanted) = &self.scenario.fetch {
            let files = Files::in_folder(&running.files(), wanted);
            let connections = self.scenario.connections;
            let fetching = Fetching::open(running.address, wanted.clone(), files, connections)?;
            return self.drive(running, before, fetching, self.blank());
        }
        if let Some(sent) = self.scenario.upload {
            let uploading = Uploading::open(running.address, sent, self.scenario.connections)?;
            return self.drive(running, before, uploading, self.blank());
        }
        let payload_bytes = self.scenario.payload_bytes;
        let mut crowd = Crowd::new(self.server.dialect, running.address, payload_bytes)?;
        crowd.open(guests(&self.scenario, self.server.dialect)?)?;
        let silent = crowd.len() - self.scenario.stalled;
        (silent..crowd.len()).try_for_each(|who| crowd.stall(who))?;
        std::thread::sleep(rest);
        let bulk = self.scenario.bulk.as_ref();
        let neighbours =
            bulk.map(|bulk| Neighbours::start(bulk, running.address, &running.files()));
        let neighbours = neighbours.transpose()?;
        let mut outcome = self.drive_crowd(running, before, &mut crowd)?;
        outcome.bulk = neighbours.map(Neighbours::finish).transpose()?;
        Ok(outcome)
    }

    fn drive_crowd(
        &self,
        running: &Running,
        before: Memory,
        crowd: &mut Crowd,
    ) -> io::Result<Outcome> {
        let outcome = self.blank();
        match self.scenario.load {
            Kind::Idle => {
                let idle = Driven::new(crowd, Idle::new());
                self.drive(running, before, idle, outcome)
            }
            Kind::Echo => {
                let echo = Echo::new(crowd, self.scenario.payload_bytes);
                self.drive(running, before, Driven::new(crowd, echo), outcome)
            }
            Kind::Say => {
                let say = Say::new(crowd, &self.scenario);
                self.drive(running, before, Driven::new(crowd, say), outcome)
            }
            Kind::Publish => {
                let publish = Publish::new(&self.scenario);
                self.drive(running, before, Driven::new(crowd, publish), outcome)
            }
            Kind::Fetch | Kind::Upload => unreachable!("such a scenario says what of"),
            Kind::Churn => {
                let churn = Churn::new(crowd);
                self.drive(running, before, Driven::new(crowd, churn), outcome)
            }
        }
    }

    fn drive(
        &self,
        running: &Running,
        before: Memory,
        mut load: impl Drive,
        mut outcome: Outcome,
    ) -> io::Result<Outcome> {
        let scenario = &self.scenario;
        load.start();
        let warm_up = Duration::from_millis(scenario.warm_up_ms);
        phase(&mut load, warm_up, |_| Ok(()))?;
        let mut samples = Samples::new(Duration::from_millis(scenario.sample_ms));
        let profile = self.profile.as_deref();
        let profiler = profile.map(|data| Profiler::attach(running.pid(), data));
        let profiler = profiler.transpose()?;
        load.tally().since_ns = load.clock_ns();
        let (operations, bytes) = (load.tally().operations, load.tally().bytes);
        let cpus = scenario.cpus();
        let (stolen, everybody) = (CpuTime::stolen(&cpus)?, Everybody::now()?);
        let (start, own, server) = (Instant::now(), own_cpu()?, running.cpu()?);
        let measured = Duration::from_millis(scenario.measured_ms);
        phase(&mut load, measured, |elapsed| {
            samples.look(elapsed, running)
        })?;
        (outcome.cpu_seconds, outcome.waiting_seconds) = running.cpu()?.since(server);
        outcome.seconds = start.elapsed().as_secs_f64();
        outcome.stolen = Some(CpuTime::stolen(&cpus)?.since(stolen));
        let everybody = Everybody::now()?.since(&everybody);
        (outcome.load_cpu_seconds, outcome.load_waiting_seconds) = own_cpu()?.since(own);
        let ours = outcome.cpu_seconds + outcome.load_cpu_seconds;
        // What server and load did between two looks is theirs.
        outcome.others_seconds = Some((everybody - ours).max(0.0));
        profiler.map_or(Ok(()), Profiler::finish)?;
        outcome.operations = load.tally().operations - operations;
        outcome.bytes = load.tally().bytes - bytes;
        let memory = running.memory()?;
        (outcome.memory, outcome.resident_bytes) = (memory.since(before), memory.resident);
        samples.into_outcome(&mut outcome);
        drain(&mut load)?;
        outcome.missing = load.missing();
        let tally = load.tally();
        (outcome.refused, outcome.disordered) = (tally.refused, tally.disordered);
        outcome.latency = Latency::of(&tally.latency_ns);
        outcome.command.clone_from(&running.command);
        Ok(outcome)
    }
}

fn own_cpu() -> io::Result<Cpu> {
    Cpu::of(std::process::id())
}

/// Works for so long; `look` is called after each turn.
fn phase(
    load: &mut impl Drive,
    time: Duration,
    mut look: impl FnMut(Duration) -> io::Result<()>,
) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let elapsed = start.elapsed();
        if elapsed >= time {
            return Ok(());
        }
        let most = load.due().min(time - elapsed);
        load.turn(most)?;
        look(start.elapsed())?;
    }
}

/// Waits for what is under way.
fn drain(load: &mut impl Drive) -> io::Result<()> {
    load.stop();
    let until = Instant::now() + DRAIN_PATIENCE;
    while load.missing() > 0 && Instant::now() < until {
        load.turn(Duration::from_millis(10))?;
    }
    // What comes now comes twice.
    load.turn(Duration::from_millis(10))
}

/// The server's memory as time goes by.
struct Samples {
    every: Duration,
    next: Duration,
    resident: Vec<(f64, f64)>,
    slab: Vec<(f64, f64)>,
}

impl Samples {
    const fn new(every: Duration) -> Self {
        Self {
            every,
            next: Duration::ZERO,
            resident: Vec::new(),
            slab: Vec::new(),
        }
    }

    fn look(&mut self, elapsed: Duration, running: &Running) -> io::Result<()> {
        if self.every.is_zero() || elapsed < self.next {
            return Ok(());
        }
        self.next = elapsed + self.every;
        let memory = running.memory()?;
        self.resident
            .push((elapsed.as_secs_f64(), memory.resident as f64));
        self.slab
            .push((elapsed.as_secs_f64(), memory.kernel_slab as f64));
        Ok(())
    }

    fn into_outcome(self, outcome: &mut Outcome) {
        let per_hour = |samples: &[(f64, f64)]| process::slope(samples).map(|slope| slope * 3600.0);
        outcome.resident_bytes_per_hour = per_hour(&self.resident);
        outcome.kernel_slab_bytes_per_hour = per_hour(&self.slab);
    }
}

/// Makes this process what a load should be: a session of its own, on its own CPUs, with as many descriptors as it may have.
pub(crate) fn prepare_load(load_cpus: &[usize]) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    // Refused to the leader of a process group, which is then as much alone as it can be.
    let _ = rustix::process::setsid();
    let mut cpus = CpuSet::new();
    load_cpus.iter().for_each(|cpu| cpus.set(*cpu));
    rustix::thread::sched_setaffinity(None, &cpus)
        .map_err(|error| io::Error::other(format!("CPUs {load_cpus:?}: {error}")))?;
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(rustix::process::setrlimit(Resource::Nofile, limit)?)
}

/// A client of Ringway with an identity of its own.
pub(crate) fn guest(number: usize, rooms: Vec<String>) -> io::Result<Guest> {
    let key = EncodingKey::from_secret(SECRET);
    let token = token(&key, number)?;
    Ok(Guest { token, rooms })
}

/// Who comes, and into which rooms.
fn guests(scenario: &Scenario, dialect: Dialect) -> io::Result<Vec<Guest>> {
    let key = EncodingKey::from_secret(SECRET);
    let guest = |number| {
        let token = match dialect {
            Dialect::SocketIo => token(&key, number)?,
            Dialect::Bare | Dialect::Bytes | Dialect::Http => String::new(),
        };
        let rooms = match scenario.load {
            _ if dialect == Dialect::Bytes => Vec::new(),
            Kind::Idle => vec!["common".to_owned(), format!("group:{}", number / GROUP)],
            Kind::Publish => vec![Publish::room_of(number, scenario.rooms)],
            Kind::Echo | Kind::Say | Kind::Churn | Kind::Fetch | Kind::Upload => Vec::new(),
        };
        Ok(Guest { token, rooms })
    };
    (0..scenario.connections).map(guest).collect()
}

/// What Ringway asks of whoever connects; the peers ignore it.
fn token(key: &EncodingKey, number: usize) -> io::Result<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(io::Error::other)?;
    let header = Header {
        kid: Some("bench".to_owned()),
        ..Header::default()
    };
    let claims = serde_json::json!({
        "sub": format!("user-{number}"),
        "exp": now.as_secs() + TOKEN_SECONDS,
        "rw": { "join": ["*"], "publish": ["*"] },
    });
    encode(&header, &claims, key).map_err(io::Error::other)
}
