//! After others merged this terminal's own tail: what it held is the new base here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use simsync_card::ids::Hash;
use simsync_sync::dir::Stat;
use simsync_sync::node::{Node, RelPath};
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::SessionRef;
use simsync_vault::treeops;

use crate::engine::EngineError;
use crate::engine::cancel::{Cancel, KeyCell};
use crate::engine::content::Content;
use crate::engine::disk::local::LocalState;
use crate::engine::disk::places::Places;
use crate::engine::leaves::node_of;
use crate::engine::plan::planned::mode_of;
use crate::engine::send::read::{Files, ReadFile, open_in};
use crate::engine::session::Session;
use crate::engine::vault::names::Names;
use crate::engine::vault::objects::{Objects, Vault};
use crate::store::{Collection, FileRow, RowChange, Sealed, SealedContent, Store};

/// More than this is not fetched from the vault only to see whether it is what was sealed, in bytes.
const COMPARED_MAX: u64 = 64 << 20;

/// What one collection's part of a tail was, by path; none: it was gone.
type SealedPaths<'a> = BTreeMap<&'a RelPath, Option<&'a Sealed>>;

/// Goes on from what others merged of this terminal's.
#[derive(Clone)]
pub struct Rebaser {
    pub store: Arc<Store>,
    pub keys: KeyCell,
    pub cancel: Cancel,
    pub names: Names,
    pub places: Places,
    pub vault: Vault,
    pub files: Files,
}

impl Rebaser {
    /// Notes that others merged tails of our own, and forgets their sessions.
    pub fn rebase_on_merged_tails(&self, session: &Session) -> Result<(), EngineError> {
        for own in self.store.own_sessions()? {
            let reference = own.session();
            if own.tail.is_some() && self.store.is_merged(&reference)? {
                self.rebase_on_tail(session, &reference)?;
                self.store.close_sessions(&reference.card, reference.n)?;
            }
        }
        Ok(())
    }

    /// The base of what our own merged tail held is what was sealed, whatever was done to it since.
    fn rebase_on_tail(&self, session: &Session, reference: &SessionRef) -> Result<(), EngineError> {
        let head = self.store.newest_commit()?;
        let metadata = self.names.believed(head.as_ref())?;
        let chunker = self
            .keys
            .with(|k| Chunker::new(k.chunker_key(), metadata.chunker))?;
        let items = self.store.tail_items(reference)?;
        for c in self.store.collections()? {
            let Some(root) = &c.root else { continue };
            let Ok(local) = self.places.scan(&c, root, false) else {
                continue;
            };
            let items = items.iter().filter(|i| i.collection == c.pk);
            let sealed: SealedPaths<'_> = items.map(|i| (&i.path, i.sealed.as_ref())).collect();
            let mut objects = self.vault.objects(session, c.id);
            let found = match head.as_ref().and_then(|h| h.root(&c.id)) {
                Some(root) => {
                    let sealed = sealed.iter().filter(|(_, what)| what.is_some());
                    let paths = sealed.map(|(path, _)| path.as_bytes());
                    treeops::lookup(&root, paths, &mut objects)?
                }
                None => BTreeMap::new(),
            };
            let read = self.read_as_sealed(&c, &local, &sealed, &chunker)?;
            let nodes = local.nodes.iter();
            let here: BTreeMap<&RelPath, &Stat> = nodes.map(|(p, _, stat)| (p, stat)).collect();
            let mut rows: Vec<RowChange> = Vec::new();
            for (path, what) in &sealed {
                let Some(what) = what else {
                    // Whatever is there now came after it.
                    rows.push(((*path).clone(), None));
                    continue;
                };
                let row = match &what.node {
                    Some(Node::Dir { mode }) => Some((Node::Dir { mode: *mode }, what.stat)),
                    Some(Node::Symlink { target }) => {
                        let target = target.clone();
                        let now = here.get(*path).filter(|now| what.stat.same_content(now));
                        let stat = now.map_or(what.stat, |now| **now);
                        Some((Node::Symlink { target }, stat))
                    }
                    Some(Node::File { mode, content }) => {
                        let known = read.get(*path).map(|f| (f.content.clone(), f.stat));
                        let known = match (known, content) {
                            (Some(known), _) => Some(known),
                            (None, SealedContent::Chunks(chunks)) => Some((
                                Content {
                                    chunks: chunks[..].into(),
                                    size: what.stat.size,
                                    mtime: what.stat.mtime,
                                },
                                what.stat,
                            )),
                            (None, SealedContent::Digest(digest)) => {
                                let row = local.rows.get(path).map(|r| &r.node);
                                let leaf = found.get(path.as_bytes()).and_then(Option::as_ref);
                                let known = [row.cloned(), leaf.map(node_of)];
                                self.content_of(digest, &what.stat, known, &mut objects)?
                                    .map(|content| (content, what.stat))
                            }
                        };
                        let mode = *mode;
                        known.map(|(content, stat)| (Node::File { mode, content }, stat))
                    }
                    None => None,
                };
                if let Some((node, stat)) = row {
                    let mode = mode_of(&node);
                    let stat = Stat { mode, ..stat };
                    rows.push(((*path).clone(), Some(FileRow { node, stat })));
                }
            }
            // These rows are newer than the base's root: a difference between roots would not tell what became of these
            // paths since, so the vault is asked for each.
            let mut pending: BTreeSet<RelPath> = self.store.pending(c.pk)?.into_iter().collect();
            pending.extend(rows.iter().map(|(path, _)| path.clone()));
            let pending: Vec<RelPath> = pending.into_iter().collect();
            local.rows.check()?;
            self.places.write_rows(&c, &c.base_root, &rows, &pending)?;
        }
        Ok(())
    }

