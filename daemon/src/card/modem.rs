//! Cards in modems whose AT port the owner set aside for simsync: how they are reached, and how they are seen to come and go.
//!
//! No modem tells of an applet, so its channel is asked. A channel that is lost is a card that was removed, whatever came
//! of the SIM: what was opened on it is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use simsync_card::client::{Applet, CardError as ClientError};
use simsync_card::modem::{Deadlines, ModemCard};
use simsync_card::status::Status;
use simsync_card::transport::TransportError;

use super::watch::CardEvent;
use super::worker::{CardError, CardHandle, OpenCard};

/// Between two looks at a modem.
const LOOK: Duration = Duration::from_secs(2);
/// How long a look is waited for: another piece of work with the card may be under way.
const LOOK_DEADLINE: Duration = Duration::from_secs(60);

/// The modems that are simsync's.
#[derive(Debug, Clone, Default)]
pub struct Modems {
    /// Their AT ports.
    pub devices: BTreeSet<PathBuf>,
    /// Folder in which the names of open channels are noted, for a daemon that ended without closing them.
    pub notes: PathBuf,
}

/// What a modem is called where readers are called by name.
pub fn reader_name(device: &Path) -> String {
    format!("modem {}", device.display())
}

/// A modem's AT port.
pub struct Port {
    device: PathBuf,
    note: PathBuf,
}

impl Port {
    /// The modem that is called so as a reader.
    pub fn find(modems: &Modems, reader: &str) -> Option<Self> {
        let device = modems.devices.iter().find(|d| reader_name(d) == reader)?;
        let file: String = device
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        Some(Self {
            device: device.clone(),
            note: modems.notes.join(file),
        })
    }

    /// Opens a channel to the applet.
    pub fn connect(&self) -> Result<ModemCard, TransportError> {
        let left = std::fs::read_to_string(&self.note).ok();
        let left = left.and_then(|text| text.trim().parse().ok());
        let card = ModemCard::open_after(&self.device, Deadlines::default(), left)?;
        let noted = self
            .note
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&self.note, card.session().to_string()));
        if let Err(error) = noted {
            tracing::warn!(%error, "an open channel is not noted: after a crash the modem may have to be started anew");
        }
        Ok(card)
    }

    /// Closes the channel.
    pub fn close(&self, card: ModemCard) {
        match card.close() {
            Ok(()) => {
                let _ = std::fs::remove_file(&self.note);
            }
            Err(error) => tracing::debug!(%error, "the logical channel is left to the modem"),
        }
    }
}

/// What a look showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// No modem, or no SIM.
    Nothing,
    /// The applet, on a channel; so many were lost before.
    Applet(u64),
    /// Something that no card is reached through: the look at it as a card says why.
    Trouble,
}

/// Whether the channel leads to the applet still, and how many did not before it. VERIFY without data changes nothing.
fn look(card: &mut OpenCard<'_>) -> Result<u64, CardError> {
    let state = Applet::new(card.begin()?).pin_state();
    match state {
        // A card that is no one's yet.
        Ok(_)
        | Err(ClientError::Refused {
            status: Status::NotNow,
            ..
        }) => Ok(card.losses()),
        Err(e) => Err(e.into()),
    }
}

/// What a look that failed says; none if nothing.
fn seen_by(e: &CardError) -> Option<Seen> {
    match e {
        CardError::Busy | CardError::Unwanted | CardError::Gone => None,
        e => match e.transport() {
            Some(TransportError::Modem(e)) if e.is_absence() => Some(Seen::Nothing),
            _ => Some(Seen::Trouble),
        },
    }
}

/// Watches one modem until `emit` answers false.
pub async fn watch(card: CardHandle, device: PathBuf, emit: impl Fn(CardEvent) -> bool) {
    let reader = reader_name(&device);
    let lost = card.lost(&reader);
    if !emit(CardEvent::ReaderAdded(reader.clone())) {
        return;
    }
    let mut before = Seen::Nothing;
    loop {
        let looked = card.run(&reader, LOOK_DEADLINE, look).await;
        let now = match &looked {
            Ok(losses) => Some(Seen::Applet(*losses)),
            Err(e) => seen_by(e),
        };
        if let Some(now) = now.filter(|now| *now != before) {
            if let Err(error) = &looked {
                tracing::info!(%reader, %error, "no card is reached");
            }
            let removed = (before != Seen::Nothing).then(|| CardEvent::CardRemoved(reader.clone()));
            let inserted = (now != Seen::Nothing).then(|| CardEvent::CardInserted(reader.clone()));
            if !removed.into_iter().chain(inserted).all(&emit) {
                return;
            }
            before = now;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = lost.notified() => {}
        }
    }
}
