//! The planner: base, local and remote changes in, operations for both sides out. Pure and total.
//!
//! Rules: one side changed → the other takes it. Both changed alike → nothing. A write beats a deletion. Two writes →
//! both are kept: the remote one stays at the path, the local one moves aside. A file and a directory at one path → the
//! directory stays, the file moves aside. Permission bits and content are merged apart; who knows what content means may make one
//! of two. Times decide nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Changes, Node, RelPath};

/// Which side a kept-aside version came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What this terminal has.
    Local,
    /// What the vault has.
    Remote,
}

/// Two versions of one path, both kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path that both sides wrote.
    pub path: RelPath,
    /// Where the one that gave way is now.
    pub aside: RelPath,
    /// Whose version gave way.
    pub side: Side,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<C> {
    /// Local moves that make room, before anything else: (from, to). Nothing is overwritten by them.
    pub moves: Vec<(RelPath, RelPath)>,
    /// What the local side must become at these paths.
    pub apply: Changes<C>,
    /// What the vault must become at these paths.
    pub publish: Changes<C>,
    /// Versions kept aside.
    pub conflicts: Vec<Conflict>,
}

impl<C> Default for Plan<C> {
    fn default() -> Self {
        Self {
            moves: Vec::new(),
            apply: BTreeMap::new(),
            publish: BTreeMap::new(),
            conflicts: Vec::new(),
        }
    }
}

impl<C> Plan<C> {
    /// Whether both sides are equal already.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.apply.is_empty() && self.publish.is_empty()
    }

    /// Something is not written on this terminal now, so it is not given to the vault either. Where it is a version of the
    /// vault's that was to be kept aside, what takes its place is not given before: else nobody would have that version. Answers
    /// the paths that stay different for this reason.
    pub fn leave(&mut self, path: &RelPath) -> Vec<RelPath> {
        self.publish.remove(path);
        let is_kept_there = |c: &&Conflict| c.side == Side::Remote && c.aside == *path;
        let of_vault = self.conflicts.iter().filter(is_kept_there);
        let stay: Vec<RelPath> = of_vault.map(|c| c.path.clone()).collect();
        for place in &stay {
            let is_at = |p: &RelPath| p == place || p.ancestors().any(|a| a == *place);
            self.publish.retain(|p, _| !is_at(p));
            self.conflicts.retain(|c| c.aside != *path);
        }
        stay
    }
}

/// The three trees as the planner sees them.
pub struct Inputs<'a, C> {
    /// What both sides had at the last sync.
    pub base: &'a dyn Fn(&RelPath) -> Option<Node<C>>,
    /// What changed on this terminal since.
    pub local: &'a Changes<C>,
    /// What changed in the vault since.
    pub remote: &'a Changes<C>,
    /// Where a version that gives way goes: path, side, attempt from 0. Must yield a new name for each attempt.
    pub aside: &'a dyn Fn(&RelPath, Side, u32) -> Option<RelPath>,
    /// Makes one content of two that were both changed: path, base, local, remote. None: they cannot be merged.
    pub merge: &'a Merging<'a, C>,
}

/// A way to make one content of two.
pub type Merging<'a, C> = dyn Fn(&RelPath, Option<&C>, &C, &C) -> Option<Merged<C>> + 'a;

/// What became of two contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged<C> {
    /// Both sides as one content.
    pub content: C,
    /// Something of the local one is not in it: that one is kept aside, too.
    pub lacks_local: bool,
}

/// Content that means nothing to whoever plans is never merged.
pub fn no_merging<C>(_: &RelPath, _: Option<&C>, _: &C, _: &C) -> Option<Merged<C>> {
    None
}

impl<C: Clone + PartialEq> Inputs<'_, C> {
    fn local_now(&self, p: &RelPath) -> Option<Node<C>> {
        self.local.get(p).cloned().unwrap_or_else(|| (self.base)(p))
    }

    fn remote_now(&self, p: &RelPath) -> Option<Node<C>> {
        self.remote
            .get(p)
            .cloned()
            .unwrap_or_else(|| (self.base)(p))
    }

    fn is_taken(&self, p: &RelPath) -> bool {
        self.local_now(p).is_some() || self.remote_now(p).is_some()
    }
}

/// Makes the plan.
pub fn plan<C: Clone + PartialEq>(inputs: &Inputs<'_, C>) -> Plan<C> {
    let mut state = Merge {
        inputs,
        merged: BTreeMap::new(),
        aside: Vec::new(),
    };
    let touched: BTreeSet<&RelPath> = inputs.local.keys().chain(inputs.remote.keys()).collect();
    for path in touched {
        state.merge_path(path);
    }
    state.make_structure_whole();
    state.finish()
}

struct Aside<C> {
    conflict: Conflict,
    node: Node<C>,
}

struct Merge<'a, C> {
    inputs: &'a Inputs<'a, C>,
    merged: Changes<C>,
    aside: Vec<Aside<C>>,
}

