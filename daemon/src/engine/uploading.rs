//! Files that go to the vault are read, once, and uploaded. After the plan: what is not to be given is not read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::AsFd;

use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::ids::CollectionId;

use super::content::Content;
use super::planned::Planned;
use super::planning::Round;
use super::read::ReadFile;
use super::seen::{Seen, read};
use super::{Engine, EngineError, now_ms};
use crate::outstanding::{Producer, Report, Unsynced};
use crate::store::FileRow;

/// A file of this terminal that the vault is to have.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// Its number among the candidates of the scan.
    candidate: usize,
    /// Permission bits that it is to have there; none where the vault names it already, and lacks what it holds.
    mode: Option<u16>,
    /// What it held when the plan was made, if that was looked at.
    planned: Option<Content>,
}

/// Splits what is to be published: what is known, and what has to be read and uploaded first. `source` tells which candidate a
/// path's content comes from, if from any.
pub(super) fn split(
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

impl Engine {
    /// What both sides have alike is not given, unless the vault names it and no pack of it has it: then whoever has the file
    /// heals it.
    pub(super) fn heals(
        &self,
        collection: &CollectionId,
        candidate: usize,
        content: &Content,
    ) -> Result<Option<Upload>, EngineError> {
        for chunk in &content.chunks {
            if !self.store.has_object(collection, chunk)? {
                return Ok(Some(Upload {
                    candidate,
                    mode: None,
                    planned: Some(content.clone()),
                }));
            }
        }
        Ok(None)
    }

    /// Reads and uploads what the plan gives. A file that cannot be read, or that is another one than the plan was made for, is
    /// not given now, and named.
    pub(super) fn upload(&self, round: &Round<'_>, p: &mut Planned) -> Result<(), EngineError> {
        let uploads = std::mem::take(&mut p.uploads);
        let wanted: BTreeSet<usize> = uploads.values().map(|u| u.candidate).collect();
        let candidates = wanted.iter().filter_map(|i| p.local.candidates.get(*i));
        let candidates: Vec<_> = candidates.cloned().collect();
        let reading = self.read_files(
            (p.collection.pk, p.collection.id),
            p.local.root.as_fd(),
            &candidates,
            round.chunker,
            Some(round.uploader),
        )?;
        p.left.extend(reading.left);
        let files = reading.files.into_iter().map(|f| (f.path.clone(), f));
        let files: HashMap<RelPath, ReadFile> = files.collect();
        for (path, upload) in uploads {
            let source = p.local.candidates.get(upload.candidate);
            let Some(file) = source.and_then(|c| files.get(&c.path)) else {
                continue;
            };
            if upload
                .planned
                .is_some_and(|planned| planned != file.content)
            {
                p.left.push(Report::path(Unsynced::Changing, &path, ""));
                continue;
            }
            if let Some(mode) = upload.mode {
                give(p, path, mode, file);
            }
        }
        self.store
            .report(Producer::Read, p.collection.pk, &p.left, now_ms())?;
        Ok(())
    }
}

fn give(p: &mut Planned, path: RelPath, mode: u16, file: &ReadFile) {
    let (source, stat) = (&file.path, file.stat);
    let content = file.content.clone();
    let here = Node::File {
        mode: stat.mode,
        content: content.clone(),
    };
    p.stats.insert(source.clone(), stat);
    if path == *source && p.local.rows.get(source).map(|r| &r.node) == Some(&here) {
        // It looks different, and is what it was.
        p.touched.push((path, Some(FileRow { node: here, stat })));
        return;
    }
    p.changes.insert(source.clone(), Some(here));
    p.plan
        .publish
        .insert(path, Some(Node::File { mode, content }));
}
