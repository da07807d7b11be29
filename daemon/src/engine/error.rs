//! Why work on the vault did not go on, in words that tell what to do next.

use simsync_protocol::client::ClientError;
use simsync_protocol::problem::Code as ServerCode;
use simsync_sync::dir::{ApplyError, ScanError};
use simsync_sync::guard::Alarm;
use simsync_sync::node::BadPath;
use simsync_vault::head::Verdict;
use simsync_vault::keys::KeyError;
use simsync_vault::pack::PackError;
use simsync_vault::seal::SealError;
use simsync_vault::signed::FormatError;
use simsync_vault::tree::TreeError;
use simsync_vault::treeops::{ListingTooLarge, TooDeep};

use crate::outstanding::Unsynced;
use crate::store::{Collection, StoreError};

/// Why the engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The card was removed, or somebody cancelled: nothing is wrong.
    #[error("stopped: the card was removed or the work was cancelled")]
    Cancelled,
    /// The server cannot be reached, or said no.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// The local database cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain breaks a witness's word.
    #[error("{}", verdict_sentence(.0))]
    Head(Verdict),
    /// Something signed or sealed is not what it must be.
    #[error("the server's data cannot be used: {0}")]
    Format(#[from] FormatError),
    /// The vault key cannot be had from what card and server gave.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A pack is damaged, is another one than was asked for, or was written by a newer simsync.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A sealed object does not open, or one could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A directory listing of the vault cannot be used.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Nested too deep.
    #[error(transparent)]
    TooDeep(#[from] TooDeep),
    /// Too many entries in one folder.
    #[error(transparent)]
    ListingTooLarge(#[from] ListingTooLarge),
    /// An object that a tree names is in no pack that this terminal may read.
    #[error(
        "the vault lacks a piece of {0}: another terminal may still be uploading it; try again later"
    )]
    MissingObject(String),
    /// A file's listing tells another size than its content has.
    #[error("what the vault has of {0} has another size than it is to have")]
    WrongSize(String),
    /// A path that only our own temporary files may have.
    #[error("the vault names {0}, which is simsync's own")]
    Reserved(String),
    /// An object is not what it is called.
    #[error(
        "the vault holds something else than it says: whoever wrote it meant harm, or its terminal is broken"
    )]
    NotThis,
    /// More than anybody's files.
    #[error(
        "the vault's tree names more paths than this terminal takes at once, about two million"
    )]
    TooMuch,
    /// A tail as a whole: its items are not those that were signed, or do not open.
    #[error(
        "what {0} sealed when its card was pulled cannot be used; put the card in there again, or remove that terminal if it is lost"
    )]
    TailDamaged(String),
    /// One item of a tail.
    #[error("what was sealed of {0} when the card was pulled cannot be used")]
    BadItem(String),
    /// A path that the vault names and that must not be used.
    #[error(transparent)]
    BadPath(#[from] BadPath),
    /// A collection's folder cannot be opened or looked at.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// This disk refuses one path.
    #[error("cannot write {0}")]
    Apply(#[from] ApplyError),
    /// A file of our own.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder that was used.
        path: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A guard stopped the sync.
    #[error("{}", alarm_sentence(.collection, .alarm))]
    Guard {
        /// Name of the collection.
        collection: String,
        /// Which check stopped it, and how many entries it is about.
        alarm: Alarm,
    },
    /// The owner looked at the plan and said no.
    #[error("nothing was taken: the review was declined")]
    Declined,
    /// Others commit faster than we can merge.
    #[error("the vault is busy: other terminals kept writing; it is tried again")]
    Busy,
    /// Another program holds the card.
    #[error("{}", crate::card::CardError::Busy)]
    CardBusy,
    /// This terminal is not in the key object.
    #[error("this terminal's pairing was not finished or was undone: run `simsync pair`")]
    NotInVault,
    /// A rule of ours.
    #[error("{0}")]
    Rule(String),
}

impl EngineError {
    /// The server's code, if it was the server that said no.
    pub fn code(&self) -> Option<ServerCode> {
        match self {
            Self::Server(e) => e.code(),
            _ => None,
        }
    }

    /// What it is called where it concerns one path, or what is below it, and nothing else.
    pub fn of_one_path(&self) -> Option<Unsynced> {
        match self {
            Self::MissingObject(_) => Some(Unsynced::VaultIncomplete),
            Self::TooDeep(_) => Some(Unsynced::TooDeep),
            Self::ListingTooLarge(_) => Some(Unsynced::ListingTooLarge),
            Self::Pack(_)
            | Self::Seal(_)
            | Self::Tree(_)
            | Self::BadPath(_)
            | Self::Reserved(_)
            | Self::NotThis
            | Self::TooMuch
            | Self::TailDamaged(_)
            | Self::BadItem(_)
            | Self::WrongSize(_) => Some(Unsynced::VaultDamaged),
            _ => None,
        }
    }

    /// Whether it concerns one path, or what is below it, and nothing else.
    pub fn concerns_one_path(&self) -> bool {
        self.of_one_path().is_some()
    }

    /// What it is called where it concerns one collection, and no other.
    pub fn of_one_collection(&self) -> Option<Unsynced> {
        match self {
            Self::Guard { alarm, .. } => Some(match alarm {
                Alarm::RootMissing | Alarm::NotFolder => Unsynced::RootMissing,
                Alarm::RootEmpty { .. } => Unsynced::RootEmpty,
                Alarm::MassDeletion { .. } => Unsynced::MassDeletion,
            }),
            Self::Scan(_) => Some(Unsynced::Unreadable),
            Self::Apply(e) if e.is_full() => Some(Unsynced::DiskFull),
            Self::Apply(e) if e.is_denied() => Some(Unsynced::NotWritable),
            Self::Apply(_) | Self::Io { .. } => Some(Unsynced::Io),
            other => other.of_one_path(),
        }
    }

    /// Whether a disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Apply(e) => e.is_full(),
            Self::Io { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }

    /// Whether the same may work later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Server(e) => e.is_transient(),
            Self::Busy | Self::CardBusy | Self::MissingObject(_) => true,
            _ => false,
        }
    }

    /// A guard stopped the sync of a collection.
    pub(super) fn guard(collection: &Collection, alarm: Alarm) -> Self {
        Self::Guard {
            collection: collection.name.clone(),
            alarm,
        }
    }

    /// Wraps an error of a file of ours.
    pub fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }
}

