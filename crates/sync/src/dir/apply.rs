//! Writes beneath a root: content goes to temporary files, one `syncfs` makes a batch durable, renames show it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, chmodat, mkdirat, openat, renameat,
    renameat_with, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::scan::open_parent;
use super::{FoundKind, Stat, WORK_FOLDER, open_beneath};
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
}

/// A temporary file with its content, not yet at its place.
#[derive(Debug)]
pub struct Staged {
    name: String,
}

/// Applies changes beneath one root.
#[derive(Debug)]
pub struct Applier {
    root: OwnedFd,
    work: OwnedFd,
    counter: u64,
}

impl Applier {
    /// Opens the work folder beneath `root` and removes what an interrupted batch left there.
    pub fn new(root: OwnedFd) -> Result<Self, ApplyError> {
        let io = |errno| ApplyError::Io {
            path: WORK_FOLDER.to_owned(),
            errno,
        };
        match mkdirat(&root, WORK_FOLDER, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(io(e)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let work = open_beneath(root.as_fd(), WORK_FOLDER.as_bytes(), flags).map_err(io)?;
        for entry in rustix::fs::Dir::read_from(&work).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                unlinkat(&work, name, AtFlags::empty()).map_err(io)?;
            }
        }
        Ok(Self {
            root,
            work,
            counter: 0,
        })
    }

    /// The root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Makes an empty temporary file to write content to.
    pub fn stage(&mut self) -> Result<(Staged, File), ApplyError> {
        self.counter += 1;
        let name = format!("{}.part", self.counter);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&self.work, &name, flags, Mode::RUSR | Mode::WUSR)
            .map(|fd| (Staged { name: name.clone() }, File::from(fd)))
            .map_err(|errno| ApplyError::Io { path: name, errno })
    }

    /// Makes everything written so far durable.
    pub fn sync_all(&self) -> Result<(), ApplyError> {
        rustix::fs::syncfs(&self.root).map_err(|errno| ApplyError::Io {
            path: "the collection's disk".to_owned(),
            errno,
        })
    }

    /// Refuses to go on if the place is not as the plan supposed.
    fn expect(&self, path: &RelPath, expected: Option<&Stat>) -> Result<(), ApplyError> {
        let now = Stat::of_path(self.root(), path).map_err(|e| ApplyError::io(path, e))?;
        // ctime moves with a rename of ours; size, mtime, inode and mode say enough here.
        let same = match (&now, expected) {
            (None, None) => true,
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

    /// Puts a staged file at its place with its attributes. Answers its new state.
    pub fn place(
        &self,
        staged: Staged,
        path: &RelPath,
        expected: Option<&Stat>,
        mode: u16,
        mtime: i64,
    ) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let mtime = Timespec {
            tv_sec: mtime.div_euclid(1_000_000_000),
            tv_nsec: mtime.rem_euclid(1_000_000_000),
        };
        let times = Timestamps {
            last_access: mtime,
            last_modification: mtime,
        };
        utimensat(&self.work, &staged.name, &times, AtFlags::empty()).map_err(io)?;
        chmodat(&self.work, &staged.name, mode_bits(mode), AtFlags::empty()).map_err(io)?;
        self.expect(path, expected)?;
        let (dir, name) = open_parent(self.root(), path).map_err(io)?;
        match expected {
            // Not even a file that appeared this very moment is overwritten.
            None => renameat_with(
                &self.work,
                &staged.name,
                &dir,
                &name[..],
                RenameFlags::NOREPLACE,
            )
            .map_err(|e| match e {
                Errno::EXIST => ApplyError::ChangedMeanwhile(path.clone()),
                e => io(e),
            })?,
            Some(_) => renameat(&self.work, &staged.name, &dir, &name[..]).map_err(io)?,
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
        chmodat(&dir, &name[..], mode_bits(mode), AtFlags::empty()).map_err(io)?;
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
        self.counter += 1;
        let temp = format!("{}.link", self.counter);
        symlinkat(target, &self.work, &temp).map_err(io)?;
        let (dir, name) = open_parent(self.root(), path).map_err(io)?;
        renameat(&self.work, &temp, &dir, &name[..]).map_err(io)?;
        self.stat(path)
    }

    /// Sets a file's permission bits.
    pub fn chmod(&self, path: &RelPath, mode: u16) -> Result<Stat, ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let (dir, name) = open_parent(self.root(), path).map_err(io)?;
        chmodat(&dir, &name[..], mode_bits(mode), AtFlags::empty()).map_err(io)?;
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

fn mode_bits(mode: u16) -> Mode {
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
        let (staged, mut file) = a.stage().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        a.place(staged, &p(path), expected, 0o640, 1_000_000_000_000_000_001)
    }

    #[test]
    fn writes_moves_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let mut a = Applier::new(open_root(dir.path()).unwrap()).unwrap();
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
        let mut a = Applier::new(open_root(dir.path()).unwrap()).unwrap();
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
    fn hostile_trees_do_not_lead_outside() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        symlink(outside.path(), root.join("link")).unwrap();
        let mut a = Applier::new(open_root(&root).unwrap()).unwrap();
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
