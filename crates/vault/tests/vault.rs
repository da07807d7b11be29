//! Keys, objects, packs, trees, items, commits and key objects, with the refusals that matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{CARD, VAULT, card_sig, key_object, ring, rng, rng_from, statement, terminal};
use simsync_card::ids::{CardId, Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_card::text;
use simsync_vault::chunker::{Chunker, ChunkerParams};
use simsync_vault::commit::{CollectionRoot, Commit, CommitBody, PackRef};
use simsync_vault::hpke;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::item::{Change, Content, Item, ItemContext};
use simsync_vault::keyobject::KeyObject;
use simsync_vault::keys::{KeyError, KeyRing, VaultKey};
use simsync_vault::pack::{PackBuilder, open_object, read_index};
use simsync_vault::seal::{self, Kind, SealError};
use simsync_vault::signed::FormatError;
use simsync_vault::tail::{TAIL_ITEMS_MAX, Tail, TailBody};
use simsync_vault::tree::{self, Directory, Entry, FileEntry};
use simsync_vault::treeops::{self, DirSource, Leaf, LeafChanges, ListingTooLarge, TooDeep};

fn ecdh(secret: &[u8; 32], point: &[u8]) -> [u8; 32] {
    let sk = p256::SecretKey::from_slice(secret).unwrap();
    let pk = p256::PublicKey::from_sec1_bytes(point).unwrap();
    let shared = p256::ecdh::diffie_hellman(sk.to_nonzero_scalar(), pk.as_affine());
    (*shared.raw_secret_bytes()).into()
}

#[test]
fn b1_opening_with_the_cards_dh_equals_the_hpke_crate() {
    // The card's key as a plain scalar, so that its ECDH can be done here.
    let scalar = [9u8; 32];
    let sk = SecretKey::from_bytes(&scalar).unwrap();
    let mut r = rng();
    for len in [0usize, 1, 32, 1000] {
        let plain = vec![0xa5; len];
        let (enc, ct) = hpke::seal(&sk.point(), b"info", b"aad", &plain, &mut r).unwrap();
        let dh = ecdh(&scalar, &enc.0);
        let opened = hpke::open_with_dh(&dh, &enc, &sk.point(), b"info", b"aad", &ct).unwrap();
        assert_eq!(*opened, plain);
        assert!(hpke::open_with_dh(&dh, &enc, &sk.point(), b"other", b"aad", &ct).is_err());
        assert!(hpke::open_with_dh(&dh, &enc, &sk.point(), b"info", b"x", &ct).is_err());
        let mut bad = ct.clone();
        bad[len] ^= 1;
        assert!(hpke::open_with_dh(&dh, &enc, &sk.point(), b"info", b"aad", &bad).is_err());
    }
}

#[test]
fn b1_a_wrap_that_the_card_did_not_sign_is_refused() {
    let vk = VaultKey::generate(&mut rng());
    let (object, wrap, kem) = key_object(&vk);
    assert!(
        object
            .verify_first(&CARD, &object.body.recipients[0].keys)
            .is_ok()
    );
    assert!(VaultKey::unwrap_with_key(&object, &wrap, &kem).is_ok());
    // The server wraps a key of its own for the card: base mode lets anyone do that.
    let evil = VaultKey::generate(&mut rng_from(99));
    let foreign = evil
        .wrap(
            &VAULT,
            1,
            &CARD,
            &object.body.recipients[0].keys.kem,
            &mut rng(),
        )
        .unwrap();
    assert!(matches!(
        VaultKey::unwrap_with_key(&object, &foreign, &kem),
        Err(KeyError::ForeignWrap)
    ));
    // It replaces the hash as well: the signature no longer holds.
    let mut body = object.body.clone();
    body.recipients[0].wrap_hash = foreign.hash();
    let forged = KeyObject::from_parts(body, object.signed.sig.clone());
    assert!(
        forged
            .verify_first(&CARD, &object.body.recipients[0].keys)
            .is_err()
    );
    assert!(matches!(
        VaultKey::unwrap_with_key(&forged, &foreign, &kem),
        Err(KeyError::Check)
    ));
}

#[test]
fn epochs_chain_back_to_the_first_key() {
    let mut r = rng();
    let vk1 = VaultKey::generate(&mut r);
    let (first, ..) = key_object(&vk1);
    let vk2 = VaultKey::generate(&mut r);
    let mut body = first.body.clone();
    body.list_number = 2;
    body.epoch = 2;
    body.previous = first.hash();
    body.check = vk2.check();
    body.outbox_key = vk2.outbox().1;
    body.previous_key = vk2.seal_previous(&vk1, &VAULT, 2, &mut r).unwrap();
    let (_, hash) = body.to_sign();
    let sig = card_sig().sign(&text::Domain::KeyObject.text(&CARD, &[&hash.0]));
    let second = KeyObject::from_parts(body, sig);
    second.verify_next(&first).unwrap();
    let old = KeyRing::new(vk1, std::slice::from_ref(&first)).unwrap();
    let new = KeyRing::new(vk2, &[second.clone(), first.clone()]).unwrap();
    assert_eq!(
        old.chunk_id_key(),
        new.chunk_id_key(),
        "a re-key changes no chunk"
    );
    let sealed = old
        .seal(Kind::Chunk, &[1; 32], b"old data", &mut r)
        .unwrap();
    assert_eq!(
        &**new.open(Kind::Chunk, &[1; 32], &sealed).unwrap(),
        b"old data"
    );
    let sealed = new
        .seal(Kind::Chunk, &[1; 32], b"new data", &mut r)
        .unwrap();
    assert_eq!(
        old.open(Kind::Chunk, &[1; 32], &sealed),
        Err(SealError::NoKey(2))
    );
    // A key object that skips a number, or that a stranger signs, does not follow.
    let mut skipping = second.body.clone();
    skipping.list_number = 3;
    assert!(
        KeyObject::from_parts(skipping, second.signed.sig.clone())
            .verify_next(&first)
            .is_err()
    );
    let stranger = SecretKey::from_bytes(&[8; 32]).unwrap();
    let forged = stranger.sign(&text::Domain::KeyObject.text(&CARD, &[&hash.0]));
    assert!(
        KeyObject::from_parts(second.body.clone(), forged)
            .verify_next(&first)
            .is_err()
    );
}

#[test]
fn sealed_objects_open_only_in_their_place() {
    let keys = ring();
    let mut r = rng();
    for len in [0usize, 1, 63, 64, 2048, 100_000] {
        let plain: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        let sealed = keys.seal(Kind::Chunk, &[3; 32], &plain, &mut r).unwrap();
        assert_eq!(**keys.open(Kind::Chunk, &[3; 32], &sealed).unwrap(), plain);
        assert_eq!(
            keys.open(Kind::Chunk, &[4; 32], &sealed),
            Err(SealError::Damaged)
        );
        assert_eq!(
            keys.open(Kind::Directory, &[3; 32], &sealed),
            Err(SealError::Damaged)
        );
        for cut in [0, 1, 5, 29, sealed.len() - 1] {
            assert!(keys.open(Kind::Chunk, &[3; 32], &sealed[..cut]).is_err());
        }
    }
    let mut newer = keys.seal(Kind::Chunk, &[3; 32], b"x", &mut r).unwrap();
    newer[0] = 9;
    assert_eq!(
        keys.open(Kind::Chunk, &[3; 32], &newer),
        Err(SealError::Newer(9))
    );
}

#[test]
fn padme_leaks_few_sizes() {
    for len in 1..100_000usize {
        let padded = seal::padme(len);
        assert!(padded >= len && padded <= len + len / 8 + 1);
    }
    let sizes: std::collections::BTreeSet<_> = (1..100_000).map(seal::padme).collect();
    assert!(sizes.len() < 300, "{}", sizes.len());
}

#[test]
fn golden_chunker_cut_points() {
    let params = ChunkerParams {
        whole_file_max: 64,
        min: 64,
        average: 256,
        max: 1024,
    };
    let chunker = Chunker::new(&[1; 32], params);
    let mut data = vec![0u8; 4096];
    blake3::Hasher::new()
        .update(b"golden")
        .finalize_xof()
        .fill(&mut data);
    let mut at = 0;
    let mut cuts = Vec::new();
    while at < data.len() {
        let n = chunker.cut(&data[at..]);
        assert!(n > 0 && n <= 1024);
        at += n;
        cuts.push(at);
    }
    assert_eq!(cuts, GOLDEN_CUTS);
    let other = Chunker::new(&[2; 32], params);
    assert_ne!(other.cut(&data), cuts[0], "another vault cuts elsewhere");
}

/// Part of the format: a change here is a new format version.
const GOLDEN_CUTS: &[usize] = &[
    267, 564, 835, 1141, 1456, 1869, 2140, 2397, 2713, 2991, 3251, 3518, 3799, 4096,
];

#[test]
fn packs_open_and_damaged_ones_do_not() {
    let keys = ring();
    let mut r = rng();
    let collection = CollectionId([4; 16]);
    let mut b = PackBuilder::new(collection, &mut r);
    let id = tree::chunk_id(&keys, b"hello");
    b.push(
        Kind::Chunk,
        id,
        5,
        &keys.seal(Kind::Chunk, &id.0, b"hello", &mut r).unwrap(),
    );
    let pack = b.finish(&keys, &mut r).unwrap();
    let index = read_index(&keys, &pack.reference, &pack.bytes).unwrap();
    assert_eq!(index, pack.index);
    let e = index[0];
    let stored = &pack.bytes[e.offset as usize..(e.offset + e.stored) as usize];
    assert_eq!(
        &**open_object(&keys, Kind::Chunk, &id, stored).unwrap(),
        b"hello"
    );
    for cut in 0..pack.bytes.len() {
        assert!(read_index(&keys, &pack.reference, &pack.bytes[..cut]).is_err());
    }
    let mut moved = pack.reference;
    moved.collection = CollectionId([5; 16]);
    assert!(read_index(&keys, &moved, &pack.bytes).is_err());
}

#[derive(Default)]
struct Dirs(HashMap<ObjectId, Vec<u8>>);

#[derive(Debug)]
struct Missing;
impl From<TooDeep> for Missing {
    fn from(_: TooDeep) -> Self {
        Self
    }
}
impl From<ListingTooLarge> for Missing {
    fn from(_: ListingTooLarge) -> Self {
        Self
    }
}
impl DirSource for Dirs {
    type Error = Missing;
    fn directory(&mut self, id: &ObjectId) -> Result<Directory, Missing> {
        Directory::from_bytes(self.0.get(id).ok_or(Missing)?).map_err(|_| Missing)
    }
}

fn leaf(n: u8) -> Option<Leaf> {
    Some(Leaf::File(FileEntry {
        mode: 0o644,
        size: 1,
        mtime: 0,
        mtime_nanos: 0,
        chunks: vec![ObjectId([n; 32])],
    }))
}

/// What stands at one path.
fn at(root: &ObjectId, path: &[u8], dirs: &mut Dirs) -> Option<Leaf> {
    treeops::lookup(root, [path], dirs).unwrap()[path].clone()
}

#[test]
fn trees_update_and_differ() {
    let keys = ring();
    let mut dirs = Dirs::default();
    let step = |root: ObjectId, changes: &[(&str, Option<Leaf>)], dirs: &mut Dirs| {
        let changes: LeafChanges = changes
            .iter()
            .map(|(p, l)| (p.as_bytes().to_vec(), l.clone()))
            .collect();
        let (id, new) =
            treeops::update(&root, &changes, &|dir| Ok(dir.to_object(&keys)), dirs).unwrap();
        dirs.0.extend(new);
        id
    };
    let one = step(
        ObjectId::ZERO,
        &[
            ("a", Some(Leaf::Dir(0o755))),
            ("a/x", leaf(1)),
            ("b", leaf(2)),
            ("e", Some(Leaf::Dir(0o700))),
        ],
        &mut dirs,
    );
    let two = step(one, &[("a/x", leaf(3)), ("b", None)], &mut dirs);
    let d = treeops::diff(&one, &two, &mut dirs).unwrap();
    assert_eq!(
        d,
        BTreeMap::from([(b"a/x".to_vec(), leaf(3)), (b"b".to_vec(), None)])
    );
    let back = step(two, &[("a/x", leaf(1)), ("b", leaf(2))], &mut dirs);
    assert_eq!(back, one, "equal trees have equal roots");
    let gone = step(one, &[("a", None), ("a/x", None)], &mut dirs);
    let d = treeops::diff(&one, &gone, &mut dirs).unwrap();
    assert_eq!(
        d,
        BTreeMap::from([(b"a".to_vec(), None), (b"a/x".to_vec(), None)])
    );
    assert_eq!(at(&one, b"a/x", &mut dirs), leaf(1));
    assert_eq!(at(&gone, b"a/x", &mut dirs), None);
    let file_for_dir = step(one, &[("a", leaf(7)), ("a/x", None)], &mut dirs);
    assert_eq!(at(&file_for_dir, b"a", &mut dirs), leaf(7));
}

#[test]
fn hostile_directories_are_refused() {
    let keys = ring();
    for name in [&b".."[..], b".", b"", b"a/b", b"x\0", &[b'n'; 256]] {
        let mut d = Directory::default();
        d.entries.insert(
            name.to_vec(),
            Entry::Symlink {
                target: b"t".to_vec(),
            },
        );
        let (_, bytes) = d.to_object(&keys);
        assert!(Directory::from_bytes(&bytes).is_err(), "{name:?}");
    }
    assert!(Directory::from_bytes(&[]).is_err());
    assert!(Directory::from_bytes(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
}

#[test]
fn b4_items_open_once_at_their_place_only() {
    let vk = VaultKey::generate(&mut rng());
    let (secret, public) = vk.outbox();
    let context = ItemContext {
        vault: VAULT,
        epoch: 1,
        card: CARD,
        n: 3,
        index: 0,
    };
    let item = Item {
        version: 1,
        collection: CollectionId([4; 16]),
        path: b"dir/file".to_vec(),
        base: None,
        change: Change::File {
            entry: FileEntry {
                mode: 0o600,
                size: 3_000_000,
                mtime: 1,
                mtime_nanos: 2,
                chunks: vec![],
            },
            content: Content::Inline(vec![7; 3_000_000]),
        },
    };
    let sealed = item.seal(&public, &context, &mut rng()).unwrap();
    assert_eq!(Item::open(&secret, &context, &sealed).unwrap(), item);
    for other in [
        ItemContext {
            index: 1,
            ..context
        },
        ItemContext { n: 4, ..context },
        ItemContext {
            epoch: 2,
            ..context
        },
        ItemContext {
            card: CardId([1; 16]),
            ..context
        },
    ] {
        assert!(Item::open(&secret, &other, &sealed).is_err());
    }
    for cut in [0, 3, 4, 60, sealed.len() / 2, sealed.len() - 1] {
        assert!(Item::open(&secret, &context, &sealed[..cut]).is_err());
    }
}

#[test]
fn commits_and_tails_need_terminal_and_card() {
    let body = CommitBody {
        version: 1,
        vault: VAULT,
        epoch: 1,
        sequence: 1,
        previous: Hash::ZERO,
        roots: vec![CollectionRoot {
            collection: CollectionId([4; 16]),
            root: ObjectId([1; 32]),
        }],
        packs_added: vec![],
        packs_dropped: vec![],
        list_number: 1,
        list_hash: Hash([2; 32]),
        terminal: TerminalId::of(&terminal().point()),
        session: statement(),
        closing: false,
        tails_merged: vec![],
        metadata: vec![1, 2, 3],
        restore: None,
    };
    let commit = Commit::sign(body.clone(), &terminal());
    let read = Commit::from_bytes(&commit.to_bytes()).unwrap();
    assert_eq!(read, commit);
    let (t, c) = (terminal().point(), card_sig().point());
    assert!(read.verify(&t, &c).is_ok());
    assert!(read.verify(&c, &c).is_err());
    assert!(read.verify(&t, &t).is_err());
    let mut forged = body.clone();
    forged.session.n = 4;
    assert!(
        Commit::sign(forged, &terminal()).verify(&t, &c).is_err(),
        "a session that the card never opened"
    );
    let mut newer = commit.signed.clone();
    newer.body[0] = 3;
    assert!(matches!(
        Commit::from_bytes(&newer.to_bytes()),
        Err(FormatError::Newer { found: 3, .. })
    ));
    let bytes = commit.to_bytes();
    for cut in 0..bytes.len() {
        assert!(Commit::from_bytes(&bytes[..cut]).is_err());
    }

    let tail = Tail::sign(tail_of(1, 0), &terminal());
    let read = Tail::from_bytes(&tail.to_bytes()).unwrap();
    assert!(read.verify(&t, &c).is_ok());
    assert!(read.verify(&c, &c).is_err());
}

fn tail_of(items: usize, packs: usize) -> TailBody {
    let pack = PackRef {
        id: PackId([5; 16]),
        collection: CollectionId::OUTBOX,
        size: u64::from(u32::MAX),
    };
    TailBody {
        version: 1,
        vault: VAULT,
        epoch: 1,
        session: statement(),
        parent: Hash([3; 32]),
        items: vec![Hash([1; 32]); items],
        packs: vec![pack; packs],
        replaces: vec![],
    }
}

#[test]
fn a_tail_with_the_most_items_is_read_and_one_more_is_refused() {
    // With the packs of a first upload of 160 GB that nobody committed yet.
    let most = Tail::sign(tail_of(TAIL_ITEMS_MAX, 20_000), &terminal());
    assert_eq!(Tail::from_bytes(&most.to_bytes()), Ok(most));
    let more = Tail::sign(tail_of(TAIL_ITEMS_MAX + 1, 0), &terminal());
    assert!(matches!(
        Tail::from_bytes(&more.to_bytes()),
        Err(FormatError::TooLarge { .. })
    ));
}
