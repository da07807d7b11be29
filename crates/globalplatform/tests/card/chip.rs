//! The card's side of both secure channels, written anew from the specification over bare block ciphers, so that a
//! mistake of the host's side is not made twice.

use openssl::symm::{Cipher, decrypt, encrypt};

fn aes_block(key: &[u8], block: &[u8], forward: bool) -> Vec<u8> {
    let cipher = match key.len() {
        16 => Cipher::aes_128_ecb(),
        24 => Cipher::aes_192_ecb(),
        _ => Cipher::aes_256_ecb(),
    };
    // Padding is on here; the first block is the one that was asked for.
    if forward {
        encrypt(cipher, key, None, block).unwrap()[..16].to_vec()
    } else {
        // Decryption checks the padding: give it a block that is right.
        let tail = encrypt(cipher, key, None, &[]).unwrap();
        decrypt(cipher, key, None, &[block, &tail].concat()).unwrap()
    }
}

pub fn des3_block(key: &[u8], block: &[u8]) -> Vec<u8> {
    let three = [key, &key[..8]].concat();
    encrypt(Cipher::des_ede3(), &three, None, block).unwrap()[..8].to_vec()
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

pub fn pad(data: &[u8], block: usize) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.push(0x80);
    while !bytes.len().is_multiple_of(block) {
        bytes.push(0);
    }
    bytes
}

pub fn unpad(mut data: Vec<u8>) -> Option<Vec<u8>> {
    while data.last() == Some(&0) {
        data.pop();
    }
    (data.pop() == Some(0x80)).then_some(data)
}

/// NIST SP 800-38B, by its subkeys.
pub fn cmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let double = |b: &[u8]| {
        let number = u128::from_be_bytes(b.try_into().unwrap());
        let folded = number << 1 ^ if number >> 127 == 1 { 0x87 } else { 0 };
        folded.to_be_bytes().to_vec()
    };
    let k1 = double(&aes_block(key, &[0; 16], true));
    let whole = !data.is_empty() && data.len().is_multiple_of(16);
    let (padded, mask) = if whole {
        (data.to_vec(), k1)
    } else {
        (pad(data, 16), double(&k1))
    };
    let last = padded.len() - 16;
    let mut state = vec![0; 16];
    for (at, block) in padded.chunks(16).enumerate() {
        state = xor(&state, block);
        if at * 16 == last {
            state = xor(&state, &mask);
        }
        state = aes_block(key, &state, true);
    }
    state
}

fn derive(key: &[u8], constant: u8, context: &[u8], bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for counter in 1..=2 {
        let mut text = vec![0; 11];
        text.extend([constant, 0]);
        text.extend(u16::try_from(bytes * 8).unwrap().to_be_bytes());
        text.push(counter);
        text.extend(context);
        out.extend(cmac(key, &text));
    }
    out.truncate(bytes);
    out
}

/// Both halves of a card's three keys.
#[derive(Clone)]
pub struct CardKeys {
    pub enc: Vec<u8>,
    pub mac: Vec<u8>,
}

pub enum Secure {
    Three(Scp03),
    Two(Scp02),
}

pub struct Scp03 {
    enc: Vec<u8>,
    mac: Vec<u8>,
    rmac: Vec<u8>,
    host_cryptogram: Vec<u8>,
    pub card_cryptogram: Vec<u8>,
    chain: Vec<u8>,
    counter: u128,
    level: u8,
}

impl Scp03 {
    pub fn new(keys: &CardKeys, host: &[u8], card: &[u8]) -> Self {
        let context = [host, card].concat();
        let length = keys.enc.len();
        let mac = derive(&keys.mac, 6, &context, length);
        Self {
            enc: derive(&keys.enc, 4, &context, length),
            rmac: derive(&keys.mac, 7, &context, length),
            host_cryptogram: derive(&mac, 1, &context, 8),
            card_cryptogram: derive(&mac, 0, &context, 8),
            mac,
            chain: vec![0; 16],
            counter: 0,
            level: 0,
        }
    }

    fn iv(&self, counter: u128) -> Vec<u8> {
        aes_block(&self.enc, &counter.to_be_bytes(), true)
    }
}

pub struct Scp02 {
    enc: Vec<u8>,
    mac: Vec<u8>,
    host_cryptogram: Vec<u8>,
    pub card_cryptogram: Vec<u8>,
    icv: Vec<u8>,
    icv_encryption: bool,
    level: u8,
}

fn des3_cbc_mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    pad(data, 8).chunks(8).fold(vec![0; 8], |state, block| {
        des3_block(key, &xor(&state, block))
    })
}

impl Scp02 {
    pub fn new(
        keys: &CardKeys,
        host: &[u8],
        counter_and_card: &[u8],
        icv_encryption: bool,
    ) -> Self {
        let session = |key: &[u8], constant: [u8; 2]| {
            let mut block = constant.to_vec();
            block.extend(&counter_and_card[..2]);
            let first = des3_block(key, &[&block[..], &[0; 4]].concat());
            [first.clone(), des3_block(key, &first)].concat()
        };
        let enc = session(&keys.enc, [1, 0x82]);
        Self {
            host_cryptogram: des3_cbc_mac(&enc, &[counter_and_card, host].concat()),
            card_cryptogram: des3_cbc_mac(&enc, &[host, counter_and_card].concat()),
            mac: session(&keys.mac, [1, 1]),
            enc,
            icv: Vec::new(),
            icv_encryption,
            level: 0,
        }
    }

