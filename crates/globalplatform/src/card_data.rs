//! What cards tell of themselves to GET DATA. All of it is optional; what does not read as the specification says counts
//! as not told.

use crate::tlv;

/// 1.2.840.114283, GlobalPlatform's arc, in DER.
const ARC: [u8; 6] = [0x2A, 0x86, 0x48, 0x86, 0xFC, 0x6B];

/// A secure channel protocol and its variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Number of the protocol: 2 or 3.
    pub scp: u8,
    /// Its variant, a set of bits.
    pub i: u8,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SCP{:02X} i={:02X}", self.scp, self.i)
    }
}

/// Card recognition data (GPCS, appendix H.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardData {
    /// Version of GlobalPlatform, as "2.2.1".
    pub version: Option<String>,
    /// Secure channel protocols of the issuer security domain.
    pub protocols: Vec<Protocol>,
}

impl CardData {
    /// Tag 66 around tag 73.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::parse_recognition(tlv::find(tlv::find(bytes, 0x66)?, 0x73)?)
    }

    /// The value of tag 73.
    pub(crate) fn parse_recognition(bytes: &[u8]) -> Option<Self> {
        let mut data = Self {
            version: None,
            protocols: Vec::new(),
        };
        for object in tlv::parse(bytes)? {
            // An object identifier in each; some cards put several into one tag 64.
            for oid in tlv::parse(object.value).into_iter().flatten() {
                let Some([kind, rest @ ..]) = oid.value.strip_prefix(&ARC[..]) else {
                    continue;
                };
                match (object.tag, kind, rest) {
                    (0x60, 2, [_, ..]) => {
                        let parts: Vec<String> = rest.iter().map(u8::to_string).collect();
                        data.version = Some(parts.join("."));
                    }
                    (0x64, 4, [scp, i @ ..]) => data.protocols.extend(
                        base128(i)
                            .and_then(|i| u8::try_from(i).ok())
                            .map(|i| Protocol { scp: *scp, i }),
                    ),
                    _ => {}
                }
            }
        }
        Some(data)
    }

    /// The variant of this protocol, if the card tells it.
    pub fn variant(&self, scp: u8) -> Option<u8> {
        self.protocols.iter().find(|p| p.scp == scp).map(|p| p.i)
    }
}

/// A number in base 128; cards write variants from 80 on either so or as a plain byte.
fn base128(bytes: &[u8]) -> Option<u16> {
    match *bytes {
        [one] => Some(one.into()),
        [high, low] if high & 0x80 != 0 && low & 0x80 == 0 => {
            Some(u16::from(high & 0x7F) << 7 | u16::from(low))
        }
        _ => None,
    }
}

/// One key (GPCS, table 11-28).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInformation {
    /// Version of the set that it belongs to.
    pub version: u8,
    /// Its number in that: 1 ENC, 2 MAC, 3 DEK.
    pub id: u8,
    /// Its type: 80 to 83 DES, 88 AES, others.
    pub kind: u8,
    /// Its length, in bytes.
    pub length: u8,
}

impl KeyInformation {
    /// Tag E0 with one C0 a key.
    pub(crate) fn parse_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let objects = tlv::parse(tlv::find(bytes, 0xE0)?)?;
        Some(
            objects
                .iter()
                .filter(|o| o.tag == 0xC0)
                .filter_map(|o| match *o.value {
                    // The extended form has FF and lengths of 2 bytes.
                    [id, version, 0xFF, kind, 0, length, ..] => Some((id, version, kind, length)),
                    [id, version, kind, length, ..] => Some((id, version, kind, length)),
                    _ => None,
                })
                .map(|(id, version, kind, length)| Self {
                    version,
                    id,
                    kind,
                    length,
                })
                .collect(),
        )
    }

    /// The type's name.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            0x80..=0x84 => "DES",
            0x85 => "TLS-PSK",
            0x88 => "AES",
            0x90 | 0x91 => "HMAC",
            0xA0..=0xA8 => "RSA",
            0xB0..=0xB7 => "EC",
            _ => "other",
        }
    }
}

/// Extended card resources information (ETSI TS 102 226, 8.2.1.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeMemory {
    /// Free persistent memory, in bytes.
    pub persistent: u32,
    /// Free transient memory, in bytes.
    pub transient: u32,
}

