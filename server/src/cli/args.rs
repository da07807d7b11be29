//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use simsync_card::ids::{Hash, SubscriberId};
use simsync_protocol::ServerAddress;

use super::id_prefix::IdPrefix;

/// Exit codes, as `--help` tells them.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed: disk, network, or a fault of the server
  2  the command line is wrong
  3  there is no such subscriber, card, terminal or server folder
  4  refused: it exists already, its state forbids it, or nobody said yes
  5  the folder or store was written by a newer simsync-server
  6  the audit log is broken
  7  `card check`: the list and the cards enrolled here differ";

/// The companion server of simsync: keeps people's vaults, ciphertext only.
#[derive(Debug, Parser)]
#[command(name = "simsync-server", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// The server's folder.
    #[arg(long, global = true, env = "SIMSYNC_SERVER_DIR", value_name = "D")]
    pub(super) dir: Option<PathBuf>,
    /// Answer in JSON, with `schema_version`.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a server: CA, certificate, random ID and store. Prints the fingerprint of the CA, as `show` does.
    Init {
        /// Host name, or IP address, under which terminals reach this server.
        #[arg(long, value_name = "HOST")]
        name: ServerAddress,
        /// Where `serve` listens.
        #[arg(long, default_value = crate::home::DEFAULT_LISTEN, value_name = "ADDR:PORT")]
        listen: String,
    },
    /// Show what `init` showed: the server's ID and host, and the fingerprint of its CA (`--ca-pin` of simsync-card).
    Show,
    /// Serve until SIGTERM or SIGINT.
    Serve {
        /// Listen here instead of where `init` said.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<String>,
        /// Requests a minute on open paths (nonce, enrol, pair) from one address without a certificate.
        #[arg(long, value_name = "N")]
        open_per_minute: Option<u32>,
        /// Connections at once.
        #[arg(long, value_name = "N")]
        connections: Option<usize>,
        /// Connections at once from one address.
        #[arg(long, value_name = "N")]
        connections_per_address: Option<usize>,
    },
    /// Subscribers and their enrolment codes.
    #[command(subcommand)]
    Subscriber(Subscriber),
    /// Enrolled cards.
    #[command(subcommand)]
    Card(Card),
    /// Paired terminals.
    #[command(subcommand)]
    Terminal(Terminal),
    /// Move the server to another machine or name, with its folder.
    #[command(subcommand)]
    Move(Move),
    /// The audit log.
    Audit {
        /// Check the chains, print their ends.
        #[arg(long)]
        verify: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Subscriber {
    /// Add one; prints its ID and an enrolment code, once.
    Add {
        /// What you call it.
        #[arg(long, value_name = "TEXT")]
        label: String,
        /// Its ID: 1 to 32 letters, digits, '.', '_' or '-'; drawn if not given.
        #[arg(long)]
        id: Option<SubscriberId>,
    },
    /// Add the people of a CSV file (columns label, and perhaps subscriber), all or none.
    ///
    /// Writes what `simsync-card provision --batch` takes: label, subscriber and enrolment code of each.
    Import(Import),
    /// Print another enrolment code; an earlier unused one ends.
    Code {
        /// ID of the subscriber who gets it, as `subscriber list` shows it.
        id: SubscriberId,
    },
    /// List all.
    List,
    /// Show one with its cards and terminals.
    Show {
        /// ID of the subscriber, as `subscriber list` shows it.
        id: SubscriberId,
    },
    /// Shut it out for now.
    Suspend {
        /// ID of the subscriber, as `subscriber list` shows it.
        id: SubscriberId,
    },
    /// Let it in again.
    Resume {
        /// ID of the subscriber, as `subscriber list` shows it.
        id: SubscriberId,
    },
    /// Shut it out for good; asks before.
    Remove {
        /// Its ID, or the ID's beginning.
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The list, at most 1 MiB and 10,000 people.
    pub(super) file: PathBuf,
    /// Where the list with the codes is written, for you alone. It must not exist.
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    pub(super) out: Option<PathBuf>,
    /// Only say whether it could be done, and which lines are wrong.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Card {
    /// List those of one subscriber, or all.
    List {
        /// Only cards of this subscriber; else all.
        #[arg(long, value_name = "ID")]
        subscriber: Option<SubscriberId>,
    },
    /// Compare a desk's signed list of issued cards with those enrolled here.
    Check {
        /// The list, as `simsync-card provision --batch --sign-key` wrote it.
        list: PathBuf,
        /// Public half of the key that signed it, in PEM.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Revoke one, at once and for good; its owner's next session makes a new key.
    ///
    /// Asks before.
    Revoke {
        /// Its ID, or the first 4 digits or more.
        card: IdPrefix,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Move {
    /// Announce it: terminals show it to their owners, and find the server there after they agreed.
    To {
        /// Host name, or IP address, and port.
        address: ServerAddress,
        /// The pin of the CA there, if it is another one than this server's.
        #[arg(long, value_name = "HEX")]
        ca_pin: Option<Hash>,
    },
    /// Take the announcement back.
    Cancel,
    /// Show what is announced.
    Show,
    /// On the new machine, with the copied folder, before `serve`: it is known by this name from now on.
    ///
    /// Stop the old server first, and never start it again: two servers with one past fork every vault, which cards and
    /// terminals notice.
    Arrive {
        /// Host name, or IP address, under which terminals reach this server.
        #[arg(long, value_name = "HOST")]
        name: ServerAddress,
        /// Where `serve` listens.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Terminal {
    /// List those of one subscriber, or all.
    List {
        /// Only terminals of this subscriber; else all.
        #[arg(long, value_name = "ID")]
        subscriber: Option<SubscriberId>,
    },
    /// Revoke one, at once and for good; its owner's next session makes a new key.
    ///
    /// Asks before.
    Revoke {
        /// Its ID, or the first 4 digits or more.
        terminal: IdPrefix,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}
