//! Refusals to start name the cause and the remedy.

use std::net::TcpListener;
use std::process::{Command, Output};

fn ringway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(args)
        .env_remove("RINGWAY_DEV")
        .output()
        .unwrap()
}

/// The binary ends with 2 and says this.
#[track_caller]
fn check_refused(args: &[&str], says: &[&str]) {
    let output = ringway(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn no_auth_method() {
    check_refused(&["serve"], &["RW-1010", "auth.keys", "--dev"]);
}

#[test]
fn an_unknown_key() {
    check_refused(
        &["serve", "--dev", "--set", "engine.pingg=1"],
        &["RW-1008", "pingg"],
    );
}

#[test]
fn a_port_that_is_taken() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    check_refused(
        &[
            "serve",
            "--dev",
            "--listen",
            &address,
            "--admin",
            "127.0.0.1:0",
        ],
        &["RW-1006", &address, "--listen"],
    );
    check_refused(
        &[
            "serve",
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            &address,
        ],
        &["RW-1006", &address],
    );
}

#[test]
fn a_key_file_that_is_not_there() {
    let key = r#"auth.keys=[{id="a",algorithm="HS256",file="/no/such/file"}]"#;
    check_refused(&["serve", "--set", key], &["RW-1007", "/no/such/file"]);
}

#[test]
fn a_configuration_file_that_is_not_there() {
    check_refused(
        &["serve", "--config", "/no/such/file.toml"],
        &["RW-1011", "/no/such/file.toml"],
    );
}

#[test]
fn more_descriptors_than_the_limit() {
    check_refused(
        &["serve", "--dev", "--set", "shards.connections_max=4000000"],
        &["RW-1005", "LimitNOFILE"],
    );
}

#[test]
fn more_shards_than_there_may_be() {
    check_refused(&["serve", "--dev", "--shards", "65"], &["RW-1009", "64"]);
}

#[test]
fn explain_knows_its_codes() {
    let output = ringway(&["explain", "rw-2104"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("algorithm"));
    check_refused(&["explain", "RW-9999"], &["RW-9999"]);
}

#[test]
fn check_prints_a_table() {
    let output = ringway(&["check", "--set", "dev=true"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for row in ["io_uring", "memlock", "descriptors", "shards"] {
        assert!(text.contains(row), "{text}");
    }
}
