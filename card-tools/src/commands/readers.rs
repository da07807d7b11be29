//! `readers`.

use serde_json::json;
use simsync_card::pcsc::PcscCard;
use simsync_card::transport::TransportError;

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
                    Ok(mut applet) => match applet.select() {
                        Ok(s) => format!("simsync card, {}", reader::lifecycle_word(s.lifecycle)),
                        Err(_) => "another card".to_owned(),
                    },
                    Err(_) => "a card that another program holds".to_owned(),
                };
                // Looked at only: whatever another program verified on it stays.
                let _ = card.leave();
                word
            }
        };
        let word = if pad == Some(true) {
            "; it has a PIN pad"
        } else {
            ""
        };
        lines.push_str(&format!("{text}: {state}{word}\n"));
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
