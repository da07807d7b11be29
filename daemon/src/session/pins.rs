//! The card's PIN of one operation: given by an agent, or typed on the reader's own keys.
//!
//! A PIN from an agent is kept for the operation and used for each of its VERIFY commands. A reader with a PIN pad keeps
//! nothing, and this computer never has the PIN: each VERIFY is typed anew, and the person is told for what.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use simsync_card::client::{Pin, PinState};
use simsync_card::pinpad::{PinPad, TIMEOUT_SECONDS};
use simsync_card::status::{Secret, Status};
use simsync_codes::Code;
use tokio::sync::MutexGuard;

use super::card_ops::{self, CARD_DEADLINE, GoOn, Opened, SessionRequest};
use super::pin::{CardPin, PadEntry, PinError};
use super::refused_pins::{Refused, refused_before};
use super::sessions::CardSessions;
use crate::api::{AgentError, Failure, PadPurpose, PadRequest, PadShown, Reason, SecretKind};
use crate::card::{CardError, OpenCard};
use crate::config::PinPadPolicy;
use crate::person::Person;
use crate::reasons::agent_reason;
use crate::rules::Event;

/// Said to a person whose PIN was not sent.
const REFUSED_BEFORE: &str = "The card refused this PIN before; it was not sent again.";

/// How long one entry on a PIN pad may take altogether. Readers give up long before; no reader is waited for beyond it.
pub const PAD_DEADLINE: Duration = Duration::from_secs(120);

/// Why a reader's PIN pad is of no use for a change of the PIN.
pub fn hint(pad: &PinPad, is_first_change: bool) -> Option<&'static str> {
    if is_first_change {
        Some(
            "The first change sets a new PUK too, which the reader's PIN pad cannot: the PINs are typed here.",
        )
    } else if pad.can_modify() {
        None
    } else {
        Some("The reader's PIN pad takes no new PINs: they are typed here.")
    }
}

/// Gets PINs for the cards in the readers: from an agent, or typed on a PIN pad.
pub struct CardPins {
    sessions: Arc<CardSessions>,
    person: Arc<Person>,
    policy: PinPadPolicy,
    /// What cards refused.
    refused: Refused,
    /// Only one PIN at a time is typed on a reader: a person cannot tell two messages apart.
    turn: tokio::sync::Mutex<()>,
}

