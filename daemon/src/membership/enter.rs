//! A terminal enters the vault: the first key object, or the next one with this terminal in it (flow 3, from step 5).

use std::sync::Arc;

use simsync_card::ids::{Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_card::status::Status;
use simsync_codes::Code;
use simsync_protocol::api::Revoked;
use simsync_protocol::client::Connection;
use simsync_protocol::problem::Code as ServerCode;
use simsync_vault::head::Verdict;
use simsync_vault::ids::VaultId;
use simsync_vault::keyobject::{
    FLAG_REKEY_REQUIRED, KEY_OBJECT_VERSION, KeyObject, KeyObjectBody, RECOVERY_ID, Recipient,
    TerminalEntry, Wrap,
};
use simsync_vault::keys::VaultKey;

use super::key_objects::{next, next_epoch};
use super::sign::KeyObjectSigner;
use crate::api::{Failure, PadPurpose, Secret};
use crate::database::Database;
use crate::engine::{EngineError, Session, SyncOptions, TrustedCard, fresh_rng, key_ring};
use crate::engines::Engines;
use crate::identity::Pairing;
use crate::link::ServerLink;
use crate::person::Person;
use crate::reasons::{failure, server_reason};
use crate::recovery::RecoveryCode;
use crate::session::card_ops::{Opened, SessionRequest};
use crate::session::{CardPin, CardPins, CardSessions, Known, PinError, Prepared, random};
use crate::works::Syncs;

/// Takes this terminal into the vault of a card, or makes the card's first.
pub struct VaultEntry {
    pub(crate) database: Arc<Database>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) link: Arc<ServerLink>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) person: Arc<Person>,
    pub(crate) signing: Arc<KeyObjectSigner>,
    pub(crate) syncs: Arc<Syncs>,
}

impl VaultEntry {
    /// Makes the vault, or enters it: key object with this terminal, and the commit that first names it. Answers whether the
    /// vault is new.
    pub async fn enter_vault(
        &self,
        reader: &str,
        pin: &mut CardPin,
        pairing: &Pairing,
        key: &Arc<SecretKey>,
        label: &str,
    ) -> Result<bool, Failure> {
        // Also where the server moved to, if the owner agreed to that.
        let conn = self.link.connect_anew(pairing).await;
        let conn = conn.map_err(|e| server_reason(&e))?;
        let engine = self
            .engines
            .side_engine()
            .ok_or_else(|| failure(EngineError::Cancelled))?;
        let existing = match conn.key_object().await {
            Ok(answer) => Some(answer),
            Err(e) if e.code() == Some(ServerCode::NoVault) => None,
            Err(e) => return Err(server_reason(&e).into()),
        };
        let card = pairing.card;
        if !pairing.complete {
            // What an earlier try believed of a vault that it never entered counts for nothing.
            self.database
                .stored(|s| s.forget_chain())
                .map_err(failure)?;
        }
        let new_vault = existing.is_none();
        let draft = match existing {
            None => self.first_key_object(&card, key, label).await?,
            Some(answer) => {
                let all = conn.key_objects(0).await.map_err(|e| server_reason(&e))?;
                engine
                    .accept_key_objects(&card, &all.key_objects, &answer.wraps)
                    .map_err(failure)?;
                let objects = self.database.stored(|s| s.key_objects()).map_err(failure)?;
                let object = objects
                    .last()
                    .cloned()
                    .ok_or_else(|| failure(EngineError::NotInVault))?;
                let wrap = self
                    .database
                    .stored(|s| s.wrap(&card.id))
                    .map_err(failure)?;
                let wrap = wrap.ok_or_else(|| Failure::new(Code::CardNotInVault, "the vault is not wrapped to this card; add it with `simsync card add` from a paired terminal"))?;
                let flagged = object.body.flags & FLAG_REKEY_REQUIRED != 0;
                let revoked = (answer.rekey_required || flagged).then_some(answer.revoked);
                VaultDraft {
                    object,
                    wraps: answer.wraps,
                    wrap,
                    fresh: None,
                    revoked,
                }
            }
        };
        // 6. The session.
        let (session, opened) = self
            .open_for_pairing(reader, pin, pairing, key, &conn, &draft.wrap)
            .await?;
        // B2: the card is asked before anything is unwrapped or signed.
        self.judge_vault(&engine, &conn, &card, &opened).await?;
        let vk = match &draft.fresh {
            Some(vk) => vk.clone(),
            None => VaultKey::unwrap_with_card(&draft.object, &draft.wrap, &opened.session.secret)
                .map_err(failure)?,
        };
        // 7. The key object with this terminal, of a new epoch if one is due: nothing else would be accepted.
        let own = TerminalId::of(&key.point());
        let entry = draft.object.body.terminal(&own);
        let already = entry.is_some_and(|t| t.label == label);
        let (vk, body, wraps) = match &draft.revoked {
            _ if new_vault => (vk, Some(draft.object.body.clone()), draft.wraps),
            Some(revoked) => {
                let new = VaultKey::generate(&mut fresh_rng());
                let (body, wraps) = next_epoch(&draft.object, card.id, revoked, &vk, &new)?;
                (new, Some(enlist(body, key, label)), wraps)
            }
            None if already => (vk, None, draft.wraps),
            None => {
                let body = enlist(next(&draft.object, card.id), key, label);
                (vk, Some(body), draft.wraps)
            }
        };
        let signed = match body {
            Some(body) => Some(
                self.signing
                    .sign_list(reader, body, Some(pin.clone()))
                    .await?
                    .0,
            ),
            None => None,
        };
        let mut objects = self.database.stored(|s| s.key_objects()).map_err(failure)?;
        objects.extend(signed.clone());
        let ring = key_ring(vk, &objects).map_err(failure)?;
        self.sessions
            .keys()
            .put(ring, opened.generation)
            .map_err(failure)?;
        let head = opened.session.head;
        self.sessions.keep(reader, session, opened);
        let options = SyncOptions {
            key_object: signed.map(|o| (o, wraps)),
            closing: true,
            ..SyncOptions::default()
        };
        tracing::debug!(known = head.is_some(), "committing the key object");
        self.syncs.run_sync(options, None).await.map_err(failure)?;
        Ok(new_vault)
    }

