//! Deletions by others: asked about where they are many, unless their owner said yes where they were made.

use std::collections::BTreeSet;

use simsync_card::ids::TerminalId;
use simsync_sync::guard::{self, Alarm};
use simsync_sync::node::{Changes, Node};
use simsync_vault::ids::ObjectId;
use simsync_vault::treeops;

use super::content::{Content, Held};
use super::leaves::node_of;
use super::objects::Objects;
use super::planning::{Round, guard_error};
use super::scan::LocalState;
use super::{Engine, EngineError};
use crate::store::Collection;

impl Engine {
    /// A mass deletion by others is asked about, unless its owner said yes where it was made.
    pub(super) fn check_deletions(
        &self,
        round: &Round<'_>,
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
            .filter(|(path, node)| node.is_some() && !state.rows.contains_key(*path));
        let left = state.rows.len().saturating_sub(lost) + come.count();
        let Some(alarm) = guard::check(state.rows.len(), left, lost) else {
            return Ok(());
        };
        let one = state.rows.len() == 1 && matches!(alarm, Alarm::RootEmpty { .. });
        if one || self.agreed_since(round, collection)? >= lost as u64 {
            return Ok(());
        }
        Err(guard_error(collection, alarm, true))
    }

    /// How many deletions their owner agreed to, in commits after the one that this terminal took last.
    ///
    /// A yes is to the collection as it then is at that terminal: what the same terminal deleted in the commits before is
    /// within it. A folder that is deleted while its changes are synced goes in several commits, and only the last of them
    /// is asked about.
    fn agreed_since(&self, round: &Round<'_>, collection: &Collection) -> Result<u64, EngineError> {
        let commits = self.store.newest_commits(u32::MAX)?;
        let mut roots = commits
            .iter()
            .map(|c| c.root(&collection.id).unwrap_or(ObjectId::ZERO))
            .peekable();
        let mut said_yes = BTreeSet::<TerminalId>::new();
        let mut agreed = 0u64;
        for commit in &commits {
            let Some(root) = roots.next().filter(|r| *r != collection.base_root) else {
                break;
            };
            let metadata = self.open_metadata(commit)?;
            let here = metadata
                .agreed
                .iter()
                .find(|a| a.collection == collection.id);
            let terminal = commit.body.terminal;
            let count = if let Some(here) = here {
                said_yes.insert(terminal);
                here.count
            } else if said_yes.contains(&terminal) {
                let before = roots.peek().copied().unwrap_or(ObjectId::ZERO);
                self.lost_between(round, collection, &before, &root)?
            } else {
                0
            };
            agreed = agreed.saturating_add(count);
        }
        Ok(agreed)
    }

    /// How many entries were lost from one root to another, as far as both can be read.
    fn lost_between(
        &self,
        round: &Round<'_>,
        collection: &Collection,
        before: &ObjectId,
        after: &ObjectId,
    ) -> Result<u64, EngineError> {
        let mut objects = Objects::new(self, round.session, collection.id);
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
