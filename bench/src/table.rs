//! A result as tables: the reference (Ringway) beside each peer, and what the load itself has cost.

use crate::measures::Measure;
use crate::outcome::{OURS, Outcome, Report};
use crate::spread::{Short, Spread};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A measure of one server in one scenario, over all passes.
pub(crate) fn spread(
    report: &Report,
    scenario: &str,
    server: &str,
    measure: Measure,
) -> Option<Spread> {
    Spread::of(
        report
            .runs(scenario, server)
            .filter_map(|run| measure.of(run)),
    )
}

/// The ratio of one server and scenario to another, formed within each pass.
pub(crate) fn ratio(
    report: &Report,
    measure: Measure,
    upper: (&str, &str),
    lower: (&str, &str),
) -> Option<Spread> {
    let pairs = pairs(report, measure, upper, lower);
    Spread::of(pairs.into_iter().map(|(upper, lower)| upper / lower))
}

/// Both numbers of each pass that has both.
fn pairs(
    report: &Report,
    measure: Measure,
    upper: (&str, &str),
    lower: (&str, &str),
) -> Vec<(f64, f64)> {
    let numbers = |(scenario, server)| {
        let runs = report.runs(scenario, server);
        let numbers = runs.filter_map(|run| Some((run.pass, measure.of(run)?)));
        numbers
            .filter(|(_, number)| *number > 0.0)
            .collect::<BTreeMap<u32, f64>>()
    };
    let (upper, lower) = (numbers(upper), numbers(lower));
    let both = upper
        .iter()
        .filter_map(|(pass, number)| Some((*number, *lower.get(pass)?)));
    both.collect()
}

/// How much a number of one scenario lies above another's of the same server, within each pass: the median, the least and the most.
fn above(report: &Report, measure: Measure, server: &str, upper: &str, lower: &str) -> String {
    let pairs = pairs(report, measure, (upper, server), (lower, server));
    let mut above: Vec<f64> = pairs.iter().map(|(upper, lower)| upper - lower).collect();
    above.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (above.first(), above.last()) else {
        return "-".to_owned();
    };
    let middle = above.len() / 2;
    let median = match above.len() % 2 {
        0 => f64::midpoint(above[middle - 1], above[middle]),
        _ => above[middle],
    };
    format!(
        "{median:+.2} ({least:+.2} to {most:+.2} in {} pairs)",
        above.len()
    )
}

/// All of a report, for people.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    conditions(report, &mut out);
    let groups = report.groups();
    for (number, scenarios) in groups.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        main_table(report, scenarios, &mut out);
    }
    beside(report, &mut out);
    problems(report, &mut out);
    out
}

fn conditions(report: &Report, out: &mut String) {
    let network = report.network();
    let passes = report
        .outcomes
        .iter()
        .map(|outcome| outcome.pass)
        .max()
        .unwrap_or(0);
    line(
        out,
        &format!(
            "{} of {}; {}, Linux {}; {network}",
            report.commit, report.date, report.machine, report.kernel
        ),
    );
    let noise = noise(report);
    if !noise.is_empty() {
        line(out, &noise);
    }
    line(
        out,
        &format!(
            "{passes} passes, interleaved; medians, ± half of how far the passes lie apart; ratios are formed within each pass\n"
        ),
    );
}

/// What else had the CPUs: other processes, as the scheduler saw, and other machines, which it cannot see.
fn noise(report: &Report) -> String {
    let share = |of: fn(&Outcome) -> Option<f64>, says: &str| {
        let shares = Spread::of(report.outcomes.iter().filter_map(of))?;
        let (median, most) = (shares.median * 100.0, shares.most * 100.0);
        Some(format!(
            "{says} {median:.0}% of the time (median run; worst {most:.0}%)"
        ))
    };
    let others = share(
        Outcome::waiting_share,
        "other processes had a CPU that was wanted for",
    );
    let beside = share(
        Outcome::others_share,
        "where server and load share their CPUs others had of one",
    );
    let stolen = share(Outcome::stolen_share, "the hypervisor took");
    let all: Vec<String> = [others, beside, stolen].into_iter().flatten().collect();
    all.join("; ")
}

