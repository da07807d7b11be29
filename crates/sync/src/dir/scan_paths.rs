//! Looks at a few places of a directory tree instead of all: where something is known to have changed.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, OFlags, StatxAttributes};
use rustix::io::Errno;

use super::scan::{
    Found, Hides, Scan, ScanError, SkipReason, Walk, device_of, is_locked, open_beneath, stat_at,
};
use super::work_folder::WORK_FOLDER;
use crate::node::RelPath;

/// Those of these paths that are not below another of them.
pub fn tops(paths: &BTreeSet<RelPath>) -> impl Iterator<Item = &RelPath> {
    let is_top = |p: &&RelPath| !p.ancestors().any(|a| paths.contains(&a));
    paths.iter().filter(is_top)
}

/// As [`super::scan()`], of these paths and all below them only. Where `visit` gets nothing and nothing is skipped, nothing is.
pub fn scan_paths(
    root: BorrowedFd<'_>,
    paths: &BTreeSet<RelPath>,
    visit: &mut dyn FnMut(Found),
    stop: &dyn Fn() -> bool,
) -> Result<Scan, ScanError> {
    let mut walk = Walk::new(root, visit);
    for path in tops(paths) {
        if stop() {
            return Err(ScanError::Stopped);
        }
        if let Err(e) = one(&mut walk, root, path) {
            let reason = SkipReason::Unreadable(e);
            walk.skip(path.as_bytes(), reason, Hides::Subtree);
        }
        walk.down(stop)?;
    }
    Ok(walk.out)
}

fn one(walk: &mut Walk<'_>, root: BorrowedFd<'_>, path: &RelPath) -> Result<(), Errno> {
    let parent = path.parent();
    let ours = |p: &RelPath| p.names().any(|name| name == WORK_FOLDER.as_bytes());
    if parent.as_ref().is_some_and(ours) {
        return Ok(());
    }
    let above = parent.as_ref().map_or(&b"."[..], RelPath::as_bytes);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let dir = match open_beneath(root, above, flags) {
        Ok(dir) => dir,
        // What was above it went, or is no folder any more.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(e) => return Err(e),
    };
    let of_dir = stat_at(&dir, c"", AtFlags::EMPTY_PATH)?;
    if of_dir.stx_attributes.contains(StatxAttributes::ENCRYPTED) && is_locked(&dir) {
        return Err(Errno::NOKEY);
    }
    if path.name() == WORK_FOLDER.as_bytes() {
        walk.work_folder(&dir, parent.as_ref());
        return Ok(());
    }
    match stat_at(&dir, path.name(), AtFlags::empty()) {
        Ok(s) => walk.entry(path.clone(), &s, device_of(&of_dir)),
        Err(Errno::NOENT) => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::super::{open_root, scan};
    use super::*;

    fn p(s: &str) -> RelPath {
        RelPath::new(s).unwrap()
    }

    #[test]
    fn p7_a_look_at_a_few_paths_finds_there_what_a_scan_finds() {
        let dir = tempfile::tempdir().unwrap();
        let at = |s: &str| dir.path().join(s);
        std::fs::create_dir_all(at("a/b/c")).unwrap();
        std::fs::create_dir_all(at("a-b")).unwrap();
        for file in ["a/b/one", "a/b/c/two", "a-b/three", "four"] {
            std::fs::write(at(file), file).unwrap();
        }
        std::fs::hard_link(at("four"), at("five")).unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        let root = open_root(dir.path()).unwrap();
        let mut all = Vec::new();
        let whole = scan(root.as_fd(), &mut |f| all.push(f), &|| false).unwrap();
        assert_eq!(whole.entries, all.len());
        let scanned = |paths: &[&str]| {
            let paths: BTreeSet<RelPath> = paths.iter().map(|s| p(s)).collect();
            let mut found = Vec::new();
            let out = scan_paths(root.as_fd(), &paths, &mut |f| found.push(f), &|| false).unwrap();
            assert_eq!((out.entries, out.skipped), (found.len(), Vec::new()));
            found.sort_by(|a, b| a.path.cmp(&b.path));
            found
        };
        let of_all = |wanted: &dyn Fn(&RelPath) -> bool| {
            let mut out: Vec<Found> = all.iter().filter(|f| wanted(&f.path)).cloned().collect();
            out.sort_by(|a, b| a.path.cmp(&b.path));
            out
        };
        // A folder with all below it, once, whatever else of it is named; beside it, what sorts between it and what it holds.
        let both = scanned(&["a", "a-b", "a/b", "a/b/one"]);
        let wanted = |q: &RelPath| [p("a"), p("a-b")].iter().any(|t| t == q || t.is_above(q));
        assert_eq!(both, of_all(&wanted));
        assert_eq!(
            scanned(&["four", "link"]),
            of_all(&|q| *q == p("four") || *q == p("link"))
        );
        assert!(scanned(&["five"])[0].linked && !scanned(&["a/b/one"])[0].linked);
        // Nothing there, nothing above it, and no way through a link or a file.
        assert_eq!(scanned(&["six", "six/seven", "link/b", "four/x"]), []);
    }

    #[test]
    fn p7_a_look_at_a_few_paths_names_what_a_scan_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(WORK_FOLDER)).unwrap();
        std::fs::write(dir.path().join(WORK_FOLDER).join("letter"), "").unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("d/s")).unwrap();
        let root = open_root(dir.path()).unwrap();
        let sorted = |mut s: Scan| {
            s.skipped.sort_by(|a, b| a.path.cmp(&b.path));
            s.skipped
        };
        let whole = sorted(scan(root.as_fd(), &mut |_| {}, &|| false).unwrap());
        assert_eq!(whole.len(), 2);
        let paths = whole.iter().map(|s| RelPath::new(s.path.clone()).unwrap());
        let paths: BTreeSet<RelPath> = paths.collect();
        let few = scan_paths(root.as_fd(), &paths, &mut |_| {}, &|| false).unwrap();
        assert_eq!(sorted(few), whole);
        // What is in the folder of our own name is nobody's data.
        let inside = BTreeSet::from([p(WORK_FOLDER).join(b"letter").unwrap()]);
        let few = scan_paths(root.as_fd(), &inside, &mut |_| panic!("met"), &|| false).unwrap();
        assert_eq!(few, Scan::default());
    }
}
