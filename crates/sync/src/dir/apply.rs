//! Writes beneath a root: content goes to temporary files, one `syncfs` makes a batch durable, renames show it.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, chmodat, mkdirat, openat, renameat,
    renameat_with, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::scan::open_parent;
use super::work_folder::{WORK_FOLDER, is_own};
use super::{FoundKind, Stat, open_beneath};
use crate::node::RelPath;

/// Why a change was not applied. Nothing was overwritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The place is not what the plan was made for: somebody changed it meanwhile.
    #[error("{0} was changed meanwhile; it is looked at again at the next sync")]
    ChangedMeanwhile(RelPath),
    /// The system refused.
    #[error("{path}: {errno}")]
    Io {
        /// Where.
        path: String,
        /// What the system said.
        errno: Errno,
    },
}

impl ApplyError {
    fn io(path: &RelPath, errno: Errno) -> Self {
        Self::Io {
            path: path.to_string(),
            errno,
        }
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Io {
                errno: Errno::NOSPC | Errno::DQUOT,
                ..
            }
        )
    }

    /// Whether permissions are in the way.
    pub fn is_denied(&self) -> bool {
        matches!(
            self,
            Self::Io {
                errno: Errno::ACCESS | Errno::PERM,
                ..
            }
        )
    }
}

/// A temporary file with its content, not yet at its place.
#[derive(Debug)]
pub struct Staged {
    name: String,
    /// Which work folder it is in.
    work: usize,
}

/// A work folder, and the file system that it is on.
#[derive(Debug)]
struct Work {
    /// The mount point below the root; none is the root itself.
    at: Option<RelPath>,
    fd: OwnedFd,
}

/// Left free on a disk: this part of it, or so many bytes, whichever is less. A disk that is full to the last byte takes
/// other programs down, and our own database.
const RESERVE_PART: u64 = 20;
const RESERVE_MAX: u64 = 64 << 20;

/// Applies changes beneath one root.
#[derive(Debug)]
pub struct Applier {
    root: OwnedFd,
    works: Vec<Work>,
    /// Mount points below the root whose work folder was not needed yet.
    mounts: Vec<RelPath>,
    counter: u64,
}

impl Applier {
    /// Opens the work folder beneath `root` and removes what an interrupted batch left there. What goes below one of `mounts`
    /// is staged on that file system.
    pub fn new(root: OwnedFd, mounts: Vec<RelPath>) -> Result<Self, ApplyError> {
        let fd = open_work(root.as_fd(), None)?;
        Ok(Self {
            root,
            works: vec![Work { at: None, fd }],
            mounts,
            counter: 0,
        })
    }

    /// The root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Which work folder is on the file system where `path` is.
    fn work_for(&mut self, path: &RelPath) -> Result<usize, ApplyError> {
        let mount = self.mounts.iter().filter(|m| m.is_above(path));
        let Some(mount) = mount.max_by_key(|m| m.as_bytes().len()).cloned() else {
            return Ok(0);
        };
        if let Some(i) = self
            .works
            .iter()
            .position(|w| w.at.as_ref() == Some(&mount))
        {
            return Ok(i);
        }
        let fd = open_work(self.root.as_fd(), Some(&mount))?;
        self.works.push(Work {
            at: Some(mount),
            fd,
        });
        Ok(self.works.len() - 1)
    }

