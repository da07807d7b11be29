//! `terminal list` and `terminal remove`.

use serde_json::json;
use simsync_card::client::ListedTerminal;
use simsync_shell::visible;

use crate::card_pin::{CardPin, Manner};
use crate::error::ToolError;
use crate::output::Output;
use crate::reader::{self, Place};

/// Lists the terminals that the card knows.
pub fn list(place: Place<'_>, manner: Manner, out: &Output) -> Result<(), ToolError> {
    let mut card = reader::reach(place)?;
    let pin = CardPin::get(manner, card.pin_pad())?;
    let mut applet = reader::transaction(&mut card)?;
    reader::select(&mut applet)?;
    pin.verify(&mut applet, "to see the terminals")?;
    let terminals = applet.terminals()?;
    let mut text = String::new();
    for t in &terminals {
        let open = t
            .unsettled
            .map_or(String::new(), |n| format!("  session {n} not finished"));
        text.push_str(&format!(
            "{:>2}  {}  {}{open}\n",
            t.slot.number(),
            t.terminal.short(),
            visible(&t.label)
        ));
    }
    if terminals.is_empty() {
        text.push_str("The card knows no terminal.\n");
    }
    let values: Vec<_> = terminals
        .iter()
        .map(|t| json!({ "slot": t.slot.number(), "terminal": t.terminal, "label": t.label, "unsettled": t.unsettled }))
        .collect();
    out.result(json!({ "terminals": values }), &text);
    Ok(())
}

/// Removes one terminal from the card.
pub fn remove(
    place: Place<'_>,
    which: &str,
    manner: Manner,
    out: &Output,
) -> Result<(), ToolError> {
    let mut card = reader::reach(place)?;
    let pin = CardPin::get(manner, card.pin_pad())?;
    let mut applet = reader::transaction(&mut card)?;
    reader::select(&mut applet)?;
    pin.verify(&mut applet, "to see the terminals")?;
    let all = applet.terminals()?;
    let fits = |t: &&ListedTerminal| {
        t.label == which || (which.len() >= 4 && t.terminal.to_string().starts_with(which))
    };
    let found: Vec<&ListedTerminal> = all.iter().filter(fits).collect();
    let [one] = found.as_slice() else {
        return Err(ToolError::Usage(match found.len() {
            0 => format!(
                "the card knows no terminal {which}; `simsync-card terminal list` shows them"
            ),
            n => format!("{n} terminals fit {which}; use the ID"),
        }));
    };
    // Directly after VERIFY, so that no other program rides on the PIN.
    let why = format!("to remove {} ({})", one.label, one.terminal.short());
    pin.verify(&mut applet, &why)?;
    applet.remove_terminal(&one.terminal)?;
    out.result(
        json!({ "removed": one.terminal, "label": one.label }),
        &format!("{} ({}) is removed from the card. The server knows it still: simsync-server terminal revoke", visible(&one.label), one.terminal.short()),
    );
    Ok(())
}
