//! Everything that the daemon shows, as one value.

use std::collections::BTreeMap;

use serde::Serialize;
use simsync_codes::{CardState, Code, JobState, State, Unsynced};
use zbus::OwnedObjectPath;
use zbus::fdo::ManagedObjects;

use crate::properties::{Properties, get, known, pair, some_text, text};
use crate::word::Word;

/// A code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Stable, for programs.
    pub code: Word<Code>,
    /// What a person is told; its wording may change.
    pub sentence: String,
}

/// A card in a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Name of the reader that the card is in.
    pub reader: String,
    /// `looking`, `foreign`, `sim`, `unpaired`, `paired`, `blocked` or `failed`.
    pub state: Word<CardState>,
    /// PIN tries left, when known.
    pub pin_tries: Option<i32>,
    /// The PIN must be changed first.
    pub pin_must_change: bool,
    /// Its ID, when known.
    pub id: Option<String>,
    /// It carries the open session.
    pub in_use: bool,
}

/// Where a server announces to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerMove {
    /// Its new address.
    pub address: String,
    /// The pin of its CA there, in hex.
    pub ca_pin: String,
}

/// A SIM that is in: presence, and nothing that unlocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sim {
    /// The last digits of its number.
    pub iccid: String,
    /// `modem` or `reader`, and its name.
    pub place: String,
    /// The owner registered it.
    pub registered: bool,
}

/// A collection of the vault, synced on this terminal or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// ID, in hex.
    pub id: String,
    /// Its attribute: what it holds. Only `files` can be synced so far.
    pub attribute: String,
    /// Name, as its owner chose it.
    pub name: String,
    /// Folder here; none if it is not synced here.
    pub path: Option<String>,
    /// Stands for what its owner has to decide; empty if there is nothing.
    pub question: String,
}

/// A terminal that is paired with the person's cards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Terminal {
    /// ID, in hex.
    pub id: String,
    /// Label, as its owner chose it.
    pub label: String,
    /// It is the terminal on which this program runs.
    pub own: bool,
    /// Names of its collections.
    pub collections: Vec<String>,
    /// It has not finished uploading.
    pub unfinished: bool,
}

/// A job that runs, or ended a short while ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobLine {
    /// Number of the job, counted from the daemon's start.
    pub id: u64,
    /// What it is for: `pair`, `sync`, `eject` and so on.
    pub kind: String,
    /// `running`, `waiting`, `done`, `failed` or `cancelled`.
    pub state: Word<JobState>,
    /// What it does now: `reading`, `fetching`, `writing`, `committing` and so on.
    pub step: String,
    /// Files done in this step.
    pub files_done: u64,
    /// Files to do; 0 while unknown.
    pub files_total: u64,
    /// Bytes moved.
    pub bytes: u64,
}

/// Something that is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outstanding {
    /// Why: a stable code.
    pub code: Word<Unsynced>,
    /// Collection's name.
    pub collection: String,
    /// Where; empty is the collection itself, or further paths of which only the number is known.
    pub path: String,
    /// What the system said, or empty.
    pub detail: String,
    /// What a person can do about it.
    pub remedy: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// How many paths this stands for.
    pub count: u64,
    /// It stays so until a person does something.
    pub needs_person: bool,
}

impl Outstanding {
    /// From what the bus gave.
    pub fn new(p: &Properties) -> Self {
        Self {
            code: text(p, "code").into(),
            collection: text(p, "collection"),
            path: text(p, "path"),
            detail: text(p, "detail"),
            remedy: text(p, "remedy"),
            since_ms: get(p, "since_ms"),
            count: get(p, "count"),
            needs_person: get(p, "needs_person"),
        }
    }
}

/// All that the daemon shows on the bus. `simsync status` prints it, as JSON or in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The daemon's version.
    pub version: String,
    /// What the daemon is doing, in one word.
    pub state: Word<State>,
    /// Why nothing happens, or what is in the way.
    pub reasons: Vec<Reason>,
    /// ID of the subscriber; none while this terminal is not paired.
    pub subscriber: Option<String>,
    /// This terminal's ID.
    pub terminal: Option<String>,
    /// This terminal's label.
    pub label: String,
    /// Address of the server; none while this terminal is not paired.
    pub server: Option<String>,
    /// Whether the server answers; none while nobody knows.
    pub online: Option<bool>,
    /// Where the server announces to move: what the owner has to agree to.
    pub server_moves_to: Option<ServerMove>,
    /// Whether the login session is active.
    pub login_active: Option<bool>,
    /// Whether the login session is locked.
    pub login_locked: Option<bool>,
    /// The terminal's key is unsealed.
    pub unsealed: bool,
    /// Number of the open session.
    pub session: Option<u32>,
    /// Newest commit known here.
    pub sequence: u64,
    /// Sealed changes that wait to be delivered.
    pub tails_waiting: u32,
    /// Files whose changes are in these.
    pub sealed_changes: u64,
    /// Kept-aside versions.
    pub conflicts: u32,
    /// Paths that are not in sync until a person does something.
    pub need_attention: u64,
    /// Paths that are not in sync yet, and are tried again by themselves.
    pub tried_again: u64,
    /// Both, with what helps.
    pub outstanding: Vec<Outstanding>,
    /// When the last sync ended well, milliseconds since 1970.
    pub last_sync_ms: Option<i64>,
    /// The last thing that went wrong.
    pub last_error: Option<Reason>,
    /// Times of the last handover, milliseconds since 1970.
    pub marks: BTreeMap<String, i64>,
    /// What the last removal left.
    pub last_tail: BTreeMap<String, u64>,
    /// Somebody can be asked for a PIN.
    pub has_agent: bool,
    /// The program that is asked where nobody's order leads to a prompt: at an insertion.
    pub default_agent: Option<String>,
    /// Names of all readers, with a card or without one.
    pub readers: Vec<String>,
    /// Cards that are in a reader, of simsync or not.
    pub cards: Vec<Card>,
    /// SIMs in modems and readers.
    pub sims: Vec<Sim>,
    /// Collections, by name.
    pub collections: Vec<Collection>,
    /// Terminals, this one first.
    pub terminals: Vec<Terminal>,
    /// Jobs, by number.
    pub jobs: Vec<JobLine>,
}

