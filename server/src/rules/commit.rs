//! When a commit is accepted (flows 4 to 6).

use std::collections::{BTreeMap, HashSet};

use simsync_card::ids::{CardId, Hash, ServerId, TerminalId};
use simsync_protocol::api::{HeadInfo, SessionState};
use simsync_vault::commit::{Commit, CommitBody, SessionRef};
use simsync_vault::ids::CollectionId;
use simsync_vault::keyobject::{FLAG_REKEY_REQUIRED, KeyObject, TerminalEntry, Wrap};
use simsync_vault::succession;

use super::facts::Facts;
use super::keyobject;
use super::refusal::Refusal;
use crate::store::types::{CardRow, KeyState, PackStatus, Scope, TailStatus};

/// What is to be written, beside commit, key object and head.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The new head.
    pub head: HeadInfo,
    /// Is a re-key due after it?
    pub rekey_required: bool,
    /// Tails that are merged with it: the named ones and those that they replace.
    pub merged: Vec<SessionRef>,
    /// Sessions of (card, terminal) up to this number are closed.
    pub closed: Vec<(SessionRef, TerminalId)>,
}

/// What happens with a commit.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the chain already: nothing is written.
    Repeated(HeadInfo),
    /// It becomes the head.
    Accept(Plan),
}

/// What becomes of the request, from the facts alone.
pub fn decide(
    commit: &Commit,
    new_list: Option<&(KeyObject, Vec<Wrap>)>,
    terminal: &TerminalId,
    grant_session: &SessionRef,
    server: &ServerId,
    facts: &Facts,
) -> Result<Outcome, Refusal> {
    let body = &commit.body;
    if let Some((head, _)) = facts.head.as_ref().filter(|_| facts.known) {
        return Ok(Outcome::Repeated(*head));
    }
    let card = session_rules(body, terminal, grant_session, facts)?;
    let epoch_now = facts.key_object.as_ref().map_or(0, |k| k.body.epoch);
    if facts.rekey_required && new_list.is_none_or(|(k, _)| k.body.epoch <= epoch_now) {
        return Err(Refusal::RekeyRequired);
    }
    head_rules(commit, card, server, facts)?;
    let list = list_rules(body, card, new_list, facts)?;
    let entry = author(body, list, facts)?;
    commit
        .verify(&entry.key, &card.keys.sig)
        .map_err(Refusal::Format)?;
    if list.recipient_keys(&card.card) != Some(card.keys.sig) {
        return Err(Refusal::NoRecipient);
    }
    let granted: HashSet<CollectionId> = entry.collections.iter().copied().collect();
    root_rules(body, &granted, facts)?;
    pack_rules(body, &granted, facts)?;
    let merged = tail_rules(body, facts)?;
    Ok(Outcome::Accept(plan(
        commit,
        list,
        new_list.is_some(),
        merged,
        facts,
    )))
}

trait RecipientKeys {
    fn recipient_keys(&self, card: &CardId) -> Option<simsync_card::ids::Point>;
}

impl RecipientKeys for KeyObject {
    fn recipient_keys(&self, card: &CardId) -> Option<simsync_card::ids::Point> {
        self.body.recipient(card).map(|r| r.keys.sig)
    }
}

/// The commit belongs to the session of the grant, which is the card's newest and not over.
fn session_rules<'a>(
    body: &CommitBody,
    terminal: &TerminalId,
    grant_session: &SessionRef,
    facts: &'a Facts,
) -> Result<&'a CardRow, Refusal> {
    let named = SessionRef {
        card: body.session.card,
        n: body.session.n,
    };
    if body.terminal != *terminal {
        return Err(Refusal::CommitOfOther);
    }
    let Some(session) = facts.session.as_ref() else {
        return Err(Refusal::CommitSessionUnknown);
    };
    if named != *grant_session || session.statement != body.session {
        return Err(Refusal::CommitSessionOther);
    }
    let Some(card) = facts.cards.get(&named.card) else {
        return Err(Refusal::NotTheirCard);
    };
    if card.state == KeyState::Revoked {
        return Err(Refusal::CardRevoked);
    }
    match session.state {
        SessionState::Closed => {
            return Err(Refusal::SessionClosed);
        }
        SessionState::TailDelivered | SessionState::Quarantined | SessionState::Forgotten => {
            return Err(Refusal::SessionSuperseded);
        }
        SessionState::Open => {}
    }
    if card.last_n > named.n {
        return Err(Refusal::SessionSuperseded);
    }
    if session.scope == Scope::Nothing {
        return Err(Refusal::CardGone);
    }
    Ok(card)
}

