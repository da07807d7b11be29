//! SCP02 (GPCS, appendix E) with explicit initiation and a MAC over the modified command: 3DES, session keys from the
//! sequence counter.

use openssl::memcmp;
use simsync_card::apdu::Command;
use zeroize::Zeroizing;

use crate::crypto::{self, DES_BLOCK};
use crate::error::GpError;
use crate::keys::{Key, KeySet};
use crate::secure_messaging::{Level, MAC, header, rebuilt};

/// Derivation constants (GPCS E.4.1).
const S_MAC: [u8; 2] = [0x01, 0x01];
const S_ENC: [u8; 2] = [0x01, 0x82];

/// Bits of the variant `i` (GPCS E.1.1).
const I_UNMODIFIED: u8 = 0x02;
const I_EXPLICIT: u8 = 0x04;
const I_ICV_OVER_AID: u8 = 0x08;
const I_ICV_ENCRYPTION: u8 = 0x10;
/// Three base keys, R-MAC (not used here), pseudo-random challenge: they change nothing on this side.
const I_OTHERS: u8 = 0x01 | 0x20 | 0x40;

/// How the card's variant has it, where it makes a difference here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variant {
    icv_encryption: bool,
}

impl Variant {
    /// By `i`; none for one that is not spoken here. A card that does not tell it has what nearly all have, 15 or 55.
    pub(crate) fn of(i: Option<u8>) -> Option<Self> {
        let i = i.unwrap_or(0x55);
        let refused = I_UNMODIFIED | I_ICV_OVER_AID;
        let known = I_OTHERS | I_EXPLICIT | I_ICV_ENCRYPTION;
        (i & I_EXPLICIT != 0 && i & refused == 0 && i & !known == 0).then_some(Self {
            icv_encryption: i & I_ICV_ENCRYPTION != 0,
        })
    }
}

/// This side of a channel. Keys are wiped when it is dropped.
pub(crate) struct Scp02 {
    enc: Key,
    mac: Key,
    host_cryptogram: [u8; 8],
    /// The last MAC; none before the first.
    last: Option<[u8; MAC]>,
    variant: Variant,
    level: Level,
}

impl Scp02 {
    /// Derives the session keys and compares the card's cryptogram; none if that is wrong.
    pub(crate) fn new(
        keys: &KeySet,
        host_challenge: &[u8; 8],
        counter_and_challenge: &[u8; 8],
        card_cryptogram: &[u8; 8],
        variant: Variant,
    ) -> Result<Option<Self>, GpError> {
        let [high, low, ..] = *counter_and_challenge;
        let session = |key: &Key, constant: [u8; 2]| -> Result<Key, GpError> {
            let mut block = [0; 16];
            block[..2].copy_from_slice(&constant);
            block[2..4].copy_from_slice(&[high, low]);
            Ok(Key::new(&crypto::des3_encrypt(
                key,
                &[0; DES_BLOCK],
                &block,
            )?)?)
        };
        let enc = session(&keys.enc, S_ENC)?;
        let both = [*host_challenge, *counter_and_challenge].concat();
        if !memcmp::eq(&crypto::des3_mac(&enc, &both)?, card_cryptogram) {
            return Ok(None);
        }
        let swapped = [*counter_and_challenge, *host_challenge].concat();
        Ok(Some(Self {
            host_cryptogram: crypto::des3_mac(&enc, &swapped)?,
            mac: session(&keys.mac, S_MAC)?,
            enc,
            last: None,
            variant,
            level: Level::new(Level::C_MAC | Level::C_DECRYPTION),
        }))
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn external_authenticate(&mut self) -> Result<Command, GpError> {
        let command = Command::new(0x80, 0x82, self.level.byte(), 0);
        let data = self.host_cryptogram;
        let mac = self.next_mac(&command, &data)?;
        rebuilt(&command, &data, &mac)
    }

    /// The MAC is over the plain data (GPCS E.4.6).
    pub(crate) fn wrap(&mut self, command: &Command) -> Result<Command, GpError> {
        let mac = self.next_mac(command, command.data())?;
        if !self.level.encrypts_commands() || command.data().is_empty() {
            return rebuilt(command, command.data(), &mac);
        }
        let plain = crypto::padded(command.data(), DES_BLOCK);
        let data = crypto::des3_encrypt(&self.enc, &[0; DES_BLOCK], &plain)?;
        rebuilt(command, &data, &mac)
    }

    fn next_mac(&mut self, command: &Command, data: &[u8]) -> Result<[u8; MAC], GpError> {
        let icv = match self.last {
            None => [0; DES_BLOCK],
            Some(last) if !self.variant.icv_encryption => last,
            Some(last) => {
                let mut icv = [0; DES_BLOCK];
                icv.copy_from_slice(&crypto::des_encrypt(&self.mac, &[0; DES_BLOCK], &last)?);
                icv
            }
        };
        let head = header(command, data.len() + MAC)?;
        let input = Zeroizing::new([&head[..], data].concat());
        let mac = crypto::retail_mac(&self.mac, &icv, &input)?;
        self.last = Some(mac);
        Ok(mac)
    }
}

#[cfg(test)]
impl Scp02 {
    /// For published transcripts at a lower level than any that is asked for here.
    pub(crate) fn at(mut self, level: u8) -> Self {
        self.level = Level::new(level);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_that_are_spoken() {
        for (i, icv_encryption) in [
            (0x04, false),
            (0x05, false),
            (0x14, true),
            (0x15, true),
            (0x35, true),
            (0x45, false),
            (0x54, true),
            (0x55, true),
            (0x75, true),
        ] {
            assert_eq!(
                Variant::of(Some(i)),
                Some(Variant { icv_encryption }),
                "{i:02X}"
            );
        }
        assert_eq!(
            Variant::of(None),
            Some(Variant {
                icv_encryption: true
            })
        );
        // Implicit initiation has no card cryptogram to verify; a MAC over the unmodified command; reserved.
        for i in [0x0A, 0x0B, 0x1A, 0x1B, 0x16, 0x17, 0x1C, 0x95] {
            assert_eq!(Variant::of(Some(i)), None, "{i:02X}");
        }
    }
}
