//! Two results beside each other: only what differs by more than the noise of both.

use crate::outcome::{Outcome, Report};
use crate::spread::Spread;
use crate::table;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Passes below which nobody knows how far passes lie apart.
const PASSES_MIN: usize = 2;

/// What differs, for people.
pub(crate) fn render(before: &Report, after: &Report) -> String {
    let warnings = warnings(before, after);
    let left_out = left_out(before, after);
    let (before, after) = (&before.whole(), &after.whole());
    let (mut out, mut compared, mut skipped) = (String::new(), 0, 0);
    for (scenario, measure, what, old, new) in pairs(before, after) {
        if old.passes.min(new.passes) < PASSES_MIN {
            skipped += 1;
            continue;
        }
        compared += 1;
        if !old.is_apart_from(new) {
            continue;
        }
        let change = match old.median {
            0.0 => String::from("-"),
            median => format!("{:+.0}%", (new.median / median - 1.0) * 100.0),
        };
        writeln!(
            out,
            "| {scenario} | {measure} | {what} | {old} | {new} | {change} |"
        )
        .expect("memory takes it");
    }
    let head = format!(
        "| scenario | measure | of | {} | {} | change |\n|---|---|---|---|---|---|\n",
        before.commit, after.commit
    );
    let differ = out.lines().count();
    let table = if differ > 0 {
        format!("{head}{out}\n")
    } else {
        String::new()
    };
    let skipped = match skipped {
        0 => String::new(),
        count => format!(" {count} were left out: a noise band wants two passes of each."),
    };
    format!(
        "{warnings}{table}{differ} of {compared} numbers differ by more than both results' noise.{skipped}\n{left_out}"
    )
}

/// Whether Ringway has, in the second result, done whole whatever was tried.
pub(crate) fn is_good(after: &Report) -> bool {
    after
        .outcomes
        .iter()
        .all(|run| !run.is_ours() || run.is_whole())
}

/// What cannot be compared, by name: what was measured once, and runs that were not whole. A line each.
fn left_out(before: &Report, after: &Report) -> String {
    let runs = before.outcomes.iter().chain(&after.outcomes);
    let names: BTreeSet<(&str, &str)> = runs.map(|run| (&*run.scenario, &*run.server)).collect();
    let mut text = String::new();
    for (scenario, server) in names {
        for (report, other) in [(before, after), (after, before)] {
            let runs = report.runs(scenario, server).count();
            let problems: Vec<String> = report
                .runs(scenario, server)
                .filter_map(Outcome::problem)
                .collect();
            let line = match problems.first() {
                _ if runs == 0 => format!(
                    "{server} in {scenario} was measured in {} alone",
                    other.commit
                ),
                Some(first) => {
                    let count = problems.len();
                    let commit = &report.commit;
                    format!(
                        "{server} in {scenario}: {count} of {runs} runs of {commit} do not count: {first}"
                    )
                }
                None => continue,
            };
            writeln!(text, "{line}").expect("memory takes it");
        }
    }
    text
}

