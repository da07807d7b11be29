//! The primitives, by OpenSSL: AES and 3DES in CBC mode without padding, AES-CMAC, the retail MAC, padding.

use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, Crypter, Mode};
use zeroize::Zeroizing;

use crate::keys::Key;
#[cfg(test)]
use crate::keys::{KeySet, Scp};

/// Block of AES, in bytes.
pub(crate) const AES_BLOCK: usize = 16;
/// Block of DES, in bytes.
pub(crate) const DES_BLOCK: usize = 8;

fn aes(key: &Key) -> Cipher {
    match key.bytes().len() {
        16 => Cipher::aes_128_cbc(),
        24 => Cipher::aes_192_cbc(),
        _ => Cipher::aes_256_cbc(),
    }
}

/// Data in whole blocks; OpenSSL says no to anything else.
fn cbc(
    cipher: Cipher,
    mode: Mode,
    key: &[u8],
    iv: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut crypter = Crypter::new(cipher, mode, key, Some(iv))?;
    crypter.pad(false);
    let mut out = Zeroizing::new(vec![0; data.len() + cipher.block_size()]);
    let mut written = crypter.update(data, &mut out)?;
    written += crypter.finalize(&mut out[written..])?;
    out.truncate(written);
    Ok(out)
}

/// AES-CBC encryption of whole blocks.
pub(crate) fn aes_encrypt(
    key: &Key,
    iv: &[u8; AES_BLOCK],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    cbc(aes(key), Mode::Encrypt, key.bytes(), iv, data)
}

/// AES-CBC decryption of whole blocks.
pub(crate) fn aes_decrypt(
    key: &Key,
    iv: &[u8; AES_BLOCK],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    cbc(aes(key), Mode::Decrypt, key.bytes(), iv, data)
}

/// 3DES with two keys (GPCS B.1.1), CBC, encryption of whole blocks. The key has 16 bytes.
pub(crate) fn des3_encrypt(
    key: &Key,
    iv: &[u8; DES_BLOCK],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut three = Zeroizing::new(Vec::with_capacity(24));
    three.extend_from_slice(key.bytes());
    three.extend_from_slice(&key.bytes()[..DES_BLOCK]);
    cbc(Cipher::des_ede3_cbc(), Mode::Encrypt, &three, iv, data)
}

/// Single DES with the first half of the key: 3DES with three times that half. (OpenSSL 3 has DES itself in a provider
/// that is not loaded.)
pub(crate) fn des_encrypt(
    key: &Key,
    iv: &[u8; DES_BLOCK],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let three = Zeroizing::new(key.bytes()[..DES_BLOCK].repeat(3));
    cbc(Cipher::des_ede3_cbc(), Mode::Encrypt, &three, iv, data)
}

/// AES-CMAC (NIST SP 800-38B), all 16 bytes.
pub(crate) fn cmac(key: &Key, data: &[u8]) -> Result<[u8; AES_BLOCK], ErrorStack> {
    let mut mac = [0; AES_BLOCK];
    let pkey = PKey::cmac(&aes(key), key.bytes())?;
    let mut signer = Signer::new_without_digest(&pkey)?;
    signer.update(data)?;
    signer.sign(&mut mac)?;
    Ok(mac)
}

/// Full 3DES MAC (GPCS B.1.2.1) over data that is padded here: the last block.
pub(crate) fn des3_mac(key: &Key, data: &[u8]) -> Result<[u8; DES_BLOCK], ErrorStack> {
    last_block(&des3_encrypt(
        key,
        &[0; DES_BLOCK],
        &padded(data, DES_BLOCK),
    )?)
}

/// Single DES plus final 3DES MAC, "retail MAC" (GPCS B.1.2.2), over data that is padded here.
pub(crate) fn retail_mac(
    key: &Key,
    icv: &[u8; DES_BLOCK],
    data: &[u8],
) -> Result<[u8; DES_BLOCK], ErrorStack> {
    let data = padded(data, DES_BLOCK);
    let (front, last) = data.split_at(data.len() - DES_BLOCK);
    let chained = if front.is_empty() {
        *icv
    } else {
        last_block(&des_encrypt(key, icv, front)?)?
    };
    last_block(&des3_encrypt(key, &chained, last)?)
}

fn last_block(data: &[u8]) -> Result<[u8; DES_BLOCK], ErrorStack> {
    // CBC of at least one block ends in one.
    data.last_chunk().copied().ok_or_else(ErrorStack::get)
}