    /// The vault that the server shows, against the card's record and signature: a server cannot invent one for a card.
    async fn judge_vault(
        &self,
        engine: &crate::engine::Engine,
        conn: &Connection,
        card: &TrustedCard,
        opened: &Opened,
    ) -> Result<(), Failure> {
        let witness = crate::session::witness_of(opened.session.head.as_ref());
        loop {
            let known = self
                .database
                .stored(|s| s.witness())
                .map_err(failure)?
                .sequence;
            let answer = conn.commits(known).await.map_err(|e| server_reason(&e))?;
            let commits = engine.verify_commits(&answer.commits).map_err(failure)?;
            for c in &commits {
                engine.keep_commit(c).map_err(failure)?;
            }
            if commits.len() < simsync_protocol::api::COMMITS_PER_ANSWER {
                break;
            }
        }
        let verdict = engine.judge_card(&witness, &[]).map_err(failure)?;
        if let Verdict::Unproven { .. } = verdict {
            return Err(Failure::new(
                Code::RecordUnproven,
                format!(
                    "{}, and no terminal is paired while that is so. A server that was set back can be brought to its newest state by its operator; on a terminal that is paired with this card, `simsync server accept-restored` goes on from what the server shows",
                    EngineError::Head(verdict)
                ),
            ));
        }
        if !verdict.may_write() {
            return Err(failure(EngineError::Head(verdict)));
        }
        let objects = self.database.stored(|s| s.key_objects()).map_err(failure)?;
        let vouched = objects
            .iter()
            .any(|o| o.body.signer == card.id && o.verify_signature(&card.keys.sig).is_ok());
        if opened.session.head.is_none() && !objects.is_empty() && !vouched {
            return Err(Failure::new(
                Code::VaultNotVouched,
                "this card has never signed the vault that the server shows; pair with the card that made it first",
            ));
        }
        Ok(())
    }

