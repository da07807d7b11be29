//! One collection: what changed here, what changed in the vault, and the plan that makes both equal. Nothing is uploaded for it,
//! and only files are read that both sides changed.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use simsync_card::ids::TerminalId;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::{Inputs, Plan, Side, plan};
use simsync_vault::ids::ObjectId;
use simsync_vault::treeops::{self, DirSource};

use super::agreed::Agreements;
use super::answers::{Answer, Answers};
use super::conflict_name::conflict_name;
use super::planned::Planned;
use super::round::Round;
use super::written::{take_for_written, written_since};
use crate::engine::EngineError;
use crate::engine::authors::name_authors;
use crate::engine::cancel::KeyCell;
use crate::engine::clock::now_ms;
use crate::engine::content::Content;
use crate::engine::disk::local::{Candidate, Local, LocalState};
use crate::engine::disk::places::Places;
use crate::engine::leaves::{node_of, path_of};
use crate::engine::progress::Progress;
use crate::engine::seen::{Seen, all_read, all_seen, seen};
use crate::engine::send::content_merge::ContentMerger;
use crate::engine::send::read::Files;
use crate::engine::send::uploads;
use crate::engine::vault::objects::{Objects, Vault};
use crate::outstanding::{Producer, Unsynced};
use crate::store::{Collection, RowChange, Store};

/// Makes the plan for one collection after the other.
#[derive(Clone)]
pub struct Planner {
    pub store: Arc<Store>,
    pub keys: KeyCell,
    pub places: Places,
    pub files: Files,
    pub vault: Vault,
    pub agreements: Agreements,
    pub progress: Arc<Progress>,
    pub own: TerminalId,
    /// Label of this terminal, for names of kept-aside versions.
    pub label: String,
}

impl Planner {
    /// The plan for one collection, of which the vault has `remote_root`. A question to the owner is an error of this one
    /// collection.
    pub fn plan_collection(
        &self,
        round: &Round<'_>,
        collection: Collection,
        remote_root: ObjectId,
    ) -> Result<Planned, EngineError> {
        let root = collection.root.clone().unwrap_or_default();
        let (answers, places) = (&round.options.answers, &self.places);
        let limited = answers.is_to_questions(&collection.id);
        let holds = !limited || is_what_was_asked(places, answers, &collection, &root)?;
        let answer = answers.of(&collection.id).filter(|_| holds);
        let adapter = places.adapter(&collection.attribute);
        let begun_anew = answer.is_some() && adapter.make(&root).map_err(EngineError::io(&root))?;
        places.put_modes_back(&collection, &root);
        self.progress.step("scanning", 0);
        let mut state = places.scan(&collection, &root, answer.is_some())?;
        if answer == Some(Answer::GiveBack) {
            self.forget_what_is_gone(&collection, &mut state)?;
        }
        let reports = std::mem::take(&mut state.reports);
        self.store
            .report(Producer::Scan, collection.pk, &reports, now_ms())?;
        let agreed = answer == Some(Answer::Delete);
        if let Some(alarm) = state.alarm().filter(|_| !agreed) {
            return Err(EngineError::guard(&collection, alarm));
        }
        let lost_here = state.lost();

        let mut local = Local::unread(&state);
        let mut objects = self.vault.objects(round.session, collection.id);
        if let Some(target) = &collection.applying {
            let written = written_since(&collection, target, &mut objects)?;
            self.read_those_of(round, &collection, &state, &mut local, &written)?;
            take_for_written(
                &self.store,
                places,
                &collection,
                &written,
                &mut state,
                &mut local,
            )?;
        }
        let mut remote =
            self.remote_changes(&collection, &remote_root, &local.changes, &mut objects)?;
        // Rows may be newer than the base's root (merged tails): what they say already is no change of others.
        remote.retain(|path, node| state.rows.get(path).map(|r| &r.node) != node.as_ref());
        self.read_those_of(round, &collection, &state, &mut local, &remote)?;
        let remote = all_seen(remote);
        let merger = ContentMerger::new(&self.keys, adapter, round.chunker, &mut objects);
        let Plan {
            moves,
            apply,
            publish,
            conflicts,
        } = plan(&Inputs {
            base: &|p| state.rows.get(p).map(|r| seen(r.node.clone())),
            local: &local.changes,
            remote: &remote,
            aside: &|p, side, attempt| {
                let label = if side == Side::Local {
                    &self.label
                } else {
                    "vault"
                };
                conflict_name(p, label, attempt)
            },
            merge: &|p, base, ours, theirs| merger.on_disk(&*state.place, p, base, ours, theirs),
        });
        let merged = merger.done()?;
        state.rows.check()?;
        let moved: HashMap<&RelPath, &RelPath> =
            moves.iter().map(|(from, to)| (to, from)).collect();
        let source = |path: &RelPath| {
            let from = moved.get(path).copied().unwrap_or(path);
            local.numbers.get(from).copied()
        };
        let is_local = |number: usize, content: &Content| {
            let here = state.candidates.get(number).map(|c| &c.path);
            let here = here.and_then(|path| local.changes.get(path)?.as_ref());
            matches!(here, Some(Node::File { content: Seen::Read(c), .. }) if c == content)
        };
        let (publish, mut uploads) = uploads::split(publish, &source, &is_local);
        for (path, here) in &local.changes {
            if let Some(Node::File {
                content: Seen::Read(content),
                ..
            }) = here
                && let Some(number) = local.numbers.get(path)
                && !uploads.contains_key(path)
                && !merged.contains_key(path)
            {
                let heals = uploads::heals(&self.store, &collection.id, *number, content)?;
                uploads.extend(heals.map(|u| (path.clone(), u)));
            }
        }
        let plan = Plan {
            // What was not read is where it is already: nothing of it is ever to be written here.
            apply: all_read(apply),
            moves,
            publish,
            conflicts,
        };
        if !agreed || limited {
            let open =
                self.agreements
                    .check_deletions(round.session, &collection, &state, &plan.apply);
            state.rows.check()?;
            open.or_else(|e| {
                if agreed && answers.covers(&e) {
                    Ok(())
                } else {
                    Err(e)
                }
            })?;
        }
        let mut unknown = objects.take_aside();
        name_authors(&self.store, &self.own, &collection, &mut unknown)?;
        Ok(Planned {
            collection,
            local: state,
            changes: all_read(local.changes),
            stats: local.stats,
            touched: local.touched,
            left: local.left,
            remote_root,
            remote: all_read(remote),
            plan,
            uploads,
            merged,
            postponed: Vec::new(),
            not_taken: Vec::new(),
            unknown,
            // A folder that is gone after all in it was deleted and synced is agreed to as well.
            agreed: (agreed && (lost_here > 0 || begun_anew)).then_some(lost_here as u64),
        })
    }

