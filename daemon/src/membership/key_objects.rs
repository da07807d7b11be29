//! The next key object of a vault: in the same epoch, or in a new one.

use simsync_card::ids::CardId;
use simsync_protocol::api::Revoked;
use simsync_vault::keyobject::{FLAG_REKEY_REQUIRED, KeyObject, KeyObjectBody, RECOVERY_ID, Wrap};
use simsync_vault::keys::VaultKey;

use crate::api::Failure;
use crate::engine::fresh_rng;
use crate::reasons::failure;

/// The key object after `before`, unchanged but for its place in the chain.
pub fn next(before: &KeyObject, signer: CardId) -> KeyObjectBody {
    let mut body = before.body.clone();
    body.list_number += 1;
    body.previous = before.hash();
    body.signer = signer;
    body.flags &= FLAG_REKEY_REQUIRED;
    body
}

/// The key object of the next epoch, without what was revoked, and its wraps.
pub fn next_epoch(
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
    use simsync_card::ids::{Hash, TerminalId};
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
