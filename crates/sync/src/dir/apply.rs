//! Writes beneath a root: content goes to temporary files, one `syncfs` makes a batch durable, renames show it. Folders that
//! are new are built aside, in `aside`.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, fchmod, futimens, getxattr_query,
    mkdirat, renameat, renameat_with, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::apply_error::ApplyError;
use super::scan::open_parent;
use super::works::{Staged, Works};
use super::{FoundKind, Stat, open_beneath};
use crate::node::RelPath;

/// A folder stays open for things that are put into it one after the other, but no longer: it may be moved away.
const PARENT_OPEN: Duration = Duration::from_millis(20);

/// The folder that something was put into just now.
#[derive(Debug)]
struct Parent {
    path: Option<RelPath>,
    fd: OwnedFd,
    since: Instant,
}

/// Applies changes beneath one root.
#[derive(Debug)]
pub struct Applier {
    pub(super) root: OwnedFd,
    pub(super) works: Works,
    parent: Option<Parent>,
}

impl Applier {
    /// Opens the work folder beneath `root` and removes what an interrupted batch left there. What goes below one of `mounts`
    /// is staged on that file system.
    pub fn new(root: OwnedFd, mounts: Vec<RelPath>) -> Result<Self, ApplyError> {
        let works = Works::open(root.as_fd(), mounts)?;
        Ok(Self {
            root,
            works,
            parent: None,
        })
    }

    /// The root of the collection, open.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Bytes that may be written where `path` is: what is free, less a part that is left to everybody else.
    pub fn room(&mut self, path: &RelPath) -> Result<u64, ApplyError> {
        self.works.room(self.root.as_fd(), path)
    }

    /// Which file system `path` is on, as a number that is good for comparing.
    pub fn file_system(&mut self, path: &RelPath) -> Result<usize, ApplyError> {
        self.works.for_path(self.root.as_fd(), path)
    }

    /// Makes an empty temporary file to write the content of `path` to, which is on this file system (see
    /// [`Self::file_system`]). Several threads may do so at once.
    pub fn stage(
        &self,
        file_system: usize,
        path: &RelPath,
        mode: u16,
    ) -> Result<(Staged, File), ApplyError> {
        self.works.stage(file_system, path, mode_bits(mode))
    }

