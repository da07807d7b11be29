//! The daemon as its users see it, whatever they speak: status, commands, jobs, agents. D-Bus is one way to it.

mod agents;

use simsync_codes::{CardState, Code, JobState, State, Unsynced};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use simsync_protocol::api::MovingTo;
use tokio::sync::{mpsc, oneshot, watch};

pub use agents::{
    AgentError, Agents, Caller, Message, PadPurpose, PadRequest, PadShown, Secret, SecretKind,
    SecretRequest,
};

/// Why nothing happens, or what is in the way: a stable code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable, for programs; listed in docs/errors.md.
    pub code: Code,
    /// For people: what is the matter and what to do next.
    pub sentence: String,
}

/// A sentence may hold names that somebody else chose. It is made safe to look at here, once, for every program on the bus.
fn one_line(sentence: String) -> String {
    match simsync_shell::visible(&sentence) {
        Cow::Borrowed(_) => sentence,
        Cow::Owned(seen) => seen,
    }
}

impl Reason {
    /// The sentence is made safe to show: it may hold names that somebody else chose.
    pub fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self {
            code,
            sentence: one_line(sentence.into()),
        }
    }
}

/// A card in a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardStatus {
    /// Name of the reader, as in `Status::readers`.
    pub reader: String,
    /// Whether it was looked at, whose it is, and whether it can be used.
    pub state: CardState,
    /// PIN tries left, when known.
    pub pin_tries: Option<u8>,
    /// The PIN must be changed before anything else.
    pub pin_must_change: bool,
    /// The card's ID, when it is one of ours.
    pub card: Option<String>,
    /// It carries the open session.
    pub in_use: bool,
}

/// A SIM without our applet that is in: presence, and nothing that unlocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimStatus {
    /// The last digits of its number.
    pub iccid: String,
    /// `modem` or `reader`, and its name.
    pub place: String,
    /// The owner registered it.
    pub registered: bool,
}

/// A collection of the vault, synced on this terminal or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionStatus {
    /// ID, hex.
    pub id: String,
    /// `files` or another attribute.
    pub attribute: String,
    /// The owner's name for it.
    pub name: String,
    /// Folder on this terminal; none if it is not synced here.
    pub path: Option<String>,
    /// Stands for what its owner has to decide, as the list says it now; empty if there is nothing.
    pub question: String,
}

/// A terminal of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalStatus {
    /// ID, hex.
    pub id: String,
    /// Label, as its owner chose it.
    pub label: String,
    /// It is the terminal that this daemon runs on.
    pub own: bool,
    /// Names of its collections.
    pub collections: Vec<String>,
    /// It has not finished uploading (or the server hides it), as the card says.
    pub unfinished: bool,
}

/// Everything that can be seen from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// In one word, which says at once whether data is where it should be.
    pub state: State,
    /// Why nothing happens, or what is in the way; empty when all is well.
    pub reasons: Vec<Reason>,
    /// The subscriber, once paired.
    pub subscriber: Option<String>,
    /// This terminal's ID, once it has one.
    pub terminal: Option<String>,
    /// This terminal's label.
    pub label: String,
    /// The server, once paired.
    pub server: Option<String>,
    /// Whether the server answers; none while nobody tried.
    pub online: Option<bool>,
    /// Where the server announces to move, and its CA's pin there: what the owner has to agree to.
    pub server_moves: Option<(String, String)>,
    /// Readers by name.
    pub readers: Vec<String>,
    /// Cards in readers.
    pub cards: Vec<CardStatus>,
    /// SIMs in modems and readers.
    pub sims: Vec<SimStatus>,
    /// Collections that are known here.
    pub collections: Vec<CollectionStatus>,
    /// The person's terminals.
    pub terminals: Vec<TerminalStatus>,
    /// The login session is active; none if nobody can tell.
    pub login_active: Option<bool>,
    /// The login session is locked; none if nobody can tell.
    pub login_locked: Option<bool>,
    /// The terminal's key is unsealed.
    pub unsealed: bool,
    /// Number of the open session on the card.
    pub session: Option<u32>,
    /// Sequence number of the newest commit known here.
    pub sequence: u64,
    /// Tails that wait to be delivered.
    pub tails_waiting: u32,
    /// Paths whose changes are in them.
    pub sealed_changes: u64,
    /// Conflicts that were kept as both.
    pub conflicts: u32,
    /// Paths that are not where they should be until a person does something.
    pub need_attention: u64,
    /// Paths that are not where they should be, and are tried again by themselves.
    pub tried_again: u64,
    /// When the last sync ended well, milliseconds since 1970.
    pub last_sync_ms: Option<i64>,
    /// The last thing that went wrong.
    pub last_error: Option<Reason>,
    /// Times of the last handover in milliseconds since 1970, for whoever measures: `inserted`, `pin`, `opened`, `synced`,
    /// `removed`, `wiped`, `tail-delivered`.
    pub marks: BTreeMap<String, i64>,
    /// What the last removal left: `items` sealed, of these `referenced` (uploaded before), `left` for the next session,
    /// `bytes`.
    pub last_tail: BTreeMap<String, u64>,
    /// Jobs that run, by number.
    pub jobs: Vec<u64>,
}

