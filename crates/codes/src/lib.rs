//! Every reason and failure of simsync by its stable code: the one table from which the daemon, the names of its errors on
//! D-Bus, the exit codes of `simsync` and docs/errors.md come.
#![forbid(unsafe_code)]

#[macro_use]
mod word;
mod exit;
mod states;
mod unsynced;

pub use exit::{Exit, MEANINGS};
pub use states::{CardState, JobState, State};
pub use unsynced::Unsynced;

/// Why a code is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this version of simsync does not know the code")]
pub struct UnknownCode;

macro_rules! codes {
    ($($name:ident = $text:literal, $exit:expr, $doc:literal;)*) => {
        /// Why nothing happens, what is in the way, or why something failed. Documented in docs/errors.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $doc] $name,)* }

        impl Code {
            /// All of them, as docs/errors.md lists them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code that D-Bus, JSON and the documents know: lower case, with hyphens.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What `simsync` ends with. What is only ever a reason of the status, and ends nothing, has none of its own.
            pub fn exit(self) -> Exit {
                match self { $(Self::$name => $exit,)* }
            }

            /// The last element of the error's name on D-Bus: the code in CamelCase.
            pub fn bus_name(self) -> &'static str {
                // Whoever closes a prompt, or says no, declines.
                if self == Self::PinDeclined {
                    return Self::Declined.bus_name();
                }
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The code of an error with this name on D-Bus.
            pub fn of_bus_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        impl std::str::FromStr for Code {
            type Err = UnknownCode;

            fn from_str(text: &str) -> Result<Self, UnknownCode> {
                match text {
                    $($text => Ok(Self::$name),)*
                    _ => Err(UnknownCode),
                }
            }
        }
    };
}

word!(Code);

codes! {
    NoPcscd = "no-pcscd", Exit::NoCard, "Pcscd does not run, or was restarted just now.";
    NoReader = "no-reader", Exit::NoCard, "No reader is connected.";
    NoCard = "no-card", Exit::NoCard, "No card, or none of yours, is in.";
    NoApplet = "no-applet", Exit::NoCard, "The card has no simsync applet.";
    CardRemoved = "card-removed", Exit::NoCard, "The card, reader or pcscd went away in the middle.";
    CardBusy = "card-busy", Exit::Failed, "Another program holds the card, or the exchange broke off; as a reason in `status`: it is waited for.";
    CardReset = "card-reset", Exit::Failed, "In the middle of a session another program reset the card, or selected an application of its own on it.";
    NoChannel = "no-channel", Exit::Failed, "The modem that the card is in, or its SIM, opens no logical channel to the applet; the sentence says why.";
    PinIncorrect = "pin-incorrect", Exit::Pin, "Wrong card PIN, or one that the card refused before: that is not sent again.";
    PinBlocked = "pin-blocked", Exit::Pin, "No PIN tries left.";
    PinMustChange = "pin-must-change", Exit::Guard, "First use of a new card.";
    PinFormat = "pin-format", Exit::Pin, "What was typed cannot be a card PIN, or is no new one; no try was spent.";
    PinDeclined = "pin-declined", Exit::Declined, "The prompt was closed, or cancel pressed on the reader.";
    PinTimeout = "pin-timeout", Exit::Declined, "Nobody typed the PIN in time.";
    PinsDiffer = "pins-differ", Exit::Pin, "On a reader's PIN pad the new PIN and its repetition differ.";
    PinPadRefused = "pin-pad-refused", Exit::Pin, "The reader's PIN pad does not take a PIN like the card's.";
    NoAgent = "no-agent", Exit::Declined, "Nobody is registered who could ask for a PIN.";
    CardRefused = "card-refused", Exit::Failed, "The card refuses, or answers what it must not; see the list below.";
    CardFull = "card-full", Exit::Guard, "All 16 places for terminals are taken.";
    NoNewCard = "no-new-card", Exit::NoCard, "`card add`: every card that is in is known already.";
    CardNotReady = "card-not-ready", Exit::NoCard, "`card add`: the new card was not provisioned.";
    CardInUse = "card-in-use", Exit::Guard, "`card remove` of the card in the reader.";
    TerminalInUse = "terminal-in-use", Exit::Guard, "`terminals remove` of this terminal.";
    ServerMoves = "server-moves", Exit::Guard, "The server's operator announces a move that the owner has not agreed to.";
    NoServerMove = "no-server-move", Exit::Usage, "`server confirm` of what is not announced.";
    NoSuchCard = "no-such-card", Exit::Usage, "None, or more than one, of the person's cards is called so.";
    TerminalNotOnCard = "terminal-not-on-card", Exit::NotPaired, "The card does not know this terminal (M8).";
    NotPaired = "not-paired", Exit::NotPaired, "This terminal is not paired, or the server does not know its certificate (M9).";
    CardNotPaired = "card-not-paired", Exit::NotPaired, "The card is not this terminal's subscriber's (M7).";
    AlreadyPaired = "already-paired", Exit::Guard, "The account belongs to another subscriber.";
    Leaving = "leaving", Exit::Guard, "`unpair` was interrupted after the vault had let this terminal go.";
    PairingIncomplete = "pairing-incomplete", Exit::NotPaired, "The key object does not name this terminal.";
    CardNotInVault = "card-not-in-vault", Exit::NotPaired, "The vault key is not wrapped to this card.";
    BadAddress = "bad-address", Exit::Server, "The address on the card cannot be used.";
    Revoked = "revoked", Exit::NotPaired, "The server says that this terminal or card was revoked.";
    TerminalPinIncorrect = "terminal-pin-incorrect", Exit::Pin, "Wrong terminal PIN, three times.";
    TerminalPinShort = "terminal-pin-short", Exit::Pin, "A new terminal PIN is too short.";
    TerminalKey = "terminal-key", Exit::Pin, "The sealed key is damaged.";
    KeySealed = "key-sealed", Exit::Failed, "A tail waits, and the key is sealed.";
    Locked = "locked", Exit::Guard, "A card is in, no session is open.";
    SessionInactive = "session-inactive", Exit::Guard, "M6: another login session is in front.";
    SessionLocked = "session-locked", Exit::Guard, "M6: the screen is locked.";
    SessionUnknown = "session-unknown", Exit::Guard, "M6: no logind, and the policy is `required`.";
    WaitingForPin = "waiting-for-pin", Exit::Failed, "A prompt is open (a reason in `status`, no failure).";
    Ejected = "ejected", Exit::Failed, "After `simsync eject` (a reason in `status`, no failure).";
    Attention = "attention", Exit::Failed, "Something is not in sync until a person does something (a reason in `status`, no failure).";
    Pending = "pending", Exit::Failed, "Something is not in sync yet (a reason in `status`, no failure).";
    ChangedSinceEject = "changed-since-eject", Exit::Failed, "Files changed after `simsync eject`, with the card in (a reason in `status`, no failure).";
    WaitsForSync = "waits-for-sync", Exit::Failed, "Something changed, here or on another terminal, and `sync_on_change` or `sync_on_head_moved` is off (a reason in `status`, no failure).";
    WatchLimit = "watch-limit", Exit::Failed, "More folders than the system lets us watch (a reason in `status`, no failure).";
    CardNotTold = "card-not-told", Exit::Failed, "The card refused PUT HEAD, or another program selected its own applet: everything is in the vault, and the card does not know it (a reason in `status`; in the result of `sync` and `eject`).";
    TerminalsAdded = "terminals-added", Exit::Failed, "Terminals were paired with the person's cards since the last session here (a reason in `status`, no failure).";
    TailWaiting = "tail-waiting", Exit::Failed, "The last session's rest is not delivered yet (a reason in `status`, no failure).";
    SimPresent = "sim-present", Exit::Failed, "`sim_trigger` is `trigger-only`, and a registered SIM is in a modem or reader.";
    SimAbsent = "sim-absent", Exit::Failed, "The same, and none is in.";
    BadArgument = "bad-argument", Exit::Usage, "An argument cannot be used.";
    AlreadySynced = "already-synced", Exit::Guard, "The collection has a folder here already.";
    NoSuchCollection = "no-such-collection", Exit::Usage, "No collection of this name is synced here.";
    QuestionChanged = "question-changed", Exit::Guard, "`collections answer NAME deleted`, and what is missing is not what it was when that was asked.";
    NoSuchTerminal = "no-such-terminal", Exit::Usage, "No unfinished upload of this terminal is waited for, or none or more than one terminal is called so.";
    NoSuchJob = "no-such-job", Exit::Usage, "The job has ended.";
    Declined = "declined", Exit::Declined, "The review was answered with no.";
    Cancelled = "cancelled", Exit::Declined, "Somebody cancelled, or the card was removed.";
    Stopping = "stopping", Exit::NoDaemon, "The daemon ends.";
    NotMine = "not-mine", Exit::Failed, "An agent is asked for something that it does not handle; the next agent is asked (never a command's end).";
    Bus = "bus", Exit::Failed, "The bus failed.";
    ServerRolledBack = "server-rolled-back", Exit::ReadOnly, "The server is behind what this terminal saw (B2).";
    RecordUnproven = "record-unproven", Exit::ReadOnly, "The card's record is not in the server's history, and this terminal saw nothing that the server does not show (B2).";
    NotShown = "not-shown", Exit::Failed, "A vault was made, and its recovery code was not shown by the command that made it.";
    NothingToAccept = "nothing-to-accept", Exit::Usage, "`server accept-restored`, and card and server agree.";
    ServerForked = "server-forked", Exit::ReadOnly, "The server shows another history than this terminal saw (B2).";
    VaultDamaged = "vault-damaged", Exit::Failed, "Something signed or sealed is not what it must be, or is of a newer version.";
    VaultIncomplete = "vault-incomplete", Exit::Failed, "A piece is in no pack that this terminal may read.";
    VaultNotVouched = "vault-not-vouched", Exit::Failed, "At pairing: the card never signed the vault that the server shows.";
    CannotWrite = "cannot-write", Exit::Failed, "The system refuses to write.";
    Store = "store", Exit::Failed, "The local database.";
    Busy = "busy", Exit::Guard, "Others commit faster, too many agents are registered, or too many orders wait.";
    Rule = "rule", Exit::Guard, "A rule of ours was broken.";
    Internal = "internal", Exit::Failed, "Our fault, here or at the server.";
    Offline = "offline", Exit::Server, "No network, nobody answers, or a deadline passed.";
    ServerNotTrusted = "server-not-trusted", Exit::Guard, "Another CA, another host name, expired, or an answer that makes no sense.";
    ServerRefused = "server-refused", Exit::Server, "A code that this simsync does not know.";
    BadRequest = "bad-request", Exit::Failed, "Body or parameter is not what it should be.";
    TooLarge = "too-large", Exit::Failed, "Over a limit.";
    NotFound = "not-found", Exit::Failed, "No such path: the versions differ.";
    MethodNotAllowed = "method-not-allowed", Exit::Failed, "No such method on this path.";
    RateLimited = "rate-limited", Exit::Server, "Too many tries, or more at once than an address, a terminal or a subscriber may have.";
    Overloaded = "overloaded", Exit::Server, "The server has no place or memory left for more at once.";
    CertificateRequired = "certificate-required", Exit::Server, "No client certificate.";
    TerminalRevoked = "terminal-revoked", Exit::NotPaired, "This terminal was revoked.";
    CardRevoked = "card-revoked", Exit::NotPaired, "This card was revoked, or is no recipient any more.";
    SubscriberInactive = "subscriber-inactive", Exit::NotPaired, "Suspended or removed.";
    CodeRefused = "code-refused", Exit::Server, "Enrolment code wrong, used or expired.";
    CardMismatch = "card-mismatch", Exit::Server, "The card is somebody else's, or has other keys (M9), also when it is to be added.";
    SignatureRefused = "signature-refused", Exit::Server, "A signature does not verify.";
    NonceRefused = "nonce-refused", Exit::Server, "Nonce unknown, used, too old or of another connection.";
    BindingRefused = "binding-refused", Exit::Server, "The statement is of another connection (B3).";
    SessionNumberUsed = "session-number-used", Exit::Failed, "N is not above the last one.";
    GrantRequired = "grant-required", Exit::Failed, "No grant, or one that ended.";
    GrantNarrowed = "grant-narrowed", Exit::Failed, "The card was removed, or only uploading is allowed.";
    CollectionRefused = "collection-refused", Exit::Server, "The collection is not this terminal's (M12).";
    NoVault = "no-vault", Exit::Failed, "Nothing was ever committed.";
    NoSuchObject = "no-such-object", Exit::Failed, "No such pack, tail, session, terminal, card or subscriber.";
    HeadMoved = "head-moved", Exit::Failed, "Another terminal committed since.";
    ListMoved = "list-moved", Exit::Failed, "A newer key object is in force.";
    TailMerged = "tail-merged", Exit::Failed, "The tail is merged already.";
    PackDropped = "pack-dropped", Exit::Failed, "The pack was dropped.";
    PackMissing = "pack-missing", Exit::Failed, "The pack is not durable at the server.";
    PackExists = "pack-exists", Exit::Failed, "A pack of this name has other content.";
    TailExists = "tail-exists", Exit::Failed, "The session delivered another tail.";
    SessionSuperseded = "session-superseded", Exit::Failed, "The card opened a newer session.";
    ChainRefused = "chain-refused", Exit::Server, "Commit or key object breaks a rule of the chain.";
    RekeyRequired = "rekey-required", Exit::Guard, "Something was revoked: a new epoch of keys is due.";
    StorageFull = "storage-full", Exit::Server, "Disk or quota of the server, or too many tails of this terminal.";
    ShuttingDown = "shutting-down", Exit::Server, "The server stops.";
    NoDaemon = "no-daemon", Exit::NoDaemon, "Simsyncd does not run, or the bus is gone (said by `simsync` itself).";
    Timeout = "timeout", Exit::Failed, "`--timeout` is over (said by `simsync` itself).";
    ReviewWaiting = "review-waiting", Exit::Guard, "A review needs an answer and there is no terminal to ask on (said by `simsync` itself).";
    Usage = "usage", Exit::Usage, "The command line is wrong (said by `simsync` itself).";
    Failed = "failed", Exit::Failed, "Anything without a code of its own.";
}

impl From<Unsynced> for Code {
    fn from(code: Unsynced) -> Self {
        match code {
            Unsynced::VaultIncomplete => Self::VaultIncomplete,
            Unsynced::VaultDamaged => Self::VaultDamaged,
            _ => Self::CannotWrite,
        }
    }
}