impl<C: Clone + PartialEq> Merge<'_, C> {
    fn merge_path(&mut self, path: &RelPath) {
        let local = self.inputs.local_now(path);
        let remote = self.inputs.remote_now(path);
        let base = (self.inputs.base)(path);
        let result = if local == remote || remote == base {
            local
        } else if local == base {
            remote
        } else {
            self.merge_both(path, base, local, remote)
        };
        self.merged.insert(path.clone(), result);
    }

    /// Both sides changed, differently.
    fn merge_both(
        &mut self,
        path: &RelPath,
        base: Option<Node<C>>,
        local: Option<Node<C>>,
        remote: Option<Node<C>>,
    ) -> Option<Node<C>> {
        let (local, remote) = match (local, remote) {
            (None, other) | (other, None) => return other,
            (Some(l), Some(r)) => (l, r),
        };
        match (&local, &remote) {
            (Node::Dir { mode: l }, Node::Dir { mode: r }) => {
                let mode = merge_mode(mode_of(&base), *l, *r);
                Some(Node::Dir { mode })
            }
            (Node::Dir { .. }, _) => {
                self.keep_aside(path, Side::Remote, remote);
                Some(local)
            }
            (_, Node::Dir { .. }) => {
                self.keep_aside(path, Side::Local, local);
                Some(remote)
            }
            (
                Node::File {
                    mode: lm,
                    content: lc,
                },
                Node::File {
                    mode: rm,
                    content: rc,
                },
            ) => {
                let mode = merge_mode(mode_of(&base), *lm, *rm);
                let base_content = match &base {
                    Some(Node::File { content, .. }) => Some(content),
                    _ => None,
                };
                let content = if lc == rc || base_content == Some(rc) {
                    lc.clone()
                } else if base_content == Some(lc) {
                    rc.clone()
                } else if let Some(merged) = (self.inputs.merge)(path, base_content, lc, rc) {
                    if merged.lacks_local {
                        self.keep_aside(path, Side::Local, local);
                    }
                    merged.content
                } else {
                    self.keep_aside(path, Side::Local, local);
                    return Some(remote);
                };
                Some(Node::File { mode, content })
            }
            _ => {
                self.keep_aside(path, Side::Local, local);
                Some(remote)
            }
        }
    }

    fn keep_aside(&mut self, path: &RelPath, side: Side, node: Node<C>) {
        let free = |p: &RelPath| {
            !self.inputs.is_taken(p)
                && self.merged.get(p).is_none_or(Option::is_none)
                && self.aside.iter().all(|a| a.conflict.aside != *p)
        };
        // The namer yields a new name for each attempt, so this ends with the first that nobody uses.
        let aside = (0..u32::MAX)
            .map_while(|attempt| (self.inputs.aside)(path, side, attempt))
            .find(free);
        if let Some(aside) = aside {
            self.aside.push(Aside {
                conflict: Conflict {
                    path: path.clone(),
                    aside,
                    side,
                },
                node,
            });
        }
    }

    /// What the merged tree has at a path that may not be touched.
    fn merged_now(&self, p: &RelPath) -> Option<Node<C>> {
        self.merged
            .get(p)
            .cloned()
            .unwrap_or_else(|| (self.inputs.base)(p))
    }

    /// Everything that stays needs directories above it: deleted ones come back, files in the way move aside.
    fn make_structure_whole(&mut self) {
        let mut present: Vec<RelPath> = self
            .merged
            .iter()
            .filter(|(_, n)| n.is_some())
            .map(|(p, _)| p.clone())
            .collect();
        present.extend(self.aside.iter().map(|a| a.conflict.aside.clone()));
        for path in present {
            let ancestors: Vec<RelPath> = path.ancestors().collect();
            for above in ancestors.into_iter().rev() {
                match self.merged_now(&above) {
                    Some(Node::Dir { .. }) => {}
                    None => {
                        let mode = self.directory_mode(&above);
                        self.merged.insert(above, Some(Node::Dir { mode }));
                    }
                    Some(file) => {
                        let side = if self.inputs.local_now(&above).as_ref() == Some(&file) {
                            Side::Local
                        } else {
                            Side::Remote
                        };
                        let mode = self.directory_mode(&above);
                        self.keep_aside(&above, side, file);
                        self.merged.insert(above, Some(Node::Dir { mode }));
                    }
                }
            }
        }
    }

    fn directory_mode(&self, path: &RelPath) -> u16 {
        let candidates = [
            self.inputs.local_now(path),
            self.inputs.remote_now(path),
            (self.inputs.base)(path),
        ];
        candidates
            .into_iter()
            .find_map(|n| match n {
                Some(Node::Dir { mode }) => Some(mode),
                _ => None,
            })
            .unwrap_or(0o755)
    }

    fn finish(mut self) -> Plan<C> {
        let mut plan = Plan::default();
        for a in std::mem::take(&mut self.aside) {
            let Conflict { path, aside, side } = &a.conflict;
            if *side == Side::Local && self.inputs.local_now(path).as_ref() == Some(&a.node) {
                plan.moves.push((path.clone(), aside.clone()));
            } else {
                plan.apply.insert(aside.clone(), Some(a.node.clone()));
            }
            plan.publish.insert(aside.clone(), Some(a.node));
            plan.conflicts.push(a.conflict);
        }
        let moved: BTreeSet<&RelPath> = plan.moves.iter().map(|(from, _)| from).collect();
        for (path, node) in &self.merged {
            let local_now = if moved.contains(path) {
                None
            } else {
                self.inputs.local_now(path)
            };
            if local_now != *node {
                plan.apply.insert(path.clone(), node.clone());
            }
            if self.inputs.remote_now(path) != *node {
                plan.publish.insert(path.clone(), node.clone());
            }
        }
        plan
    }
}

fn mode_of<C>(node: &Option<Node<C>>) -> Option<u16> {
    match node {
        Some(Node::Dir { mode } | Node::File { mode, .. }) => Some(*mode),
        _ => None,
    }
}

fn merge_mode(base: Option<u16>, local: u16, remote: u16) -> u16 {
    if base == Some(remote) { local } else { remote }
}

#[cfg(test)]
mod tests;
