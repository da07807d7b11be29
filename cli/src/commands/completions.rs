//! `simsync completions`

use clap::CommandFactory;
use simsync_codes::Code;

use crate::args::{Cli, CompletionsArgs};
use crate::failure::{Failure, Outcome};

/// Prints completions for a shell.
pub fn run(args: &CompletionsArgs) -> Outcome<()> {
    use std::io::Write;
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "simsync", &mut text);
    std::io::stdout()
        .write_all(&text)
        .map_err(|e| Failure::new(Code::Failed, format!("cannot print: {e}")))
}