/// Scenarios that were done to the same servers.
fn main_table(report: &Report, scenarios: &[&str], out: &mut String) {
    let mut servers: Vec<&str> = Vec::new();
    for name in scenarios.iter().flat_map(|name| report.servers_of(name)) {
        if !servers.contains(&name) {
            servers.push(name);
        }
    }
    let (reference, peers) = servers
        .split_first()
        .map_or((OURS, &[][..]), |(first, rest)| (*first, rest));
    let heads = peers.iter().map(|peer| format!(" {peer} | ratio |"));
    line(
        out,
        &format!(
            "| scenario | measure | {reference} |{}",
            heads.collect::<String>()
        ),
    );
    line(
        out,
        &format!("|---|---|---|{}", "---|---|".repeat(peers.len())),
    );
    for name in scenarios {
        for measure in &report.scenarios[*name].shows {
            let cells = peers.iter().map(|peer| {
                let ratio = ratio(report, *measure, (name, reference), (name, peer));
                format!(
                    " {} | {} |",
                    cell(report, name, peer, *measure),
                    shown(ratio)
                )
            });
            let ours = cell(report, name, reference, *measure);
            line(
                out,
                &format!(
                    "| {name} | {} | {ours} |{}",
                    measure.name(),
                    cells.collect::<String>()
                ),
            );
        }
    }
}

/// A server's number; `*` where a pass was not whole.
fn cell(report: &Report, scenario: &str, server: &str, measure: Measure) -> String {
    let mark = if report.runs(scenario, server).all(Outcome::is_whole) {
        ""
    } else {
        "*"
    };
    format!("{}{mark}", shown(spread(report, scenario, server, measure)))
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
}

/// Scenarios whose cost is put beside another's of the same server.
fn beside(report: &Report, out: &mut String) {
    for (name, scenario) in &report.scenarios {
        let reference = report.servers_of(name).first().copied().unwrap_or(OURS);
        let Some(other) = &scenario.beside else {
            continue;
        };
        for measure in &scenario.shows {
            let ratio = ratio(report, *measure, (name, reference), (other, reference));
            let shown = shown(ratio);
            line(
                out,
                &format!("\n{name} beside {other}, {}: {shown}", measure.name()),
            );
            if matches!(measure, Measure::P50Us | Measure::P99Ms) {
                let above = above(report, *measure, reference, name, other);
                line(out, &format!("  that is {above}"));
            }
        }
    }
}

fn problems(report: &Report, out: &mut String) {
    let problems = report.outcomes.iter().filter_map(|outcome| {
        let problem = outcome.problem()?.replace('\n', "\n    ");
        Some(format!(
            "\n\\* {} against {}, pass {}: {problem}",
            outcome.scenario, outcome.server, outcome.pass
        ))
    });
    problems.for_each(|problem| line(out, &problem));
}