    /// Gives a new file, with its content in it, the attributes that it is to have at `path`. Answers its state.
    pub fn finish(
        &self,
        file: &File,
        path: &RelPath,
        mode: u16,
        mtime: i64,
    ) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        futimens(file, &times(mtime)).map_err(io)?;
        let stat = Stat::of_fd(file).map_err(io)?;
        if stat.mode == mode & 0o777 {
            return Ok(stat);
        }
        // A umask took bits away.
        fchmod(file, mode_bits(mode)).map_err(io)?;
        Stat::of_fd(file).map_err(io)
    }

    /// Removes a temporary file that is not needed any more.
    pub fn discard(&self, staged: &Staged) {
        self.works.discard(staged);
    }

    /// Makes everything written so far durable.
    pub fn sync_all(&self) -> Result<(), ApplyError> {
        self.works.sync_all()
    }

    /// Opens the folder of a path, if it is not the one that is open.
    pub(super) fn open_parent_of(&mut self, path: &RelPath) -> Result<(), ApplyError> {
        let folder = path.parent();
        let fits = |p: &Parent| p.path == folder && p.since.elapsed() < PARENT_OPEN;
        if !self.parent.as_ref().is_some_and(fits) {
            let (fd, _) = open_parent(self.root(), path).map_err(|e| ApplyError::io(path, e))?;
            self.parent = Some(Parent {
                path: folder,
                fd,
                since: Instant::now(),
            });
        }
        Ok(())
    }

    /// Whether the folder that is open gives its group or a default ACL to what is made in it.
    pub(super) fn parent_leaves_marks(&self) -> bool {
        let Some(Parent { fd, .. }) = &self.parent else {
            return false;
        };
        let sets_group = rustix::fs::fstat(fd).map_or(true, |s| s.st_mode & 0o2000 != 0);
        // The descriptor only names it, so its attributes are asked for by that name.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let has_acl = getxattr_query(path, "system.posix_acl_default");
        sets_group || has_acl.is_ok_and(|length| length > 0)
    }

    /// Refuses to go on if the place is not as the plan supposed.
    fn expect(&self, path: &RelPath, expected: Option<&Stat>) -> Result<(), ApplyError> {
        let now = Stat::of_path(self.root(), path).map_err(|e| ApplyError::io(path, e))?;
        // ctime moves with a rename of ours; size, mtime, inode and mode say enough here.
        let same = match (&now, expected) {
            // What is neither file, folder nor link is not looked at, but it is there.
            (None, None) => !self.is_special(path)?,
            (Some((FoundKind::Dir, _)), Some(_)) => true,
            (Some((_, n)), Some(e)) => (n.size, n.mtime, n.ino) == (e.size, e.mtime, e.ino),
            _ => false,
        };
        if same {
            Ok(())
        } else {
            Err(ApplyError::ChangedMeanwhile(path.clone()))
        }
    }

    fn is_special(&self, path: &RelPath) -> Result<bool, ApplyError> {
        match open_beneath(
            self.root(),
            path.as_bytes(),
            OFlags::PATH | OFlags::NOFOLLOW,
        ) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(false),
            Err(e) => Err(ApplyError::io(path, e)),
        }
    }

    /// Puts a staged file that is finished at its place. Answers its new state.
    pub fn place(
        &mut self,
        staged: &Staged,
        path: &RelPath,
        expected: Option<&Stat>,
    ) -> Result<Stat, ApplyError> {
        self.open_parent_of(path)?;
        let work = self.works.dir(staged.work);
        self.put(work, staged.name.as_bytes(), path, expected)
    }

    /// Puts what is in a work folder at its place, whose folder was opened before. Answers its new state.
    pub(super) fn put(
        &self,
        from: BorrowedFd<'_>,
        temp: &[u8],
        path: &RelPath,
        expected: Option<&Stat>,
    ) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let Some(Parent { fd: dir, .. }) = &self.parent else {
            return Err(io(Errno::NOENT));
        };
        let name = path.name();
        match expected {
            // Whatever is there, not even what appeared this very moment is overwritten.
            None => {
                renameat_with(from, temp, dir, name, RenameFlags::NOREPLACE).map_err(
                    |e| match e {
                        Errno::EXIST => ApplyError::ChangedMeanwhile(path.clone()),
                        e => io(e),
                    },
                )?
            }
            Some(_) => {
                self.expect(path, expected)?;
                renameat(from, temp, dir, name).map_err(io)?;
            }
        }
        match Stat::of_entry(dir, name).map_err(io)? {
            Some((_, stat)) => Ok(stat),
            None => Err(ApplyError::ChangedMeanwhile(path.clone())),
        }
    }

    /// The present state of a path; [`ApplyError::ChangedMeanwhile`] where nothing is.
    pub fn stat(&self, path: &RelPath) -> Result<Stat, ApplyError> {
        match Stat::of_path(self.root(), path).map_err(|e| ApplyError::io(path, e))? {
            Some((_, stat)) => Ok(stat),
            None => Err(ApplyError::ChangedMeanwhile(path.clone())),
        }
    }

    /// Makes a directory, or sets its permission bits.
    pub fn directory(&self, path: &RelPath, mode: u16) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let (dir, name) = open_parent(self.root(), path).map_err(io)?;
        match mkdirat(&dir, &name[..], mode_bits(mode)) {
            Ok(()) => {}
            Err(Errno::EXIST) => match Stat::of_path(self.root(), path).map_err(io)? {
                Some((FoundKind::Dir, _)) => {}
                _ => return Err(ApplyError::ChangedMeanwhile(path.clone())),
            },
            Err(e) => return Err(io(e)),
        }
        // A umask may have taken bits away.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let fd = open_beneath(self.root(), path.as_bytes(), flags).map_err(io)?;
        chmod_of(&fd, mode).map_err(io)?;
        self.stat(path)
    }

    /// Makes a symbolic link in place of what the plan supposed.
    pub fn symlink(
        &mut self,
        path: &RelPath,
        target: &[u8],
        expected: Option<&Stat>,
    ) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        self.expect(path, expected)?;
        let Staged { name: temp, work } = self.works.link(self.root.as_fd(), path, target)?;
        let work = self.works.dir(work);
        // As with files: what appeared this very moment is not replaced.
        let flags = match expected {
            None => RenameFlags::NOREPLACE,
            Some(_) => RenameFlags::empty(),
        };
        let placed = open_parent(self.root(), path)
            .and_then(|(dir, name)| renameat_with(work, &temp, &dir, &name[..], flags));
        if let Err(e) = placed {
            let _ = unlinkat(work, &temp, AtFlags::empty());
            return Err(match e {
                Errno::EXIST => ApplyError::ChangedMeanwhile(path.clone()),
                e => io(e),
            });
        }
        self.stat(path)
    }

    /// Sets a file's permission bits. A link that came in its place is not followed.
    pub fn chmod(&self, path: &RelPath, mode: u16) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let fd = match open_beneath(
            self.root(),
            path.as_bytes(),
            OFlags::PATH | OFlags::NOFOLLOW,
        ) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {
                return Err(ApplyError::ChangedMeanwhile(path.clone()));
            }
            Err(e) => return Err(io(e)),
        };
        let kind = rustix::fs::fstat(&fd).map_err(io)?.st_mode;
        if rustix::fs::FileType::from_raw_mode(kind) != rustix::fs::FileType::RegularFile {
            return Err(ApplyError::ChangedMeanwhile(path.clone()));
        }
        chmod_of(&fd, mode).map_err(io)?;
        self.stat(path)
    }

    /// Moves within the tree; an existing target is not overwritten.
    pub fn rename(&self, from: &RelPath, to: &RelPath) -> Result<Stat, ApplyError> {
        let (from_dir, from_name) =
            open_parent(self.root(), from).map_err(|e| ApplyError::io(from, e))?;
        let (to_dir, to_name) = open_parent(self.root(), to).map_err(|e| ApplyError::io(to, e))?;
        renameat_with(
            &from_dir,
            &from_name[..],
            &to_dir,
            &to_name[..],
            RenameFlags::NOREPLACE,
        )
        .map_err(|e| match e {
            Errno::EXIST => ApplyError::ChangedMeanwhile(to.clone()),
            Errno::NOENT => ApplyError::ChangedMeanwhile(from.clone()),
            e => ApplyError::io(from, e),
        })?;
        self.stat(to)
    }

    /// Moves a file that is as the plan supposed to a place where nothing is, and gives it these attributes.
    pub fn rename_unchanged(
        &self,
        from: &RelPath,
        to: &RelPath,
        expected: Option<&Stat>,
        mode: u16,
        mtime: i64,
    ) -> Result<Stat, ApplyError> {
        self.expect(from, expected)?;
        self.rename(from, to)?;
        let io = |e| ApplyError::io(to, e);
        let (dir, name) = open_parent(self.root(), to).map_err(io)?;
        let times = times(mtime);
        utimensat(&dir, &name[..], &times, AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
        self.chmod(to, mode)
    }

    /// Removes a file or link that is as the plan supposed, or an empty directory.
    pub fn remove(&self, path: &RelPath, expected: Option<&Stat>) -> Result<(), ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let kind = match Stat::of_path(self.root(), path).map_err(io)? {
            None => return Ok(()),
            Some((kind, _)) => kind,
        };
        let (dir, name) = open_parent(self.root(), path).map_err(io)?;
        let flags = if kind == FoundKind::Dir {
            AtFlags::REMOVEDIR
        } else {
            self.expect(path, expected)?;
            AtFlags::empty()
        };
        match unlinkat(&dir, &name[..], flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // Something that is not synced, or is new, keeps the directory: that is no loss.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(ApplyError::ChangedMeanwhile(path.clone())),
            Err(e) => Err(io(e)),
        }
    }
}

