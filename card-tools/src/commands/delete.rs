//! `delete`: takes the applet off a card.

use serde_json::json;
use simsync_globalplatform::install::{self, Wishes};

use crate::cli::Delete;
use crate::error::ToolError;
use crate::keys::{Source, host_challenge};
use crate::output::Output;
use crate::reader;

/// Deletes what simsync put onto the card; a card without it is no error.
pub fn run(wanted: Option<&str>, args: &Delete, out: &Output) -> Result<(), ToolError> {
    let wishes = Wishes {
        replace: true,
        destroy_keys: args.destroy_keys,
    };
    let mut source = Source::open(&args.keys, out)?;
    let mut card = reader::connect(wanted)?;
    // Before anybody types keys.
    install::probe(&mut reader::take(&mut card)?)?.check_deletable(wishes)?;
    let access = source.get()?;
    let taken = reader::take(&mut card)?;
    let deleted = install::remove(taken, &access, &host_challenge(), wishes)?;
    let names: Vec<String> = deleted.iter().map(ToString::to_string).collect();
    let text = if names.is_empty() {
        "Nothing of simsync is on this card.".to_owned()
    } else {
        format!("Deleted: {}.", names.join(", "))
    };
    out.result(json!({ "deleted": names }), &text);
    Ok(())
}
