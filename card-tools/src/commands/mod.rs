//! One file for each command.

mod batch;
mod delete;
mod doctor;
mod info;
mod install;
mod list;
mod lock_info;
mod pin;
mod provision;
mod readers;
mod terminal;
mod terminate;

use clap::CommandFactory;

use crate::cli::{Args, Command, Pin, Terminal};
use crate::error::ToolError;
use crate::output::Output;

/// Runs the command.
pub fn run(args: &Args, out: &Output) -> Result<(), ToolError> {
    let reader = args.reader.as_deref();
    match &args.command {
        Command::Readers => readers::run(out),
        Command::Info { pin, pin_fd } => info::run(reader, *pin || pin_fd.is_some(), *pin_fd, out),
        Command::Install(i) => install::run(reader, i, out),
        Command::Delete(d) => delete::run(reader, d, out),
        Command::List { keys } => list::run(reader, keys, out),
        Command::LockInfo { kvn } => lock_info::run(reader, *kvn, out),
        Command::Provision(p) if p.batch.is_some() => batch::run(reader, p, out),
        Command::Provision(p) => provision::run(reader, p, out),
        Command::Pin(Pin::Change {
            pin_fd,
            new_pin_fd,
            puk_fd,
        }) => pin::change(reader, *pin_fd, *new_pin_fd, *puk_fd, out),
        Command::Pin(Pin::Unblock { puk_fd, new_pin_fd }) => {
            pin::unblock(reader, *puk_fd, *new_pin_fd, out)
        }
        Command::Terminal(Terminal::List { pin_fd }) => terminal::list(reader, *pin_fd, out),
        Command::Terminal(Terminal::Remove { terminal, pin_fd }) => {
            terminal::remove(reader, terminal, *pin_fd, out)
        }
        Command::Terminate {
            destroy_keys,
            puk_fd,
        } => terminate::run(reader, *destroy_keys, *puk_fd, out),
        Command::Doctor { pin, pin_fd } => {
            doctor::run(reader, *pin || pin_fd.is_some(), *pin_fd, out)
        }
        Command::Completions { shell } => {
            clap_complete::generate(
                *shell,
                &mut Args::command(),
                "simsync-card",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}