/// Modification time in nanoseconds since 1970, as the system takes it.
fn times(mtime: i64) -> Timestamps {
    let mtime = Timespec {
        tv_sec: mtime.div_euclid(1_000_000_000),
        tv_nsec: mtime.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: mtime,
        last_modification: mtime,
    }
}

/// Sets the permission bits of what is open, and of nothing else: the descriptor may be one that only names it.
pub(super) fn chmod_of(fd: &OwnedFd, mode: u16) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::chmod(path, mode_bits(mode))
}

pub(super) fn mode_bits(mode: u16) -> Mode {
    Mode::from_raw_mode(u32::from(mode) & 0o777)
}

#[cfg(test)]
mod tests {
    use super::super::{open_root, scan};
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn p(s: &str) -> RelPath {
        RelPath::new(s).unwrap()
    }

    fn write(
        a: &mut Applier,
        path: &str,
        expected: Option<&Stat>,
        text: &str,
    ) -> Result<Stat, ApplyError> {
        let file_system = a.file_system(&p(path)).unwrap();
        let (staged, mut file) = a.stage(file_system, &p(path), 0o640).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        a.finish(&file, &p(path), 0o640, 1_000_000_000_000_000_001)
            .unwrap();
        a.place(&staged, &p(path), expected)
    }

