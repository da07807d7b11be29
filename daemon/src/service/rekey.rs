//! A new epoch: after a terminal left or an operator revoked something, the next session makes a new vault key before it
//! writes anything else.

use std::sync::Arc;

use simsync_card::ids::{CardId, Hash};
use simsync_protocol::api::Revoked;
use simsync_vault::keyobject::{FLAG_REKEY_REQUIRED, KeyObject, KeyObjectBody, RECOVERY_ID, Wrap};
use simsync_vault::keys::VaultKey;
use simsync_vault::restore::Restore;

use super::Ctx;
use super::card_pin::CardPin;
use super::entering::next;
use super::reasons::{engine_reason, server_reason};
use crate::api::Failure;
use crate::engine::{EngineError, SyncOptions, fresh_rng};

fn failure(e: impl Into<EngineError>) -> Failure {
    engine_reason(&e.into()).into()
}

impl Ctx {
    /// Whether the newest key object asks for a new epoch.
    pub fn is_rekey_flagged(&self) -> bool {
        let objects = self.store.key_objects().unwrap_or_default();
        objects
            .last()
            .is_some_and(|o| o.body.flags & FLAG_REKEY_REQUIRED != 0)
    }

    /// Makes epoch + 1, without what was revoked at the server.
    pub(super) async fn rekey(
        self: &Arc<Self>,
        reader: &str,
        pin: Option<CardPin>,
    ) -> Result<(), Failure> {
        self.new_epoch(reader, pin, &Revoked::default()).await
    }

    /// Makes epoch + 1: a new vault key, wrapped anew for every recipient of the list but those that were revoked or are
    /// named here, signed by the card, committed. Answers when the card carries the new head.
    pub(super) async fn new_epoch(
        self: &Arc<Self>,
        reader: &str,
        pin: Option<CardPin>,
        without: &Revoked,
    ) -> Result<(), Failure> {
        self.new_epoch_after(reader, pin, without, None).await
    }

    /// The same; where a record of the card is ended, in the commit that says so.
    pub(super) async fn new_epoch_after(
        self: &Arc<Self>,
        reader: &str,
        pin: Option<CardPin>,
        without: &Revoked,
        restore: Option<(Restore, Hash)>,
    ) -> Result<(), Failure> {
        let mut objects = self.store.key_objects().map_err(failure)?;
        let newest = objects
            .last()
            .ok_or_else(|| failure(EngineError::NotInVault))?
            .clone();
        let (card, conn) = match &*self.live() {
            Some(l) => (l.session.card.id, l.session.conn.clone()),
            None => return Err(failure(EngineError::Cancelled)),
        };
        let answer = conn.key_object().await.map_err(|e| server_reason(&e))?;
        let mut revoked = answer.revoked;
        revoked.cards.extend(&without.cards);
        revoked.terminals.extend(&without.terminals);
        // Both keys stay in the cell: a removal wipes them there at whatever step this is.
        let drawn = self
            .keys
            .draw_next(|old, new| next_epoch(&newest, card, &revoked, old, new));
        let (body, wraps) = drawn.map_err(failure)??;
        let signed = self.sign_list(reader, body, pin).await;
        let (object, pin) = signed.inspect_err(|_| self.keys.settle(false))?;
        objects.push(object.clone());
        self.keys.advance(&objects).map_err(failure)?;
        let options = SyncOptions {
            key_object: Some((object, wraps)),
            restore,
            ..SyncOptions::default()
        };
        let result = self.run_sync(options, None).await;
        // Where it failed the old epoch is in force still.
        self.keys.settle(result.is_ok());
        result.map_err(failure)?;
        tracing::info!("the vault has a new key");
        self.tidy_slots(reader, &card, Some(&pin)).await;
        Ok(())
    }
}

