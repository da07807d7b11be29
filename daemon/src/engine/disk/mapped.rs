//! Files that a program changes through its memory: no watcher hears of that before they are closed.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use simsync_sync::node::RelPath;

/// Files below a folder that this user's programs have mapped, shared and writable (proc_pid_maps(5)). Those of programs that
/// cannot be looked at are not among them.
pub fn written_by_mapping(root: &Path) -> BTreeSet<RelPath> {
    let mut out = BTreeSet::new();
    // What the kernel calls it, whatever links led there.
    let Ok(root) = root.canonicalize() else {
        return out;
    };
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return out;
    };
    let own = rustix::process::getuid().as_raw();
    for process in processes.flatten() {
        let is_process = process
            .file_name()
            .as_bytes()
            .iter()
            .all(u8::is_ascii_digit);
        if !is_process || process.metadata().is_ok_and(|m| m.uid() != own) {
            continue;
        }
        // It may have ended.
        if let Ok(maps) = std::fs::read(process.path().join("maps")) {
            out.extend(below(&root, &maps));
        }
    }
    out
}

fn below<'m>(root: &Path, maps: &'m [u8]) -> impl Iterator<Item = RelPath> + use<'m> {
    let top = [root.as_os_str().as_bytes(), b"/"].concat();
    maps.split(|b| *b == b'\n').filter_map(move |line| {
        let path = written(line)?.strip_prefix(&top[..])?;
        RelPath::new(path).ok()
    })
}

/// The file of a line, if it is shared and may be written to.
fn written(line: &[u8]) -> Option<&[u8]> {
    // Address, permissions, offset, device, inode, path, which is the rest: "…-… rw-s 00000000 08:01 1234      /home/anna/a b".
    let slash = line.iter().position(|b| *b == b'/')?;
    let (fields, path) = line.split_at(slash);
    let permissions = fields.split(|b| *b == b' ').nth(1)?;
    (permissions.get(1) == Some(&b'w') && permissions.get(3) == Some(&b's')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_only_what_is_shared_and_writable_changes_unheard() {
        let maps = b"\
            7f0000000000-7f0000001000 rw-s 00000000 08:01 12                         /home/anna/My Files/a b\n\
            7f0000001000-7f0000002000 r--s 00000000 08:01 13                         /home/anna/My Files/read\n\
            7f0000002000-7f0000003000 rw-p 00000000 08:01 14                         /home/anna/My Files/copy\n\
            7f0000003000-7f0000004000 rw-s 00000000 00:01 15                         /home/anna/My Filesystem/x\n\
            7f0000004000-7f0000005000 rw-s 00000000 00:00 0                          [anon]\n\
            nonsense\n";
        let found: Vec<RelPath> = below(Path::new("/home/anna/My Files"), maps).collect();
        assert_eq!(found, [RelPath::new("a b").unwrap()]);
    }
}
