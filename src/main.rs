//! The command `ringway`.

use clap::Parser as _;
use ringway::cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => ringway::serve::serve(&args),
        Command::Check(args) => ringway::check::check(&args),
        Command::Token(args) => ringway::token::token(&args),
        Command::Url(args) => ringway::url::url(&args),
        Command::Reseal(args) => ringway::reseal::reseal(&args),
        Command::Explain { code } => return explain(&code),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ringway: {error}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a command line tool")]
fn explain(code: &str) -> ExitCode {
    let Some(entry) = ringway::codes::explain(code) else {
        eprintln!("ringway: {code} is no code of this version; codes look like RW-2104");
        return ExitCode::from(2);
    };
    println!("{entry}");
    ExitCode::SUCCESS
}
