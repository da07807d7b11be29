//! What of a plan has to be read and uploaded before it can be given.

use std::collections::BTreeMap;

use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::ids::CollectionId;
use zeroize::Zeroizing;

use crate::engine::EngineError;
use crate::engine::content::Content;
use crate::engine::seen::{Seen, read};
use crate::store::Store;

/// A file of this terminal that the vault is to have.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its number among the candidates of the scan.
    pub candidate: usize,
    /// Permission bits that it is to have there; none where the vault names it already, and lacks what it holds.
    pub mode: Option<u16>,
    /// What it held when the plan was made, if that was looked at.
    pub planned: Option<Content>,
}

/// A content that was made of two.
pub struct MergedFile {
    /// Chunks of the bytes, named as those of any file.
    pub content: Content,
    /// The bytes themselves; they are uploaded with the plan.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Splits what is to be published: what is known, and what has to be read and uploaded first. `source` tells which candidate a
/// path's content comes from, if from any.
pub fn split(
    publish: Changes<Seen>,
    source: &dyn Fn(&RelPath) -> Option<usize>,
    is_local: &dyn Fn(usize, &Content) -> bool,
) -> (Changes<Content>, BTreeMap<RelPath, Upload>) {
    let (mut known, mut uploads) = (Changes::new(), BTreeMap::new());
    for (path, node) in publish {
        let Some(node) = node else {
            known.insert(path, None);
            continue;
        };
        let upload = match &node {
            Node::File {
                mode,
                content: Seen::Unread(candidate),
            } => Some(Upload {
                candidate: *candidate,
                mode: Some(*mode),
                planned: None,
            }),
            Node::File {
                mode,
                content: Seen::Read(content),
            } => source(&path)
                .filter(|candidate| is_local(*candidate, content))
                .map(|candidate| Upload {
                    candidate,
                    mode: Some(*mode),
                    planned: Some(content.clone()),
                }),
            _ => None,
        };
        match upload {
            Some(upload) => {
                uploads.insert(path, upload);
            }
            None => {
                known.extend(read(node).map(|node| (path, Some(node))));
            }
        }
    }
    (known, uploads)
}

/// What both sides have alike is not given, unless the vault names it and no pack of it has it: then whoever has the file
/// heals it.
pub fn heals(
    store: &Store,
    collection: &CollectionId,
    candidate: usize,
    content: &Content,
) -> Result<Option<Upload>, EngineError> {
    for chunk in content.chunks.iter() {
        if !store.has_object(collection, chunk)? {
            return Ok(Some(Upload {
                candidate,
                mode: None,
                planned: Some(content.clone()),
            }));
        }
    }
    Ok(None)
}
