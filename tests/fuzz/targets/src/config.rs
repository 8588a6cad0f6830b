//! The daemon's configuration: any text is taken or refused by its code; what is taken is written and read back as itself.

use crate::input::{Input, text_of};
use ringway::config::Config;
use ringway::settings::settings;
use std::path::PathBuf;

const CODES: [&str; 5] = ["RW-1007", "RW-1008", "RW-1009", "RW-1010", "RW-1011"];

/// Overrides, one a line, up to an empty line; then the file.
pub fn config(data: &[u8]) {
    let text = text_of(Input::new(data).rest());
    let (overrides, file) = text.split_once("\n\n").unwrap_or(("", text));
    let overrides: Vec<String> = overrides.lines().map(str::to_owned).collect();
    let variables = overrides.iter().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.to_ascii_uppercase().replace('.', "__");
        Some((format!("RINGWAY_{name}"), value.to_owned()))
    });
    let loaded = load(Some(file), Vec::new().into_iter(), &overrides);
    let _ = load(None, variables, &[]);
    let Some(config) = loaded else { return };
    let written = toml::to_string(&config).expect("a configuration is TOML");
    let again = load(Some(&written), Vec::new().into_iter(), &[]);
    assert_eq!(again, Some(config.clone()), "{written}");
    // Key files would be read, whatever they are; `--dev` reads the demo page's script.
    if config.auth.keys.is_empty() && !config.dev {
        let error = settings(&config)
            .err()
            .expect("without keys nobody may come in");
        assert!(CODES.contains(&error.code), "{error}");
    }
}

fn load(
    file: Option<&str>,
    variables: impl Iterator<Item = (String, String)>,
    overrides: &[String],
) -> Option<Config> {
    let path = file.map(|text| {
        let path = path();
        std::fs::write(&path, text).expect("the temporary folder takes a file");
        path
    });
    match Config::load(path.as_deref(), variables, overrides) {
        Ok(config) => Some(config),
        Err(error) => {
            assert!(CODES.contains(&error.code), "{error}");
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// One file per process: a target runs in one thread.
fn path() -> PathBuf {
    std::env::temp_dir().join(format!("ringway-fuzz-{}.toml", std::process::id()))
}
