//! Sessions that are opened while one is there: the card forgot it, or its record is to be ended.

use std::collections::BTreeMap;

use simsync_codes::Code;

use super::openings::{Openings, Opens};
use crate::engine::EngineError;
use crate::reasons::failure;
use crate::rules::{Event, OpenFailure};
use crate::works::Done;

impl Openings {
    /// Before a session is closed: where the card forgot it, since another program reset the card or selected an applet on it,
    /// it is opened anew, with the PIN. Where that is not given the rest is uploaded all the same, and the card not told.
    pub async fn mend_card_session(&self) {
        let forgotten = match self.head.try_put_head(false).await {
            Ok(()) => return self.events.emit(Event::CardTold(None)),
            Err(reason) => !matches!(
                reason.code,
                Code::CardBusy | Code::CardRemoved | Code::Store
            ),
        };
        let session = self.sessions.session_card().ok();
        let Some((reader, card)) = session.filter(|_| forgotten) else {
            return;
        };
        match self.try_open(&reader, card, Opens::Again).await {
            Ok(_) => tracing::info!("the card had forgotten the session; it is open anew"),
            Err(error) => tracing::warn!(?error, "the card has forgotten the session"),
        }
    }

    /// Opens a session that goes on from what the server shows, and tells the card.
    pub async fn accept_restored(&self) -> Done {
        let Ok((reader, card)) = self.sessions.session_card() else {
            return Err(failure(EngineError::Cancelled));
        };
        let had_keys = self.sessions.keys().with(|_| ()).is_ok();
        let opened = self.try_open(&reader, card, Opens::AndEnds).await;
        let read_only = match opened {
            Ok(read_only) => read_only,
            Err(why) => {
                if !had_keys {
                    // No key of the vault stays behind where nothing may be written.
                    self.sessions.keys().wipe();
                }
                return Err(match why {
                    OpenFailure::Gone => failure(EngineError::Cancelled),
                    OpenFailure::Refused(r)
                    | OpenFailure::NotGiven(r)
                    | OpenFailure::Offline(r) => r.into(),
                });
            }
        };
        self.events.emit(Event::Opened {
            reader,
            read_only: read_only.clone(),
        });
        match read_only {
            Some(reason) => Err(reason.into()),
            None => Ok(BTreeMap::new()),
        }
    }
}