    fn work(&self, index: usize) -> BorrowedFd<'_> {
        self.works[index].fd.as_fd()
    }

    /// Bytes that may be written where `path` is: what is free, less a part that is left to everybody else.
    pub fn room(&mut self, path: &RelPath) -> Result<u64, ApplyError> {
        let work = self.work_for(path)?;
        let vfs = rustix::fs::fstatvfs(self.work(work)).map_err(|e| ApplyError::io(path, e))?;
        let (free, all) = (
            vfs.f_bavail.saturating_mul(vfs.f_frsize),
            vfs.f_blocks.saturating_mul(vfs.f_frsize),
        );
        // Some file systems cannot tell.
        if all == 0 {
            return Ok(u64::MAX);
        }
        Ok(free.saturating_sub((all / RESERVE_PART).min(RESERVE_MAX)))
    }

    /// Which file system `path` is on, as a number that is good for comparing.
    pub fn file_system(&mut self, path: &RelPath) -> Result<usize, ApplyError> {
        self.work_for(path)
    }

    /// Makes an empty temporary file to write the content of `path` to.
    pub fn stage(&mut self, path: &RelPath) -> Result<(Staged, File), ApplyError> {
        let work = self.work_for(path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            self.counter += 1;
            let name = format!("{}.part", self.counter);
            match openat(self.work(work), &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => return Ok((Staged { name, work }, File::from(fd))),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(ApplyError::io(path, e)),
            }
        }
    }

    /// Removes a temporary file that is not needed any more.
    pub fn discard(&self, staged: &Staged) {
        // What stays is removed when the work folder is opened the next time.
        let _ = unlinkat(self.work(staged.work), &staged.name, AtFlags::empty());
    }

    /// Makes everything written so far durable.
    pub fn sync_all(&self) -> Result<(), ApplyError> {
        for work in &self.works {
            rustix::fs::syncfs(&work.fd).map_err(|errno| ApplyError::Io {
                path: "the collection's disk".to_owned(),
                errno,
            })?;
        }
        Ok(())
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

    /// Puts a staged file at its place with its attributes. Answers its new state.
    pub fn place(
        &self,
        staged: &Staged,
        path: &RelPath,
        expected: Option<&Stat>,
        mode: u16,
        mtime: i64,
    ) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let times = times(mtime);
        let work = self.work(staged.work);
        utimensat(work, &staged.name, &times, AtFlags::empty()).map_err(io)?;
        chmodat(work, &staged.name, mode_bits(mode), AtFlags::empty()).map_err(io)?;
        self.expect(path, expected)?;
        let (dir, name) = open_parent(self.root(), path).map_err(io)?;
        match expected {
            // Not even a file that appeared this very moment is overwritten.
            None => renameat_with(work, &staged.name, &dir, &name[..], RenameFlags::NOREPLACE)
                .map_err(|e| match e {
                    Errno::EXIST => ApplyError::ChangedMeanwhile(path.clone()),
                    e => io(e),
                })?,
            Some(_) => renameat(work, &staged.name, &dir, &name[..]).map_err(io)?,
        }
        self.stat(path)
    }

    fn stat(&self, path: &RelPath) -> Result<Stat, ApplyError> {
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
        let work = self.work_for(path)?;
        let temp = loop {
            self.counter += 1;
            let temp = format!("{}.link", self.counter);
            match symlinkat(target, self.work(work), &temp) {
                Ok(()) => break temp,
                Err(Errno::EXIST) => {}
                Err(e) => return Err(io(e)),
            }
        };
        // As with files: what appeared this very moment is not replaced.
        let flags = match expected {
            None => RenameFlags::NOREPLACE,
            Some(_) => RenameFlags::empty(),
        };
        let placed = open_parent(self.root(), path)
            .and_then(|(dir, name)| renameat_with(self.work(work), &temp, &dir, &name[..], flags));
        if let Err(e) = placed {
            let _ = unlinkat(self.work(work), &temp, AtFlags::empty());
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

/// Opens the work folder below a mount point, or (none) the root, and takes away what was left there by staging.
fn open_work(root: BorrowedFd<'_>, at: Option<&RelPath>) -> Result<OwnedFd, ApplyError> {
    let path = match at {
        Some(at) => [at.as_bytes(), b"/", WORK_FOLDER.as_bytes()].concat(),
        None => WORK_FOLDER.as_bytes().to_vec(),
    };
    let io = |errno| ApplyError::Io {
        path: String::from_utf8_lossy(&path).into_owned(),
        errno,
    };
    let parent = at.map_or(&b"."[..], RelPath::as_bytes);
    let parent = open_beneath(root, parent, OFlags::PATH | OFlags::DIRECTORY).map_err(io)?;
    match mkdirat(&parent, WORK_FOLDER, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(io(e)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let work = open_beneath(root, &path, flags).map_err(io)?;
    for entry in rustix::fs::Dir::read_from(&work).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if is_own(name.to_bytes()) {
            // Something else that stands there is in nobody's way: names are tried until one is free.
            let _ = unlinkat(&work, name, AtFlags::empty());
        }
    }
    Ok(work)
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
        let (staged, mut file) = a.stage(&p(path)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        a.place(
            &staged,
            &p(path),
            expected,
            0o640,
            1_000_000_000_000_000_001,
        )
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
