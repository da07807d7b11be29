//! A new epoch: after a terminal left or an operator revoked something, the next session makes a new vault key before it
//! writes anything else.

use std::sync::Arc;

use simsync_card::ids::Hash;
use simsync_protocol::api::Revoked;
use simsync_vault::restore::Restore;

use super::key_objects::next_epoch;
use super::sign::KeyObjectSigner;
use super::slots::Slots;
use crate::api::Failure;
use crate::database::Database;
use crate::engine::{EngineError, SyncOptions};
use crate::reasons::{failure, server_reason};
use crate::session::{CardPin, CardSessions};
use crate::works::Syncs;

/// Gives the vault a new key, which those who are out never see.
pub struct Epochs {
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) database: Arc<Database>,
    pub(crate) signing: Arc<KeyObjectSigner>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) syncs: Arc<Syncs>,
}

impl Epochs {
    /// Makes epoch + 1, without what was revoked at the server.
    pub async fn rekey(&self, reader: &str, pin: Option<CardPin>) -> Result<(), Failure> {
        self.new_epoch(reader, pin, &Revoked::default()).await
    }

    /// Makes epoch + 1: a new vault key, wrapped anew for every recipient of the list but those that were revoked or are
    /// named here, signed by the card, committed. Answers when the card carries the new head.
    pub async fn new_epoch(
        &self,
        reader: &str,
        pin: Option<CardPin>,
        without: &Revoked,
    ) -> Result<(), Failure> {
        self.new_epoch_after(reader, pin, without, None).await
    }

    /// The same; where a record of the card is ended, in the commit that says so.
    pub async fn new_epoch_after(
        &self,
        reader: &str,
        pin: Option<CardPin>,
        without: &Revoked,
        restore: Option<(Restore, Hash)>,
    ) -> Result<(), Failure> {
        let mut objects = self.database.stored(|s| s.key_objects()).map_err(failure)?;
        let newest = objects
            .last()
            .ok_or_else(|| failure(EngineError::NotInVault))?
            .clone();
        let session = self.sessions.session();
        let session = session.ok_or_else(|| failure(EngineError::Cancelled))?;
        let (card, conn) = (session.card.id, session.conn);
        let answer = conn.key_object().await.map_err(|e| server_reason(&e))?;
        let mut revoked = answer.revoked;
        revoked.cards.extend(&without.cards);
        revoked.terminals.extend(&without.terminals);
        // Both keys stay in the cell: a removal wipes them there at whatever step this is.
        let drawn = self
            .sessions
            .keys()
            .draw_next(|old, new| next_epoch(&newest, card, &revoked, old, new));
        let (body, wraps) = drawn.map_err(failure)??;
        let signed = self.signing.sign_list(reader, body, pin).await;
        let (object, pin) = signed.inspect_err(|_| self.sessions.keys().settle(false))?;
        objects.push(object.clone());
        self.sessions.keys().advance(&objects).map_err(failure)?;
        let options = SyncOptions {
            key_object: Some((object, wraps)),
            restore,
            ..SyncOptions::default()
        };
        let result = self.syncs.run_sync(options, None).await;
        // Where it failed the old epoch is in force still.
        self.sessions.keys().settle(result.is_ok());
        result.map_err(failure)?;
        tracing::info!("the vault has a new key");
        self.slots.tidy_slots(reader, &card, Some(&pin)).await;
        Ok(())
    }
}
