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

/// What becomes of the request, from the facts alone.
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

#[cfg(test)]
mod tests {
    use simsync_card::ids::{Hash, TerminalId};
    use simsync_vault::commit::PackRef;
    use simsync_vault::tail::TailBody;

    use super::*;
    use crate::rules::samples::{alice, card, revoked_card, revoked_terminal, terminal};
    use crate::testing::{Seed, SoftCard, SoftTerminal, SoftVault};

    /// A tail that is taken, and what it is judged by: each row of a table changes one of the two.
    struct Case {
        seed: Seed,
        by: SoftTerminal,
        body: TailBody,
        facts: Facts,
    }

    impl Case {
        fn new() -> Self {
            let seed = Seed::new();
            let (of, by, vault) = (
                SoftCard::new(&seed),
                SoftTerminal::new(&seed),
                SoftVault::new(&seed),
            );
            let body = vault.tail(&of.statement(3, &by.id(), &Hash([9; 32])));
            let facts = Facts {
                vault: Some((body.vault, 1)),
                card: Some(CardRow {
                    card: of.id,
                    keys: of.keys(),
                    ..card()
                }),
                terminal: Some(TerminalRow {
                    subscriber: alice(),
                    terminal: by.id(),
                    key: by.key.point(),
                    ..terminal()
                }),
                paired: true,
                session: Some(SessionState::Open),
                session_is_own: true,
                ..Facts::default()
            };
            Self {
                seed,
                by,
                body,
                facts,
            }
        }

        fn decide(self) -> Result<Outcome, Refusal> {
            decide(&Tail::sign(self.body, &self.by.key), &self.facts)
        }

        fn row(&self, status: TailStatus) -> TailRow {
            let tail = Tail::sign(self.body.clone(), &self.by.key);
            TailRow {
                session: tail.session(),
                terminal: self.by.id(),
                hash: tail.hash(),
                status,
                replaces: Vec::new(),
            }
        }

        /// The tail names a pack of the outbox, which is here in this status.
        fn with_pack(&mut self, status: PackStatus) {
            let pack = PackRef {
                id: PackId([7; 16]),
                collection: CollectionId::OUTBOX,
                size: 10,
            };
            self.body.packs = vec![pack];
            let row = PackRow {
                pack,
                status,
                received: 0,
                hash: None,
                terminal: self.by.id(),
            };
            self.facts.packs = [(pack.id, row)].into();
        }
    }

    fn outcome(change: impl FnOnce(&mut Case)) -> Result<Outcome, Refusal> {
        let mut case = Case::new();
        change(&mut case);
        case.decide()
    }

    #[test]
    fn a_tail_waits_whether_or_not_its_session_was_ever_seen() {
        let waits = Ok(Outcome::Keep(
            TailStatus::Waiting,
            SessionState::TailDelivered,
        ));
        assert_eq!(outcome(|_| {}), waits);
        let unseen = |c: &mut Case| (c.facts.session, c.facts.session_is_own) = (None, false);
        assert_eq!(outcome(unseen), waits);
        assert_eq!(outcome(|c| c.with_pack(PackStatus::Complete)), waits);
    }

    #[test]
    fn a_revoked_ones_tail_is_kept_apart() {
        let apart = Ok(Outcome::Keep(
            TailStatus::Quarantined,
            SessionState::Quarantined,
        ));
        let terminal = outcome(|c| {
            let row = c.facts.terminal.as_mut().unwrap();
            row.state = revoked_terminal().state;
        });
        assert_eq!(terminal, apart);
        let card = outcome(|c| c.facts.card.as_mut().unwrap().state = revoked_card().state);
        assert_eq!(card, apart);
    }

