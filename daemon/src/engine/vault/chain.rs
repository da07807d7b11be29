//! The chain of commits and key objects, as far as this terminal verified it: what the server says is judged by the head rules,
//! and only then believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use simsync_card::ids::{CardId, Hash, ServerId, TerminalId};
use simsync_protocol::api::B64;
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::head::{Link, Verdict, Witness, judge};
use simsync_vault::ids::CollectionId;
use simsync_vault::keyobject::{KeyObject, Wrap};
use simsync_vault::signed::FormatError;
use simsync_vault::succession;
use simsync_vault::tail::Tail;

use crate::engine::EngineError;
use crate::engine::session::TrustedCard;
use crate::store::{PackState, Store};

fn rule(why: &str) -> EngineError {
    EngineError::Format(FormatError::Rule {
        what: "the server's chain of commits",
        why: why.to_owned(),
    })
}

/// What was verified, in the local database.
#[derive(Clone)]
pub struct Chain {
    store: Arc<Store>,
    /// The server that commits must be of; none: no commit counts.
    server: Option<ServerId>,
}

impl Chain {
    /// The chain that this database keeps, of this server.
    pub fn new(store: Arc<Store>, server: Option<ServerId>) -> Self {
        Self { store, server }
    }

    /// The newest state that this terminal has seen.
    pub fn witness(&self) -> Result<Witness, EngineError> {
        Ok(self.store.witness()?)
    }

    /// Takes key objects over after checking that each follows the one before.
    pub fn accept_key_objects(
        &self,
        card: &TrustedCard,
        signed: &[B64],
        wraps: &[Wrap],
    ) -> Result<(), EngineError> {
        let mut known = self.store.key_objects()?;
        let newest = signed.len().checked_sub(1);
        for (i, bytes) in signed.iter().enumerate() {
            let object = KeyObject::from_bytes(&bytes.0)?;
            match known.last() {
                Some(last) if object.body.list_number <= last.body.list_number => continue,
                Some(last) => object.verify_next(last)?,
                None => verify_first(&object, card)?,
            }
            let wraps: Vec<Wrap> = if Some(i) == newest {
                wraps.iter().filter(|w| object.names(w)).cloned().collect()
            } else {
                Vec::new()
            };
            self.store.add_key_object(&object, &wraps)?;
            known.push(object);
        }
        Ok(())
    }

    /// Verifies commits that follow the newest known one, without keeping them.
    pub fn verify_commits(&self, signed: &[B64]) -> Result<Vec<Commit>, EngineError> {
        let key_objects = self.store.key_objects()?;
        let newest = self.store.newest_commit()?;
        let mut new: Vec<Commit> = Vec::new();
        let mut sessions = Sessions::new(self);
        for bytes in signed {
            let commit = Commit::from_bytes(&bytes.0)?;
            let last = new.last().or(newest.as_ref());
            if commit.body.sequence > last.map_or(0, |l| l.body.sequence) {
                self.verify_commit(&commit, last, &key_objects)?;
                sessions.follow(&commit)?;
                new.push(commit);
            }
        }
        Ok(new)
    }

    /// Verifies commits that follow the newest known one and keeps them.
    pub fn accept_commits(&self, signed: &[B64]) -> Result<(), EngineError> {
        for commit in self.verify_commits(signed)? {
            self.keep_commit(&commit)?;
        }
        Ok(())
    }

