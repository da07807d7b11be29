//! The command line.

use clap::{Args, Parser, Subcommand};

/// Your data follows your card.
#[derive(Debug, Parser)]
#[command(
    name = "simsync",
    version,
    about = "Your data follows your card",
    long_about = "simsync makes a person's data follow their card: put the card in, give the PIN, and your data is there.\n\n\
        Without a command it shows the status: what simsync is doing, and if it does nothing, why.",
    after_long_help = crate::exit::help()
)]
pub struct Cli {
    /// What is common to all commands.
    #[command(flatten)]
    pub common: Common,
    /// The command; `status` if there is none.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Print JSON with a schema_version instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Talk to simsyncd on the bus at this address instead of the session bus
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "SIMSYNC_BUS_ADDRESS"
    )]
    pub bus: Option<String>,
    /// Wait at most this long; the work goes on in simsyncd
    #[arg(long, global = true, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Wait for the end of the work (the default)
    #[arg(long, global = true, overrides_with = "no_wait")]
    pub wait: bool,
    /// Start the work and do not wait for its end
    #[arg(long, global = true, overrides_with = "wait")]
    pub no_wait: bool,
}

/// Where secrets come from and go to, for scripts. Without these the terminal is asked.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Secrets by file descriptor")]
pub struct SecretArgs {
    /// Read the card's PIN from this file descriptor, up to its end
    #[arg(long, value_name = "N")]
    pub pin_fd: Option<u32>,
    /// Read the new PIN from this file descriptor
    #[arg(long, value_name = "N")]
    pub new_pin_fd: Option<u32>,
    /// Read this terminal's PIN from this file descriptor
    #[arg(long, value_name = "N")]
    pub terminal_pin_fd: Option<u32>,
    /// Write a new PUK to this file descriptor instead of showing it
    #[arg(long, value_name = "N")]
    pub puk_fd: Option<u32>,
    /// Write the recovery code to this file descriptor instead of showing it
    #[arg(long, value_name = "N")]
    pub recovery_fd: Option<u32>,
}

/// What `simsync` can be told to do; the doc comments here and below are its help.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what simsync is doing, and if it does nothing, why
    Status(StatusArgs),
    /// Show the status whenever it changes
    Monitor,
    /// Give the PIN and open the session with your card
    Unlock(UnlockArgs),
    /// Pair this terminal with the card that is in
    Pair(PairArgs),
    /// Undo the pairing of this terminal, in good order
    Unpair(UnpairArgs),
    /// Sync now
    Sync(SyncArgs),
    /// Upload everything and close the session, so that the card can be taken
    Eject(EjectArgs),
    /// Choose what this terminal syncs
    #[command(subcommand)]
    Collections(CollectionsCommand),
    /// Your terminals
    #[command(subcommand)]
    Terminals(TerminalsCommand),
    /// Your cards: add a spare one, remove a lost one
    #[command(subcommand)]
    Card(CardCommand),
    /// Where the server is, and where it says that it moves
    #[command(subcommand)]
    Server(ServerCommand),
    /// Stop waiting for what a terminal had not uploaded
    Forget(ForgetArgs),
    /// Show the newest commits
    Log(LogArgs),
    /// Show versions that were kept aside because two sides wrote
    Conflicts,
    /// Change PINs
    #[command(subcommand)]
    Pin(PinCommand),
    /// Check everything that simsync needs, and say how to mend it
    Doctor,
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// Arguments of `simsync unlock`; the daemon's method is `Unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// If no card is in, wait for it (not longer than --timeout)
    #[arg(long)]
    pub await_card: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync pair`; the daemon's method is `Pair`.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// What this terminal is called; its host name if left out
    #[arg(long)]
    pub label: Option<String>,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync unpair`; the daemon's method is `Unpair`, or `ForgetPairing` with `--forget`.
