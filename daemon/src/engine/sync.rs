//! One sync: take what others wrote, give what was written here, in one commit.

use std::sync::Arc;

use simsync_protocol::problem::Code as ServerCode;
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::Commit;
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::seal::ForgetsPlaintext;

use super::EngineError;
use super::cancel::KeyCell;
use super::clock::now_ms;
use super::disk::settle::settle_sent;
use super::exchange::Exchange;
use super::heal::Healer;
use super::publish::{Draft, Publisher};
use super::session::Session;
use super::upload::upload;
use super::wire::Wire;
use crate::engine::disk::places::Places;
use crate::engine::plan::conflicts::end_conflicts;
use crate::engine::plan::options::{Review, SyncOptions, SyncReport};
use crate::engine::plan::planned::{Planned, review_entries};
use crate::engine::plan::planner::Planner;
use crate::engine::plan::round::Round;
use crate::engine::send::read::Files;
use crate::engine::send::uploader::Uploaders;
use crate::engine::tails::merge::TailMerger;
use crate::engine::tails::rebase::Rebaser;
use crate::engine::vault::chain::Chain;
use crate::engine::vault::fetch::Packs;
use crate::engine::vault::names::Names;
use crate::engine::vault::pull::pull_commits;
use crate::outstanding::{Producer, Report, Unsynced};
use crate::store::{Collection, Store};

/// Tries to commit before giving up to those who are faster.
const ATTEMPTS: usize = 8;

/// Syncs all collections that are synced here, in one commit.
pub(super) struct Syncer {
    pub(super) store: Arc<Store>,
    pub(super) keys: KeyCell,
    pub(super) wire: Wire,
    pub(super) chain: Chain,
    pub(super) names: Names,
    pub(super) places: Places,
    pub(super) packs: Packs,
    pub(super) files: Files,
    pub(super) sending: Uploaders,
    pub(super) rebasing: Rebaser,
    pub(super) merging: TailMerger,
    pub(super) planner: Planner,
    pub(super) exchange: Exchange,
    pub(super) healing: Healer,
    pub(super) publishing: Publisher,
}

impl Syncer {
    /// Syncs all registered collections.
    pub(super) fn sync(
        &self,
        session: &Session,
        options: SyncOptions,
        review: Option<Review<'_>>,
    ) -> Result<SyncReport, EngineError> {
        let _forgets = ForgetsPlaintext::hold();
        let mut report = SyncReport::default();
        for _ in 0..ATTEMPTS {
            let tails = pull_commits(&self.chain, &self.wire, session)?;
            settle_sent(&self.store, &self.places)?;
            self.packs.fetch_wanted(session)?;
            self.rebasing.rebase_on_merged_tails(session)?;
            let head = self.store.newest_commit()?;
            let metadata = self.names.believed(head.as_ref())?;
            let chunker = self
                .keys
                .with(|k| Chunker::new(k.chunker_key(), metadata.chunker))?;
            let uploader = self.sending.uploader(session);
            let merged =
                self.merging
                    .merge_tails(session, &tails, head.as_ref(), &chunker, &uploader)?;
            let round = Round {
                session,
                chunker: &chunker,
                uploader: &uploader,
                options: &options,
            };
            let mut planned = self.plan_all(&round, head.as_ref(), &merged.roots)?;
            if let Some(review) = review {
                let entries = review_entries(&planned);
                if !entries.is_empty() && !review(&entries) {
                    return Err(EngineError::Declined);
                }
            }
            let mut draft = Draft::new(head.as_ref(), metadata, merged, &options);
            let (mut done_with, mut whole) = (Vec::new(), Vec::new());
            for p in &mut planned {
                if options.upload_only {
                    p.postpone_taking();
                }
                p.postpone_unseen();
                let uploaded = upload(&self.store, &self.files, &round, p);
                if self.of_one_collection(&p.collection, uploaded)?.is_none() {
                    continue;
                }
                let done = self.exchange.exchange(&round, p, &mut draft, &mut report);
                if self.of_one_collection(&p.collection, done)?.is_none() {
                    continue;
                }
                done_with.push(p.collection.pk);
                if p.collection.whole {
                    continue;
                }
                let healed = self
                    .healing
                    .make_whole(&round, &p.collection, &p.remote_root);
                if let Some(w) = self.of_one_collection(&p.collection, healed)? {
                    if w.given > 0 {
                        draft.need();
                    }
                    whole.push((p.collection.pk, w.complete));
                }
            }
            uploader.finish()?;
            if draft.is_needed() {
                match self
                    .publishing
                    .commit(session, &mut draft, options.key_object.as_ref())
                {
                    Ok(commit) => self.committed(&commit, &draft, &mut report)?,
                    Err(e) => {
                        self.prepare_retry(e, &draft)?;
                        continue;
                    }
                }
            }
            for (pk, complete) in whole {
                self.store.set_whole(pk, complete)?;
            }
            for pk in done_with {
                // Whoever has more to say of it said so in this very sync.
                for producer in [Producer::Collection, Producer::Tail] {
                    self.store.report(producer, pk, &[], now_ms())?;
                }
                end_conflicts(&self.store, pk)?;
            }
            self.packs.clear();
            report.outstanding = self.store.outstanding_summary()?;
            return Ok(report);
        }
        Err(EngineError::Busy)
    }

