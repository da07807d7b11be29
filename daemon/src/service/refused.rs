//! Whether a PIN was refused before, and the card has forgotten nothing of it.

use simsync_card::client::{Pin, PinState};

use super::Ctx;
use super::card_ops::{self, CARD_DEADLINE};

impl Ctx {
    /// Tries left if the card refused this PIN and nothing has changed there since. Asks the card, which costs no try.
    pub(super) async fn is_refused(&self, reader: &str, pin: &Pin) -> Option<u8> {
        let known = self.refused.tries_left(reader, pin)?;
        let state = self.card.run(reader, CARD_DEADLINE, |card| {
            Ok(card_ops::ours(card)?.pin_state()?)
        });
        match state.await {
            Ok(PinState::NotVerified { tries_left }) if tries_left == known => return Some(known),
            // A card that cannot be asked is not sent the PIN either.
            Err(_) => return Some(known),
            Ok(_) => {}
        }
        self.refused.forget(reader);
        None
    }
}
