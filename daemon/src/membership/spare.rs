//! Spare cards (flow 8), with one reader: the new card tells its keys, the card in use signs a key object that names it, and
//! the new card takes the terminals in when it is first used. Each step is an order of its own, so a person can change
//! cards in between, and go on another day.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use simsync_card::client::{Lifecycle, Selected};
use simsync_card::ids::{CardId, SubscriberId, TerminalId};
use simsync_codes::Code;
use simsync_protocol::api::Revoked;
use simsync_vault::keyobject::{KeyObjectBody, RECOVERY_ID, Recipient};

use super::epochs::Epochs;
use super::sign::KeyObjectSigner;
use super::slots::Slots;
use crate::api::{Failure, VaultCard};
use crate::config::read_json;
use crate::database::Database;
use crate::engine::{EngineError, SyncOptions, TrustedCard, fresh_rng};
use crate::identity::{Identity, Pairing};
use crate::paths::write_atomically;
use crate::reasons::{card_reason, failure, server_reason};
use crate::session::card_ops::CARD_DEADLINE;
use crate::session::{CardAccess, CardPins, CardSessions, card_ops};
use crate::works::Done;

/// Newest version of `spare.json`.
const SPARE_VERSION: u32 = 1;
/// Fewest characters by which a card or terminal is named.
const PREFIX_MIN: usize = 4;

/// A card whose keys were read from itself, until the vault key is wrapped to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spare {
    version: u32,
    /// Whose terminal read it: nobody else's vault is ever wrapped to it.
    subscriber: SubscriberId,
    card: TrustedCard,
    label: String,
}

impl Spare {
    /// The one that is kept, if it is this subscriber's.
    fn load(path: &Path, subscriber: &SubscriberId) -> Result<Option<Self>, Failure> {
        let kept: Option<Self> =
            read_json(path, SPARE_VERSION).map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        Ok(kept.filter(|s| s.subscriber == *subscriber))
    }
}

fn not_written(e: impl std::fmt::Display) -> Failure {
    Failure::new(Code::CannotWrite, e.to_string())
}

/// What a step of adding a card answers: the card, and what comes next.
fn step(spare: &Spare, next: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("card".to_owned(), spare.card.id.to_string()),
        ("label".to_owned(), spare.label.clone()),
        ("next".to_owned(), next.to_owned()),
    ])
}

/// The person's cards and terminals beside the one that is in use.
pub struct Spares {
    pub(crate) identity: Arc<Identity>,
    pub(crate) database: Arc<Database>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) access: Arc<CardAccess>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) signing: Arc<KeyObjectSigner>,
    pub(crate) epochs: Arc<Epochs>,
    /// A card that is being added.
    pub(crate) file: PathBuf,
}

impl Spares {
    /// One step of `simsync card add`, the one that the cards in the readers allow. Answers `next`: `main-card`,
    /// `new-card` (it is unlocked then, and takes the terminals in).
    pub async fn add_card(&self) -> Done {
        let (_, pairing) = self.identity.pairing()?;
        let mut kept = Spare::load(&self.file, &pairing.subscriber)?;
        let mut unknown = None;
        for reader in self.sessions.card_readers() {
            // Known, and in use.
            if self.sessions.is_in_session(&reader) {
                continue;
            }
            let probed = self
                .sessions
                .card()
                .run(&reader, CARD_DEADLINE, card_ops::probe)
                .await
                .map_err(|e| card_reason(&e))?;
            if let Some(selected) = probed
                && !self.is_known(&selected, &pairing)
            {
                unknown = Some((reader, selected));
            }
        }
        if let Some((reader, selected)) = unknown {
            let same = |s: &Spare| selected.is_card_of(&s.card.id, &pairing.subscriber);
            if !kept.as_ref().is_some_and(same) {
                check_enrolled(&selected)?;
                kept = Some(self.read_spare(&reader, &pairing).await?);
            }
            if let (Some(spare), false) = (&kept, self.sessions.is_open()) {
                return Ok(step(spare, "main-card"));
            }
        }
        match kept {
            Some(spare) => self.name_spare(&spare).await,
            None => Err(Failure::new(
                Code::NoNewCard,
                "the card that is in is one of yours already; take it out and put the new card in",
            )),
        }
    }