    /// VK_1, wraps for this card and the recovery code, and a key object that waits for the card's signature.
    async fn first_key_object(
        &self,
        card: &TrustedCard,
        key: &Arc<SecretKey>,
        label: &str,
    ) -> Result<VaultDraft, Failure> {
        let mut rng = fresh_rng();
        let vault = VaultId(random());
        let vk = VaultKey::generate(&mut rng);
        let code = RecoveryCode::generate(&mut rng);
        let words = Secret::new(code.words());
        self.person.show("recovery-code", words).await?;
        let recovery = code.keys();
        let wrap = vk
            .wrap(&vault, 1, &card.id, &card.keys.kem, &mut rng)
            .map_err(failure)?;
        let spare = vk
            .wrap(&vault, 1, &RECOVERY_ID, &recovery.kem, &mut rng)
            .map_err(failure)?;
        let recipients = vec![
            Recipient {
                id: card.id,
                keys: card.keys,
                wrap_hash: wrap.hash(),
            },
            Recipient {
                id: RECOVERY_ID,
                keys: recovery,
                wrap_hash: spare.hash(),
            },
        ];
        let body = KeyObjectBody {
            version: KEY_OBJECT_VERSION,
            vault,
            list_number: 1,
            epoch: 1,
            recipients,
            check: vk.check(),
            outbox_key: vk.outbox().1,
            previous_key: Vec::new(),
            terminals: vec![TerminalEntry {
                key: key.point(),
                label: label.to_owned(),
                collections: Vec::new(),
            }],
            flags: 0,
            previous: Hash::ZERO,
            signer: card.id,
        };
        let placeholder = key.sign(b"unsigned");
        Ok(VaultDraft {
            object: KeyObject::from_parts(body, placeholder),
            wraps: vec![wrap.clone(), spare],
            wrap,
            fresh: Some(vk),
            revoked: None,
        })
    }

    async fn open_for_pairing(
        &self,
        reader: &str,
        pin: &mut CardPin,
        pairing: &Pairing,
        key: &Arc<SecretKey>,
        conn: &Connection,
        wrap: &Wrap,
    ) -> Result<(Session, Opened), Failure> {
        let nonce = conn.nonce().await.map_err(|e| server_reason(&e))?;
        let prepared = Prepared::new(conn.clone(), &nonce, &pairing.certificate.0);
        let opening = SessionRequest {
            card: pairing.card.id,
            key: key.clone(),
            binding: prepared.binding,
            hpke: wrap.enc,
        };
        let opened = self.open_verified(reader, pin, opening).await?;
        let introduced = self.sessions.introduce(
            &prepared,
            TerminalId::of(&key.point()),
            pairing.card,
            &opened,
            Known::Nothing,
        );
        let (session, _) = introduced.await.map_err(failure)?;
        Ok((session, opened))
    }

    /// OPEN SESSION, with the PIN only where it has to be: what was typed on the reader to get here is verified still.
    async fn open_verified(
        &self,
        reader: &str,
        pin: &mut CardPin,
        opening: SessionRequest,
    ) -> Result<Opened, PinError> {
        // A removal at whatever step counts.
        let generation = self.sessions.keys().generation();
        let with_generation = |opened| Opened {
            generation,
            ..opened
        };
        if let CardPin::Pad(_) = pin {
            let opened = self
                .pins
                .open(reader, None, PadPurpose::Enter, opening.clone());
            match opened.await {
                Err(e) if e.status() == Some(Status::RightMissing) => {}
                other => return other.map(with_generation),
            }
        }
        self.pins
            .open(reader, Some(pin), PadPurpose::Enter, opening)
            .await
            .map(with_generation)
    }
}

struct VaultDraft {
    object: KeyObject,
    wraps: Vec<Wrap>,
    wrap: Wrap,
    /// A vault key that was made just now.
    fresh: Option<VaultKey>,
    /// A new epoch is due, without these.
    revoked: Option<Revoked>,
}

/// With this terminal, called so.
fn enlist(mut body: KeyObjectBody, key: &SecretKey, label: &str) -> KeyObjectBody {
    let own = TerminalId::of(&key.point());
    if let Some(entry) = body.terminals.iter_mut().find(|t| t.id() == own) {
        label.clone_into(&mut entry.label);
    } else {
        body.terminals.push(TerminalEntry {
            key: key.point(),
            label: label.to_owned(),
            collections: Vec::new(),
        });
    }
    body
}
