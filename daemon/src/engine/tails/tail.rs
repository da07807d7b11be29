//! The tail: what no commit holds when the card is pulled, sealed to a key that only the card's next session can open.

use std::path::Path;
use std::sync::Arc;

use simsync_card::sign::SecretKey;
use simsync_vault::commit::SessionRef;
use simsync_vault::seal::ForgetsPlaintext;
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::{TAIL_VERSION, Tail, TailBody};

use super::builder::{Builder, TailReport};
use crate::engine::EngineError;
use crate::engine::clock::now_ms;
use crate::engine::disk::places::Places;
use crate::engine::disk::settle::settle_sent;
use crate::outstanding::{Producer, Report, Unsynced};
use crate::store::{OwnSession, Store};

/// Makes tails.
pub struct Tails {
    store: Arc<Store>,
    places: Places,
    /// The terminal's key, unsealed.
    key: Arc<SecretKey>,
    /// Size at which a pack of items is closed, in bytes.
    pack_target: usize,
    /// Most items of a tail.
    items_max: usize,
}

impl Tails {
    /// Of what differs at these places, signed by this key: of no more than `items_max` items, in packs of `pack_target` bytes.
    pub fn new(
        store: Arc<Store>,
        places: Places,
        key: Arc<SecretKey>,
        pack_target: usize,
        items_max: usize,
    ) -> Self {
        Self {
            store,
            places,
            key,
            pack_target,
            items_max,
        }
    }

    /// Seals what no commit holds, without any secret of the vault, and signs the tail. The sealed packs rest in
    /// `outbox` until they are delivered.
    pub fn make_tail(
        &self,
        statement: &SessionStatement,
        outbox: &Path,
    ) -> Result<TailReport, EngineError> {
        let _forgets = ForgetsPlaintext::hold();
        let session = SessionRef {
            card: statement.card,
            n: statement.n,
        };
        // A session may begin with the news of a commit that was not heard of, and end before its first sync.
        settle_sent(&self.store, &self.places)?;
        let own = self.store.own_sessions()?;
        if !own.iter().any(|s| s.session() == session) {
            // That commit ended it.
            return Ok(TailReport::default());
        }
        let objects = self.store.key_objects()?;
        let object = objects.last().ok_or(EngineError::NotInVault)?;
        let replaces: Vec<SessionRef> = own
            .iter()
            .filter(|s| s.tail.is_some() && s.session() != session)
            .map(OwnSession::session)
            .collect();
        let mut earlier = Vec::new();
        for session in &replaces {
            earlier.extend(self.store.tail_items(session)?);
        }
        let (store, pack_target) = (&self.store, self.pack_target);
        let mut b = Builder::new(store, outbox, object, session, pack_target, self.items_max);
        for c in self.store.collections()? {
            let Some(root) = &c.root else { continue };
            self.places.put_modes_back(&c, root);
            match self.places.scan(&c, root, false) {
                // An alarm here is no reason to lose the rest, and deletions en masse are not sent on.
                Ok(mut local) => {
                    let reports = std::mem::take(&mut local.reports);
                    self.store
                        .report(Producer::Scan, c.pk, &reports, now_ms())?;
                    b.collection(&c, &local, &earlier)?;
                }
                // Half a tail would be taken for the whole.
                Err(EngineError::Cancelled) => return Err(EngineError::Cancelled),
                Err(error) => {
                    tracing::warn!(collection = c.name, %error, "left out of the tail");
                    let code = error
                        .of_one_collection()
                        .unwrap_or(Unsynced::CollectionFailed);
                    let report = Report::whole(code, error.to_string());
                    self.store
                        .report(Producer::Collection, c.pk, &[report], now_ms())?;
                }
            }
        }
        let built = b.finish()?;
        let body = TailBody {
            version: TAIL_VERSION,
            vault: object.body.vault,
            epoch: object.body.epoch,
            session: statement.clone(),
            parent: self.store.witness()?.head,
            items: built.hashes,
            packs: built.packs,
            replaces,
        };
        let tail = Tail::sign(body, &self.key);
        self.store.add_tail_items(&session, &built.kept)?;
        self.store.set_tail(&session, &tail.to_bytes())?;
        Ok(built.report)
    }
}
