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

use crate::card_pin::Manner;
use crate::cli::{Args, Command, Pin, Terminal};
use crate::error::ToolError;
use crate::output::Output;
use crate::reader::Place;

/// Runs the command.
pub fn run(args: &Args, out: &Output) -> Result<(), ToolError> {
    let place = match &args.modem {
        Some(device) => Place::Modem(device),
        None => Place::Reader(args.reader.as_deref()),
    };
    let manner = |fd: &Option<i32>| Manner {
        fd: *fd,
        pad: !args.no_pin_pad,
    };
    match &args.command {
        Command::Readers => place.reader().and_then(|_| readers::run(out)),
        Command::Info { pin, pin_fd } => {
            info::run(place, *pin || pin_fd.is_some(), manner(pin_fd), out)
        }
        Command::Install(i) => install::run(place.reader()?, i, out),
        Command::Delete(d) => delete::run(place.reader()?, d, out),
        Command::List { keys } => list::run(place.reader()?, keys, out),
        Command::LockInfo { kvn } => lock_info::run(place.reader()?, *kvn, out),
        Command::Provision(p) if p.batch.is_some() => batch::run(place.reader()?, p, out),
        Command::Provision(p) => provision::run(place.reader()?, p, out),
        Command::Pin(Pin::Change {
            pin_fd,
            new_pin_fd,
            puk_fd,
        }) => pin::change(place, manner(pin_fd), *new_pin_fd, *puk_fd, out),
        Command::Pin(Pin::Unblock { puk_fd, new_pin_fd }) => {
            pin::unblock(place, *puk_fd, *new_pin_fd, out)
        }
        Command::Terminal(Terminal::List { pin_fd }) => terminal::list(place, manner(pin_fd), out),
        Command::Terminal(Terminal::Remove { terminal, pin_fd }) => {
            terminal::remove(place, terminal, manner(pin_fd), out)
        }
        Command::Terminate {
            destroy_keys,
            puk_fd,
        } => terminate::run(place, *destroy_keys, *puk_fd, out),
        Command::Doctor { pin, pin_fd } => {
            let pin = *pin || pin_fd.is_some();
            doctor::run(place, pin.then(|| manner(pin_fd)), out)
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