/// Compare-and-set: it must follow the newest commit.
fn head_rules(
    commit: &Commit,
    card: &CardRow,
    server: &ServerId,
    facts: &Facts,
) -> Result<(), Refusal> {
    let body = &commit.body;
    let before = facts.head.as_ref().map(|(_, c)| c);
    let hash = before.map_or(Hash::ZERO, Commit::hash);
    if body.previous != hash {
        return Err(Refusal::HeadMoved(facts.head.as_ref().map(|(h, _)| *h)));
    }
    succession::follows(commit, before.map(|c| &c.body), server, &card.keys.sig)
        .map_err(Refusal::Format)?;
    if before.is_some_and(|c| c.body.vault != body.vault) {
        return Err(Refusal::OtherVault);
    }
    Ok(())
}

/// The key object that the commit names is the one in force, or a new one that may follow it.
fn list_rules<'a>(
    body: &CommitBody,
    card: &CardRow,
    new_list: Option<&'a (KeyObject, Vec<Wrap>)>,
    facts: &'a Facts,
) -> Result<&'a KeyObject, Refusal> {
    let now = facts.key_object.as_ref();
    let number_now = now.map_or(0, |k| k.body.list_number);
    let list = match (new_list, now) {
        (Some((list, wraps)), _) => {
            if list.body.list_number <= number_now {
                return Err(Refusal::ListMoved(number_now));
            }
            keyobject::check(list, wraps, card, facts)?;
            list
        }
        (None, Some(now)) => {
            if body.list_number < number_now {
                return Err(Refusal::ListMoved(number_now));
            }
            now
        }
        (None, None) => {
            return Err(Refusal::FirstListMissing);
        }
    };
    let named = (body.list_number, body.list_hash, body.vault);
    if named != (list.body.list_number, list.hash(), list.body.vault) {
        return Err(Refusal::ListOther);
    }
    if body.epoch != list.body.epoch {
        return Err(Refusal::EpochOther {
            commit: body.epoch,
            list: list.body.epoch,
        });
    }
    Ok(list)
}

/// The author's entry: in the key object named, or, for a terminal that takes itself out, in the one before. That is its last
/// word: it closes.
fn author<'a>(
    body: &CommitBody,
    list: &'a KeyObject,
    facts: &'a Facts,
) -> Result<&'a TerminalEntry, Refusal> {
    let before = facts.key_object.as_ref().filter(|_| body.closing);
    list.body
        .terminal(&body.terminal)
        .or_else(|| before.and_then(|k| k.body.terminal(&body.terminal)))
        .ok_or(Refusal::NotInKeyObject)
}

/// Roots change in the terminal's own collections only (M12).
fn root_rules(
    body: &CommitBody,
    granted: &HashSet<CollectionId>,
    facts: &Facts,
) -> Result<(), Refusal> {
    let before: BTreeMap<_, _> = facts
        .head
        .iter()
        .flat_map(|(_, c)| c.body.roots.iter().map(|r| (r.collection, r.root)))
        .collect();
    let after: BTreeMap<_, _> = body.roots.iter().map(|r| (r.collection, r.root)).collect();
    let all = before.keys().chain(after.keys());
    for collection in all {
        let changed = before.get(collection) != after.get(collection);
        if changed && !granted.contains(collection) {
            return Err(Refusal::CollectionOther(*collection));
        }
        if *collection == CollectionId::OUTBOX {
            return Err(Refusal::OutboxRoot);
        }
    }
    Ok(())
}

