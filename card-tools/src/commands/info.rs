//! `info`.

use serde_json::json;

use crate::error::ToolError;
use crate::output::Output;
use crate::{reader, secrets};

/// Shows the card; with the PIN, whose it is.
pub fn run(
    wanted: Option<&str>,
    with_pin: bool,
    pin_fd: Option<i32>,
    out: &Output,
) -> Result<(), ToolError> {
    let mut card = reader::connect(wanted)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
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
        let pin = secrets::pin(pin_fd, "PIN")?;
        let mut applet = reader::transaction(&mut card)?;
        reader::select(&mut applet)?;
        applet.verify(&pin)?;
        let info = applet.read_info()?;
        text.push_str(&format!(
            "Card       {}\nSubscriber {}\nLabel      {}\nServer     {}\nCA pin     {}\n",
            info.card, info.subscriber, info.label, info.server, info.ca_pin
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
