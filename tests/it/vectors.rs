//! Every vector file is replayed somewhere, says which requirement each vector is about, and is not empty.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tests that replay vectors; a file that none of them names is dead.
const REPLAYS: [&str; 7] = [
    "src/service/files/tests.rs",
    "src/proto/tests/files.rs",
    "src/proto/tests/link.rs",
    "src/proto/tests/vectors.rs",
    "src/service/hub/tests/vectors.rs",
    "src/service/session/sid.rs",
    "src/streams/tests/vectors.rs",
];

#[test]
fn every_vector_file_is_replayed() {
    let sources = REPLAYS.map(|path| fs::read_to_string(root().join(path)).unwrap());
    let files = fs::read_dir(root().join("tests/vectors")).unwrap();
    let mut replayed = 0;
    for path in files.map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (macro_call, include) = (
            format!("vectors!(\"{name}\")"),
            format!("vectors/{name}.json\""),
        );
        let named = |source: &String| source.contains(&macro_call) || source.contains(&include);
        assert!(
            sources.iter().any(named),
            "{name}.json is replayed by nobody"
        );
        check_names(name, &fs::read_to_string(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed > 10, "{replayed} files");
}

fn check_names(file: &str, text: &str) {
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    let names: BTreeSet<&str> = vectors
        .iter()
        .map(|vector| vector["name"].as_str().unwrap())
        .collect();
    assert!(!names.is_empty(), "{file}.json is empty");
    assert_eq!(
        names.len(),
        vectors.len(),
        "{file}.json: two vectors of one name"
    );
    for vector in &vectors {
        assert!(
            !vector["expect"].is_null(),
            "{file}.json: {}",
            vector["name"]
        );
    }
}
