//! Key objects that this terminal makes: signed by the card, in force with the commit that first names them.

use std::sync::Arc;

use simsync_card::client::SignDomain;
use simsync_card::ids::Hash;
use simsync_card::sign::Sig;
use simsync_codes::Code;
use simsync_vault::keyobject::{KeyObject, KeyObjectBody, Wrap};

use super::key_objects::next;
use crate::api::{Failure, PadPurpose};
use crate::database::Database;
use crate::engine::{EngineError, SyncOptions, SyncReport};
use crate::reasons::{engine_reason, failure};
use crate::session::{CardPin, CardPins, CardSessions, card_ops};
use crate::works::{JobHandle, Syncs};

/// Has the card of the session sign key objects, and what else only the owner may say.
pub struct KeyObjectSigner {
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) database: Arc<Database>,
    pub(crate) syncs: Arc<Syncs>,
}

impl KeyObjectSigner {
    /// Asks for the PIN and signs the next key object of the same epoch. `change` makes it another one, and answers wraps
    /// for recipients that it adds.
    pub async fn commit_key_object(
        &self,
        change: impl FnOnce(&mut KeyObjectBody) -> Result<Vec<Wrap>, Failure>,
        options: SyncOptions,
        job: Option<&JobHandle>,
    ) -> Result<SyncReport, Failure> {
        let options = SyncOptions {
            key_object: Some(self.sign_key_object(change).await?),
            ..options
        };
        let done = self.syncs.run_sync(options, job).await;
        done.map_err(|e| engine_reason(&e).into())
    }

    /// The first half of it: what changes here with the list must not change where nobody signs.
    pub async fn sign_key_object(
        &self,
        change: impl FnOnce(&mut KeyObjectBody) -> Result<Vec<Wrap>, Failure>,
    ) -> Result<(KeyObject, Vec<Wrap>), Failure> {
        let (reader, card) = self.sessions.session_card()?;
        let newest = self.database.newest_list().map_err(failure)?;
        let newest = newest.ok_or_else(|| failure(EngineError::NotInVault))?;
        let mut body = next(&newest, card);
        let mut wraps = change(&mut body)?;
        for recipient in &body.recipients {
            let kept = self.database.stored(|s| s.wrap(&recipient.id));
            let kept = kept.map_err(|e| Failure::new(Code::Store, e.to_string()))?;
            wraps.extend(kept.filter(|w| w.hash() == recipient.wrap_hash));
        }
        let (object, _) = self.sign_list(&reader, body, None).await?;
        Ok((object, wraps))
    }

    /// VERIFY, SIGN over a key object. The PIN is asked for if it is not known yet, and again after a wrong one while the
    /// card has tries; the right one is answered.
    pub async fn sign_list(
        &self,
        reader: &str,
        body: KeyObjectBody,
        pin: Option<CardPin>,
    ) -> Result<(KeyObject, CardPin), Failure> {
        let (_, hash) = body.to_sign();
        let (sig, pin) = self
            .sign_on_card(reader, SignDomain::KeyObject, PadPurpose::Sign, &hash, pin)
            .await?;
        Ok((KeyObject::from_parts(body, sig), pin))
    }

    /// VERIFY and SIGN; the PIN is asked for where it is not given, and again while the card has tries. Answers it, too.
    pub async fn sign_on_card(
        &self,
        reader: &str,
        domain: SignDomain,
        purpose: PadPurpose,
        hash: &Hash,
        mut pin: Option<CardPin>,
    ) -> Result<(Sig, CardPin), Failure> {
        let hash = *hash;
        let mut tries = None;
        loop {
            let mut pin = match pin.take() {
                Some(pin) => pin,
                None => self.pins.card_pin(tries, tries.is_some(), reader).await?,
            };
            let signed = self
                .pins
                .with_card_pin(reader, &mut pin, purpose, move |card, pin| {
                    card_ops::sign(card, pin, domain, &hash)
                })
                .await;
            match signed {
                Ok(sig) => return Ok((sig, pin.proven())),
                Err(e) => match e.tries_left() {
                    Some(left) => tries = Some(left),
                    None => return Err(e.into()),
                },
            }
        }
    }
}
