//! What a card says of itself once its PIN is given, and the change of that PIN.

use std::sync::Arc;

use simsync_card::client::{Info, Pin, Puk};
use simsync_card::text::CardKeys;
use simsync_codes::Code;

use super::card_ops::{self, CARD_DEADLINE};
use super::pin::CardPin;
use super::pins::{CardPins, hint};
use super::sessions::CardSessions;
use crate::api::{Failure, PadPurpose, Secret, SecretKind};
use crate::engine::fresh_rng;
use crate::person::Person;
use crate::reasons::card_reason;

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    use rand_core::Rng;
    let mut out = [0; N];
    fresh_rng().fill_bytes(&mut out);
    out
}

/// What a card says of itself.
pub struct CardView {
    /// Whose it is, and where its server is.
    pub info: Info,
    /// Signed by the card itself, for a challenge of ours.
    pub keys: CardKeys,
}

/// Reads cards whose PIN the person gives, and changes it.
pub struct CardAccess {
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) person: Arc<Person>,
}

impl CardAccess {
    /// VERIFY (changing the PIN first if it must be), READ INFO, READ KEYS.
    pub async fn read_card(&self, reader: &str) -> Result<(CardPin, CardView), Failure> {
        let mut tries = None;
        for attempt in 0..3 {
            let retry = attempt > 0;
            let mut pin = if self.is_pin_due(reader).await? {
                let pad = self.pins.pin_pad(reader);
                let hint = pad.and_then(|pad| hint(&pad, true));
                let old = self.pins.right_card_pin(reader, tries, hint).await?;
                // It was typed here: what follows needs no pad.
                self.first_pin_change(reader, old).await?.into()
            } else {
                self.pins.card_pin(tries, retry, reader).await?
            };
            let nonce: [u8; 32] = random();
            let read = self
                .pins
                .with_card_pin(reader, &mut pin, PadPurpose::Read, move |card, pin| {
                    card_ops::read(card, pin, &nonce)
                })
                .await;
            match read {
                Ok((info, signed)) => {
                    let keys = signed.of(&info.card, &nonce).map_err(|_| {
                        Failure::new(
                            Code::CardRefused,
                            "the card's keys are not signed as they must be; do not use this card",
                        )
                    })?;
                    return Ok((pin.proven(), CardView { info, keys }));
                }
                Err(e) => match e.tries_left() {
                    Some(left) => tries = Some(left),
                    None => return Err(e.into()),
                },
            }
        }
        Err(Failure::new(Code::PinIncorrect, "the card's PIN is wrong"))
    }

    /// SELECT, and whether the PIN must be changed first. A PIN that opened the session is not due, and if nothing comes of what
    /// is begun here, the session goes on.
    async fn is_pin_due(&self, reader: &str) -> Result<bool, Failure> {
        if self.sessions.is_in_session(reader) {
            return Ok(false);
        }
        let probed = self
            .sessions
            .card()
            .run(reader, CARD_DEADLINE, card_ops::probe)
            .await;
        let selected = probed.map_err(|e| card_reason(&e))?;
        let selected = selected.ok_or_else(|| {
            Failure::new(
                Code::NoApplet,
                "the card in this reader is not a simsync card",
            )
        })?;
        Ok(selected.pin_due)
    }

    /// The first change of a PIN sets a new PUK too, which the owner is shown. The old PIN is known to be right, so nobody
    /// chooses and writes down anything for nothing.
    async fn first_pin_change(&self, reader: &str, old: Pin) -> Result<Pin, Failure> {
        let new = self.new_card_pin(reader, &old).await?;
        let puk_text = Secret::new(new_puk());
        let puk = Puk::parse(puk_text.as_bytes())
            .map_err(|_| Failure::new(Code::Internal, "a PUK could not be made"))?;
        // Shown before it is set: if the owner never sees it, the old one still counts.
        self.person.show("puk", puk_text).await?;
        let n = new.clone();
        self.sessions
            .card()
            .run(reader, CARD_DEADLINE, move |card| {
                let mut applet = card_ops::transaction(card)?;
                applet.select()?;
                Ok(applet.change_first_pin(&old, &n, &puk)?)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        Ok(new)
    }

    /// A new PIN for the card. A change to the same one is none; the card would refuse it after the PUK was shown.
    async fn new_card_pin(&self, reader: &str, old: &Pin) -> Result<Pin, Failure> {
        let mut retry = false;
        for _ in 0..3 {
            let new = self
                .pins
                .ask_card_pin(SecretKind::NewCardPin, None, retry, reader)
                .await?;
            if new != *old {
                return Ok(new);
            }
            retry = true;
        }
        Err(Failure::new(
            Code::PinFormat,
            "the new PIN is the old one; choose another",
        ))
    }

    /// The owner changes the PIN of a card: on the reader where that can, or typed here.
    pub async fn change_card_pin(&self) -> Result<(), Failure> {
        let reader = self.sessions.any_card()?;
        let (due, tries) = if self.sessions.is_in_session(&reader) {
            // A PIN that opened it is not due.
            (false, None)
        } else {
            let selected = self
                .sessions
                .card()
                .run(&reader, CARD_DEADLINE, card_ops::probe)
                .await
                .map_err(|e| card_reason(&e))?
                .ok_or_else(|| {
                    Failure::new(
                        Code::NoApplet,
                        "the card in this reader is not a simsync card",
                    )
                })?;
            (selected.pin_due, Some(selected.pin_tries))
        };
        let pad = self.pins.pin_pad(&reader);
        if !due
            && let Some(pad) = pad
            && self.pins.change_on_pad(&reader, pad, tries).await?
        {
            return Ok(());
        }
        let hint = pad.and_then(|pad| hint(&pad, due));
        let old = self.pins.right_card_pin(&reader, tries, hint).await?;
        if due {
            self.first_pin_change(&reader, old).await?;
        } else {
            let new = self
                .pins
                .ask_card_pin(SecretKind::NewCardPin, None, false, &reader)
                .await?;
            self.sessions
                .card()
                .run(&reader, CARD_DEADLINE, move |card| {
                    let mut applet = card_ops::ours(card)?;
                    Ok(applet.change_pin(&old, &new)?)
                })
                .await
                .map_err(|e| card_reason(&e))?;
        }
        Ok(())
    }
}

/// Eight digits.
fn new_puk() -> String {
    use rand::RngExt;
    let mut rng = fresh_rng();
    (0..8)
        .map(|_| char::from(b'0' + rng.random_range(0..10u8)))
        .collect()
}
