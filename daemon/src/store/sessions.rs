//! This terminal's own sessions, until the chain closes them, and the tails that wait to be delivered.

use rusqlite::params;
use simsync_card::ids::CardId;
use simsync_vault::commit::SessionRef;
use simsync_vault::statement::SessionStatement;

use simsync_sync::dir::Stat;
use simsync_sync::node::RelPath;

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
    /// Collection.
    pub collection: CollectionPk,
    /// Path.
    pub path: RelPath,
    /// Size, time and inode of what was sealed; none if the path was gone.
    pub stat: Option<Stat>,
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
                "INSERT OR REPLACE INTO tail_items VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for i in items {
                let (size, mtime, ino) = i.stat.map_or((0, 0, 0), |s| (s.size, s.mtime, s.ino));
                put.execute(params![
                    session.card.0,
                    session.n,
                    i.collection,
                    i.path.as_bytes(),
                    i.stat.is_none(),
                    size.cast_signed(),
                    mtime,
                    ino.cast_signed()
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
            "SELECT collection, path, gone, size, mtime, ino FROM tail_items WHERE card = ?1 AND n = ?2",
        )?;
        let mut rows = stmt.query(params![session.card.0, session.n])?;
        let mut out = Vec::new();
        while let Some(r) = rows.next()? {
            let stat = Stat {
                size: r.get::<_, i64>(3)?.cast_unsigned(),
                mtime: r.get(4)?,
                ino: r.get::<_, i64>(5)?.cast_unsigned(),
                ..Stat::default()
            };
            out.push(TailItem {
                collection: r.get(0)?,
                path: RelPath::new(r.get::<_, Vec<u8>>(1)?).map_err(|e| damaged(&e.to_string()))?,
                stat: (!r.get::<_, bool>(2)?).then_some(stat),
            });
        }
        Ok(out)
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
