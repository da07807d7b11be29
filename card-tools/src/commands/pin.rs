//! `pin change` and `pin unblock`.

use serde_json::json;
use simsync_card::client::{Puk, Selected};
use simsync_card::connection::Connection;

use crate::card_pin::{self, Manner};
use crate::dialogue::{self, Source};
use crate::error::ToolError;
use crate::output::Output;
use crate::reader::{self, Place};
use crate::secrets;

/// Changes the PIN; the first change sets a new PUK, too.
pub fn change(
    place: Place<'_>,
    manner: Manner,
    new_pin_fd: Option<i32>,
    puk_fd: Option<i32>,
    out: &Output,
) -> Result<(), ToolError> {
    let mut card = reader::reach(place)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
    if new_pin_fd.is_none() && change_on_pad(&mut card, manner, &selected)? {
        out.result(
            json!({ "changed": true, "new_puk": false }),
            "The PIN is changed.",
        );
        return Ok(());
    }
    let old = dialogue::right_pin(&mut card, &mut Source(manner.fd), selected.pin_tries)?;
    let new = dialogue::new_pin(&mut Source(new_pin_fd))?;
    if selected.pin_due {
        let text = secrets::digits(8);
        let puk = Puk::parse(text.as_bytes()).map_err(|e| ToolError::Other(e.to_string()))?;
        // Shown before it is set: if nobody ever sees it, the old one still counts.
        secrets::show(puk_fd, "New PUK (write it down, it is shown once)", &text)?;
        let mut applet = reader::transaction(&mut card)?;
        reader::select(&mut applet)?;
        applet.change_first_pin(&old, &new, &puk)?;
    } else {
        let mut applet = reader::transaction(&mut card)?;
        reader::select(&mut applet)?;
        applet.change_pin(&old, &new)?;
    }
    out.result(
        json!({ "changed": true, "new_puk": selected.pin_due }),
        "The PIN is changed.",
    );
    Ok(())
}

/// Has the reader's PIN pad do it; false if it is to be done here, which the person is told the reason of.
fn change_on_pad(
    card: &mut Connection,
    manner: Manner,
    selected: &Selected,
) -> Result<bool, ToolError> {
    let Some(pad) = manner.pad(card.pin_pad()) else {
        return Ok(false);
    };
    if selected.pin_due {
        card_pin::say(
            "The first change sets a new PUK too, which the reader's PIN pad cannot: the PINs are typed here.",
        );
        return Ok(false);
    }
    if !pad.can_modify() {
        card_pin::say("The reader's PIN pad takes no new PINs: the PINs are typed here.");
        return Ok(false);
    }
    let mut applet = reader::transaction(card)?;
    reader::select(&mut applet)?;
    card_pin::say(&format!(
        "Type on the reader: the PIN ({} tries left), the new PIN, and the new PIN again.",
        selected.pin_tries
    ));
    match applet.change_pin_on_pad(&pad) {
        Some(changed) => changed.map_err(ToolError::from).map(|()| true),
        None => Ok(false),
    }
}

/// Sets a new PIN with the PUK. Typed here, whatever the reader has: a pad's *modify* knows no PUKs.
pub fn unblock(
    place: Place<'_>,
    puk_fd: Option<i32>,
    new_pin_fd: Option<i32>,
    out: &Output,
) -> Result<(), ToolError> {
    let mut card = reader::reach(place)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
    dialogue::unblock(
        &mut card,
        &mut Source(puk_fd),
        &mut Source(new_pin_fd),
        selected.puk_tries,
    )?;
    out.result(json!({ "unblocked": true }), "The PIN is set anew.");
    Ok(())
}
