//! When a terminal is paired with a card, or with a spare card beside it (flows 3 and 8).

use std::borrow::Borrow;
use std::collections::HashMap;

use simsync_card::ids::{Hash, SubscriberId, TerminalId};

use super::refusal::Refusal;
use super::subscriber;
use crate::store::types::{CardRow, KeyState, SubscriberState, TerminalRow};

/// The subscriber's card of the ID that was asked for: there is one, and it is not revoked.
pub fn own_card<C: Borrow<CardRow>>(card: Option<C>) -> Result<C, Refusal> {
    let card = card.ok_or(Refusal::NotTheirCard)?;
    if card.borrow().state == KeyState::Revoked {
        return Err(Refusal::CardRevoked);
    }
    Ok(card)
}

/// What a store must find out before it writes a pairing, in the same transaction.
#[derive(Debug, Default)]
pub struct Facts {
    /// State of the subscriber that is named, if there is one.
    pub subscriber: Option<SubscriberState>,
    /// The card, if it is one of this subscriber's.
    pub card: Option<CardRow>,
    /// The terminal of this key, whoever's it is.
    pub terminal: Option<TerminalRow>,
}

/// What is to be written beside the pairing.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The terminal, with the certificate that was made for it.
    New,
    /// Its label only, which its owner may have changed; its certificate stays.
    Known,
}

/// Whether the card that accepted a terminal may do so.
pub fn pair(sub: &SubscriberId, facts: &Facts) -> Result<Outcome, Refusal> {
    subscriber::active(facts.subscriber)?;
    own_card(facts.card.as_ref())?;
    match &facts.terminal {
        None => Ok(Outcome::New),
        Some(known) if known.state == KeyState::Revoked => Err(Refusal::TerminalKeyRevoked),
        Some(known) if known.subscriber != *sub => Err(Refusal::TerminalOfOther),
        Some(_) => Ok(Outcome::Known),
    }
}

/// What a store must find out before it writes a spare card's pairings, in the same transaction.
#[derive(Debug, Default)]
pub struct SpareFacts {
    /// State of the subscriber that is named, if there is one.
    pub subscriber: Option<SubscriberState>,
    /// Hash of the key object in force.
    pub key_object: Option<Hash>,
    /// The spare card, if it is one of this subscriber's.
    pub card: Option<CardRow>,
    /// Those of the terminals that are this subscriber's.
    pub terminals: HashMap<TerminalId, TerminalRow>,
}

/// Whether a spare card that accepted `terminals` by the key object of hash `binding` may do so: all of them, or none.
pub fn add<'a>(
    binding: &Hash,
    terminals: impl IntoIterator<Item = &'a TerminalId>,
    facts: &SpareFacts,
) -> Result<(), Refusal> {
    subscriber::active(facts.subscriber)?;
    if facts.key_object != Some(*binding) {
        return Err(Refusal::PairingsOfOldList);
    }
    // The key object in force was just seen to name the card: that it is gone means the same as that it was revoked.
    own_card(facts.card.as_ref()).map_err(|_| Refusal::CardRevoked)?;
    for id in terminals {
        let row = facts.terminals.get(id);
        if row.is_none_or(|t| t.state == KeyState::Revoked) {
            return Err(Refusal::AcceptedTerminalRevoked(*id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::samples::{
        alice, bob, card, revoked_card, revoked_terminal, terminal, terminal_id,
    };

    fn facts() -> Facts {
        Facts {
            subscriber: Some(SubscriberState::Active),
            card: Some(card()),
            terminal: None,
        }
    }

    #[test]
    fn a_new_terminal_is_written_and_a_known_one_keeps_its_certificate() {
        assert_eq!(pair(&alice(), &facts()), Ok(Outcome::New));
        let known = Facts {
            terminal: Some(terminal()),
            ..facts()
        };
        assert_eq!(pair(&alice(), &known), Ok(Outcome::Known));
    }

    #[test]
    fn m9_who_is_revoked_or_anothers_is_not_paired() {
        let of_bob = TerminalRow {
            subscriber: bob(),
            ..terminal()
        };
        let with = |change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            facts
        };
        let rows = [
            (with(&|f| f.subscriber = None), Refusal::SubscriberInactive),
            (
                with(&|f| f.subscriber = Some(SubscriberState::Suspended)),
                Refusal::SubscriberInactive,
            ),
            (with(&|f| f.card = None), Refusal::NotTheirCard),
            (
                with(&|f| f.card = Some(revoked_card())),
                Refusal::CardRevoked,
            ),
            (
                with(&|f| f.terminal = Some(revoked_terminal())),
                Refusal::TerminalKeyRevoked,
            ),
            (
                with(&|f| f.terminal = Some(of_bob.clone())),
                Refusal::TerminalOfOther,
            ),
        ];
        for (facts, why) in rows {
            assert_eq!(pair(&alice(), &facts), Err(why), "{facts:?}");
        }
    }

    #[test]
    fn a_spare_card_accepts_by_the_key_object_in_force() {
        let list = Hash([5; 32]);
        let whole = || SpareFacts {
            subscriber: Some(SubscriberState::Active),
            key_object: Some(list),
            card: Some(card()),
            terminals: [(terminal_id(), terminal())].into(),
        };
        let with = |change: &dyn Fn(&mut SpareFacts)| {
            let mut facts = whole();
            change(&mut facts);
            facts
        };
        assert_eq!(add(&list, [&terminal_id()], &whole()), Ok(()));
        let gone = Refusal::AcceptedTerminalRevoked(terminal_id());
        let rows = [
            (
                with(&|f| f.subscriber = Some(SubscriberState::Removed)),
                Refusal::SubscriberInactive,
            ),
            (with(&|f| f.key_object = None), Refusal::PairingsOfOldList),
            (
                with(&|f| f.key_object = Some(Hash([6; 32]))),
                Refusal::PairingsOfOldList,
            ),
            (with(&|f| f.card = None), Refusal::CardRevoked),
            (
                with(&|f| f.card = Some(revoked_card())),
                Refusal::CardRevoked,
            ),
            (with(&|f| f.terminals.clear()), gone.clone()),
            (
                with(&|f| f.terminals = [(terminal_id(), revoked_terminal())].into()),
                gone,
            ),
        ];
        for (facts, why) in rows {
            assert_eq!(add(&list, [&terminal_id()], &facts), Err(why), "{facts:?}");
        }
    }
}
