//! The tables of docs/operating.md: every metric as the page renders it, every key of the configuration as `src/config.rs` has it.
//!
//! `RINGWAY_TEST_UPDATE=1 cargo test --test it` writes them anew.

use crate::tree;
use ringway::config::{Config, FileRoot};
use ringway::metrics::{Metrics, Published};
use ringway_runtime::LoopStats;
use ringway_service::stats::{DropReason, Stats};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use toml::{Table, Value};

const PAGE: &str = "docs/operating.md";

#[test]
fn tables_are_up_to_date() {
    let page = tree::read(PAGE);
    let page = with_table(&page, "metrics", &metrics_table());
    let page = with_table(&page, "configuration", &configuration_table());
    tree::check_file(PAGE, &page);
}

/// The page with another table between the two comments of that name.
fn with_table(page: &str, name: &str, table: &str) -> String {
    let (from, to) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&from).expect("the first comment");
    let (_, after) = rest.split_once(&to).expect("the last comment");
    format!("{before}{from}{table}{to}{after}")
}

/// Every metric: its type and what its HELP says.
fn metrics() -> BTreeMap<String, (String, String)> {
    let mut stats = Stats::default();
    stats.delivery_latency.record(1);
    let mut laps = LoopStats::default();
    laps.lap_us[0] = 1;
    let published = [Published::default()];
    published[0].publish(&stats, &laps);
    let mut metrics: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in Metrics::default().render(&published).lines() {
        let described = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '));
        let typed = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '));
        if let Some((name, help)) = described {
            metrics.entry(name.to_owned()).or_default().1 = help.to_owned();
        }
        if let Some((name, kind)) = typed {
            metrics.entry(name.to_owned()).or_default().0 = kind.to_owned();
        }
    }
    metrics
}

fn metrics_table() -> String {
    let mut table = "| metric | type | what it counts |\n|---|---|---|\n".to_owned();
    for (name, (kind, help)) in metrics() {
        assert!(
            !kind.is_empty() && !help.is_empty(),
            "{name} lacks TYPE or HELP"
        );
        writeln!(table, "| `{name}` | {kind} | {help} |").unwrap();
    }
    table
}

/// The words of a text that look like a metric's name.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_alphanumeric() && character != '_');
    let names = words.filter(|word| word.starts_with("ringway_"));
    names.map(str::to_owned).collect()
}

/// Every metric that the source names is rendered, and explained to operators; so is every reason of a drop.
#[test]
fn pages_name_all_metrics() {
    let source = tree::read("src/metrics.rs");
    let (source, _) = source.split_once("#[cfg(test)]").unwrap();
    let strings: String = source
        .split('"')
        .skip(1)
        .step_by(2)
        .collect::<Vec<_>>()
        .join(" ");
    let (sought, page) = (names_in(&strings), tree::read(PAGE));
    assert!(sought.len() > 30, "only {sought:?} found");
    assert_eq!(
        sought,
        metrics().into_keys().collect(),
        "the page of metrics"
    );
    let missing: Vec<_> = sought.difference(&names_in(&page)).cloned().collect();
    assert!(missing.is_empty(), "not in {PAGE}: {missing:?}");
    for reason in DropReason::ALL.map(|reason| format!("| `{}` |", reason.name())) {
        assert!(page.contains(&reason), "not in {PAGE}: {reason}");
    }
}

/// A metric that a page names must be there; a histogram also has these.
#[test]
fn pages_name_no_other_metrics() {
    let known = metrics();
    let pages = ["README.md", "ARCHITECTURE.md", PAGE];
    let named: BTreeSet<String> = pages
        .iter()
        .flat_map(|page| names_in(&tree::read(page)))
        .collect();
    let base = |name: &str| {
        let suffixes = ["_bucket", "_sum", "_count"];
        let cut = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        cut.unwrap_or(name).to_owned()
    };
    let unknown: Vec<&String> = named
        .iter()
        .filter(|name| !known.contains_key(*name) && !known.contains_key(&base(name)))
        .collect();
    assert!(unknown.is_empty(), "no such metric: {unknown:?}");
}

/// A field of one of the configuration's structs, as the source has it.
struct Field {
    name: String,
    of_type: String,
    meaning: String,
}

/// A struct: what it means, and its fields.
#[derive(Default)]
struct Section {
    meaning: String,
    fields: Vec<Field>,
}

