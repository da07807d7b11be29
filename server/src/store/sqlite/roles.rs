//! Each role of a store as transactions of this one.

use async_trait::async_trait;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{HeadInfo, MovingTo, SessionInfo, SessionState};
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};
use tokio::sync::broadcast;

use super::{
    SqliteStore, admin, audit, commits, open_session, packs, pairing, rows, sessions, tails,
};
use crate::store::Result;
use crate::store::audit::AuditRow;
use crate::store::events::Notice;
use crate::store::roles::{
    Audit, Chain, Events, Moving, Packs, Pairings, Sessions, Subscribers, Tails,
};
use crate::store::types::{
    Actor, AddPairings, AddSubscriber, AuditEntry, BeginPack, CardRow, CommitsView, CompletePacks,
    Enrol, GrantRow, KeyObjectView, NewCode, OpenSession, PackIds, PackRow, Pair, Peer, PutCommit,
    PutTail, RenewSession, Rights, Scope, Seconds, SessionView, SubscriberRow, SubscriberState,
    TerminalRow,
};

#[async_trait]
impl Subscribers for SqliteStore {
    async fn add_subscriber(&self, p: AddSubscriber) -> Result<()> {
        self.write(move |tx| admin::add_subscriber(tx, &p)).await
    }
    async fn add_subscribers(&self, p: Vec<AddSubscriber>) -> Result<()> {
        self.write(move |tx| p.iter().try_for_each(|one| admin::add_subscriber(tx, one)))
            .await
    }
    async fn add_code(&self, subscriber: SubscriberId, code: NewCode, now: Seconds) -> Result<()> {
        self.write(move |tx| admin::add_code(tx, &subscriber, code, now))
            .await
    }
    async fn subscribers(&self) -> Result<Vec<SubscriberRow>> {
        self.read(|db| admin::subscribers(db, None)).await
    }
    async fn subscriber(&self, subscriber: SubscriberId) -> Result<Option<SubscriberRow>> {
        self.read(move |db| Ok(admin::subscribers(db, Some(&subscriber))?.pop()))
            .await
    }
    async fn set_subscriber_state(
        &self,
        subscriber: SubscriberId,
        state: SubscriberState,
        now: Seconds,
    ) -> Result<()> {
        self.write(move |tx| admin::set_subscriber_state(tx, &subscriber, state, now))
            .await
    }
}

#[async_trait]
impl Pairings for SqliteStore {
    async fn peer(&self, certificate: Hash) -> Result<Option<Peer>> {
        self.read(move |db| pairing::peer(db, &certificate)).await
    }
    async fn enrol(&self, p: Enrol) -> Result<bool> {
        self.write(move |tx| pairing::enrol(tx, &p)).await
    }
    async fn pair(&self, p: Pair) -> Result<Vec<u8>> {
        self.write(move |tx| pairing::pair(tx, &p)).await
    }
    async fn add_pairings(&self, p: AddPairings) -> Result<()> {
        self.write(move |tx| pairing::add(tx, &p)).await
    }
    async fn cards(&self, subscriber: Option<SubscriberId>) -> Result<Vec<CardRow>> {
        self.read(move |db| rows::cards(db, subscriber.as_ref()))
            .await
    }
    async fn card(&self, subscriber: SubscriberId, card: CardId) -> Result<Option<CardRow>> {
        self.read(move |db| rows::card(db, &subscriber, &card))
            .await
    }
    async fn terminals(&self, subscriber: Option<SubscriberId>) -> Result<Vec<TerminalRow>> {
        self.read(move |db| rows::terminals(db, subscriber.as_ref()))
            .await
    }
    async fn revoke_card(
        &self,
        subscriber: SubscriberId,
        card: CardId,
        by: Actor,
        now: Seconds,
    ) -> Result<()> {
        self.write(move |tx| admin::revoke_card(tx, &subscriber, &card, &by, now))
            .await
    }
    async fn revoke_terminal(
        &self,
        subscriber: SubscriberId,
        terminal: TerminalId,
        by: Actor,
        now: Seconds,
    ) -> Result<()> {
        self.write(move |tx| admin::revoke_terminal(tx, &subscriber, &terminal, &by, now))
            .await
    }
}

#[async_trait]
impl Sessions for SqliteStore {
    async fn open_session(&self, p: OpenSession) -> Result<SessionView> {
        let _step = simsync_failpoint::step("server.store.session");
        self.write(move |tx| open_session::open(tx, &p)).await
    }
    async fn renew_session(&self, p: RenewSession) -> Result<SessionView> {
        let _step = simsync_failpoint::step("server.store.renewed");
        self.write(move |tx| open_session::renew(tx, &p)).await
    }
    async fn grant(&self, subscriber: SubscriberId, grant: Hash) -> Result<Option<GrantRow>> {
        self.read(move |db| sessions::grant(db, &subscriber, &grant))
            .await
    }
    async fn narrow(&self, subscriber: SubscriberId, session: SessionRef, to: Scope) -> Result<()> {
        let _step = simsync_failpoint::step("server.store.narrowed");
        self.write(move |tx| sessions::narrow(tx, &subscriber, &session, to))
            .await
    }
    async fn own_sessions(
        &self,
        subscriber: SubscriberId,
        terminal: TerminalId,
        one: Option<SessionRef>,
    ) -> Result<Vec<SessionInfo>> {
        self.read(move |db| sessions::own(db, &subscriber, &terminal, one.as_ref()))
            .await
    }
}