fn reason((code, sentence): (String, String)) -> Reason {
    Reason {
        code: code.into(),
        sentence,
    }
}

/// The objects with an interface, and its properties, in the order of their paths.
fn of<'a>(
    objects: &'a ManagedObjects,
    interface: &'a str,
) -> impl Iterator<Item = (&'a OwnedObjectPath, Properties)> {
    let mut found: Vec<_> = objects
        .iter()
        .filter_map(move |(path, interfaces)| {
            let (_, p) = interfaces.iter().find(|(i, _)| i.as_str() == interface)?;
            Some((path, p.clone()))
        })
        .collect();
    found.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    found.into_iter()
}

impl Snapshot {
    /// From what the bus gave.
    pub fn new(
        manager: &Properties,
        objects: &ManagedObjects,
        outstanding: Vec<Outstanding>,
    ) -> Self {
        let p = manager;
        let mut collections: Vec<Collection> = of(objects, "org.simsync.SimSync1.Collection")
            .map(|(_, p)| Collection {
                id: text(&p, "Id"),
                attribute: text(&p, "Attribute"),
                name: text(&p, "Name"),
                path: some_text(&p, "Path"),
                question: text(&p, "Question"),
            })
            .collect();
        collections.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let mut terminals: Vec<Terminal> = of(objects, "org.simsync.SimSync1.Terminal")
            .map(|(_, p)| Terminal {
                id: text(&p, "Id"),
                label: text(&p, "Label"),
                own: get(&p, "Own"),
                collections: get(&p, "Collections"),
                unfinished: get(&p, "Unfinished"),
            })
            .collect();
        terminals.sort_by(|a, b| (!a.own, &a.label).cmp(&(!b.own, &b.label)));
        let mut jobs: Vec<JobLine> = of(objects, "org.simsync.SimSync1.Job")
            .map(|(_, p)| JobLine {
                id: get(&p, "Id"),
                kind: text(&p, "Kind"),
                state: text(&p, "State").into(),
                step: text(&p, "Step"),
                files_done: get(&p, "FilesDone"),
                files_total: get(&p, "FilesTotal"),
                bytes: get(&p, "Bytes"),
            })
            .collect();
        jobs.sort_by_key(|j| j.id);
        let reasons: Vec<(String, String)> = get(p, "PauseReasons");
        let sims: Vec<(String, String, bool)> = get(p, "Sims");
        Self {
            version: text(p, "Version"),
            state: text(p, "State").into(),
            reasons: reasons.into_iter().map(reason).collect(),
            subscriber: some_text(p, "Subscriber"),
            terminal: some_text(p, "TerminalId"),
            label: text(p, "Label"),
            server: some_text(p, "Server"),
            online: known(p, "Online"),
            server_moves_to: pair(p, "ServerMovesTo")
                .map(|(address, ca_pin)| ServerMove { address, ca_pin }),
            login_active: known(p, "LoginActive"),
            login_locked: known(p, "LoginLocked"),
            unsealed: get(p, "Unsealed"),
            session: Some(get(p, "Session")).filter(|n| *n != 0),
            sequence: get(p, "Sequence"),
            tails_waiting: get(p, "TailsWaiting"),
            sealed_changes: get(p, "SealedChanges"),
            conflicts: get(p, "ConflictCount"),
            need_attention: get(p, "NeedAttention"),
            tried_again: get(p, "TriedAgain"),
            outstanding,
            last_sync_ms: Some(get(p, "LastSync")).filter(|t| *t != 0),
            last_error: pair(p, "LastError").map(reason),
            marks: get(p, "Marks"),
            last_tail: get(p, "LastTail"),
            has_agent: get(p, "HasAgent"),
            default_agent: some_text(p, "DefaultAgent"),
            readers: of(objects, "org.simsync.SimSync1.Reader")
                .map(|(_, p)| text(&p, "Name"))
                .collect(),
            cards: of(objects, "org.simsync.SimSync1.Card")
                .map(|(_, p)| Card {
                    reader: text(&p, "ReaderName"),
                    state: text(&p, "State").into(),
                    pin_tries: Some(get(&p, "PinTries")).filter(|n| *n >= 0),
                    pin_must_change: get(&p, "PinMustChange"),
                    id: some_text(&p, "Id"),
                    in_use: get(&p, "InUse"),
                })
                .collect(),
            sims: sims
                .into_iter()
                .map(|(iccid, place, registered)| Sim {
                    iccid,
                    place,
                    registered,
                })
                .collect(),
            collections,
            terminals,
            jobs,
        }
    }
}