#[derive(Debug, Args)]
pub struct UnpairArgs {
    /// Forget the pairing on this terminal only, without card and server
    ///
    /// For a terminal that cannot leave in good order. Its files stay; what was not uploaded is in them and nowhere else.
    #[arg(long)]
    pub forget: bool,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub yes: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync sync`; the daemon's method is `Sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Show what would be taken and ask before anything is taken
    #[arg(long)]
    pub review: bool,
    /// Answer yes to what would be asked
    #[arg(long)]
    pub yes: bool,
    /// Many deletions at once are meant
    #[arg(long)]
    pub allow_deletions: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync eject`; the daemon's method is `Eject`.
#[derive(Debug, Args)]
pub struct EjectArgs {
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Subcommands of `simsync collections`.
#[derive(Debug, Subcommand)]
pub enum CollectionsCommand {
    /// Sync a folder: as a new collection, or as one that the vault has already
    Add(AddArgs),
    /// Show the collections
    List,
    /// Say what is to become of a collection of which much is missing here
    ///
    /// simsync asks before it deletes most of a collection, or what was on a disk that is not there: `simsync status` says so.
    Answer(AnswerArgs),
    /// Stop syncing a collection here; its files stay
    Remove(RemoveArgs),
}

/// What an owner answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CollectionAnswer {
    /// It is gone on purpose: delete it everywhere
    Deleted,
    /// Give it back: the vault has it
    GiveBack,
    /// Stop syncing the collection here; the vault keeps it
    Stop,
}

/// Arguments of `simsync status`, which reads properties and starts no work.
#[derive(Debug, Default, Args)]
pub struct StatusArgs {
    /// List everything that is not in sync, however long that is
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `simsync collections answer`; the daemon's method is `AnswerCollection`, or `RemoveCollection` for `stop`.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// Its name or ID
    pub collection: String,
    /// What is to become of the collection
    pub answer: CollectionAnswer,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub yes: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync collections add`; the daemon's method is `AddCollection`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Name of a new collection, or name or ID of one of the vault
    pub name: String,
    /// The folder on this terminal
    pub path: std::path::PathBuf,
    /// What the collection holds; only files so far
    #[arg(long, default_value = "files")]
    pub attribute: String,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync collections remove`; the daemon's method is `RemoveCollection`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Its name or ID
    pub collection: String,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Subcommands of `simsync terminals`.
#[derive(Debug, Subcommand)]
pub enum TerminalsCommand {
    /// Show your terminals
    List,
    /// Take a lost terminal off your card and out of the vault, which gets a new key
    Remove(TerminalRemoveArgs),
}

/// Arguments of `simsync terminals remove`; the daemon's method is `RemoveTerminal`.
#[derive(Debug, Args)]
pub struct TerminalRemoveArgs {
    /// The terminal's label, its ID, or the ID's beginning
    pub terminal: String,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub yes: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Subcommands of `simsync server`.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Show where the server is, and where it announces to move
    Show,
    /// Agree that the server moves where it announces
    ///
    /// Ask its operator first. This terminal then finds it there, and tells every card at its next session.
    Confirm(ServerConfirmArgs),
    /// Go on from what the server shows, where the card remembers more and nobody has it
    ///
    /// For a session that may only read since the card's record is not in the server's history: the server was set back, or a
    /// terminal wrote into the card what never was. Put the card into every terminal that you used lately first: one that
    /// has more than the server says so, and cannot go on after this. The vault gets a new key; then take out the terminal
    /// that is to blame: simsync terminals remove.
    AcceptRestored(AcceptRestoredArgs),
}

/// Arguments of `simsync server accept-restored`; the daemon's method is `AcceptRestored`.
#[derive(Debug, Args)]
pub struct AcceptRestoredArgs {
    /// Do not ask whether it is meant
    #[arg(long)]
    pub yes: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync server confirm`; the daemon's method is `ConfirmServer`.
#[derive(Debug, Args)]
pub struct ServerConfirmArgs {
    /// Do not ask whether it is meant
    #[arg(long)]
    pub yes: bool,
}

/// Subcommands of `simsync card`.
#[derive(Debug, Subcommand)]
pub enum CardCommand {
    /// Make another card of yours open the vault, too
    ///
    /// One reader is enough: the new card is put in first, then your usual card, then the new one again. Each asks for its
    /// own PIN. Interrupted anywhere, run it again.
    Add(CardAddArgs),
    /// Show your cards
    List,
    /// Take a lost card out of the vault, which gets a new key; another card of yours has to be in
    Remove(CardRemoveArgs),
}

/// Arguments of `simsync card add`; the daemon's methods are `AddCard`, `Eject` and `Unlock`.
#[derive(Debug, Args)]
pub struct CardAddArgs {
    /// Do the one step that the card in the reader is for, and say which is next
    #[arg(long)]
    pub step: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync card remove`; the daemon's method is `RemoveCard`.
#[derive(Debug, Args)]
pub struct CardRemoveArgs {
    /// The card's ID, or its beginning
    pub card: String,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub yes: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync forget`; the daemon's method is `Forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The terminal's label, its ID, or the ID's beginning
    pub terminal: String,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync log`; the daemon's method is `Log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// How many commits, at most
    #[arg(short = 'n', long, default_value_t = 20)]
    pub limit: u32,
}

/// Subcommands of `simsync pin`.
#[derive(Debug, Subcommand)]
pub enum PinCommand {
    /// Change the card's PIN, or this terminal's
    Change(PinChangeArgs),
}

/// Arguments of `simsync pin change`; the daemon's method is `ChangeCardPin` or `ChangeTerminalPin`.
#[derive(Debug, Args)]
pub struct PinChangeArgs {
    /// Change this terminal's PIN instead of the card's
    #[arg(long)]
    pub terminal: bool,
    /// File descriptors that stand in for the prompt.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Arguments of `simsync completions`, which does not need the daemon.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to print completions for
    pub shell: clap_complete::Shell,
}

impl Command {
    /// The command's name as JSON shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Monitor => "monitor",
            Self::Unlock(_) => "unlock",
            Self::Pair(_) => "pair",
            Self::Unpair(_) => "unpair",
            Self::Sync(_) => "sync",
            Self::Eject(_) => "eject",
            Self::Collections(CollectionsCommand::Add(_)) => "collections add",
            Self::Collections(CollectionsCommand::List) => "collections list",
            Self::Collections(CollectionsCommand::Answer(_)) => "collections answer",
            Self::Collections(CollectionsCommand::Remove(_)) => "collections remove",
            Self::Terminals(TerminalsCommand::List) => "terminals list",
            Self::Terminals(TerminalsCommand::Remove(_)) => "terminals remove",
            Self::Server(ServerCommand::Show) => "server show",
            Self::Server(ServerCommand::Confirm(_)) => "server confirm",
            Self::Server(ServerCommand::AcceptRestored(_)) => "server accept-restored",
            Self::Card(CardCommand::Add(_)) => "card add",
            Self::Card(CardCommand::List) => "card list",
            Self::Card(CardCommand::Remove(_)) => "card remove",
            Self::Forget(_) => "forget",
            Self::Log(_) => "log",
            Self::Conflicts => "conflicts",
            Self::Pin(PinCommand::Change(_)) => "pin change",
            Self::Doctor => "doctor",
            Self::Completions(_) => "completions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
