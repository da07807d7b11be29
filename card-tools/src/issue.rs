//! The way of one card (flow 2): PERSONALISE → GENERATE KEYS → `POST /enrol` → the letter, durable → ENROLLED. The same for
//! one card and for many; each step may be repeated until the last one is done.

use simsync_card::client::{Applet, Personalisation, Pin, Puk, SecretError, TransportSecret};
use simsync_card::ids::{CardId, Hash, SubscriberId};
use simsync_card::sign::Sig;
use simsync_card::text::CardKeys;

use crate::error::ToolError;
use crate::letter::Letter;
use crate::reader::{Slot, select};
use crate::secrets;

/// Digits of a first PIN.
const PIN_DIGITS: usize = 6;
const PUK_DIGITS: usize = 8;

/// What is the same for all cards of a desk.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The server's address, as terminals will reach it.
    pub server: String,
    /// Fingerprint of the server's CA.
    pub ca_pin: Hash,
    /// The card works without contacts too.
    pub contactless: bool,
    /// The PIN of the letter may be kept.
    pub keep_pin: bool,
}

/// Whose the card becomes.
#[derive(Clone, Copy)]
pub struct Holder<'a> {
    pub subscriber: &'a SubscriberId,
    /// The card's label.
    pub label: &'a str,
    /// The enrolment code.
    pub code: &'a str,
}

/// What the card tells the server.
pub struct Introduction<'a> {
    pub holder: Holder<'a>,
    /// ID of the card, drawn at its first PERSONALISE.
    pub card: CardId,
    /// Its public keys.
    pub keys: CardKeys,
    /// Its signature over them and the bytes of [`Registrar::begin`].
    pub signature: Sig,
}

/// The server's side.
pub trait Registrar {
    /// Connects; answers the 32 bytes that the card has to sign. Before a card is touched: one that is personalised for a
    /// server that cannot be reached is of no use yet.
    fn begin(&mut self) -> Result<[u8; 32], ToolError>;
    /// Enrols; answers whether the card was enrolled already.
    fn enrol(&mut self, card: &Introduction<'_>) -> Result<bool, ToolError>;
}

/// What is to be durable on the way.
pub trait Record {
    /// The card has this ID; the server is told next.
    fn card(&mut self, card: &CardId) -> Result<(), ToolError>;
    /// The server knows the card; ENROLLED is next, and after it nobody can set a PIN any more.
    fn letter(&mut self, letter: &Letter<'_>) -> Result<(), ToolError>;
}

/// A card that is enrolled, at the server and by its own lifecycle.
#[derive(Debug)]
pub struct Issued {
    pub card: CardId,
    /// The server knew it before.
    pub already: bool,
}

/// Makes a card somebody's that is not enrolled yet.
pub fn issue<S: Slot>(
    slot: &mut S,
    secret: &TransportSecret,
    terms: &Terms,
    holder: Holder<'_>,
    registrar: &mut impl Registrar,
    record: &mut impl Record,
) -> Result<Issued, ToolError> {
    let make = |e: SecretError| ToolError::Other(e.to_string());
    let (pin, puk) = (secrets::digits(PIN_DIGITS), secrets::digits(PUK_DIGITS));
    let bytes = registrar.begin()?;
    let (card, keys, signature) = {
        let mut applet = Applet::new(slot.take()?);
        select(&mut applet)?;
        let card = applet.personalise(
            secret,
            &Personalisation {
                subscriber: holder.subscriber.clone(),
                label: holder.label.to_owned(),
                server: terms.server.clone(),
                ca_pin: terms.ca_pin,
                pin: Pin::parse(pin.as_bytes()).map_err(make)?,
                puk: Puk::parse(puk.as_bytes()).map_err(make)?,
                contactless: terms.contactless,
                pin_due: !terms.keep_pin,
            },
        )?;
        let signed = applet.generate_keys(secret, &bytes)?;
        let (keys, signature) = signed.enrolled_by(&card, &bytes).map_err(|_| {
            ToolError::Other(
                "the card's own signature does not verify; do not use this card".to_owned(),
            )
        })?;
        (card, keys, signature)
    };
    record.card(&card)?;
    let already = registrar.enrol(&Introduction {
        holder,
        card,
        keys,
        signature,
    })?;
    record.letter(&Letter {
        subscriber: holder.subscriber.as_str(),
        label: holder.label,
        card: &card.to_string(),
        server: &terms.server,
        pin: &pin,
        puk: &puk,
        change: !terms.keep_pin,
    })?;
    // Only now: before the letter is on the disk, nobody would know the PIN of a finished card.
    let mut applet = Applet::new(slot.take()?);
    select(&mut applet)?;
    applet.enrolled(secret)?;
    Ok(Issued { card, already })
}
