//! A commit that its own terminal did not hear of, since the card was pulled or the wire cut before the answer came. What that
//! terminal seals then begins where it began before that commit; whoever takes the tail knows better.

use std::collections::BTreeMap;

use simsync_sync::node::Changes;
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::tail::Tail;
use simsync_vault::treeops;

use super::items::ItemsByCollection;
use crate::engine::EngineError;
use crate::engine::content::Content;
use crate::engine::leaves::{node_of, path_of};
use crate::engine::session::Session;
use crate::engine::vault::objects::Vault;
use crate::store::Store;

/// What a tail's own session committed after the newest commit that its terminal knew is the base of its items.
pub fn base_on_unheard(
    store: &Store,
    vault: &Vault,
    session: &Session,
    tail: &Tail,
    grouped: &mut ItemsByCollection,
) -> Result<(), EngineError> {
    let chain = store.commits_since(&tail.body.parent)?;
    let mut previous: Option<&Commit> = None;
    for commit in &chain {
        let before = previous.replace(commit);
        if before.is_none() && commit.hash() == tail.body.parent {
            continue;
        }
        if !is_its_own(commit, tail) {
            continue;
        }
        for (collection, (items, bases)) in grouped.iter_mut() {
            let had = before.and_then(|c| c.root(collection));
            let has = commit.root(collection);
            for (path, node) in changed_between(vault, session, *collection, had, has)? {
                if items.contains_key(&path) {
                    bases.insert(path, node);
                }
            }
        }
    }
    Ok(())
}

/// What differs between two roots; nothing, where a part of them cannot be had.
fn changed_between(
    vault: &Vault,
    session: &Session,
    collection: CollectionId,
    had: Option<ObjectId>,
    has: Option<ObjectId>,
) -> Result<Changes<Content>, EngineError> {
    let mut objects = vault.objects(session, collection);
    let (had, has) = (had.unwrap_or(ObjectId::ZERO), has.unwrap_or(ObjectId::ZERO));
    let mut out = BTreeMap::new();
    for (path, leaf) in treeops::diff(&had, &has, &mut objects)? {
        out.insert(path_of(&path)?, leaf.as_ref().map(node_of));
    }
    if !objects.take_aside().is_empty() {
        out.clear();
    }
    Ok(out)
}

/// Whether all that a commit changed was on its terminal's disk when the tail's session made it. What it merged from other
/// tails may not have been.
fn is_its_own(commit: &Commit, tail: &Tail) -> bool {
    let (by, of) = (&commit.body.session, &tail.body.session);
    let session = SessionRef {
        card: by.card,
        n: by.n,
    };
    by.terminal == of.terminal && session == tail.session() && commit.body.tails_merged.is_empty()
}
