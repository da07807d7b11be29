//! Merging of tails; names for kept-aside versions.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use simsync_shell::visible;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::{Inputs, Plan, Side, plan};
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::{Commit, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::seal::Kind;
use simsync_vault::tail::Tail;
use simsync_vault::treeops::{self, LeafChanges};

use super::content::Content;
use super::items::{ItemsByCollection, Receiver};
use super::leaves::{leaf_of, node_of, path_of};
use super::objects::Objects;
use super::upload::{Uploader, fresh_rng};
use super::{Engine, EngineError, Session, now_ms};
use crate::outstanding::{Producer, Report};
use crate::store::PackState;

/// Longest part of an extension that is kept, in bytes.
const EXTENSION_MAX: usize = 64;

/// `report.txt` → `report (conflict, LABEL).txt`, then `(conflict 2, LABEL)` and so on.
pub fn aside_name(path: &RelPath, label: &str, attempt: u32) -> Option<RelPath> {
    let name = path.name();
    let dot = name
        .iter()
        .rposition(|b| *b == b'.')
        .filter(|i| *i > 0)
        .unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let number = if attempt == 0 {
        String::new()
    } else {
        format!(" {}", attempt + 1)
    };
    let label: String = label
        .chars()
        .map(|c| if c == '/' || c == '\0' { '_' } else { c })
        .take(40)
        .collect();
    let mark = format!(" (conflict{number}, {label})");
    let room = 255usize.checked_sub(mark.len() + extension.len().min(EXTENSION_MAX))?;
    let extension = simsync_shell::cut(extension, EXTENSION_MAX);
    let mut new = simsync_shell::cut(stem, room).to_vec();
    new.extend_from_slice(mark.as_bytes());
    new.extend_from_slice(extension);
    path.with_name(&new).ok()
}

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
type Aside = Vec<(CollectionId, Report)>;

impl Engine {
    /// Merges tails into the trees of the head, three-way by the base of each item.
    pub fn merge_tails(
        &self,
        session: &Session,
        tails: &[Tail],
        head: Option<&Commit>,
        chunker: &Chunker,
        uploader: &Uploader<'_>,
    ) -> Result<MergedTails, EngineError> {
        let mut out = MergedTails::default();
        let registered: Vec<CollectionId> = self
            .store
            .collections()?
            .into_iter()
            .filter(|c| c.root.is_some())
            .map(|c| c.id)
            .collect();
        let own = self.terminal();
        let replaced: Vec<SessionRef> = tails
            .iter()
            .flat_map(|t| t.body.replaces.iter().copied())
            .collect();
        let labels = self.labels()?;
        uploader.keep_files(true);
        let mut aside = Vec::new();
        for tail in tails {
            let reference = tail.session();
            if self.store.is_merged(&reference)? {
                continue;
            }
            // Its own changes are on this very disk and go up as usual; a replaced one is in the newer one.
            if tail.body.session.terminal == own || replaced.contains(&reference) {
                out.named.push(reference);
                continue;
            }
            let label = labels
                .get(&tail.body.session.terminal)
                .cloned()
                .unwrap_or_else(|| tail.body.session.terminal.short());
            let receiver = || Receiver::new(self, chunker, uploader, &registered);
            match self.merge_tail(session, tail, head, &label, &receiver, &out.roots) {
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
                    aside.extend(registered.first().map(|c| (*c, report)));
                }
            }
        }
        self.report_tails(aside)?;
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
        receiver: &dyn Fn() -> Receiver<'r>,
        roots: &BTreeMap<CollectionId, ObjectId>,
    ) -> Result<Option<(MergedTails, Aside)>, EngineError> {
        let mut out = MergedTails::default();
        let referenced: Vec<PackRef> = tail
            .body
            .packs
            .iter()
            .filter(|p| p.collection != CollectionId::OUTBOX)
            .copied()
            .collect();
        self.fetch_packs(session, &referenced)?;
        let new = receiver();
        let uploader = new.uploader();
        let Some(received) = self.receive_tail(session, tail, label, new)? else {
            return Ok(None);
        };
        let (mut grouped, aside) = (received.items, received.aside);
        for earlier in &tail.body.replaces {
            if self.store.is_merged(earlier)? {
                self.go_on_from(session, *earlier, label, receiver(), &mut grouped)?;
            }
        }
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
            let target = (collection, uploader);
            let new = self.merge_items(session, &root, &changes, &bases, label, target)?;
            out.roots.insert(collection, new);
        }
        Ok(Some((out, aside)))
    }

    /// Says what of tails cannot be used. It stays in the list until tails come again.
    fn report_tails(&self, aside: Aside) -> Result<(), EngineError> {
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
        let answer = self.net_if_there(conn, conn.tail(earlier))?;
        let answer = answer.ok_or_else(|| EngineError::TailDamaged(label.to_owned()))?;
        let Some(tail) = self.read_tails(&[answer.signed])?.pop() else {
            return Ok(());
        };
        let merged = self.receive_tail(session, &tail, label, receiver)?;
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
        (collection, uploader): (CollectionId, &Uploader<'_>),
    ) -> Result<ObjectId, EngineError> {
        let mut objects = Objects::new(self, session, collection);
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
        let inputs = Inputs {
            base: &base,
            local: changes,
            remote: &remote,
            aside: &|p, side, attempt| {
                let whose = if side == Side::Local {
                    label
                } else {
                    &self.config.label
                };
                aside_name(p, whose, attempt)
            },
        };
        let Plan {
            publish, conflicts, ..
        } = plan(&inputs);
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        self.note_tail_conflicts(&collection, &conflicts)?;
        self.update_tree((collection, uploader), root, &publish, &mut objects)
    }

    /// Puts changes into a tree and the new listings into packs. Answers the new root.
    pub fn update_tree(
        &self,
        (collection, uploader): (CollectionId, &Uploader<'_>),
        root: &ObjectId,
        publish: &Changes<Content>,
        objects: &mut Objects<'_>,
    ) -> Result<ObjectId, EngineError> {
        let leaves: LeafChanges = publish
            .iter()
            .map(|(p, n)| (p.as_bytes().to_vec(), n.as_ref().map(leaf_of)))
            .collect();
        let (root, dirs) = self
            .keys
            .with(|k| treeops::update(root, &leaves, k, objects))??;
        let mut rng = fresh_rng();
        for (id, bytes) in &dirs {
            if !self.store.has_proven(&collection, id)? {
                let sealed = self
                    .keys
                    .with(|k| k.seal(Kind::Directory, &id.0, bytes, &mut rng))??;
                uploader.push(collection, Kind::Directory, *id, bytes.len(), &sealed)?;
            }
        }
        self.store.add_dirs(&dirs)?;
        Ok(root)
    }

    /// Packs that this terminal uploaded and no commit names.
    pub fn uncommitted_packs(&self) -> Result<Vec<PackRef>, EngineError> {
        Ok(self
            .store
            .packs_in(PackState::Uploaded)?
            .into_iter()
            .map(|p| p.reference)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_g3_long_names_are_cut_between_letters() {
        for name in [
            "ä".repeat(127),
            format!("{}.txt", "日".repeat(80)),
            format!("a.{}", "é".repeat(60)),
            format!("x{}", "👨".repeat(63)),
        ] {
            let path = RelPath::new(name.clone().into_bytes()).unwrap();
            for attempt in [0, 1, 99] {
                let aside = aside_name(&path, "Küche", attempt).unwrap();
                assert!(std::str::from_utf8(aside.name()).is_ok(), "{name}: {aside}");
                assert!(aside.name().len() <= 255);
            }
        }
    }
}