/// What was not the same for both, so that a difference may be due to it: a line each, and an empty one.
fn warnings(before: &Report, after: &Report) -> String {
    let conditions = [
        ("machine", before.machine.clone(), after.machine.clone()),
        ("kernel", before.kernel.clone(), after.kernel.clone()),
        ("network", before.network(), after.network()),
    ];
    let differ = conditions.into_iter().filter(|(_, old, new)| old != new);
    let conditions = differ.map(|(what, old, new)| format!("the {what} was {old} and is {new}"));
    let scenarios = before.scenarios.iter().filter(|(name, old)| {
        let new = after.scenarios.get(*name);
        new.is_some_and(|new| !new.does_the_same(old))
    });
    let scenarios = scenarios.map(|(name, _)| format!("scenario {name} is defined differently"));
    let mut text = String::new();
    for warning in conditions.chain(scenarios) {
        writeln!(text, "warning: {warning}").expect("memory takes it");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

type Pair<'a> = (&'a str, &'static str, String, Spread, Spread);

/// What both have: the reference's own numbers, and its ratios, which move less with the machine.
fn pairs<'a>(before: &'a Report, after: &'a Report) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for (name, scenario) in &after.scenarios {
        let servers = after.servers_of(name);
        let Some((ours, peers)) = servers.split_first() else {
            continue;
        };
        for measure in &scenario.shows {
            let own = |report| table::spread(report, name, ours, *measure);
            let mut push = |what: String, old: Option<Spread>, new: Option<Spread>| {
                pairs.extend(
                    old.zip(new)
                        .map(|(old, new)| (&**name, measure.name(), what, old, new)),
                );
            };
            push((*ours).to_owned(), own(before), own(after));
            for peer in peers {
                let ratio = |report| table::ratio(report, *measure, (name, ours), (name, peer));
                push(format!("{ours}/{peer}"), ratio(before), ratio(after));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::report;

    #[test]
    fn only_what_exceeds_the_noise_is_reported() {
        let before = report(&[
            ("echo", "ringway", &[Some(8.0), Some(8.2), Some(8.4)]),
            ("echo", "floor", &[Some(8.0), Some(8.2), Some(8.4)]),
            ("rooms", "ringway", &[Some(5.0), Some(6.0)]),
            ("once", "ringway", &[Some(5.0)]),
        ]);
        let mut after = report(&[
            ("echo", "ringway", &[Some(6.0), Some(6.1), Some(6.2)]),
            ("echo", "floor", &[Some(8.0), Some(8.2), Some(8.4)]),
            ("rooms", "ringway", &[Some(5.0), Some(5.2)]),
            ("once", "ringway", &[Some(9.0)]),
            ("new", "ringway", &[Some(9.0), Some(9.0)]),
        ]);
        after.commit = "decade".to_owned();
        let text = render(&before, &after);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "| scenario | measure | of | c0ffee | decade | change |",
                "|---|---|---|---|---|---|",
                "| echo | CPU us each | ringway | 8.20 ±3% | 6.10 ±2% | -26% |",
                "| echo | CPU us each | ringway/floor | 1.00 ±0% | 0.74 ±1% | -26% |",
                "",
                "2 of 3 numbers differ by more than both results' noise. 1 were left out: a noise band wants two passes of each.",
                "ringway in new was measured in decade alone",
            ]
        );
        let same = render(&before, &before);
        assert!(same.starts_with("0 of 3 numbers differ"), "{same}");
    }

    #[test]
    fn what_was_not_the_same_is_told() {
        let before = report(&[
            ("echo", "ringway", &[Some(8.0), Some(8.2)]),
            ("rooms", "ringway", &[Some(8.0), Some(8.2)]),
        ]);
        assert_eq!(warnings(&before, &before), "");
        let mut after = before.clone();
        (after.machine, after.kernel) = ("2 CPUs".to_owned(), "6.18".to_owned());
        after.has_own_network = false;
        after.scenarios.get_mut("echo").unwrap().payload_bytes = 128;
        // How it is described and shown is not what is done.
        after.scenarios.get_mut("rooms").unwrap().what = "y".to_owned();
        after.scenarios.get_mut("rooms").unwrap().shows.clear();
        let lines = [
            "warning: the machine was 1 CPU and is 2 CPUs",
            "warning: the kernel was 6.1 and is 6.18",
            "warning: the network was a network namespace of its own and is the machine's network",
            "warning: scenario echo is defined differently",
        ];
        assert_eq!(
            warnings(&before, &after),
            format!("{}\n\n", lines.join("\n"))
        );
        assert!(render(&before, &after).starts_with(lines[0]));
    }

    #[test]
    fn runs_that_are_not_whole_do_not_count() {
        let before = report(&[("echo", "ringway", &[Some(8.0), Some(8.2), Some(8.4)])]);
        let mut after = report(&[("echo", "ringway", &[Some(8.0), Some(8.2), Some(1.0), None])]);
        after.outcomes[2].missing = 1;
        assert_eq!(
            render(&before, &after),
            "0 of 1 numbers differ by more than both results' noise.\n\
             ringway in echo: 2 of 4 runs of c0ffee do not count: 0 refused, 0 out of order, 1 missing\n"
        );
        assert!(is_good(&before) && !is_good(&after));
    }

    /// A server that fails altogether has no numbers left that could differ.
    #[test]
    fn who_fails_is_named() {
        let before = report(&[
            ("rooms", "ringway", &[Some(8.0), Some(8.2)]),
            ("rooms", "floor", &[Some(8.0), Some(8.2)]),
        ]);
        let mut after = report(&[
            ("rooms", "ringway", &[None, None]),
            ("rooms", "floor", &[None, Some(8.2)]),
        ]);
        after.outcomes.truncate(3);
        after.outcomes[2].failure = Some("it is gone".to_owned());
        let text = render(&before, &after);
        assert!(text.contains("ringway in rooms: 2 of 2 runs"), "{text}");
        assert!(
            text.contains("floor in rooms: 1 of 1 runs of c0ffee do not count: it is gone"),
            "{text}"
        );
        assert!(!is_good(&after));
        after.outcomes.drain(..2);
        let text = render(&before, &after);
        assert!(
            text.contains("ringway in rooms was measured in c0ffee alone"),
            "{text}"
        );
        assert!(is_good(&after), "a peer may fail");
    }
}
