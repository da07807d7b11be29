//! An open session, as the engine needs it.

use serde::{Deserialize, Serialize};
use simsync_card::ids::CardId;
use simsync_card::text::CardKeys;
use simsync_protocol::client::Connection;
use simsync_vault::statement::SessionStatement;

/// A card whose keys this terminal read from the card itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedCard {
    /// The number that the card drew for itself when it was personalised.
    pub id: CardId,
    /// Public keys of the card.
    pub keys: CardKeys,
}

/// An open session: card, server and keys.
#[derive(Clone)]
pub struct Session {
    /// The card's statement.
    pub statement: SessionStatement,
    /// The connection that holds the grant.
    pub conn: Connection,
    /// The card's keys, as read from the card itself when this terminal was paired.
    pub card: TrustedCard,
}
