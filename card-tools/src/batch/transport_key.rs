//! Each card's transport secret, made from one key and what identifies the chip: nothing has to be kept for the time between
//! `install` and ENROLLED. See docs/decisions/0012-batches.md.

use hkdf::Hkdf;
use sha2::Sha256;
use simsync_card::client::TransportSecret;
use simsync_card::text::fields;
use simsync_card::transport::Transport;
use simsync_globalplatform::card_data::ProductionData;
use simsync_globalplatform::domain;
use simsync_globalplatform::session::initialize_update;
use zeroize::Zeroizing;

use crate::error::ToolError;
use crate::keys::host_challenge;

const DOMAIN: &[u8] = b"simsync/1/transport";
/// Shortest and longest key, in bytes.
const SHORTEST: usize = 16;
const LONGEST: usize = 64;

/// What identifies a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chip {
    /// Of CPLC: fabricator and type; fabrication date, serial number and batch. The rest may be written later.
    Production([u8; 12]),
    /// Key diversification data of INITIALIZE UPDATE.
    Diversification([u8; 10]),
}

/// A batch key, 16 to 64 bytes.
pub struct TransportKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransportKey(..)")
    }
}

impl TransportKey {
    /// From hexadecimal digits; errors do not repeat them.
    pub fn parse(text: &str) -> Result<Self, ToolError> {
        let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
        let fits = (SHORTEST..=LONGEST).contains(&bytes.len());
        if !fits || hex::decode_to_slice(text, &mut bytes).is_err() {
            return Err(ToolError::Usage(
                "a transport key is 32 to 128 hexadecimal digits; `openssl rand -hex 32` makes one"
                    .to_owned(),
            ));
        }
        Ok(Self(bytes))
    }

    /// HKDF-SHA-256 (RFC 5869) without salt, 16 bytes.
    pub fn secret(&self, chip: &Chip) -> Result<TransportSecret, ToolError> {
        let (kind, id): (&[u8], &[u8]) = match chip {
            Chip::Production(id) => (b"cplc", id),
            Chip::Diversification(id) => (b"kdd", id),
        };
        let mut bytes = Zeroizing::new([0; 16]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(&fields(&[DOMAIN, kind, id]), &mut *bytes)
            .map_err(|e| ToolError::Other(e.to_string()))?;
        Ok(TransportSecret::new(*bytes))
    }
}

/// Asks the card manager, without authentication.
pub fn chip<T: Transport>(card: &mut T) -> Result<Chip, ToolError> {
    domain::select_issuer_domain(card)?;
    if let Some(chip) = domain::production_data(card)?
        .as_ref()
        .and_then(of_production)
    {
        return Ok(chip);
    }
    match initialize_update(card, 0, &host_challenge()) {
        Ok(answer) if says_something(&answer.diversification_data) => {
            Ok(Chip::Diversification(answer.diversification_data))
        }
        Err(e) if e.transport().is_some() => Err(e.into()),
        _ => Err(ToolError::NoCard(
            "nothing identifies this chip, so no transport secret can be made for it; take --transport-secret-fd"
                .to_owned(),
        )),
    }
}

fn of_production(data: &ProductionData) -> Option<Chip> {
    let b = &data.bytes;
    let mut id = [0; 12];
    id[..4].copy_from_slice(&b[..4]);
    id[4..].copy_from_slice(&b[10..18]);
    says_something(&b[12..16]).then_some(Chip::Production(id))
}

/// Fields that nobody wrote are all 00 or all FF.
fn says_something(bytes: &[u8]) -> bool {
    bytes.iter().any(|b| *b != 0) && bytes.iter().any(|b| *b != 0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_card::transport::{Replay, Transcript};

    const KEY: &str = "000102030405060708090a0b0c0d0e0f";

    /// From here on cards in the field depend on it.
    #[test]
    fn golden() {
        let key = TransportKey::parse(KEY).unwrap();
        let secret = |chip| hex::encode(key.secret(&chip).unwrap().as_bytes());
        let cplc = secret(Chip::Production([7; 12]));
        let kdd = secret(Chip::Diversification([7; 10]));
        assert_eq!(cplc, "9b73256083c82616c87be4252ba0b929");
        assert_eq!(kdd, "c31e7bdff4f8bc6da8aac8610bf9fb45");
        assert_ne!(secret(Chip::Production([8; 12])), cplc);
    }

    #[test]
    fn keys_of_other_lengths_are_refused_and_not_repeated() {
        for bad in [
            "",
            &KEY[..30],
            &KEY[..31],
            "zz",
            &KEY.repeat(5),
            &KEY.replace('0', "g"),
        ] {
            let told = TransportKey::parse(bad).unwrap_err().to_string();
            assert!(told.contains("openssl rand"), "{told}");
            assert!(bad.is_empty() || !told.contains(bad), "{told}");
        }
        assert!(!format!("{:?}", TransportKey::parse(KEY).unwrap()).contains('0'));
    }

    #[test]
    fn a_chip_is_known_by_its_production_data_or_its_key_data() {
        let select = "> 00A4040000\n< 6F108408A000000003000000A5049F6501FF9000\n> 80CA006600\n< 6A88\n> 80CA9F7F00\n";
        let real = "9F7F2A47906A1582314176009661330000114A1424114261331143613311446133130B00000000000000000000";
        let mut card = Replay::new(Transcript::parse(&format!("{select}< {real}9000")).unwrap());
        let Chip::Production(id) = chip(&mut card).unwrap() else {
            panic!("not by CPLC");
        };
        assert_eq!(hex::encode_upper(id), "47906A1561330000114A1424");
        // A serial number of zeros identifies nothing.
        let data = ProductionData { bytes: [0; 42] };
        assert_eq!(of_production(&data), None);
    }
}
