//! SCP03 (Amd D 1.1.2), S8 mode: AES, session keys from both challenges, MAC chaining over all commands.

use openssl::memcmp;
use simsync_card::apdu::{Command, Response};
use zeroize::Zeroizing;

use crate::crypto::{self, AES_BLOCK};
use crate::error::GpError;
use crate::kdf;
use crate::keys::{Key, KeySet};
use crate::secure_messaging::{Level, MAC, header, rebuilt};

/// Derivation constants (Amd D, table 4-1).
const CARD_CRYPTOGRAM: u8 = 0x00;
const HOST_CRYPTOGRAM: u8 = 0x01;
const S_ENC: u8 = 0x04;
const S_MAC: u8 = 0x06;
const S_RMAC: u8 = 0x07;

/// Bits of the variant `i` (Amd D, table 5-1).
const I_PSEUDO_RANDOM: u8 = 0x10;
const I_R_MAC: u8 = 0x20;
const I_R_ENCRYPTION: u8 = 0x40;

/// This side of a channel. Keys are wiped when it is dropped.
pub(crate) struct Scp03 {
    enc: Key,
    mac: Key,
    rmac: Key,
    host_cryptogram: Zeroizing<Vec<u8>>,
    chaining: [u8; AES_BLOCK],
    /// Commands since the authentication; part of every IV.
    counter: u128,
    level: Level,
}

/// The highest level that this variant has; none if the variant is not known here.
pub(crate) fn level_of(i: u8) -> Option<Level> {
    let commands = Level::C_MAC | Level::C_DECRYPTION;
    match i & !I_PSEUDO_RANDOM {
        0 => Some(Level::new(commands)),
        I_R_MAC => Some(Level::new(commands | Level::R_MAC)),
        both if both == I_R_MAC | I_R_ENCRYPTION => {
            Some(Level::new(commands | Level::R_MAC | Level::R_ENCRYPTION))
        }
        _ => None,
    }
}

impl Scp03 {
    /// Derives the session keys and compares the card's cryptogram; none if that is wrong.
    pub(crate) fn new(
        keys: &KeySet,
        host_challenge: &[u8; 8],
        card_challenge: &[u8; 8],
        card_cryptogram: &[u8; 8],
        level: Level,
    ) -> Result<Option<Self>, GpError> {
        let context = [*host_challenge, *card_challenge].concat();
        let session = |key: &Key, constant| -> Result<Key, GpError> {
            // 16, 24 or 32.
            let bytes = u8::try_from(key.bytes().len()).unwrap_or(u8::MAX);
            Ok(Key::new(&kdf::scp03(key, constant, &context, bytes)?)?)
        };
        let mac = session(&keys.mac, S_MAC)?;
        let expected = kdf::scp03(&mac, CARD_CRYPTOGRAM, &context, 8)?;
        if !memcmp::eq(&expected, card_cryptogram) {
            return Ok(None);
        }
        Ok(Some(Self {
            enc: session(&keys.enc, S_ENC)?,
            rmac: session(&keys.mac, S_RMAC)?,
            host_cryptogram: kdf::scp03(&mac, HOST_CRYPTOGRAM, &context, 8)?,
            mac,
            chaining: [0; AES_BLOCK],
            counter: 0,
            level,
        }))
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn external_authenticate(&mut self) -> Result<Command, GpError> {
        let cryptogram = std::mem::take(&mut self.host_cryptogram);
        let command = Command::new(0x80, 0x82, self.level.byte(), 0);
        self.with_mac(&command, &cryptogram)
    }

    pub(crate) fn wrap(&mut self, command: &Command) -> Result<Command, GpError> {
        if !self.level.encrypts_commands() {
            return self.with_mac(command, command.data());
        }
        // Counted for commands without data, too (Amd D, 6.2.6).
        self.counter += 1;
        if command.data().is_empty() {
            return self.with_mac(command, &[]);
        }
        let iv = self.iv(self.counter)?;
        let plain = crypto::padded(command.data(), AES_BLOCK);
        let data = crypto::aes_encrypt(&self.enc, &iv, &plain)?;
        self.with_mac(command, &data)
    }

    fn with_mac(&mut self, command: &Command, data: &[u8]) -> Result<Command, GpError> {
        let head = header(command, data.len() + MAC)?;
        let input = Zeroizing::new([&self.chaining[..], &head, data].concat());
        self.chaining = crypto::cmac(&self.mac, &input)?;
        rebuilt(command, data, &first_half(&self.chaining))
    }

    /// Amd D, 6.2.5 and 6.2.7: warnings and successes carry a MAC, errors neither data nor MAC; data that comes with
    /// one nevertheless is dropped.
    pub(crate) fn unwrap(&mut self, response: Response) -> Result<Option<Response>, GpError> {
        if !self.level.authenticates_answers() {
            return Ok(Some(response));
        }
        let good = response.sw == 0x9000 || matches!(response.sw >> 8, 0x62 | 0x63);
        if !good {
            return Ok(Some(Response {
                data: Zeroizing::default(),
                sw: response.sw,
            }));
        }
        let Some((data, mac)) = response.data.split_last_chunk::<MAC>() else {
            return Ok(None);
        };
        let input = Zeroizing::new([&self.chaining[..], data, &response.sw.to_be_bytes()].concat());
        if !memcmp::eq(&first_half(&crypto::cmac(&self.rmac, &input)?), mac) {
            return Ok(None);
        }
        let plain = if self.level.encrypts_answers() && !data.is_empty() {
            // The MAC is right, so what is wrong below was wrong on the card.
            if data.len() % AES_BLOCK != 0 {
                return Ok(None);
            }
            let iv = self.iv(self.counter | 1 << 127)?;
            let padded = crypto::aes_decrypt(&self.enc, &iv, data)?;
            match crypto::unpadded(&padded) {
                Some(plain) => Zeroizing::new(plain.to_vec()),
                None => return Ok(None),
            }
        } else {
            Zeroizing::new(data.to_vec())
        };
        Ok(Some(Response {
            data: plain,
            sw: response.sw,
        }))
    }

    fn iv(&self, counter: u128) -> Result<[u8; AES_BLOCK], GpError> {
        let block = crypto::aes_encrypt(&self.enc, &[0; AES_BLOCK], &counter.to_be_bytes())?;
        let mut iv = [0; AES_BLOCK];
        iv.copy_from_slice(&block);
        Ok(iv)
    }
}

fn first_half(mac: &[u8; AES_BLOCK]) -> [u8; MAC] {
    let mut half = [0; MAC];
    half.copy_from_slice(&mac[..MAC]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_levels() {
        for (i, level) in [
            (0x00, 0x03),
            (0x10, 0x03),
            (0x20, 0x13),
            (0x30, 0x13),
            (0x60, 0x33),
            (0x70, 0x33),
        ] {
            assert_eq!(level_of(i).map(Level::byte), Some(level), "{i:02X}");
        }
        // S16 mode, R-ENCRYPTION without R-MAC, and what is reserved.
        for i in [0x01, 0x71, 0x40, 0x50, 0x02, 0x80, 0xF0] {
            assert_eq!(level_of(i), None, "{i:02X}");
        }
    }
}
