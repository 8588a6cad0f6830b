//! Load for Ringway and its peers, measured side by side. README.md beside it says how to run it and how to read it.

mod bulk;
mod client;
mod compare;
mod crowd;
mod dial;
mod dialect;
mod fetch;
mod flame;
mod job;
mod load;
mod measures;
mod million;
mod namespace;
mod outcome;
mod poll;
mod process;
mod profiler;
mod run;
mod scenario;
mod server;
mod spread;
mod stamp;
mod table;
mod upload;
mod wire;

use clap::{Args, Parser, Subcommand};
use flame::Shares;
use job::Job;
use million::Million;
use namespace::Place;
use outcome::{Outcome, Report};
use run::Plan;
use scenario::{Kind, Scenario};
use server::Servers;
use std::collections::BTreeMap;
use std::fs;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::slice;

/// The scenario of a million connections, in the tree.
const MILLION: &str = "bench/million/million.toml";

/// Measures Ringway and its peers side by side.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Does scenarios to servers, in passes, and writes what came of it.
    Run(RunArgs),
    /// Whether every scenario works against the servers named, with a handful of clients and no regard to time.
    Smoke(SmokeArgs),
    /// Samples Ringway while a scenario is done to it, draws a flame graph and prints whose the time was.
    Flame(FlameArgs),
    /// Prints a result as a table.
    Table(TableArgs),
    /// Prints where two results differ by more than the noise of both.
    Compare {
        /// The result before.
        before: PathBuf,
        /// The result after.
        after: PathBuf,
    },
    /// Holds a million idle connections, or as many as the scenario says, and publishes to all of them.
    Million(MillionArgs),
    /// Clients of such a run, described in JSON; it starts them.
    #[command(hide = true)]
    Cohort {
        /// The clients.
        cohort: String,
    },
    /// Neighbours of clients, described in JSON; a run starts them.
    #[command(hide = true)]
    Bulk {
        /// What they do.
        task: String,
    },
    /// One run, described in JSON; the others start it.
    #[command(hide = true)]
    Measure {
        /// The job.
        job: String,
    },
}

#[derive(Args)]
struct RunArgs {
    /// Scenarios of bench/scenarios, by name, by a beginning that no other has, or `fanout` and `echo`; those of the table without any.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Servers of bench/servers.toml, by name; all without any.
    #[arg(long, value_delimiter = ',')]
    server: Vec<String>,
    /// How often everything is repeated.
    #[arg(long, default_value_t = 3)]
    passes: u32,
    /// Where the result goes, in JSON.
    #[arg(long)]
    out: PathBuf,
    /// Measure in the network that this is started in, with its connection tracking and whatever else it has.
    #[arg(long)]
    here: bool,
}

#[derive(Args)]
struct MillionArgs {
    /// The scenario.
    #[arg(long, default_value_os_t = run::root().join(MILLION))]
    scenario: PathBuf,
    /// Fewer or more than it says.
    #[arg(long)]
    connections: Option<usize>,
    /// Shards, if not as many as it says.
    #[arg(long)]
    shards: Option<u16>,
    /// Rooms, to which connections are dealt in turn; each gets messages of its own.
    #[arg(long)]
    rooms: Option<usize>,
    /// Where the result goes, in JSON.
    #[arg(long)]
    out: PathBuf,
    /// Measure in the network that this is started in.
    #[arg(long)]
    here: bool,
}

#[derive(Args)]
struct FlameArgs {
    /// A scenario of bench/scenarios, by name, by a beginning that no other has, or `fanout` or `echo`.
    scenario: String,
    /// A Ringway with frame pointers, as `make flame` builds it.
    #[arg(long)]
    binary: PathBuf,
    /// Where the graph goes, in SVG.
    #[arg(long)]
    out: PathBuf,
    /// Measure in the network that this is started in.
    #[arg(long)]
    here: bool,
}

#[derive(Args)]
struct SmokeArgs {
    /// Servers of bench/servers.toml.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "ringway,ringway-files,ringway-files-anew,ringway-files-once,ringway-both,ringway-uploads,floor,runtime-own,nest-ringway,nest-stock,plain-ringway,plain-stock"
    )]
    server: Vec<String>,
}

