//! One file per command.

mod card;
mod collections;
mod completions;
mod conflicts;
mod doctor;
mod eject;
mod forget;
mod log;
mod monitor;
mod pair;
mod pin;
mod server;
mod status;
mod sync;
mod terminals;
mod unlock;
mod unpair;

use crate::args::{
    CardCommand, CollectionsCommand, Command, Common, PinCommand, ServerCommand, TerminalsCommand,
};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;

/// Runs a command.
pub async fn run(common: &Common, command: Command, output: &Output) -> Outcome<Exit> {
    let done = match command {
        Command::Status(args) => status::run(common, output, &args).await,
        Command::Monitor => monitor::run(common, output).await,
        Command::Unlock(args) => unlock::run(common, output, &args).await,
        Command::Pair(args) => pair::run(common, output, &args).await,
        Command::Unpair(args) => unpair::run(common, output, &args).await,
        Command::Sync(args) => return sync::run(common, output, &args).await,
        Command::Eject(args) => return eject::run(common, output, &args).await,
        Command::Collections(CollectionsCommand::Add(args)) => {
            return collections::add(common, output, &args).await;
        }
        Command::Collections(CollectionsCommand::Answer(args)) => {
            return collections::answer(common, output, &args).await;
        }
        Command::Collections(CollectionsCommand::List) => collections::list(common, output).await,
        Command::Collections(CollectionsCommand::Remove(args)) => {
            collections::remove(common, output, &args).await
        }
        Command::Terminals(TerminalsCommand::List) => terminals::list(common, output).await,
        Command::Terminals(TerminalsCommand::Remove(args)) => {
            terminals::remove(common, output, &args).await
        }
        Command::Server(ServerCommand::Show) => server::show(common, output).await,
        Command::Server(ServerCommand::AcceptRestored(args)) => {
            server::accept_restored(common, output, &args).await
        }
        Command::Server(ServerCommand::Confirm(args)) => {
            server::confirm(common, output, &args).await
        }
        Command::Card(CardCommand::Add(args)) => card::add(common, output, &args).await,
        Command::Card(CardCommand::List) => card::list(common, output).await,
        Command::Card(CardCommand::Remove(args)) => card::remove(common, output, &args).await,
        Command::Forget(args) => forget::run(common, output, &args).await,
        Command::Log(args) => log::run(common, output, &args).await,
        Command::Conflicts => conflicts::run(common, output).await,
        Command::Pin(PinCommand::Change(args)) => pin::change(common, output, &args).await,
        Command::Doctor => return doctor::run(common, output).await,
        Command::Completions(args) => completions::run(&args),
    };
    done.map(|()| Exit::Ok)
}