    #[test]
    fn the_same_tail_again_and_one_of_a_closed_session_write_nothing() {
        for (status, state) in [
            (TailStatus::Waiting, SessionState::TailDelivered),
            (TailStatus::Merged, SessionState::Closed),
            (TailStatus::Quarantined, SessionState::Quarantined),
            (TailStatus::Forgotten, SessionState::Forgotten),
        ] {
            let again = outcome(|c| c.facts.existing = Some(c.row(status)));
            assert_eq!(again, Ok(Outcome::Known(state)), "{status:?}");
        }
        let closed = outcome(|c| c.facts.session = Some(SessionState::Closed));
        assert_eq!(closed, Ok(Outcome::Known(SessionState::Closed)));
    }

    #[test]
    fn w_8_what_is_no_tail_of_this_terminal_and_vault_is_refused() {
        let other = TerminalId([8; 32]);
        let id = PackId([7; 16]);
        type Change = Box<dyn FnOnce(&mut Case)>;
        let with = |change: fn(&mut Case)| -> Change { Box::new(change) };
        let rows: Vec<(Change, Refusal)> = vec![
            (
                with(|c| c.facts.terminal = None),
                Refusal::TailTerminalUnknown,
            ),
            (
                Box::new(move |c| c.facts.terminal.as_mut().unwrap().terminal = other),
                Refusal::TailOfOther,
            ),
            (with(|c| c.facts.card = None), Refusal::NotTheirCard),
            (with(|c| c.facts.paired = false), Refusal::TailNotPaired),
            (
                with(|c| c.facts.session_is_own = false),
                Refusal::TailSessionOther,
            ),
            (
                with(|c| {
                    let mut row = c.row(TailStatus::Waiting);
                    row.hash = Hash([1; 32]);
                    c.facts.existing = Some(row);
                }),
                Refusal::TailExists,
            ),
            (with(|c| c.facts.vault = None), Refusal::NoVault),
            (
                with(|c| c.body.vault = VaultId([1; 16])),
                Refusal::TailOfOtherVault,
            ),
            (with(|c| c.body.epoch = 0), Refusal::TailOfOtherVault),
            (with(|c| c.body.epoch = 2), Refusal::TailOfOtherVault),
            (
                with(|c| c.body.replaces = vec![c.row(TailStatus::Waiting).session]),
                Refusal::TailReplacesOther,
            ),
            (
                Box::new(move |c| {
                    let mut row = c.row(TailStatus::Waiting);
                    (row.session.n, row.terminal) = (2, other);
                    c.body.replaces = vec![row.session];
                    c.facts.replaced = [(row.session, row)].into();
                }),
                Refusal::TailReplacesOther,
            ),
            (
                with(|c| c.with_pack(PackStatus::Dropped)),
                Refusal::TailPackDropped(id),
            ),
            (
                with(|c| c.with_pack(PackStatus::Uploading)),
                Refusal::TailPackMissing(id),
            ),
            (
                with(|c| {
                    c.with_pack(PackStatus::Complete);
                    c.facts.packs.clear();
                }),
                Refusal::TailPackMissing(id),
            ),
            (
                with(|c| {
                    c.with_pack(PackStatus::Complete);
                    c.body.packs[0].size = 11;
                }),
                Refusal::TailPackMissing(id),
            ),
            (
                with(|c| {
                    c.with_pack(PackStatus::Complete);
                    c.body.packs[0].collection = CollectionId([5; 16]);
                }),
                Refusal::PackOfOther(id),
            ),
        ];
        for (number, (change, why)) in rows.into_iter().enumerate() {
            assert_eq!(outcome(change), Err(why), "row {number}");
        }
    }

    #[test]
    fn w_8_a_tail_is_signed_by_its_terminal_and_its_session_by_the_card() {
        let signed = |result| matches!(result, Err(Refusal::Format(_)));
        assert!(signed(outcome(|c| c.by.key = c.seed.key())));
        assert!(signed(outcome(|c| {
            c.facts.card.as_mut().unwrap().keys = card().keys;
        })));
        // Number 0 is none that a card gives away.
        assert!(outcome(|c| c.body.session.n = 0).is_err());
    }
}