/// What the load has cost: beside a server that is busy it should not be.
pub(crate) fn render_load(report: &Report) -> String {
    let mut out = String::from(
        "| scenario | server | operations/s | server CPU us each | server busy, waiting | load CPU us each | load busy, waiting |\n|---|---|---|---|---|---|---|\n",
    );
    for scenario in report.scenarios.keys() {
        for server in report.servers() {
            let median = |of: &dyn Fn(&Outcome) -> f64| {
                let whole = report
                    .runs(scenario, server)
                    .filter(|run| run.failure.is_none());
                Spread::of(whole.map(of).filter(|number| number.is_finite()))
                    .map(|spread| spread.median)
            };
            let Some(rate) = median(&|run| run.operations as f64 / run.seconds) else {
                continue;
            };
            let each = |of: &dyn Fn(&Outcome) -> f64| {
                let each = median(&|run| of(run) * 1e6 / run.operations as f64);
                each.map_or_else(|| "-".to_owned(), |each| Short(each).to_string())
            };
            let busy = |of: &dyn Fn(&Outcome) -> f64| {
                100.0 * median(&|run| of(run) / run.seconds).unwrap_or(0.0)
            };
            line(
                &mut out,
                &format!(
                    "| {scenario} | {server} | {rate:.0} | {} | {:.0}%, {:.0}% | {} | {:.0}%, {:.0}% |",
                    each(&|run| run.cpu_seconds),
                    busy(&|run| run.cpu_seconds),
                    busy(&|run| run.waiting_seconds),
                    each(&|run| run.load_cpu_seconds),
                    busy(&|run| run.load_cpu_seconds),
                    busy(&|run| run.load_waiting_seconds)
                ),
            );
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("memory takes it");
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::process::CpuTime;
    use crate::scenario::Scenario;

    /// Each row: a scenario, a server, and CPU microseconds of each pass; `None` for a pass that failed.
    pub(crate) fn report(rows: &[(&str, &str, &[Option<f64>])]) -> Report {
        let scenario: Scenario = toml::from_str(
            "what = \"x\"\nload = \"echo\"\nconnections = 1\nshows = [\"cpu-us\"]\n",
        )
        .unwrap();
        let scenarios = rows
            .iter()
            .map(|(name, ..)| ((*name).to_owned(), scenario.clone()));
        let mut report = Report::begin(scenarios.collect(), true);
        (report.date, report.commit) = ("today".to_owned(), "c0ffee".to_owned());
        (report.kernel, report.machine) = ("6.1".to_owned(), "1 CPU".to_owned());
        report.congestion_control.clear();
        for (scenario, server, passes) in rows {
            let outcomes = (1..).zip(*passes).map(|(pass, cpu_us)| Outcome {
                scenario: (*scenario).to_owned(),
                server: (*server).to_owned(),
                pass,
                failure: cpu_us.is_none().then(|| "it fell\nover".to_owned()),
                operations: 1_000_000,
                seconds: 10.0,
                cpu_seconds: cpu_us.unwrap_or(0.0),
                load_cpu_seconds: 2.5,
                load_waiting_seconds: 0.1,
                stolen: (pass > 1).then_some(CpuTime {
                    seconds: f64::from(pass) * 0.2,
                    cpus: 2,
                }),
                ..Outcome::default()
            });
            report.outcomes.extend(outcomes);
        }
        report
    }

    #[test]
    fn ratios_are_formed_within_each_pass() {
        let report = report(&[
            ("echo", "ringway", &[Some(8.0), Some(4.0), Some(6.0)]),
            ("echo", "floor", &[Some(10.0), Some(8.0), None]),
        ]);
        let ratio = ratio(
            &report,
            Measure::CpuUs,
            ("echo", "ringway"),
            ("echo", "floor"),
        )
        .unwrap();
        assert_eq!((ratio.least, ratio.most, ratio.passes), (0.5, 0.8, 2));
    }

    #[test]
    fn what_lies_above_is_told_of_each_pair() {
        let report = report(&[
            ("alone", "x", &[Some(8.0), Some(4.0), None, Some(5.0)]),
            (
                "beside",
                "x",
                &[Some(10.0), Some(3.0), Some(9.0), Some(5.5)],
            ),
        ]);
        let told = |upper, lower| above(&report, Measure::CpuUs, "x", upper, lower);
        assert_eq!(told("beside", "alone"), "+0.50 (-1.00 to +2.00 in 3 pairs)");
        assert_eq!(told("beside", "never"), "-");
    }

    #[test]
    fn the_table() {
        let mut report = report(&[
            ("echo", "ringway", &[Some(8.0), Some(4.0), Some(6.0)]),
            ("echo", "floor", &[Some(10.0), Some(5.0), None]),
            ("other", "ringway", &[Some(7.0)]),
        ]);
        report.scenarios.get_mut("other").unwrap().beside = Some("echo".to_owned());
        let text = render(&report);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "c0ffee of today; 1 CPU, Linux 6.1; a network namespace of its own",
                "other processes had a CPU that was wanted for 1% of the time (median run; worst 1%); \
                 the hypervisor took 2% of the time (median run; worst 3%)",
                "3 passes, interleaved; medians, ± half of how far the passes lie apart; ratios are formed within each pass",
                "",
                "| scenario | measure | ringway | floor | ratio |",
                "|---|---|---|---|---|",
                "| echo | CPU us each | 6.00 ±34% | 7.50 ±34%* | 0.80 ±0% |",
                "| other | CPU us each | 7.00 | - | - |",
                "",
                "other beside echo, CPU us each: 0.88",
                "",
                "\\* echo against floor, pass 3: it fell",
                "    over",
            ]
        );
        let load = render_load(&report);
        assert!(
            load.contains("| echo | ringway | 100000 | 6.00 | 60%, 0% | 2.50 | 25%, 1% |"),
            "{load}"
        );
    }
}