    /// Reads the files that are still what was sealed, to the byte.
    fn read_as_sealed(
        &self,
        c: &Collection,
        local: &LocalState,
        sealed: &SealedPaths<'_>,
        chunker: &Chunker,
    ) -> Result<BTreeMap<RelPath, ReadFile>, EngineError> {
        let is_as_sealed = |path: &RelPath, stat: &Stat| match sealed.get(path).copied().flatten() {
            Some(Sealed {
                stat: then,
                node: Some(Node::File { content, .. }),
            }) if then.same_content(stat) => match content {
                SealedContent::Digest(digest) => digest_of(local, path) == Some(*digest),
                SealedContent::Chunks(_) => false,
            },
            _ => false,
        };
        let candidates = local.candidates.iter();
        let unchanged = candidates.filter(|f| is_as_sealed(&f.path, &f.stat));
        let unchanged: Vec<_> = unchanged.cloned().collect();
        let place = &*local.place;
        let read = self
            .files
            .read((c.pk, c.id), place, &unchanged, chunker, None)?;
        let by_path = |f: ReadFile| (f.path.clone(), f);
        Ok(read.files.into_iter().map(by_path).collect())
    }

    /// The content with this digest, if it is that of one of these nodes.
    fn content_of(
        &self,
        digest: &Hash,
        sealed: &Stat,
        known: [Option<Node<Content>>; 2],
        objects: &mut Objects<'_>,
    ) -> Result<Option<Content>, EngineError> {
        for node in known.into_iter().flatten() {
            let Node::File { content, .. } = node else {
                continue;
            };
            if content.size != sealed.size || content.size > COMPARED_MAX {
                continue;
            }
            objects.prepare(content.chunks.iter())?;
            let mut hash = Sha256::new();
            let mut all = true;
            for chunk in content.chunks.iter() {
                self.cancel.check()?;
                match objects.chunk(chunk) {
                    Ok(data) => hash.update(&data),
                    Err(error) if error.of_one_path().is_some() => all = false,
                    Err(error) => return Err(error),
                }
            }
            if all && Hash(hash.finalize().into()) == *digest {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }
}

/// SHA-256 of a file on disk, if it can be read.
fn digest_of(local: &LocalState, path: &RelPath) -> Option<Hash> {
    let (_, mut file) = open_in(&*local.place, path).ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(Hash(hash.finalize().into())),
            n => hash.update(&buffer[..n]),
        }
    }
}
