//! Bodies of requests and answers. Paths and rights are listed with each type.
//!
//! Rights: *open* = TLS only; *certificate* = a paired terminal's certificate; *grant* = certificate and the header
//! [`GRANT_HEADER`] with a living grant of this very connection.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use simsync_card::byte_id;
use simsync_card::ids::{CardId, Hash, ServerId, SubscriberId, TerminalId};
use simsync_card::sign::Sig;
use simsync_card::text::CardKeys;
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::PackId;
use simsync_vault::keyobject::Wrap;
use simsync_vault::statement::SessionStatement;

use crate::address::ServerAddress;

/// Header that carries a grant.
pub const GRANT_HEADER: &str = "simsync-grant";
/// Header by which the packs of a tail are let in after the grant is gone: the session's statement, as JSON.
pub const STATEMENT_HEADER: &str = "simsync-session";
/// Label of the TLS exporter (RFC 9266), with an empty context, 32 bytes.
pub const EXPORTER_LABEL: &str = "EXPORTER-Channel-Binding";
/// Lifetime of a nonce, in seconds.
pub const NONCE_SECONDS: u64 = 120;
/// Lifetime of a grant, in seconds.
pub const GRANT_SECONDS: u64 = 30 * 60;
/// Largest JSON body, in bytes.
pub const JSON_MAX: usize = 16 << 20;
/// Largest JSON answer, in bytes.
pub const ANSWER_MAX: usize = 32 << 20;
/// Largest pack, and most that one request for packs answers, in bytes.
pub const PACK_MAX: u64 = 64 << 20;
/// Most packs in one answer.
pub const BATCH_PACKS_MAX: usize = 1024;
/// Most commits in one answer; ask again from the last one for more.
pub const COMMITS_PER_ANSWER: usize = 256;

byte_id!(
    /// A server nonce: single use, two minutes, bound to its connection.
    Nonce, 16, "nonce"
);
byte_id!(
    /// A grant: a random number that means rights for one certificate on one connection.
    Grant, 32, "grant"
);

/// Bytes that travel in JSON as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct B64(pub Vec<u8>);

impl Serialize for B64 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for B64 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        BASE64_STANDARD
            .decode(s.as_bytes())
            .map(Self)
            .map_err(|e| D::Error::custom(format!("not base64: {e}")))
    }
}

/// `POST /v1/nonce` (open) answers this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceAnswer {
    /// The server's ID, part of every binding.
    pub server: ServerId,
    /// A fresh nonce.
    pub nonce: Nonce,
    /// The operator announces that the server moves. The terminal's owner decides what to make of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<MovingTo>,
}

/// Where a server will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingTo {
    /// Its new address.
    pub address: ServerAddress,
    /// The pin of its CA there.
    pub ca_pin: Hash,
}

/// `POST /v1/enrol` (open). Idempotent for equal code, card and keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Whose card it becomes.
    pub subscriber: SubscriberId,
    /// The enrolment code as typed; case, spaces and dashes do not matter.
    pub code: String,
    /// The number that the card drew for itself; the signature is over it, too.
    pub card: CardId,
    /// The card's label, for lists.
    pub label: String,
    /// Its public keys.
    pub keys: CardKeys,
    /// The nonce that the signature is over, with the exporter.
    pub nonce: Nonce,
    /// The card's signature (domain "enrol").
    pub signature: Sig,
}

/// Answer to [`EnrolRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolAnswer {
    /// The card was known with this code already: nothing changed.
    pub already: bool,
}

/// `POST /v1/pair` (open). Idempotent for the same terminal key and card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairRequest {
    /// The subscriber, as the card says.
    pub subscriber: SubscriberId,
    /// The card that accepted the terminal.
    pub card: CardId,
    /// The nonce of the binding.
    pub nonce: Nonce,
    /// The terminal's label.
    pub label: String,
    /// The card's signature (domain "pair") over terminal ID and binding (with H(CSR)).
    pub statement: Sig,
    /// PKCS #10, DER, with the terminal's P-256 key.
    pub csr: B64,
    /// Attributes that the terminal wants to sync, for the operator's list.
    pub attributes: Vec<String>,
}

/// Answer to [`PairRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairAnswer {
    /// The terminal's certificate, DER.
    pub certificate: B64,
}

