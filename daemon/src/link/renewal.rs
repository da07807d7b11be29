//! Keeping a session open: the card proves its presence again, on the same or on a new connection.

use std::sync::Arc;

use simsync_codes::Code;
use simsync_protocol::api::RenewRequest;
use simsync_vault::commit::SessionRef;

use super::connection::ServerLink;
use crate::api::Reason;
use crate::engine::EngineError;
use crate::events::Events;
use crate::identity::Identity;
use crate::reasons::{card_reason, server_reason};
use crate::rules::Event;
use crate::session::CardSessions;
use crate::session::card_ops::{self, CARD_DEADLINE};

/// Renews the grant of the open session.
pub struct Renewal {
    pub(crate) link: Arc<ServerLink>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) events: Events,
}

impl Renewal {
    /// RENEW: the card is still there.
    pub fn renew(self: Arc<Self>) {
        tokio::spawn(async move {
            if let Err(reason) = self.try_renew().await {
                tracing::info!(code = %reason.code, "{}", reason.sentence);
                // Without network, or with the card held by another program, nobody knows whether the grant ended; the
                // next connection will tell.
                if !matches!(reason.code, Code::Offline | Code::CardBusy) {
                    self.session_over(reason);
                }
            }
        });
    }

    /// Tells the rules that the session has to be opened anew.
    fn session_over(&self, reason: Reason) {
        self.events.emit(Event::SessionOver(reason));
    }

    /// A new proof of the card's presence, on the present connection; a lost connection is made anew.
    async fn try_renew(&self) -> Result<(), Reason> {
        let Some(live) = self.sessions.live() else {
            return Ok(());
        };
        let (reader, token, statement) = (live.reader, live.token, live.session.statement);
        let (_, pairing) = self.identity.pairing()?;
        let prepared = self
            .link
            .prepare(&pairing)
            .await
            .map_err(|e| server_reason(&e))?;
        let binding = prepared.binding;
        let signature = self
            .sessions
            .card()
            .run(&reader, CARD_DEADLINE, move |card| {
                card_ops::renew(card, &token, &binding)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        let known = self.sessions.known();
        let (known_sequence, known_list) =
            known.map_err(|e| Reason::new(Code::Store, e.to_string()))?;
        let request = RenewRequest {
            session: SessionRef {
                card: statement.card,
                n: statement.n,
            },
            nonce: prepared.nonce,
            signature,
            known_sequence,
            known_list,
        };
        prepared
            .conn
            .renew(&request)
            .await
            .map_err(|e| server_reason(&e))?;
        self.sessions.is_on(prepared.conn);
        Ok(())
    }

    /// A session whose connection died regains its grant by RENEW, without the PIN.
    pub async fn revive_connection(&self) -> Result<(), EngineError> {
        let session = self.sessions.session();
        if session.is_some_and(|s| s.conn.is_closed()) {
            self.link.forget();
            if let Err(reason) = self.try_renew().await {
                tracing::info!(code = %reason.code, "{}", reason.sentence);
                if reason.code == Code::CardBusy {
                    return Err(EngineError::CardBusy);
                }
                if reason.code != Code::Offline {
                    // Another program reset the card, for example: only a new session helps.
                    self.session_over(reason);
                    return Err(EngineError::Cancelled);
                }
            }
        }
        Ok(())
    }
}
