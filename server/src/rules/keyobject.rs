//! When a new key object is accepted with the commit that first names it.

use simsync_vault::keyobject::{KeyObject, RECOVERY_ID, Wrap};

use super::facts::Facts;
use super::refusal::Refusal;
use crate::store::types::{CardRow, KeyState};

/// Longest ciphertext of a wrap: 32 bytes of key, a tag, and room for a later format.
const WRAP_MAX: usize = 256;

/// Signature and succession, wraps, cards and terminals.
pub fn check(
    list: &KeyObject,
    wraps: &[Wrap],
    session_card: &CardRow,
    facts: &Facts,
) -> Result<(), Refusal> {
    match &facts.key_object {
        None => list.verify_first(&session_card.card, &session_card.keys),
        Some(before) => list.verify_next(before),
    }
    .map_err(Refusal::Format)?;
    wrap_rules(list, wraps)?;
    card_rules(list, facts)?;
    terminal_rules(list, facts)
}

/// One wrap for each recipient, each the one that the key object names.
fn wrap_rules(list: &KeyObject, wraps: &[Wrap]) -> Result<(), Refusal> {
    let fits = |w: &Wrap| w.ciphertext.len() <= WRAP_MAX && list.names(w);
    let each = list
        .body
        .recipients
        .iter()
        .all(|r| wraps.iter().filter(|w| w.recipient == r.id).count() == 1);
    if wraps.len() != list.body.recipients.len() || !each || !wraps.iter().all(fits) {
        return Err(Refusal::WrapsOther);
    }
    Ok(())
}

/// Every recipient but the recovery code is an enrolled card of this subscriber, with the keys it enrolled with.
fn card_rules(list: &KeyObject, facts: &Facts) -> Result<(), Refusal> {
    for recipient in list.body.recipients.iter().filter(|r| r.id != RECOVERY_ID) {
        match facts.cards.get(&recipient.id) {
            Some(card) if card.keys != recipient.keys => {
                return Err(Refusal::RecipientKeys(recipient.id));
            }
            Some(card) if card.state == KeyState::Revoked => {
                return Err(Refusal::RecipientRevoked(recipient.id));
            }
            Some(_) => {}
            None => {
                return Err(Refusal::RecipientUnknown(recipient.id));
            }
        }
    }
    Ok(())
}

/// Every terminal is paired.
fn terminal_rules(list: &KeyObject, facts: &Facts) -> Result<(), Refusal> {
    for entry in &list.body.terminals {
        let id = entry.id();
        match facts.terminals.get(&id) {
            Some(terminal) if terminal.state == KeyState::Revoked => {
                return Err(Refusal::EntryRevoked(id));
            }
            Some(_) => {}
            None => {
                return Err(Refusal::EntryUnknown(id));
            }
        }
    }
    Ok(())
}
