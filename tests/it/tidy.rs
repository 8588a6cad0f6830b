//! Rules of the tree that no compiler holds: where `unsafe` may stand, how long a file may be, links, codes.
//!
//! Deliberately absent: README's commands, which `readme.test.mjs` runs.

use crate::tree;
use ringway::codes;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Files outside `shards/uring` that may say `unsafe`, each with the reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[];

/// Longer files, each with the reason.
const LONG_ALLOWED: &[(&str, &str)] = &[];
const FILE_LINES_MAX: usize = 1000;

/// Whether a line of code has the word, which lints' names and comments do not count as.
fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let word = |character: char| !character.is_alphanumeric() && character != '_';
    !code.contains('"') && code.split(word).any(|part| part == "unsafe")
}

#[test]
fn unsafe_stands_in_the_driver_only() {
    let allowed: BTreeSet<&str> = UNSAFE_ALLOWED.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<String> = tree::texts(&["rs"])
        .into_iter()
        .filter(|(name, text)| !name.starts_with("shards/uring/") && text.lines().any(says_unsafe))
        .map(|(name, _)| name)
        .collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, allowed);
}

#[test]
fn no_file_is_too_long() {
    let allowed: BTreeSet<&str> = LONG_ALLOWED.iter().map(|(name, _)| *name).collect();
    let kinds = ["rs", "mjs", "js", "ts", "py", "md", "html", "toml"];
    let files = tree::texts(&kinds);
    let long = files
        .iter()
        .filter(|(_, text)| text.lines().count() > FILE_LINES_MAX);
    let long: BTreeSet<&str> = long.map(|(name, _)| name.as_str()).collect();
    assert_eq!(long, allowed);
}

/// The text without fenced blocks, where brackets mean other things.
fn prose(markdown: &str) -> String {
    let outside = markdown.split("```").step_by(2);
    outside.collect()
}

/// The targets of a page's links.
fn links(markdown: &str) -> Vec<String> {
    let prose = prose(markdown);
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// A heading's anchor, as code hosts make it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        other => (other.is_alphanumeric() || "-_".contains(other)).then_some(other),
    });
    kept.collect()
}

/// A path without its `.` and `..`.
fn resolved(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(found.pop(), "{} leaves the tree", path.display()),
            Component::CurDir => {}
            part => found.push(part),
        }
    }
    found
}

/// Why a link leads nowhere, if so.
fn dead(page: &str, target: &str) -> Option<String> {
    let (file, wanted) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(page).parent().unwrap_or_else(|| Path::new(""));
    let path = match file {
        "" => Path::new(page).to_owned(),
        file => resolved(&folder.join(file)),
    };
    // What lies here and is ignored by git is not there for anybody else.
    if !tree::files()
        .iter()
        .any(|known| Path::new(known).starts_with(&path))
    {
        return Some(format!("{page}: {target}"));
    }
    let has = |text: String| {
        let prose = prose(&text);
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings.map(anchor).any(|found| found == wanted)
    };
    let lost = !wanted.is_empty() && !has(tree::read(path.to_str().unwrap()));
    lost.then(|| format!("{page}: no heading for {target}"))
}

#[test]
fn links_lead_somewhere() {
    let outside = |target: &str| target.contains("://") || target.starts_with("mailto:");
    let mut checked = 0;
    let mut lost = Vec::new();
    for (page, text) in tree::texts(&["md"]) {
        for target in links(&text).iter().filter(|target| !outside(target)) {
            checked += 1;
            lost.extend(dead(&page, target));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(checked > 3, "only {checked} links found");
}

#[test]
fn a_dead_link_is_seen() {
    assert_eq!(
        links("[a](b.md) ```\n[c](d)\n``` [e](f#g)"),
        ["b.md", "f#g"]
    );
    assert_eq!(dead("README.md", "ARCHITECTURE.md#invariants"), None);
    assert!(dead("README.md", "ARCHITECTURE.md#no-such-part").is_some());
    assert!(dead("docs/operating.md", "README.md").is_some());
}

/// `RW-` and four digits, wherever they stand in a text.
fn codes_in(text: &str) -> impl Iterator<Item = &str> {
    let places = text.match_indices("RW-").map(|(at, _)| at);
    places.filter_map(|at| {
        let code = text.get(at..at + 7)?;
        code[3..]
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(code)
    })
}

/// What tests ask for in order to be refused.
const NO_CODE: &str = "RW-9999";

#[test]
fn codes_are_in_the_catalogue_and_used() {
    let catalogue: Vec<&str> = codes::CATALOGUE.iter().map(|entry| entry.code).collect();
    assert!(catalogue.is_sorted_by(|a, b| a < b), "{catalogue:?}");
    let texts = tree::texts(&["rs", "md", "mjs", "js", "toml", "html"]);
    let named = |source: bool| -> BTreeSet<&str> {
        let files = texts.iter().filter(|(name, _)| {
            name != "src/codes.rs"
                && (!source || name.ends_with(".rs") && !name.starts_with("tests"))
        });
        files.flat_map(|(_, text)| codes_in(text)).collect()
    };
    let listed: BTreeSet<&str> = catalogue.iter().copied().collect();
    let mut mentioned = named(false);
    mentioned.remove(NO_CODE);
    let unknown: Vec<_> = mentioned.difference(&listed).collect();
    assert!(unknown.is_empty(), "not in src/codes.rs: {unknown:?}");
    let source = named(true);
    let unused: Vec<_> = listed.difference(&source).collect();
    assert!(
        unused.is_empty(),
        "in src/codes.rs, used nowhere: {unused:?}"
    );
}
