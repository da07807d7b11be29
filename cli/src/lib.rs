//! The `simsync` command line: one file per command, over the D-Bus API of simsyncd.
#![forbid(unsafe_code)]

pub mod agent;
pub mod args;
pub mod client;
pub mod commands;
pub mod exit;
pub mod failure;
pub mod job;
pub mod output;
pub mod properties;
pub mod questions;
pub mod run;
pub mod secrets;
pub mod snapshot;
pub mod word;

use simsync_codes::Code;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use args::{Cli, Command};
use exit::Exit;
use failure::Failure;
use output::Output;

/// How long a thread that waits for a person may take to notice that nobody waits for it.
const THREADS: Duration = Duration::from_secs(1);

/// The command of this process, from its arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes; both kinds print themselves.
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            return ExitCode::from(exit as u8);
        }
    };
    let command = cli
        .command
        .unwrap_or_else(|| Command::Status(args::StatusArgs::default()));
    let output = Output::new(command.name(), cli.common.json);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(commands::run(&cli.common, command, &output));
            runtime.shutdown_timeout(THREADS);
            result
        }
        Err(e) => Err(Failure::new(Code::Failed, format!("it cannot start: {e}"))),
    };
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit() as u8)
        }
    }
}
