//! Key objects: who may open the vault in an epoch, and which terminals belong to the person.
//!
//! HPKE's base mode lets anyone wrap a key to us, so it is the card's signature on the key object, which holds the
//! hash of each wrap, that makes a key ours.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point, TerminalId};
use simsync_card::sign::{self, Sig};
use simsync_card::text::{CardKeys, Domain};

use crate::ids::{CollectionId, VaultId};
use crate::signed::{FormatError, Signed, decode_versioned, encode};

/// Newest format version of a key object's body.
pub const KEY_OBJECT_VERSION: u8 = 1;

/// A key was revoked by an operator or a terminal left: the next session makes a new epoch.
pub const FLAG_REKEY_REQUIRED: u32 = 1;

/// The ID under which the recovery code's keys stand among the recipients.
pub const RECOVERY_ID: CardId = CardId::ZERO;

/// Who can unwrap the vault key: a card, or the recovery code ([`RECOVERY_ID`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Card ID, or [`RECOVERY_ID`].
    pub id: CardId,
    /// Its public keys.
    pub keys: CardKeys,
    /// SHA-256 of the wrap's wire form ([`Wrap::hash`]).
    pub wrap_hash: Hash,
}

/// The vault key of an epoch, sealed to one recipient by HPKE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrap {
    /// Card ID, or [`RECOVERY_ID`].
    pub recipient: CardId,
    /// The ephemeral point ("enc" of RFC 9180); what the card gets for its ECDH.
    pub enc: Point,
    /// 32 sealed bytes and the tag.
    pub ciphertext: Vec<u8>,
}

impl Wrap {
    /// SHA-256 of the wire form.
    pub fn hash(&self) -> Hash {
        Hash::of(&encode(self))
    }
}

/// A terminal of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalEntry {
    /// Its public key; its ID is the hash of it.
    pub key: Point,
    /// What the owner calls it.
    pub label: String,
    /// The collections that it syncs, sorted. The server enforces this (M12).
    pub collections: Vec<CollectionId>,
}

impl TerminalEntry {
    /// The terminal's ID.
    pub fn id(&self) -> TerminalId {
        TerminalId::of(&self.key)
    }
}

/// What a key object says in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyObjectBody {
    /// [`KEY_OBJECT_VERSION`].
    pub version: u8,
    /// The vault whose cards, terminals and keys it lists.
    pub vault: VaultId,
    /// 1 for the first; one more for each.
    pub list_number: u32,
    /// Epoch of the vault key, from 1.
    pub epoch: u32,
    /// Who can unwrap it.
    pub recipients: Vec<Recipient>,
    /// Derived from the vault key: shows that an unwrapped key is the right one.
    pub check: Hash,
    /// Public key that tails are sealed to; its private key is derived from the vault key.
    pub outbox_key: Point,
    /// The vault key of the epoch before, sealed under this one; empty in epoch 1.
    pub previous_key: Vec<u8>,
    /// The person's terminals.
    pub terminals: Vec<TerminalEntry>,
    /// [`FLAG_REKEY_REQUIRED`].
    pub flags: u32,
    /// Hash of the key object before; zeros for the first.
    pub previous: Hash,
    /// Which recipient of the list before signs this one (the first: its own only card).
    pub signer: CardId,
}

impl KeyObjectBody {
    /// The entry of one terminal.
    pub fn terminal(&self, id: &TerminalId) -> Option<&TerminalEntry> {
        self.terminals.iter().find(|t| t.id() == *id)
    }

    /// The entry of one card, or of the recovery code.
    pub fn recipient(&self, id: &CardId) -> Option<&Recipient> {
        self.recipients.iter().find(|r| r.id == *id)
    }

    /// The body's bytes, and their hash, which the card signs (domain "keyobject").
    pub fn to_sign(&self) -> (Vec<u8>, Hash) {
        let bytes = encode(self);
        let hash = Hash::of(&bytes);
        (bytes, hash)
    }
}