#[derive(Args)]
struct TableArgs {
    /// The result.
    result: PathBuf,
    /// Print what the load has cost too.
    #[arg(long)]
    load: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Smoke(args) => smoke(&args.server),
        Command::Flame(args) => flame(args),
        Command::Table(args) => show(&args),
        Command::Compare { before, after } => compare(&before, &after),
        Command::Million(args) => hold_million(args),
        Command::Cohort { cohort } => be_cohort(&cohort),
        Command::Bulk { task } => be_bulk(&task),
        Command::Measure { job } => measure(&job),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("ringway-bench: {problem}");
        ExitCode::FAILURE
    })
}

fn run(args: &RunArgs) -> Result<ExitCode, String> {
    if !args.here
        && let Some(ended) = elsewhere()?
    {
        return Ok(ended);
    }
    let plan = Plan {
        scenarios: scenarios(&args.scenario)?,
        servers: servers(&args.server)?,
        passes: args.passes,
        has_own_network: !args.here,
    };
    let report = plan.run(|report| report.write(&args.out))?;
    print(&table::render(&report));
    Ok(code(!report.outcomes.iter().any(Outcome::is_fatal)))
}

/// Enters a network of our own; how this program ended in one, if it was not there yet.
fn elsewhere() -> Result<Option<ExitCode>, String> {
    match namespace::enter() {
        Ok(Place::Inside) => Ok(None),
        Ok(Place::Ended(status)) => Ok(Some(code(status.success()))),
        Err(error) => Err(format!(
            "no network namespace of our own ({error}); `--here` measures in the machine's"
        )),
    }
}

fn flame(args: FlameArgs) -> Result<ExitCode, String> {
    if !args.here
        && let Some(ended) = elsewhere()?
    {
        return Ok(ended);
    }
    let said = |error: std::io::Error| error.to_string();
    let mut named = scenarios(slice::from_ref(&args.scenario))?;
    let (name, scenario) = named.pop_first().expect("it was named");
    let mut those = scenario.servers.iter();
    let ours = those.find(|name| name.starts_with(outcome::OURS));
    let ours = ours.map_or(outcome::OURS, |name| name);
    let mut server = servers(&[ours.to_owned()])?.remove(0);
    let binary = args.binary.canonicalize().map_err(said)?;
    server.command[0] = binary.display().to_string();
    let data = args.out.with_extension("perf");
    let job = Job {
        scenario,
        name,
        server,
        pass: 1,
        profile: Some(data.clone()),
    };
    let outcome = run::apart(&job);
    print(&format!("{}\n", run::told(&outcome)));
    if outcome.failure.is_some() {
        return Ok(ExitCode::FAILURE);
    }
    let script = profiler::script(&data).map_err(said)?;
    let graph = fs::File::create(&args.out).map_err(said)?;
    let title = format!("ringway, {}", job.name);
    flame::draw(&script, &title, BufWriter::new(graph)).map_err(said)?;
    let text = String::from_utf8_lossy(&script);
    print(&Shares::of(&text, "ringway").render());
    fs::remove_file(&data).map_err(said)?;
    Ok(ExitCode::SUCCESS)
}

fn hold_million(args: MillionArgs) -> Result<ExitCode, String> {
    if !args.here
        && let Some(ended) = elsewhere()?
    {
        return Ok(ended);
    }
    let mut scenario = Scenario::read(&args.scenario)?;
    scenario.connections = args.connections.unwrap_or(scenario.connections);
    scenario.shards = args.shards.unwrap_or(scenario.shards);
    scenario.rooms = args.rooms.unwrap_or(scenario.rooms);
    let server = servers(&["ringway".to_owned()])?.remove(0);
    let held = million::hold(&scenario, &server).map_err(|error| error.to_string())?;
    print(&held.render());
    let (name, is_whole) = ("million".to_owned(), held.is_whole());
    let report = Report::begin([(name, scenario)].into(), !args.here);
    outcome::write_json(&Million { report, held }, &args.out)?;
    Ok(code(is_whole))
}