fn verdict_sentence(v: &Verdict) -> String {
    match v {
        Verdict::Continue | Verdict::Ended => "the server is as expected".to_owned(),
        Verdict::RolledBack { seen, shown } => format!(
            "the server is behind this terminal: it shows state {shown}, but state {seen} was seen; it was restored from a backup or rolled back. Nothing is written; ask its operator"
        ),
        Verdict::Fork { sequence } => format!(
            "the server shows another history than this terminal saw at state {sequence}. Nothing is written; ask its operator"
        ),
        Verdict::ListRolledBack { seen, shown } => format!(
            "the server shows an older list of keys ({shown}) than this terminal saw ({seen}). Nothing is written; ask its operator"
        ),
        Verdict::Unproven { seen, shown } => format!(
            "the card remembers state {seen} of your data, which nothing that the server shows (up to state {shown}) leads to. Nothing is written"
        ),
    }
}

fn alarm_sentence(collection: &str, alarm: &Alarm) -> String {
    match alarm {
        Alarm::RootMissing => format!("the folder of {collection} is missing"),
        Alarm::NotFolder => format!(
            "where the folder of {collection} was, something else stands now: move that away"
        ),
        Alarm::RootEmpty { had } => format!("{collection} had {had} entries and is empty now"),
        Alarm::MassDeletion { deleted, had } => {
            format!("{deleted} of {had} entries of {collection} would be deleted")
        }
    }
}

/// What is said of a path at which something could not be written.
pub(super) fn code_of(error: &ApplyError) -> Unsynced {
    match error {
        ApplyError::ChangedMeanwhile(_) => Unsynced::ChangedMeanwhile,
        e if e.is_full() => Unsynced::DiskFull,
        e if e.is_denied() => Unsynced::NotWritable,
        ApplyError::Io { .. } => Unsynced::Io,
    }
}
