//! What every session begins with, whether it is opened with the PIN, opened again or opened to pair: the card's statement over
//! a connection, which the server is shown.

use simsync_card::ids::{Hash, TerminalId};
use simsync_card::text;
use simsync_protocol::api::{Nonce, NonceAnswer, OpenSessionRequest, SessionAnswer};
use simsync_protocol::client::Connection;
use simsync_vault::statement::SessionStatement;

use super::card_ops::Opened;
use super::sessions::CardSessions;
use crate::engine::{EngineError, Session, TrustedCard};

/// What a session is opened with.
pub struct Prepared {
    /// The connection that the session is bound to.
    pub conn: Connection,
    /// The server's, used once.
    pub nonce: Nonce,
    /// What the card signs of both.
    pub binding: Hash,
}

impl Prepared {
    /// Binds a nonce to the connection that it came over, and to the certificate of this terminal (DER).
    pub fn new(conn: Connection, answer: &NonceAnswer, certificate: &[u8]) -> Self {
        let certificate = Hash::of(certificate);
        let binding = text::binding(
            &conn.exporter(),
            &answer.server,
            &answer.nonce.0,
            &certificate,
        );
        Self {
            conn,
            nonce: answer.nonce,
            binding,
        }
    }
}

/// From where on the server tells what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// From the beginning.
    Nothing,
    /// From the newest commit and key object of the database.
    Stored,
}

impl CardSessions {
    /// Shows the server what the card opened. It is noted first: the card waits for this session's end, whatever the network
    /// does. Nothing that the server answers is checked yet.
    pub async fn introduce(
        &self,
        prepared: &Prepared,
        terminal: TerminalId,
        card: TrustedCard,
        opened: &Opened,
        known: Known,
    ) -> Result<(Session, SessionAnswer), EngineError> {
        let statement = SessionStatement {
            card: card.id,
            n: opened.session.n,
            terminal,
            binding: prepared.binding,
            sig: opened.session.sig.clone(),
        };
        self.begins(&statement)?;
        let (known_sequence, known_list) = match known {
            Known::Nothing => (0, 0),
            Known::Stored => self.known()?,
        };
        let request = OpenSessionRequest {
            statement: statement.clone(),
            nonce: prepared.nonce,
            known_sequence,
            known_list,
        };
        let answer = prepared.conn.open_session(&request).await?;
        let session = Session {
            statement,
            conn: prepared.conn.clone(),
            card,
        };
        Ok((session, answer))
    }
}
