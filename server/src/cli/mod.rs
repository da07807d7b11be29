//! `simsync-server` as a program.

mod args;
mod confirm;
mod dispatch;
mod failure;
mod id_prefix;
mod import;
mod print;
mod run;

pub use args::Cli;
pub use run::main;
