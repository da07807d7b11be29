//! What is sealed. A changed byte of a sealed object opens nothing, so what is within is changed and sealed by a key of the
//! test: a terminal that somebody else steers can do the same.

use std::sync::OnceLock;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use simsync_card::text::fields;
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::PackRef;
use simsync_vault::hpke::{self, KemSecret};
use simsync_vault::ids::{CollectionId, PackId};
use simsync_vault::item::{Item, ItemContext, split_items};
use simsync_vault::keys::{KeyRing, VaultKey};
use simsync_vault::metadata::Metadata;
use simsync_vault::pack::{HEADER, IndexEntry, open_object, read_index};
use simsync_vault::seal::{self, Kind, SealKey};
use simsync_vault::secret::Secret32;
use simsync_vault::tree::{Directory, Entry, TARGET_MAX, is_safe_name};
use simsync_vault::treeops::Leaf;

use super::common::{golden, usual};
use super::vectors::{CARD, VAULT, ring, rng};

macro_rules! golden {
    ($name:literal) => {
        golden(include_str!(concat!(
            "../../../../crates/vault/tests/golden/",
            $name,
            ".hex"
        )))
    };
}

fn keys() -> &'static KeyRing {
    static KEYS: OnceLock<KeyRing> = OnceLock::new();
    KEYS.get_or_init(ring)
}

// Listings.

pub fn directory(bytes: &[u8]) -> bool {
    let Ok(dir) = Directory::from_bytes(bytes) else {
        return false;
    };
    assert!(
        dir.to_object(keys()).1 == bytes,
        "written otherwise than read"
    );
    for (name, entry) in &dir.entries {
        assert!(is_safe_name(name), "{name:?}");
        match Leaf::of(entry) {
            Leaf::Dir(mode) => assert!(mode <= 0o777),
            Leaf::File(file) => assert!(file.mode <= 0o777 && file.mtime_nanos < 1_000_000_000),
            Leaf::Symlink(to) => assert!((1..=TARGET_MAX).contains(&to.len())),
        }
    }
    true
}

pub fn directories() -> Vec<Vec<u8>> {
    let mut many = Directory::default();
    for i in 0..200 {
        let target = vec![b't'; 1 + i];
        let name = format!("name {i}").into_bytes();
        many.entries.insert(name, Entry::Symlink { target });
    }
    vec![
        golden!("directory"),
        Directory::default().to_object(keys()).1,
        many.to_object(keys()).1,
    ]
}

// Metadata.

pub fn metadata(plain: &[u8]) -> bool {
    let sealed = keys().seal(Kind::Metadata, &[0; 32], plain, &mut rng());
    let Ok(metadata) = Metadata::open(keys(), &sealed.unwrap_or_default()) else {
        return false;
    };
    let again = metadata.seal(keys(), &mut rng()).unwrap_or_default();
    assert_eq!(Metadata::open(keys(), &again).as_ref(), Ok(&metadata));
    let chunker = Chunker::new(keys().chunker_key(), metadata.chunker);
    for length in [0, 1, 63, 64, 65, plain.len()] {
        let data = &plain[..length.min(plain.len())];
        let cut = chunker.cut(data);
        assert!(cut <= data.len() && (cut > 0 || data.is_empty()));
        assert!(cut <= metadata.chunker.max as usize);
    }
    true
}

pub fn metadatas() -> Vec<Vec<u8>> {
    let open = |sealed: Vec<u8>| keys().open(Kind::Metadata, &[0; 32], &sealed);
    [golden!("metadata"), golden!("metadata-2")]
        .into_iter()
        .filter_map(|sealed| open(sealed).ok())
        .map(|plain| plain.to_vec())
        .collect()
}

// Sealed objects: a byte for the kind, then what is within.

fn kind_of(input: &[u8]) -> Kind {
    match input.first().map_or(0, |b| b % 5) {
        0 => Kind::Chunk,
        1 => Kind::Directory,
        2 => Kind::Index,
        3 => Kind::Metadata,
        _ => Kind::PreviousKey,
    }
}

/// What its kind allows, whatever it claims.
pub fn memory(input: &[u8]) -> usize {
    // Once as it comes out of zstd, once as the test seals it again.
    usual(input) + 2 * kind_of(input).plain_max().min(SEALED_AGAIN) + kind_of(input).plain_max()
}

