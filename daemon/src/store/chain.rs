//! The verified chain: commits, key objects, wraps, and which sessions it closes.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};
use simsync_card::ids::{CardId, Hash, TerminalId};
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::head::{Link, Witness};
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::keyobject::{KeyObject, Wrap};

use super::{Result, Store, damaged};

/// What a commit left of one collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootThen {
    /// Who made the commit.
    pub terminal: TerminalId,
    /// The collection's root; [`ObjectId::ZERO`] if there was none.
    pub root: ObjectId,
}

fn hash(bytes: &[u8]) -> Result<Hash> {
    Hash::from_slice(bytes).map_err(|e| damaged(&e.to_string()))
}

impl Store {
    /// All verified key objects, oldest first.
    pub fn key_objects(&self) -> Result<Vec<KeyObject>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached("SELECT bytes FROM key_objects ORDER BY list_number")?;
        let rows = stmt.query_map([], |r| r.get::<_, Vec<u8>>(0))?;
        rows.map(|b| KeyObject::from_bytes(&b?).map_err(|e| damaged(&e.to_string())))
            .collect()
    }

    /// The newest of them.
    pub fn newest_key_object(&self) -> Result<Option<KeyObject>> {
        let bytes: Option<Vec<u8>> = self
            .lock()
            .prepare_cached("SELECT bytes FROM key_objects ORDER BY list_number DESC LIMIT 1")?
            .query_row([], |r| r.get(0))
            .optional()?;
        bytes
            .map(|b| KeyObject::from_bytes(&b).map_err(|e| damaged(&e.to_string())))
            .transpose()
    }

    /// Keeps a verified key object and, if given, all wraps of it (which replace those of the one before).
    pub fn add_key_object(&self, object: &KeyObject, wraps: &[Wrap]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.key-object");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        tx.execute(
            "INSERT OR REPLACE INTO key_objects VALUES(?1, ?2, ?3)",
            params![object.body.list_number, object.hash().0, object.to_bytes()],
        )?;
        if !wraps.is_empty() {
            tx.execute("DELETE FROM wraps", [])?;
        }
        for w in wraps {
            let bytes = postcard::to_stdvec(w).map_err(|e| damaged(&e.to_string()))?;
            tx.execute(
                "INSERT INTO wraps VALUES(?1, ?2)",
                params![w.recipient.0, bytes],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// The newest wrap for one recipient.
    pub fn wrap(&self, recipient: &CardId) -> Result<Option<Wrap>> {
        let bytes: Option<Vec<u8>> = self
            .lock()
            .prepare_cached("SELECT bytes FROM wraps WHERE recipient = ?1")?
            .query_row([recipient.0], |r| r.get(0))
            .optional()?;
        bytes
            .map(|b| postcard::from_bytes(&b).map_err(|e| damaged(&e.to_string())))
            .transpose()
    }

    /// Keeps a verified commit and what it closes: from here on it is part of this terminal's witness.
    pub fn add_commit(&self, commit: &Commit, closes: &[(CardId, TerminalId, u32)]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.commit");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        tx.execute(
            "INSERT OR REPLACE INTO commits VALUES(?1, ?2, ?3, ?4, ?5)",
            params![
                i64::try_from(commit.body.sequence).unwrap_or(i64::MAX),
                commit.hash().0,
                commit.body.list_number,
                commit.body.list_hash.0,
                commit.to_bytes()
            ],
        )?;
        for t in &commit.body.tails_merged {
            tx.execute(
                "INSERT OR IGNORE INTO merged VALUES(?1, ?2)",
                params![t.card.0, t.n],
            )?;
        }
        for (card, terminal, n) in closes {
            tx.execute(
                "INSERT INTO closed VALUES(?1, ?2, ?3)
                 ON CONFLICT(card, terminal) DO UPDATE SET n = max(n, excluded.n)",
                params![card.0, terminal.0, n],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// The newest verified commit.
    pub fn newest_commit(&self) -> Result<Option<Commit>> {
        let bytes: Option<Vec<u8>> = self
            .lock()
            .prepare_cached("SELECT bytes FROM commits ORDER BY sequence DESC LIMIT 1")?
            .query_row([], |r| r.get(0))
            .optional()?;
        bytes
            .map(|b| Commit::from_bytes(&b).map_err(|e| damaged(&e.to_string())))
            .transpose()
    }

    /// The commit of the verified chain with this hash, if it is there.
    pub fn commit_of(&self, commit: &Hash) -> Result<Option<Commit>> {
        let bytes: Option<Vec<u8>> = self
            .lock()
            .prepare_cached("SELECT bytes FROM commits WHERE hash = ?1 ORDER BY sequence DESC")?
            .query_row([commit.0], |r| r.get(0))
            .optional()?;
        bytes
            .map(|b| Commit::from_bytes(&b).map_err(|e| damaged(&e.to_string())))
            .transpose()
    }

    /// This commit, if it is in the chain, and all after it, oldest first; all for [`Hash::ZERO`]. None if it is not there.
    pub fn commits_since(&self, parent: &Hash) -> Result<Vec<Commit>> {
        let conn = self.lock();
        let found: Option<i64> = conn
            .prepare_cached("SELECT sequence FROM commits WHERE hash = ?1 ORDER BY sequence DESC")?
            .query_row([parent.0], |r| r.get(0))
            .optional()?;
        // Nothing is read for a parent that is not in the chain: whoever signed a tail may name any.
        let from = match found {
            Some(sequence) => sequence,
            None if *parent == Hash::ZERO => 0,
            None => return Ok(Vec::new()),
        };
        let mut stmt = conn
            .prepare_cached("SELECT bytes FROM commits WHERE sequence >= ?1 ORDER BY sequence")?;
        let rows = stmt.query_map([from], |r| r.get::<_, Vec<u8>>(0))?;
        rows.map(|b| Commit::from_bytes(&b?).map_err(|e| damaged(&e.to_string())))
            .collect()
    }

    /// The first verified commit: the vault's beginning.
    pub fn oldest_commit(&self) -> Result<Option<Commit>> {
        let bytes: Option<Vec<u8>> = self
            .lock()
            .prepare_cached("SELECT bytes FROM commits ORDER BY sequence LIMIT 1")?
            .query_row([], |r| r.get(0))
            .optional()?;
        bytes
            .map(|b| Commit::from_bytes(&b).map_err(|e| damaged(&e.to_string())))
            .transpose()
    }

    /// The newest session number under which the verified chain has a commit of this card; 0 if none.
    pub fn last_session(&self, card: &CardId) -> Result<u32> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached("SELECT bytes FROM commits ORDER BY sequence DESC")?;
        let mut rows = stmt.query([])?;
        while let Some(r) = rows.next()? {
            let commit = Commit::from_bytes(&r.get::<_, Vec<u8>>(0)?)
                .map_err(|e| damaged(&e.to_string()))?;
            if commit.body.session.card == *card {
                return Ok(commit.body.session.n);
            }
        }
        Ok(0)
    }

    /// Forgets everything of a vault and what this terminal did in it. For a terminal that belongs to it no more: what it
    /// enters next, the same one or another person's, has nothing to do with that. The folders stay as they are.
    pub fn forget_vault(&self) -> Result<()> {
        self.forget_chain()?;
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        for table in [
            "sessions",
            "tail_items",
            "packs",
            "objects",
            "dirs",
            "collections",
            "files",
            "pending",
            "uploaded",
            "conflicts",
            "mounts",
            "opened_dirs",
            "outstanding",
            "sent",
            "sent_collections",
            "sent_files",
            "sent_pending",
        ] {
            tx.execute(&format!("DELETE FROM {table}"), [])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Forgets everything that was believed of a vault. For a terminal that never entered it.
    pub fn forget_chain(&self) -> Result<()> {
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        for table in ["key_objects", "wraps", "commits", "closed", "merged"] {
            tx.execute(&format!("DELETE FROM {table}"), [])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// The newest verified commits, newest first.
    pub fn newest_commits(&self, limit: u32) -> Result<Vec<Commit>> {
        let conn = self.lock();
        let mut stmt =
            conn.prepare_cached("SELECT bytes FROM commits ORDER BY sequence DESC LIMIT ?1")?;
        let rows = stmt.query_map([limit], |r| r.get::<_, Vec<u8>>(0))?;
        rows.map(|b| Commit::from_bytes(&b?).map_err(|e| damaged(&e.to_string())))
            .collect()
    }

    /// The roots of one collection, back through the newest commits.
    pub fn roots_back(&self, collection: &CollectionId, limit: u32) -> Result<Vec<RootThen>> {
        let conn = self.lock();
        let mut stmt =
            conn.prepare_cached("SELECT bytes FROM commits ORDER BY sequence DESC LIMIT ?1")?;
        let rows = stmt.query_map([limit], |r| r.get::<_, Vec<u8>>(0))?;
        // One at a time: a commit may name very many packs.
        rows.map(|bytes| {
            let commit = Commit::from_bytes(&bytes?).map_err(|e| damaged(&e.to_string()))?;
            Ok(RootThen {
                terminal: commit.body.terminal,
                root: commit.root(collection).unwrap_or(ObjectId::ZERO),
            })
        })
        .collect()
    }

    /// Packs that commits after this one brought; all, if it is not in the chain.
    pub fn packs_since(&self, parent: &Hash) -> Result<HashSet<PackId>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached("SELECT bytes FROM commits ORDER BY sequence DESC")?;
        let mut rows = stmt.query([])?;
        let mut out = HashSet::new();
        while let Some(r) = rows.next()? {
            let commit = Commit::from_bytes(&r.get::<_, Vec<u8>>(0)?)
                .map_err(|e| damaged(&e.to_string()))?;
            if commit.hash() == *parent {
                break;
            }
            out.extend(commit.body.packs_added.iter().map(|p| p.id));
        }
        Ok(out)
    }

    /// The owner gave up waiting for this session's tail: it counts as closed here.
    pub fn set_forgotten(&self, session: &SessionRef) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.forgotten");
        self.lock().execute(
            "INSERT OR IGNORE INTO merged VALUES(?1, ?2)",
            params![session.card.0, session.n],
        )?;
        Ok(())
    }

    /// The verified chain from a sequence number on, oldest first.
    pub fn links_from(&self, sequence: u64) -> Result<Vec<Link>> {
        let conn = self.lock();
        let mut stmt = conn
            .prepare_cached("SELECT bytes FROM commits WHERE sequence >= ?1 ORDER BY sequence")?;
        let from = i64::try_from(sequence).unwrap_or(i64::MAX);
        let rows = stmt.query_map([from], |r| r.get::<_, Vec<u8>>(0))?;
        rows.map(|bytes| {
            let commit = Commit::from_bytes(&bytes?).map_err(|e| damaged(&e.to_string()))?;
            Ok(Link::from(&commit))
        })
        .collect()
    }

    /// What this terminal can witness to.
    pub fn witness(&self) -> Result<Witness> {
        let newest = self.newest_commit()?;
        let list: Option<(u32, Vec<u8>)> = self
            .lock()
            .prepare_cached(
                "SELECT list_number, hash FROM key_objects ORDER BY list_number DESC LIMIT 1",
            )?
            .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let mut w = Witness::EMPTY;
        if let Some(c) = newest {
            w.epoch = c.body.epoch;
            w.sequence = c.body.sequence;
            w.head = c.hash();
        }
        if let Some((number, h)) = list {
            w.list_number = number;
            w.list_hash = hash(&h)?;
        }
        Ok(w)
    }

    /// Whether a commit of the verified chain holds the tail of this session.
    pub fn is_merged(&self, session: &SessionRef) -> Result<bool> {
        Ok(self
            .lock()
            .prepare_cached("SELECT 1 FROM merged WHERE card = ?1 AND n = ?2")?
            .exists(params![session.card.0, session.n])?)
    }

    /// Up to which session number the verified chain closes a terminal's sessions on a card; 0 if none.
    pub fn closed_up_to(&self, card: &CardId, terminal: &TerminalId) -> Result<u32> {
        Ok(self
            .lock()
            .prepare_cached("SELECT n FROM closed WHERE card = ?1 AND terminal = ?2")?
            .query_row(params![card.0, terminal.0], |r| r.get(0))
            .optional()?
            .unwrap_or(0))
    }
}
