//! A card's terminal slots, brought in line with the key object that the person's cards signed (flow 8).

use std::collections::BTreeSet;
use std::sync::Arc;

use simsync_card::ids::{CardId, TerminalId};
use simsync_protocol::api::{PairingsRequest, TerminalPairing};
use simsync_protocol::client::{ClientError, Connection};
use simsync_protocol::problem::Code as ServerCode;
use simsync_vault::keyobject::{KeyObject, RECOVERY_ID, TerminalEntry};

use crate::api::{PadPurpose, Reason};
use crate::card::OpenCard;
use crate::database::Database;
use crate::engine::{EngineError, Session, TrustedCard};
use crate::engines::Engines;
use crate::events::Events;
use crate::identity::{Identity, Pairing};
use crate::link::fetch_newer;
use crate::reasons::{engine_failure, server_failure};
use crate::rules::{Event, OpenFailure};
use crate::session::card_ops::CARD_DEADLINE;
use crate::session::{CardPin, CardPins, CardSessions, PinError, card_ops};

/// Key objects may follow each other while the card takes terminals in.
const ATTEMPTS: usize = 3;

/// Which terminals the person's cards know, and which cards this terminal trusts.
pub struct Slots {
    pub(crate) identity: Arc<Identity>,
    pub(crate) database: Arc<Database>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) events: Events,
}

impl Slots {
    /// The card with the keys that this terminal trusts: read from the card itself at pairing, or signed into the newest
    /// key object by another card of the person.
    pub fn trusted(&self, pairing: &Pairing, card: &CardId) -> Result<TrustedCard, EngineError> {
        if pairing.card.id == *card {
            return Ok(pairing.card);
        }
        let objects = self.database.stored(|s| s.key_objects())?;
        let found = objects.last().and_then(|o| o.body.recipient(card));
        let found = found.ok_or(EngineError::NotInVault)?;
        Ok(TrustedCard {
            id: *card,
            keys: found.keys,
        })
    }

    /// The card that paired this terminal, or every card of the newest key object.
    pub fn known_cards(&self, pairing: &Pairing) -> Vec<CardId> {
        match self.database.newest_list() {
            Ok(Some(list)) => cards_of(&list).into_iter().collect(),
            _ => vec![pairing.card.id],
        }
    }

    /// Whether a card that does not know this terminal may be asked to take it in: a spare card that was never used here.
    /// Where a card was, and knows the terminal no more, its owner took the terminal off it.
    pub fn is_new_here(&self, pairing: &Pairing, card: &CardId) -> bool {
        pairing.card.id != *card && pairing.known_card(card).is_none()
    }

    /// A spare card takes in the terminals of the key object, which names both, and the server is told so.
    pub async fn enlist(
        &self,
        reader: &str,
        pin: &mut CardPin,
        pairing: &Pairing,
        card: &TrustedCard,
        conn: &Connection,
    ) -> Result<(), OpenFailure> {
        for _ in 0..ATTEMPTS {
            fetch_newer(&self.database, &self.engines, pairing, conn)
                .await
                .map_err(engine_failure)?;
            let list = self
                .database
                .newest_list()
                .map_err(engine_failure)?
                .filter(|o| o.body.recipient(&card.id).map(|r| r.keys) == Some(card.keys));
            let list = list.ok_or_else(|| engine_failure(EngineError::NotInVault))?;
            let (binding, mut entries) =
                (list.hash(), own_first(&list, self.identity.terminal_id()));
            // Each would be typed for anew; the others come in where they are.
            if let CardPin::Pad(_) = pin {
                entries.truncate(1);
            }
            let taken = self
                .pins
                .with_card_pin(reader, pin, PadPurpose::AddTerminal, move |c, pin| {
                    card_ops::take_in(c, pin, &entries, &binding)
                })
                .await?;
            let pairings = taken
                .into_iter()
                .map(|(terminal, statement)| TerminalPairing {
                    terminal,
                    statement,
                })
                .collect();
            let request = PairingsRequest {
                card: card.id,
                pairings,
            };
            match conn.post_pairings(&request).await {
                Ok(()) => return Ok(()),
                Err(e) if e.code() == Some(ServerCode::ListMoved) => {}
                Err(e) => return Err(server_failure(&e)),
            }
        }
        Err(engine_failure(EngineError::Busy))
    }

