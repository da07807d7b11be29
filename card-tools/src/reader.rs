//! Readers, and the card in the one that is meant; or in a modem.

use std::ffi::{CStr, CString};
use std::path::Path;

use pcsc::{Context, Scope};
use simsync_card::client::{Applet, Lifecycle, Selected};
use simsync_card::connection::{self, Connection};
use simsync_card::modem::{Deadlines, ModemCard};
use simsync_card::pcsc::{PcscCard, PcscTransaction};
use simsync_card::transport::{Transport, TransportError};

use crate::error::ToolError;
use crate::trace::Traced;

/// The card while it is this program's alone; -vv shows what is said.
pub type Taken<'card> = Traced<PcscTransaction<'card>>;

/// A card that can be taken for a while.
pub trait Slot {
    /// The card while it is taken.
    type Taken<'a>: Transport
    where
        Self: 'a;
    /// Takes it; what another program did to it before is over then.
    fn take(&mut self) -> Result<Self::Taken<'_>, ToolError>;
}

impl Slot for PcscCard {
    type Taken<'a> = Taken<'a>;
    fn take(&mut self) -> Result<Taken<'_>, ToolError> {
        take(self)
    }
}

/// SELECT; a card without our applet is said to be one.
pub fn select<T: Transport>(applet: &mut Applet<T>) -> Result<Selected, ToolError> {
    applet.select().map_err(|e| match e.status() {
        Some(_) => ToolError::NoCard("the card in this reader has no simsync applet".to_owned()),
        None => e.into(),
    })
}

/// Where the card is.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In the reader of this name, or in the only one with a card in.
    Reader(Option<&'a str>),
    /// On the SIM of the modem with this AT port.
    Modem(&'a Path),
}

impl<'a> Place<'a> {
    /// For commands that only a reader serves: what they do needs the card itself, and not one application on it.
    pub fn reader(self) -> Result<Option<&'a str>, ToolError> {
        match self {
            Self::Reader(name) => Ok(name),
            Self::Modem(_) => Err(ToolError::Usage(
                "--modem serves info, pin, terminal, terminate and doctor; for this put the SIM into a card reader"
                    .to_owned(),
            )),
        }
    }
}

/// The card that is meant.
pub fn reach(place: Place<'_>) -> Result<Connection, ToolError> {
    Ok(match place {
        Place::Reader(name) => Connection::Reader(connect(name)?),
        Place::Modem(device) => {
            let card = ModemCard::open(device, Deadlines::default());
            Connection::Modem(Box::new(card.map_err(TransportError::from)?))
        }
    })
}

impl Slot for Connection {
    type Taken<'a> = Traced<connection::Taken<'a>>;
    fn take(&mut self) -> Result<Traced<connection::Taken<'_>>, ToolError> {
        Ok(Traced::new(self.begin()?))
    }
}

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

/// Takes the card for a while.
pub fn take(card: &mut PcscCard) -> Result<Taken<'_>, ToolError> {
    Ok(Traced::new(card.begin()?))
}

/// The same, for our applet.
pub fn transaction<S: Slot>(card: &mut S) -> Result<Applet<S::Taken<'_>>, ToolError> {
    card.take().map(Applet::new)
}

/// The word that output has for a lifecycle.
pub fn lifecycle_word(l: Lifecycle) -> &'static str {
    match l {
        Lifecycle::Installed => "blank",
        Lifecycle::Personalised => "half provisioned",
        Lifecycle::Enrolled => "in use",
        Lifecycle::Terminated => "terminated",
    }
}