    #[test]
    fn writes_moves_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let mut a = Applier::new(open_root(dir.path()).unwrap(), Vec::new()).unwrap();
        a.directory(&p("d"), 0o750).unwrap();
        let stat = write(&mut a, "d/x", None, "one").unwrap();
        assert_eq!(
            (stat.size, stat.mode, stat.mtime),
            (3, 0o640, 1_000_000_000_000_000_001)
        );
        let stat = write(&mut a, "d/x", Some(&stat), "two!").unwrap();
        a.symlink(&p("l"), b"d/x", None).unwrap();
        a.rename(&p("d/x"), &p("d/y")).unwrap();
        a.sync_all().unwrap();
        let mut seen = Vec::new();
        scan(a.root(), &mut |f| seen.push(f.path.to_string()), &|| false).unwrap();
        seen.sort();
        assert_eq!(seen, ["d", "d/y", "l"]);
        a.remove(&p("d/y"), Some(&stat)).unwrap();
        a.remove(&p("d"), None).unwrap();
        assert!(!dir.path().join("d").exists());
    }

    #[test]
    fn m4_what_changed_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let mut a = Applier::new(open_root(dir.path()).unwrap(), Vec::new()).unwrap();
        let stat = write(&mut a, "x", None, "one").unwrap();
        std::fs::write(dir.path().join("x"), "edited by the user").unwrap();
        assert!(matches!(
            write(&mut a, "x", Some(&stat), "remote"),
            Err(ApplyError::ChangedMeanwhile(_))
        ));
        assert!(matches!(
            write(&mut a, "x", None, "remote"),
            Err(ApplyError::ChangedMeanwhile(_))
        ));
        assert!(matches!(
            a.remove(&p("x"), Some(&stat)),
            Err(ApplyError::ChangedMeanwhile(_))
        ));
        assert_eq!(
            std::fs::read_to_string(dir.path().join("x")).unwrap(),
            "edited by the user"
        );
    }

    #[test]
    fn w_7_what_came_meanwhile_is_neither_followed_nor_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("precious");
        std::fs::write(&target, "p").unwrap();
        let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions();
        let before = mode(&target);
        let mut a = Applier::new(open_root(dir.path()).unwrap(), Vec::new()).unwrap();
        symlink(&target, dir.path().join("link")).unwrap();
        assert!(a.chmod(&p("link"), 0o777).is_err());
        symlink(outside.path(), dir.path().join("folder")).unwrap();
        assert!(a.directory(&p("folder"), 0o777).is_err());
        assert_eq!(mode(&target), before);
        // A FIFO, or anything else, where nothing was.
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        std::fs::write(dir.path().join("file"), "mine").unwrap();
        for there in ["fifo", "file"] {
            let placed = a.symlink(&p(there), b"elsewhere", None);
            assert_eq!(placed, Err(ApplyError::ChangedMeanwhile(p(there))));
            assert!(write(&mut a, there, None, "theirs").is_err());
        }
        assert!(std::fs::read_link(dir.path().join("fifo")).is_err());
    }

    #[test]
    fn hostile_trees_do_not_lead_outside() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        symlink(outside.path(), root.join("link")).unwrap();
        let mut a = Applier::new(open_root(&root).unwrap(), Vec::new()).unwrap();
        assert!(write(&mut a, "link/evil", None, "x").is_err());
        assert!(a.directory(&p("link/evil"), 0o755).is_err());
        std::fs::write(outside.path().join("precious"), "p").unwrap();
        let _ = a.remove(&p("link/precious"), None);
        assert!(outside.path().join("precious").exists());
        assert!(!outside.path().join("evil").exists());
    }

    #[test]
    fn a_missing_root_is_an_error_and_no_deletion() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            open_root(&dir.path().join("gone")),
            Err(super::super::ScanError::RootMissing(_))
        ));
    }
}