    /// Plans every collection that is synced here. One that cannot be is named, and left out.
    fn plan_all(
        &self,
        round: &Round<'_>,
        head: Option<&Commit>,
        merged: &std::collections::BTreeMap<CollectionId, ObjectId>,
    ) -> Result<Vec<Planned>, EngineError> {
        let mut planned = Vec::new();
        for c in self.store.collections()? {
            if c.root.is_none() {
                continue;
            }
            let root = merged.get(&c.id).copied();
            let root = root.or_else(|| head.and_then(|h| h.root(&c.id)));
            let root = root.unwrap_or(ObjectId::ZERO);
            let plan = self.planner.plan_collection(round, c.clone(), root);
            planned.extend(self.of_one_collection(&c, plan)?);
        }
        Ok(planned)
    }

    /// What failed in one collection is written down, and stops no other. None: it failed.
    fn of_one_collection<T>(
        &self,
        collection: &Collection,
        result: Result<T, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        let error = match result {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let Some(code) = error.of_one_collection() else {
            return Err(error);
        };
        tracing::warn!(collection = collection.name, %error, "a collection was left out");
        let report = Report::whole(code, error.to_string());
        self.store
            .report(Producer::Collection, collection.pk, &[report], now_ms())?;
        if code == Unsynced::RootMissing {
            // A file that vanished with its folder while it was read is not waited for: all of it is looked at again.
            self.store
                .report(Producer::Read, collection.pk, &[], now_ms())?;
        }
        Ok(None)
    }

    /// Decides whether another try can help, and clears what was wrong.
    fn prepare_retry(&self, error: EngineError, draft: &Draft) -> Result<(), EngineError> {
        match error.code() {
            Some(ServerCode::HeadMoved | ServerCode::TailMerged) => Ok(()),
            // The packs are gone from the server: what they held is read and sent again.
            Some(ServerCode::PackDropped | ServerCode::PackMissing) => {
                self.store.forget_packs(&draft.pack_ids())?;
                self.store.clear_uploaded()?;
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// After the server took the commit: this terminal's rows and packs say so.
    fn committed(
        &self,
        commit: &Commit,
        draft: &Draft,
        report: &mut SyncReport,
    ) -> Result<(), EngineError> {
        self.chain.keep_commit(commit)?;
        self.store
            .set_pack_state(&draft.pack_ids(), crate::store::PackState::Indexed)?;
        settle_sent(&self.store, &self.places)?;
        report.published += draft.published;
        report.tails += commit.body.tails_merged.len();
        report.commit = Some(commit.body.sequence);
        Ok(())
    }
}
