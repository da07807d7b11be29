//! simsync-card: prepares, shows and manages cards.
#![forbid(unsafe_code)]

mod batch;
mod card_pin;
mod cli;
mod commands;
mod dialogue;
mod error;
mod files;
mod issue;
mod keys;
mod letter;
#[cfg(test)]
mod man;
mod output;
mod reader;
mod registrar;
mod secrets;
mod trace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    let level = match args.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug,apdu=trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(|| simsync_shell::VisibleLines(std::io::stderr()))
        .with_ansi(false)
        .without_time()
        .init();
    let output = output::Output::new(args.json);
    match commands::run(&args, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            output.failure(&e);
            ExitCode::from(e.exit_code())
        }
    }
}
