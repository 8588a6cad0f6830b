//! What one run of one scenario against one server gave, and the file that holds many.

use crate::bulk::Fetched;
use crate::load::Latency;
use crate::namespace;
use crate::process::{CpuTime, Memory};
use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Whom this is all about.
pub(crate) const OURS: &str = "ringway";

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) scenario: String,
    pub(crate) server: String,
    pub(crate) pass: u32,
    /// Why there is nothing below.
    pub(crate) failure: Option<String>,
    pub(crate) connections: usize,
    /// Those that hear a publish; older results do not say, and 0 stands for all connections.
    #[serde(default)]
    pub(crate) members: usize,
    /// Whether server and load may run on the same CPU.
    pub(crate) shares_cpus: bool,
    /// Echoes, deliveries or cycles within the measured time.
    pub(crate) operations: u64,
    /// Bytes of bodies that were fetched within it.
    #[serde(default)]
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// The server's, within the measured time.
    pub(crate) cpu_seconds: f64,
    /// For which its threads waited because another process had their CPU; several threads wait for several seconds a second.
    pub(crate) waiting_seconds: f64,
    /// The load's own.
    pub(crate) load_cpu_seconds: f64,
    pub(crate) load_waiting_seconds: f64,
    /// What the hypervisor took of the CPUs of server and load meanwhile; older results do not say.
    #[serde(default)]
    pub(crate) stolen: Option<CpuTime>,
    /// What all other processes of the machine had of its CPUs meanwhile; results from before it do not say (and what they have as `busy` came in ticks, too coarse for that).
    #[serde(default)]
    pub(crate) others_seconds: Option<f64>,
    /// Of what was due within the measured time, whenever it came.
    pub(crate) latency: Option<Latency>,
    pub(crate) refused: u64,
    pub(crate) disordered: u64,
    /// Deliveries and answers that had not come some seconds after the end.
    pub(crate) missing: u64,
    /// Growth from before the first connection until the end of the measured time.
    pub(crate) memory: Memory,
    /// The server's at that end.
    pub(crate) resident_bytes: i64,
    /// Resident bytes that were added in an hour, by least squares over the measured time.
    pub(crate) resident_bytes_per_hour: Option<f64>,
    pub(crate) kernel_slab_bytes_per_hour: Option<f64>,
    pub(crate) command: Vec<String>,
    /// What the neighbours fetched, if there were any.
    #[serde(default)]
    pub(crate) bulk: Option<Fetched>,
}

impl Outcome {
    /// How many connections a publish goes to.
    pub(crate) const fn heard_by(&self) -> usize {
        match self.members {
            0 => self.connections,
            members => members,
        }
    }

    /// Whether everything was done that was to be done, each thing once and in order.
    pub(crate) fn is_whole(&self) -> bool {
        self.failure.is_none()
            && self.refused + self.disordered + self.missing == 0
            && self.bulk_flowed()
    }

    /// Whether Ringway has a part in it.
    pub(crate) fn is_ours(&self) -> bool {
        self.server.split('-').any(|part| part == OURS)
    }

    /// Whether it speaks against the bench or against Ringway: it did not run at all, or Ringway lost or disordered something. A peer may lose what it
    /// likes, and anybody may refuse; the table says so.
    pub(crate) fn is_fatal(&self) -> bool {
        self.failure.is_some() || (self.is_ours() && self.disordered + self.missing > 0)
    }

    fn bulk_flowed(&self) -> bool {
        self.bulk
            .is_none_or(|bulk| bulk.refused == 0 && bulk.bytes > 0)
    }

    /// How much of the time it had to wait for CPUs; `None` where server and load share one, and wait for each other.
    pub(crate) fn waiting_share(&self) -> Option<f64> {
        let share = self.waiting_seconds.max(self.load_waiting_seconds) / self.seconds;
        (!self.shares_cpus && share.is_finite()).then_some(share)
    }

    /// How much of one CPU's time others had, on any; where server and load share their CPUs, so that waiting says nothing.
    pub(crate) fn others_share(&self) -> Option<f64> {
        let others = self.others_seconds.filter(|_| self.shares_cpus)?;
        let share = others / self.seconds;
        share.is_finite().then_some(share)
    }

    /// How much of the time of its CPUs the hypervisor took.
    pub(crate) fn stolen_share(&self) -> Option<f64> {
        let stolen = self.stolen?;
        let share = stolen.seconds / (self.seconds * stolen.cpus as f64);
        share.is_finite().then_some(share)
    }

    /// What is wrong with it, for people.
    pub(crate) fn problem(&self) -> Option<String> {
        let counts = || {
            let (refused, disordered, missing) = (self.refused, self.disordered, self.missing);
            let bulk = match self.bulk {
                Some(bulk) if !self.bulk_flowed() => format!("; of bulk: {bulk:?}"),
                _ => String::new(),
            };
            format!("{refused} refused, {disordered} out of order, {missing} missing{bulk}")
        };
        (!self.is_whole()).then(|| self.failure.clone().unwrap_or_else(counts))
    }
}