fn pack_rules(
    body: &CommitBody,
    granted: &HashSet<CollectionId>,
    facts: &Facts,
) -> Result<(), Refusal> {
    let mut named = HashSet::new();
    for pack in &body.packs_added {
        if !named.insert(pack.id) {
            return Err(Refusal::PackTwice(pack.id));
        }
        if !granted.contains(&pack.collection) {
            return Err(Refusal::PackOfOther(pack.id));
        }
        let missing = || Refusal::PackMissing(pack.id);
        let row = facts.packs.get(&pack.id).ok_or_else(missing)?;
        match row.status {
            PackStatus::Uploading => return Err(missing()),
            PackStatus::Dropped => {
                return Err(Refusal::PackDropped(pack.id));
            }
            PackStatus::Committed => {
                return Err(Refusal::PackCommitted(pack.id));
            }
            PackStatus::Complete if row.pack != *pack => {
                return Err(Refusal::PackOther(pack.id));
            }
            PackStatus::Complete => {}
        }
    }
    for id in &body.packs_dropped {
        if !named.insert(*id) {
            return Err(Refusal::PackTwice(*id));
        }
        match facts.packs.get(id) {
            Some(row) if row.status == PackStatus::Committed => {
                if !granted.contains(&row.pack.collection) {
                    return Err(Refusal::PackOfOther(*id));
                }
            }
            _ => {
                return Err(Refusal::PackNotLive(*id));
            }
        }
    }
    Ok(())
}

/// Tails that the commit names wait for it. Those that they replace are merged with them.
fn tail_rules(body: &CommitBody, facts: &Facts) -> Result<Vec<SessionRef>, Refusal> {
    let mut merged: Vec<SessionRef> = Vec::new();
    for session in &body.tails_merged {
        let Some(tail) = facts.tails.get(session) else {
            return Err(Refusal::NoTail(*session));
        };
        if tail.status == TailStatus::Merged {
            return Err(Refusal::TailMerged(*session));
        }
        merged.push(*session);
    }
    // Transitively: a tail that replaces one which replaces another.
    let mut next = 0;
    while let Some(session) = merged.get(next).copied() {
        next += 1;
        let Some(tail) = facts.tails.get(&session) else {
            continue;
        };
        for earlier in &tail.replaces {
            let waits = facts
                .tails
                .get(earlier)
                .is_some_and(|t| t.terminal == tail.terminal && t.status != TailStatus::Merged);
            if waits && !merged.contains(earlier) {
                merged.push(*earlier);
            }
        }
    }
    merged.sort_unstable();
    merged.dedup();
    Ok(merged)
}

fn plan(
    commit: &Commit,
    list: &KeyObject,
    new_list: bool,
    merged: Vec<SessionRef>,
    facts: &Facts,
) -> Plan {
    let body = &commit.body;
    let mut closed: Vec<(SessionRef, TerminalId)> = merged
        .iter()
        .filter_map(|s| facts.tails.get(s).map(|t| (*s, t.terminal)))
        .collect();
    if body.closing {
        let own = SessionRef {
            card: body.session.card,
            n: body.session.n,
        };
        closed.push((own, body.terminal));
    }
    let epoch_now = facts.key_object.as_ref().map_or(0, |k| k.body.epoch);
    let rekeyed = new_list && list.body.epoch > epoch_now;
    let asked = new_list && list.body.flags & FLAG_REKEY_REQUIRED != 0;
    Plan {
        head: HeadInfo {
            hash: commit.hash(),
            sequence: body.sequence,
            epoch: body.epoch,
            list_number: body.list_number,
        },
        rekey_required: asked || (facts.rekey_required && !rekeyed),
        merged,
        closed,
    }
}

#[cfg(test)]
mod tests;
