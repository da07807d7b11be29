//! `terminate`: wipes a card for good.

use serde_json::json;
use simsync_card::client::Lifecycle;

use crate::error::ToolError;
use crate::output::Output;
use crate::reader::Place;
use crate::{reader, secrets};

/// Wipes the card with its PUK, or without one if the PUK is blocked.
pub fn run(
    place: Place<'_>,
    destroy_keys: bool,
    puk_fd: Option<i32>,
    out: &Output,
) -> Result<(), ToolError> {
    if !destroy_keys {
        return Err(ToolError::Usage(
            "the card's keys would be gone for good, and without another card of its owner the vault too: say so with --destroy-keys"
                .to_owned(),
        ));
    }
    let mut card = reader::reach(place)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
    if selected.lifecycle == Lifecycle::Terminated {
        tell(out, "The card was wiped before.");
        return Ok(());
    }
    let puk = if selected.puk_tries == 0 {
        out.step("The PUK is blocked: it is not needed.");
        None
    } else {
        out.step(&format!("PUK tries left: {}", selected.puk_tries));
        Some(secrets::puk(puk_fd)?)
    };
    let mut applet = reader::transaction(&mut card)?;
    reader::select(&mut applet)?;
    applet.terminate(puk.as_ref())?;
    tell(out, "The card is wiped.");
    Ok(())
}

fn tell(out: &Output, what: &str) {
    out.result(
        json!({ "terminated": true }),
        &format!("{what} Its server does not know: `simsync-server card revoke` tells it."),
    );
}
