//! What inotify tells in one go, in the words of the watched tree.

use std::collections::HashSet;
use std::path::PathBuf;

use inotify::{EventMask, Inotify};
use simsync_sync::dir::WORK_FOLDER;

use super::tree::{Changes, Tree};

/// What a reading brought.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Something changed that is to be synced by and by.
    pub(super) changed: bool,
    pub(super) overflow: bool,
    /// Where something changed, also what is only being written.
    pub(super) paths: HashSet<PathBuf>,
    pub(super) changes: Changes,
}

impl Batch {
    /// Files are written to, and nothing else happens.
    pub(super) fn is_only_writing(&self) -> bool {
        !self.changed && !self.overflow && self.changes.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.overflow
    }
}

/// Reads all that inotify has to tell.
pub(super) fn read(
    inotify: &mut Inotify,
    buffer: &mut [u8],
    tree: &Tree,
) -> std::io::Result<Batch> {
    let mut batch = Batch::default();
    loop {
        let events = match inotify.read_events(buffer) {
            Ok(events) => events,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(batch),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        for event in events {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                batch.overflow = true;
                continue;
            }
            let Some(folder) = tree.folder(&event.wd) else {
                continue;
            };
            let path = event
                .name
                .map_or_else(|| folder.to_owned(), |n| folder.join(n));
            batch.paths.insert(path.clone());
            if event.name.is_some_and(|n| n == WORK_FOLDER) {
                continue;
            }
            // Whoever writes to a file closes it some time: that is when it is synced.
            batch.changed |= event.mask != EventMask::MODIFY;
            let is_folder = event.mask.contains(EventMask::ISDIR);
            let changes = &mut batch.changes;
            // One that could not be watched tells nothing of its own end.
            let is_refused_gone = event.mask.contains(EventMask::DELETE) && tree.lacks_below(&path);
            if is_folder && (event.mask.contains(EventMask::MOVED_FROM) || is_refused_gone) {
                changes.moved.push(path);
            } else if is_folder
                && (event
                    .mask
                    .intersects(EventMask::CREATE | EventMask::MOVED_TO)
                    || (event.mask.contains(EventMask::ATTRIB) && tree.lacks_below(&path)))
            {
                changes.new.push(path);
            } else if event
                .mask
                .intersects(EventMask::DELETE_SELF | EventMask::UNMOUNT)
            {
                changes.gone.push(event.wd);
            } else if event.mask.contains(EventMask::MOVE_SELF) && tree.roots.contains(folder) {
                changes.moved.push(folder.to_owned());
            }
        }
    }
}