    /// After a session opened: says which terminals came since the last one here, takes those off the card that a key object
    /// named once and the newest names no more, and notes that this was looked after. Without a PIN it is left for the next
    /// session.
    pub async fn tidy_slots(&self, reader: &str, card: &CardId, pin: Option<&CardPin>) {
        let (Ok((_, pairing)), Ok(objects)) = (
            self.identity.pairing(),
            self.database.stored(|s| s.key_objects()),
        ) else {
            return;
        };
        let Some(newest) = objects.last() else {
            return;
        };
        let known = pairing.known_card(card).map_or(0, |k| k.list_number);
        if known == newest.body.list_number {
            return;
        }
        let added = added(&objects, known, self.identity.terminal_id());
        if !added.is_empty() {
            self.events.emit(Event::TerminalsAdded(added));
        }
        let terminals = former(&objects, known, terminals_of);
        if !terminals.is_empty() {
            let Some(mut pin) = pin.cloned() else {
                return;
            };
            if let Err(e) = self.take_off(reader, &mut pin, &terminals).await {
                let error = Reason::from(e).sentence;
                tracing::warn!(%error, "former terminals stay on the card for now");
                return;
            }
        }
        // Whoever took them out may have been interrupted before the server was told.
        let cards = former(&objects, known, cards_of);
        // Pulled meanwhile: not told, so not noted either.
        let Some(session) = self.sessions.session() else {
            return;
        };
        if let Err(error) = revoke(&session, &terminals, &cards).await {
            tracing::warn!(%error, "the server is told of former cards and terminals next time");
            return;
        }
        if let Err(error) = self
            .identity
            .update_pairing(|p| p.note_card(card, &newest.body))
        {
            tracing::warn!(%error, "it is looked again whether the card's terminals are right");
        }
    }

    /// Takes these terminals off the card, those that it knows.
    pub async fn take_off(
        &self,
        reader: &str,
        pin: &mut CardPin,
        terminals: &[TerminalId],
    ) -> Result<(), PinError> {
        let list = |card: &mut OpenCard<'_>| Ok(card_ops::transaction(card)?.terminals()?);
        // The session's PIN is enough for looking: with a PIN pad nobody types for what is not there.
        let listed = self
            .sessions
            .card()
            .run(reader, CARD_DEADLINE, list)
            .await?;
        for terminal in listed.into_iter().map(|t| t.terminal) {
            if terminals.contains(&terminal) {
                self.remove_from_card(reader, pin, terminal).await?;
            }
        }
        Ok(())
    }

    /// VERIFY, REMOVE TERMINAL.
    pub async fn remove_from_card(
        &self,
        reader: &str,
        pin: &mut CardPin,
        terminal: TerminalId,
    ) -> Result<(), PinError> {
        self.pins
            .with_card_pin(reader, pin, PadPurpose::RemoveTerminal, move |card, pin| {
                card_ops::remove_terminal(card, pin, &terminal)
            })
            .await
    }
}

/// Tells the server that these are out. Fine if it knows, or knows none of this name.
async fn revoke(
    session: &Session,
    terminals: &[TerminalId],
    cards: &[CardId],
) -> Result<(), ClientError> {
    let known = |told: Result<(), ClientError>| match told {
        Err(e) if e.code() != Some(ServerCode::NoSuchObject) => Err(e),
        _ => Ok(()),
    };
    for terminal in terminals {
        known(session.conn.revoke_terminal(*terminal).await)?;
    }
    for card in cards.iter().filter(|c| **c != session.card.id) {
        known(session.conn.revoke_card(*card).await)?;
    }
    Ok(())
}

/// What a key object from `since` on named and the newest names no more. A terminal that none ever named is being paired: it
/// stays.
fn former<T: Ord>(objects: &[KeyObject], since: u32, of: fn(&KeyObject) -> BTreeSet<T>) -> Vec<T> {
    let Some((newest, before)) = objects.split_last() else {
        return Vec::new();
    };
    let named = before.iter().filter(|o| o.body.list_number >= since);
    let there = of(newest);
    let mut out: BTreeSet<T> = named.flat_map(of).collect();
    out.retain(|one| !there.contains(one));
    out.into_iter().collect()
}

/// Labels of the terminals that the newest key object names and `since` did not. None if nobody knows what that one named:
/// a terminal's first session.
fn added(objects: &[KeyObject], since: u32, own: Option<TerminalId>) -> Vec<String> {
    let seen = objects.iter().find(|o| o.body.list_number == since);
    let (Some(seen), Some(newest)) = (seen, objects.last()) else {
        return Vec::new();
    };
    let before = terminals_of(seen);
    let all = newest.body.terminals.iter();
    all.filter(|t| !before.contains(&t.id()) && Some(t.id()) != own)
        .map(|t| t.label.clone())
        .collect()
}

fn terminals_of(object: &KeyObject) -> BTreeSet<TerminalId> {
    object
        .body
        .terminals
        .iter()
        .map(TerminalEntry::id)
        .collect()
}

fn cards_of(object: &KeyObject) -> BTreeSet<CardId> {
    let cards = object.body.recipients.iter().map(|r| r.id);
    cards.filter(|id| *id != RECOVERY_ID).collect()
}

/// All terminals of the list, this one first: if the card has not room for all, it works here.
fn own_first(list: &KeyObject, own: Option<TerminalId>) -> Vec<TerminalEntry> {
    let mut entries = list.body.terminals.clone();
    entries.sort_by_key(|e| Some(e.id()) != own);
    entries
}
