//! File systems of this machine's own: what changes there, its kernel knows.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// Magic numbers of statfs(2).
const LOCAL: [u64; 18] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
    0xF2F5_2010, // F2FS
    0x2FC1_2FC1, // ZFS
    0xCA45_1A4E, // bcachefs
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0x3153_464A, // JFS
    0x5265_4973, // ReiserFS
    0x3434,      // NILFS
    0x4D44,      // FAT
    0x2011_BAB0, // exFAT
    0x7366_746E, // NTFS, of the kernel
    0x4244,      // HFS
    0x482B,      // HFS+
    0x794C_7630, // overlayfs, as it is mounted
    0x2405_1905, // UBIFS
];

/// Whether inotify tells of every change on this file system, wherever it comes from: not so where another machine has it too
/// (NFS, SMB), nor where a program makes it (FUSE).
pub fn is_local(fd: impl AsFd) -> Result<bool, Errno> {
    let magic = rustix::fs::fstatfs(fd)?.f_type;
    // Its width and sign differ between machines; the numbers have 32 bits.
    #[allow(
        clippy::cast_sign_loss,
        clippy::useless_conversion,
        clippy::unnecessary_cast
    )]
    let magic = (magic as u64) & 0xFFFF_FFFF;
    Ok(LOCAL.contains(&magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_what_the_kernel_makes_up_is_no_disk_of_ours() {
        let proc = std::fs::File::open("/proc").unwrap();
        assert!(!is_local(&proc).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let dir = std::fs::File::open(dir.path()).unwrap();
        assert!(is_local(&dir).unwrap());
    }
}
