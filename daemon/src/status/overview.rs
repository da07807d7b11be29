//! The status that everybody sees.

use std::sync::Arc;

use simsync_codes::{CardState, Code, State as Word};

use crate::api::{CardStatus, CollectionStatus, Reason, SimStatus, Status, TerminalStatus};
use crate::database::{Database, Stored};
use crate::identity::Identity;
use crate::notes::Notes;
use crate::outstanding::{question_of, questions};
use crate::rules::{CardPhase, Server, SessionPhase, State};
use crate::session::CardSessions;
use crate::works::Works;

/// What the status is made of: all of it is in memory.
pub struct Overview {
    pub(crate) database: Arc<Database>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) works: Arc<Works>,
    pub(crate) notes: Arc<Notes>,
}

impl Overview {
    /// The status now. Where the database cannot be read that is said, and nothing is claimed to be in sync.
    pub fn status(&self, state: &State) -> Status {
        let terminal = self.identity.terminal();
        let pairing = terminal.as_ref().and_then(|t| t.pairing.clone());
        let (mut word, mut reasons) = (state.word(), state.reasons());
        let stored = self.database.view().now().stored.unwrap_or_else(|why| {
            word = Word::Attention;
            reasons.insert(0, Reason::new(Code::Store, why));
            Arc::default()
        });
        Status {
            state: word,
            reasons,
            subscriber: pairing.as_ref().map(|p| p.subscriber.to_string()),
            terminal: terminal.as_ref().map(|t| t.id().to_string()),
            label: self.identity.label_by(stored.key_object.as_ref()),
            server: pairing.map(|p| p.server),
            online: match state.server {
                Server::Unknown => None,
                Server::Online => Some(true),
                Server::Offline => Some(false),
            },
            server_moves: state
                .server_moves
                .as_ref()
                .map(|to| (to.address.to_string(), to.ca_pin.to_string())),
            readers: state.readers.keys().cloned().collect(),
            cards: cards(state),
            sims: sims(state),
            collections: stored
                .collections
                .iter()
                .map(|c| CollectionStatus {
                    id: c.id.to_string(),
                    attribute: c.attribute.clone(),
                    name: c.name.clone(),
                    path: c.root.as_ref().map(|p| p.display().to_string()),
                    question: question_of(&questions(&stored.questions, c.pk)),
                })
                .collect(),
            terminals: self.terminals(&stored),
            login_active: state.login_active,
            login_locked: state.login_locked,
            unsealed: self.identity.key().is_some(),
            session: self.sessions.session().map(|s| s.statement.n),
            sequence: stored.sequence,
            tails_waiting: u32::try_from(stored.tails_waiting).unwrap_or(u32::MAX),
            sealed_changes: stored.sealed_changes,
            conflicts: u32::try_from(stored.conflicts).unwrap_or(u32::MAX),
            need_attention: state.outstanding.person,
            tried_again: state.outstanding.waiting,
            last_sync_ms: self.notes.last_sync(),
            last_error: state.last_error.clone(),
            marks: self.notes.marks(),
            last_tail: self.notes.last_tail(),
            jobs: self.works.jobs().numbers(),
        }
    }

    fn terminals(&self, stored: &Stored) -> Vec<TerminalStatus> {
        let own = self.identity.terminal_id();
        let unsettled: Vec<[u8; 8]> = self
            .sessions
            .live()
            .as_ref()
            .map(|l| l.unsettled.iter().map(|u| u.terminal).collect())
            .unwrap_or_default();
        let Some(newest) = &stored.key_object else {
            return Vec::new();
        };
        newest
            .body
            .terminals
            .iter()
            .map(|t| TerminalStatus {
                id: t.id().to_string(),
                label: t.label.clone(),
                own: Some(t.id()) == own,
                collections: t
                    .collections
                    .iter()
                    .map(|id| {
                        let known = stored.collections.iter().find(|c| c.id == *id);
                        known.map_or_else(|| id.to_string(), |c| c.name.clone())
                    })
                    .collect(),
                unfinished: Some(t.id()) != own && unsettled.iter().any(|u| t.id().0[..8] == *u),
            })
            .collect()
    }
}

/// Digits of a SIM's number that are shown: enough to tell one's own apart, too few to copy.
const SHOWN_DIGITS: usize = 4;

fn sims(state: &State) -> Vec<SimStatus> {
    let shown = |iccid: &str| {
        let from = iccid.len().saturating_sub(SHOWN_DIGITS);
        format!("…{}", iccid.get(from..).unwrap_or_default())
    };
    let sims = state.seen_sims().into_iter();
    sims.map(|s| SimStatus {
        iccid: shown(&s.iccid),
        place: s.place.to_string(),
        registered: s.registered,
    })
    .collect()
}

fn cards(state: &State) -> Vec<CardStatus> {
    // A session that was closed uses none any more.
    let in_use = match &state.session {
        SessionPhase::None | SessionPhase::Ejected { .. } => None,
        _ => state.session_reader(),
    };
    state
        .readers
        .iter()
        .filter_map(|(reader, card)| {
            let card = card.as_ref()?;
            let (word, tries, due, id) = match card {
                CardPhase::Looking => (CardState::Looking, None, false, None),
                CardPhase::Foreign => (CardState::Foreign, None, false, None),
                CardPhase::Sim { .. } => (CardState::Sim, None, false, None),
                CardPhase::Unpaired => (CardState::Unpaired, None, false, None),
                CardPhase::Failed(_) => (CardState::Failed, None, false, None),
                CardPhase::Paired {
                    card,
                    tries,
                    pin_must_change,
                } => {
                    let word = if *tries == 0 {
                        CardState::Blocked
                    } else {
                        CardState::Paired
                    };
                    (word, Some(*tries), *pin_must_change, Some(card.to_string()))
                }
            };
            Some(CardStatus {
                reader: reader.clone(),
                state: word,
                pin_tries: tries,
                pin_must_change: due,
                card: id,
                in_use: in_use == Some(reader.as_str()),
            })
        })
        .collect()
}
