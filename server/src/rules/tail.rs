//! When a tail is accepted (flow 5).

use std::collections::HashMap;

use simsync_protocol::api::SessionState;
use simsync_vault::commit::SessionRef;
use simsync_vault::ids::{CollectionId, PackId, VaultId};
use simsync_vault::tail::Tail;

use super::refusal::Refusal;
use crate::store::types::{
    CardRow, KeyState, PackRow, PackStatus, TailRow, TailStatus, TerminalRow,
};

/// What a store must find out, in the transaction that will also write.
#[derive(Debug, Default)]
pub struct Facts {
    /// The vault and its epoch.
    pub vault: Option<(VaultId, u32)>,
    /// The card, if it is one of this subscriber's.
    pub card: Option<CardRow>,
    /// The terminal that delivers.
    pub terminal: Option<TerminalRow>,
    /// Is this terminal paired with this card?
    pub paired: bool,
    /// The tail of this session, if there is one already.
    pub existing: Option<TailRow>,
    /// State of the session, if it is known.
    pub session: Option<SessionState>,
    /// Whose session it is, if it is known.
    pub session_is_own: bool,
    /// Packs that the tail names.
    pub packs: HashMap<PackId, PackRow>,
    /// The terminal's collections in the key object in force.
    pub collections: Vec<CollectionId>,
    /// Tails that this one replaces, those that are here.
    pub replaced: HashMap<SessionRef, TailRow>,
}

/// What happens with a tail.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to write; the session's state.
    Known(SessionState),
    /// It is kept, in this status; the session's state is the second.
    Keep(TailStatus, SessionState),
}

/// Decides.
pub fn decide(tail: &Tail, facts: &Facts) -> Result<Outcome, Refusal> {
    let session = tail.session();
    let Some(terminal) = &facts.terminal else {
        return Err(Refusal::TailTerminalUnknown);
    };
    if tail.body.session.terminal != terminal.terminal {
        return Err(Refusal::TailOfOther);
    }
    let Some(card) = &facts.card else {
        return Err(Refusal::NotTheirCard);
    };
    if !facts.paired {
        return Err(Refusal::TailNotPaired);
    }
    tail.verify(&terminal.key, &card.keys.sig)
        .map_err(Refusal::Format)?;
    if session.n == 0 || (facts.session.is_some() && !facts.session_is_own) {
        return Err(Refusal::TailSessionOther);
    }
    if let Some(existing) = &facts.existing {
        if existing.hash != tail.hash() {
            return Err(Refusal::TailExists);
        }
        return Ok(Outcome::Known(state_of(existing.status)));
    }
    if facts.session == Some(SessionState::Closed) {
        return Ok(Outcome::Known(SessionState::Closed));
    }
    let Some((vault, epoch)) = &facts.vault else {
        return Err(Refusal::NoVault);
    };
    if tail.body.vault != *vault || tail.body.epoch == 0 || tail.body.epoch > *epoch {
        return Err(Refusal::TailOfOtherVault);
    }
    pack_rules(tail, facts)?;
    for earlier in &tail.body.replaces {
        let others = facts
            .replaced
            .get(earlier)
            .is_some_and(|t| t.terminal != terminal.terminal);
        if others || *earlier == session {
            return Err(Refusal::TailReplacesOther);
        }
    }
    let distrusted = terminal.state == KeyState::Revoked || card.state == KeyState::Revoked;
    Ok(if distrusted {
        Outcome::Keep(TailStatus::Quarantined, SessionState::Quarantined)
    } else {
        Outcome::Keep(TailStatus::Waiting, SessionState::TailDelivered)
    })
}

/// The session's state that goes with a tail's status.
pub fn state_of(status: TailStatus) -> SessionState {
    match status {
        TailStatus::Waiting => SessionState::TailDelivered,
        TailStatus::Merged => SessionState::Closed,
        TailStatus::Quarantined => SessionState::Quarantined,
        TailStatus::Forgotten => SessionState::Forgotten,
    }
}

fn pack_rules(tail: &Tail, facts: &Facts) -> Result<(), Refusal> {
    for pack in &tail.body.packs {
        let own =
            pack.collection == CollectionId::OUTBOX || facts.collections.contains(&pack.collection);
        if !own {
            return Err(Refusal::PackOfOther(pack.id));
        }
        match facts.packs.get(&pack.id) {
            Some(row) if row.status == PackStatus::Dropped => {
                return Err(Refusal::TailPackDropped(pack.id));
            }
            Some(row) if row.status != PackStatus::Uploading && row.pack == *pack => {}
            _ => {
                return Err(Refusal::TailPackMissing(pack.id));
            }
        }
    }
    Ok(())
}
