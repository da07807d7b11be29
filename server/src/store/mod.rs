//! The store: one transaction per call, parameters and results as types, so that other databases can follow.

pub mod audit;
pub mod blobs;
#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
pub mod events;
pub mod sqlite;
pub mod types;

use async_trait::async_trait;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{HeadInfo, MovingTo, SessionInfo, SessionState};
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::CollectionId;
use tokio::sync::broadcast;

use crate::rules::Refusal;
use audit::AuditRow;
use events::Notice;
use types::{
    AddPairings, AddSubscriber, AuditEntry, BeginPack, CardRow, CommitsView, CompletePacks, Enrol,
    GrantRow, KeyObjectView, NewCode, OpenSession, PackIds, PackRow, Pair, Peer, PutCommit,
    PutTail, RenewSession, Rights, Scope, Seconds, SessionView, SubscriberRow, SubscriberState,
    TerminalRow,
};

/// Why a call did nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Against a rule; whoever asked is told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No room left.
    #[error("the disk or quota is full")]
    Full,
    /// Written by a newer simsync-server.
    #[error(
        "the store has schema version {found}; this simsync-server knows up to {known}: update simsync-server"
    )]
    Newer {
        /// The version found.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// The store itself failed.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// A failure of the store itself.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

/// Result of a store's call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A subscriber database with vault heads, commits, key objects, sessions and tails.
///
/// Every method is one transaction. Those that change something write their audit entry in the same transaction and
/// publish their events after it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Adds a subscriber with its first enrolment code.
    async fn add_subscriber(&self, p: AddSubscriber) -> Result<()>;
    /// Adds subscribers with their first codes: all of them, or none if any of them exists.
    async fn add_subscribers(&self, p: Vec<AddSubscriber>) -> Result<()>;
    /// Adds an enrolment code; earlier unused ones end.
    async fn add_code(&self, subscriber: SubscriberId, code: NewCode, now: Seconds) -> Result<()>;
    /// All subscribers, by ID.
    async fn subscribers(&self) -> Result<Vec<SubscriberRow>>;
    /// One subscriber.
    async fn subscriber(&self, subscriber: SubscriberId) -> Result<Option<SubscriberRow>>;
    /// Suspends, resumes or removes. A removed one stays removed.
    async fn set_subscriber_state(
        &self,
        subscriber: SubscriberId,
        state: SubscriberState,
        now: Seconds,
    ) -> Result<()>;
    /// Cards of one subscriber, or all.
    async fn cards(&self, subscriber: Option<SubscriberId>) -> Result<Vec<CardRow>>;
    /// One card of one subscriber.
    async fn card(&self, subscriber: SubscriberId, card: CardId) -> Result<Option<CardRow>>;
    /// Terminals of one subscriber, or all.
    async fn terminals(&self, subscriber: Option<SubscriberId>) -> Result<Vec<TerminalRow>>;
    /// Revocation of a card, by the operator (a re-key is due after it) or by a terminal of the person.
    async fn revoke_card(
        &self,
        subscriber: SubscriberId,
        card: CardId,
        by: types::Actor,
        now: Seconds,
    ) -> Result<()>;
    /// Revocation of a terminal, by the operator (a re-key is due after it) or by another terminal of the person.
    async fn revoke_terminal(
        &self,
        subscriber: SubscriberId,
        terminal: TerminalId,
        by: types::Actor,
        now: Seconds,
    ) -> Result<()>;
    /// Announces to terminals where the server moves, or takes that back.
    async fn set_moving(&self, to: Option<MovingTo>, now: Seconds) -> Result<()>;
    /// What is announced.
    async fn moving(&self) -> Result<Option<MovingTo>>;
    /// Appends to the audit log.
    async fn audit(&self, entry: AuditEntry) -> Result<()>;
    /// The audit log, oldest first within each subscriber.
    async fn audit_log(&self) -> Result<Vec<AuditRow>>;

    /// Who holds the certificate of this hash.
    async fn peer(&self, certificate: Hash) -> Result<Option<Peer>>;
    /// Enrols a card; answers whether it was enrolled already.
    async fn enrol(&self, p: Enrol) -> Result<bool>;
    /// Records a pairing; answers the terminal's certificate.
    async fn pair(&self, p: Pair) -> Result<Vec<u8>>;

    /// Records that a card accepted terminals that are paired with another one. The key object that the statements name
    /// must still be in force.
    async fn add_pairings(&self, p: AddPairings) -> Result<()>;

    /// Records a session and ends what went before it on this card.
    async fn open_session(&self, p: OpenSession) -> Result<SessionView>;
    /// Gives a session a new grant.
    async fn renew_session(&self, p: RenewSession) -> Result<SessionView>;
    /// Finds a grant by its hash.
    async fn grant(&self, subscriber: SubscriberId, grant: Hash) -> Result<Option<GrantRow>>;
    /// Narrows a session's grant. Never widens it.
    async fn narrow(&self, subscriber: SubscriberId, session: SessionRef, to: Scope) -> Result<()>;
    /// A terminal's sessions that are not closed, newest first; or one of them in any state.
    async fn own_sessions(
        &self,
        subscriber: SubscriberId,
        terminal: TerminalId,
        one: Option<SessionRef>,
    ) -> Result<Vec<SessionInfo>>;
    /// Stops waiting for the tails of sessions.
    async fn forget(
        &self,
        subscriber: SubscriberId,
        sessions: Vec<SessionRef>,
        by: TerminalId,
        now: Seconds,
    ) -> Result<()>;

    /// The newest commit's place.
    async fn head(&self, subscriber: SubscriberId) -> Result<Option<HeadInfo>>;
    /// The newest key object with its wraps.
    async fn key_object(&self, subscriber: SubscriberId) -> Result<Option<KeyObjectView>>;
    /// Signed key objects after a list number, oldest first.
    async fn key_objects(&self, subscriber: SubscriberId, after: u32) -> Result<Vec<Vec<u8>>>;
    /// Commits after a sequence number, and tails that wait.
    async fn commits(&self, subscriber: SubscriberId, after: u64) -> Result<CommitsView>;
    /// What a terminal may touch by the key object in force.
    async fn rights(&self, subscriber: SubscriberId, terminal: TerminalId) -> Result<Rights>;
    /// Compare-and-set of the head, by the rules of [`crate::rules::commit`].
    async fn put_commit(&self, p: PutCommit) -> Result<HeadInfo>;
    /// Takes a tail, by the rules of [`crate::rules::tail`].
    async fn put_tail(&self, p: PutTail) -> Result<SessionState>;

    /// One signed tail with its session's state.
    async fn tail(
        &self,
        subscriber: SubscriberId,
        session: SessionRef,
    ) -> Result<Option<(Vec<u8>, SessionState)>>;

    /// Looks packs up; unknown ones are left out.
    async fn packs(&self, subscriber: SubscriberId, ids: PackIds) -> Result<Vec<PackRow>>;
    /// Live packs of a collection, in the order of their commits.
    async fn live_packs(
        &self,
        subscriber: SubscriberId,
        collection: CollectionId,
    ) -> Result<Vec<PackRef>>;
    /// Notes that an upload in parts begins, or finds how far it is.
    async fn begin_pack(&self, p: BeginPack) -> Result<PackRow>;
    /// Notes how much of an upload is durable.
    async fn pack_progress(
        &self,
        subscriber: SubscriberId,
        pack: simsync_vault::ids::PackId,
        received: u64,
        now: Seconds,
    ) -> Result<()>;
    /// Notes packs that are durable.
    async fn complete_packs(&self, p: CompletePacks) -> Result<()>;
    /// Bytes of outbox packs of a terminal that no merged or forgotten tail covers.
    async fn outbox_bytes(&self, subscriber: SubscriberId, terminal: TerminalId) -> Result<u64>;

    /// Events of one subscriber, from now on.
    fn subscribe(&self, subscriber: &SubscriberId) -> broadcast::Receiver<Notice>;
}
