//! Folders that are new are built in a work folder, with everything in them under its final name, and renamed to their place
//! as a whole.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::apply::{Applier, chmod_of, mode_bits};
use super::apply_error::ApplyError;
use super::work_folder::remove_folder;
use super::works::{NEW_FILE, Staged};
use super::{Stat, open_beneath};
use crate::node::RelPath;

/// A folder that is being built. Nobody but its owner can look into it until it is at its place.
#[derive(Debug)]
pub struct NewFolder {
    place: RelPath,
    staged: Staged,
}

/// A folder in one that is being built, or that one itself: open, for files.
#[derive(Debug)]
pub struct OpenNewFolder(OwnedFd);

impl NewFolder {
    /// Where it is to be.
    pub fn place(&self) -> &RelPath {
        &self.place
    }

    /// Where the thing of `path`, which is at or below its place, is now: a path in its work folder.
    fn now(&self, path: &RelPath) -> Vec<u8> {
        let below = &path.as_bytes()[self.place.as_bytes().len()..];
        [self.staged.name.as_bytes(), below].concat()
    }

    /// Folder and name of the thing of `path`, which is below its place.
    fn now_in<'p>(&self, path: &'p RelPath) -> (Vec<u8>, &'p [u8]) {
        let (now, name) = (self.now(path), path.name());
        (now[..now.len() - name.len() - 1].to_vec(), name)
    }
}

impl OpenNewFolder {
    /// Makes an empty file for the content of `path`, which is in this folder.
    pub fn create(&self, path: &RelPath, mode: u16) -> Result<File, ApplyError> {
        let made = openat(&self.0, path.name(), NEW_FILE, mode_bits(mode));
        made.map(File::from).map_err(|e| match e {
            // To this file system it is a name that another file has.
            Errno::EXIST => ApplyError::ChangedMeanwhile(path.clone()),
            e => ApplyError::io(path, e),
        })
    }

    /// Removes a file that is not needed any more. Where that cannot be done the folder must not come to its place: half a file
    /// would be in it.
    pub fn discard(&self, path: &RelPath) -> Result<(), ApplyError> {
        match unlinkat(&self.0, path.name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(ApplyError::io(path, errno)),
        }
    }
}

impl Applier {
    /// Begins to build the folder that is to be at `place`, with these permission bits. Refused where what comes into the folder
    /// above gets a group or a default ACL from it: only what is made there does.
    pub fn build(&mut self, place: &RelPath, mode: u16) -> Result<NewFolder, ApplyError> {
        self.open_parent_of(place)?;
        if self.parent_leaves_marks() {
            return Err(ApplyError::io(place, Errno::OPNOTSUPP));
        }
        let root = self.root.as_fd();
        let staged = self.works.folder(root, place, mode_bits(mode))?;
        let aside = NewFolder {
            place: place.clone(),
            staged,
        };
        self.complete_bits(&aside, place, mode)?;
        Ok(aside)
    }

    /// Makes the folder of `path`, below the place of one that is being built. What is above it was made before.
    pub fn build_folder(
        &self,
        aside: &NewFolder,
        path: &RelPath,
        mode: u16,
    ) -> Result<(), ApplyError> {
        let (folder, name) = aside.now_in(path);
        let folder = self.open_now(aside, &folder, path)?;
        mkdirat(&folder, name, mode_bits(mode)).map_err(|e| ApplyError::io(path, e))?;
        self.complete_bits(aside, path, mode)
    }

    /// A umask may have taken bits away.
    fn complete_bits(
        &self,
        aside: &NewFolder,
        path: &RelPath,
        mode: u16,
    ) -> Result<(), ApplyError> {
        let io = |e| ApplyError::io(path, e);
        let fd = self.open_now(aside, &aside.now(path), path)?;
        if Stat::of_fd(&fd).map_err(io)?.mode == mode & 0o777 {
            return Ok(());
        }
        chmod_of(&fd, mode).map_err(io)
    }