/// What the user can command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask for the PIN and open the session, if a card of ours is in.
    Unlock,
    /// Pair this terminal with the card that is in.
    Pair {
        /// What this terminal is called; the configured label if empty.
        label: String,
    },
    /// Undo the pairing, in good order.
    Unpair,
    /// Forget the pairing here, without telling anybody.
    ForgetPairing,
    /// Sync now.
    Sync {
        /// Show what would be taken and wait for [`JobControl::Confirm`].
        review: bool,
        /// Deletions en masse are meant.
        allow_deletions: bool,
    },
    /// Upload everything, close the session; the card can be taken then.
    Eject,
    /// Register a collection on this terminal: a new one, or one of the vault (by ID or name).
    AddCollection {
        /// `files`; any other is refused so far.
        attribute: String,
        /// Name, or ID of one that is in the vault.
        name: String,
        /// Folder, absolute.
        path: String,
    },
    /// Answer for a collection of which much is missing: it is gone on purpose, or it is to be given back.
    AnswerCollection {
        /// ID or name.
        collection: String,
        /// What is missing is gone on purpose; else it is given back.
        deleted: bool,
        /// What was asked, as [`CollectionStatus::question`] was when it was shown.
        question: String,
    },
    /// Stop syncing a collection here. Its files stay.
    RemoveCollection {
        /// ID or name.
        collection: String,
    },
    /// Change the PIN of the card that is in: on its reader's PIN pad, or an agent asks for the present and the new one.
    ChangeCardPin,
    /// Seal this terminal's key under a new PIN. An agent asks for the present and the new one.
    ChangeTerminalPin,
    /// Stop waiting for a terminal's unfinished upload.
    Forget {
        /// Terminal ID, its first characters, or its label.
        terminal: String,
    },
    /// One step of adding a card: which one, the cards in the readers say.
    AddCard,
    /// Go on from what the server shows, where nobody can prove what the card remembers.
    AcceptRestored,
    /// Take a lost card out of the vault.
    RemoveCard {
        /// Card ID, or its first characters.
        card: String,
    },
    /// Agree that the server moves where it announced.
    ConfirmServer {
        /// Its new place, as it was shown.
        to: MovingTo,
    },
    /// Take a lost terminal out of the vault and off the card.
    RemoveTerminal {
        /// Terminal ID, its first characters, or its label.
        terminal: String,
    },
}

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// Stable code; D-Bus error names and exit codes hang on it (docs/errors.md).
    pub code: Code,
    /// What happened and what to do next.
    pub sentence: String,
}

impl Failure {
    /// The sentence is made safe to show: it may hold names that somebody else chose.
    pub fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self {
            code,
            sentence: one_line(sentence.into()),
        }
    }
}

impl From<Reason> for Failure {
    fn from(r: Reason) -> Self {
        Self {
            code: r.code,
            sentence: r.sentence,
        }
    }
}

/// How a job is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Number of the job, counted from the daemon's start.
    pub id: u64,
    /// `pair`, `sync`, `eject` and so on.
    pub kind: String,
    /// Whether it runs, waits for an answer to its review, or how it ended.
    pub state: JobState,
    /// What is going on: `reading`, `fetching`, `writing`, `committing`, …
    pub step: String,
    /// Files done and to do in this step.
    pub files_done: u64,
    /// 0 while unknown.
    pub files_total: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Lines of a review: collection, path, `write` or `delete`, size.
    pub review: Vec<(String, String, String, u64)>,
    /// Changes of the review that have no line; a yes takes them, too.
    pub review_more: u64,
    /// What it gave, when done: names and values for people and programs.
    pub result: BTreeMap<String, String>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// A job that runs or has ended.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its present state.
    pub status: watch::Receiver<JobStatus>,
    /// Cancels it, or answers its review.
    pub control: mpsc::Sender<JobControl>,
}

