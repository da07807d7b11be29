//! Every refusal of sealed objects, packs, listings, metadata and items, one at a time: each case is right but for the one
//! thing that it is about, so taking that check away turns its test red.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use common::{CARD, VAULT, ring, rng};
use simsync_card::text::fields;
use simsync_vault::chunker::{CHUNK_MAX, Chunker, ChunkerParams};
use simsync_vault::commit::PackRef;
use simsync_vault::hpke::{self, KemSecret};
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::item::{Change, ITEM_MAX, Item, ItemContext, PART, SEGMENT, split_items};
use simsync_vault::keys::KeyRing;
use simsync_vault::metadata::Metadata;
use simsync_vault::pack::{HEADER, IndexEntry, PackBuilder, PackError, read_index};
use simsync_vault::seal::{self, Kind, OVERHEAD, PLAIN_MAX, SealError, SealKey};
use simsync_vault::secret::Secret32;
use simsync_vault::signed::{BODY_MAX, FormatError};
use simsync_vault::tree::{
    Directory, Entry, FileEntry, NAME_MAX, TARGET_MAX, TreeError, is_safe_name,
};

#[test]
fn w_8_limits_are_part_of_the_formats() {
    // What one version writes another must take.
    assert_eq!(PLAIN_MAX, 64 * 1024 * 1024);
    assert_eq!(CHUNK_MAX, 32 * 1024 * 1024);
    assert_eq!(BODY_MAX, 4 * 1024 * 1024);
    assert_eq!(OVERHEAD, 45);
    assert_eq!(HEADER, 45);
    assert_eq!(SEGMENT, 1024 * 1024);
    assert_eq!(ITEM_MAX, 48 * 1024 * 1024);
    assert_eq!(PART, 16 * 1024 * 1024);
    assert_eq!((NAME_MAX, TARGET_MAX), (255, 4096));
}

// Sealed objects.

const KINDS: [Kind; 5] = [
    Kind::Chunk,
    Kind::Directory,
    Kind::Index,
    Kind::Metadata,
    Kind::PreviousKey,
];

fn seal_key() -> SealKey {
    SealKey::new(Secret32::copy_of(&[0x5e; 32]))
}

fn open(kind: Kind, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let key_of = |epoch| (epoch == 1).then(seal_key);
    seal::open(key_of, &VAULT, kind, &[3; 32], sealed).map(|p| p.to_vec())
}

fn sealed(kind: Kind, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    seal::seal(&seal_key(), &VAULT, 1, kind, &[3; 32], plain, &mut rng())
}

/// Seals what is within as it stands: whoever has a key can write anything.
fn sealed_as(kind: Kind, inner: &[u8]) -> Vec<u8> {
    let aad = fields(&[&[1], &VAULT.0, &1u32.to_be_bytes(), &[kind as u8], &[3; 32]]);
    let nonce = [7u8; 24];
    let payload = Payload {
        msg: inner,
        aad: &aad,
    };
    let text = XChaCha20Poly1305::new((&[0x5e; 32]).into())
        .encrypt(<&XNonce>::from(&nonce), payload)
        .unwrap();
    [&[1][..], &1u32.to_be_bytes(), &nonce, &text].concat()
}

fn inner(coding: u8, plain: u32, coded: u32, bytes: &[u8]) -> Vec<u8> {
    let lengths = [plain.to_be_bytes(), coded.to_be_bytes()].concat();
    [&[coding][..], &lengths, bytes].concat()
}

#[test]
fn w_8_a_sealed_object_says_its_form_truly() {
    let open = |inner: &[u8]| open(Kind::Chunk, &sealed_as(Kind::Chunk, inner));
    assert_eq!(open(&inner(0, 3, 3, b"abc")), Ok(b"abc".to_vec()));
    let packed = zstd::bulk::compress(&[7; 100], 1).unwrap();
    let length = u32::try_from(packed.len()).unwrap();
    assert_eq!(open(&inner(1, 100, length, &packed)), Ok(vec![7; 100]));
    for (why, bad) in [
        ("a header cut short", vec![0; 8]),
        ("an unknown coding", inner(2, 3, 3, b"abc")),
        ("more coded than there is", inner(0, 3, 4, b"abc")),
        ("less than it says", inner(0, 4, 3, b"abc")),
        ("more than it says", inner(0, 2, 3, b"abc")),
        ("less than packed", inner(1, 101, length, &packed)),
        ("more than packed", inner(1, 99, length, &packed)),
        ("no zstd at all", inner(1, 3, 3, b"abc")),
    ] {
        assert_eq!(open(&bad), Err(SealError::Damaged), "{why}");
    }
}

