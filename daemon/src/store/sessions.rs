//! This terminal's own sessions, until the chain closes them, and the tails that wait to be delivered.

use rusqlite::params;
use simsync_card::ids::{CardId, Hash};
use simsync_vault::commit::SessionRef;
use simsync_vault::ids::ObjectId;
use simsync_vault::statement::SessionStatement;

use simsync_sync::dir::Stat;
use simsync_sync::node::{Node, RelPath};

use super::files::{DIR, FILE, SYMLINK};
use super::{CollectionPk, Result, Store, damaged};

/// A session of this terminal that nothing closed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSession {
    /// The card's statement.
    pub statement: SessionStatement,
    /// Its signed tail, once it was made.
    pub tail: Option<Vec<u8>>,
    /// The server has the tail.
    pub delivered: bool,
}

/// One change that a tail of ours held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailItem {
    /// Row number of the collection.
    pub collection: CollectionPk,
    /// Its path below the root of the collection.
    pub path: RelPath,
    /// What was sealed; none if the path was gone.
    pub sealed: Option<Sealed>,
}

/// What a tail held of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Size, time and inode.
    pub stat: Stat,
    /// None: it was sealed by a version that did not write it down.
    pub node: Option<Node<SealedContent>>,
}

/// What tells the content of a file that was sealed, at a time when the vault's keys were away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedContent {
    /// SHA-256 of all bytes: without the vault's keys its chunks have no names.
    Digest(Hash),
    /// It was uploaded before: its chunks.
    Chunks(Vec<ObjectId>),
}

const DIGEST: u8 = 0;
const CHUNKS: u8 = 1;

impl SealedContent {
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Digest(digest) => [&[DIGEST], &digest.0[..]].concat(),
            Self::Chunks(chunks) => {
                let ids = chunks.iter().flat_map(|c| c.0);
                std::iter::once(CHUNKS).chain(ids).collect()
            }
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&DIGEST, digest) => Hash::from_slice(digest).ok().map(Self::Digest),
            (&CHUNKS, ids) => {
                let (ids, rest) = ids.as_chunks::<32>();
                let all = || ids.iter().map(|id| ObjectId(*id)).collect();
                rest.is_empty().then(|| Self::Chunks(all()))
            }
            _ => None,
        }
    }
}

impl OwnSession {
    /// Card and number.
    pub fn session(&self) -> SessionRef {
        SessionRef {
            card: self.statement.card,
            n: self.statement.n,
        }
    }
}

