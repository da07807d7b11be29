//! Every refusal of listings, metadata and items, and the limits of all formats; as in `walls_sealed`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{CARD, VAULT, ring, rng};
use simsync_card::text::fields;
use simsync_vault::chunker::{CHUNK_MAX, Chunker, ChunkerParams};
use simsync_vault::hpke::{self, KemSecret};
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::item::{Change, ITEM_MAX, Item, ItemContext, PART, SEGMENT, split_items};
use simsync_vault::metadata::Metadata;
use simsync_vault::pack::HEADER;
use simsync_vault::seal::{Kind, OVERHEAD, PLAIN_MAX};
use simsync_vault::signed::{BODY_MAX, FormatError};
use simsync_vault::tree::{
    Directory, ENTRIES_MAX, Entry, FileEntry, NAME_MAX, TARGET_MAX, TreeError, is_safe_name,
};

const COLLECTION: CollectionId = CollectionId([4; 16]);

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
    assert_eq!(ENTRIES_MAX, 1024 * 1024);
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

/// A listing of so many links, which says that they are `claimed`.
fn many(claimed: usize, entries: usize) -> Vec<u8> {
    let mut bytes = postcard::to_stdvec(&(1u8, claimed as u64)).unwrap();
    for i in 0..entries {
        bytes.push(6);
        bytes.extend(format!("{i:06x}").as_bytes());
        bytes.extend([2, 1, b't']);
    }
    bytes
}

#[test]
fn w_8_a_listings_entries_are_counted_before_they_take_memory() {
    let most = Directory::from_bytes(&many(ENTRIES_MAX, ENTRIES_MAX)).unwrap();
    assert_eq!(most.entries.len(), ENTRIES_MAX);
    // Not one of them has to be there.
    for entries in [0, 1] {
        for claimed in [ENTRIES_MAX + 1, usize::MAX] {
            let read = Directory::from_bytes(&many(claimed, entries));
            assert_eq!(read, Err(TreeError::TooManyEntries), "{claimed}, {entries}");
        }
    }
    // Who claims fewer than there are has written something else than a listing.
    let read = Directory::from_bytes(&many(ENTRIES_MAX, ENTRIES_MAX + 1));
    assert_eq!(read, Err(TreeError::Damaged));
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
