//! When a card or a terminal is revoked, who is told, and whether a new epoch is due (flow 8).

use simsync_card::ids::{CardId, SubscriberId, TerminalId};

use super::refusal::Refusal;
use crate::store::types::{Actor, CardRow, KeyState, Scope, Seconds, TerminalRow};

/// A terminal's newest session on a card.
#[derive(Debug, Clone, Copy)]
pub struct Newest {
    /// The terminal that opened it.
    pub terminal: TerminalId,
    /// When its grant ends.
    pub expires: Option<Seconds>,
    /// What is left of its grant.
    pub scope: Scope,
}

/// What the vault says of the card or terminal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vault {
    /// There is a vault: a first commit was made.
    pub exists: bool,
    /// Its key object in force names the card or terminal.
    pub names: bool,
}

impl Vault {
    /// The owner's own order comes after a key object without the revoked one; else a new epoch is due here, too.
    fn rekey(self, by: &Actor) -> bool {
        self.exists && (*by == Actor::Operator || self.names)
    }
}

/// What is to be written and told, beside the state and the end of all its grants.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// These terminals are told.
    pub tell: Vec<TerminalId>,
    /// A new epoch is due from now on.
    pub rekey: bool,
}

/// What a store must find out about a card, in the transaction that will also write.
#[derive(Debug, Default)]
pub struct CardFacts {
    /// The card, if it is one of this subscriber's.
    pub card: Option<CardRow>,
    /// For each terminal its newest session on this card.
    pub newest: Vec<Newest>,
    /// What the vault says of this card.
    pub vault: Vault,
}

/// A card; `None` if it was revoked before: a terminal cannot know whether somebody else did.
pub fn card(
    sub: &SubscriberId,
    card: &CardId,
    by: &Actor,
    now: Seconds,
    facts: &CardFacts,
) -> Result<Option<Plan>, Refusal> {
    let row = facts.card.as_ref();
    let row = row.ok_or_else(|| Refusal::NoCard(sub.clone(), *card))?;
    if row.state == KeyState::Revoked {
        return Ok(None);
    }
    // A terminal's newest session says whether the card is in it: one that the card forgot ends with its grant, while
    // the terminal ejected through a newer one.
    let holders = facts
        .newest
        .iter()
        .filter(|s| s.scope != Scope::Nothing && s.expires.is_some_and(|e| e > now));
    Ok(Some(Plan {
        tell: holders.map(|s| s.terminal).collect(),
        rekey: facts.vault.rekey(by),
    }))
}

/// A terminal; `None` if it was revoked before. `row`: the terminal, if it is one of this subscriber's.
pub fn terminal(
    sub: &SubscriberId,
    terminal: &TerminalId,
    by: &Actor,
    row: Option<&TerminalRow>,
    vault: Vault,
) -> Result<Option<Plan>, Refusal> {
    let row = row.ok_or_else(|| Refusal::NoTerminal(sub.clone(), *terminal))?;
    if row.state == KeyState::Revoked {
        return Ok(None);
    }
    Ok(Some(Plan {
        tell: vec![*terminal],
        rekey: vault.rekey(by),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::samples::{
        CARD, alice, card as card_row, revoked_card, revoked_terminal, terminal as terminal_row,
        terminal_id,
    };

    const OTHER: TerminalId = TerminalId([9; 32]);

    fn by_terminal() -> Actor {
        Actor::Terminal(OTHER)
    }

    #[test]
    fn who_is_unknown_is_not_revoked_and_who_is_revoked_stays_so() {
        let of = |card| CardFacts {
            card,
            ..CardFacts::default()
        };
        let by = Actor::Operator;
        let unknown = card(&alice(), &CARD, &by, 1, &of(None));
        assert_eq!(unknown, Err(Refusal::NoCard(alice(), CARD)));
        let again = card(&alice(), &CARD, &by, 1, &of(Some(revoked_card())));
        assert_eq!(again, Ok(None));
        let (id, vault) = (terminal_id(), Vault::default());
        let unknown = terminal(&alice(), &id, &by, None, vault);
        assert_eq!(unknown, Err(Refusal::NoTerminal(alice(), id)));
        let again = terminal(&alice(), &id, &by, Some(&revoked_terminal()), vault);
        assert_eq!(again, Ok(None));
    }

    #[test]
    fn a_new_epoch_is_due_unless_the_owner_made_one() {
        for (by, exists, names, due) in [
            (Actor::Operator, false, false, false),
            (Actor::Operator, true, false, true),
            (Actor::Operator, true, true, true),
            (by_terminal(), false, false, false),
            (by_terminal(), true, false, false),
            (by_terminal(), true, true, true),
        ] {
            let vault = Vault { exists, names };
            let facts = CardFacts {
                card: Some(card_row()),
                vault,
                ..CardFacts::default()
            };
            let of_card = card(&alice(), &CARD, &by, 1, &facts);
            assert_eq!(of_card.unwrap().unwrap().rekey, due, "{by} {vault:?}");
            let row = terminal_row();
            let of_terminal = terminal(&alice(), &row.terminal, &by, Some(&row), vault);
            let plan = of_terminal.unwrap().unwrap();
            assert_eq!(plan.rekey, due, "{by} {vault:?}");
            assert_eq!(plan.tell, [row.terminal]);
        }
    }

    #[test]
    fn terminals_that_hold_the_card_are_told() {
        let newest = |expires, scope| Newest {
            terminal: OTHER,
            expires,
            scope,
        };
        for (session, told) in [
            (newest(Some(101), Scope::Full), true),
            (newest(Some(101), Scope::Nothing), false),
            (newest(Some(100), Scope::Full), false),
            (newest(None, Scope::Full), false),
        ] {
            let facts = CardFacts {
                card: Some(card_row()),
                newest: vec![session],
                vault: Vault::default(),
            };
            let plan = card(&alice(), &CARD, &Actor::Operator, 100, &facts);
            let tell = plan.unwrap().unwrap().tell;
            assert_eq!(!tell.is_empty(), told, "{session:?}");
        }
    }
}
