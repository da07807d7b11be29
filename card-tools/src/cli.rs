//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::letter::Format;

/// Prepares, shows and manages simsync cards.
///
/// Secrets are asked for on the terminal without echo, or read from a file descriptor that an option names; they are
/// never arguments.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 no pcscd or no reader; 4 no card, or not a simsync card; 5 PIN or PUK
/// wrong, blocked or not usable; 6 the server refused or cannot be reached; 7 the card manager's keys are wrong or blocked.
#[derive(Debug, Parser)]
#[command(name = "simsync-card", version, about, long_about)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// Use this reader (its name, or a part of it that no other has).
    #[arg(long, global = true)]
    pub reader: Option<String>,
    /// Use the SIM in the modem with this AT port (a device, for example /dev/ttyUSB2), if it runs the applet: with info, pin,
    /// terminal, terminate and doctor.
    #[arg(long, global = true, value_name = "DEVICE", conflicts_with = "reader")]
    pub modem: Option<PathBuf>,
    /// Ask for the card's PIN here, even if the reader has a PIN pad. A descriptor named by an option goes before a PIN pad, too.
    #[arg(long, global = true)]
    pub no_pin_pad: bool,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// More of what happens; twice: each APDU, with secrets left out.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

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
    /// Put the applet onto a card, by GlobalPlatform.
    ///
    /// The file is checked before, and the card is looked at after. At most one authentication fails, then the command
    /// stops: cards block after a few. Interrupted anywhere, it is run again.
    Install(Install),
    /// Take the applet off a card, by GlobalPlatform; nothing else is deleted.
    Delete(Delete),
    /// List what is on a card: security domain, applications, load files.
    List {
        /// The card manager's keys.
        #[command(flatten)]
        keys: Keys,
    },
    /// Show which keys lock a card. No authentication is attempted and no try is spent.
    LockInfo {
        /// Key version number to ask for, in hexadecimal; else the card's first.
        #[arg(long, value_name = "HEX", value_parser = key_version, default_value = "00")]
        kvn: u8,
    },
    /// Make a blank card somebody's, or many cards many people's: personalise, make keys, enrol at the server, write the letter.
    ///
    /// Interrupted anywhere, it is run again on the same card with the same arguments and ends in the same state.
    Provision(Box<Provision>),
    /// Change or unblock the PIN.
    #[command(subcommand)]
    Pin(Pin),
    /// Terminals that the card knows.
    #[command(subcommand)]
    Terminal(Terminal),
    /// Wipe a card for good, with its PUK, or without one if the PUK is blocked.
    Terminate {
        /// Its keys are gone for good then, and without another card of its owner the vault too.
        #[arg(long)]
        destroy_keys: bool,
        /// Read the PUK from this descriptor instead of asking.
        #[arg(long, value_name = "FD")]
        puk_fd: Option<i32>,
    },
    /// Check everything from the smart card service to the applet, and say what helps.
    Doctor {
        /// Ask for the PIN and measure how long the card takes to sign.
        #[arg(long)]
        pin: bool,
        /// Read the PIN from this descriptor instead of asking.
        #[arg(long, value_name = "FD")]
        pin_fd: Option<i32>,
    },
    /// Print completions for a shell.
    Completions {
        /// Shell to print completions for.
        shell: clap_complete::Shell,
    },
}

/// Keys of the card manager (issuer security domain). Asked for without echo if none of the first three is given.
#[derive(Debug, clap::Args)]
pub struct Keys {
    /// Read the keys from this file, which nobody else may read: one key, or ENC, MAC and DEK in three lines, in
    /// hexadecimal; or JSON with enc, mac and dek.
    #[arg(long, value_name = "FILE", group = "source")]
    pub keys_file: Option<PathBuf>,
    /// Read the same from this descriptor.
    #[arg(long, value_name = "FD", group = "source")]
    pub keys_fd: Option<i32>,
    /// Use the test keys 404142…4F of development cards. Anybody knows them.
    #[arg(long, group = "source")]
    pub default_test_keys: bool,
    /// Key version number, in hexadecimal; else the card's first.
    #[arg(long, value_name = "HEX", value_parser = key_version, default_value = "00")]
    pub kvn: u8,
    /// The keys are the issuer's master keys; the card's own are made from them.
    #[arg(long, value_name = "SCHEME", value_enum, default_value_t = Diversify::None)]
    pub diversify: Diversify,
}

/// How a card's keys are made from master keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Diversify {
    /// The keys are the card's.
    None,
    /// AES-CMAC in counter mode, for SCP03.
    Kdf3,
    /// EMV CPS 1.1, for SCP02.
    Emv,
    /// VISA 2, for SCP02.
    Visa2,
}

fn key_version(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u8::from_str_radix(digits, 16)
        .map_err(|_| "a key version number has two hexadecimal digits, 00 to FF".to_owned())
}

