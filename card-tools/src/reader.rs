//! Readers, and the card in the one that is meant.

use std::ffi::{CStr, CString};

use pcsc::{Context, Scope};
use simsync_card::client::{Applet, Lifecycle, Selected};
use simsync_card::pcsc::{PcscCard, PcscTransaction};
use simsync_card::transport::TransportError;

use crate::error::ToolError;
use crate::trace::Traced;

/// The card while it is this program's alone; -vv shows what is said.
pub type Taken<'card> = Traced<PcscTransaction<'card>>;

/// A context; says what to do when pcscd does not run.
pub fn context() -> Result<Context, ToolError> {
    Context::establish(Scope::User).map_err(|e| {
        ToolError::Reader(format!(
            "the smart card service (pcscd) does not answer ({e}); install pcscd and start it"
        ))
    })
}

/// Names of all readers.
pub fn readers(context: &Context) -> Result<Vec<CString>, ToolError> {
    match context.list_readers_owned() {
        Ok(names) => Ok(names),
        Err(pcsc::Error::NoReadersAvailable) => Ok(Vec::new()),
        Err(e) => Err(ToolError::Reader(format!(
            "the readers cannot be listed: {e}"
        ))),
    }
}

/// Whether a card can be reached in this reader.
pub fn has_card(context: &Context, reader: &CStr) -> bool {
    PcscCard::connect(context, reader)
        .and_then(PcscCard::leave)
        .is_ok()
}

/// The card in the reader that is meant: the named one, or the only one with a card in.
pub fn connect(wanted: Option<&str>) -> Result<PcscCard, ToolError> {
    let context = context()?;
    let all = readers(&context)?;
    if all.is_empty() {
        return Err(ToolError::Reader(
            "no card reader is connected; plug one in".to_owned(),
        ));
    }
    let matching: Vec<&CString> = match wanted {
        Some(part) => all
            .iter()
            .filter(|n| n.to_string_lossy().contains(part))
            .collect(),
        None => all.iter().filter(|n| has_card(&context, n)).collect(),
    };
    let exact = matching
        .iter()
        .find(|n| Some(&*n.to_string_lossy()) == wanted);
    match (exact, matching.as_slice()) {
        (Some(one), _) | (None, [one]) => Ok(PcscCard::connect(&context, one)?),
        (None, []) if wanted.is_some() => Err(ToolError::Reader(format!(
            "no reader is called {}; `simsync-card readers` lists them",
            wanted.unwrap_or_default()
        ))),
        (None, []) => Err(ToolError::NoCard("no card is in; put it in".to_owned())),
        (None, many) => Err(ToolError::Usage(format!(
            "{} readers fit; name one of them with --reader",
            many.len()
        ))),
    }
}

/// Takes the card for a while; a reset by another program is over then.
pub fn take(card: &mut PcscCard) -> Result<Taken<'_>, ToolError> {
    match card.transaction() {
        Ok(_) | Err(TransportError::ResetByOther) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(Traced::new(card.transaction()?))
}

/// The same, for our applet.
pub fn transaction(card: &mut PcscCard) -> Result<Applet<Taken<'_>>, ToolError> {
    take(card).map(Applet::new)
}

/// SELECT; a card without our applet is said to be one.
pub fn select(applet: &mut Applet<Taken<'_>>) -> Result<Selected, ToolError> {
    applet.select().map_err(|e| match e.status() {
        Some(_) => ToolError::NoCard("the card in this reader has no simsync applet".to_owned()),
        None => e.into(),
    })
}

/// A lifecycle in words.
pub fn lifecycle_word(l: Lifecycle) -> &'static str {
    match l {
        Lifecycle::Installed => "blank",
        Lifecycle::Personalised => "half provisioned",
        Lifecycle::Enrolled => "in use",
        Lifecycle::Terminated => "terminated",
    }
}