/// The key object of the next epoch, without what was revoked, and its wraps.
pub(super) fn next_epoch(
    before: &KeyObject,
    signer: CardId,
    revoked: &Revoked,
    old: &VaultKey,
    new: &VaultKey,
) -> Result<(KeyObjectBody, Vec<Wrap>), Failure> {
    let mut rng = fresh_rng();
    let mut body = next(before, signer);
    body.epoch += 1;
    body.flags &= !FLAG_REKEY_REQUIRED;
    // The recovery code is no card, and the card that signs is here: neither is the server's to take out.
    body.recipients
        .retain(|r| r.id == RECOVERY_ID || r.id == signer || !revoked.cards.contains(&r.id));
    body.terminals
        .retain(|t| !revoked.terminals.contains(&t.id()));
    body.check = new.check();
    body.outbox_key = new.outbox().1;
    body.previous_key = new
        .seal_previous(old, &body.vault, body.epoch, &mut rng)
        .map_err(failure)?;
    let mut wraps = Vec::new();
    for r in &mut body.recipients {
        let wrap = new
            .wrap(&body.vault, body.epoch, &r.id, &r.keys.kem, &mut rng)
            .map_err(failure)?;
        r.wrap_hash = wrap.hash();
        wraps.push(wrap);
    }
    Ok((body, wraps))
}

#[cfg(test)]
mod tests {
    use simsync_card::ids::TerminalId;
    use simsync_card::sign::SecretKey;
    use simsync_card::text::CardKeys;
    use simsync_vault::ids::VaultId;
    use simsync_vault::keyobject::{Recipient, TerminalEntry};

    use super::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32]).unwrap()
    }

    fn recipient(n: u8) -> Recipient {
        let point = key(n + 1).point();
        Recipient {
            id: CardId([n; 16]),
            keys: CardKeys {
                sig: point,
                kem: point,
            },
            wrap_hash: Hash([n; 32]),
        }
    }

    fn terminal(n: u8) -> TerminalEntry {
        TerminalEntry {
            key: key(n).point(),
            label: format!("terminal {n}"),
            collections: Vec::new(),
        }
    }

    /// What the server says was revoked: everything.
    #[test]
    fn w_8_the_server_takes_neither_the_recovery_code_nor_the_card_in_use_out() {
        let (old, new) = (
            VaultKey::generate(&mut fresh_rng()),
            VaultKey::generate(&mut fresh_rng()),
        );
        let own = CardId([1; 16]);
        let body = KeyObjectBody {
            version: 1,
            vault: VaultId([9; 16]),
            list_number: 4,
            epoch: 2,
            recipients: vec![recipient(1), recipient(2), recipient(0)],
            check: old.check(),
            outbox_key: old.outbox().1,
            previous_key: vec![1],
            terminals: vec![terminal(5), terminal(6)],
            flags: FLAG_REKEY_REQUIRED,
            previous: Hash([7; 32]),
            signer: own,
        };
        assert_eq!(body.recipients[2].id, RECOVERY_ID);
        let before = KeyObject::from_parts(body, key(1).sign(b"not looked at"));
        let revoked = Revoked {
            cards: vec![own, CardId([2; 16]), RECOVERY_ID],
            terminals: vec![TerminalId::of(&key(6).point())],
        };
        let (body, wraps) = next_epoch(&before, own, &revoked, &old, &new).unwrap();
        let left: Vec<CardId> = body.recipients.iter().map(|r| r.id).collect();
        assert_eq!(left, [own, RECOVERY_ID]);
        assert_eq!(body.terminals, [terminal(5)]);
        assert_eq!((body.epoch, body.list_number), (3, 5));
        assert_eq!(body.flags & FLAG_REKEY_REQUIRED, 0);
        // Each gets the new key, and none the old one's wrap.
        assert_eq!((body.check, wraps.len()), (new.check(), 2));
        for (recipient, wrap) in body.recipients.iter().zip(&wraps) {
            assert_eq!(recipient.wrap_hash, wrap.hash());
        }
    }
}