    fn verify_commit(
        &self,
        commit: &Commit,
        last: Option<&Commit>,
        key_objects: &[KeyObject],
    ) -> Result<(), EngineError> {
        let body = &commit.body;
        let (sequence, previous, list) = last.map_or((0, Hash::ZERO, 0), |l| {
            (l.body.sequence, l.hash(), l.body.list_number)
        });
        let jumps = Some(body.sequence) != sequence.checked_add(1);
        if (jumps && body.restore.is_none()) || body.previous != previous {
            return Err(EngineError::Head(Verdict::Fork { sequence }));
        }
        if body.list_number < list {
            return Err(rule("the list number falls"));
        }
        let object = key_objects
            .iter()
            .find(|o| o.body.list_number == body.list_number && o.hash() == body.list_hash)
            .ok_or_else(|| rule("a commit names a key object that nobody signed"))?;
        if object.body.vault != body.vault || object.body.epoch != body.epoch {
            return Err(rule(
                "a commit is of another vault or epoch than its key object",
            ));
        }
        // The commit that takes its own author out of the list (unpair) is signed by the list before, and its author's last:
        // it closes. Who is taken out by others may not say one word more.
        let before = || {
            key_objects
                .iter()
                .find(|o| Some(o.body.list_number) == body.list_number.checked_sub(1))
                .filter(|_| list < body.list_number && body.closing)
        };
        let terminal = object
            .body
            .terminal(&body.terminal)
            .or_else(|| before().and_then(|o| o.body.terminal(&body.terminal)))
            .ok_or_else(|| rule("a commit is by a terminal that its key object does not name"))?;
        let card = object
            .body
            .recipient(&body.session.card)
            .ok_or_else(|| rule("a commit is under a card that its key object does not name"))?;
        commit.verify(&terminal.key, &card.keys.sig)?;
        let server = self
            .server
            .ok_or_else(|| rule("it is not known of which server it is"))?;
        succession::follows(commit, last.map(|l| &l.body), &server, &card.keys.sig)?;
        let changed = |id: &CollectionId| last.and_then(|l| l.root(id)) != commit.root(id);
        // Those of before, too: a root that is left out is changed as well.
        let before = last.iter().flat_map(|l| &l.body.roots);
        let foreign = before
            .chain(&body.roots)
            .find(|r| changed(&r.collection) && !terminal.collections.contains(&r.collection));
        if foreign.is_some() {
            return Err(rule(
                "a commit changes a collection that its terminal does not sync",
            ));
        }
        let added = &body.packs_added;
        if added
            .iter()
            .any(|p| !terminal.collections.contains(&p.collection))
        {
            return Err(rule(
                "a commit brings packs of a collection that its terminal does not sync",
            ));
        }
        Ok(())
    }

    /// Keeps a verified commit: its links, what it closes, the packs that it brings.
    pub fn keep_commit(&self, commit: &Commit) -> Result<(), EngineError> {
        let body = &commit.body;
        let mut closes = Vec::new();
        if body.closing {
            closes.push((body.session.card, body.terminal, body.session.n));
        }
        // Packs of ours that somebody else's commit names, since our tail refers to them, are part of the vault now.
        let added: Vec<_> = body.packs_added.iter().map(|p| p.id).collect();
        self.store.packs_committed(&added)?;
        let registered = self.registered()?;
        for pack in &body.packs_added {
            let wanted = registered.contains(&pack.collection);
            if wanted && !self.store.has_pack(&pack.id)? {
                self.store.add_pack(pack, PackState::Wanted, &[])?;
            }
        }
        self.store.add_commit(commit, &closes)?;
        Ok(())
    }

    fn registered(&self) -> Result<Vec<CollectionId>, EngineError> {
        let all = self.store.collections()?;
        Ok(all
            .into_iter()
            .filter(|c| c.root.is_some())
            .map(|c| c.id)
            .collect())
    }

    /// The server's word about its head against the chain that was verified here.
    pub fn check_head(&self, head: Option<(u64, Hash)>) -> Result<(), EngineError> {
        let witness = self.store.witness()?;
        let (sequence, hash) = head.unwrap_or((0, Hash::ZERO));
        if sequence < witness.sequence {
            return Err(EngineError::Head(Verdict::RolledBack {
                seen: witness.sequence,
                shown: sequence,
            }));
        }
        if sequence == witness.sequence && sequence > 0 && hash != witness.head {
            return Err(EngineError::Head(Verdict::Fork { sequence }));
        }
        Ok(())
    }

    /// The card's record against the verified chain, with commits that were verified but not kept yet.
    pub fn judge_card(&self, card: &Witness, new: &[Commit]) -> Result<Verdict, EngineError> {
        let own = self.store.witness()?;
        let from = if card.sequence == 0 {
            own.sequence
        } else {
            card.sequence.min(own.sequence)
        };
        let mut chain: Vec<Link> = self.store.links_from(from)?;
        chain.extend(new.iter().map(Link::from));
        // A list counts once a commit names it; this terminal may have read the newest one ahead of its commit.
        let named = Witness {
            list_number: own
                .list_number
                .min(chain.last().map_or(0, |l| l.list_number)),
            ..own
        };
        Ok(judge(card, &named, &chain))
    }

