//! Folders that are new are built aside and come to their place as a whole, with everything in them that can be had.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use simsync_sync::node::Node;
use simsync_vault::ids::ObjectId;
use simsyncd::engine::SyncOptions;

use crate::forger::Forger;
use crate::machine::{Mount, chmod, mode, without_capabilities};
use crate::rig::{FILES, Person, Terminal, close, sync, sync_with};

fn left_in_work_folder(root: &Path) -> usize {
    let work = root.join(".simsync-work");
    std::fs::read_dir(work).map_or(0, Iterator::count)
}

/// What the rows say of files is how they are: nothing is read again at the next look.
fn rows_are_true(t: &Terminal) -> usize {
    let rows = t.engine.store.files(t.pk(&FILES)).unwrap();
    for (path, row) in &rows {
        let meta = t.data().join(path.to_string()).symlink_metadata().unwrap();
        let ctime = meta.ctime() * 1_000_000_000 + meta.ctime_nsec();
        match &row.node {
            Node::Dir { mode } => assert_eq!(u32::from(*mode), meta.mode() & 0o777, "{path}"),
            _ => assert_eq!(
                (row.stat.ctime, row.stat.ino),
                (ctime, meta.ino()),
                "{path}"
            ),
        }
    }
    rows.len()
}

async fn from_a_to_b(person: &Person, a: &Terminal, b: &Terminal) {
    let s = person.open(a).await;
    close(a, &s).await;
    let s = person.open(b).await;
    close(b, &s).await;
}