/// A card's word that it stored a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalPairing {
    /// A terminal of the key object in force, to which the card gave a slot.
    pub terminal: TerminalId,
    /// The card's signature (domain "pair") with H(key object in force) as binding.
    pub statement: Sig,
}

/// `POST /v1/pairings` (certificate): a spare card accepted terminals of the key object in force, which names the card
/// and them. Idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingsRequest {
    /// The spare card.
    pub card: CardId,
    /// The terminals that it stored.
    pub pairings: Vec<TerminalPairing>,
}

/// `GET /v1/key-object` (certificate): the newest key object; 404 `no-vault` before the first commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyObjectAnswer {
    /// The signed key object (`KeyObject::to_bytes`).
    pub signed: B64,
    /// All its wraps.
    pub wraps: Vec<Wrap>,
    /// An operator revoked something since: the next session re-keys before it writes.
    pub rekey_required: bool,
    /// What it names and was revoked since: the next epoch leaves it out.
    pub revoked: Revoked,
}

/// What was revoked of all that a key object names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Cards that were revoked.
    pub cards: Vec<CardId>,
    /// Terminals that were revoked.
    pub terminals: Vec<TerminalId>,
}

/// `GET /v1/key-objects?after=LIST_NUMBER` (certificate): those that followed, oldest first, without wraps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyObjectsAnswer {
    /// Signed key objects.
    pub key_objects: Vec<B64>,
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Neither closed nor followed by a tail.
    Open,
    /// A closing commit, or a merged tail, covers it.
    Closed,
    /// Its tail is here and waits to be merged.
    TailDelivered,
    /// The owner gave up waiting for its tail (`simsync forget`).
    Forgotten,
    /// Its tail came from a terminal that was revoked by then; it waits for the owner's word.
    Quarantined,
}

/// One session as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Card and number.
    pub session: SessionRef,
    /// The terminal that opened it.
    pub terminal: TerminalId,
    /// Whether a closing commit, a tail or the owner ended it.
    pub state: SessionState,
    /// Newest commit of this session that was accepted.
    pub last_commit: Option<Hash>,
}

/// `POST /v1/sessions` (certificate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSessionRequest {
    /// The card's statement; its binding must be that of this connection and `nonce`.
    pub statement: SessionStatement,
    /// The nonce of the binding.
    pub nonce: Nonce,
    /// Sequence of the newest commit that the terminal verified; 0 if none. Commits after it are answered.
    pub known_sequence: u64,
    /// Number of the newest key object that the terminal verified; 0 if none.
    pub known_list: u32,
}

/// The newest commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadInfo {
    /// Hash of the commit.
    pub hash: Hash,
    /// Its sequence number.
    pub sequence: u64,
    /// Epoch of the key that it is sealed with.
    pub epoch: u32,
    /// The list number in force.
    pub list_number: u32,
}

/// Answer to [`OpenSessionRequest`] and [`RenewRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionAnswer {
    /// Goes into [`GRANT_HEADER`], on this connection only.
    pub grant: Grant,
    /// Seconds until it ends, unless renewed.
    pub expires_in: u64,
    /// The newest commit, if there is one.
    pub head: Option<HeadInfo>,
    /// Commits after `known_sequence`, oldest first, at most [`COMMITS_PER_ANSWER`].
    pub commits: Vec<B64>,
    /// Key objects after `known_list`, oldest first.
    pub key_objects: Vec<B64>,
    /// Wraps of the newest key object.
    pub wraps: Vec<Wrap>,
    /// Tails that no commit names yet.
    pub tails: Vec<B64>,
    /// For each terminal, its newest session on this card.
    pub sessions: Vec<SessionInfo>,
    /// See [`KeyObjectAnswer::rekey_required`].
    pub rekey_required: bool,
}

/// `POST /v1/sessions/renew` (certificate): the card is still there, or the connection is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Card and number.
    pub session: SessionRef,
    /// The nonce of the binding, from this connection.
    pub nonce: Nonce,
    /// The card's signature (domain "renew").
    pub signature: Sig,
    /// As in [`OpenSessionRequest`].
    pub known_sequence: u64,
    /// As in [`OpenSessionRequest`].
    pub known_list: u32,
}

