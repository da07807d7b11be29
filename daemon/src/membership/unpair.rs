//! Leaving: in good order, with everybody told; or at once, with nobody told.

use std::collections::BTreeMap;
use std::sync::Arc;

use simsync_card::client::Selected;
use simsync_card::ids::TerminalId;
use simsync_card::status::Status;
use simsync_codes::Code;
use simsync_protocol::problem::Code as ServerCode;
use simsync_vault::keyobject::KeyObjectBody;

use super::forget::Forgetter;
use super::sign::KeyObjectSigner;
use super::slots::Slots;
use crate::api::Failure;
use crate::database::Database;
use crate::engine::SyncOptions;
use crate::events::Events;
use crate::identity::{Identity, Pairing};
use crate::link::ServerLink;
use crate::person::Person;
use crate::reasons::{card_reason, engine_reason, server_reason};
use crate::rules::Event;
use crate::session::card_ops::CARD_DEADLINE;
use crate::session::{CardPins, CardSessions, card_ops};
use crate::works::{Done, JobHandle, Syncs, Works};

/// Undoes the pairing, where the owner wants that.
pub struct Unpairer {
    pub(crate) identity: Arc<Identity>,
    pub(crate) database: Arc<Database>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) person: Arc<Person>,
    pub(crate) link: Arc<ServerLink>,
    pub(crate) works: Arc<Works>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) signing: Arc<KeyObjectSigner>,
    pub(crate) syncs: Arc<Syncs>,
    pub(crate) forgetting: Arc<Forgetter>,
    pub(crate) events: Events,
}

impl Unpairer {
    /// Undoes the pairing: closing commit, key object without this terminal, card, server, local keys.
    pub async fn unpair(&self, job: &JobHandle) -> Done {
        let (_, pairing) = self.identity.pairing()?;
        if let Some(own) = self.identity.terminal_id()
            && pairing.leaving
        {
            let reader = self.sessions.any_card()?;
            self.check_own_card(&reader, &pairing).await?;
            return self.finish_leaving(&reader, own).await;
        }
        // The long part, and the last that can be cancelled.
        let report = self
            .syncs
            .run_sync(SyncOptions::default(), Some(job))
            .await
            .map_err(|e| Failure::from(engine_reason(&e)))?;
        // Nothing of this terminal goes up any more: what stays behind is said.
        let left = report.outstanding.all();
        let own = self
            .identity
            .terminal_id()
            .ok_or_else(|| Failure::new(Code::NotPaired, "this terminal is not paired"))?;
        let (reader, _) = self.sessions.session_card()?;
        let leave = |body: &mut KeyObjectBody| {
            body.terminals.retain(|t| t.id() != own);
            body.flags |= simsync_vault::keyobject::FLAG_REKEY_REQUIRED;
            Ok(Vec::new())
        };
        let options = SyncOptions {
            closing: true,
            ..SyncOptions::default()
        };
        // Before the server can have it: whether it does is not known where its answer does not come.
        self.note_leaving(true)?;
        if let Err(failure) = self.signing.commit_key_object(leave, options, None).await {
            if matches!(failure.code, Code::Offline | Code::Cancelled) {
                self.events.emit(Event::Leaving);
            } else {
                self.note_leaving(false)?;
            }
            return Err(failure);
        }
        self.events.emit(Event::Leaving);
        let mut values = self.finish_leaving(&reader, own).await?;
        values.insert("left".to_owned(), left.to_string());
        Ok(values)
    }

    fn note_leaving(&self, leaving: bool) -> Result<(), Failure> {
        self.identity
            .update_pairing(|p| p.leaving = leaving)
            .map_err(|e| Failure::new(Code::CannotWrite, e.to_string()))
    }

    /// Another card would say that it does not know this terminal, and that would pass for done.
    async fn check_own_card(&self, reader: &str, pairing: &Pairing) -> Result<(), Failure> {
        if self.sessions.is_in_session(reader) {
            return Ok(());
        }
        let probed = self
            .sessions
            .card()
            .run(reader, CARD_DEADLINE, card_ops::probe)
            .await;
        let selected = probed.map_err(|e| card_reason(&e))?;
        let cards = self.slots.known_cards(pairing);
        let is_own = |s: &Selected| cards.iter().any(|c| s.is_card_of(c, &pairing.subscriber));
        if selected.as_ref().is_some_and(is_own) {
            return Ok(());
        }
        Err(Failure::new(
            Code::CardNotPaired,
            "not paired with this card; put yours in",
        ))
    }

    /// The vault names this terminal no more, or the server is told to see to that: it and the card are told, then what is here
    /// is forgotten. Each may have been told before, and the answer was lost.
    async fn finish_leaving(&self, reader: &str, own: TerminalId) -> Done {
        let (terminal, pairing) = self.identity.pairing()?;
        // What the server is asked with.
        self.person.unsealed_key(&self.identity, &terminal).await?;
        let mut pin = self.pins.card_pin(None, false, reader).await?;
        match self.slots.remove_from_card(reader, &mut pin, own).await {
            Ok(()) => {}
            Err(e) if e.status() == Some(Status::NotFound) => {}
            Err(e) => return Err(e.into()),
        }
        let told = match self.link.connect(&pairing).await {
            Ok(conn) => conn.revoke_terminal(own).await,
            Err(e) => Err(e),
        };
        match told {
            Ok(()) => {}
            Err(e) if e.code() == Some(ServerCode::TerminalRevoked) => {}
            Err(e) => return Err(server_reason(&e).into()),
        }
        // The session first: its end is still noted in what is forgotten then.
        self.sessions.wipe();
        self.events.emit(Event::SessionClosed);
        self.forgetting.forget_pairing()?;
        Ok(BTreeMap::new())
    }

    /// Forgets the pairing here, and nothing else: neither card, server nor the other terminals are told. For a terminal that
    /// cannot leave in good order. Answers how many files' sealed changes were dropped with it.
    pub async fn forget_here(&self) -> Done {
        let label = self.identity.label(&self.database);
        let dropped = self.database.stored(|s| s.sealed_changes());
        let dropped = dropped.map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        self.sessions.wipe();
        self.events.emit(Event::SessionClosed);
        // Work that was given up for this, or an opening that makes a new epoch, has stopped then, and writes nothing after it.
        self.works.stop();
        let _none = self.works.no_engine_works().await;
        self.forgetting.forget_pairing()?;
        Ok(BTreeMap::from([
            ("label".to_owned(), label),
            ("dropped".to_owned(), dropped.to_string()),
        ]))
    }
}