impl CardPins {
    /// Of the cards in the readers.
    pub fn new(sessions: Arc<CardSessions>, person: Arc<Person>, policy: PinPadPolicy) -> Self {
        Self {
            sessions,
            person,
            policy,
            refused: Refused::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Follows cards as they come, go and are looked at.
    pub fn note(&self, event: &Event) {
        self.refused.note(event);
    }

    /// The PIN pad of this reader, if there is one and it is to be used.
    pub fn pin_pad(&self, reader: &str) -> Option<PinPad> {
        match self.policy {
            PinPadPolicy::WhenPresent => self.sessions.card().pin_pad(reader),
            PinPadPolicy::Off => None,
        }
    }

    /// Asks for the card's PIN; what cannot be one is asked for again without costing a try.
    pub async fn ask_card_pin(
        &self,
        kind: SecretKind,
        tries: Option<u8>,
        retry: bool,
        reader: &str,
    ) -> Result<Pin, Reason> {
        self.ask_card_pin_saying(kind, tries, retry, reader, None)
            .await
    }

    /// The same, with a sentence on why the reader's PIN pad is of no use for it.
    pub async fn ask_card_pin_saying(
        &self,
        kind: SecretKind,
        mut tries: Option<u8>,
        mut retry: bool,
        reader: &str,
        mut hint: Option<&str>,
    ) -> Result<Pin, Reason> {
        let mut why = Reason::new(Code::PinFormat, "a card PIN has 4 to 8 digits or letters");
        for _ in 0..3 {
            let asked = self
                .person
                .ask_saying(kind, tries, retry, Some(reader), hint);
            let text = asked.await?;
            retry = true;
            let Ok(pin) = Pin::parse(text.as_bytes()) else {
                continue;
            };
            if kind != SecretKind::CardPin {
                return Ok(pin);
            }
            let Some(left) = self.is_refused(reader, &pin).await else {
                return Ok(pin);
            };
            (tries, hint) = (Some(left), Some(REFUSED_BEFORE));
            why = refused_before(left);
        }
        Err(why)
    }

    /// Tries left if the card refused this PIN and nothing has changed there since. Asks the card, which costs no try.
    async fn is_refused(&self, reader: &str, pin: &Pin) -> Option<u8> {
        let known = self.refused.tries_left(reader, pin)?;
        let state = self.sessions.card().run(reader, CARD_DEADLINE, |card| {
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

    /// The card's PIN for an operation: asked for now, or typed on the reader when it is needed.
    pub async fn card_pin(
        &self,
        tries_left: Option<u8>,
        retry: bool,
        reader: &str,
    ) -> Result<CardPin, Reason> {
        match self.pin_pad(reader) {
            Some(pad) => Ok(CardPin::Pad(PadEntry {
                pad,
                tries_left,
                retry,
            })),
            None => self
                .ask_card_pin(SecretKind::CardPin, tries_left, retry, reader)
                .await
                .map(CardPin::Typed),
        }
    }

    /// Runs work that verifies the PIN. Where it would be typed on the reader and nobody is there who could say so to the
    /// person, it is asked for, once for the whole operation.
    pub async fn with_card_pin<T: Send + 'static>(
        &self,
        reader: &str,
        pin: &mut CardPin,
        purpose: PadPurpose,
        work: impl FnOnce(&mut OpenCard<'_>, &CardPin) -> Result<T, CardError> + Send + 'static,
    ) -> Result<T, PinError> {
        self.sessions.note_own_slot(reader).await;
        if let CardPin::Pad(entry) = *pin {
            let turn = self.pad_turn(reader).await?;
            if let Some(shown) = self.show_pad(reader, &entry, purpose).await? {
                let work = move |card: &mut OpenCard<'_>| work(card, &CardPin::Pad(entry));
                return self.on_pad(reader, shown, work).await;
            }
            drop(turn);
            let (tries, retry) = (entry.tries_left, entry.retry);
            let asked = self.ask_card_pin(SecretKind::CardPin, tries, retry, reader);
            *pin = CardPin::Typed(asked.await.map_err(PinError::NotGiven)?);
        }
        let CardPin::Typed(typed) = &*pin else {
            return Err(PinError::NotGiven(agent_reason(AgentError::NoAgent)));
        };
        // Whatever asked for it: a PIN that the card refused goes no further than here.
        if let Some(left) = self.refused.tries_left(reader, typed) {
            return Err(PinError::NotGiven(refused_before(left)));
        }
        let typed = typed.clone();
        let sent = pin.clone();
        let result = self
            .sessions
            .card()
            .run(reader, CARD_DEADLINE, move |card| work(card, &sent))
            .await
            .map_err(PinError::from);
        self.note_tried(reader, &typed, result.as_ref().err());
        result
    }

    /// VERIFY and OPEN SESSION, in the transaction of the first look if that still holds the card; without a PIN where it was
    /// verified before. What is opened counts only as long as no removal wiped the keys since this began.
    pub async fn open(
        &self,
        reader: &str,
        pin: Option<&mut CardPin>,
        purpose: PadPurpose,
        opening: SessionRequest,
    ) -> Result<Opened, PinError> {
        let generation = self.sessions.keys().generation();
        let held = self.sessions.take_hold(reader);
        let at_once = match (held, pin.as_deref()) {
            (Some(held), Some(CardPin::Typed(typed))) => {
                let opened = go_on(&held, typed.clone(), opening.clone()).await;
                let opened = opened.map(|r| r.map_err(PinError::from));
                if let Some(opened) = &opened {
                    self.note_tried(reader, typed, opened.as_ref().err());
                }
                opened
            }
            _ => None,
        };
        let opened = match (at_once, pin) {
            (Some(opened), _) => opened?,
            (None, Some(pin)) => {
                let open = move |card: &mut OpenCard<'_>, pin: &CardPin| {
                    card_ops::open(card, Some(pin), &opening)
                };
                self.with_card_pin(reader, pin, purpose, open).await?
            }
            (None, None) => {
                let open = move |card: &mut OpenCard<'_>| card_ops::open(card, None, &opening);
                let card = self.sessions.card();
                card.run(reader, CARD_DEADLINE, open).await?
            }
        };
        Ok(Opened {
            generation,
            ..opened
        })
    }

    /// Remembers what came of a PIN that was sent.
    pub fn note_tried(&self, reader: &str, pin: &Pin, error: Option<&PinError>) {
        match error.map(PinError::status) {
            None => self.refused.forget(reader),
            Some(Some(Status::Wrong {
                secret: Secret::Pin,
                tries_left,
            })) => self.refused.add(reader, pin, tries_left),
            // The card said nothing of it.
            Some(_) => {}
        }
    }

    /// A PIN that is typed here, and that the card took: asked for again while it is wrong and the card has tries. Nothing else
    /// is asked for, shown or made before.
    pub async fn right_card_pin(
        &self,
        reader: &str,
        tries_left: Option<u8>,
        hint: Option<&str>,
    ) -> Result<Pin, Failure> {
        let mut tries = tries_left;
        let mut retry = false;
        loop {
            let asked = self.ask_card_pin_saying(SecretKind::CardPin, tries, retry, reader, hint);
            let typed = asked.await?;
            let mut pin = CardPin::Typed(typed.clone());
            let verify = |card: &mut OpenCard<'_>, pin: &CardPin| {
                let wanted = card.wanted();
                pin.verify(&mut card_ops::ours(card)?, wanted)
            };
            let verified = self.with_card_pin(reader, &mut pin, PadPurpose::Change, verify);
            match verified.await {
                Ok(()) => return Ok(typed),
                Err(e) => match e.tries_left() {
                    Some(left) => (tries, retry) = (Some(left), true),
                    None => return Err(e.into()),
                },
            }
        }
    }

    /// Has the PIN changed on the reader. False: its pad cannot, or nobody is there who could say so to the person.
    pub async fn change_on_pad(
        &self,
        reader: &str,
        pad: PinPad,
        tries_left: Option<u8>,
    ) -> Result<bool, PinError> {
        if !pad.can_modify() {
            return Ok(false);
        }
        let entry = PadEntry {
            pad,
            tries_left,
            retry: false,
        };
        self.sessions.note_own_slot(reader).await;
        let _turn = self.pad_turn(reader).await?;
        let Some(shown) = self.show_pad(reader, &entry, PadPurpose::Change).await? else {
            return Ok(false);
        };
        let change = move |card: &mut OpenCard<'_>| {
            let mut applet = card_ops::ours(card)?;
            Ok(applet.change_pin_on_pad(&pad).transpose()?.is_some())
        };
        self.on_pad(reader, shown, change).await
    }

    /// Waits until nobody else's message stands, and the reader waits for no PIN of before: one that was taken back goes on
    /// there until its time is over.
    async fn pad_turn(&self, reader: &str) -> Result<MutexGuard<'_, ()>, PinError> {
        let turn = self.turn.lock().await;
        self.sessions
            .card()
            .run(reader, PAD_DEADLINE, |_| Ok(()))
            .await?;
        Ok(turn)
    }

    /// None: nobody is there who could tell the person.
    async fn show_pad(
        &self,
        reader: &str,
        entry: &PadEntry,
        purpose: PadPurpose,
    ) -> Result<Option<PadShown>, PinError> {
        let request = PadRequest {
            reader: reader.to_owned(),
            purpose,
            tries_left: entry.tries_left,
            retry: entry.retry,
            seconds: TIMEOUT_SECONDS.into(),
        };
        self.person
            .show_pad(request)
            .await
            .map_err(PinError::NotGiven)
    }

    /// Runs work at the reader while the message stands. The person may take it back; the reader's own wait goes on then, and
    /// nothing comes of it.
    async fn on_pad<T: Send + 'static>(
        &self,
        reader: &str,
        mut shown: PadShown,
        work: impl FnOnce(&mut OpenCard<'_>) -> Result<T, CardError> + Send + 'static,
    ) -> Result<T, PinError> {
        let result = tokio::select! {
            result = self.sessions.card().run(reader, PAD_DEADLINE, work) => result.map_err(PinError::from),
            () = shown.declined() => Err(PinError::NotGiven(agent_reason(AgentError::Declined))),
        };
        shown.withdraw().await;
        result
    }
}

/// Goes on in the transaction of the first look; none if that is over.
async fn go_on(
    held: &Sender<GoOn>,
    pin: Pin,
    opening: SessionRequest,
) -> Option<Result<Opened, CardError>> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    held.send(GoOn {
        pin,
        opening,
        reply,
    })
    .ok()?;
    // Sent just as the look ended: nothing was done with it.
    answer.await.ok()
}
