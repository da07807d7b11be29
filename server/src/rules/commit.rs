//! When a commit is accepted (flows 4 to 6).

use std::collections::{BTreeMap, HashSet};

use simsync_card::ids::{CardId, Hash, ServerId, TerminalId};
use simsync_protocol::api::{HeadInfo, SessionState};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::commit::{Commit, CommitBody, SessionRef};
use simsync_vault::ids::CollectionId;
use simsync_vault::keyobject::{FLAG_REKEY_REQUIRED, KeyObject, TerminalEntry, Wrap};
use simsync_vault::succession;

use super::facts::Facts;
use super::{format_problem, keyobject, refuse};
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

/// Decides.
pub fn decide(
    commit: &Commit,
    new_list: Option<&(KeyObject, Vec<Wrap>)>,
    terminal: &TerminalId,
    grant_session: &SessionRef,
    server: &ServerId,
    facts: &Facts,
) -> Result<Outcome, Problem> {
    let body = &commit.body;
    if let Some((head, _)) = facts.head.as_ref().filter(|_| facts.known) {
        return Ok(Outcome::Repeated(*head));
    }
    let card = session_rules(body, terminal, grant_session, facts)?;
    let epoch_now = facts.key_object.as_ref().map_or(0, |k| k.body.epoch);
    if facts.rekey_required && new_list.is_none_or(|(k, _)| k.body.epoch <= epoch_now) {
        return refuse(
            Code::RekeyRequired,
            "something was revoked: this session must first make a new epoch (a key object with the next epoch)",
        );
    }
    head_rules(commit, card, server, facts)?;
    let list = list_rules(body, card, new_list, facts)?;
    let entry = author(body, list, facts)?;
    commit
        .verify(&entry.key, &card.keys.sig)
        .map_err(|e| format_problem(&e))?;
    if list.recipient_keys(&card.card) != Some(card.keys.sig) {
        return refuse(
            Code::CardRevoked,
            "the card of this session is no longer a recipient of the vault key",
        );
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
) -> Result<&'a CardRow, Problem> {
    let named = SessionRef {
        card: body.session.card,
        n: body.session.n,
    };
    if body.terminal != *terminal {
        return refuse(Code::SignatureRefused, "the commit is another terminal's");
    }
    let Some(session) = facts.session.as_ref() else {
        return refuse(Code::ChainRefused, "the commit's session is unknown here");
    };
    if named != *grant_session || session.statement != body.session {
        return refuse(
            Code::ChainRefused,
            "the commit names another session than that of its grant",
        );
    }
    let Some(card) = facts.cards.get(&named.card) else {
        return refuse(Code::CardMismatch, "the card is not one of this subscriber");
    };
    if card.state == KeyState::Revoked {
        return refuse(Code::CardRevoked, "this card was revoked");
    }
    match session.state {
        SessionState::Closed => {
            return refuse(
                Code::ChainRefused,
                "this session is closed; open another one",
            );
        }
        SessionState::TailDelivered | SessionState::Quarantined | SessionState::Forgotten => {
            return superseded();
        }
        SessionState::Open => {}
    }
    if card.last_n > named.n {
        return superseded();
    }
    if session.scope == Scope::Nothing {
        return refuse(
            Code::GrantNarrowed,
            "the card was removed; open a session again",
        );
    }
    Ok(card)
}

fn superseded<T>() -> Result<T, Problem> {
    refuse(
        Code::SessionSuperseded,
        "the card has opened a newer session since: deliver what is left as a tail, or open a session again",
    )
}

/// Compare-and-set: it must follow the newest commit.
fn head_rules(
    commit: &Commit,
    card: &CardRow,
    server: &ServerId,
    facts: &Facts,
) -> Result<(), Problem> {
    let body = &commit.body;
    let before = facts.head.as_ref().map(|(_, c)| c);
    let hash = before.map_or(Hash::ZERO, Commit::hash);
    if body.previous != hash {
        let mut problem = Problem::new(
            Code::HeadMoved,
            "another terminal has committed since: fetch, merge and commit again",
        );
        problem.head = facts.head.as_ref().map(|(h, _)| *h);
        return Err(problem);
    }
    succession::follows(commit, before.map(|c| &c.body), server, &card.keys.sig)
        .map_err(|e| format_problem(&e))?;
    if before.is_some_and(|c| c.body.vault != body.vault) {
        return refuse(Code::ChainRefused, "it belongs to another vault");
    }
    Ok(())
}

