//! The card's PIN: typed on the reader's own keys where it has them, and never in this program then; else here.

use simsync_card::client::{Applet, Pin};
use simsync_card::pinpad::{Control, PinPad};
use simsync_card::transport::Transport;

use crate::error::ToolError;
use crate::secrets;

/// How the person may give it, by the command line.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// From this descriptor.
    pub fd: Option<i32>,
    /// On the reader, if it has keys.
    pub pad: bool,
}

impl Manner {
    /// The PIN pad of the card's reader, if it has one and it is to be used.
    pub fn pad(self, there: Option<PinPad>) -> Option<PinPad> {
        there.filter(|_| self.pad && self.fd.is_none())
    }
}

/// The PIN, or where it will be typed. With a pad each VERIFY is typed anew: the reader forgets.
pub enum CardPin {
    /// Known here.
    Typed(Pin),
    /// Typed on the reader.
    Pad(PinPad),
}

impl CardPin {
    /// Asks for it, unless it will be typed on the reader.
    pub fn get(manner: Manner, there: Option<PinPad>) -> Result<Self, ToolError> {
        match manner.pad(there) {
            Some(pad) => Ok(Self::Pad(pad)),
            None => secrets::pin(manner.fd, "PIN").map(Self::Typed),
        }
    }

    /// VERIFY. `why` says what it is for.
    pub fn verify<T: Transport + Control>(
        &self,
        applet: &mut Applet<T>,
        why: &str,
    ) -> Result<(), ToolError> {
        let verified = match self {
            Self::Typed(pin) => applet.verify(pin),
            Self::Pad(pad) => {
                say(&format!("Type the PIN on the reader, {why}."));
                applet.verify_on_pad(pad)
            }
        };
        verified.map_err(ToolError::from)
    }
}

/// Tells the person at the reader, whatever the results are written as.
pub fn say(text: &str) {
    eprintln!("{}", simsync_shell::visible(text));
}