#[derive(Debug, clap::Args)]
pub struct Install {
    /// The applet; else simsync.cap beside this program, or target/cap/simsync.cap.
    #[arg(long, value_name = "FILE")]
    pub cap: Option<PathBuf>,
    /// Read the transport secret (32 hex digits) from this descriptor.
    #[arg(long, value_name = "FD", conflicts_with = "transport_secret_out")]
    pub transport_secret_fd: Option<i32>,
    /// Draw a transport secret and write it to this file, which must not exist; `provision` asks for it.
    #[arg(long, value_name = "FILE")]
    pub transport_secret_out: Option<PathBuf>,
    /// Delete the applet that is there first.
    #[arg(long)]
    pub replace: bool,
    /// With --replace: even if the card is in use, or does not say; its keys are gone for good then.
    #[arg(long, requires = "replace")]
    pub destroy_keys: bool,
    /// Say what would be done, without authentication and without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// The card manager's keys.
    #[command(flatten)]
    pub keys: Keys,
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Even if the card is in use, or does not say; its keys are gone for good then.
    #[arg(long)]
    pub destroy_keys: bool,
    /// The card manager's keys.
    #[command(flatten)]
    pub keys: Keys,
}

#[derive(Debug, clap::Args)]
pub struct Provision {
    /// The server: HOST or HOST:PORT, as terminals will reach it.
    #[arg(long)]
    pub server: String,
    /// The fingerprint of the server's CA, as `simsync-server show` prints it (64 hex digits).
    #[arg(long, value_name = "HEX")]
    pub ca_pin: String,
    /// The subscriber's ID, from `simsync-server subscriber add`.
    #[arg(long, required_unless_present = "batch", conflicts_with = "batch")]
    pub subscriber: Option<String>,
    /// What the card is called.
    #[arg(long, conflicts_with = "batch")]
    pub label: Option<String>,
    /// Where the letter with PIN and PUK is written. It must not exist, or be one that this tool wrote.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "batch",
        conflicts_with = "batch"
    )]
    pub letter: Option<PathBuf>,
    /// How letters are written; several with commas between them, each in a file of its own.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        value_delimiter = ',',
        default_value = "text"
    )]
    pub letters_format: Vec<Format>,
    /// Read the enrolment code from this descriptor instead of asking.
    #[arg(long, value_name = "FD", conflicts_with = "batch")]
    pub code_fd: Option<i32>,
    /// Read the card's transport secret (32 hex digits) from this descriptor instead of asking; with --batch that of all
    /// cards.
    #[arg(long, value_name = "FD")]
    pub transport_secret_fd: Option<i32>,
    /// The PIN of the letter may be kept; else its owner must change it at first use.
    #[arg(long)]
    pub keep_pin: bool,
    /// The card may be used without contacts too.
    #[arg(long)]
    pub contactless: bool,
    /// Issue a card to each of the people in this CSV file (label, subscriber, code), as
    /// `simsync-server subscriber import` writes it. Interrupted anywhere, it is run again with the same arguments:
    /// nobody gets two cards.
    #[arg(long, value_name = "FILE")]
    pub batch: Option<PathBuf>,
    /// What belongs to a batch.
    #[command(flatten)]
    pub of_batch: BatchOptions,
}

/// Options of `provision --batch`.
#[derive(Debug, clap::Args)]
pub struct BatchOptions {
    /// The folder for the letters, for you alone; made if it is missing.
    #[arg(long, value_name = "DIR", requires = "batch")]
    pub letters: Option<PathBuf>,
    /// The readers that are used side by side: all, or names (or parts that no other name has). Else --reader, or the
    /// only one.
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', requires = "batch")]
    pub readers: Vec<String>,
    /// What was done, so that the batch can be gone on with; else FILE.csv.journal. No secrets are in it.
    #[arg(long, value_name = "FILE", requires = "batch")]
    pub journal: Option<PathBuf>,
    /// Make each card's transport secret from this key (32 to 128 hex digits, from a descriptor) and what identifies the
    /// chip.
    #[arg(
        long,
        value_name = "FD",
        requires = "batch",
        conflicts_with = "transport_secret_fd"
    )]
    pub transport_key_fd: Option<i32>,
    /// Put the applet onto cards that lack it, with the card manager's keys.
    #[arg(long, requires = "batch")]
    pub install: bool,
    /// With --install: the applet; else simsync.cap beside this program, or target/cap/simsync.cap.
    #[arg(long, value_name = "FILE", requires = "install")]
    pub cap: Option<PathBuf>,
    /// Sign the list of issued cards with this key (PEM, Ed25519 or P-256), for `simsync-server card check`.
    #[arg(long, value_name = "FILE", requires = "batch")]
    pub sign_key: Option<PathBuf>,
    /// The card manager's keys, for --install.
    #[command(flatten)]
    pub keys: Keys,
}

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