#[test]
fn w_8_a_plain_length_is_bounded_by_its_kind_before_memory_is_taken() {
    for kind in KINDS {
        let max = u32::try_from(kind.plain_max()).unwrap();
        for (coding, bytes) in [(0, &b"abc"[..]), (1, b"abc")] {
            let open = |plain| open(kind, &sealed_as(kind, &inner(coding, plain, 3, bytes)));
            assert_eq!(open(max), Err(SealError::Damaged), "{kind:?}");
            assert_eq!(open(max + 1), Err(SealError::TooLarge), "{kind:?}");
            assert_eq!(open(u32::MAX), Err(SealError::TooLarge), "{kind:?}");
        }
    }
    // A packed bomb of a kind that is small.
    let packed = zstd::bulk::compress(&vec![0; BODY_MAX + 1], 1).unwrap();
    let length = u32::try_from(packed.len()).unwrap();
    let bomb = inner(1, BODY_MAX as u32 + 1, length, &packed);
    assert_eq!(
        open(Kind::Metadata, &sealed_as(Kind::Metadata, &bomb)),
        Err(SealError::TooLarge)
    );
}

#[test]
fn w_8_what_is_sealed_opens_up_to_the_largest_of_its_kind() {
    // Incompressible, so that the sealed form is as long as it can be.
    let mut most = vec![0; PLAIN_MAX + 1];
    blake3::Hasher::new().finalize_xof().fill(&mut most);
    for kind in KINDS {
        let max = kind.plain_max();
        let bytes = sealed(kind, &most[..max]).unwrap();
        assert!(open(kind, &bytes).unwrap() == most[..max], "{kind:?}");
        assert_eq!(
            sealed(kind, &most[..=max]),
            Err(SealError::TooLarge),
            "{kind:?}"
        );
        let longest = OVERHEAD + seal::padme(9 + max);
        assert_eq!(bytes.len(), longest, "{kind:?}");
        // One byte more is refused by its length alone, before it is deciphered.
        let long = [&bytes[..], &[0]].concat();
        assert_eq!(open(kind, &long), Err(SealError::TooLarge), "{kind:?}");
    }
}

#[test]
fn w_8_a_sealed_object_is_of_a_known_version_and_epoch() {
    let right = sealed(Kind::Chunk, b"abc").unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = right.clone();
        bytes[at] = value;
        open(Kind::Chunk, &bytes)
    };
    assert_eq!(with(0, 0), Err(SealError::Damaged));
    assert_eq!(with(0, 2), Err(SealError::Newer(2)));
    assert_eq!(with(4, 2), Err(SealError::NoKey(2)));
    for cut in 0..right.len() {
        assert_eq!(open(Kind::Chunk, &right[..cut]), Err(SealError::Damaged));
    }
}

// Packs.

const COLLECTION: CollectionId = CollectionId([4; 16]);
const PACK: PackId = PackId([9; 16]);
const OBJECTS: usize = 100;

fn entry(offset: usize, stored: usize) -> IndexEntry {
    IndexEntry {
        kind: 1,
        id: ObjectId([1; 32]),
        offset: u32::try_from(offset).unwrap(),
        stored: u32::try_from(stored).unwrap(),
        plain: 3,
    }
}