    /// Reads tails that the server hands out; those that do not verify are left out, with a line in the log.
    pub fn read_tails(&self, signed: &[B64]) -> Result<Vec<Tail>, EngineError> {
        let objects = self.store.key_objects()?;
        let mut out = Vec::new();
        for bytes in signed {
            match Tail::from_bytes(&bytes.0)
                .map_err(EngineError::from)
                .and_then(|t| {
                    verify_tail(&t, &objects)?;
                    Ok(t)
                }) {
                Ok(tail) => out.push(tail),
                Err(error) => tracing::warn!(%error, "a tail was left out"),
            }
        }
        Ok(out)
    }

    /// Whether the verified chain closes a session: by a closing commit or a merged tail.
    pub fn is_closed(
        &self,
        session: &SessionRef,
        terminal: &TerminalId,
    ) -> Result<bool, EngineError> {
        Ok(
            self.store.closed_up_to(&session.card, terminal)? >= session.n
                || self.store.is_merged(session)?,
        )
    }
}

/// Sessions along the chain: the number of a card never falls, and after a closing commit, a merged tail or a newer session
/// nothing comes under an older one (flows 5 and 6). The server checks this too; a terminal does not take its word.
struct Sessions<'a> {
    chain: &'a Chain,
    newest: BTreeMap<CardId, u32>,
    ended: BTreeSet<SessionRef>,
}

impl<'a> Sessions<'a> {
    fn new(chain: &'a Chain) -> Self {
        Self {
            chain,
            newest: BTreeMap::new(),
            ended: BTreeSet::new(),
        }
    }

    fn follow(&mut self, commit: &Commit) -> Result<(), EngineError> {
        let statement = &commit.body.session;
        let session = SessionRef {
            card: statement.card,
            n: statement.n,
        };
        let newest = match self.newest.get(&session.card) {
            Some(n) => *n,
            None => self.chain.store.last_session(&session.card)?,
        };
        if session.n < newest {
            return Err(rule("a commit is under a session that a newer one ended"));
        }
        let ended =
            self.ended.contains(&session) || self.chain.is_closed(&session, &statement.terminal)?;
        if ended {
            return Err(rule("a commit is under a session that was closed before"));
        }
        self.newest.insert(session.card, session.n);
        if commit.body.closing {
            self.ended.insert(session);
        }
        self.ended.extend(commit.body.tails_merged.iter().copied());
        Ok(())
    }
}

fn verify_first(object: &KeyObject, card: &TrustedCard) -> Result<(), EngineError> {
    // A terminal that is paired with a later card still finds the first list signed by its own only card, whose
    // keys stand in it; what ties the chain to our card is that the list in force names our card's own keys.
    let signer = object
        .body
        .recipient(&object.body.signer)
        .ok_or_else(|| rule("the first key object is not signed by its own card"))?;
    if signer.id == card.id && signer.keys != card.keys {
        return Err(rule(
            "the key object names other keys for this card than the card itself",
        ));
    }
    Ok(object.verify_first(&signer.id, &signer.keys)?)
}

/// A tail is signed by a terminal and a card of the key object of its epoch (or a later one).
fn verify_tail(tail: &Tail, objects: &[KeyObject]) -> Result<(), EngineError> {
    let statement = &tail.body.session;
    let mut found = Err(rule(
        "a tail is by a terminal or card that no key object names",
    ));
    for object in objects.iter().rev() {
        let (Some(t), Some(c)) = (
            object.body.terminal(&statement.terminal),
            object.body.recipient(&statement.card),
        ) else {
            continue;
        };
        if object.body.vault != tail.body.vault {
            return Err(rule("a tail is of another vault"));
        }
        found = tail.verify(&t.key, &c.keys.sig).map_err(EngineError::from);
        if found.is_ok() {
            break;
        }
    }
    found
}
