//! The vault key of each epoch and the working keys that are derived from it.

use std::collections::BTreeMap;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use simsync_card::ids::{CardId, Hash, Point};
use simsync_card::text::fields;
use zeroize::Zeroizing;

use crate::hpke::{self, HpkeError, KemSecret};
use crate::ids::VaultId;
use crate::keyobject::{KeyObject, KeyObjectBody, Wrap};
use crate::seal::{self, Kind, SealError, SealKey};
use crate::secret::Secret32;

/// VK_e: 32 random bytes per epoch. Everything else is derived from it.
#[derive(Clone)]
pub struct VaultKey(Secret32);

impl std::fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VaultKey(..)")
    }
}

/// Why a vault key could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The wrap is not the one that the signed key object names.
    #[error("the wrapped key is not the one that the card signed: the server supplied another")]
    ForeignWrap,
    /// The wrap does not open.
    #[error("the vault key cannot be unwrapped with this card")]
    Unwrap(#[from] HpkeError),
    /// The key opened, but it is not the key object's.
    #[error("the unwrapped key does not belong to this key object")]
    Check,
    /// The key of an earlier epoch cannot be had from the key objects at hand.
    #[error("the key of epoch {0} cannot be opened")]
    Chain(u32),
}

impl VaultKey {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Secret32::zeros();
        rng.fill_bytes(key.bytes_mut());
        Self(key)
    }

    /// HKDF-SHA256 with a label of ours.
    #[allow(
        clippy::expect_used,
        reason = "32 bytes are within HKDF-SHA256's 8,160; a key of zeros would be worse than an end"
    )]
    fn derive(&self, label: &str) -> Secret32 {
        let mut out = Secret32::zeros();
        let info = format!("simsync/1/vault/{label}");
        Hkdf::<Sha256>::new(None, &*self.0)
            .expand(info.as_bytes(), out.bytes_mut())
            .expect("HKDF-SHA256 gives 32 bytes");
        out
    }

    /// This key and everything secret that is derived from it: what a test looks for in a process's memory.
    #[doc(hidden)]
    pub fn secrets_for_tests(&self) -> Vec<[u8; 32]> {
        let labels = ["chain", "data", "metadata", "chunk-id", "chunker", "outbox"];
        let derived = labels.iter().map(|l| *self.derive(l));
        std::iter::once(*self.0).chain(derived).collect()
    }

    /// The value by which a terminal sees that an unwrapped key is the right one.
    pub fn check(&self) -> Hash {
        Hash(*self.derive("check"))
    }

    /// Key pair of the outbox: tails are sealed to its public half without any secret.
    pub fn outbox(&self) -> (KemSecret, Point) {
        KemSecret::derive(&self.derive("outbox"))
    }

    fn chain_key(&self) -> SealKey {
        SealKey::new(self.derive("chain"))
    }

    /// Seals the key of the epoch before under this one, for the key object.
    pub fn seal_previous(
        &self,
        previous: &Self,
        vault: &VaultId,
        epoch: u32,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        seal::seal(
            &self.chain_key(),
            vault,
            epoch,
            Kind::PreviousKey,
            &[0; 32],
            &*previous.0,
            rng,
        )
    }

    fn open_previous(&self, body: &KeyObjectBody) -> Result<Self, SealError> {
        let plain = seal::open(
            |_| Some(self.chain_key()),
            &body.vault,
            Kind::PreviousKey,
            &[0; 32],
            &body.previous_key,
        )?;
        let key: &[u8; 32] = plain
            .as_slice()
            .try_into()
            .map_err(|_| SealError::Damaged)?;
        Ok(Self(Secret32::copy_of(key)))
    }

    /// Wraps this key for one recipient, whose KEM key must come from the recipient itself.
    pub fn wrap(
        &self,
        vault: &VaultId,
        epoch: u32,
        recipient: &CardId,
        kem: &Point,
        rng: &mut impl CryptoRng,
    ) -> Result<Wrap, KeyError> {
        let info = wrap_info(vault, epoch, recipient);
        let (enc, ciphertext) = hpke::seal(kem, &info, b"", &*self.0, rng)?;
        Ok(Wrap {
            recipient: *recipient,
            enc,
            ciphertext,
        })
    }

    /// Unwraps with the x-coordinate that the card computed for `wrap.enc`.
    ///
    /// The wrap's hash is checked against the signed key object before, the check value after.
    pub fn unwrap_with_card(object: &KeyObject, wrap: &Wrap, dh: &[u8]) -> Result<Self, KeyError> {
        let recipient = object
            .body
            .recipient(&wrap.recipient)
            .filter(|_| object.names(wrap))
            .ok_or(KeyError::ForeignWrap)?;
        let info = wrap_info(&object.body.vault, object.body.epoch, &wrap.recipient);
        let plain = hpke::open_with_dh(
            dh,
            &wrap.enc,
            &recipient.keys.kem,
            &info,
            b"",
            &wrap.ciphertext,
        )?;
        Self::checked(&plain, object)
    }

    /// Unwraps with a key in memory (the recovery code's).
    pub fn unwrap_with_key(
        object: &KeyObject,
        wrap: &Wrap,
        key: &KemSecret,
    ) -> Result<Self, KeyError> {
        if !object.names(wrap) {
            return Err(KeyError::ForeignWrap);
        }
        let info = wrap_info(&object.body.vault, object.body.epoch, &wrap.recipient);
        let plain = hpke::open(key, &wrap.enc, &info, b"", &wrap.ciphertext)?;
        Self::checked(&plain, object)
    }

    fn checked(plain: &[u8], object: &KeyObject) -> Result<Self, KeyError> {
        let plain: &[u8; 32] = plain.try_into().map_err(|_| KeyError::Check)?;
        let key = Self(Secret32::copy_of(plain));
        if key.check() == object.body.check {
            Ok(key)
        } else {
            Err(KeyError::Check)
        }
    }
}