/// Up to so many bytes are sealed again, which takes its time.
const SEALED_AGAIN: usize = 1 << 20;

pub fn sealed(input: &[u8]) -> bool {
    let kind = kind_of(input);
    let inner = input.get(1..).unwrap_or_default();
    let (key, id, nonce) = ([0x5e; 32], [3; 32], [7u8; 24]);
    let open = |sealed: &[u8]| {
        let key = |epoch| (epoch == 1).then(|| SealKey::new(Secret32::copy_of(&key)));
        seal::open(key, &VAULT, kind, &id, sealed)
    };
    // As it stands it is some noise, which has a header all the same.
    let _ = open(inner);
    let head = fields(&[&[1], &VAULT.0, &1u32.to_be_bytes(), &[kind as u8], &id]);
    let payload = Payload {
        msg: inner,
        aad: &head,
    };
    let text = XChaCha20Poly1305::new((&key).into())
        .encrypt(<&XNonce>::from(&nonce), payload)
        .unwrap_or_default();
    let Ok(plain) = open(&[&[1][..], &1u32.to_be_bytes(), &nonce, &text].concat()) else {
        return false;
    };
    assert!(plain.len() <= kind.plain_max());
    if plain.len() <= SEALED_AGAIN {
        let key = SealKey::new(Secret32::copy_of(&key));
        let again = seal::seal(&key, &VAULT, 1, kind, &id, &plain, &mut rng());
        assert!(open(&again.unwrap_or_default()).is_ok_and(|p| p == plain));
    }
    true
}

pub fn sealed_samples() -> Vec<Vec<u8>> {
    let inner = |kind: u8, coding: u8, plain: usize, coded: &[u8]| {
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        [
            &[kind, coding][..],
            &length(plain),
            &length(coded.len()),
            coded,
            &[0; 7],
        ]
        .concat()
    };
    // What our own code packs: the compressed form stands within a sealed object, which the key of the test opens.
    let packed = |plain: &[u8]| {
        let key = SealKey::new(Secret32::copy_of(&[0x5e; 32]));
        let sealed = seal::seal(&key, &VAULT, 1, Kind::Chunk, &[3; 32], plain, &mut rng());
        let sealed = sealed.unwrap_or_default();
        let head = fields(&[&[1], &VAULT.0, &1u32.to_be_bytes(), &[1], &[3; 32]]);
        let nonce: [u8; 24] = sealed[5..29].try_into().unwrap_or([0; 24]);
        let payload = Payload {
            msg: &sealed[29..],
            aad: &head,
        };
        let inner = XChaCha20Poly1305::new((&[0x5e; 32]).into())
            .decrypt(<&XNonce>::from(&nonce), payload)
            .unwrap_or_default();
        [&[0][..], &inner].concat()
    };
    let text = b"again and ".repeat(40);
    vec![
        inner(0, 0, 5, b"hello"),
        inner(4, 0, 32, &[7; 32]),
        packed(&text),
        packed(&vec![0; 1 << 20]),
    ]
}

// Packs.

const COLLECTION: CollectionId = CollectionId([4; 16]);
const PACK: PackId = PackId([9; 16]);

/// A whole pack, and what the server said of it.
pub fn pack(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER>() else {
        return false;
    };
    let part = |at: usize| head[at..at + 16].try_into().unwrap_or([0; 16]);
    let asked = PackRef {
        collection: CollectionId(part(13)),
        id: PackId(part(29)),
        size: bytes.len() as u64,
    };
    read_whole(&asked, bytes)
}

fn read_whole(asked: &PackRef, bytes: &[u8]) -> bool {
    let Ok(index) = read_index(keys(), asked, bytes) else {
        return false;
    };
    for entry in &index {
        assert!(entry.offset as usize >= HEADER);
        let end = entry.offset as usize + entry.stored as usize;
        assert!(entry.kind().is_some());
        let stored = &bytes[entry.offset as usize..end];
        let kind = entry.kind().unwrap_or(Kind::Chunk);
        let _ = open_object(keys(), kind, &entry.id, stored);
    }
    true
}

pub fn packs() -> Vec<Vec<u8>> {
    vec![golden!("pack")]
}