impl FreeMemory {
    /// Tag FF21 with 81 applications, 82 persistent, 83 transient.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let inner = tlv::find(bytes, 0xFF21)?;
        Some(Self {
            persistent: number(tlv::find(inner, 0x82)?)?,
            transient: number(tlv::find(inner, 0x83)?)?,
        })
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || bytes.len() > 4 {
        return None;
    }
    Some(bytes.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)))
}

/// Card production life cycle data (tag 9F7F, 42 bytes; VISA's, kept by all).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductionData {
    /// The value without its tag, as the card gave it.
    pub bytes: [u8; 42],
}

impl ProductionData {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        // With its tag, or bare.
        let value = tlv::find(bytes, 0x9F7F).unwrap_or(bytes);
        Some(Self {
            bytes: value.try_into().ok()?,
        })
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// Who made the chip: 4790 NXP, 4090 Infineon, and so on.
    pub fn fabricator(&self) -> u16 {
        self.word(0)
    }

    /// The chip's type.
    pub fn chip(&self) -> u16 {
        self.word(2)
    }

    /// Who made the operating system.
    pub fn operating_system(&self) -> u16 {
        self.word(4)
    }

    /// The chip's serial number, 4 bytes.
    pub fn serial(&self) -> u32 {
        u32::from(self.word(12)) << 16 | u32::from(self.word(14))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unhex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// GlobalPlatformPro, issue 114.
    #[test]
    fn key_information_as_a_card_gives_it() {
        let keys =
            KeyInformation::parse_all(&unhex("E012C00401018820C00402018820C00403018820")).unwrap();
        assert_eq!(keys.len(), 3);
        assert_eq!(
            (
                keys[1].version,
                keys[1].id,
                keys[1].kind_name(),
                keys[1].length
            ),
            (1, 2, "AES", 32)
        );
        assert!(KeyInformation::parse_all(&unhex("6600")).is_none());
        // One that says too little is passed over; one of the extended form.
        let odd = KeyInformation::parse_all(&unhex("E00BC00101C0060230FF880020")).unwrap();
        assert_eq!(odd.len(), 1);
        assert_eq!((odd[0].id, odd[0].version, odd[0].length), (2, 0x30, 32));
    }

    /// CPLC of a card in GlobalPlatformPro's issue 112.
    #[test]
    fn production_data_as_a_card_gives_it() {
        let text = "9F7F2A47906A1582314176009661330000114A1424114261331143613311446133130B00000000000000000000";
        let data = ProductionData::parse(&unhex(text)).unwrap();
        assert_eq!(
            (data.fabricator(), data.chip(), data.operating_system()),
            (0x4790, 0x6A15, 0x8231)
        );
        assert_eq!(data.serial(), 0x0000_114A);
        assert_eq!(ProductionData::parse(&unhex(&text[6..])), Some(data));
        assert!(ProductionData::parse(&unhex(&text[..80])).is_none());
    }

    /// GET DATA's answer in a log of GPShell (globalplatform-users, 2009-09-30).
    #[test]
    fn recognition_data_as_cards_give_it() {
        let data = CardData::parse(&unhex(
            "664C734A06072A864886FC6B01600C060A2A864886FC6B02020101630906072A864886FC6B03640B06092A864886FC6B040255650B06092B8510864864020103660C060A2B060104012A026E0102",
        ))
        .unwrap();
        assert_eq!(data.protocols, [Protocol { scp: 2, i: 0x55 }]);
        assert_eq!(data.variant(2), Some(0x55));
        assert_eq!(data.variant(3), None);
        assert!(CardData::parse(&unhex("6635")).is_none());
    }

    #[test]
    fn free_memory_of_several_lengths() {
        let memory = FreeMemory::parse(&unhex("FF210F810102820400012C00830400000A00")).unwrap();
        assert_eq!((memory.persistent, memory.transient), (76_800, 2_560));
        let short = FreeMemory::parse(&unhex("FF210B8101028202120083020100")).unwrap();
        assert_eq!((short.persistent, short.transient), (0x1200, 0x0100));
        assert!(FreeMemory::parse(&unhex("FF21028200")).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = CardData::parse(&bytes);
            let _ = CardData::parse_recognition(&bytes);
            let _ = KeyInformation::parse_all(&bytes);
            let _ = FreeMemory::parse(&bytes);
            let _ = ProductionData::parse(&bytes);
        }
    }
}