impl Job {
    /// Number of the job, counted from the daemon's start.
    pub fn id(&self) -> u64 {
        self.status.borrow().id
    }
}

/// What can be said to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobControl {
    /// Ends the job as soon as it can be ended.
    Cancel,
    /// Go on with what the review showed.
    Confirm,
}

/// An entry of the log: one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Sequence number.
    pub sequence: u64,
    /// Hash, hex.
    pub hash: String,
    /// Terminal ID, hex.
    pub terminal: String,
    /// Label, as its owner chose it.
    pub label: String,
    /// Session number on its card.
    pub session: u32,
    /// The session's last commit.
    pub closing: bool,
    /// Tails that it merged.
    pub tails: u32,
}

/// A kept-aside version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictEntry {
    /// Number of the conflict on this terminal.
    pub id: i64,
    /// Collection's name.
    pub collection: String,
    /// The path that both sides wrote.
    pub path: String,
    /// Where the one that gave way is.
    pub aside: String,
    /// When it was found, milliseconds since 1970.
    pub time_ms: i64,
}

/// Something that is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutstandingEntry {
    /// Why: a stable code of docs/errors.md.
    pub code: Unsynced,
    /// Collection's name.
    pub collection: String,
    /// Where; empty is the collection itself, or further paths of which only the number is known.
    pub path: String,
    /// What the system said, or empty.
    pub detail: String,
    /// What a person can do about it, or that it is tried again: `Unsynced::remedy`.
    pub remedy: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// How many paths this stands for.
    pub count: u64,
    /// It stays so until a person does something.
    pub needs_person: bool,
}

/// One of the person's cards, as the vault names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultCard {
    /// ID, hex.
    pub card: String,
    /// It carries the open session.
    pub in_use: bool,
    /// It has opened a session on this terminal before.
    pub used_here: bool,
}

/// What the service is told and asked.
pub enum Request {
    /// Start a job.
    Command(
        Command,
        Option<Caller>,
        oneshot::Sender<Result<Job, Failure>>,
    ),
    /// The newest commits, newest first, at most this many.
    Log(u32, oneshot::Sender<Result<Vec<LogEntry>, Failure>>),
    /// What is not where it should be.
    Outstanding(oneshot::Sender<Result<Vec<OutstandingEntry>, Failure>>),
    /// Kept-aside versions.
    Conflicts(oneshot::Sender<Result<Vec<ConflictEntry>, Failure>>),
    /// A job that runs, whoever started it.
    Job(u64, oneshot::Sender<Result<Job, Failure>>),
    /// The person's cards.
    Cards(oneshot::Sender<Result<Vec<VaultCard>, Failure>>),
    /// Stop in good order.
    Stop,
}

/// The way to a running service. Clones share it.
#[derive(Clone)]
pub struct Handle {
    /// To the daemon's loop.
    pub requests: mpsc::Sender<Request>,
    /// Status, always the newest.
    pub status: watch::Receiver<Arc<Status>>,
}

fn stopping() -> Failure {
    Failure::new(
        Code::Stopping,
        "simsyncd is stopping; try again when it runs",
    )
}

impl Handle {
    async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Request,
    ) -> Result<T, Failure> {
        let (tx, rx) = oneshot::channel();
        self.requests.send(make(tx)).await.map_err(|_| stopping())?;
        rx.await.map_err(|_| stopping())?
    }

    /// Starts a job. What it asks for goes to the caller's agents.
    pub async fn command(&self, command: Command, by: Option<Caller>) -> Result<Job, Failure> {
        self.ask(|tx| Request::Command(command, by, tx)).await
    }

    /// A job that runs, by its number.
    pub async fn job(&self, id: u64) -> Result<Job, Failure> {
        self.ask(|tx| Request::Job(id, tx)).await
    }

    /// The newest commits.
    pub async fn log(&self, limit: u32) -> Result<Vec<LogEntry>, Failure> {
        self.ask(|tx| Request::Log(limit, tx)).await
    }

    /// The person's cards.
    pub async fn cards(&self) -> Result<Vec<VaultCard>, Failure> {
        self.ask(Request::Cards).await
    }

    /// What is not where it should be, oldest first.
    pub async fn outstanding(&self) -> Result<Vec<OutstandingEntry>, Failure> {
        self.ask(Request::Outstanding).await
    }

    /// Kept-aside versions.
    pub async fn conflicts(&self) -> Result<Vec<ConflictEntry>, Failure> {
        self.ask(Request::Conflicts).await
    }
}
