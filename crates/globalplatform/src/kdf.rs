//! Keys from keys: SCP03's derivation (Amd D, 4.1.5), and the ways in which issuers make a card's keys from a master key
//! and the card's key diversification data.

use openssl::error::ErrorStack;
use zeroize::Zeroizing;

use crate::crypto;
use crate::error::GpError;
use crate::keys::{Diversification, Key, KeySet, Scp};

/// The card's key diversification data, as INITIALIZE UPDATE answers it.
pub type DiversificationData = [u8; 10];

impl Diversification {
    /// The card's own keys.
    pub fn diversify(
        self,
        master: &KeySet,
        scp: Scp,
        data: &DiversificationData,
    ) -> Result<KeySet, GpError> {
        if self.scp() != scp {
            return Err(GpError::WrongDiversification { scheme: self, scp });
        }
        let [d0, d1, _, _, d4, d5, d6, d7, d8, d9] = *data;
        let one = |key: &Key, number: u8| -> Result<Key, GpError> {
            match self {
                Self::Kdf3 => {
                    let mut fixed = vec![0, 0, 0, number, 0];
                    fixed.extend_from_slice(data);
                    counter_mode(key, &[], &fixed, key.bytes().len())
                }
                Self::Emv => des_halves(key, [d4, d5, d6, d7, d8, d9], number),
                Self::Visa2 => des_halves(key, [d0, d1, d4, d5, d6, d7], number),
            }
        };
        Ok(KeySet {
            enc: one(&master.enc, 1)?,
            mac: one(&master.mac, 2)?,
            dek: one(&master.dek, 3)?,
        })
    }
}

fn des_halves(key: &Key, six: [u8; 6], number: u8) -> Result<Key, GpError> {
    if key.bytes().len() != 16 {
        return Err(GpError::KeyLength {
            scp: Scp::Scp02,
            length: key.bytes().len(),
        });
    }
    let mut halves = Zeroizing::new(Vec::with_capacity(16));
    for filler in [0xF0, 0x0F] {
        let mut block = [0; 8];
        block[..6].copy_from_slice(&six);
        block[6..].copy_from_slice(&[filler, number]);
        // ECB: each half alone.
        halves.extend_from_slice(&crypto::des3_encrypt(key, &[0; 8], &block)?);
    }
    Ok(Key::new(&halves)?)
}

/// NIST SP 800-108 in counter mode with AES-CMAC and a counter of one byte between the two fixed parts.
fn counter_mode(key: &Key, before: &[u8], after: &[u8], bytes: usize) -> Result<Key, GpError> {
    Ok(Key::new(&counter_bytes(key, before, after, bytes)?)?)
}

fn counter_bytes(
    key: &Key,
    before: &[u8],
    after: &[u8],
    bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes + crypto::AES_BLOCK));
    for counter in 1u8.. {
        let input = [before, &[counter], after].concat();
        let block = Zeroizing::new(crypto::cmac(key, &input)?);
        out.extend_from_slice(&*block);
        if out.len() >= bytes {
            break;
        }
    }
    out.truncate(bytes);
    Ok(out)
}

/// What SCP03 derives: 11 zeros, the constant, 00, the length in bits, the counter, the context.
pub(crate) fn scp03(
    key: &Key,
    constant: u8,
    context: &[u8],
    bytes: u8,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut before = [0; 15];
    before[11] = constant;
    before[13..].copy_from_slice(&(u16::from(bytes) * 8).to_be_bytes());
    counter_bytes(key, &before, context, bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: DiversificationData = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    fn check(scheme: Diversification, master: &str, values: [&str; 3]) {
        let keys = scheme
            .diversify(&KeySet::same(key(master)), scheme.scp(), &DATA)
            .unwrap();
        let found = crypto::check_values(&keys, scheme.scp()).unwrap();
        assert_eq!(found.map(hex::encode_upper), values, "{scheme}");
    }

    /// Check values of GlobalPlatformPro's TestPlaintextKeys.
    #[test]
    fn diversified_keys_as_published() {
        let k16 = "404142434445464748494A4B4C4D4E4F";
        let k24 = "404142434445464748494A4B4C4D4E4F5051525354555657";
        let k32 = "404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F";
        check(Diversification::Emv, k16, ["C33013", "6F4CA6", "BB8179"]);
        check(Diversification::Visa2, k16, ["2BE598", "58DA38", "3C328E"]);
        check(Diversification::Kdf3, k16, ["E79C05", "D1BD77", "3FDE8C"]);
        check(Diversification::Kdf3, k24, ["1DE8EA", "47C00C", "C04D76"]);
        check(Diversification::Kdf3, k32, ["2972D2", "036F94", "5D57B8"]);
    }

    /// GlobalPlatformPro's external vector for KDF3 (TestSCP03.testKDF3).
    #[test]
    fn kdf3_as_published() {
        let master = key("8C72C72CF908411653018807950D82FBAD947562F0828A0B10B8B9606ABF3BCD");
        let data = [0xD9, 0xB1, 0xDE, 0x5D, 0x03, 0x62, 0xDE, 0xDC, 0xE4, 0xFB];
        let keys = Diversification::Kdf3
            .diversify(&KeySet::same(master), Scp::Scp03, &data)
            .unwrap();
        assert_eq!(
            hex::encode_upper(keys.enc.bytes()),
            "9AAC5D0B3601F89438A0D9D0B6B256CFB47E6462DFA5228D3420C4AC7C224781"
        );
    }

    #[test]
    fn a_scheme_of_the_other_protocol_is_refused() {
        let master = KeySet::public_test_keys();
        for (scheme, scp) in [
            (Diversification::Kdf3, Scp::Scp02),
            (Diversification::Emv, Scp::Scp03),
            (Diversification::Visa2, Scp::Scp03),
        ] {
            let error = scheme.diversify(&master, scp, &DATA).unwrap_err();
            assert!(error.to_string().contains(&scheme.to_string()), "{error}");
        }
        let long = KeySet::same(Key::new(&[1; 32]).unwrap());
        assert!(matches!(
            Diversification::Emv.diversify(&long, Scp::Scp02, &DATA),
            Err(GpError::KeyLength { length: 32, .. })
        ));
    }
}
