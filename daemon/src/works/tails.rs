//! Tails: what a session that ended left, sealed, delivered, or waited for no longer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use simsync_codes::Code;
use simsync_vault::commit::SessionRef;

use super::current::Works;
use super::folders::Folders;
use super::jobs::Done;
use crate::api::{Failure, Reason};
use crate::database::Database;
use crate::engine::{Engine, EngineError, leaving_nothing};
use crate::engines::Engines;
use crate::events::Events;
use crate::identity::Identity;
use crate::link::ServerLink;
use crate::notes::Notes;
use crate::reasons::{engine_reason, outcome_of, server_reason};
use crate::rules::{Event, Outcome, Work};
use crate::session::{CardHead, CardSessions};

/// Makes tails, and delivers them when the server can be reached.
pub struct Tails {
    pub(crate) works: Arc<Works>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) head: Arc<CardHead>,
    pub(crate) link: Arc<ServerLink>,
    pub(crate) folders: Arc<Folders>,
    pub(crate) database: Arc<Database>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) events: Events,
    /// The folder of sealed packs.
    pub(crate) outbox: PathBuf,
}

impl Tails {
    /// Seals what is left of the newest session that ended.
    pub fn start(self: Arc<Self>) {
        tokio::spawn(async move {
            let work = Work::Tail;
            let Some(engine) = self.engines.engine(self.works.begin()) else {
                return self.events.emit(Event::WorkEnded {
                    work,
                    outcome: Outcome::Done,
                });
            };
            let tails = self.clone();
            let result =
                tokio::task::spawn_blocking(move || leaving_nothing(|| tails.make_tails(&engine)))
                    .await;
            let outcome = match result {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(e)) => {
                    tracing::error!(error = %e, "tail");
                    outcome_of(&e)
                }
                Err(_) => Outcome::Failed(Reason::new(Code::Internal, "sealing the tail failed")),
            };
            self.notes.mark("tail-made");
            self.folders.tell_outstanding();
            self.events.emit(Event::WorkEnded { work, outcome });
        });
    }

    fn make_tails(&self, engine: &Engine) -> Result<(), EngineError> {
        let sessions = self.database.stored(|s| s.own_sessions())?;
        // The newest session's tail holds everything that earlier ones left, too.
        let begun = self.sessions.begun();
        let newest = sessions
            .iter()
            .filter(|s| Some(s.session()) != begun)
            .max_by_key(|s| s.statement.n);
        if let Some(s) = newest.filter(|s| s.tail.is_none()) {
            let report = engine.make_tail(&s.statement, &self.outbox)?;
            self.notes.note_tail(&report);
            tracing::info!(
                items = report.items,
                referenced = report.referenced,
                left = report.left,
                bytes = report.bytes,
                "tail sealed"
            );
        }
        Ok(())
    }

    /// Delivers tails that wait, if the server can be reached.
    pub fn deliver(self: Arc<Self>) {
        tokio::spawn(async move {
            let _one = self.sessions.delivery_turn().await;
            let delivered = match self.database.tails_waiting() {
                Ok(false) => Ok(()),
                Ok(true) => self.try_deliver().await,
                Err(e) => Err(Reason::new(Code::Store, e.to_string())),
            };
            if let Err(reason) = &delivered {
                tracing::info!(code = %reason.code, "tails wait: {}", reason.sentence);
            }
            self.events.emit(Event::TailsDelivered(delivered.is_ok()));
        });
    }

    async fn try_deliver(&self) -> Result<(), Reason> {
        let (_, pairing) = self.identity.pairing()?;
        let engine = self.engines.side_engine().ok_or_else(|| {
            Reason::new(
                Code::KeySealed,
                "the terminal's key is sealed; it is delivered after the next `simsync unlock`",
            )
        })?;
        let conn = self
            .link
            .connect(&pairing)
            .await
            .map_err(|e| server_reason(&e))?;
        let outbox = self.outbox.clone();
        tokio::task::spawn_blocking(move || engine.deliver_tails(&conn, &outbox))
            .await
            .map_err(|_| Reason::new(Code::Internal, "delivering failed"))?
            .map(|_| ())
            .map_err(|e| engine_reason(&e))
    }

    /// Stops waiting for what a terminal had not uploaded.
    pub async fn forget(&self, which: &str) -> Done {
        let live = self.sessions.needed()?;
        let (session, unsettled) = (live.session, live.unsettled);
        let objects = self
            .database
            .stored(|s| s.key_objects())
            .map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        let matches = |t: &simsync_vault::keyobject::TerminalEntry| {
            t.label == which || (which.len() >= 4 && t.id().to_string().starts_with(which))
        };
        let found: Vec<_> = unsettled
            .iter()
            .filter(|u| {
                objects
                    .iter()
                    .flat_map(|o| &o.body.terminals)
                    .any(|t| t.id().0[..8] == u.terminal && matches(t))
            })
            .copied()
            .collect();
        if found.is_empty() {
            return Err(Failure::new(
                Code::NoSuchTerminal,
                format!(
                    "no unfinished upload of {which} is waited for; `simsync terminals list` shows which are"
                ),
            ));
        }
        let sessions: Vec<SessionRef> = found
            .iter()
            .map(|u| SessionRef {
                card: session.statement.card,
                n: u.n,
            })
            .collect();
        session
            .conn
            .forget(sessions.clone())
            .await
            .map_err(|e| server_reason(&e))?;
        for s in &sessions {
            self.database
                .stored(|store| store.set_forgotten(s))
                .map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        }
        self.head.put_head(false).await;
        Ok(BTreeMap::from([(
            "sessions".to_owned(),
            sessions.len().to_string(),
        )]))
    }
}
