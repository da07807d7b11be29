//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Prepares, shows and manages simsync cards.
///
/// Secrets are asked for on the terminal without echo, or read from a file descriptor that an option names; they are
/// never arguments.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 no pcscd or no reader; 4 no card, or not a simsync card; 5 PIN or PUK
/// wrong or blocked; 6 the server refused or cannot be reached.
#[derive(Debug, Parser)]
#[command(name = "simsync-card", version, about, long_about)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Use this reader (its name, or a part of it that no other has).
    #[arg(long, global = true)]
    pub reader: Option<String>,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// More of what happens; twice: each APDU, without data.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List readers and what is in them.
    Readers,
    /// Show the card: version, lifecycle, tries left; with --pin also whose it is.
    Info {
        /// Ask for the PIN and show subscriber, label and server too.
        #[arg(long)]
        pin: bool,
        /// Read the PIN from this descriptor instead of asking.
        #[arg(long, value_name = "FD")]
        pin_fd: Option<i32>,
    },
    /// Make a blank card somebody's: personalise, make keys, enrol at the server, write the letter.
    ///
    /// Interrupted anywhere, it is run again on the same card with the same arguments and ends in the same state.
    Provision(Provision),
    /// Change or unblock the PIN.
    #[command(subcommand)]
    Pin(Pin),
    /// Terminals that the card knows.
    #[command(subcommand)]
    Terminal(Terminal),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// `provision`.
#[derive(Debug, clap::Args)]
pub struct Provision {
    /// The server: HOST or HOST:PORT, as terminals will reach it.
    #[arg(long)]
    pub server: String,
    /// The pin of the server's CA, as `simsync-server init` printed it (64 hex digits).
    #[arg(long, value_name = "HEX")]
    pub ca_pin: String,
    /// The subscriber's ID, from `simsync-server subscriber add`.
    #[arg(long)]
    pub subscriber: String,
    /// What the card is called.
    #[arg(long, default_value = "")]
    pub label: String,
    /// Where the letter with PIN and PUK is written. It must not exist, or be one that this tool wrote.
    #[arg(long, value_name = "FILE")]
    pub letter: PathBuf,
    /// Read the enrolment code from this descriptor instead of asking.
    #[arg(long, value_name = "FD")]
    pub code_fd: Option<i32>,
    /// Read the card's transport secret (32 hex digits) from this descriptor instead of asking.
    #[arg(long, value_name = "FD")]
    pub transport_secret_fd: Option<i32>,
    /// The PIN of the letter may be kept; else its owner must change it at first use.
    #[arg(long)]
    pub keep_pin: bool,
    /// The card may be used without contacts too.
    #[arg(long)]
    pub contactless: bool,
}

/// `pin …`.
#[derive(Debug, Subcommand)]
pub enum Pin {
    /// Change the PIN. The first change of a new card sets a new PUK too, which is shown once.
    Change {
        /// Read the present PIN from this descriptor.
        #[arg(long, value_name = "FD")]
        pin_fd: Option<i32>,
        /// Read the new PIN from this descriptor.
        #[arg(long, value_name = "FD")]
        new_pin_fd: Option<i32>,
        /// Write a new PUK to this descriptor instead of the terminal.
        #[arg(long, value_name = "FD")]
        puk_fd: Option<i32>,
    },
    /// Set a new PIN with the PUK, after the PIN was blocked or forgotten.
    Unblock {
        /// Read the PUK from this descriptor.
        #[arg(long, value_name = "FD")]
        puk_fd: Option<i32>,
        /// Read the new PIN from this descriptor.
        #[arg(long, value_name = "FD")]
        new_pin_fd: Option<i32>,
    },
}

/// `terminal …`.
#[derive(Debug, Subcommand)]
pub enum Terminal {
    /// List them.
    List {
        /// Read the PIN from this descriptor.
        #[arg(long, value_name = "FD")]
        pin_fd: Option<i32>,
    },
    /// Remove one from the card: it can open no session with this card any more.
    Remove {
        /// Its ID, the first characters of it (4 or more), or its label.
        terminal: String,
        /// Read the PIN from this descriptor.
        #[arg(long, value_name = "FD")]
        pin_fd: Option<i32>,
    },
}
