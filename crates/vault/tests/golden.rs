//! Every format of the vault, byte by byte: what an earlier version wrote is read, and what is written has not changed.
//!
//! The files in `golden/` are made from the fixed keys of `common`. `SIMSYNC_WRITE_GOLDEN=1` writes them anew, which is
//! right only together with a new format version.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{CARD, VAULT, key_object, ring, rng, rng_from, statement, terminal};
use simsync_card::ids::{Hash, ServerId, TerminalId};
use simsync_vault::chunker::ChunkerParams;
use simsync_vault::commit::{CollectionRoot, Commit, CommitBody, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::item::{Change, Content, Item, ItemContext};
use simsync_vault::keyobject::{KeyObject, Wrap};
use simsync_vault::keys::VaultKey;
use simsync_vault::metadata::{AgreedDeletions, CollectionMeta, Metadata};
use simsync_vault::pack::{PackBuilder, open_object, read_index};
use simsync_vault::restore::Restore;
use simsync_vault::seal::Kind;
use simsync_vault::tail::{Tail, TailBody};
use simsync_vault::tree::{self, Directory, Entry, FileEntry};

const COLLECTION: CollectionId = CollectionId([4; 16]);

/// Compares with the stored bytes; answers these, so that it is they that are read.
fn golden(name: &str, written: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.hex"));
    if std::env::var_os("SIMSYNC_WRITE_GOLDEN").is_some() {
        let lines: Vec<String> = written.chunks(60).map(hex::encode).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let stored = hex::decode(text.replace('\n', "")).unwrap();
    assert!(
        stored == written,
        "{name}: what is written differs from {}",
        path.display()
    );
    stored
}

fn file() -> FileEntry {
    FileEntry {
        mode: 0o640,
        size: 5,
        mtime: -1,
        mtime_nanos: 999_999_999,
        chunks: vec![ObjectId([0xc1; 32]), ObjectId([0xc2; 32])],
    }
}

fn directory() -> Directory {
    Directory {
        entries: BTreeMap::from([
            (
                b"dir".to_vec(),
                Entry::Directory {
                    mode: 0o755,
                    id: ObjectId([0xd1; 32]),
                },
            ),
            (b"file \xff".to_vec(), Entry::File(file())),
            (
                b"link".to_vec(),
                Entry::Symlink {
                    target: b"../elsewhere".to_vec(),
                },
            ),
        ]),
        ..Directory::default()
    }
}

fn pack_ref(n: u8) -> PackRef {
    PackRef {
        id: PackId([n; 16]),
        collection: COLLECTION,
        size: 1 << 20,
    }
}

#[test]
fn a_sealed_object() {
    let keys = ring();
    let sealed = keys
        .seal(Kind::Chunk, &[3; 32], b"hello, hello, hello", &mut rng())
        .unwrap();
    let stored = golden("sealed-object", &sealed);
    let plain = keys.open(Kind::Chunk, &[3; 32], &stored).unwrap();
    assert_eq!(&**plain, b"hello, hello, hello");
}

#[test]
fn a_directory() {
    let (id, bytes) = directory().to_object(&ring());
    let stored = golden("directory", &bytes);
    assert_eq!(Directory::from_bytes(&stored).unwrap(), directory());
    golden("directory-id", &id.0);
    golden("chunk-id", &tree::chunk_id(&ring(), b"hello").0);
}

#[test]
fn a_pack() {
    let keys = ring();
    let mut r = rng_from(2);
    let mut builder = PackBuilder::new(COLLECTION, &mut r);
    for content in [&b"hello"[..], b"world"] {
        let id = tree::chunk_id(&keys, content);
        let sealed = keys.seal(Kind::Chunk, &id.0, content, &mut r).unwrap();
        builder.push(Kind::Chunk, id, content.len(), &sealed);
    }
    let pack = builder.finish(&keys, &mut r).unwrap();
    let stored = golden("pack", &pack.bytes);
    let index = read_index(&keys, &pack.reference, &stored).unwrap();
    let found: Vec<Vec<u8>> = index
        .iter()
        .map(|e| {
            let sealed = &stored[e.offset as usize..(e.offset + e.stored) as usize];
            let plain = open_object(&keys, e.kind().unwrap(), &e.id, sealed).unwrap();
            plain.to_vec()
        })
        .collect();
    assert_eq!(found, [b"hello", b"world"]);
}

#[test]
fn metadata() {
    let mut metadata = Metadata {
        chunker: ChunkerParams::V1,
        collections: vec![CollectionMeta {
            id: COLLECTION,
            attribute: "files".to_owned(),
            name: "Documents ✓".to_owned(),
        }],
        time_ms: 1_700_000_000_000,
        agreed: Vec::new(),
    };
    let keys = ring();
    let stored = golden("metadata", &metadata.seal(&keys, &mut rng_from(3)).unwrap());
    assert_eq!(Metadata::open(&keys, &stored).unwrap(), metadata);
    metadata.agreed.push(AgreedDeletions {
        collection: COLLECTION,
        count: 4711,
    });
    let stored = golden(
        "metadata-2",
        &metadata.seal(&keys, &mut rng_from(3)).unwrap(),
    );
    assert_eq!(Metadata::open(&keys, &stored).unwrap(), metadata);
}

#[test]
fn a_key_object_and_its_wrap() {
    let vk = VaultKey::generate(&mut rng());
    let (object, wrap, kem) = key_object(&vk);
    let read = KeyObject::from_bytes(&golden("key-object", &object.to_bytes())).unwrap();
    assert_eq!(read, object);
    let wrap_bytes = [&wrap.enc.0[..], &wrap.ciphertext].concat();
    let stored = golden("wrap", &wrap_bytes);
    let read_wrap = Wrap {
        enc: simsync_card::ids::Point(stored[..65].try_into().unwrap()),
        ciphertext: stored[65..].to_vec(),
        ..wrap
    };
    assert!(read.names(&read_wrap));
    let opened = VaultKey::unwrap_with_key(&read, &read_wrap, &kem).unwrap();
    assert_eq!(opened.check(), vk.check());
    golden("check-value", &vk.check().0);
}

#[test]
fn a_commit() {
    let body = CommitBody {
        version: 1,
        vault: VAULT,
        epoch: 2,
        sequence: 300,
        previous: Hash([9; 32]),
        roots: vec![CollectionRoot {
            collection: COLLECTION,
            root: ObjectId([1; 32]),
        }],
        packs_added: vec![pack_ref(7)],
        packs_dropped: vec![PackId([8; 16])],
        list_number: 3,
        list_hash: Hash([2; 32]),
        terminal: TerminalId::of(&terminal().point()),
        session: statement(),
        closing: true,
        tails_merged: vec![SessionRef { card: CARD, n: 2 }],
        metadata: vec![1, 2, 3],
        restore: None,
    };
    let commit = Commit::sign(body, &terminal());
    let stored = golden("commit", &commit.to_bytes());
    let read = Commit::from_bytes(&stored).unwrap();
    assert_eq!(read, commit);
    let card = common::card_sig().point();
    assert!(read.verify(&terminal().point(), &card).is_ok());
    golden("commit-hash", &commit.hash().0);

    let mut body = commit.body;
    body.version = 2;
    body.sequence = 70_001;
    body.restore = Some(Restore {
        server: ServerId([5; 16]),
        head: Hash([6; 32]),
        sequence: 70_000,
        sig: common::card_sig().sign(b"restore"),
    });
    let commit = Commit::sign(body, &terminal());
    let stored = golden("commit-2", &commit.to_bytes());
    assert_eq!(Commit::from_bytes(&stored).unwrap(), commit);
    let to_sign = Restore::to_sign(
        &ServerId([5; 16]),
        &Hash([6; 32]),
        70_000,
        &Hash([9; 32]),
        2,
    );
    golden("restore-to-sign", &to_sign.0);
}

#[test]
fn a_tail() {
    let body = TailBody {
        version: 1,
        vault: VAULT,
        epoch: 1,
        session: statement(),
        parent: Hash([3; 32]),
        items: vec![Hash([1; 32]), Hash([2; 32])],
        packs: vec![pack_ref(7)],
        replaces: vec![SessionRef { card: CARD, n: 2 }],
    };
    let tail = Tail::sign(body, &terminal());
    let stored = golden("tail", &tail.to_bytes());
    let read = Tail::from_bytes(&stored).unwrap();
    assert_eq!(read, tail);
    let card = common::card_sig().point();
    assert!(read.verify(&terminal().point(), &card).is_ok());
}

#[test]
fn items_of_every_kind() {
    let changes = [
        ("delete", Change::Delete),
        ("directory", Change::Directory(0o755)),
        ("symlink", Change::Symlink(b"target".to_vec())),
        (
            "inline",
            Change::File {
                entry: file(),
                content: Content::Inline(b"hello".to_vec()),
            },
        ),
        (
            "chunks",
            Change::File {
                entry: file(),
                content: Content::Chunks(vec![ObjectId([0xc1; 32])]),
            },
        ),
        (
            "parts",
            Change::File {
                entry: file(),
                content: Content::Parts(2),
            },
        ),
        ("part", Change::Part(b"he".to_vec())),
    ];
    let (secret, public) = VaultKey::generate(&mut rng()).outbox();
    for (index, (name, change)) in (0u32..).zip(changes) {
        let context = ItemContext {
            vault: VAULT,
            epoch: 1,
            card: CARD,
            n: 3,
            index,
        };
        let item = Item {
            version: 1,
            collection: COLLECTION,
            path: b"dir/file".to_vec(),
            base: Some(Entry::File(file())),
            change,
        };
        let sealed = item.seal(&public, &context, &mut rng_from(10 + u64::from(index)));
        let stored = golden(&format!("item-{name}"), &sealed.unwrap());
        assert_eq!(Item::open(&secret, &context, &stored).unwrap(), item);
    }
}