    /// Reads the files that look different and are among `others`: what both sides changed is compared by content. What cannot be
    /// read counts for nothing that changed.
    fn read_those_of(
        &self,
        round: &Round<'_>,
        collection: &Collection,
        state: &LocalState,
        local: &mut Local,
        others: &Changes<Content>,
    ) -> Result<(), EngineError> {
        let is_unread = |path: &RelPath| {
            let here = local.changes.get(path).and_then(Option::as_ref);
            matches!(
                here,
                Some(Node::File {
                    content: Seen::Unread(_),
                    ..
                })
            )
        };
        let both = |c: &&Candidate| others.contains_key(&c.path) && is_unread(&c.path);
        let candidates: Vec<Candidate> = state.candidates.iter().filter(both).cloned().collect();
        let key = (collection.pk, collection.id);
        let reading = self
            .files
            .read(key, &*state.place, &candidates, round.chunker, None)?;
        for c in candidates {
            local.changes.remove(&c.path);
            local.stats.remove(&c.path);
        }
        local.left.extend(reading.left);
        for file in reading.files {
            let node = Node::File {
                mode: file.stat.mode,
                content: file.content,
            };
            local.put(&state.rows, file.path, node, file.stat);
        }
        Ok(())
    }

    /// What the vault has that the rows do not stand for.
    fn remote_changes(
        &self,
        collection: &Collection,
        remote_root: &ObjectId,
        local: &Changes<Seen>,
        objects: &mut Objects<'_>,
    ) -> Result<Changes<Content>, EngineError> {
        let mut out = Changes::new();
        let mut differs = treeops::diff(&collection.base_root, remote_root, objects)?;
        if objects.is_exhausted() {
            // Nothing of it is taken. What changed here is given, and the vault is asked for what it has there.
            objects.begin_anew();
            let paths = local.keys().map(RelPath::as_bytes);
            differs = treeops::lookup(remote_root, paths, objects)?;
            objects.set_aside(&[], EngineError::TooMuch)?;
        }
        for (path, leaf) in differs {
            out.insert(path_of(&path)?, leaf.as_ref().map(node_of));
        }
        let pending = self.store.pending(collection.pk)?;
        let paths = pending.iter().map(RelPath::as_bytes);
        for (path, leaf) in treeops::lookup(remote_root, paths, objects)? {
            out.insert(path_of(&path)?, leaf.as_ref().map(node_of));
        }
        Ok(out)
    }

    /// The owner wants back what is gone here: then no row stands for it, and the vault has it.
    fn forget_what_is_gone(
        &self,
        collection: &Collection,
        state: &mut LocalState,
    ) -> Result<(), EngineError> {
        let gone = std::mem::take(&mut state.gone);
        let rows: Vec<RowChange> = gone.iter().map(|p| (p.clone(), None)).collect();
        let mut pending: BTreeSet<RelPath> =
            self.store.pending(collection.pk)?.into_iter().collect();
        for path in gone {
            state.rows.remove(&path);
            pending.insert(path);
        }
        let pending: Vec<RelPath> = pending.into_iter().collect();
        self.places
            .write_rows(collection, &collection.base_root, &rows, &pending)?;
        Ok(())
    }
}

/// Whether what is missing now is what the owner was asked about, and nothing else: a folder that went after the question
/// was shown is none of its answer.
fn is_what_was_asked(
    places: &Places,
    answers: &Answers,
    collection: &Collection,
    root: &Path,
) -> Result<bool, EngineError> {
    let state = match places.scan(collection, root, false) {
        Ok(state) => state,
        Err(open @ EngineError::Guard { .. }) => return Ok(answers.covers(&open)),
        Err(error) => return Err(error),
    };
    state.rows.check()?;
    let alarm = state.alarm().map(|a| EngineError::guard(collection, a));
    let mut unseen = state.reports.iter().filter(|r| r.code == Unsynced::Unseen);
    Ok(alarm.is_none_or(|open| answers.covers(&open)) && unseen.all(|r| answers.asked.contains(r)))
}