/// A pack of [`OBJECTS`] bytes with whatever index.
fn pack(keys: &KeyRing, index: &[u8]) -> Vec<u8> {
    let mut id = [0; 32];
    id[..16].copy_from_slice(&PACK.0);
    let index = keys.seal(Kind::Index, &id, index, &mut rng()).unwrap();
    let length = u32::try_from(index.len()).unwrap().to_be_bytes();
    let head = [
        &b"SIMSYNC-PACK"[..],
        &[1],
        &COLLECTION.0,
        &PACK.0,
        &[0; OBJECTS],
    ];
    [&head.concat()[..], &index, &length].concat()
}

fn reference(bytes: &[u8]) -> PackRef {
    PackRef {
        id: PACK,
        collection: COLLECTION,
        size: bytes.len() as u64,
    }
}

fn read(keys: &KeyRing, bytes: &[u8]) -> Result<Vec<IndexEntry>, PackError> {
    read_index(keys, &reference(bytes), bytes)
}

#[test]
fn w_8_an_index_names_places_within_its_pack_only() {
    let keys = ring();
    let read = |entries: &[IndexEntry]| {
        let index = postcard::to_stdvec(entries).unwrap();
        read(&keys, &pack(&keys, &index))
    };
    let whole = entry(HEADER, OBJECTS);
    let directory = IndexEntry { kind: 2, ..whole };
    assert_eq!(read(&[whole, directory]), Ok(vec![whole, directory]));
    for (why, bad) in [
        ("in the header", entry(HEADER - 1, 1)),
        ("into the index", entry(HEADER, OBJECTS + 1)),
        ("past the index", entry(HEADER + OBJECTS, 1)),
        (
            "past 32 bits",
            IndexEntry {
                stored: u32::MAX,
                offset: u32::MAX,
                ..whole
            },
        ),
        ("no kind", IndexEntry { kind: 0, ..whole }),
        (
            "a kind that packs do not hold",
            IndexEntry { kind: 3, ..whole },
        ),
    ] {
        assert_eq!(read(&[whole, bad]), Err(PackError::Damaged), "{why}");
    }
}

#[test]
fn w_8_a_pack_is_the_one_that_was_asked_for() {
    let keys = ring();
    let index = postcard::to_stdvec(&vec![entry(HEADER, 3)]).unwrap();
    let right = pack(&keys, &index);
    read(&keys, &right).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = right.clone();
        bytes[at] = value;
        read(&keys, &bytes)
    };
    assert_eq!(with(0, b'X'), Err(PackError::Damaged));
    assert_eq!(with(12, 0), Err(PackError::Damaged));
    assert_eq!(with(12, 2), Err(PackError::Newer(2)));
    assert_eq!(with(13, 0), Err(PackError::Damaged));
    assert_eq!(with(29, 0), Err(PackError::Damaged));
    let asked = |change: &dyn Fn(&mut PackRef)| {
        let mut expected = reference(&right);
        change(&mut expected);
        read_index(&keys, &expected, &right)
    };
    assert!(asked(&|_| {}).is_ok());
    assert_eq!(asked(&|e| e.size += 1), Err(PackError::Damaged));
    assert_eq!(asked(&|e| e.size -= 1), Err(PackError::Damaged));
    assert_eq!(
        asked(&|e| e.collection = CollectionId([5; 16])),
        Err(PackError::Damaged)
    );
    assert_eq!(asked(&|e| e.id = PackId([5; 16])), Err(PackError::Damaged));
}

#[test]
fn w_8_an_index_begins_after_the_header_and_fills_its_place() {
    let keys = ring();
    let index = postcard::to_stdvec(&vec![entry(HEADER, 3)]).unwrap();
    let right = pack(&keys, &index);
    let cut = right.len() - 4;
    let sealed = u32::try_from(cut - HEADER - OBJECTS).unwrap();
    let with = |length: u32| {
        let bytes = [&right[..cut], &length.to_be_bytes()].concat();
        read(&keys, &bytes)
    };
    assert!(with(sealed).is_ok());
    for length in [
        u32::try_from(cut - HEADER + 1).unwrap(),
        u32::try_from(cut + 1).unwrap(),
        u32::MAX,
    ] {
        assert_eq!(with(length), Err(PackError::Damaged), "{length}");
    }
    let other = PackError::Seal(SealError::Damaged);
    assert_eq!(with(sealed - 1), Err(other));
    assert_eq!(with(0), Err(other));
    let trailing = [&index[..], &[0]].concat();
    assert_eq!(
        read(&keys, &pack(&keys, &trailing)),
        Err(PackError::Damaged)
    );
    for length in 0..HEADER + 4 {
        let short = &right[..length];
        assert_eq!(read(&keys, short), Err(PackError::Damaged), "{length}");
    }
}

