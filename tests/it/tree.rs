//! The tree as git knows it, for the tests that hold it together.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that is, or is about to be, part of the repository, with its path from the root.
pub(crate) fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "these tests need a git checkout");
    let names = String::from_utf8(listed.stdout).unwrap();
    let names = names.lines().filter(|name| root().join(name).is_file());
    names.map(str::to_owned).collect()
}

/// The files of these kinds, with their text.
pub(crate) fn texts(extensions: &[&str]) -> Vec<(String, String)> {
    let wanted = |name: &String| {
        let extension = Path::new(name).extension();
        extension.is_some_and(|found| extensions.iter().any(|wanted| found == *wanted))
    };
    let names = files().into_iter().filter(wanted);
    names.map(|name| (name.clone(), read(&name))).collect()
}

/// One file's text.
pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `found` must be what the file holds; with `RINGWAY_TEST_UPDATE=1` the file is made so instead.
#[track_caller]
pub(crate) fn check_file(name: &str, found: &str) {
    let path: PathBuf = root().join(name);
    if std::env::var_os("RINGWAY_TEST_UPDATE").is_some() {
        fs::write(path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let (mut theirs, mut ours) = (expected.lines(), found.lines());
    loop {
        let (line, wanted) = (theirs.next(), ours.next());
        assert_eq!(
            line, wanted,
            "{name} is not up to date (RINGWAY_TEST_UPDATE=1 cargo test --test it writes it anew)"
        );
        if line.is_none() {
            return;
        }
    }
}