    fn is_known(&self, selected: &Selected, pairing: &Pairing) -> bool {
        let known = self.slots.known_cards(pairing);
        known
            .iter()
            .any(|c| selected.is_card_of(c, &pairing.subscriber))
    }

    /// The new card's PIN (with its change, when due), what it says of itself, and its keys from itself.
    async fn read_spare(&self, reader: &str, pairing: &Pairing) -> Result<Spare, Failure> {
        let (_, view) = self.access.read_card(reader).await?;
        if view.info.subscriber != pairing.subscriber {
            return Err(Failure::new(
                Code::CardMismatch,
                format!(
                    "this card was made for the subscriber {}, and yours is {}; ask the operator for a card of yours",
                    view.info.subscriber, pairing.subscriber
                ),
            ));
        }
        let spare = Spare {
            version: SPARE_VERSION,
            subscriber: view.info.subscriber,
            card: TrustedCard {
                id: view.info.card,
                keys: view.keys,
            },
            label: view.info.label,
        };
        let text = serde_json::to_vec_pretty(&spare).map_err(not_written)?;
        write_atomically(&self.file, &text).map_err(not_written)?;
        Ok(spare)
    }

    /// The card in use signs a key object that names the new one; the vault key is wrapped to its own keys.
    async fn name_spare(&self, spare: &Spare) -> Done {
        let (_, main) = self.sessions.session_card()?;
        let list = self.database.newest_list().map_err(failure)?;
        let named = list.is_some_and(|l| l.body.recipient(&spare.card.id).is_some());
        if !named && main != spare.card.id {
            let name = |body: &mut KeyObjectBody| {
                let (id, keys) = (spare.card.id, spare.card.keys);
                let wrap = self.sessions.keys().with(|k| {
                    let vk = k.newest();
                    vk.wrap(&body.vault, body.epoch, &id, &keys.kem, &mut fresh_rng())
                });
                let wrap = wrap.map_err(failure)?.map_err(failure)?;
                body.recipients.push(Recipient {
                    id,
                    keys,
                    wrap_hash: wrap.hash(),
                });
                Ok(vec![wrap])
            };
            self.signing
                .commit_key_object(name, SyncOptions::default(), None)
                .await?;
        }
        std::fs::remove_file(&self.file).map_err(not_written)?;
        Ok(step(spare, "new-card"))
    }

    /// The person's cards, as the newest key object names them.
    pub fn vault_cards(&self) -> Result<Vec<VaultCard>, Failure> {
        let Some(list) = self.database.newest_list().map_err(failure)? else {
            return Ok(Vec::new());
        };
        let in_use = self.sessions.session().map(|s| s.card.id);
        let known = self.identity.pairing().map(|(_, p)| p);
        let used = |id: &CardId| {
            known
                .as_ref()
                .is_ok_and(|p| p.card.id == *id || p.known_card(id).is_some())
        };
        let cards = list.body.recipients.iter().filter(|r| r.id != RECOVERY_ID);
        Ok(cards
            .map(|r| VaultCard {
                card: r.id.to_string(),
                in_use: in_use == Some(r.id),
                used_here: used(&r.id),
            })
            .collect())
    }

    /// A lost card: a new epoch without it, then the server is told.
    pub async fn remove_card(&self, which: &str) -> Done {
        let (reader, own) = self.sessions.session_card()?;
        let cards = self.vault_cards()?;
        let ids = cards
            .iter()
            .filter_map(|c| c.card.parse::<CardId>().ok())
            .map(|id| (id, id.to_string(), String::new()));
        let card = one_of(ids, which).map_err(|n| {
            Failure::new(
                Code::NoSuchCard,
                format!("{n} of your cards are called {which}; `simsync card list` shows them, and the first characters of an ID are enough"),
            )
        })?;
        if card == own {
            return Err(Failure::new(
                Code::CardInUse,
                "this is the card that is in; a lost card is removed with another one in the reader",
            ));
        }
        let without = Revoked {
            cards: vec![card],
            terminals: Vec::new(),
        };
        self.epochs.new_epoch(&reader, None, &without).await?;
        let conn = self
            .sessions
            .session()
            .map(|s| s.conn)
            .ok_or_else(|| failure(EngineError::Cancelled))?;
        conn.revoke_card(card)
            .await
            .map_err(|e| server_reason(&e))?;
        Ok(BTreeMap::from([("card".to_owned(), card.to_string())]))
    }