impl Store {
    /// Remembers a session as soon as the card opened it.
    pub fn add_session(&self, statement: &SessionStatement) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.session");
        let bytes = postcard::to_stdvec(statement).map_err(|e| damaged(&e.to_string()))?;
        self.lock().execute(
            "INSERT OR REPLACE INTO sessions(card, n, statement, ended, delivered) VALUES(?1, ?2, ?3, 0, 0)",
            params![statement.card.0, statement.n, bytes],
        )?;
        Ok(())
    }

    /// All own sessions that nothing closed yet, oldest first.
    pub fn own_sessions(&self) -> Result<Vec<OwnSession>> {
        let conn = self.lock();
        let mut stmt = conn
            .prepare_cached("SELECT statement, tail, delivered FROM sessions ORDER BY card, n")?;
        let rows = stmt.query_map([], |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get(1)?, r.get(2)?)))?;
        rows.map(|row| {
            let (statement, tail, delivered) = row?;
            Ok(OwnSession {
                statement: postcard::from_bytes(&statement).map_err(|e| damaged(&e.to_string()))?,
                tail,
                delivered,
            })
        })
        .collect()
    }

    /// Keeps the signed tail of a session.
    pub fn set_tail(&self, session: &SessionRef, tail: &[u8]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.tail");
        self.lock().execute(
            "UPDATE sessions SET tail = ?3 WHERE card = ?1 AND n = ?2",
            params![session.card.0, session.n, tail],
        )?;
        Ok(())
    }

    /// There is no tail of this session (any more): what it held is not as it was signed.
    pub fn drop_tail(&self, session: &SessionRef) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.tail-dropped");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        for statement in [
            "UPDATE sessions SET tail = NULL WHERE card = ?1 AND n = ?2",
            "DELETE FROM tail_items WHERE card = ?1 AND n = ?2",
        ] {
            tx.execute(statement, params![session.card.0, session.n])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// The server has the tail.
    pub fn set_delivered(&self, session: &SessionRef) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.tail-delivered");
        self.lock().execute(
            "UPDATE sessions SET delivered = 1 WHERE card = ?1 AND n = ?2",
            params![session.card.0, session.n],
        )?;
        Ok(())
    }

    /// Keeps what a tail held: where others merge it, these are this terminal's new base.
    pub fn add_tail_items(&self, session: &SessionRef, items: &[TailItem]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.tail-items");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        {
            let mut put = tx.prepare_cached(
                "INSERT OR REPLACE INTO tail_items VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?;
            for i in items {
                let stat = i.sealed.as_ref().map(|s| s.stat).unwrap_or_default();
                let node = i.sealed.as_ref().and_then(|s| s.node.as_ref());
                let (kind, mode, content) = match node {
                    None => (None, 0, Vec::new()),
                    Some(Node::Dir { mode }) => (Some(DIR), *mode, Vec::new()),
                    Some(Node::File { mode, content }) => (Some(FILE), *mode, content.to_bytes()),
                    Some(Node::Symlink { target }) => (Some(SYMLINK), 0, target.clone()),
                };
                put.execute(params![
                    session.card.0,
                    session.n,
                    i.collection,
                    i.path.as_bytes(),
                    i.sealed.is_none(),
                    stat.size.cast_signed(),
                    stat.mtime,
                    stat.ino.cast_signed(),
                    kind,
                    mode,
                    content
                ])?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// How many paths the tails hold that the server does not have yet. A later tail holds again what an earlier one held.
    pub fn sealed_changes(&self) -> Result<u64> {
        let count: i64 = self.lock().query_row(
            "SELECT COUNT(*) FROM (SELECT DISTINCT i.collection, i.path FROM sessions s
             CROSS JOIN tail_items i ON i.card = s.card AND i.n = s.n WHERE s.tail IS NOT NULL AND NOT s.delivered)",
            [],
            |r| r.get(0),
        )?;
        Ok(count.cast_unsigned())
    }

    /// What a tail held.
    pub fn tail_items(&self, session: &SessionRef) -> Result<Vec<TailItem>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(
            "SELECT collection, path, gone, size, mtime, ino, kind, mode, content FROM tail_items
             WHERE card = ?1 AND n = ?2",
        )?;
        let mut rows = stmt.query(params![session.card.0, session.n])?;
        let mut out = Vec::new();
        while let Some(r) = rows.next()? {
            let stat = Stat {
                size: r.get::<_, i64>(3)?.cast_unsigned(),
                mtime: r.get(4)?,
                ino: r.get::<_, i64>(5)?.cast_unsigned(),
                mode: r.get(7)?,
                ..Stat::default()
            };
            let node = match r.get::<_, Option<i64>>(6)? {
                None => None,
                Some(DIR) => Some(Node::Dir { mode: stat.mode }),
                Some(FILE) => Some(Node::File {
                    mode: stat.mode,
                    content: SealedContent::from_bytes(&r.get::<_, Vec<u8>>(8)?)
                        .ok_or_else(|| damaged("content of what was sealed"))?,
                }),
                Some(SYMLINK) => Some(Node::Symlink { target: r.get(8)? }),
                Some(_) => return Err(damaged("kind of what was sealed")),
            };
            out.push(TailItem {
                collection: r.get(0)?,
                path: RelPath::new(r.get::<_, Vec<u8>>(1)?).map_err(|e| damaged(&e.to_string()))?,
                sealed: (!r.get::<_, bool>(2)?).then_some(Sealed { stat, node }),
            });
        }
        Ok(out)
    }

    /// Forgets one session: the server takes nothing more of it.
    pub fn close_session(&self, session: &SessionRef) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.session-closed");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        for table in ["sessions", "tail_items"] {
            tx.execute(
                &format!("DELETE FROM {table} WHERE card = ?1 AND n = ?2"),
                params![session.card.0, session.n],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Forgets sessions of a card up to a number: the verified chain closes them.
    pub fn close_sessions(&self, card: &CardId, n: u32) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.sessions-closed");
        self.lock().execute(
            "DELETE FROM sessions WHERE card = ?1 AND n <= ?2",
            params![card.0, n],
        )?;
        self.lock().execute(
            "DELETE FROM tail_items WHERE card = ?1 AND n <= ?2",
            params![card.0, n],
        )?;
        Ok(())
    }
}
