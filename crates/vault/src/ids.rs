//! Identifiers of vaults, collections and packs.

use simsync_card::byte_id;

byte_id!(
    /// A vault: 16 random bytes, drawn at the first pairing. One per subscriber.
    VaultId, 16, "vault ID"
);
byte_id!(
    /// A collection: 16 random bytes made once. The server sees it; its name is sealed.
    CollectionId, 16, "collection ID"
);
byte_id!(
    /// A pack's random name.
    PackId, 16, "pack ID"
);
byte_id!(
    /// Keyed BLAKE3 of a chunk's or directory's plaintext. Lives in sealed indexes and on terminals only.
    ObjectId, 32, "object ID"
);

impl CollectionId {
    /// What packs of tails belong to instead of a collection.
    pub const OUTBOX: Self = Self::ZERO;
}