    /// A lost terminal: off the card, a new epoch without it, then the server is told.
    pub async fn remove_terminal(&self, which: &str) -> Done {
        let (reader, card) = self.sessions.session_card()?;
        let list = self.database.newest_list().map_err(failure)?;
        let list = list.ok_or_else(|| failure(EngineError::NotInVault))?;
        let all = list.body.terminals.iter();
        let ids = all.map(|t| (t.id(), t.id().to_string(), t.label.clone()));
        let terminal: TerminalId = one_of(ids, which).map_err(|n| {
            Failure::new(
                Code::NoSuchTerminal,
                format!("{n} of your terminals are called {which}; `simsync terminals list` shows them, and the first characters of an ID are enough"),
            )
        })?;
        if Some(terminal) == self.identity.terminal_id() {
            return Err(Failure::new(
                Code::TerminalInUse,
                "this is the terminal that you sit at; `simsync unpair` takes it out in good order",
            ));
        }
        let mut pin = self.pins.card_pin(None, false, &reader).await?;
        self.slots.take_off(&reader, &mut pin, &[terminal]).await?;
        let without = Revoked {
            cards: Vec::new(),
            terminals: vec![terminal],
        };
        self.epochs.new_epoch(&reader, Some(pin), &without).await?;
        let conn = self
            .sessions
            .session()
            .map(|s| s.conn)
            .ok_or_else(|| failure(EngineError::Cancelled))?;
        conn.revoke_terminal(terminal)
            .await
            .map_err(|e| server_reason(&e))?;
        tracing::debug!(%card, "the terminal is off this card; others follow at their next session");
        Ok(BTreeMap::from([(
            "terminal".to_owned(),
            terminal.to_string(),
        )]))
    }
}

fn check_enrolled(selected: &Selected) -> Result<(), Failure> {
    if selected.lifecycle == Lifecycle::Enrolled {
        return Ok(());
    }
    Err(Failure::new(
        Code::CardNotReady,
        "this card is not somebody's yet; its operator prepares it with `simsync-card provision`",
    ))
}

/// The one thing of this label, or whose ID begins so; else how many there are.
fn one_of<T: Copy>(
    things: impl Iterator<Item = (T, String, String)>,
    which: &str,
) -> Result<T, String> {
    let is = |id: &str, label: &str| {
        (!label.is_empty() && label == which)
            || (which.len() >= PREFIX_MIN && id.starts_with(&which.to_lowercase()))
    };
    let found: Vec<T> = things
        .filter(|(_, id, label)| is(id, label))
        .map(|(thing, ..)| thing)
        .collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err("none".to_owned()),
        more => Err(more.len().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m13_a_card_that_was_read_for_one_person_is_never_added_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spare.json");
        let point = simsync_card::sign::SecretKey::from_bytes(&[3; 32])
            .unwrap()
            .point();
        let spare = Spare {
            version: SPARE_VERSION,
            subscriber: "alice".parse().unwrap(),
            card: TrustedCard {
                id: CardId([7; 16]),
                keys: simsync_card::text::CardKeys {
                    sig: point,
                    kem: point,
                },
            },
            label: "spare".to_owned(),
        };
        std::fs::write(&path, serde_json::to_vec(&spare).unwrap()).unwrap();
        let load = |who: &str| Spare::load(&path, &who.parse().unwrap()).unwrap();
        assert_eq!(load("alice"), Some(spare));
        assert_eq!(load("bob"), None);
    }

    #[test]
    fn b8_what_is_removed_is_named_without_doubt() {
        let all = || {
            [
                (1, "aabb01".to_owned(), "desk".to_owned()),
                (2, "aabb02".to_owned(), "lap".to_owned()),
                (3, "aacc03".to_owned(), "lap".to_owned()),
            ]
            .into_iter()
        };
        assert_eq!(one_of(all(), "desk"), Ok(1));
        assert_eq!(one_of(all(), "AABB02"), Ok(2));
        assert_eq!(one_of(all(), "aacc"), Ok(3));
        assert_eq!(one_of(all(), "aabb"), Err("2".to_owned()));
        assert_eq!(one_of(all(), "lap"), Err("2".to_owned()));
        // Too little to be sure.
        assert_eq!(one_of(all(), "aac"), Err("none".to_owned()));
        assert_eq!(one_of(all(), ""), Err("none".to_owned()));
    }
}
