//! Which of our crates may use which: a new arrow is a design change.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// What each crate may depend on, ours only, development included.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "ringway",
        &[
            "ringway-io",
            "ringway-runtime",
            "ringway-service",
            "ringway-uring",
            // Its simulated workers speak the link's protocol; nothing of `src/*.rs` does.
            "ringway-proto",
            "ringway-sim",
            // Its simulated clients decode what they get; nothing of `src/*.rs` does.
            "ringway-streams",
        ],
    ),
    // Knows its servers by their ports only: what it says of Ringway it says of any server.
    ("ringway-bench", &[]),
    // Calls every parser that there is, so it sees all that have one; nothing may depend on it.
    (
        "ringway-fuzz-targets",
        &[
            "ringway",
            "ringway-proto",
            "ringway-service",
            "ringway-streams",
        ],
    ),
    ("ringway-io", &[]),
    // Calls the hot functions, each alone, with the daemon's default settings; nothing may depend on it.
    (
        "ringway-micro",
        &["ringway", "ringway-proto", "ringway-service"],
    ),
    ("ringway-proto", &[]),
    ("ringway-runtime", &["ringway-io"]),
    // Files are compressed by its stages.
    ("ringway-service", &["ringway-proto", "ringway-streams"]),
    ("ringway-sim", &["ringway-io"]),
    // Another program uses it, too, and without the rest of the daemon.
    ("ringway-streams", &[]),
    ("ringway-uring", &["ringway-io"]),
];

#[test]
fn arrows_between_our_crates() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let dependencies = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|dependency| dependency["name"].as_str());
        let ours: Vec<&str> = dependencies
            .filter(|name| name.starts_with("ringway"))
            .collect();
        found.insert(package["name"].as_str().unwrap(), ours);
    }
    let allowed: BTreeMap<&str, Vec<&str>> = ALLOWED
        .iter()
        .map(|(name, ours)| (*name, ours.to_vec()))
        .collect();
    assert_eq!(found, allowed);
}