    fn open_now(
        &self,
        aside: &NewFolder,
        now: &[u8],
        path: &RelPath,
    ) -> Result<OwnedFd, ApplyError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        open_beneath(self.works.dir(aside.staged.work), now, flags)
            .map_err(|e| ApplyError::io(path, e))
    }

    /// Opens the folder that is to be at `path`, at or below the place of one that is being built.
    pub fn open_built(
        &self,
        aside: &NewFolder,
        path: &RelPath,
    ) -> Result<OpenNewFolder, ApplyError> {
        self.open_now(aside, &aside.now(path), path)
            .map(OpenNewFolder)
    }

    /// Puts a folder at its place, with all that is in it; where something is already, nothing happens.
    pub fn place_built(&mut self, aside: &NewFolder) -> Result<Stat, ApplyError> {
        self.open_parent_of(&aside.place)?;
        let work = self.works.dir(aside.staged.work);
        self.put(work, aside.staged.name.as_bytes(), &aside.place, None)
    }

    /// Puts one file out of a folder, which cannot be put there as a whole, at its place. Answers its new state.
    pub fn place_out_of(&mut self, aside: &NewFolder, path: &RelPath) -> Result<Stat, ApplyError> {
        self.open_parent_of(path)?;
        let (folder, name) = aside.now_in(path);
        let folder = self.open_now(aside, &folder, path)?;
        self.put(folder.as_fd(), name, path, None)
    }

    /// Removes what is left of a folder that is not needed any more.
    pub fn discard_built(&self, aside: &NewFolder) {
        let work = self.works.dir(aside.staged.work);
        remove_folder(work, aside.staged.name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use super::super::{WORK_FOLDER, open_root, scan};
    use super::*;

    fn p(s: &str) -> RelPath {
        RelPath::new(s).unwrap()
    }

    fn applier(dir: &Path) -> Applier {
        Applier::new(open_root(dir).unwrap(), Vec::new()).unwrap()
    }

    fn file(a: &Applier, aside: &NewFolder, path: &str, mode: u16) -> Stat {
        let path = p(path);
        let folder = a.open_built(aside, &path.parent().unwrap()).unwrap();
        let mut file = folder.create(&path, mode).unwrap();
        file.write_all(path.as_bytes()).unwrap();
        a.finish(&file, &path, mode, 1_000_000_001).unwrap()
    }

    /// A folder `new`, in `above`, with two files and a folder in it.
    fn built(a: &mut Applier) -> NewFolder {
        let aside = a.build(&p("above/new"), 0o777).unwrap();
        a.build_folder(&aside, &p("above/new/in it"), 0o750)
            .unwrap();
        file(a, &aside, "above/new/1", 0o666);
        file(a, &aside, "above/new/in it/2", 0o400);
        aside
    }

    fn left_in_work_folder(dir: &Path) -> usize {
        std::fs::read_dir(dir.join(WORK_FOLDER)).unwrap().count()
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_folder_comes_to_its_place_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("above")).unwrap();
        let mut a = applier(dir.path());
        let aside = built(&mut a);
        assert!(!dir.path().join("above/new").exists());
        let mut seen = 0;
        let found = scan(a.root(), &mut |_| seen += 1, &|| false).unwrap();
        assert_eq!((seen, found.skipped), (1, vec![]), "nobody sees it before");
        a.sync_all().unwrap();
        let stat = a.place_built(&aside).unwrap();
        assert_eq!(stat.ino, a.stat(&p("above/new")).unwrap().ino);
        let new = dir.path().join("above/new");
        // Whatever the umask is.
        assert_eq!((mode(&new), mode(&new.join("in it"))), (0o777, 0o750));
        assert_eq!(
            (mode(&new.join("1")), mode(&new.join("in it/2"))),
            (0o666, 0o400)
        );
        assert_eq!(
            std::fs::read(new.join("in it/2")).unwrap(),
            b"above/new/in it/2"
        );
        assert_eq!(left_in_work_folder(dir.path()), 0);
    }

    #[test]
    fn a_file_looks_after_the_rename_as_it_was_finished() {
        let dir = tempfile::tempdir().unwrap();
        let mut a = applier(dir.path());
        let aside = a.build(&p("new"), 0o700).unwrap();
        let finished = file(&a, &aside, "new/x", 0o640);
        a.sync_all().unwrap();
        a.place_built(&aside).unwrap();
        assert_eq!(a.stat(&p("new/x")).unwrap(), finished);
    }

    #[test]
    fn m4_a_folder_that_somebody_made_meanwhile_is_left_and_files_go_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("above/new");
        std::fs::create_dir_all(&theirs).unwrap();
        std::fs::write(theirs.join("1"), "theirs").unwrap();
        let mut a = applier(dir.path());
        let aside = built(&mut a);
        let changed = |path| Err(ApplyError::ChangedMeanwhile(p(path)));
        assert_eq!(a.place_built(&aside), changed("above/new"));
        assert_eq!(
            a.place_out_of(&aside, &p("above/new/1")),
            changed("above/new/1")
        );
        a.directory(&p("above/new/in it"), 0o750).unwrap();
        a.place_out_of(&aside, &p("above/new/in it/2")).unwrap();
        a.discard_built(&aside);
        assert_eq!(std::fs::read(theirs.join("1")).unwrap(), b"theirs");
        assert!(theirs.join("in it/2").exists());
        assert_eq!(left_in_work_folder(dir.path()), 0);
    }

    #[test]
    fn w_7_a_link_that_came_meanwhile_leads_nowhere() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(dir.path().join("above")).unwrap();
        let mut a = applier(dir.path());
        let aside = built(&mut a);
        symlink(outside.path(), dir.path().join("above/new")).unwrap();
        assert!(a.place_built(&aside).is_err());
        assert!(a.place_out_of(&aside, &p("above/new/1")).is_err());
        // In the work folder, too.
        let work = dir.path().join(WORK_FOLDER).join(&aside.staged.name);
        std::fs::rename(work.join("in it"), dir.path().join("elsewhere")).unwrap();
        symlink(outside.path(), work.join("in it")).unwrap();
        assert!(a.open_built(&aside, &p("above/new/in it")).is_err());
        assert!(a.place_out_of(&aside, &p("above/new/in it/2")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_an_interrupted_batch_left_is_removed_and_nothing_else() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(dir.path().join("above")).unwrap();
        let aside = built(&mut applier(dir.path()));
        let work = dir.path().join(WORK_FOLDER);
        std::fs::write(outside.path().join("precious"), "p").unwrap();
        symlink(outside.path(), work.join(&aside.staged.name).join("link")).unwrap();
        for theirs in ["own", "7.dir.mine"] {
            std::fs::create_dir(work.join(theirs)).unwrap();
            std::fs::write(work.join(theirs).join("mine"), "m").unwrap();
        }
        applier(dir.path());
        assert_eq!(left_in_work_folder(dir.path()), 2);
        assert!(work.join("own/mine").exists() && work.join("7.dir.mine/mine").exists());
        assert!(outside.path().join("precious").exists());
    }
}
