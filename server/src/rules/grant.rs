//! When a grant is good for a request: looked at anew each time (flow 4).

use simsync_card::ids::{Hash, TerminalId};

use super::refusal::Refusal;
use crate::store::types::{ConnectionId, GrantRow, KeyState, Scope, Seconds};

/// Who shows a grant, and where.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// The terminal that asks.
    pub terminal: TerminalId,
    /// Hash of the certificate of its connection.
    pub certificate: Option<Hash>,
    /// The one connection that it is good for.
    pub connection: ConnectionId,
}

/// The grant, if it covers anything now. `row`: what the store has of it.
pub fn check(row: Option<GrantRow>, shown: &Shown, now: Seconds) -> Result<GrantRow, Refusal> {
    let row = row.ok_or(Refusal::GrantUnknown)?;
    let here = row.connection == shown.connection && Some(row.certificate) == shown.certificate;
    if !here || row.terminal != shown.terminal {
        return Err(Refusal::GrantUnknown);
    }
    if row.card_state == KeyState::Revoked {
        return Err(Refusal::CardRevoked);
    }
    if row.last_n > row.session.n {
        return Err(Refusal::SessionSuperseded);
    }
    if row.scope == Scope::Nothing {
        return Err(Refusal::GrantOfRemovedCard);
    }
    if row.expires <= now {
        return Err(Refusal::GrantUnknown);
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::samples::{CARD, terminal_id};
    use simsync_vault::commit::SessionRef;

    fn row() -> GrantRow {
        GrantRow {
            session: SessionRef { card: CARD, n: 5 },
            terminal: terminal_id(),
            connection: ConnectionId([1; 16]),
            certificate: Hash([2; 32]),
            expires: 100,
            scope: Scope::Full,
            last_n: 5,
            card_state: KeyState::Active,
        }
    }

    fn shown() -> Shown {
        Shown {
            terminal: terminal_id(),
            certificate: Some(Hash([2; 32])),
            connection: ConnectionId([1; 16]),
        }
    }

    #[test]
    fn a_grant_is_good_for_its_terminal_on_its_connection_until_it_ends() {
        assert_eq!(check(Some(row()), &shown(), 99).unwrap().scope, Scope::Full);
        let elsewhere = [
            Shown {
                terminal: TerminalId([9; 32]),
                ..shown()
            },
            Shown {
                certificate: Some(Hash([3; 32])),
                ..shown()
            },
            Shown {
                certificate: None,
                ..shown()
            },
            Shown {
                connection: ConnectionId([2; 16]),
                ..shown()
            },
        ];
        for shown in elsewhere {
            let refused = check(Some(row()), &shown, 99).unwrap_err();
            assert_eq!(refused, Refusal::GrantUnknown, "{shown:?}");
        }
        let unknown = check(None, &shown(), 99).unwrap_err();
        assert_eq!(unknown, Refusal::GrantUnknown);
        let late = check(Some(row()), &shown(), 100).unwrap_err();
        assert_eq!(late, Refusal::GrantUnknown);
    }

    #[test]
    fn a_grant_ends_with_its_card_its_session_and_what_it_covers() {
        let rows = [
            (
                GrantRow {
                    card_state: KeyState::Revoked,
                    ..row()
                },
                Refusal::CardRevoked,
            ),
            (GrantRow { last_n: 6, ..row() }, Refusal::SessionSuperseded),
            (
                GrantRow {
                    scope: Scope::Nothing,
                    ..row()
                },
                Refusal::GrantOfRemovedCard,
            ),
        ];
        for (row, why) in rows {
            let refused = check(Some(row.clone()), &shown(), 99).unwrap_err();
            assert_eq!(refused, why, "{row:?}");
        }
    }
}
