//! Every refusal of sealed objects and packs, one at a time: each case is right but for the one thing that it is about, so
//! taking that check away turns its test red.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use common::{VAULT, ring, rng};
use simsync_card::text::fields;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::keys::KeyRing;
use simsync_vault::pack::{HEADER, IndexEntry, PackBuilder, PackError, read_index};
use simsync_vault::seal::{self, Kind, OVERHEAD, PLAIN_MAX, SealError, SealKey};
use simsync_vault::secret::Secret32;
use simsync_vault::signed::BODY_MAX;

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
