//! What goes into the store's calls and what comes out of them.

use serde::{Deserialize, Serialize};
use simsync_card::byte_id;
use simsync_card::ids::{CardId, Hash, Point, ServerId, SubscriberId, TerminalId};
use simsync_card::text::CardKeys;
use simsync_protocol::api::{HeadInfo, Revoked, SessionInfo, SessionState};
use simsync_vault::commit::{Commit, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};
use simsync_vault::keyobject::{KeyObject, Wrap};
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::Tail;

byte_id!(
    /// A connection of one run of the server: random, so that a grant outlives neither.
    ConnectionId, 16, "connection ID"
);

/// Seconds since 1970, UTC.
pub type Seconds = u64;

/// Whether a subscriber may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriberState {
    /// Yes.
    Active,
    /// Not for now.
    Suspended,
    /// Never again; the data waits to be collected.
    Removed,
}

/// Whether a card or terminal may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Yes.
    Active,
    /// Never again.
    Revoked,
}

/// A subscriber, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberRow {
    /// Its ID.
    pub subscriber: SubscriberId,
    /// What the operator calls it.
    pub label: String,
    /// May it do anything?
    pub state: SubscriberState,
    /// When it was added.
    pub created: Seconds,
    /// Enrolled cards that are not revoked.
    pub cards: u32,
    /// Paired terminals that are not revoked.
    pub terminals: u32,
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// A re-key is due.
    pub rekey_required: bool,
    /// Stored bytes of packs that are not dropped.
    pub bytes: u64,
}

/// An enrolled card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRow {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Its ID.
    pub card: CardId,
    /// Its label.
    pub label: String,
    /// Its public keys.
    pub keys: CardKeys,
    /// May it do anything?
    pub state: KeyState,
    /// When it was enrolled.
    pub enrolled: Seconds,
    /// Newest session number seen.
    pub last_n: u32,
}

/// A paired terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalRow {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Its ID.
    pub terminal: TerminalId,
    /// Its public key.
    pub key: Point,
    /// Its label.
    pub label: String,
    /// Attributes that it asked for.
    pub attributes: Vec<String>,
    /// May it do anything?
    pub state: KeyState,
    /// When it was first paired.
    pub paired: Seconds,
}

/// Who holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The subscriber.
    pub subscriber: SubscriberId,
    /// Its state.
    pub subscriber_state: SubscriberState,
    /// The terminal.
    pub terminal: TerminalId,
    /// Its public key.
    pub key: Point,
    /// Its state.
    pub terminal_state: KeyState,
}

/// A new subscriber with its first enrolment code.
#[derive(Debug, Clone)]
pub struct AddSubscriber {
    /// Its ID.
    pub subscriber: SubscriberId,
    /// What the operator calls it.
    pub label: String,
    /// Its first code.
    pub code: NewCode,
    /// Now.
    pub now: Seconds,
}

/// An enrolment code, hashed.
#[derive(Debug, Clone, Copy)]
pub struct NewCode {
    /// Hash of the code's bits.
    pub hash: Hash,
    /// When it ends.
    pub expires: Seconds,
}

/// A card introduces itself; its signature was checked.
#[derive(Debug, Clone)]
pub struct Enrol {
    /// Whose it becomes.
    pub subscriber: SubscriberId,
    /// Hash of the code's bits.
    pub code: Hash,
    /// Its ID.
    pub card: CardId,
    /// Its label.
    pub label: String,
    /// Its public keys.
    pub keys: CardKeys,
    /// Now.
    pub now: Seconds,
}

/// A card accepted a terminal; the statement was checked.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Which card.
    pub card: CardId,
    /// The terminal's public key.
    pub key: Point,
    /// Its label.
    pub label: String,
    /// Attributes that it asks for.
    pub attributes: Vec<String>,
    /// The certificate made for it, DER; kept if the terminal is new.
    pub certificate: Vec<u8>,
    /// The binding that the card signed.
    pub binding: Hash,
    /// The card's signature, DER.
    pub statement: Vec<u8>,
    /// Now.
    pub now: Seconds,
}

/// A spare card accepted terminals; its statements were checked.
#[derive(Debug, Clone)]
pub struct AddPairings {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Which card.
    pub card: CardId,
    /// What the card signed with each terminal: the hash of the key object in force.
    pub binding: Hash,
    /// Terminals, each with the card's signature, DER.
    pub pairings: Vec<(TerminalId, Vec<u8>)>,
    /// Now.
    pub now: Seconds,
}

/// A grant to be written down.
#[derive(Debug, Clone, Copy)]
pub struct NewGrant {
    /// Hash of the grant.
    pub hash: Hash,
    /// The only connection that it is good for.
    pub connection: ConnectionId,
    /// Hash of the only certificate that it is good for.
    pub certificate: Hash,
    /// When it ends.
    pub expires: Seconds,
}

/// What the terminal knows already.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Sequence of its newest commit, or 0.
    pub sequence: u64,
    /// Number of its newest key object, or 0.
    pub list: u32,
}

/// A session to be opened; everything that needs no store was checked.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Whose.
    pub subscriber: SubscriberId,
    /// The card's statement.
    pub statement: SessionStatement,
    /// Its grant.
    pub grant: NewGrant,
    /// What needs no answer.
    pub known: Known,
    /// Now.
    pub now: Seconds,
}

/// A session that goes on; the card's signature was checked.
#[derive(Debug, Clone)]
pub struct RenewSession {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Which terminal.
    pub terminal: TerminalId,
    /// Which session.
    pub session: SessionRef,
    /// Its new grant.
    pub grant: NewGrant,
    /// What needs no answer.
    pub known: Known,
    /// Now.
    pub now: Seconds,
}

