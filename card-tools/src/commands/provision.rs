//! `provision` (flow 2): PERSONALISE → GENERATE KEYS → `POST /enrol` → the letter, durable → ENROLLED.

use serde_json::json;
use simsync_card::client::{Lifecycle, Personalisation, Pin, Puk, TransportSecret};
use simsync_card::ids::{Hash, SubscriberId};
use simsync_card::text;
use simsync_protocol::address::ServerAddress;
use simsync_protocol::api::EnrolRequest;
use simsync_protocol::client::Client;

use crate::cli::Provision;
use crate::error::ToolError;
use crate::letter::{self, Letter};
use crate::output::Output;
use crate::{reader, secrets};

/// Digits of a first PIN.
const PIN_DIGITS: usize = 6;
const PUK_DIGITS: usize = 8;

/// Makes a blank card somebody's.
pub fn run(wanted: Option<&str>, args: &Provision, out: &Output) -> Result<(), ToolError> {
    let usage = |e: &dyn std::fmt::Display| ToolError::Usage(e.to_string());
    let address: ServerAddress = args.server.parse().map_err(|e| usage(&e))?;
    let ca_pin: Hash = args.ca_pin.parse().map_err(|e| usage(&e))?;
    let subscriber: SubscriberId = args.subscriber.parse().map_err(|e| usage(&e))?;
    letter::check_free(&args.letter)?;

    let mut card = reader::connect(wanted)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
    match selected.lifecycle {
        Lifecycle::Installed | Lifecycle::Personalised => {}
        Lifecycle::Enrolled => {
            return Err(ToolError::Other(
                "this card is provisioned already; `simsync-card info` shows it".to_owned(),
            ));
        }
        Lifecycle::Terminated => {
            return Err(ToolError::Other(
                "this card was terminated; take another one".to_owned(),
            ));
        }
    }
    let code = secrets::read(args.code_fd, "Enrolment code")?;
    let secret = secrets::read(args.transport_secret_fd, "Transport secret of the card")?;
    let secret = TransportSecret::parse(secret.as_bytes()).map_err(|e| usage(&e))?;
    let (pin_text, puk_text) = (secrets::digits(PIN_DIGITS), secrets::digits(PUK_DIGITS));
    let make = |e: simsync_card::client::SecretError| ToolError::Other(e.to_string());

    // The server first: a card that is personalised for a server that cannot be reached is of no use yet.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ToolError::Other(e.to_string()))?;
    let client = Client::new(address, ca_pin);
    let conn = runtime.block_on(client.connect(None))?;
    let nonce = runtime.block_on(conn.nonce())?;

    out.step("Personalising the card and making its keys …");
    let bytes = text::enrol_bytes(&conn.exporter(), &nonce.nonce.0);
    let (card_id, keys, signature) = {
        let mut applet = reader::transaction(&mut card)?;
        reader::select(&mut applet)?;
        let id = applet.personalise(
            &secret,
            &Personalisation {
                subscriber: subscriber.clone(),
                label: args.label.clone(),
                server: args.server.clone(),
                ca_pin,
                pin: Pin::parse(pin_text.as_bytes()).map_err(make)?,
                puk: Puk::parse(puk_text.as_bytes()).map_err(make)?,
                contactless: args.contactless,
                pin_due: !args.keep_pin,
            },
        )?;
        let signed = applet.generate_keys(&secret, &bytes)?;
        let (keys, signature) = signed.enrolled_by(&id, &bytes).map_err(|_| {
            ToolError::Other(
                "the card's own signature does not verify; do not use this card".to_owned(),
            )
        })?;
        (id, keys, signature)
    };

    out.step("Enrolling it at the server …");
    let answer = runtime.block_on(conn.enrol(&EnrolRequest {
        subscriber: subscriber.clone(),
        code: code.to_string(),
        card: card_id,
        label: args.label.clone(),
        keys,
        nonce: nonce.nonce,
        signature,
    }))?;

    Letter {
        subscriber: subscriber.as_str(),
        label: &args.label,
        card: &card_id.to_string(),
        server: &args.server,
        pin: &pin_text,
        puk: &puk_text,
        change: !args.keep_pin,
    }
    .write(&args.letter)?;

    // Only now: before the letter is on the disk, nobody would know the PIN of a finished card.
    let mut applet = reader::transaction(&mut card)?;
    reader::select(&mut applet)?;
    applet.enrolled(&secret)?;
    out.result(
        json!({
            "card": card_id,
            "subscriber": subscriber,
            "letter": args.letter,
            "already_enrolled": answer.already,
        }),
        &format!(
            "The card {card_id} is {subscriber}'s. The letter is in {}.",
            args.letter.display()
        ),
    );
    Ok(())
}
