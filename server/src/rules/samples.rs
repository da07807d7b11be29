//! Rows that the tables of the rules' tests begin with: everybody active, nothing used.

use simsync_card::ids::{CardId, Point, SubscriberId, TerminalId};
use simsync_card::text::CardKeys;

use crate::store::types::{CardRow, KeyState, TerminalRow};

/// ID of [`card`].
pub const CARD: CardId = CardId([1; 16]);

/// Whose card and terminal are.
pub fn alice() -> SubscriberId {
    "alice".parse().unwrap()
}

/// Somebody else.
pub fn bob() -> SubscriberId {
    "bob".parse().unwrap()
}

/// ID of [`terminal`].
pub fn terminal_id() -> TerminalId {
    TerminalId::of(&Point([4; 65]))
}

/// Alice's card.
pub fn card() -> CardRow {
    CardRow {
        subscriber: alice(),
        card: CARD,
        label: "card".to_owned(),
        keys: CardKeys {
            sig: Point([2; 65]),
            kem: Point([3; 65]),
        },
        state: KeyState::Active,
        enrolled: 1,
        last_n: 0,
    }
}

/// The same, revoked.
pub fn revoked_card() -> CardRow {
    CardRow {
        state: KeyState::Revoked,
        ..card()
    }
}

/// Alice's terminal.
pub fn terminal() -> TerminalRow {
    TerminalRow {
        subscriber: alice(),
        terminal: terminal_id(),
        key: Point([4; 65]),
        label: "terminal".to_owned(),
        attributes: Vec::new(),
        state: KeyState::Active,
        paired: 1,
    }
}

/// The same, revoked.
pub fn revoked_terminal() -> TerminalRow {
    TerminalRow {
        state: KeyState::Revoked,
        ..terminal()
    }
}
