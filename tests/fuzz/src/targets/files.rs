//! Files of a terminal, which an owner, a backup or another program may have written anew.

use serde::de::DeserializeOwned;
use serde_json::json;
use simsync_protocol::api::B64;
use simsyncd::config::{CONFIG_VERSION, Config, parse_json};
use simsyncd::identity::{SealedKey, TERMINAL_VERSION, Terminal};

use super::vectors::{CARD, card_sig, terminal as vector};

/// Reads one, says why not in a sentence, and reads what is written of it again.
fn read<T: DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    newest: u32,
    checked: fn(T) -> Result<T, &'static str>,
) -> Option<T> {
    let whole = |bytes: &[u8]| {
        let read = parse_json(bytes, newest);
        read.and_then(|value| checked(value).map_err(str::to_owned))
    };
    match whole(bytes) {
        Ok(value) => {
            let again = serde_json::to_vec(&value).unwrap_or_default();
            assert_eq!(whole(&again).as_ref(), Ok(&value));
            Some(value)
        }
        Err(why) => {
            // It may name what the file says, and no more than that.
            assert!(why.len() < 300 + 6 * bytes.len());
            None
        }
    }
}

pub fn config(bytes: &[u8]) -> bool {
    let Some(config) = read(bytes, CONFIG_VERSION, Config::checked) else {
        return false;
    };
    assert!(config.label.len() <= 24);
    assert!(config.presence_sims.len() <= 16 && config.modems.len() <= 4);
    assert!(config.modems.iter().all(|m| m.is_absolute()));
    assert!(config.rescan_interval_s > 0);
    true
}

pub fn configs() -> Vec<Vec<u8>> {
    let all = json!({
        "version": 1,
        "label": "desk with a rather long name",
        "login_session": "required",
        "pin_pad": "off",
        "change_delay_ms": 2000,
        "rescan_interval_s": 900,
        "pack_target": 65536,
        "modems": ["/dev/ttyUSB2"],
        "sim_trigger": "trigger-only",
        "presence_sims": ["8988211000000000000"],
    });
    vec![
        b"{}".to_vec(),
        all.to_string().into_bytes(),
        serde_json::to_vec(&Config::default()).unwrap_or_default(),
    ]
}

/// Memory in KiB, passes and lanes with which Argon2 is over at once.
const CHEAP: (u32, u32, u32) = (64, 2, 8);
/// What a key file asks for here is refused before Argon2 begins.
const REFUSED: u32 = 1 << 21;

pub fn terminal(bytes: &[u8]) -> bool {
    let Some(terminal) = read(bytes, TERMINAL_VERSION, Terminal::checked) else {
        return false;
    };
    let key = &terminal.key;
    let is_cheap = key.memory_kib <= CHEAP.0 && key.passes <= CHEAP.1 && key.lanes <= CHEAP.2;
    if is_cheap || key.memory_kib.max(key.passes).max(key.lanes) > REFUSED {
        assert!(
            terminal.unseal("correct horse").is_err(),
            "nobody sealed it"
        );
    }
    if let Some(pairing) = &terminal.pairing {
        if let Some(place) = pairing.place() {
            assert_eq!(place.address.to_string().parse(), Ok(place.address));
        }
        let card = &pairing.card.id;
        let is_known = pairing.known_cards.iter().any(|k| k.card == *card);
        assert_eq!(pairing.known_card(card).is_some(), is_known);
    }
    true
}

pub fn terminals() -> Vec<Vec<u8>> {
    let (memory_kib, passes, lanes) = (8, 1, 1);
    let alone = Terminal {
        version: TERMINAL_VERSION,
        point: vector().point(),
        key: SealedKey {
            memory_kib,
            passes,
            lanes,
            salt: B64(vec![1; 16]),
            nonce: B64(vec![2; 24]),
            ciphertext: B64(vec![3; 48]),
        },
        pairing: None,
    };
    let mut paired = serde_json::to_value(&alone).unwrap_or_default();
    let point = card_sig().point();
    paired["pairing"] = json!({
        "subscriber": "alice",
        "card": { "id": CARD, "keys": { "sig": point, "kem": point } },
        "label": "desk",
        "server": "server.example:8443",
        "ca_pin": "05".repeat(32),
        "server_id": "06".repeat(16),
        "certificate": B64(vec![0x30, 0]),
        "complete": true,
        "known_cards": [{ "card": CARD, "list_number": 7 }],
        "next_server": { "address": "other.example:1", "ca_pin": "07".repeat(32) },
        "told_cards": [CARD],
    });
    vec![
        serde_json::to_vec(&alone).unwrap_or_default(),
        paired.to_string().into_bytes(),
    ]
}
