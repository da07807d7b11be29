//! When a session opens, goes on and is narrowed (flows 4 and 5).

use simsync_card::ids::TerminalId;
use simsync_protocol::api::SessionState;

use super::pairing::own_card;
use super::refusal::Refusal;
use crate::store::types::{CardRow, KeyState, Scope, Seconds, TerminalRow};

/// What a store must find out of the card and the terminal that a session names, in the transaction that will also write.
#[derive(Debug, Default)]
pub struct Facts {
    /// The card, if it is one of this subscriber's.
    pub card: Option<CardRow>,
    /// The terminal, if it is one of this subscriber's.
    pub terminal: Option<TerminalRow>,
    /// Did the card accept the terminal?
    pub paired: bool,
}

/// How the store has a session that is to go on.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The terminal that opened it; no other one may renew it.
    pub terminal: TerminalId,
    /// How far it is settled; only an open one is renewed.
    pub state: SessionState,
    /// What is left of its grant.
    pub scope: Scope,
    /// When its grant ends; a session that only its tail made known has none.
    pub expires: Option<Seconds>,
}

/// How a session begins. It gets the grant of the request, and the card's numbers count from it on.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// How far the session is settled.
    pub state: SessionState,
    /// What its grant covers.
    pub scope: Scope,
    /// The card's newest number from now on.
    pub last_n: u32,
}

/// M9: subscriber, card and terminal belong together, and none of them is revoked.
fn together(facts: &Facts) -> Result<&CardRow, Refusal> {
    let card = own_card(facts.card.as_ref())?;
    match &facts.terminal {
        Some(t) if t.state == KeyState::Revoked => Err(Refusal::TerminalRevoked),
        Some(_) if facts.paired => Ok(card),
        _ => Err(Refusal::NotPairedWithCard),
    }
}

/// Opens session `n`. A number is good for one session, and none below it is good after it.
pub fn open(n: u32, facts: &Facts) -> Result<Plan, Refusal> {
    let last = together(facts)?.last_n;
    if n <= last {
        return Err(Refusal::SessionNumberUsed { n, last });
    }
    Ok(Plan {
        state: SessionState::Open,
        scope: Scope::Full,
        last_n: n,
    })
}

/// Whether session `n` of this terminal gets another grant.
pub fn renew(
    n: u32,
    terminal: &TerminalId,
    now: Seconds,
    facts: &Facts,
    session: Option<&Standing>,
) -> Result<(), Refusal> {
    let card = together(facts)?;
    let session = session
        .filter(|s| s.terminal == *terminal)
        .ok_or(Refusal::SessionEnded)?;
    if card.last_n != n {
        return Err(Refusal::SessionSuperseded);
    }
    if session.scope != Scope::Full {
        return Err(Refusal::SessionNarrowed);
    }
    if session.state != SessionState::Open || session.expires.is_none_or(|e| e <= now) {
        return Err(Refusal::SessionEnded);
    }
    Ok(())
}

/// To what a grant is narrowed, if that changes it. No grant is ever widened.
pub fn narrow(from: Scope, to: Scope) -> Option<Scope> {
    match (from, to) {
        (Scope::Nothing, _) | (_, Scope::Full) => None,
        (Scope::Full, Scope::Nothing) => Some(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::samples::{card, revoked_card, revoked_terminal, terminal, terminal_id};

    fn facts() -> Facts {
        Facts {
            card: Some(card()),
            terminal: Some(terminal()),
            paired: true,
        }
    }

    /// Changes to the facts under which no session opens or goes on, each with the refusal.
    fn apart() -> Vec<(Facts, Refusal)> {
        let with = |change: fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            facts
        };
        vec![
            (with(|f| f.card = None), Refusal::NotTheirCard),
            (
                with(|f| f.card = Some(revoked_card())),
                Refusal::CardRevoked,
            ),
            (with(|f| f.terminal = None), Refusal::NotPairedWithCard),
            (
                with(|f| f.terminal = Some(revoked_terminal())),
                Refusal::TerminalRevoked,
            ),
            (with(|f| f.paired = false), Refusal::NotPairedWithCard),
            (
                with(|f| (f.terminal, f.paired) = (Some(revoked_terminal()), false)),
                Refusal::TerminalRevoked,
            ),
        ]
    }

    #[test]
    fn m9_no_session_opens_where_card_and_terminal_are_apart() {
        for (facts, why) in apart() {
            assert_eq!(open(1, &facts), Err(why), "{facts:?}");
        }
    }

    #[test]
    fn a_number_is_used_once_and_in_order() {
        let mut facts = facts();
        facts.card.as_mut().unwrap().last_n = 5;
        for n in [0, 4, 5] {
            assert_eq!(
                open(n, &facts),
                Err(Refusal::SessionNumberUsed { n, last: 5 })
            );
        }
        for n in [6, 100, u32::MAX] {
            let plan = Plan {
                state: SessionState::Open,
                scope: Scope::Full,
                last_n: n,
            };
            assert_eq!(open(n, &facts), Ok(plan));
        }
    }

    #[test]
    fn a_session_goes_on_while_it_is_its_terminals_newest_and_whole() {
        let standing = Standing {
            terminal: terminal_id(),
            state: SessionState::Open,
            scope: Scope::Full,
            expires: Some(100),
        };
        let mut at_5 = facts();
        at_5.card.as_mut().unwrap().last_n = 5;
        let renewed = |n, now, session: Option<Standing>| {
            renew(n, &terminal_id(), now, &at_5, session.as_ref())
        };
        assert_eq!(renewed(5, 99, Some(standing)), Ok(()));
        let other = TerminalId([9; 32]);
        let rows = [
            (5, 99, None, Refusal::SessionEnded),
            (
                5,
                99,
                Some(Standing {
                    terminal: other,
                    ..standing
                }),
                Refusal::SessionEnded,
            ),
            (4, 99, Some(standing), Refusal::SessionSuperseded),
            (5, 100, Some(standing), Refusal::SessionEnded),
            (
                5,
                99,
                Some(Standing {
                    expires: None,
                    ..standing
                }),
                Refusal::SessionEnded,
            ),
        ];
        for (n, now, session, why) in rows {
            assert_eq!(renewed(n, now, session), Err(why), "{n} {now} {session:?}");
        }
        let scope = Scope::Nothing;
        let session = Standing { scope, ..standing };
        assert_eq!(renewed(5, 99, Some(session)), Err(Refusal::SessionNarrowed));
        for state in [
            SessionState::Closed,
            SessionState::TailDelivered,
            SessionState::Quarantined,
            SessionState::Forgotten,
        ] {
            let session = Standing { state, ..standing };
            assert_eq!(renewed(5, 99, Some(session)), Err(Refusal::SessionEnded));
        }
    }

    #[test]
    fn m9_no_session_goes_on_where_card_and_terminal_are_apart() {
        let session = Standing {
            terminal: terminal_id(),
            state: SessionState::Open,
            scope: Scope::Full,
            expires: Some(100),
        };
        for (facts, why) in apart() {
            let renewed = renew(0, &terminal_id(), 1, &facts, Some(&session));
            assert_eq!(renewed, Err(why), "{facts:?}");
        }
    }

    #[test]
    fn a_grant_is_never_widened() {
        use Scope::{Full, Nothing};
        for (from, to, then) in [
            (Full, Full, None),
            (Full, Nothing, Some(Nothing)),
            (Nothing, Full, None),
            (Nothing, Nothing, None),
        ] {
            assert_eq!(narrow(from, to), then, "{from:?} to {to:?}");
        }
    }
}
