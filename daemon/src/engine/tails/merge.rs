//! Merging of tails.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use simsync_card::ids::TerminalId;
use simsync_shell::visible;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::{Inputs, Plan, Side, plan};
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::{Commit, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::tail::Tail;
use simsync_vault::treeops;

use super::items::{Items, ItemsByCollection, Receiver};
use super::unheard::base_on_unheard;
use crate::engine::EngineError;
use crate::engine::authors::labels;
use crate::engine::cancel::KeyCell;
use crate::engine::clock::now_ms;
use crate::engine::content::Content;
use crate::engine::disk::places::Places;
use crate::engine::leaves::{node_of, path_of};
use crate::engine::plan::conflict_name::conflict_name;
use crate::engine::plan::conflicts::note_tail_conflicts;
use crate::engine::send::content_merge::{ContentMerger, upload_merged};
use crate::engine::send::uploader::Uploader;
use crate::engine::session::Session;
use crate::engine::vault::chain::Chain;
use crate::engine::vault::fetch::Packs;
use crate::engine::vault::objects::Vault;
use crate::engine::wire::Wire;
use crate::outstanding::{Producer, Report};
use crate::store::Store;

/// What merging tails gave: trees that no commit holds yet.
#[derive(Default)]
pub struct MergedTails {
    /// New roots of collections that tails changed.
    pub roots: BTreeMap<CollectionId, ObjectId>,
    /// Tails that the next commit names.
    pub named: Vec<SessionRef>,
    /// Packs that items refer to and no commit names yet.
    pub packs: Vec<PackRef>,
}

/// With the name of the terminal that sealed it.
fn by(report: Report, label: &str) -> Report {
    Report {
        detail: format!("{}; from terminal \"{}\"", report.detail, visible(label)),
        ..report
    }
}

/// What of tails cannot be used, by collection.
type LeftOut = Vec<(CollectionId, Report)>;

/// Merges tails of other terminals.
#[derive(Clone)]
pub struct TailMerger {
    pub store: Arc<Store>,
    pub keys: KeyCell,
    pub wire: Wire,
    pub chain: Chain,
    pub places: Places,
    pub packs: Packs,
    pub vault: Vault,
    pub items: Items,
    /// This terminal, whose own tails need no merging.
    pub own: TerminalId,
    /// Its label, for names of kept-aside versions.
    pub label: String,
}

impl TailMerger {
    /// Merges tails into the trees of the head, three-way by the base of each item.
    pub fn merge_tails(
        &self,
        session: &Session,
        tails: &[Tail],
        head: Option<&Commit>,
        chunker: &Chunker,
        uploader: &Uploader,
    ) -> Result<MergedTails, EngineError> {
        let mut out = MergedTails::default();
        let registered: Vec<CollectionId> = self
            .store
            .collections()?
            .into_iter()
            .filter(|c| c.root.is_some())
            .map(|c| c.id)
            .collect();
        let replaced: Vec<SessionRef> = tails
            .iter()
            .flat_map(|t| t.body.replaces.iter().copied())
            .collect();
        let labels = labels(&self.store)?;
        uploader.keep_files(true);
        let (mut aside, mut waiting) = (Vec::new(), Vec::new());
        for tail in tails {
            let reference = tail.session();
            if self.store.is_merged(&reference)? {
                continue;
            }
            // Its own changes are on this very disk and go up as usual.
            if tail.body.session.terminal == self.own {
                out.named.push(reference);
                continue;
            }
            if replaced.contains(&reference) {
                continue;
            }
            let label = labels
                .get(&tail.body.session.terminal)
                .cloned()
                .unwrap_or_else(|| tail.body.session.terminal.short());
            let receiver = || self.items.receiver(chunker, uploader, &registered);
            match self.merge_tail(
                session,
                tail,
                head,
                &label,
                (&receiver, chunker),
                &out.roots,
            ) {
                Ok(Some((merged, left_out))) => {
                    out.roots.extend(merged.roots);
                    out.packs.extend(merged.packs);
                    out.named.push(reference);
                    aside.extend(left_out.into_iter().map(|(c, r)| (c, by(r, &label))));
                }
                Ok(None) => tracing::info!(
                    "a tail holds collections that this terminal does not sync; it is left to another one"
                ),
                // It stays where it is, unmerged, and stops nothing else.
                Err(error) => {
                    let Some(code) = error.of_one_path() else {
                        return Err(error);
                    };
                    tracing::warn!(%error, terminal = label, "a tail cannot be merged now");
                    let report = Report::whole(code, error.to_string());
                    let says_whose = matches!(error, EngineError::TailDamaged(_));
                    let report = if says_whose {
                        report
                    } else {
                        by(report, &label)
                    };
                    waiting.push(report);
                }
            }
        }
        self.name_replaced(tails, &mut out.named)?;
        self.report_tails(aside)?;
        self.report_waiting(&registered, &waiting)?;
        if !out.roots.is_empty() {
            // What came sealed in items is applied from packs like everything else.
            uploader.finish()?;
        }
        uploader.keep_files(false);
        Ok(out)
    }

    /// One tail on top of what `roots`, or the head, has. None if it holds collections that this terminal does not sync.
    fn merge_tail<'r>(
        &self,
        session: &Session,
        tail: &Tail,
        head: Option<&Commit>,
        label: &str,
        (receiver, chunker): (&dyn Fn() -> Receiver<'r>, &Chunker),
        roots: &BTreeMap<CollectionId, ObjectId>,
    ) -> Result<Option<(MergedTails, LeftOut)>, EngineError> {
        let mut out = MergedTails::default();
        let referenced: Vec<PackRef> = tail
            .body
            .packs
            .iter()
            .filter(|p| p.collection != CollectionId::OUTBOX)
            .copied()
            .collect();
        self.packs.fetch(session, &referenced)?;
        let new = receiver();
        let uploader = new.uploader();
        let Some(received) = new.receive(session, tail, label)? else {
            return Ok(None);
        };
        let (mut grouped, aside) = (received.items, received.aside);
        for earlier in &tail.body.replaces {
            if self.store.is_merged(earlier)? {
                self.go_on_from(session, *earlier, label, receiver(), &mut grouped)?;
            }
        }
        base_on_unheard(&self.store, &self.vault, session, tail, &mut grouped)?;
        // Its terminal may have committed them: the card was pulled before it heard of that.
        let held = self.store.packs_since(&tail.body.parent)?;
        out.packs
            .extend(referenced.into_iter().filter(|p| !held.contains(&p.id)));
        for (collection, (changes, bases)) in grouped {
            let root = roots
                .get(&collection)
                .copied()
                .or_else(|| head.and_then(|h| h.root(&collection)))
                .unwrap_or(ObjectId::ZERO);
            let target = (collection, uploader, chunker);
            let new = self.merge_items(session, &root, &changes, &bases, label, target)?;
            out.roots.insert(collection, new);
        }
        Ok(Some((out, aside)))
    }

    /// Says what of tails cannot be used. It stays in the list until tails come again.
    fn report_tails(&self, aside: LeftOut) -> Result<(), EngineError> {
        if aside.is_empty() {
            return Ok(());
        }
        let mut by_collection: BTreeMap<CollectionId, Vec<Report>> = BTreeMap::new();
        for (collection, report) in aside {
            by_collection.entry(collection).or_default().push(report);
        }
        for c in self.store.collections()? {
            if let Some(reports) = by_collection.get(&c.id) {
                self.store
                    .report(Producer::Merge, c.pk, reports, now_ms())?;
            }
        }
        Ok(())
    }

    /// A replaced tail is in the newer one, and is merged if that one is: what is left to others waits with it.
    fn name_replaced(
        &self,
        tails: &[Tail],
        named: &mut Vec<SessionRef>,
    ) -> Result<(), EngineError> {
        let mut with = Vec::new();
        for tail in tails {
            let reference = tail.session();
            if named.contains(&reference) || self.store.is_merged(&reference)? {
                with.extend(&tail.body.replaces);
            }
        }
        for tail in tails {
            let reference = tail.session();
            let is_new = !named.contains(&reference) && !self.store.is_merged(&reference)?;
            if is_new && with.contains(&reference) {
                named.push(reference);
            }
        }
        Ok(())
    }

    /// Says which tails wait, at the first collection. Each look at what waits begins anew: others may have merged it.
    fn report_waiting(
        &self,
        registered: &[CollectionId],
        waiting: &[Report],
    ) -> Result<(), EngineError> {
        for c in self.store.collections()? {
            let is_first = registered.first() == Some(&c.id);
            let reports = if is_first { waiting } else { &[] };
            let producer = Producer::Waiting;
            self.store.report(producer, c.pk, reports, now_ms())?;
        }
        Ok(())
    }

    /// A tail that replaces one which others merged already: where both changed a path, what the earlier one made of it
    /// is the base, and not what its terminal had before either.
    fn go_on_from(
        &self,
        session: &Session,
        earlier: SessionRef,
        label: &str,
        receiver: Receiver<'_>,
        grouped: &mut ItemsByCollection,
    ) -> Result<(), EngineError> {
        let conn = &session.conn;
        let answer = self.wire.net_if_there(conn, conn.tail(earlier))?;
        let answer = answer.ok_or_else(|| EngineError::TailDamaged(label.to_owned()))?;
        let Some(tail) = self.chain.read_tails(&[answer.signed])?.pop() else {
            return Ok(());
        };
        let merged = receiver.receive(session, &tail, label)?;
        let merged = merged.map(|r| r.items).unwrap_or_default();
        for (collection, (changes, _)) in merged {
            let Some((now, bases)) = grouped.get_mut(&collection) else {
                continue;
            };
            for (path, node) in changes {
                if now.contains_key(&path) {
                    bases.insert(path, node);
                }
            }
        }
        Ok(())
    }

    fn merge_items(
        &self,
        session: &Session,
        root: &ObjectId,
        changes: &Changes<Content>,
        bases: &BTreeMap<RelPath, Option<Node<Content>>>,
        label: &str,
        (collection, uploader, chunker): (CollectionId, &Uploader, &Chunker),
    ) -> Result<ObjectId, EngineError> {
        let mut objects = self.vault.objects(session, collection);
        let mut remote = Changes::new();
        let mut present: BTreeMap<RelPath, Option<Node<Content>>> = BTreeMap::new();
        let ancestors = changes.keys().flat_map(RelPath::ancestors);
        let asked: BTreeSet<RelPath> = changes.keys().cloned().chain(ancestors).collect();
        let paths = asked.iter().map(RelPath::as_bytes);
        let found = treeops::lookup(root, paths, &mut objects)?;
        for path in asked {
            // Nobody knows what the vault has there: nothing can be merged with it.
            let Some(leaf) = found.get(path.as_bytes()) else {
                return Err(EngineError::MissingObject(path.to_string()));
            };
            let now = leaf.as_ref().map(node_of);
            if let Some(base) = bases.get(&path)
                && *base != now
            {
                remote.insert(path.clone(), now.clone());
            }
            present.insert(path, now);
        }
        // A folder that goes takes nothing with it that its terminal did not know of: what others put into it since is new.
        let is_folder = |n: &Option<Node<Content>>| n.as_ref().is_some_and(Node::is_dir);
        let going = changes.iter().filter(|(p, n)| {
            let now = present.get(*p);
            !is_folder(n) && now.is_some_and(is_folder)
        });
        let going = going.map(|(path, _)| path.as_bytes());
        let mut new = BTreeSet::new();
        for (path, leaf) in treeops::below(root, going, &mut objects)? {
            let path = path_of(&path)?;
            if !present.contains_key(&path) {
                remote.insert(path.clone(), leaf.as_ref().map(node_of));
                new.insert(path);
            }
        }
        if let Some(unknown) = objects.take_aside().pop() {
            let path = String::from_utf8_lossy(&unknown.path).into_owned();
            return Err(EngineError::MissingObject(path));
        }
        // Names of versions that are kept aside are asked for as they come up: what has one already is not replaced.
        let (vault, failed) = (RefCell::new(&mut objects), RefCell::new(None));
        let base = |p: &RelPath| {
            if let Some(known) = bases.get(p).or_else(|| present.get(p)) {
                return known.clone();
            }
            if new.contains(p) {
                return None;
            }
            match treeops::lookup(root, [p.as_bytes()], &mut **vault.borrow_mut()) {
                Ok(found) => found.into_values().next().flatten().as_ref().map(node_of),
                Err(error) => {
                    failed.replace(Some(error));
                    None
                }
            }
        };
        let all = self.store.collections()?;
        let known = all.iter().find(|c| c.id == collection);
        let adapter = self.places.adapter(known.map_or("", |c| &c.attribute));
        if changes.keys().any(|path| adapter.merges(path)) {
            // What came in items can be read once it is in packs.
            uploader.finish()?;
        }
        let mut contents = self.vault.objects(session, collection);
        let merger = ContentMerger::new(&self.keys, adapter, chunker, &mut contents);
        let inputs = Inputs {
            base: &base,
            local: changes,
            remote: &remote,
            aside: &|p, side, attempt| {
                let whose = if side == Side::Local {
                    label
                } else {
                    &self.label
                };
                conflict_name(p, whose, attempt)
            },
            merge: &|p, base, theirs, ours| merger.in_vault(p, base, theirs, ours),
        };
        let Plan {
            publish, conflicts, ..
        } = plan(&inputs);
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        let merged = merger.done()?;
        upload_merged((collection, uploader), chunker, merged.values())?;
        note_tail_conflicts(&self.store, &collection, &conflicts)?;
        uploader.update_tree(collection, root, &publish, &mut objects)
    }
}
