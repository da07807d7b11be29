//! What a store does, one trait for each thing that somebody needs of it. Parameters and results are types, so that
//! other databases can follow.
//!
//! Every method is one transaction. Those that decide gather facts for [`crate::rules`] in it, and write what the rules
//! answer. Those that change something write their audit entry in the same transaction and publish their events after it.

use async_trait::async_trait;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{HeadInfo, MovingTo, SessionInfo, SessionState};
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};
use tokio::sync::broadcast;

use super::audit::AuditRow;
use super::error::Result;
use super::events::Notice;
use super::types::{
    Actor, AddPairings, AddSubscriber, AuditEntry, BeginPack, CardRow, CommitsView, CompletePacks,
    Enrol, GrantRow, KeyObjectView, NewCode, OpenSession, PackIds, PackRow, Pair, Peer, PutCommit,
    PutTail, RenewSession, Rights, Scope, Seconds, SessionView, SubscriberRow, SubscriberState,
    TerminalRow,
};

/// People with their states and enrolment codes.
#[async_trait]
pub trait Subscribers: Send + Sync {
    /// Adds a subscriber with its first enrolment code.
    async fn add_subscriber(&self, p: AddSubscriber) -> Result<()>;
    /// Adds subscribers with their first codes: all of them, or none if any of them exists.
    async fn add_subscribers(&self, p: Vec<AddSubscriber>) -> Result<()>;
    /// Adds an enrolment code; earlier unused ones end.
    async fn add_code(&self, subscriber: SubscriberId, code: NewCode, now: Seconds) -> Result<()>;
    /// All subscribers, by ID.
    async fn subscribers(&self) -> Result<Vec<SubscriberRow>>;
    /// The subscriber of this ID, if there is one.
    async fn subscriber(&self, subscriber: SubscriberId) -> Result<Option<SubscriberRow>>;
    /// Suspends, resumes or removes. A removed one stays removed.
    async fn set_subscriber_state(
        &self,
        subscriber: SubscriberId,
        state: SubscriberState,
        now: Seconds,
    ) -> Result<()>;
}

/// Cards and terminals: how they come in, who they are, how they are put out.
#[async_trait]
pub trait Pairings: Send + Sync {
    /// Who holds the certificate of this hash.
    async fn peer(&self, certificate: Hash) -> Result<Option<Peer>>;
    /// Enrols a card; answers whether it was enrolled already.
    async fn enrol(&self, p: Enrol) -> Result<bool>;
    /// Records a pairing; answers the terminal's certificate.
    async fn pair(&self, p: Pair) -> Result<Vec<u8>>;
    /// Records that a card accepted terminals that are paired with another one. The key object that the statements name
    /// must still be in force.
    async fn add_pairings(&self, p: AddPairings) -> Result<()>;
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
        by: Actor,
        now: Seconds,
    ) -> Result<()>;
    /// Revocation of a terminal, by the operator (a re-key is due after it) or by another terminal of the person.
    async fn revoke_terminal(
        &self,
        subscriber: SubscriberId,
        terminal: TerminalId,
        by: Actor,
        now: Seconds,
    ) -> Result<()>;
}

/// Sessions and their grants.
#[async_trait]
pub trait Sessions: Send + Sync {
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
}

/// Heads, commits and key objects.
#[async_trait]
pub trait Chain: Send + Sync {
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
}

/// What is known of packs; their bytes are the blob store's ([`super::blobs::Blobs`]).
#[async_trait]
pub trait Packs: Send + Sync {
    /// Looks packs up; unknown ones are left out.
    async fn packs(&self, subscriber: SubscriberId, ids: PackIds) -> Result<Vec<PackRow>>;
    /// Live packs of a collection, in the order of their commits.
    async fn live_packs(
        &self,
        subscriber: SubscriberId,
        collection: CollectionId,
    ) -> Result<Vec<PackRef>>;
    /// Notes that an upload begins, or finds how far it is.
    async fn begin_pack(&self, p: BeginPack) -> Result<PackRow>;
    /// Notes how much of an upload is durable.
    async fn pack_progress(
        &self,
        subscriber: SubscriberId,
        pack: PackId,
        received: u64,
        now: Seconds,
    ) -> Result<()>;
    /// Notes packs that are durable.
    async fn complete_packs(&self, p: CompletePacks) -> Result<()>;
    /// Bytes of outbox packs of a terminal that no merged or forgotten tail covers, without `pack`.
    async fn outbox_bytes_beside(
        &self,
        subscriber: SubscriberId,
        terminal: TerminalId,
        pack: PackId,
    ) -> Result<u64>;
}

/// Tails: taken, shown, given up.
#[async_trait]
pub trait Tails: Send + Sync {
    /// Takes a tail, by the rules of [`crate::rules::tail`].
    async fn put_tail(&self, p: PutTail) -> Result<SessionState>;
    /// One signed tail with its session's state.
    async fn tail(
        &self,
        subscriber: SubscriberId,
        session: SessionRef,
    ) -> Result<Option<(Vec<u8>, SessionState)>>;
    /// Stops waiting for the tails of sessions.
    async fn forget(
        &self,
        subscriber: SubscriberId,
        sessions: Vec<SessionRef>,
        by: TerminalId,
        now: Seconds,
    ) -> Result<()>;
}

/// The log of what was done.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Appends to the audit log.
    async fn audit(&self, entry: AuditEntry) -> Result<()>;
    /// The audit log, oldest first within each subscriber.
    async fn audit_log(&self) -> Result<Vec<AuditRow>>;
}

/// Where the server moves.
#[async_trait]
pub trait Moving: Send + Sync {
    /// Announces to terminals where the server moves, or takes that back.
    async fn set_moving(&self, to: Option<MovingTo>, now: Seconds) -> Result<()>;
    /// Where the server announces to move; `None` if nothing is announced.
    async fn moving(&self) -> Result<Option<MovingTo>>;
}

/// What terminals that listen are told.
pub trait Events: Send + Sync {
    /// Events of one subscriber, from now on.
    fn subscribe(&self, subscriber: &SubscriberId) -> broadcast::Receiver<Notice>;
}

/// A subscriber database: everything above.
pub trait Store:
    Subscribers + Pairings + Sessions + Chain + Packs + Tails + Audit + Moving + Events + 'static
{
}

impl<S> Store for S where
    S: Subscribers
        + Pairings
        + Sessions
        + Chain
        + Packs
        + Tails
        + Audit
        + Moving
        + Events
        + 'static
{
}