#[async_trait]
impl Chain for SqliteStore {
    async fn head(&self, subscriber: SubscriberId) -> Result<Option<HeadInfo>> {
        self.read(move |db| Ok(rows::chain(db, &subscriber)?.head))
            .await
    }
    async fn key_object(&self, subscriber: SubscriberId) -> Result<Option<KeyObjectView>> {
        self.read(move |db| commits::key_object(db, &subscriber))
            .await
    }
    async fn key_objects(&self, subscriber: SubscriberId, after: u32) -> Result<Vec<Vec<u8>>> {
        self.read(move |db| commits::key_objects(db, &subscriber, after))
            .await
    }
    async fn commits(&self, subscriber: SubscriberId, after: u64) -> Result<CommitsView> {
        self.read(move |db| commits::after(db, &subscriber, after))
            .await
    }
    async fn rights(&self, subscriber: SubscriberId, terminal: TerminalId) -> Result<Rights> {
        self.read(move |db| commits::rights(db, &subscriber, &terminal))
            .await
    }
    async fn put_commit(&self, p: PutCommit) -> Result<HeadInfo> {
        let _step = simsync_failpoint::step("server.store.commit");
        self.write(move |tx| commits::put(tx, &p)).await
    }
}

#[async_trait]
impl Packs for SqliteStore {
    async fn packs(&self, subscriber: SubscriberId, ids: PackIds) -> Result<Vec<PackRow>> {
        self.read(move |db| rows::packs(db, &subscriber, &ids))
            .await
    }
    async fn live_packs(
        &self,
        subscriber: SubscriberId,
        collection: CollectionId,
    ) -> Result<Vec<PackRef>> {
        self.read(move |db| packs::live(db, &subscriber, &collection))
            .await
    }
    async fn begin_pack(&self, p: BeginPack) -> Result<PackRow> {
        let _step = simsync_failpoint::step("server.store.pack-begun");
        self.write(move |tx| packs::begin(tx, &p)).await
    }
    async fn pack_progress(
        &self,
        subscriber: SubscriberId,
        pack: PackId,
        received: u64,
        now: Seconds,
    ) -> Result<()> {
        self.write(move |tx| packs::progress(tx, &subscriber, &pack, received, now))
            .await
    }
    async fn complete_packs(&self, p: CompletePacks) -> Result<()> {
        let _step = simsync_failpoint::step("server.store.packs");
        self.write(move |tx| packs::complete(tx, &p)).await
    }
    async fn outbox_bytes_beside(
        &self,
        subscriber: SubscriberId,
        terminal: TerminalId,
        pack: PackId,
    ) -> Result<u64> {
        self.read(move |db| packs::outbox_bytes_beside(db, &subscriber, &terminal, &pack))
            .await
    }
}

#[async_trait]
impl Tails for SqliteStore {
    async fn put_tail(&self, p: PutTail) -> Result<SessionState> {
        let _step = simsync_failpoint::step("server.store.tail");
        self.write(move |tx| tails::put(tx, &p)).await
    }
    async fn tail(
        &self,
        subscriber: SubscriberId,
        session: SessionRef,
    ) -> Result<Option<(Vec<u8>, SessionState)>> {
        self.read(move |db| tails::one(db, &subscriber, &session))
            .await
    }
    async fn forget(
        &self,
        subscriber: SubscriberId,
        sessions: Vec<SessionRef>,
        by: TerminalId,
        now: Seconds,
    ) -> Result<()> {
        let _step = simsync_failpoint::step("server.store.forgotten");
        self.write(move |tx| tails::forget(tx, &subscriber, &sessions, by, now))
            .await
    }
}

#[async_trait]
impl Audit for SqliteStore {
    async fn audit(&self, entry: AuditEntry) -> Result<()> {
        self.write(move |tx| audit::append(tx, &entry)).await
    }
    async fn audit_log(&self) -> Result<Vec<AuditRow>> {
        self.read(audit::all).await
    }
}

#[async_trait]
impl Moving for SqliteStore {
    async fn set_moving(&self, to: Option<MovingTo>, now: Seconds) -> Result<()> {
        self.write(move |tx| admin::set_moving(tx, to.as_ref(), now))
            .await
    }
    async fn moving(&self) -> Result<Option<MovingTo>> {
        self.read(admin::moving).await
    }
}

impl Events for SqliteStore {
    fn subscribe(&self, subscriber: &SubscriberId) -> broadcast::Receiver<Notice> {
        self.hub.subscribe(subscriber)
    }
}
