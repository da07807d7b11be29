//! What happens to people's machines: disks that come and go, full ones, folders without permission.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// A mount that is undone at the end. Only in namespaces of its own: `tests/enter cargo test …`.
pub struct Mount(PathBuf);

impl Mount {
    /// `target` shows what `source` holds.
    pub fn bind(source: &Path, target: &Path) -> Self {
        Self::at(&["--bind", source.to_str().unwrap()], target)
    }

    /// A disk of so many bytes.
    pub fn disk(size: &str, target: &Path) -> Self {
        Self::at(
            &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"],
            target,
        )
    }

    fn at(args: &[&str], target: &Path) -> Self {
        assert!(
            std::env::var_os("SIMSYNC_NAMESPACE").is_some(),
            "this test mounts: run it with tests/enter"
        );
        run(Command::new("mount").args(args).arg(target));
        Self(target.to_owned())
    }

    /// The disk has another size from now on.
    pub fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.0));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    assert!(
        out.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Runs a test as a person is: root sees no fault of permissions, since it may write where nobody may.
pub fn without_capabilities(test: impl Future<Output = ()>) {
    let none = CapabilitySet::empty();
    // Of this thread, and of those that it starts.
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

pub fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().unwrap().mode() & 0o777
}

pub fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().unwrap().ino()
}