/// What a grant may be narrowed to. It is never widened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Narrow {
    /// Nothing: the card was removed.
    Removed,
}

/// `POST /v1/sessions/narrow` (grant).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NarrowRequest {
    /// What the session may still do.
    pub to: Narrow,
}

/// `GET /v1/commits?after=SEQUENCE` (grant).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsAnswer {
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// Commits after SEQUENCE, oldest first, at most [`COMMITS_PER_ANSWER`].
    pub commits: Vec<B64>,
    /// Tails that no commit names yet.
    pub tails: Vec<B64>,
}

/// A key object that takes effect with a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKeyObject {
    /// The signed key object.
    pub signed: B64,
    /// All its wraps, one per recipient.
    pub wraps: Vec<Wrap>,
}

/// `POST /v1/commits` (grant). Compare-and-set on head and list number: 409 `head-moved`, `list-moved`, `tail-merged`, `pack-dropped`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRequest {
    /// The signed commit (`Commit::to_bytes`); its `previous` is the expected head.
    pub signed: B64,
    /// The key object that the commit is the first to name, if it does.
    pub key_object: Option<NewKeyObject>,
}

/// Answer to [`CommitRequest`]. Sending the same commit twice answers the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitAnswer {
    /// The head now.
    pub head: HeadInfo,
}

/// `GET /v1/packs/{id}/state` (grant, or own unsettled session): how much of an upload is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackState {
    /// Bytes received; where to resume.
    pub received: u64,
    /// All there and durable.
    pub complete: bool,
}

/// `POST /v1/packs/fetch` (grant; or certificate, for prefetch): answers a stream of [`batch`](crate::batch) records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// At most [`BATCH_PACKS_MAX`], together at most [`PACK_MAX`].
    pub packs: Vec<PackId>,
}

/// `GET /v1/packs?collection=ID` (certificate): live packs of a collection, for prefetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacksAnswer {
    /// In the order in which they were committed.
    pub packs: Vec<PackRef>,
}

/// `PUT /v1/tails` (certificate; the tail's own session statement is the proof).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailRequest {
    /// The signed tail (`Tail::to_bytes`).
    pub signed: B64,
}

/// Answer to [`TailRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailAnswer {
    /// State of the session now. The very same tail again is no error.
    pub state: SessionState,
}

/// `GET /v1/tails?card=ID&n=N` (grant): one tail in any state, also one that was quarantined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailGetAnswer {
    /// The signed tail.
    pub signed: B64,
    /// State of the session that the tail belongs to: it tells whether the tail waits, is merged, or is quarantined.
    pub state: SessionState,
}

/// `POST /v1/tails/forget` (grant): stop waiting for the tails of these sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetRequest {
    /// The sessions whose tails the owner gives up.
    pub sessions: Vec<SessionRef>,
}

/// `POST /v1/terminals/revoke`: of the person's own terminals (grant), or this one (`unpair`; no grant).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeTerminalRequest {
    /// The terminal to revoke.
    pub terminal: TerminalId,
}

/// `POST /v1/cards/revoke` (grant): one of the person's other cards; the card of the session cannot revoke itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeCardRequest {
    /// The card to revoke.
    pub card: CardId,
}

/// One event of `GET /v1/events` (certificate), as server-sent event: name in `event:`, this in `data:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum ServerEvent {
    /// First event of each stream, and again whenever the state may have been missed.
    Hello {
        /// The newest commit.
        head: Option<HeadInfo>,
    },
    /// A commit was accepted.
    HeadMoved {
        /// The newest commit.
        head: HeadInfo,
        /// The terminal that signed the commit. It gets this event of its own commits, too.
        terminal: TerminalId,
    },
    /// A tail was delivered.
    TailDelivered {
        /// Card and number of the session whose changes the tail holds.
        session: SessionRef,
        /// The terminal that sealed it.
        terminal: TerminalId,
    },
    /// This terminal, or the card of its session, was revoked.
    Revoked,
    /// An operator's revocation asks for a new epoch.
    RekeyRequired,
    /// The server stops; connect again later.
    Shutdown,
}

/// `GET /v1/health` (open).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// The server's version.
    pub version: String,
    /// Always `ok`: a server that answers has no other word.
    pub status: String,
}