fn be_cohort(cohort: &str) -> Result<ExitCode, String> {
    let cohort = serde_json::from_str(cohort).map_err(|error| error.to_string())?;
    million::serve(&cohort).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn be_bulk(task: &str) -> Result<ExitCode, String> {
    let task = serde_json::from_str(task).map_err(|error| error.to_string())?;
    bulk::serve(task, std::io::stdout()).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// The scenarios of these names, which may be short, in the order of names; those of the table without any.
fn scenarios(names: &[String]) -> Result<BTreeMap<String, Scenario>, String> {
    let mut all = Scenario::read_all(&run::root().join("bench/scenarios"))?;
    if names.is_empty() {
        all.retain(|_, scenario| scenario.in_table);
        return Ok(all);
    }
    let named = names.iter().map(|written| {
        let name = Scenario::whole_name(&all, written)?;
        Ok((name.to_owned(), all[name].clone()))
    });
    named.collect()
}

fn servers(names: &[String]) -> Result<Vec<server::Server>, String> {
    let mut all = Servers::read(&run::root().join("bench/servers.toml"))?.server;
    if let Some(unknown) = names
        .iter()
        .find(|name| all.iter().all(|one| one.name != **name))
    {
        let known: Vec<&String> = all.iter().map(|one| &one.name).collect();
        return Err(format!("no server {unknown}; there are {known:?}"));
    }
    all.retain(|server| names.is_empty() || names.contains(&server.name));
    Ok(all)
}

fn smoke(names: &[String]) -> Result<ExitCode, String> {
    let all = Scenario::read_all(&run::root().join("bench/scenarios"))?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let quick = all
        .into_iter()
        .map(|(name, scenario)| (name, scenario.quick(vec![cpus - 1])));
    let plan = Plan {
        scenarios: quick.collect(),
        servers: servers(names)?,
        passes: 1,
        has_own_network: false,
    };
    let report = plan.run(|_| Ok(()))?;
    let idle = |outcome: &Outcome| report.scenarios[&outcome.scenario].load == Kind::Idle;
    let works =
        |outcome: &&Outcome| outcome.is_whole() && (outcome.operations > 0 || idle(outcome));
    let passed = report.outcomes.iter().filter(works).count();
    let failed = report.outcomes.len() - passed;
    let million = smoke_million(cpus - 1);
    if let Err(problem) = &million {
        eprintln!("million: {problem}");
    }
    let passed = passed + usize::from(million.is_ok());
    let failed = failed + usize::from(million.is_err());
    print(&format!("smoke: {passed} passed, {failed} failed\n"));
    Ok(code(failed == 0))
}

/// A handful instead of a million, on as many shards.
fn smoke_million(load_cpu: usize) -> Result<(), String> {
    let scenario = Scenario::read(&run::root().join(MILLION))?.quick(vec![load_cpu]);
    let server = servers(&["ringway".to_owned()])?.remove(0);
    let held = million::hold(&scenario, &server).map_err(|error| error.to_string())?;
    let heard = held.broadcasts.iter().map(|one| one.deliveries);
    let all = (scenario.connections * held.broadcasts.len()) as u64;
    match held.is_whole() && heard.sum::<u64>() == all {
        true => Ok(()),
        false => Err(format!("{held:?}")),
    }
}

fn show(args: &TableArgs) -> Result<ExitCode, String> {
    let report = Report::read(&args.result)?;
    print(&table::render(&report));
    if args.load {
        print(&format!("\n{}", table::render_load(&report)));
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(before: &std::path::Path, after: &std::path::Path) -> Result<ExitCode, String> {
    let (before, after) = (Report::read(before)?, Report::read(after)?);
    print(&compare::render(&before, &after));
    Ok(code(compare::is_good(&after)))
}

fn measure(job: &str) -> Result<ExitCode, String> {
    let job: Job = serde_json::from_str(job).map_err(|error| error.to_string())?;
    let outcome = job.run(run::root());
    print(&serde_json::to_string(&outcome).map_err(|error| error.to_string())?);
    Ok(ExitCode::SUCCESS)
}

const fn code(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what was asked for goes to standard output"
)]
fn print(text: &str) {
    print!("{text}");
}