/// A default ACL: user, group and others, as Linux has it in bytes (`posix_acl_xattr.h`).
fn default_acl() -> Vec<u8> {
    const ANYBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 3] =
        [(0x01, 7, ANYBODY), (0x04, 5, ANYBODY), (0x20, 5, ANYBODY)];
    let entry = |(tag, bits, id): (u16, u16, u32)| {
        [
            &tag.to_le_bytes()[..],
            &bits.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    let entries = entries.map(entry).concat();
    [&2_u32.to_le_bytes()[..], &entries].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn f_p7_a_new_folder_gets_the_default_acl_of_where_it_comes() {
    let (person, a, b) = Person::new().await;
    a.write("shared/there", "1");
    from_a_to_b(&person, &a, &b).await;
    let (shared, name) = (b.data().join("shared"), "system.posix_acl_default");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&shared, name, &default_acl(), flags).unwrap();
    a.write("shared/new/file", "2");
    a.write("other/new/file", "2");
    from_a_to_b(&person, &a, &b).await;
    assert_eq!(a.tree(), b.tree());
    let has = |path: &str| {
        let mut acl = vec![0; 256];
        rustix::fs::getxattr(b.data().join(path), name, &mut acl).is_ok_and(|n| n > 0)
    };
    assert_eq!(
        (has("shared"), has("shared/new"), has("other/new")),
        (true, true, false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f_p7_new_folders_with_many_files_arrive_as_they_are() {
    let (person, a, b) = Person::new().await;
    for i in 0..150 {
        a.write(&format!("new/{i}"), &format!("{i}"));
        a.write(&format!("new/in/it/{i}"), &format!("in it {}", i % 10));
    }
    let seed = simsync_server::testing::Seed::new();
    a.write("new/in it/empty", "");
    std::fs::write(a.data().join("new/large"), seed.blob(3 << 20)).unwrap();
    std::fs::create_dir(a.data().join("new/no file in it")).unwrap();
    std::os::unix::fs::symlink("it/7", a.data().join("new/in/link")).unwrap();
    for (path, mode) in [("new", 0o777), ("new/in", 0o750), ("new/in/it/7", 0o666)] {
        chmod(&a.data().join(path), mode);
    }
    from_a_to_b(&person, &a, &b).await;
    assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
    for path in a.tree().keys().filter(|p| !p.ends_with("link")) {
        let (here, there) = (a.data().join(path), b.data().join(path));
        assert_eq!(mode(&here), mode(&there), "{}", path.display());
        if here.is_file() {
            let times = [&here, &there].map(|p| p.metadata().unwrap().modified().unwrap());
            assert_eq!(times[0], times[1], "{}", path.display());
        }
    }
    assert_eq!(left_in_work_folder(&b.data()), 0);
    assert!(rows_are_true(&b) > 300);
    // A folder that is there gets more, and new ones within it.
    for i in 0..70 {
        a.write(&format!("new/in/more/{i}"), &format!("more {i}"));
    }
    a.write("new/one more", "1");
    from_a_to_b(&person, &a, &b).await;
    assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
    rows_are_true(&b);
    let s = person.open(&b).await;
    let report = sync(&b, &s).await;
    assert_eq!((report.commit, report.applied), (None, 0), "and stays so");
}

#[test]
fn f_p7_new_folders_that_nobody_may_write_to_are_filled_first() {
    without_capabilities(async {
        let (person, a, b) = Person::new().await;
        a.write("shut/it/a", "1");
        a.write("shut/b", "2");
        a.write("open/shut/c", "3");
        a.write("old/d", "4");
        for path in ["shut/it", "shut", "open/shut"] {
            chmod(&a.data().join(path), 0o500);
        }
        // Where it comes to is shut itself.
        b.write("old/d", "4");
        from_a_to_b(&person, &a, &b).await;
        assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
        for path in ["shut/it", "shut", "open/shut"] {
            assert_eq!(mode(&b.data().join(path)), 0o500, "{path}");
        }
        chmod(&a.data().join("old"), 0o500);
        from_a_to_b(&person, &a, &b).await;
        chmod(&a.data().join("old"), 0o700);
        a.write("old/new/e", "5");
        chmod(&a.data().join("old"), 0o500);
        from_a_to_b(&person, &a, &b).await;
        assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
        assert_eq!(mode(&b.data().join("old")), 0o500);
        rows_are_true(&b);
        for t in [&a, &b] {
            for path in ["shut", "shut/it", "open/shut", "old"] {
                chmod(&t.data().join(path), 0o700);
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn f_p7_a_new_folder_below_a_mount_is_built_on_its_own_disk() {
    let (person, a, b) = Person::new().await;
    a.write("disk/old", "1");
    from_a_to_b(&person, &a, &b).await;
    let disk = b.data().join("disk");
    let _mounted = Mount::disk("16m", &disk);
    std::fs::copy(a.data().join("disk/old"), disk.join("old")).unwrap();
    for i in 0..70 {
        a.write(&format!("disk/new/{i}"), &format!("{i}"));
        a.write(&format!("beside/{i}"), &format!("{i}"));
    }
    from_a_to_b(&person, &a, &b).await;
    assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
    let device = |path: &Path| path.metadata().unwrap().dev();
    assert_eq!(device(&disk.join("new/7")), device(&disk));
    assert_ne!(device(&b.data().join("beside/7")), device(&disk));
    assert_eq!(
        (left_in_work_folder(&disk), left_in_work_folder(&b.data())),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f_p7_a_new_folder_comes_without_the_file_that_cannot_be_had() {
    for many in [false, true] {
        let (person, a, b) = Person::new().await;
        let s = person.open(&a).await;
        sync(&a, &s).await;
        let mut f = Forger::new(&a, &s);
        let good = f.chunk(b"good", None);
        let broken = ObjectId([9; 32]);
        f.broken(broken);
        let lie = f.chunk(b"something else", Some(ObjectId([10; 32])));
        let file = |id: ObjectId| Forger::file(4, &[id]);
        let names: Vec<String> = (0..100).map(|i| format!("z{i:03}")).collect();
        let mut entries = vec![
            (&b"broken"[..], file(broken)),
            (b"good", file(good)),
            (b"lie", file(lie)),
            (b"missing", file(ObjectId([7; 32]))),
            (b"size", Forger::file(5, &[good])),
        ];
        if many {
            entries.extend(names.iter().map(|n| (n.as_bytes(), file(good))));
        }
        let new = f.listing(&entries);
        let root = f.listing(&[(b"good", file(good)), (b"new", Forger::folder(new))]);
        f.commit(root, None).await;
        let s = person.open(&b).await;
        sync(&b, &s).await;
        let damaged = |name: &str| ("vault-damaged", format!("new/{name}"));
        let expected = [
            damaged("broken"),
            damaged("lie"),
            damaged("size"),
            ("vault-incomplete", "new/missing".to_owned()),
        ];
        assert_eq!(b.outstanding(), expected, "{many}");
        assert_eq!(b.read("new/good").as_deref(), Some("good"));
        let there = std::fs::read_dir(b.data().join("new")).unwrap().count();
        assert_eq!(there, if many { 101 } else { 1 });
        assert_eq!(left_in_work_folder(&b.data()), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f_p7_where_not_everything_has_room_most_of_it_arrives() {
    let (person, a, b) = Person::new().await;
    for i in 0..100 {
        a.write(&format!("new/{i}"), &format!("{i}"));
    }
    let seed = simsync_server::testing::Seed::new();
    std::fs::write(a.data().join("new/large"), seed.blob(12 << 20)).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let disk = Mount::disk("6m", &b.data());
    let s = person.open(&b).await;
    let report = sync_with(&b, &s, SyncOptions::default()).await.unwrap();
    assert_eq!(report.applied, 100);
    assert_eq!(b.outstanding(), [("disk-full", "new/large".to_owned())]);
    disk.resize("64m");
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
}