fn wrap_info(vault: &VaultId, epoch: u32, recipient: &CardId) -> Vec<u8> {
    fields(&[
        b"simsync/1/wrap",
        &vault.0,
        &epoch.to_be_bytes(),
        &recipient.0,
    ])
}

/// The keys of one epoch that open and seal objects.
#[derive(Clone)]
struct EpochKeys {
    data: SealKey,
    metadata: SealKey,
    outbox: KemSecret,
}

/// All working keys of an open vault. Dropping it zeroizes them.
pub struct KeyRing {
    vault: VaultId,
    epoch: u32,
    newest: VaultKey,
    epochs: BTreeMap<u32, EpochKeys>,
    chunk_id: Secret32,
    chunker: Secret32,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing(epoch {})", self.epoch)
    }
}

impl KeyRing {
    /// From the newest epoch's key, reaching back to VK_1 through the key objects at hand (any order).
    pub fn new(newest: VaultKey, objects: &[KeyObject]) -> Result<Self, KeyError> {
        let last = objects
            .iter()
            .max_by_key(|o| o.body.list_number)
            .ok_or(KeyError::Chain(0))?;
        let (vault, epoch) = (last.body.vault, last.body.epoch);
        if newest.check() != last.body.check {
            return Err(KeyError::Check);
        }
        let mut epochs = BTreeMap::new();
        let mut key = newest.clone();
        let mut e = epoch;
        loop {
            epochs.insert(
                e,
                EpochKeys {
                    data: SealKey::new(key.derive("data")),
                    metadata: SealKey::new(key.derive("metadata")),
                    outbox: key.outbox().0,
                },
            );
            if e <= 1 {
                break;
            }
            let body = objects
                .iter()
                .map(|o| &o.body)
                .find(|b| b.epoch == e)
                .ok_or(KeyError::Chain(e))?;
            key = key
                .open_previous(body)
                .map_err(|_| KeyError::Chain(e - 1))?;
            e -= 1;
        }
        Ok(Self {
            vault,
            epoch,
            newest,
            epochs,
            chunk_id: key.derive("chunk-id"),
            chunker: key.derive("chunker"),
        })
    }

    /// The vault that the keys are of. Every seal is bound to it.
    pub fn vault(&self) -> &VaultId {
        &self.vault
    }

    /// The newest epoch: new objects are sealed with its keys.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The vault key itself, to wrap it for another recipient.
    pub fn newest(&self) -> &VaultKey {
        &self.newest
    }

    /// Key for keyed BLAKE3 of chunks and directories. The same in every epoch.
    pub fn chunk_id_key(&self) -> &[u8; 32] {
        &self.chunk_id
    }

    /// Key from which the chunker's table is made. The same in every epoch.
    pub fn chunker_key(&self) -> &[u8; 32] {
        &self.chunker
    }

    /// Private key of an epoch's outbox.
    pub fn outbox(&self, epoch: u32) -> Option<&KemSecret> {
        self.epochs.get(&epoch).map(|k| &k.outbox)
    }

    fn key(&self, epoch: u32, kind: Kind) -> Option<SealKey> {
        self.epochs.get(&epoch).map(|k| match kind {
            Kind::Chunk => k.data.clone(),
            _ => k.metadata.clone(),
        })
    }

    /// Seals an object with the newest epoch's key for its kind.
    pub fn seal(
        &self,
        kind: Kind,
        id: &[u8; 32],
        plain: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let key = self.key(self.epoch, kind);
        let key = key.ok_or(SealError::NoKey(self.epoch))?;
        seal::seal(&key, &self.vault, self.epoch, kind, id, plain, rng)
    }

    /// Opens an object of any epoch.
    pub fn open(
        &self,
        kind: Kind,
        id: &[u8; 32],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        seal::open(|e| self.key(e, kind), &self.vault, kind, id, sealed)
    }
}