/// An index, in a pack that is right otherwise.
pub fn pack_index(plain: &[u8]) -> bool {
    let mut id = [0; 32];
    id[..16].copy_from_slice(&PACK.0);
    let index = keys().seal(Kind::Index, &id, plain, &mut rng());
    let index = index.unwrap_or_default();
    let length = u32::try_from(index.len()).unwrap_or(u32::MAX);
    let bytes = [
        &b"SIMSYNC-PACK\x01"[..],
        &COLLECTION.0,
        &PACK.0,
        &[0x55; 1000],
        &index,
        &length.to_be_bytes(),
    ]
    .concat();
    let asked = PackRef {
        id: PACK,
        collection: COLLECTION,
        size: bytes.len() as u64,
    };
    read_whole(&asked, &bytes)
}

pub fn pack_indexes() -> Vec<Vec<u8>> {
    let entry = |n: u32| IndexEntry {
        kind: 1 + (n % 2) as u8,
        id: simsync_vault::ids::ObjectId([n as u8; 32]),
        offset: HEADER as u32 + n,
        stored: 100,
        plain: 1 << n.min(20),
    };
    [1, 5, 200]
        .iter()
        .map(|n| postcard::to_stdvec(&(0..*n).map(entry).collect::<Vec<_>>()).unwrap_or_default())
        .collect()
}

// Items of tails: a byte for how, then the bytes.

const CONTEXT: ItemContext = ItemContext {
    vault: VAULT,
    epoch: 1,
    card: CARD,
    n: 3,
    index: 0,
};

fn outbox() -> &'static (KemSecret, simsync_card::ids::Point) {
    static OUTBOX: OnceLock<(KemSecret, simsync_card::ids::Point)> = OnceLock::new();
    OUTBOX.get_or_init(|| VaultKey::generate(&mut rng()).outbox())
}

/// Sealed to the outbox key, as anybody can.
fn segment(plain: &[u8]) -> Vec<u8> {
    let info = fields(&[
        b"simsync/1/item",
        &VAULT.0,
        &1u32.to_be_bytes(),
        &CARD.0,
        &3u32.to_be_bytes(),
        &0u32.to_be_bytes(),
        &0u32.to_be_bytes(),
        &1u32.to_be_bytes(),
    ]);
    let sealed = hpke::seal(&outbox().1, &info, b"", plain, &mut rng());
    let Ok((enc, text)) = sealed else {
        return Vec::new();
    };
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&1u32.to_be_bytes()[..], &enc.0, &length, &text].concat()
}

pub fn item(input: &[u8]) -> bool {
    let (how, bytes) = input.split_first().unwrap_or((&0, &[]));
    let sealed = match how % 8 {
        0 => bytes.to_vec(),
        _ => segment(bytes),
    };
    let Ok(item) = Item::open(&outbox().0, &CONTEXT, &sealed) else {
        return false;
    };
    let again = item.seal(&outbox().1, &CONTEXT, &mut rng());
    let again = again.unwrap_or_default();
    assert_eq!(Item::open(&outbox().0, &CONTEXT, &again), Ok(item));
    true
}

pub fn items() -> Vec<Vec<u8>> {
    let golden = [
        golden!("item-delete"),
        golden!("item-directory"),
        golden!("item-symlink"),
        golden!("item-inline"),
        golden!("item-chunks"),
        golden!("item-parts"),
        golden!("item-part"),
    ];
    let mut out = Vec::new();
    for (index, sealed) in (0u32..).zip(&golden) {
        let context = ItemContext { index, ..CONTEXT };
        if let Ok(item) = Item::open(&outbox().0, &context, sealed) {
            let plain = postcard::to_stdvec(&item).unwrap_or_default();
            out.push([&[1][..], &plain].concat());
        }
    }
    out.push([&[0][..], &golden[0]].concat());
    out
}

/// Items one after the other, as they stand in outbox packs.
pub fn item_list(bytes: &[u8]) -> bool {
    let Ok(items) = split_items(bytes) else {
        return false;
    };
    let mut again = Vec::with_capacity(bytes.len());
    for item in &items {
        let length = u32::try_from(item.len()).unwrap_or(u32::MAX);
        again.extend_from_slice(&length.to_be_bytes());
        again.extend_from_slice(item);
    }
    assert!(again == bytes, "written otherwise than read");
    true
}

pub fn item_lists() -> Vec<Vec<u8>> {
    let one = |n: u32| [&n.to_be_bytes()[..], &vec![7; n as usize]].concat();
    vec![Vec::new(), one(5), [one(0), one(300), one(1)].concat()]
}
