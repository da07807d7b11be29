//! `pin change` and `pin unblock`.

use serde_json::json;
use simsync_card::client::Puk;

use crate::error::ToolError;
use crate::output::Output;
use crate::reader::Place;
use crate::{reader, secrets};

/// Changes the PIN; the first change sets a new PUK, too.
pub fn change(
    place: Place<'_>,
    pin_fd: Option<i32>,
    new_pin_fd: Option<i32>,
    puk_fd: Option<i32>,
    out: &Output,
) -> Result<(), ToolError> {
    let mut card = reader::reach(place)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
    let old = secrets::pin(pin_fd, &format!("PIN ({} tries left)", selected.pin_tries))?;
    let new = secrets::new_pin(new_pin_fd)?;
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

/// Sets a new PIN with the PUK.
pub fn unblock(
    place: Place<'_>,
    puk_fd: Option<i32>,
    new_pin_fd: Option<i32>,
    out: &Output,
) -> Result<(), ToolError> {
    let mut card = reader::reach(place)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
    out.step(&format!("PUK tries left: {}", selected.puk_tries));
    let puk = secrets::puk(puk_fd)?;
    let new = secrets::new_pin(new_pin_fd)?;
    let mut applet = reader::transaction(&mut card)?;
    reader::select(&mut applet)?;
    applet.unblock(&puk, &new)?;
    out.result(json!({ "unblocked": true }), "The PIN is set anew.");
    Ok(())
}