/// A key object with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyObject {
    /// The decoded form of `signed.body`.
    pub body: KeyObjectBody,
    /// The bytes as the card signed them: the hash and the wire form come from these.
    pub signed: Signed,
}

const WHAT: &str = "a key object";

impl KeyObject {
    /// Puts a body, as returned by [`KeyObjectBody::to_sign`], and the signature over its hash together.
    pub fn from_parts(body: KeyObjectBody, sig: Sig) -> Self {
        let (bytes, _) = body.to_sign();
        Self {
            body,
            signed: Signed { body: bytes, sig },
        }
    }

    /// Reads a key object and checks version and form, not who signed it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let signed = Signed::from_bytes(WHAT, bytes)?;
        let body: KeyObjectBody = decode_versioned(WHAT, KEY_OBJECT_VERSION, &signed.body)?;
        let rule = |why: &str| FormatError::Rule {
            what: WHAT,
            why: why.to_owned(),
        };
        if body.list_number == 0 || (body.list_number == 1) != (body.previous == Hash::ZERO) {
            return Err(rule("list number and previous hash do not fit"));
        }
        if body.epoch == 0 || (body.epoch == 1) != body.previous_key.is_empty() {
            return Err(rule("epoch and sealed previous key do not fit"));
        }
        let mut ids: Vec<_> = body.recipients.iter().map(|r| r.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() || ids.len() != body.recipients.len() {
            return Err(rule("recipients are missing or named twice"));
        }
        let mut ids: Vec<_> = body.terminals.iter().map(TerminalEntry::id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != body.terminals.len() {
            return Err(rule("a terminal is named twice"));
        }
        Ok(Self { body, signed })
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }

    /// Hash of the body.
    pub fn hash(&self) -> Hash {
        self.signed.hash()
    }

    /// Checks the signature with the signer's SIG key.
    pub fn verify_signature(&self, signer_key: &Point) -> Result<(), FormatError> {
        let hash = self.hash();
        let text = Domain::KeyObject.text(&self.body.signer, &[&hash.0]);
        sign::verify(signer_key, &text, &self.signed.sig).map_err(|_| FormatError::Signature(WHAT))
    }

    /// Checks that this one is the first of its vault: signed by its own only card, whose keys are `card`'s.
    pub fn verify_first(&self, card: &CardId, keys: &CardKeys) -> Result<(), FormatError> {
        let cards: Vec<_> = self
            .body
            .recipients
            .iter()
            .filter(|r| r.id != RECOVERY_ID)
            .collect();
        let own = matches!(cards.as_slice(), [r] if r.id == *card && r.keys == *keys);
        if self.body.list_number != 1 || !own || self.body.signer != *card {
            return Err(FormatError::Signature("the first key object"));
        }
        self.verify_signature(&keys.sig)
    }

    /// Checks that this one follows `before`: numbers, hash, epoch and a signer of the list before.
    pub fn verify_next(&self, before: &Self) -> Result<(), FormatError> {
        let (new, old) = (&self.body, &before.body);
        let rule = |why: &str| FormatError::Rule {
            what: WHAT,
            why: why.to_owned(),
        };
        if new.vault != old.vault {
            return Err(rule("it belongs to another vault"));
        }
        if Some(new.list_number) != old.list_number.checked_add(1) || new.previous != before.hash()
        {
            return Err(rule("it does not follow the one before"));
        }
        if new.epoch != old.epoch && Some(new.epoch) != old.epoch.checked_add(1) {
            return Err(rule("its epoch does not follow the one before"));
        }
        if new.epoch == old.epoch && (new.check, new.outbox_key) != (old.check, old.outbox_key) {
            return Err(rule("the keys changed within an epoch"));
        }
        let signer = old
            .recipient(&new.signer)
            .ok_or(FormatError::Signature(WHAT))?;
        self.verify_signature(&signer.keys.sig)
    }

    /// Whether `wrap` is one that this key object names.
    pub fn names(&self, wrap: &Wrap) -> bool {
        self.body
            .recipient(&wrap.recipient)
            .is_some_and(|r| r.wrap_hash == wrap.hash())
    }
}