/// The key object that the commit names is the one in force, or a new one that may follow it.
fn list_rules<'a>(
    body: &CommitBody,
    card: &CardRow,
    new_list: Option<&'a (KeyObject, Vec<Wrap>)>,
    facts: &'a Facts,
) -> Result<&'a KeyObject, Problem> {
    let now = facts.key_object.as_ref();
    let number_now = now.map_or(0, |k| k.body.list_number);
    let list = match (new_list, now) {
        (Some((list, wraps)), _) => {
            if list.body.list_number <= number_now {
                return list_moved(number_now);
            }
            keyobject::check(list, wraps, card, facts)?;
            list
        }
        (None, Some(now)) => {
            if body.list_number < number_now {
                return list_moved(number_now);
            }
            now
        }
        (None, None) => {
            return refuse(
                Code::ChainRefused,
                "the first commit of a vault must bring its first key object",
            );
        }
    };
    let named = (body.list_number, body.list_hash, body.vault);
    if named != (list.body.list_number, list.hash(), list.body.vault) {
        return refuse(
            Code::ChainRefused,
            "the commit names another key object than the one in force with it",
        );
    }
    if body.epoch != list.body.epoch {
        return refuse(
            Code::ChainRefused,
            format!(
                "the commit is of epoch {}, its key object of epoch {}",
                body.epoch, list.body.epoch
            ),
        );
    }
    Ok(list)
}

fn list_moved<T>(number: u32) -> Result<T, Problem> {
    refuse(
        Code::ListMoved,
        format!("key object {number} is in force: fetch it and commit again"),
    )
}

/// The author's entry: in the key object named, or, for a terminal that takes itself out, in the one before.
fn author<'a>(
    body: &CommitBody,
    list: &'a KeyObject,
    facts: &'a Facts,
) -> Result<&'a TerminalEntry, Problem> {
    let before = facts.key_object.as_ref();
    list.body
        .terminal(&body.terminal)
        .or_else(|| before.and_then(|k| k.body.terminal(&body.terminal)))
        .ok_or_else(|| {
            Problem::new(
                Code::NotPaired,
                "this terminal is not in the key object: run `simsync pair` to finish its pairing",
            )
        })
}

/// Roots change in the terminal's own collections only (M12).
fn root_rules(
    body: &CommitBody,
    granted: &HashSet<CollectionId>,
    facts: &Facts,
) -> Result<(), Problem> {
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
            return refuse(
                Code::CollectionRefused,
                format!("collection {collection} is not one of this terminal's"),
            );
        }
        if *collection == CollectionId::OUTBOX {
            return refuse(Code::ChainRefused, "the outbox is no collection");
        }
    }
    Ok(())
}

fn pack_rules(
    body: &CommitBody,
    granted: &HashSet<CollectionId>,
    facts: &Facts,
) -> Result<(), Problem> {
    let mut named = HashSet::new();
    for pack in &body.packs_added {
        if !named.insert(pack.id) {
            return refuse(
                Code::ChainRefused,
                format!("pack {} is named twice", pack.id),
            );
        }
        if !granted.contains(&pack.collection) {
            return refuse(
                Code::CollectionRefused,
                format!(
                    "pack {} is of a collection that is not this terminal's",
                    pack.id
                ),
            );
        }
        let missing = || {
            Problem::new(
                Code::PackMissing,
                format!("pack {} is not here: upload it, then commit again", pack.id),
            )
        };
        let row = facts.packs.get(&pack.id).ok_or_else(missing)?;
        match row.status {
            PackStatus::Uploading => return Err(missing()),
            PackStatus::Dropped => {
                return refuse(
                    Code::PackDropped,
                    format!("pack {} was dropped: upload it under a new name", pack.id),
                );
            }
            PackStatus::Committed => {
                return refuse(
                    Code::ChainRefused,
                    format!("pack {} is part of the vault already", pack.id),
                );
            }
            PackStatus::Complete if row.pack != *pack => {
                return refuse(
                    Code::ChainRefused,
                    format!("pack {} has another size or collection here", pack.id),
                );
            }
            PackStatus::Complete => {}
        }
    }
    for id in &body.packs_dropped {
        if !named.insert(*id) {
            return refuse(Code::ChainRefused, format!("pack {id} is named twice"));
        }
        match facts.packs.get(id) {
            Some(row) if row.status == PackStatus::Committed => {
                if !granted.contains(&row.pack.collection) {
                    return refuse(
                        Code::CollectionRefused,
                        format!("pack {id} is of a collection that is not this terminal's"),
                    );
                }
            }
            _ => {
                return refuse(
                    Code::ChainRefused,
                    format!("pack {id} is not part of the vault, so it cannot be dropped"),
                );
            }
        }
    }
    Ok(())
}

/// Tails that the commit names wait for it. Those that they replace are merged with them.
fn tail_rules(body: &CommitBody, facts: &Facts) -> Result<Vec<SessionRef>, Problem> {
    let mut merged: Vec<SessionRef> = Vec::new();
    for session in &body.tails_merged {
        let Some(tail) = facts.tails.get(session) else {
            return refuse(
                Code::NoSuchObject,
                format!(
                    "there is no tail of session {} of card {}",
                    session.n, session.card
                ),
            );
        };
        if tail.status == TailStatus::Merged {
            return refuse(
                Code::TailMerged,
                format!(
                    "the tail of session {} of card {} is merged already",
                    session.n, session.card
                ),
            );
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
