//! Deletions by others: asked about where they are many, unless their owner said yes where they were made.

use std::collections::BTreeSet;
use std::sync::Arc;

use simsync_card::ids::TerminalId;
use simsync_sync::guard::{self, Alarm};
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::ids::ObjectId;
use simsync_vault::treeops;

use crate::engine::EngineError;
use crate::engine::content::{Content, Held};
use crate::engine::disk::local::LocalState;
use crate::engine::leaves::node_of;
use crate::engine::session::Session;
use crate::engine::vault::names::Names;
use crate::engine::vault::objects::Vault;
use crate::store::{Collection, Store};

/// So many states after a yes are looked at; after more it counts for nothing.
const ROOTS_MAX: usize = 1_000;

/// Looks for the yes of whoever deleted.
#[derive(Clone)]
pub struct Agreements {
    store: Arc<Store>,
    names: Names,
    vault: Vault,
}

impl Agreements {
    /// In the metadata of the commits that this database keeps, and in the trees of the vault.
    pub fn new(store: Arc<Store>, names: Names, vault: Vault) -> Self {
        Self {
            store,
            names,
            vault,
        }
    }

    /// A mass deletion by others is asked about, unless its owner said yes where it was made.
    pub fn check_deletions(
        &self,
        session: &Session,
        collection: &Collection,
        state: &LocalState,
        apply: &Changes<Content>,
    ) -> Result<(), EngineError> {
        let gone = apply.iter().filter(|(_, node)| node.is_none());
        let lost = guard::lost(
            gone.filter_map(|(path, _)| state.rows.get(path).map(|r| Held::from(&r.node))),
            apply.values().flatten().map(Held::from),
        );
        let come = apply
            .iter()
            .filter(|(path, node)| node.is_some() && !state.rows.contains_key(path));
        let left = state.rows.len().saturating_sub(lost) + come.count();
        let Some(alarm) = guard::check(state.rows.len(), left, lost) else {
            return Ok(());
        };
        if state.rows.len() == 1 && matches!(alarm, Alarm::RootEmpty { .. }) {
            return Ok(());
        }
        let gone = apply.iter().filter(|(_, node)| node.is_none());
        let gone: Vec<&RelPath> = gone.map(|(path, _)| path).collect();
        let agreed = self.agreed_since(session, collection, &gone)?;
        let agreed = usize::try_from(agreed).map_or(lost, |n| n.min(lost));
        // What nobody agreed to is looked at by itself.
        let rest = lost - agreed;
        if rest == 0 || guard::check(state.rows.len() - agreed, left, rest).is_none() {
            return Ok(());
        }
        Err(EngineError::guard(collection, alarm))
    }

    /// How many deletions their owner agreed to, in commits after the one that this terminal took last.
    ///
    /// A yes is to the collection as it then is at that terminal: what the same terminal deleted in the commits before is
    /// within it. A folder that is deleted while its changes are synced goes in several commits, and only the last of them
    /// is asked about. What was there again after the newest yes went without one.
    fn agreed_since(
        &self,
        session: &Session,
        collection: &Collection,
        gone: &[&RelPath],
    ) -> Result<u64, EngineError> {
        let commits = self.store.newest_commits(u32::MAX)?;
        let mut roots = commits
            .iter()
            .map(|c| c.root(&collection.id).unwrap_or(ObjectId::ZERO))
            .peekable();
        let mut said_yes = BTreeSet::<TerminalId>::new();
        let mut agreed = 0u64;
        let (mut after, mut again) = (Vec::new(), 0);
        for commit in &commits {
            let Some(root) = roots.next().filter(|r| *r != collection.base_root) else {
                break;
            };
            let metadata = self.names.open(commit)?;
            let here = metadata
                .agreed
                .iter()
                .find(|a| a.collection == collection.id);
            let terminal = commit.body.terminal;
            let count = if let Some(here) = here {
                if said_yes.is_empty() {
                    again = self.there_in(session, collection, &after, gone)?;
                }
                said_yes.insert(terminal);
                here.count
            } else if said_yes.contains(&terminal) {
                let before = roots.peek().copied().unwrap_or(ObjectId::ZERO);
                self.lost_between(session, collection, &before, &root)?
            } else {
                if said_yes.is_empty() {
                    after.push(root);
                }
                0
            };
            agreed = agreed.saturating_add(count);
        }
        Ok(agreed.min((gone.len() - again) as u64))
    }

    /// How many of these paths are in at least one of the roots. All of them, where that cannot be known.
    fn there_in(
        &self,
        session: &Session,
        collection: &Collection,
        roots: &[ObjectId],
        paths: &[&RelPath],
    ) -> Result<usize, EngineError> {
        if roots.len() > ROOTS_MAX {
            return Ok(paths.len());
        }
        let mut objects = self.vault.objects(session, collection.id);
        let mut absent: Vec<&[u8]> = paths.iter().map(|p| p.as_bytes()).collect();
        for root in roots {
            let found = treeops::lookup(root, absent.iter().copied(), &mut objects)?;
            absent.retain(|path| !matches!(found.get(*path), Some(Some(_))));
        }
        if objects.is_exhausted() || !objects.take_aside().is_empty() {
            return Ok(paths.len());
        }
        Ok(paths.len() - absent.len())
    }

    /// How many entries were lost from one root to another, as far as both can be read.
    fn lost_between(
        &self,
        session: &Session,
        collection: &Collection,
        before: &ObjectId,
        after: &ObjectId,
    ) -> Result<u64, EngineError> {
        let mut objects = self.vault.objects(session, collection.id);
        let differs = treeops::diff(before, after, &mut objects)?;
        let gone = differs.iter().filter(|(_, leaf)| leaf.is_none());
        let gone = treeops::lookup(before, gone.map(|(path, _)| path.as_slice()), &mut objects)?;
        if objects.is_exhausted() {
            return Ok(0);
        }
        let nodes = |leaf: Option<treeops::Leaf>| leaf.as_ref().map(node_of);
        let gone: Vec<Node<Content>> = gone.into_values().filter_map(nodes).collect();
        let came: Vec<Node<Content>> = differs.into_values().filter_map(nodes).collect();
        let lost = guard::lost(gone.iter().map(Held::from), came.iter().map(Held::from));
        Ok(lost as u64)
    }
}