/// Many runs, and where they were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) kernel: String,
    pub(crate) machine: String,
    /// Whether the network was one of its own.
    pub(crate) has_own_network: bool,
    /// TCP's congestion control there; results from before 2026-11-30 do not say, and had the machine's, BBR.
    #[serde(default)]
    pub(crate) congestion_control: String,
    pub(crate) command: Vec<String>,
    pub(crate) scenarios: BTreeMap<String, Scenario>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// Of this moment, this tree and this machine.
    pub(crate) fn begin(scenarios: BTreeMap<String, Scenario>, has_own_network: bool) -> Self {
        let arguments = std::env::args().skip(1);
        Self {
            date: said_by("date", &["+%Y-%m-%d %H:%M"]),
            commit: tree(),
            kernel: said_by("uname", &["-r"]),
            machine: machine(),
            has_own_network,
            congestion_control: namespace::congestion_control(),
            command: core::iter::once("ringway-bench".to_owned())
                .chain(arguments)
                .collect(),
            scenarios,
            outcomes: Vec::new(),
        }
    }

    /// Where it was measured, for people.
    pub(crate) fn network(&self) -> String {
        let place = match self.has_own_network {
            true => "a network namespace of its own",
            false => "the machine's network",
        };
        match self.congestion_control.as_str() {
            "" => place.to_owned(),
            name => format!("{place}, {name}"),
        }
    }

    /// The same without runs that were not whole, whose numbers are of something else.
    pub(crate) fn whole(&self) -> Self {
        let mut whole = self.clone();
        whole.outcomes.retain(Outcome::is_whole);
        whole
    }

    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        serde_json::from_str(&text).map_err(|error| wrong(&error))
    }

    /// The runs of one scenario against one server, pass by pass.
    pub(crate) fn runs<'a>(
        &'a self,
        scenario: &'a str,
        server: &'a str,
    ) -> impl Iterator<Item = &'a Outcome> {
        let outcomes = self.outcomes.iter();
        outcomes.filter(move |one| one.scenario == scenario && one.server == server)
    }

    /// The servers that were measured, in the order of their first run.
    pub(crate) fn servers(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for outcome in &self.outcomes {
            if !names.contains(&&*outcome.server) {
                names.push(&*outcome.server);
            }
        }
        names
    }

    /// Those that were measured in a scenario, the one first whose numbers are divided by those of the others: Ringway, or whoever was measured
    /// first where it was not.
    pub(crate) fn servers_of(&self, scenario: &str) -> Vec<&str> {
        let is_of = |name: &&str| self.runs(scenario, name).next().is_some();
        let mut names: Vec<&str> = self.servers().into_iter().filter(is_of).collect();
        if let Some(place) = names.iter().position(|name| *name == OURS) {
            names[..=place].rotate_right(1);
        }
        names
    }

    /// Scenarios that are done to the same servers, those first that are done to everybody.
    pub(crate) fn groups(&self) -> Vec<Vec<&str>> {
        let mut groups: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
        for (name, scenario) in &self.scenarios {
            groups.entry(&scenario.servers).or_default().push(name);
        }
        groups.into_values().collect()
    }

    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        write_json(self, path)
    }
}

/// # Errors
/// The file cannot be written.
pub(crate) fn write_json(value: &impl Serialize, path: &Path) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let bytes = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The commit of the tree, wherever this was started.
fn tree() -> String {
    let root = crate::run::root().display().to_string();
    let describe = ["describe", "--always", "--dirty", "--exclude=*"];
    said_by("git", &[&["-C", &root], &describe[..]].concat())
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cpus} CPUs, {model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(server: &str, [refused, disordered, missing]: [u64; 3]) -> Outcome {
        Outcome {
            server: server.to_owned(),
            refused,
            disordered,
            missing,
            ..Outcome::default()
        }
    }

    #[track_caller]
    fn check(outcome: &Outcome, is_whole: bool, is_fatal: bool) {
        assert_eq!(
            (outcome.is_whole(), outcome.is_fatal()),
            (is_whole, is_fatal)
        );
    }

    #[test]
    fn a_loss_is_fatal_to_ringway_alone_and_a_failure_to_all() {
        check(&outcome("ringway", [0, 0, 0]), true, false);
        check(&outcome("ringway", [1, 0, 0]), false, false);
        check(&outcome("ringway", [0, 1, 0]), false, true);
        check(&outcome("nest-ringway", [0, 0, 1]), false, true);
        check(&outcome("floor", [0, 1, 1]), false, false);
        let failed = Outcome {
            failure: Some("gone".to_owned()),
            ..outcome("floor", [0, 0, 0])
        };
        check(&failed, false, true);
    }
}
