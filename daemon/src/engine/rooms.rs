//! Puts the rooms of the engine together, and shows the few doors that the rest of the daemon uses.

use std::path::Path;
use std::sync::Arc;

use simsync_card::ids::{Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_protocol::api::B64;
use simsync_protocol::client::Connection;
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::head::{Verdict, Witness};
use simsync_vault::keyobject::Wrap;
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::Tail;
use tokio::runtime::Handle;

use super::apply::PlanApplier;
use super::cancel::{Cancel, KeyCell};
use super::error::EngineError;
use super::exchange::Exchange;
use super::heal::Healer;
use super::progress::Progress;
use super::publish::Publisher;
use super::session::{Session, TrustedCard};
use super::settings::EngineConfig;
use super::sync::Syncer;
use super::wire::Wire;
use crate::engine::disk::compare::differs;
use crate::engine::disk::local::LocalState;
use crate::engine::disk::places::Places;
use crate::engine::plan::agreed::Agreements;
use crate::engine::plan::options::{Review, SyncOptions, SyncReport};
use crate::engine::plan::planner::Planner;
use crate::engine::send::read::Files;
use crate::engine::send::uploader::Uploaders;
use crate::engine::tails::builder::TailReport;
use crate::engine::tails::delivery::Deliveries;
use crate::engine::tails::items::Items;
use crate::engine::tails::merge::TailMerger;
use crate::engine::tails::rebase::Rebaser;
use crate::engine::tails::tail::Tails;
use crate::engine::vault::chain::Chain;
use crate::engine::vault::fetch::Packs;
use crate::engine::vault::names::Names;
use crate::engine::vault::objects::Vault;
use crate::store::{Collection, Store};

/// A room with those that it uses.
macro_rules! room {
    ($room:ident { $($used:ident),* }) => {
        $room { $($used: $used.clone(),)* }
    };
}

/// Of what the rooms of one piece of work are made, and the doors by which the rest of the daemon comes to them. The rooms are
/// put together anew for each piece of work: what a piece of work changes here, the next one finds.
#[derive(Clone)]
pub struct Engine {
    /// The local database.
    pub store: Arc<Store>,
    /// What the daemon's settings say to engines.
    pub config: Arc<EngineConfig>,
    /// The terminal's key, unsealed.
    pub key: Arc<SecretKey>,
    /// The vault's keys while a session is open.
    pub keys: KeyCell,
    /// Stops this piece of work.
    pub cancel: Cancel,
    /// Files and bytes of this piece of work so far; whoever shows its job reads it meanwhile.
    pub progress: Arc<Progress>,
    /// Where network calls run.
    pub runtime: Handle,
}

impl Engine {
    /// Syncs all registered collections.
    pub fn sync(
        &self,
        session: &Session,
        options: SyncOptions,
        review: Option<Review<'_>>,
    ) -> Result<SyncReport, EngineError> {
        self.syncer().sync(session, options, review)
    }

    /// Seals what no commit holds, without any secret of the vault, and signs the tail. The sealed packs rest in
    /// `outbox` until they are delivered.
    pub fn make_tail(
        &self,
        statement: &SessionStatement,
        outbox: &Path,
    ) -> Result<TailReport, EngineError> {
        let (store, places) = (self.store.clone(), self.places());
        let (target, items) = (self.config.pack_target, self.config.tail_items);
        Tails::new(store, places, self.key.clone(), target, items).make_tail(statement, outbox)
    }

    /// Delivers every tail that waits. By certificate alone: the tail's own statement is the proof. One that cannot be
    /// delivered holds up no other: the first reason is the answer, after all were tried.
    pub fn deliver_tails(&self, conn: &Connection, outbox: &Path) -> Result<usize, EngineError> {
        Deliveries::new(self.store.clone(), self.wire()).deliver_tails(conn, outbox)
    }

    fn wire(&self) -> Wire {
        Wire::new(self.runtime.clone(), self.cancel.clone())
    }

    fn chain(&self) -> Chain {
        Chain::new(self.store.clone(), self.config.server)
    }

    fn places(&self) -> Places {
        let (adapters, vouches) = (self.config.adapters.clone(), self.config.vouches.clone());
        Places::new(self.store.clone(), adapters, vouches, self.cancel.clone())
    }

    /// The rooms of a sync, put together.
    fn syncer(&self) -> Syncer {
        let Self {
            store,
            config,
            key,
            keys,
            cancel,
            progress,
            ..
        } = self;
        let (wire, chain, places) = (self.wire(), self.chain(), self.places());
        let (own, label) = (&TerminalId::of(&key.point()), &config.label);
        let names = Names::new(store.clone(), keys.clone());
        let packs = Packs::new(
            store.clone(),
            keys.clone(),
            config.pack_cache.clone(),
            wire.clone(),
            progress.clone(),
        );
        let vault = Vault::new(store.clone(), keys.clone(), packs.clone(), cancel.clone());
        let files = Files::new(
            store.clone(),
            keys.clone(),
            cancel.clone(),
            progress.clone(),
        );
        let sending = Uploaders::new(
            store.clone(),
            keys.clone(),
            packs.clone(),
            wire.clone(),
            progress.clone(),
            config.pack_target,
        );
        let items = Items::new(
            store.clone(),
            keys.clone(),
            wire.clone(),
            cancel.clone(),
            progress.clone(),
        );
        let merging = room!(TailMerger {
            store,
            keys,
            wire,
            chain,
            places,
            packs,
            vault,
            items,
            own,
            label
        });
        let rebasing = room!(Rebaser {
            store,
            keys,
            cancel,
            names,
            places,
            vault,
            files
        });
        let agreements = Agreements::new(store.clone(), names.clone(), vault.clone());
        let planner = room!(Planner {
            store,
            keys,
            places,
            files,
            vault,
            agreements,
            progress,
            own,
            label
        });
        let applying = PlanApplier::new(
            store.clone(),
            keys.clone(),
            packs.clone(),
            cancel.clone(),
            progress.clone(),
        );
        let exchange = room!(Exchange {
            store,
            places,
            vault,
            applying,
            cancel,
            own
        });
        let healing = Healer::new(store.clone(), keys.clone(), vault.clone(), cancel.clone());
        let publishing = Publisher::new(
            store.clone(),
            keys.clone(),
            key.clone(),
            wire.clone(),
            progress.clone(),
        );
        room!(Syncer {
            store,
            keys,
            wire,
            chain,
            names,
            places,
            packs,
            files,
            sending,
            rebasing,
            merging,
            planner,
            exchange,
            healing,
            publishing
        })
    }

    /// Takes key objects over after checking that each follows the one before.
    pub fn accept_key_objects(
        &self,
        card: &TrustedCard,
        signed: &[B64],
        wraps: &[Wrap],
    ) -> Result<(), EngineError> {
        self.chain().accept_key_objects(card, signed, wraps)
    }

    /// Verifies commits that follow the newest known one, without keeping them.
    pub fn verify_commits(&self, signed: &[B64]) -> Result<Vec<Commit>, EngineError> {
        self.chain().verify_commits(signed)
    }

    /// Verifies commits that follow the newest known one and keeps them.
    pub fn accept_commits(&self, signed: &[B64]) -> Result<(), EngineError> {
        self.chain().accept_commits(signed)
    }

    /// Keeps a verified commit: its links, what it closes, the packs that it brings.
    pub fn keep_commit(&self, commit: &Commit) -> Result<(), EngineError> {
        self.chain().keep_commit(commit)
    }

    /// The server's word about its head against the chain that was verified here.
    pub fn check_head(&self, head: Option<(u64, Hash)>) -> Result<(), EngineError> {
        self.chain().check_head(head)
    }

    /// The card's record against the verified chain, with commits that were verified but not kept yet.
    pub fn judge_card(&self, card: &Witness, new: &[Commit]) -> Result<Verdict, EngineError> {
        self.chain().judge_card(card, new)
    }

    /// Reads tails that the server hands out; those that do not verify are left out, with a line in the log.
    pub fn read_tails(&self, signed: &[B64]) -> Result<Vec<Tail>, EngineError> {
        self.chain().read_tails(signed)
    }

    /// Whether the verified chain closes a session: by a closing commit or a merged tail.
    pub fn is_closed(
        &self,
        session: &SessionRef,
        terminal: &TerminalId,
    ) -> Result<bool, EngineError> {
        self.chain().is_closed(session, terminal)
    }

    /// Waits until the watcher told of all that changed up to now.
    pub fn catch_up(&self) {
        // Where it does not in time, every look is at everything.
        let _ = self.config.vouches.catch_up();
    }

    /// Whether anything on disk differs from what was synced: without keys, without a session, without reading a file.
    pub fn differs(&self) -> Result<bool, EngineError> {
        differs(&self.store, &self.places())
    }

    /// Looks at a collection: at all of it, or, where a watcher vouches for the rest, at what changed. With `trust`, what is
    /// missing is gone: the owner said so.
    pub fn scan(
        &self,
        collection: &Collection,
        root: &Path,
        trust: bool,
    ) -> Result<LocalState, EngineError> {
        self.places().scan(collection, root, trust)
    }
}