/// ISO 9797-1 padding method 2: 80, then zeros up to a whole block; always at least one byte.
pub(crate) fn padded(data: &[u8], block: usize) -> Zeroizing<Vec<u8>> {
    let whole = (data.len() / block + 1) * block;
    let mut bytes = Zeroizing::new(Vec::with_capacity(whole));
    bytes.extend_from_slice(data);
    bytes.push(0x80);
    bytes.resize(whole, 0);
    bytes
}

/// Takes that padding off; none if there is none.
pub(crate) fn unpadded(data: &[u8]) -> Option<&[u8]> {
    let end = data.iter().rposition(|b| *b != 0)?;
    (data[end] == 0x80).then(|| &data[..end])
}

/// SHA-256, or SHA-1, of something public.
pub(crate) fn digest(kind: MessageDigest, data: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    Ok(hash(kind, data)?.to_vec())
}

/// The key check values of three keys, 3 bytes each: 3DES of zeros (GPCS B.5), or AES of ones (Amd D, 4.1.4).
#[cfg(test)]
pub(crate) fn check_values(keys: &KeySet, scp: Scp) -> Result<[[u8; 3]; 3], ErrorStack> {
    let one = |key: &Key| {
        let block = match scp {
            Scp::Scp02 => des3_encrypt(key, &[0; 8], &[0; 8])?,
            Scp::Scp03 => aes_encrypt(key, &[0; 16], &[1; 16])?,
        };
        block.first_chunk().copied().ok_or_else(ErrorStack::get)
    };
    Ok([one(&keys.enc)?, one(&keys.mac)?, one(&keys.dek)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// RFC 4493, section 4 (the same as NIST SP 800-38B, D.1), and D.2 and D.3 for the longer keys.
    #[test]
    fn cmac_as_published() {
        let message = unhex(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef\
             f69f2445df4f9b17ad2b417be66c3710",
        );
        for (key, macs) in [
            (
                "2b7e151628aed2a6abf7158809cf4f3c",
                [
                    (0, "bb1d6929e95937287fa37d129b756746"),
                    (16, "070a16b46b4d4144f79bdd9dd04a287c"),
                    (40, "dfa66747de9ae63030ca32611497c827"),
                    (64, "51f0bebf7e3b9d92fc49741779363cfe"),
                ],
            ),
            (
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                [
                    (0, "d17ddf46adaacde531cac483de7a9367"),
                    (16, "9e99a7bf31e710900662f65e617c5184"),
                    (40, "8a1de5be2eb31aad089a82e6ee908b0e"),
                    (64, "a1d5df0eed790f794d77589659f39a11"),
                ],
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                [
                    (0, "028962f61b7bf89efc6b551f4667d983"),
                    (16, "28a7023f452e8f82bd4bf28d8c37c35c"),
                    (40, "aaf3d8f1de5640c232f5b169b9c911e6"),
                    (64, "e1992190549f6ed5696a2c056c315410"),
                ],
            ),
        ] {
            let key = Key::new(&unhex(key)).unwrap();
            for (length, mac) in macs {
                assert_eq!(
                    hex::encode(cmac(&key, &message[..length]).unwrap()),
                    mac,
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn padding_comes_off_again() {
        for length in 0..40 {
            let data = vec![0x80; length];
            let bytes = padded(&data, 16);
            assert_eq!(bytes.len() % 16, 0);
            assert!(bytes.len() > length && bytes.len() <= length + 16);
            assert_eq!(unpadded(&bytes), Some(&data[..]));
        }
        assert_eq!(unpadded(&[]), None);
        assert_eq!(unpadded(&[0; 16]), None);
        assert_eq!(unpadded(&[1, 0]), None);
    }

    #[test]
    fn only_whole_blocks_are_encrypted() {
        let key = Key::new(&[0x40; 16]).unwrap();
        assert!(aes_encrypt(&key, &[0; 16], &[0; 15]).is_err());
        assert!(des3_encrypt(&key, &[0; 8], &[0; 9]).is_err());
    }

    /// GlobalPlatformPro prints these for the test keys (its test TestPlaintextKeys, and issue 67: 8BAF47).
    #[test]
    fn check_values_as_published() {
        let keys = KeySet::public_test_keys();
        for (scp, value) in [
            (Scp::Scp02, [0x8B, 0xAF, 0x47]),
            (Scp::Scp03, [0x50, 0x4A, 0x77]),
        ] {
            assert_eq!(check_values(&keys, scp).unwrap(), [value; 3]);
        }
    }
}