#[test]
fn w_8_a_builder_knows_how_much_it_holds() {
    let mut builder = PackBuilder::new(COLLECTION, &mut rng());
    assert!(builder.is_empty());
    assert_eq!(builder.len(), HEADER);
    builder.push(Kind::Chunk, ObjectId([1; 32]), 3, &[0; 10]);
    assert!(!builder.is_empty());
    assert_eq!(builder.len(), HEADER + 10);
}

// Listings.

fn file() -> FileEntry {
    FileEntry {
        mode: 0o777,
        size: 5,
        mtime: -1,
        mtime_nanos: 999_999_999,
        chunks: vec![ObjectId([1; 32])],
    }
}

fn listing(entry: Entry) -> Vec<u8> {
    let mut dir = Directory::default();
    dir.entries.insert(b"name".to_vec(), entry);
    dir.to_object(&ring()).1
}

#[test]
fn w_8_a_listing_holds_only_what_can_be_on_a_disk() {
    let link = |target: &[u8]| Entry::Symlink {
        target: target.to_vec(),
    };
    let dir = |mode| Entry::Directory {
        mode,
        id: ObjectId::ZERO,
    };
    let with = |change: &dyn Fn(&mut FileEntry)| {
        let mut file = file();
        change(&mut file);
        Entry::File(file)
    };
    for good in [
        dir(0o777),
        with(&|_| {}),
        link(b"t"),
        link(&[b't'; TARGET_MAX]),
    ] {
        assert!(
            Directory::from_bytes(&listing(good.clone())).is_ok(),
            "{good:?}"
        );
    }
    for bad in [
        dir(0o1000),
        with(&|f| f.mode = 0o1000),
        with(&|f| f.mtime_nanos = 1_000_000_000),
        link(b""),
        link(b"a\0b"),
        link(&[b't'; TARGET_MAX + 1]),
    ] {
        let read = Directory::from_bytes(&listing(bad.clone()));
        assert_eq!(read, Err(TreeError::Damaged), "{bad:?}");
    }
}

#[test]
fn w_8_a_listing_is_of_a_known_version_and_nothing_follows_it() {
    let right = listing(Entry::File(file()));
    let with = |version| {
        let mut bytes = right.clone();
        bytes[0] = version;
        Directory::from_bytes(&bytes)
    };
    assert_eq!(with(0), Err(TreeError::Damaged));
    assert_eq!(with(2), Err(TreeError::Newer(2)));
    let long = [&right[..], &[0]].concat();
    assert_eq!(Directory::from_bytes(&long), Err(TreeError::Damaged));
    assert_eq!(Directory::from_bytes(&[]), Err(TreeError::Damaged));
}

#[test]
fn w_8_a_listing_has_one_form_only() {
    // The same name twice: two readers could take different ones, and no terminal would write it so.
    let link = |target: u8| [&[4][..], b"name", &[2, 1, target]].concat();
    let twice = [&[1, 2][..], &link(b'a'), &link(b'b')].concat();
    assert_eq!(Directory::from_bytes(&twice), Err(TreeError::Damaged));
    let once = [&[1, 1][..], &link(b'a')].concat();
    assert!(Directory::from_bytes(&once).is_ok());
    // Names in another order, and a number with an idle byte.
    let named = |name: u8| [1, name, 2, 1, b't'];
    let unsorted = [&[1, 2][..], &named(b'b'), &named(b'a')].concat();
    assert_eq!(Directory::from_bytes(&unsorted), Err(TreeError::Damaged));
    let idle = [&[1, 0x81, 0][..], &link(b'a')].concat();
    assert_eq!(Directory::from_bytes(&idle), Err(TreeError::Damaged));
}

