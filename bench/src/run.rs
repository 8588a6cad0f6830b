//! All runs, one after the other: pass by pass, in each scenario server by server, so that a machine that changes changes for all. In each pass another
//! server is the first, as who comes after whom may matter too.

use crate::job::Job;
use crate::outcome::{Outcome, Report};
use crate::scenario::Scenario;
use crate::server::Server;
use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is measured.
pub(crate) struct Plan {
    pub(crate) scenarios: BTreeMap<String, Scenario>,
    pub(crate) servers: Vec<Server>,
    pub(crate) passes: u32,
    pub(crate) has_own_network: bool,
}

impl Plan {
    /// Runs everything; after each run the report so far goes to `keep`.
    pub(crate) fn run(
        self,
        mut keep: impl FnMut(&Report) -> Result<(), String>,
    ) -> Result<Report, String> {
        let jobs: Vec<Job> = self.jobs().collect();
        let mut report = Report::begin(self.scenarios, self.has_own_network);
        for (number, job) in jobs.iter().enumerate() {
            let outcome = apart(job);
            eprintln!("{}/{} {}", number + 1, jobs.len(), told(&outcome));
            report.outcomes.push(outcome);
            keep(&report)?;
        }
        Ok(report)
    }

    fn jobs(&self) -> impl Iterator<Item = Job> {
        let passes = 1..=self.passes;
        passes.flat_map(move |pass| {
            self.scenarios.iter().flat_map(move |(name, scenario)| {
                let servers = self.servers_of(scenario, pass);
                servers.into_iter().map(move |server| Job {
                    name: name.clone(),
                    scenario: scenario.clone(),
                    server: server.clone(),
                    pass,
                    profile: None,
                })
            })
        })
    }

    /// Those to which a scenario is done, in the order of a pass: one further each time.
    fn servers_of(&self, scenario: &Scenario, pass: u32) -> Vec<&Server> {
        let servers = self.servers.iter();
        let mut servers: Vec<&Server> = servers.filter(|server| server.takes(scenario)).collect();
        if !servers.is_empty() {
            let first = (pass - 1) as usize % servers.len();
            servers.rotate_left(first);
        }
        servers
    }
}

/// Runs a job in a process of its own; what goes wrong there is its outcome.
pub(crate) fn apart(job: &Job) -> Outcome {
    let outcome = try_apart(job);
    outcome.unwrap_or_else(|error| job.failed(error.to_string()))
}

fn try_apart(job: &Job) -> io::Result<Outcome> {
    let output = Command::new(env::current_exe()?)
        .arg("measure")
        .arg(serde_json::to_string(job)?)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{}: {words}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// One line.
pub(crate) fn told(outcome: &Outcome) -> String {
    let Outcome {
        scenario,
        server,
        pass,
        ..
    } = outcome;
    let head = format!("pass {pass} {scenario} {server}:");
    if let Some(failure) = &outcome.failure {
        return format!("{head} FAILED: {failure}");
    }
    let p99_ms = outcome
        .latency
        .as_ref()
        .map_or(0.0, |latency| latency.p99_us / 1000.0);
    let problem = outcome
        .problem()
        .map_or_else(String::new, |problem| format!("; {problem}"));
    format!(
        "{head} {} operations in {:.2} s, CPU {:.2} s (load {:.2} s), p99 {p99_ms:.2} ms, RSS +{} KiB{problem}",
        outcome.operations,
        outcome.seconds,
        outcome.cpu_seconds,
        outcome.load_cpu_seconds,
        outcome.memory.resident / 1024
    )
}

/// The folder of the tree, from wherever this is called in it.
pub(crate) fn root() -> &'static Path {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::scenario::Kind;

    #[test]
    fn servers_alternate_within_each_pass_and_each_is_first_in_turn() {
        let scenario = |servers: &str| {
            let text = format!(
                "what = \"x\"\nload = \"echo\"\nconnections = 1\nshows = []\nservers = {servers}\n"
            );
            toml::from_str(&text).unwrap()
        };
        let server = |name: &str, dialect: Dialect, loads: &[Kind]| Server {
            name: name.to_owned(),
            dialect,
            command: Vec::new(),
            worker: Vec::new(),
            tells_heap: false,
            by_name: name == "never",
            without_rates: Vec::new(),
            loads: loads.to_vec(),
        };
        let plan = Plan {
            scenarios: [
                ("a".to_owned(), scenario("[]")),
                ("b".to_owned(), scenario("[\"y\", \"z\"]")),
            ]
            .into(),
            servers: vec![
                server("x", Dialect::Bare, &[]),
                server("y", Dialect::SocketIo, &[Kind::Idle, Kind::Echo]),
                server("z", Dialect::Bytes, &[]),
                server("never", Dialect::Bare, &[Kind::Publish]),
            ],
            passes: 3,
            has_own_network: false,
        };
        let jobs = plan
            .jobs()
            .map(|job| format!("{}{}{}", job.pass, job.name, job.server.name));
        assert_eq!(
            jobs.collect::<Vec<_>>(),
            [
                "1ax", "1ay", "1by", "1bz", "2ay", "2ax", "2bz", "2by", "3ax", "3ay", "3by", "3bz"
            ]
        );
    }
}
