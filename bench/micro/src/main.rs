//! `ringway-micro NAME ITERATIONS` does one subject so often; without words it lists them. `scripts/instructions` runs it under callgrind.

use ringway_micro::{ENTRIES, Entry, measured};
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Steps until buffers have their size and tables their place.
const WARM_UP: u32 = 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match &words[..] {
        [] => list().map_err(|error| error.to_string()),
        [name, iterations] => run(name, iterations),
        _ => Err("ringway-micro [NAME ITERATIONS]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("ringway-micro: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> io::Result<()> {
    let mut out = io::stdout();
    ENTRIES
        .iter()
        .try_for_each(|Entry { name, what, .. }| writeln!(out, "{name}\t{what}"))
}

fn run(name: &str, iterations: &str) -> Result<(), String> {
    let entry = ENTRIES.iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| format!("no subject {name}"))?;
    let iterations: u32 = iterations
        .parse()
        .map_err(|_| format!("{iterations:?} is no number"))?;
    let mut subject = (entry.build)();
    for _ in 0..WARM_UP {
        subject.prepare();
        subject.step();
    }
    for _ in 0..iterations {
        subject.prepare();
        measured(&mut *subject);
    }
    Ok(())
}