#[test]
fn w_8_names_that_are_no_names_are_refused_and_others_are_not() {
    let long = [b'n'; 256];
    for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"\0", b"a\0", &long] {
        assert!(!is_safe_name(bad), "{bad:?}");
    }
    for good in [&b"..."[..], b".a", b"a..", b"\xff", &long[..255]] {
        assert!(is_safe_name(good), "{good:?}");
    }
}

// Metadata.

/// Sealed with whatever chunk sizes, in version 1, and bytes after it.
fn metadata(chunker: ChunkerParams, after: &[u8]) -> Vec<u8> {
    let plain = (1u8, chunker, Vec::<CollectionId>::new(), 0i64);
    let plain = [&postcard::to_stdvec(&plain).unwrap()[..], after].concat();
    seal_metadata(&plain)
}

fn seal_metadata(plain: &[u8]) -> Vec<u8> {
    let keys = ring();
    keys.seal(Kind::Metadata, &[0; 32], plain, &mut rng())
        .unwrap()
}

#[test]
fn w_8_metadata_has_chunk_sizes_that_can_be_worked_with() {
    let keys = ring();
    let v1 = ChunkerParams::V1;
    let least = ChunkerParams {
        whole_file_max: 64,
        min: 64,
        average: 64,
        max: 64,
    };
    let most = ChunkerParams {
        whole_file_max: CHUNK_MAX,
        min: CHUNK_MAX,
        average: CHUNK_MAX,
        max: CHUNK_MAX,
    };
    for good in [v1, least, most] {
        let read = Metadata::open(&keys, &metadata(good, &[])).unwrap();
        assert_eq!(read.chunker, good);
        // The limits are there for this: none of them makes the chunker overflow or stand still.
        assert!(Chunker::new(&[1; 32], good).cut(&[0; 1000]) > 0);
    }
    for bad in [
        ChunkerParams { min: 63, ..least },
        ChunkerParams {
            min: 65,
            max: 128,
            ..least
        },
        ChunkerParams {
            average: 128,
            ..least
        },
        ChunkerParams {
            average: 96,
            max: 128,
            ..least
        },
        ChunkerParams {
            whole_file_max: 65,
            ..least
        },
        ChunkerParams {
            max: CHUNK_MAX + 1,
            ..v1
        },
    ] {
        match Metadata::open(&keys, &metadata(bad, &[])) {
            Err(FormatError::Rule { why, .. }) => assert!(why.contains("chunk sizes")),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}

#[test]
fn w_8_metadata_is_of_a_known_version_and_nothing_follows_it() {
    let keys = ring();
    let open = |sealed: &[u8]| Metadata::open(&keys, sealed).unwrap_err();
    let damaged = |e: FormatError| assert!(matches!(e, FormatError::Damaged(_)), "{e:?}");
    damaged(open(&metadata(ChunkerParams::V1, &[0])));
    damaged(open(&seal_metadata(&[])));
    damaged(open(&seal_metadata(&[0; 40])));
    assert!(matches!(
        open(&seal_metadata(&[3; 40])),
        FormatError::Newer { found: 3, .. }
    ));
    let other = keys.seal(Kind::Chunk, &[0; 32], &[1], &mut rng()).unwrap();
    damaged(open(&other));
}

// Items of tails.

const CONTEXT: ItemContext = ItemContext {
    vault: VAULT,
    epoch: 1,
    card: CARD,
    n: 3,
    index: 0,
};

/// Seals plain segments as they stand: anybody can seal to the outbox key.
fn segments(count: u32, parts: &[&[u8]]) -> Vec<u8> {
    let (_, outbox) = KemSecret::derive(&[7; 32]);
    let mut out = count.to_be_bytes().to_vec();
    for (i, part) in (0u32..).zip(parts) {
        let info = fields(&[
            b"simsync/1/item",
            &VAULT.0,
            &1u32.to_be_bytes(),
            &CARD.0,
            &3u32.to_be_bytes(),
            &0u32.to_be_bytes(),
            &i.to_be_bytes(),
            &count.to_be_bytes(),
        ]);
        let (enc, text) = hpke::seal(&outbox, &info, b"", part, &mut rng()).unwrap();
        out.extend_from_slice(&enc.0);
        out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&text);
    }
    out
}

fn open_item(sealed: &[u8]) -> Result<Item, FormatError> {
    Item::open(&KemSecret::derive(&[7; 32]).0, &CONTEXT, sealed)
}

fn item(change: Change) -> Item {
    Item {
        version: 1,
        collection: COLLECTION,
        path: b"dir/file".to_vec(),
        base: None,
        change,
    }
}

#[test]
fn w_8_an_item_fills_its_segments_and_is_of_a_known_version() {
    let plain = postcard::to_stdvec(&item(Change::Delete)).unwrap();
    let (head, rest) = plain.split_at(5);
    assert_eq!(open_item(&segments(1, &[&plain])), Ok(item(Change::Delete)));
    assert_eq!(
        open_item(&segments(2, &[head, rest])),
        Ok(item(Change::Delete))
    );
    let damaged = Err(FormatError::Damaged("an item of a tail"));
    for bad in [
        segments(0, &[]),
        segments(1, &[b""]),
        segments(2, &[&plain]),
        segments(u32::MAX, &[&plain]),
        [&segments(1, &[&plain])[..], &[0]].concat(),
        segments(1, &[&[&plain[..], &[0]].concat()]),
        segments(1, &[&[&[0], &plain[1..]].concat()]),
    ] {
        assert_eq!(open_item(&bad), damaged);
    }
    assert!(matches!(
        open_item(&segments(1, &[&[&[2], &plain[1..]].concat()])),
        Err(FormatError::Newer { found: 2, .. })
    ));
    let right = segments(1, &[&plain]);
    for cut in 0..right.len() {
        assert_eq!(open_item(&right[..cut]), damaged, "{cut}");
    }
}

#[test]
fn w_8_an_item_is_measured_before_it_is_opened() {
    let (_, outbox) = KemSecret::derive(&[7; 32]);
    let seal = |length| {
        let item = item(Change::Part(vec![7; length]));
        item.seal(&outbox, &CONTEXT, &mut rng())
    };
    // The most that an item holds beside its own fields; the length of so many bytes takes three bytes more.
    let fields = postcard::to_stdvec(&item(Change::Part(vec![])))
        .unwrap()
        .len();
    let most = ITEM_MAX - fields - 3;
    let sealed = seal(most).unwrap();
    assert_eq!(open_item(&sealed), Ok(item(Change::Part(vec![7; most]))));
    assert!(matches!(
        seal(most + 1),
        Err(FormatError::TooLarge { max: ITEM_MAX, .. })
    ));
    let too_large = |bytes: usize| {
        matches!(
            open_item(&vec![0xff; bytes]),
            Err(FormatError::TooLarge { max: ITEM_MAX, .. })
        )
    };
    assert!(too_large(ITEM_MAX + ITEM_MAX / 8 + 1));
    assert!(!too_large(ITEM_MAX + ITEM_MAX / 8));
}

#[test]
fn w_8_a_segment_is_no_longer_than_any_that_is_written() {
    let long = postcard::to_stdvec(&item(Change::Part(vec![7; SEGMENT]))).unwrap();
    assert!(long.len() > SEGMENT);
    let (head, rest) = long.split_at(SEGMENT);
    assert!(open_item(&segments(2, &[head, rest])).is_ok());
    assert_eq!(
        open_item(&segments(1, &[&long])),
        Err(FormatError::Damaged("an item of a tail"))
    );
}

#[test]
fn w_8_items_stand_side_by_side_and_none_is_cut() {
    let one = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let two = [one(b"first"), one(b"")].concat();
    assert_eq!(split_items(&two).unwrap(), [&b"first"[..], b""]);
    assert_eq!(split_items(&[]).unwrap(), [&[] as &[u8]; 0]);
    for cut in [1, 3, 8, 10, 12] {
        let cut = split_items(&two[..cut]);
        assert_eq!(cut, Err(FormatError::Damaged("an item of a tail")));
    }
}