/// The structs of `src/config.rs` by name: `pub struct Name {` or, inside `section!`, `Name {`.
fn sections() -> BTreeMap<String, Section> {
    let source = tree::read("src/config.rs");
    let (source, _) = source.split_once("\nimpl Config {").unwrap();
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let (mut docs, mut current) = (Vec::new(), String::new());
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            docs.push(text.to_owned());
            continue;
        }
        if line.starts_with("#[") {
            continue;
        }
        let meaning = docs.join(" ");
        docs.clear();
        let (opened, field) = (struct_name(line), field(line));
        if let Some(name) = opened {
            current = name.to_owned();
            sections.entry(current.clone()).or_default().meaning = meaning;
        } else if let Some((name, of_type)) = field {
            let (name, of_type) = (name.to_owned(), of_type.to_owned());
            let field = Field {
                name,
                of_type,
                meaning,
            };
            sections
                .entry(current.clone())
                .or_default()
                .fields
                .push(field);
        }
    }
    sections
}

fn struct_name(line: &str) -> Option<&str> {
    let name = line.strip_suffix(" {")?;
    let name = name.strip_prefix("pub struct ").unwrap_or(name);
    let is_name = |character: char| character.is_alphanumeric();
    (name.starts_with(|first: char| first.is_uppercase()) && name.chars().all(is_name))
        .then_some(name)
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_suffix(',')?.split_once(": ")?;
    let name = name.strip_prefix("pub ").unwrap_or(name);
    let (of_type, _) = rest.split_once(" = ").unwrap_or((rest, ""));
    let is_name = |character: char| character.is_ascii_lowercase() || character == '_';
    name.chars().all(is_name).then_some((name, of_type))
}

/// The struct that a list holds.
fn listed(of_type: &str) -> Option<&str> {
    of_type.strip_prefix("Vec<")?.strip_suffix('>')
}

fn configuration_table() -> String {
    let Value::Table(defaults) = Value::try_from(Config::default()).unwrap() else {
        unreachable!("a struct is a table")
    };
    let sections = sections();
    let mut table = "| key | default | meaning |\n|---|---|---|\n".to_owned();
    for top in &sections["Config"].fields {
        let Some(section) = sections.get(&top.of_type) else {
            row(
                &mut table,
                &top.name,
                &default(&defaults, &top.name),
                &top.meaning,
            );
            continue;
        };
        writeln!(table, "| **{}** | | {} |", top.name, section.meaning).unwrap();
        let inner = defaults[&top.name].as_table().unwrap();
        let described: BTreeSet<&str> = section
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        assert!(
            inner.keys().all(|key| described.contains(key.as_str())),
            "{inner:?}"
        );
        for field in &section.fields {
            let key = format!("{}.{}", top.name, field.name);
            row(
                &mut table,
                &key,
                &default(inner, &field.name),
                &field.meaning,
            );
            let name = listed(&field.of_type);
            let least = name.and_then(least);
            let each = name.and_then(|name| sections.get(name));
            for part in each.map_or(&[][..], |section| &section.fields) {
                row(
                    &mut table,
                    &format!("{key}[].{}", part.name),
                    &default_of_part(least.as_ref(), part),
                    &part.meaning,
                );
            }
        }
    }
    table
}

/// An element of a list of that name as it is when no more is said of it than must be.
fn least(name: &str) -> Option<Table> {
    (name == "FileRoot").then(|| {
        let root: FileRoot = toml::from_str("directory = \"\"").unwrap();
        Table::try_from(root).unwrap()
    })
}

fn default_of_part(least: Option<&Table>, part: &Field) -> String {
    let known = least.and_then(|least| least.get(&part.name));
    match known.filter(|value| value.as_str() != Some("")) {
        Some(value) => format!("`{value}`"),
        None if part.of_type.starts_with("Option<") => "none".to_owned(),
        None => "to be given".to_owned(),
    }
}

fn default(table: &Table, key: &str) -> String {
    table
        .get(key)
        .map_or_else(|| "none".to_owned(), |value| format!("`{value}`"))
}

fn row(table: &mut String, key: &str, default: &str, meaning: &str) {
    assert!(!meaning.is_empty(), "{key} has no meaning");
    writeln!(table, "| `{key}` | {default} | {meaning} |").unwrap();
}
