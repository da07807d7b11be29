//! Commits: one per sync, chained by hash, signed by a terminal, witnessed by a card's session.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point, TerminalId};
use simsync_card::sign::{self, SecretKey};
use simsync_card::text::Domain;

use crate::ids::{CollectionId, ObjectId, PackId, VaultId};
use crate::restore::Restore;
use crate::signed::{FormatError, Signed, decode, decode_front, decode_versioned, encode};
use crate::statement::SessionStatement;

/// Newest format version of a commit's body. Version 1 has no [`Restore`], and is what is written where there is none.
pub const COMMIT_VERSION: u8 = 2;
/// Version of commits without a [`Restore`].
const PLAIN_VERSION: u8 = 1;

/// A pack as a commit or tail names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackRef {
    /// The pack's name.
    pub id: PackId,
    /// Whose pack it is; [`CollectionId::OUTBOX`] for packs of tails.
    pub collection: CollectionId,
    /// Stored size in bytes.
    pub size: u64,
}

/// The state of one collection after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionRoot {
    /// ID of the collection. A commit has one root for each.
    pub collection: CollectionId,
    /// Keyed hash of its root directory; [`ObjectId::ZERO`] while it is empty and never written.
    pub root: ObjectId,
}

/// Names one session of one card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionRef {
    /// The card that opened the session and counts it.
    pub card: CardId,
    /// Its session number.
    pub n: u32,
}

/// What a commit says in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitBody {
    /// [`CommitBody::version_with`] what the commit has.
    pub version: u8,
    /// The vault whose chain the commit is part of.
    pub vault: VaultId,
    /// Epoch of the keys that this commit writes with.
    pub epoch: u32,
    /// 1 for the first commit; runs on across epochs, and after a [`Restore`] from what that ends.
    pub sequence: u64,
    /// Hash of the commit before; zeros for the first.
    pub previous: Hash,
    /// Every collection of the vault, sorted by ID.
    pub roots: Vec<CollectionRoot>,
    /// Packs that become part of the vault.
    pub packs_added: Vec<PackRef>,
    /// Packs that nothing needs any longer.
    pub packs_dropped: Vec<PackId>,
    /// Number of the key object that is in force with this commit.
    pub list_number: u32,
    /// Hash of the key object with that list number.
    pub list_hash: Hash,
    /// The terminal whose key signs the commit.
    pub terminal: TerminalId,
    /// The card's word for the session in which it was written.
    pub session: SessionStatement,
    /// Nothing of this session comes after this commit.
    pub closing: bool,
    /// Tails whose items this commit holds.
    pub tails_merged: Vec<SessionRef>,
    /// Sealed vault metadata: header, names and attributes of collections.
    pub metadata: Vec<u8>,
    /// The owner's card ends a record that nobody can prove. Behind all other fields in the bytes.
    #[serde(skip)]
    pub restore: Option<Restore>,
}

impl CommitBody {
    /// The format version that a commit is written in.
    pub fn version_with(restore: Option<&Restore>) -> u8 {
        restore.map_or(PLAIN_VERSION, |_| COMMIT_VERSION)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = encode(self);
        if let Some(restore) = &self.restore {
            bytes.extend(encode(restore));
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.first() != Some(&COMMIT_VERSION) {
            return decode_versioned(WHAT, COMMIT_VERSION, bytes);
        }
        let (mut body, rest): (Self, _) = decode_front(WHAT, bytes)?;
        body.restore = Some(decode(WHAT, rest)?);
        Ok(body)
    }
}

/// A commit with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The decoded form of `signed.body`.
    pub body: CommitBody,
    /// The bytes as they were signed: the commit's hash and wire form come from these.
    pub signed: Signed,
}

const WHAT: &str = "a commit";

impl Commit {
    /// Signs `body` with the terminal's key.
    pub fn sign(body: CommitBody, key: &SecretKey) -> Self {
        let bytes = body.encode();
        let sig = key.sign(&commit_text(&body.session.card, &Hash::of(&bytes)));
        Self {
            body,
            signed: Signed { body: bytes, sig },
        }
    }

    /// Reads a commit and checks what needs no key: version, form, inner consistency.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let signed = Signed::from_bytes(WHAT, bytes)?;
        let body = CommitBody::decode(&signed.body)?;
        let rule = |why: &str| FormatError::Rule {
            what: WHAT,
            why: why.to_owned(),
        };
        if body.session.terminal != body.terminal {
            return Err(rule("its session is another terminal's"));
        }
        if body.sequence == 0 || (body.sequence == 1) != (body.previous == Hash::ZERO) {
            return Err(rule("sequence and previous hash do not fit"));
        }
        if let Some(restore) = &body.restore
            && restore.sequence.checked_add(1) != Some(body.sequence)
        {
            return Err(rule("it does not follow the record that it ends"));
        }
        if !body
            .roots
            .windows(2)
            .all(|w| w[0].collection < w[1].collection)
        {
            return Err(rule("collections are not sorted"));
        }
        Ok(Self { body, signed })
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }

    /// Hash of the body; the head, when this is the newest commit.
    pub fn hash(&self) -> Hash {
        self.signed.hash()
    }

    /// Checks the terminal's signature and the card's session statement.
    pub fn verify(&self, terminal_key: &Point, card_sig_key: &Point) -> Result<(), FormatError> {
        let text = commit_text(&self.body.session.card, &self.hash());
        if TerminalId::of(terminal_key) != self.body.terminal {
            return Err(FormatError::Signature(WHAT));
        }
        sign::verify(terminal_key, &text, &self.signed.sig)
            .map_err(|_| FormatError::Signature(WHAT))?;
        self.body
            .session
            .verify(card_sig_key)
            .map_err(|_| FormatError::Signature("the session of a commit"))
    }

    /// Root of one collection, if the vault has it.
    pub fn root(&self, collection: &CollectionId) -> Option<ObjectId> {
        self.body
            .roots
            .iter()
            .find(|r| r.collection == *collection)
            .map(|r| r.root)
    }
}

fn commit_text(card: &CardId, hash: &Hash) -> Vec<u8> {
    Domain::Commit.text(card, &[&hash.0])
}
