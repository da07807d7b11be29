//! `readers`.

use serde_json::json;
use simsync_card::client::{CardError, Selected};
use simsync_card::pcsc::PcscCard;
use simsync_card::transport::TransportError;
use simsync_shell::visible;

use crate::error::ToolError;
use crate::output::Output;
use crate::reader;

/// Lists readers and what is in them.
pub fn run(out: &Output) -> Result<(), ToolError> {
    let context = reader::context()?;
    let mut lines = String::new();
    let mut values = Vec::new();
    for name in reader::readers(&context)? {
        let text = name.to_string_lossy().into_owned();
        // Known with a card in: an empty reader is left alone here, `doctor` asks it.
        let mut pad = None;
        let state = match PcscCard::connect(&context, &name) {
            Err(TransportError::RemovedCard) => "empty".to_owned(),
            Err(e) => format!("a card that cannot be talked to: {e}"),
            Ok(mut card) => {
                pad = Some(card.pin_pad().is_some());
                let word = match reader::transaction(&mut card) {
                    Ok(mut applet) => word(&applet.select()),
                    Err(_) => "a card that another program holds".to_owned(),
                };
                // Without a reset, other programs need not begin anew with other applets of the card. In ours, SELECT
                // ended PIN state and token of whoever was at it.
                let _ = card.leave();
                word
            }
        };
        let word = if pad == Some(true) {
            "; it has a PIN pad"
        } else {
            ""
        };
        lines.push_str(&format!("{}: {state}{word}\n", visible(&text)));
        values.push(json!({ "reader": text, "state": state, "pin_pad": pad }));
    }
    if values.is_empty() {
        return Err(ToolError::Reader(
            "no card reader is connected; plug one in".to_owned(),
        ));
    }
    out.result(json!({ "readers": values }), &lines);
    Ok(())
}

/// What SELECT says of a card.
fn word(selected: &Result<Selected, CardError>) -> String {
    match selected {
        Ok(s) => format!("simsync card, {}", reader::lifecycle_word(s.lifecycle)),
        Err(CardError::Version { major, minor }) => {
            format!("simsync card, of version {major}.{minor}, which this program does not know")
        }
        Err(_) => "another card".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_of_another_version_is_still_one_of_ours() {
        let told = word(&Err(CardError::Version { major: 2, minor: 1 }));
        assert!(told.starts_with("simsync card, of version 2.1"), "{told}");
        let refused = CardError::Length {
            what: "SELECT",
            least: 0,
            most: 0,
            length: 1,
        };
        assert_eq!(word(&Err(refused)), "another card");
    }
}
