//! `info`: our card, or a SIM as far as it tells who it is.

use serde_json::json;
use simsync_card::sim::{self, Chv, Read, Sim};
use simsync_shell::visible;

use crate::card_pin::{CardPin, Manner};
use crate::error::ToolError;
use crate::output::Output;
use crate::reader::{self, Place, Slot as _};

/// Shows the card; with the PIN, whose it is.
pub fn run(
    place: Place<'_>,
    with_pin: bool,
    manner: Manner,
    out: &Output,
) -> Result<(), ToolError> {
    let mut card = reader::reach(place)?;
    let found = reader::select(&mut reader::transaction(&mut card)?);
    let selected = match found {
        Ok(selected) => selected,
        Err(e @ ToolError::NoCard(_)) => {
            let told = sim::read(&mut card.take()?)?;
            return told.map_or(Err(e), |told| {
                show_sim(&told, out);
                Ok(())
            });
        }
        Err(e) => return Err(e),
    };
    let (major, minor) = selected.version;
    let state = reader::lifecycle_word(selected.lifecycle);
    let mut value = json!({
        "version": format!("{major}.{minor}"),
        "state": state,
        "pin_tries": selected.pin_tries,
        "puk_tries": selected.puk_tries,
        "pin_must_change": selected.pin_due,
    });
    let mut text = format!(
        "Applet     {major}.{minor}\nState      {state}\nPIN tries  {}\nPUK tries  {}\n",
        selected.pin_tries, selected.puk_tries
    );
    if selected.pin_due {
        text.push_str("The PIN must be changed: simsync-card pin change\n");
    }
    if with_pin {
        let pin = CardPin::get(manner, card.pin_pad())?;
        let mut applet = reader::transaction(&mut card)?;
        reader::select(&mut applet)?;
        pin.verify(&mut applet, "to see whose card it is")?;
        let info = applet.read_info()?;
        text.push_str(&format!(
            "Card       {}\nSubscriber {}\nLabel      {}\nServer     {}\nIts CA     {} (fingerprint)\n",
            info.card,
            info.subscriber,
            visible(&info.label),
            visible(&info.server),
            info.ca_pin
        ));
        value["card"] = json!(info.card);
        value["subscriber"] = json!(info.subscriber);
        value["label"] = json!(info.label);
        value["server"] = json!(info.server);
        value["ca_pin"] = json!(info.ca_pin);
    }
    out.result(value, &text);
    Ok(())
}

/// A card that cannot carry a vault's key: who it is, and that it is no more than that.
fn show_sim(sim: &Sim, out: &Output) {
    let word = |read: &Read| match read {
        Read::Digits(digits) => digits.clone(),
        Read::Locked => "locked by its PIN".to_owned(),
        Read::Absent => "none".to_owned(),
    };
    let pin = pin_word(sim.chv);
    let state = |read: &Read| match read {
        Read::Digits(_) => "read",
        Read::Locked => "locked",
        Read::Absent => "none",
    };
    out.result(
        json!({
            "kind": sim.kind.word(),
            "applet": false,
            "iccid": sim.iccid.digits(),
            "imsi": sim.imsi.digits(),
            "imsi_state": state(&sim.imsi),
            "pin_enabled": sim.chv.enabled,
            "pin_tries": sim.chv.tries,
        }),
        &format!(
            "Kind       {}\nICCID      {}\nIMSI       {}\nPIN (CHV1) {pin}\n\
             It has no simsync applet: its numbers can be copied, so it says that somebody is there, and unlocks nothing.\n",
            sim.kind.word(),
            word(&sim.iccid),
            word(&sim.imsi)
        ),
    );
}

fn pin_word(chv: Chv) -> String {
    match (chv.enabled, chv.tries) {
        (Some(false), _) => "not asked for".to_owned(),
        (_, Some(0)) => "blocked; its PUK unblocks it, in a phone".to_owned(),
        (_, Some(1)) => "1 try left".to_owned(),
        (_, Some(tries)) => format!("{tries} tries left"),
        (Some(true), None) => "asked for".to_owned(),
        (None, None) => "not told".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_pin_is_said_in_words() {
        for (enabled, tries, word) in [
            (Some(false), Some(2), "not asked for"),
            (Some(false), None, "not asked for"),
            (Some(true), Some(3), "3 tries left"),
            (None, Some(2), "2 tries left"),
            (Some(true), Some(1), "1 try left"),
            (
                Some(true),
                Some(0),
                "blocked; its PUK unblocks it, in a phone",
            ),
            (None, Some(0), "blocked; its PUK unblocks it, in a phone"),
            (Some(true), None, "asked for"),
            (None, None, "not told"),
        ] {
            assert_eq!(pin_word(Chv { enabled, tries }), word);
        }
    }
}