    fn check(&mut self, header: &[u8], data: &[u8], mac: &[u8]) -> bool {
        let single = self.mac[..8].repeat(2);
        let mut state = match (self.icv.is_empty(), self.icv_encryption) {
            (true, _) => vec![0; 8],
            (false, false) => self.icv.clone(),
            (false, true) => des3_block(&single, &self.icv),
        };
        let length = u8::try_from(data.len() + 8).unwrap();
        let text = pad(&[header, &[length], data].concat(), 8);
        let last = text.len() - 8;
        for (at, block) in text.chunks(8).enumerate() {
            let key = if at * 8 == last { &self.mac } else { &single };
            state = des3_block(key, &xor(&state, block));
        }
        self.icv = state;
        self.icv == mac
    }
}

impl Secure {
    /// EXTERNAL AUTHENTICATE: whether MAC and cryptogram are right.
    pub fn authenticate(&mut self, header: &[u8], data: &[u8]) -> bool {
        let (cryptogram, mac) = data.split_at(8);
        let (good_mac, expected) = match self {
            Self::Two(c) => (c.check(header, cryptogram, mac), &c.host_cryptogram),
            Self::Three(c) => (check_three(c, header, cryptogram, mac), &c.host_cryptogram),
        };
        let good = good_mac && expected == cryptogram;
        match self {
            Self::Two(c) => c.level = header[2],
            Self::Three(c) => c.level = header[2],
        }
        good
    }

    /// The plain data of a wrapped command; none if MAC or padding is wrong.
    pub fn unwrap(&mut self, header: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        let cut = data.len().checked_sub(8)?;
        let (body, mac) = data.split_at(cut);
        match self {
            Self::Two(c) => {
                let plain = if c.level & 2 != 0 && !body.is_empty() {
                    unpad(des3_cbc_decrypt(&c.enc, body))?
                } else {
                    body.to_vec()
                };
                c.check(header, &plain, mac).then_some(plain)
            }
            Self::Three(c) => {
                if !check_three(c, header, body, mac) {
                    return None;
                }
                c.counter += 1;
                if c.level & 2 == 0 || body.is_empty() {
                    return Some(body.to_vec());
                }
                let iv = c.iv(c.counter);
                unpad(aes_cbc_decrypt(&c.enc, &iv, body))
            }
        }
    }

    /// An answer as it goes out.
    pub fn wrap(&mut self, data: Vec<u8>, sw: u16) -> Vec<u8> {
        let Self::Three(c) = self else { return data };
        let good = sw == 0x9000 || matches!(sw >> 8, 0x62 | 0x63);
        if c.level & 0x10 == 0 || !good {
            return data;
        }
        let body = if c.level & 0x20 != 0 && !data.is_empty() {
            let iv = c.iv(c.counter | 1 << 127);
            aes_cbc_encrypt(&c.enc, &iv, &pad(&data, 16))
        } else {
            data
        };
        let mac = cmac(&c.rmac, &[&c.chain[..], &body, &sw.to_be_bytes()].concat());
        [body, mac[..8].to_vec()].concat()
    }
}

fn check_three(c: &mut Scp03, header: &[u8], body: &[u8], mac: &[u8]) -> bool {
    let length = u8::try_from(body.len() + 8).unwrap();
    let full = cmac(&c.mac, &[&c.chain[..], header, &[length], body].concat());
    let good = &full[..8] == mac;
    c.chain = full;
    good
}

fn aes_cbc_encrypt(key: &[u8], iv: &[u8], data: &[u8]) -> Vec<u8> {
    let mut last = iv.to_vec();
    let mut out = Vec::new();
    for block in data.chunks(16) {
        last = aes_block(key, &xor(block, &last), true);
        out.extend(&last);
    }
    out
}

fn aes_cbc_decrypt(key: &[u8], iv: &[u8], data: &[u8]) -> Vec<u8> {
    let mut last = iv.to_vec();
    let mut out = Vec::new();
    for block in data.chunks(16) {
        out.extend(xor(&aes_block(key, block, false), &last));
        last = block.to_vec();
    }
    out
}

fn des3_cbc_decrypt(key: &[u8], data: &[u8]) -> Vec<u8> {
    let three = [key, &key[..8]].concat();
    let mut crypter = openssl::symm::Crypter::new(
        Cipher::des_ede3(),
        openssl::symm::Mode::Decrypt,
        &three,
        None,
    )
    .unwrap();
    crypter.pad(false);
    let mut blocks = vec![0; data.len() + 8];
    let written = crypter.update(data, &mut blocks).unwrap();
    blocks.truncate(written);
    let before = [&[0; 8][..], &data[..data.len() - 8]].concat();
    xor(&blocks, &before)
}