/// What a terminal learns when its session is open.
#[derive(Debug, Clone, Default)]
pub struct SessionView {
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// Signed commits after the known one.
    pub commits: Vec<Vec<u8>>,
    /// Signed key objects after the known one.
    pub key_objects: Vec<Vec<u8>>,
    /// Wraps of the newest.
    pub wraps: Vec<Wrap>,
    /// Signed tails that no commit names.
    pub tails: Vec<Vec<u8>>,
    /// For each terminal its newest session on this card.
    pub sessions: Vec<SessionInfo>,
    /// A re-key is due.
    pub rekey_required: bool,
}

/// To what a grant was narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything that the terminal may do.
    Full,
    /// Upload and commit.
    Upload,
    /// Nothing.
    Nothing,
}

/// A grant as it was written down, and what became of its session since.
#[derive(Debug, Clone)]
pub struct GrantRow {
    /// Which session.
    pub session: SessionRef,
    /// Which terminal.
    pub terminal: TerminalId,
    /// The only connection.
    pub connection: ConnectionId,
    /// Hash of the only certificate.
    pub certificate: Hash,
    /// When it ends.
    pub expires: Seconds,
    /// What is left of it.
    pub scope: Scope,
    /// Newest session number of the card.
    pub last_n: u32,
    /// State of the card.
    pub card_state: KeyState,
}

/// The newest key object.
#[derive(Debug, Clone)]
pub struct KeyObjectView {
    /// Signed.
    pub signed: Vec<u8>,
    /// Its wraps.
    pub wraps: Vec<Wrap>,
    /// A re-key is due.
    pub rekey_required: bool,
    /// What it names and was revoked since.
    pub revoked: Revoked,
}

/// Commits and tails after a sequence number.
#[derive(Debug, Clone, Default)]
pub struct CommitsView {
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// Signed commits.
    pub commits: Vec<Vec<u8>>,
    /// Signed tails that no commit names.
    pub tails: Vec<Vec<u8>>,
}

/// What a terminal may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Is there a vault?
    pub vault: bool,
    /// The terminal's collections in the key object in force.
    pub collections: Vec<CollectionId>,
}

/// A commit, read and checked as far as it needs no store.
#[derive(Debug, Clone)]
pub struct PutCommit {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Which terminal sends it.
    pub terminal: TerminalId,
    /// The session of its grant.
    pub session: SessionRef,
    /// This server.
    pub server: ServerId,
    /// The commit.
    pub commit: Commit,
    /// The key object that takes effect with it.
    pub key_object: Option<(KeyObject, Vec<Wrap>)>,
    /// Now.
    pub now: Seconds,
}

/// A tail, read; signatures are checked in the store's transaction with the keys found there.
#[derive(Debug, Clone)]
pub struct PutTail {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Which terminal delivers it.
    pub terminal: TerminalId,
    /// The tail.
    pub tail: Tail,
    /// Now.
    pub now: Seconds,
}

/// How far a pack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackStatus {
    /// Not all there.
    Uploading,
    /// Durable; no commit names it.
    Complete,
    /// Part of the vault.
    Committed,
    /// No longer part of the vault; kept for its history.
    Dropped,
}

/// A pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRow {
    /// Name, collection and size.
    pub pack: PackRef,
    /// How far it is.
    pub status: PackStatus,
    /// Bytes that are durable, while it is uploading.
    pub received: u64,
    /// SHA-256 of its bytes, when it is complete.
    pub hash: Option<Hash>,
    /// Who uploaded it.
    pub terminal: TerminalId,
}

/// A pack about to be uploaded in parts.
#[derive(Debug, Clone)]
pub struct BeginPack {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Name, collection and size.
    pub pack: PackRef,
    /// Who uploads it.
    pub terminal: TerminalId,
    /// Now.
    pub now: Seconds,
}

/// Packs that are durable in the blob store now.
#[derive(Debug, Clone)]
pub struct CompletePacks {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Who uploaded them.
    pub terminal: TerminalId,
    /// Each with the SHA-256 of its bytes.
    pub packs: Vec<(PackRef, Hash)>,
    /// Now.
    pub now: Seconds,
}

/// What became of a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TailStatus {
    /// Waits to be merged.
    Waiting,
    /// A commit names it, or one that replaces it.
    Merged,
    /// Came from a revoked terminal or card.
    Quarantined,
    /// The owner gave it up.
    Forgotten,
}

/// What the rules need to know about a tail.
#[derive(Debug, Clone)]
pub struct TailRow {
    /// Of which session.
    pub session: SessionRef,
    /// Whose.
    pub terminal: TerminalId,
    /// Hash of its body.
    pub hash: Hash,
    /// What became of it.
    pub status: TailStatus,
    /// Earlier tails that it holds too.
    pub replaces: Vec<SessionRef>,
}

/// What the rules need to know about a session.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Card and number.
    pub session: SessionRef,
    /// Whose.
    pub terminal: TerminalId,
    /// The card's statement.
    pub statement: SessionStatement,
    /// What became of it.
    pub state: SessionState,
    /// What is left of its grant.
    pub scope: Scope,
}

/// Who did something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The operator, through the local socket or the command line.
    Operator,
    /// A terminal.
    Terminal(TerminalId),
    /// A card.
    Card(CardId),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Terminal(id) => write!(f, "terminal {id}"),
            Self::Card(id) => write!(f, "card {id}"),
        }
    }
}

/// An entry for the audit log.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// About whom; `None` for the server itself.
    pub subscriber: Option<SubscriberId>,
    /// By whom.
    pub actor: Actor,
    /// What, in a few words with dashes.
    pub action: &'static str,
    /// Further facts; never a secret.
    pub detail: serde_json::Value,
    /// Now.
    pub now: Seconds,
}

/// Which packs of a subscriber: IDs to look up.
pub type PackIds = Vec<PackId>;
