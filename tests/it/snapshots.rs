//! What people read at the command line, word for word: `--help`, refused configurations, the table of `check`, an explanation.
//!
//! Each transcript is a file under `tests/it/snapshots`; `RINGWAY_TEST_UPDATE=1 cargo test --test it` writes them anew.

use crate::tree;
use std::fs;
use std::process::Command;

/// Runs the binary with each line of arguments and gives the transcript.
fn transcript(lines: &[&str]) -> String {
    let runs = lines.iter().map(|line| run(line));
    runs.collect::<Vec<_>>().join("\n")
}

/// One command line, its answer and its exit status; arguments have no spaces in them.
fn run(line: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(line.split(' '))
        .env_clear()
        .current_dir(tree::root())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (answer, complaint) = (text(output.stdout), text(output.stderr));
    let status = output.status.code().unwrap();
    format!("$ ringway {line}\n{answer}{complaint}[{status}]\n")
}

/// The host's figures become placeholders in answers, codes stay: `8388608 of 67108864 bytes` is `N of N bytes`.
fn without_figures(transcript: &str) -> String {
    let is_answer = |line: &str| !line.starts_with(['$', '[']);
    let word = |word: &str| match word.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !word.is_empty() => "N".to_owned(),
        _ => word.to_owned(),
    };
    let lines = transcript.split('\n').map(|line| match is_answer(line) {
        true => line.split(' ').map(word).collect::<Vec<_>>().join(" "),
        false => line.to_owned(),
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.replace("N bytes, unlimited", "N of N bytes")
}

#[track_caller]
fn check(name: &str, found: &str) {
    tree::check_file(&format!("tests/it/snapshots/{name}.txt"), found);
}

#[test]
fn help() {
    let lines = [
        "--help",
        "serve --help",
        "check --help",
        "token --help",
        "explain --help",
    ];
    check("help", &transcript(&lines));
}

#[test]
fn refused_configurations() {
    let lines = [
        "check --config tests/it/snapshots/no-such-file.toml",
        "check --config tests/it/snapshots/unclosed.toml",
        "check --set engin.path=/x",
        "check --set engine.ping_intervall_ms=9",
        "check --set engine.ping_interval_ms=soon",
        "check --set log.format=xml",
        "check --set listen.address=localhost",
        "check --set limits.namespaces_max=70000",
        "check --set dev",
        "serve --dev --set engine.path=socket.io",
        "serve --dev --set proxies.trusted=[\"10.0.0.0/33\"]",
        "serve --dev --shards 65",
        "serve",
        "token --subject anna",
        "explain RW-9999",
    ];
    check("refused_configurations", &transcript(&lines));
}

#[test]
fn explanation() {
    check(
        "explain",
        &transcript(&["explain RW-1004", "explain rw-2104"]),
    );
}

/// The table's shape: which rows there are, and how a refused one reads; its figures are the host's.
#[test]
fn check_table() {
    let lines = [
        "check --set dev=true --set shards.count=2 --set shards.connections_max=500",
        "check --set shards.count=2 --set shards.connections_max=500",
        "check --set dev=true --set shards.count=2 --set shards.connections_max=4000000",
    ];
    check("check", &without_figures(&transcript(&lines)));
}

#[test]
fn every_snapshot_is_of_a_test() {
    let folder = fs::read_dir(tree::root().join("tests/it/snapshots")).unwrap();
    let mut names: Vec<String> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "check.txt",
            "explain.txt",
            "help.txt",
            "refused_configurations.txt",
            "unclosed.toml"
        ]
    );
}
