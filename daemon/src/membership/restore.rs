//! The end of a card's record that nobody can prove: the owner's card signs that the vault goes on from what the server shows,
//! with a new key, one above the record.

use std::sync::Arc;

use simsync_card::client::{HeadWriter, SignDomain};
use simsync_card::ids::Hash;
use simsync_codes::Code;
use simsync_protocol::api::Revoked;
use simsync_vault::head::Verdict;
use simsync_vault::restore::Restore;

use super::epochs::Epochs;
use super::sign::KeyObjectSigner;
use crate::api::{Failure, PadPurpose, Reason};
use crate::database::Database;
use crate::engine::EngineError;
use crate::identity::Identity;
use crate::reasons::failure;
use crate::session::{CardHead, CardPin, CardSessions};

/// Tells the owner of a record that nothing proves, and ends it on their word.
pub struct Restorer {
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) database: Arc<Database>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) head: Arc<CardHead>,
    pub(crate) signing: Arc<KeyObjectSigner>,
    pub(crate) epochs: Arc<Epochs>,
}

impl Restorer {
    /// What the owner reads where the card's record is one that nothing proves.
    pub fn unproven(&self, verdict: &Verdict, writer: Option<HeadWriter>) -> Reason {
        let who = match writer {
            Some(w) => format!("{} wrote it there", self.name_of(&w)),
            None => "the card does not say who wrote it there".to_owned(),
        };
        Reason::new(
            Code::RecordUnproven,
            format!(
                "{}. {who}. Either the server was set back, or that was never true; nobody can tell which. A terminal that has more than the server tells when the card is put in there; if none does, `simsync server accept-restored` goes on from what the server shows",
                EngineError::Head(verdict.clone())
            ),
        )
    }

    fn name_of(&self, writer: &HeadWriter) -> String {
        let id: String = writer.terminal[..4]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let objects = self
            .database
            .stored(|s| s.key_objects())
            .unwrap_or_default();
        let terminals = objects.iter().rev().flat_map(|o| &o.body.terminals);
        let entry = terminals
            .into_iter()
            .find(|t| t.id().0[..8] == writer.terminal);
        match entry.map(|t| &t.label) {
            Some(label) => format!("The terminal \"{label}\" ({id}), in session {},", writer.n),
            None => format!(
                "A terminal that this vault does not know ({id}), in session {},",
                writer.n
            ),
        }
    }

    /// After a session was opened for it.
    pub async fn end_record(
        &self,
        reader: &str,
        pin: Option<CardPin>,
        verdict: &Verdict,
    ) -> Result<(), Failure> {
        match verdict {
            Verdict::Unproven { .. } => self.commit_end(reader, pin).await,
            // The vault goes on already; the card was pulled before it heard of that, or could not take it.
            Verdict::Ended => {
                let ended = self.newest_end().map_err(failure)?;
                self.signing
                    .sign_on_card(
                        reader,
                        SignDomain::Restore,
                        PadPurpose::EndRecord,
                        &ended,
                        pin,
                    )
                    .await?;
                self.tell().await
            }
            // The card could not be told of the newest state for another reason.
            _ => self.tell().await,
        }
    }

    async fn tell(&self) -> Result<(), Failure> {
        match self.head.put_head(false).await {
            Some(untold) => Err(untold.into()),
            None => Ok(()),
        }
    }

    async fn commit_end(&self, reader: &str, pin: Option<CardPin>) -> Result<(), Failure> {
        let record = self.sessions.live().and_then(|l| l.record);
        let (_, pairing) = self.identity.pairing()?;
        let head = self
            .database
            .stored(|s| s.newest_commit())
            .map_err(failure)?;
        let (Some(record), Some(head)) = (record, head) else {
            return Err(failure(EngineError::NotInVault));
        };
        let from = head.hash();
        let sequence = record.sequence.max(head.body.sequence);
        let epoch = head.body.epoch + 1;
        let hash = Restore::to_sign(&pairing.server_id, &record.head, sequence, &from, epoch);
        let (sig, pin) = self
            .signing
            .sign_on_card(
                reader,
                SignDomain::Restore,
                PadPurpose::EndRecord,
                &hash,
                pin,
            )
            .await?;
        let restore = Restore {
            server: pairing.server_id,
            head: record.head,
            sequence,
            sig,
        };
        self.epochs
            .new_epoch_after(
                reader,
                Some(pin),
                &Revoked::default(),
                Some((restore, from)),
            )
            .await?;
        tracing::info!(
            sequence,
            "the card's record is ended; the vault goes on above it"
        );
        Ok(())
    }

    /// What the card signed when the newest record was ended.
    fn newest_end(&self) -> Result<Hash, EngineError> {
        let commits = self.database.stored(|s| s.newest_commits(u32::MAX))?;
        let newest = commits.iter().find_map(|c| {
            let r = c.body.restore.as_ref()?;
            let (from, epoch) = (&c.body.previous, c.body.epoch);
            Some(Restore::to_sign(
                &r.server, &r.head, r.sequence, from, epoch,
            ))
        });
        newest.ok_or(EngineError::NotInVault)
    }
}
