//! Files that go to the vault are read, once, and uploaded. After the plan: what is not to be given is not read.

use std::collections::{BTreeSet, HashMap};

use simsync_sync::node::{Node, RelPath};

use super::EngineError;
use super::clock::now_ms;
use crate::engine::plan::planned::Planned;
use crate::engine::plan::round::Round;
use crate::engine::send::content_merge::upload_merged;
use crate::engine::send::read::{Files, ReadFile};
use crate::outstanding::{Producer, Report, Unsynced};
use crate::store::{FileRow, Store};

/// Reads and uploads what the plan gives. A file that cannot be read, or that is another one than the plan was made for, is
/// not given now, and named.
pub(super) fn upload(
    store: &Store,
    files: &Files,
    round: &Round<'_>,
    p: &mut Planned,
) -> Result<(), EngineError> {
    let uploads = std::mem::take(&mut p.uploads);
    let wanted: BTreeSet<usize> = uploads.values().map(|u| u.candidate).collect();
    let candidates = wanted.iter().filter_map(|i| p.local.candidates.get(*i));
    let candidates: Vec<_> = candidates.cloned().collect();
    let reading = files.read(
        (p.collection.pk, p.collection.id),
        &*p.local.place,
        &candidates,
        round.chunker,
        Some(round.uploader),
    )?;
    p.left.extend(reading.left);
    let files = reading.files.into_iter().map(|f| (f.path.clone(), f));
    let files: HashMap<RelPath, ReadFile> = files.collect();
    let merged = p.merged.iter();
    let plan = &p.plan;
    let is_wanted = |path| plan.publish.contains_key(path) || plan.apply.contains_key(path);
    let mut wanted = merged.filter(|(path, _)| is_wanted(path)).peekable();
    if wanted.peek().is_some() {
        // It is written to this disk from there.
        round.uploader.keep_files(true);
        let target = (p.collection.id, round.uploader);
        upload_merged(target, round.chunker, wanted.map(|(_, file)| file))?;
        round.uploader.finish()?;
        round.uploader.keep_files(false);
    }
    for (path, upload) in uploads {
        let source = p.local.candidates.get(upload.candidate);
        let Some(file) = source.and_then(|c| files.get(&c.path)) else {
            continue;
        };
        let other_content = upload
            .planned
            .is_some_and(|planned| planned != file.content);
        let other_mode = source.is_some_and(|c| c.stat.mode != file.stat.mode);
        if other_content || other_mode {
            p.left.push(Report::path(Unsynced::Changing, &path, ""));
            continue;
        }
        if let Some(mode) = upload.mode {
            give(p, path, mode, file);
        }
    }
    store.report(Producer::Read, p.collection.pk, &p.left, now_ms())?;
    Ok(())
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
