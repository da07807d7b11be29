//! How cards in modems are seen to come and go.
//!
//! No modem tells of an applet, so its channel is asked. A channel that is lost is a card that was removed, whatever came
//! of the SIM: what was opened on it is gone.

use std::path::PathBuf;
use std::time::Duration;

use simsync_card::client::{Applet, CardError as ClientError};
use simsync_card::status::Status;
use simsync_card::transport::TransportError;

use super::port::reader_name;
use super::watch::CardEvent;
use super::worker::{CardError, CardHandle, OpenCard};

/// Between two looks at a modem.
const LOOK: Duration = Duration::from_secs(2);
/// How long a look is waited for: another piece of work with the card may be under way.
const PROBE_DEADLINE: Duration = Duration::from_secs(60);

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
fn probe(card: &mut OpenCard<'_>) -> Result<u64, CardError> {
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
        let probed = card.run(&reader, PROBE_DEADLINE, probe).await;
        let now = match &probed {
            Ok(losses) => Some(Seen::Applet(*losses)),
            Err(e) => seen_by(e),
        };
        if let Some(now) = now.filter(|now| *now != before) {
            if let Err(error) = &probed {
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
