//! The list of what is not where it should be.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rusqlite::params;

use super::{CollectionPk, Result, Store, damaged};
use crate::outstanding::{Outstanding, PATHS_MAX, Producer, Report, Summary, Unsynced};

fn producer(n: i64) -> Result<Producer> {
    [
        Producer::Scan,
        Producer::Read,
        Producer::Apply,
        Producer::Publish,
        Producer::Tail,
        Producer::Collection,
        Producer::Merge,
        Producer::Waiting,
    ]
    .into_iter()
    .find(|p| *p as i64 == n)
    .ok_or_else(|| damaged("producer of an outstanding path"))
}

impl Store {
    /// Replaces what a producer said of a collection. What it said before and says again keeps its time.
    pub fn report(
        &self,
        producer: Producer,
        pk: CollectionPk,
        reports: &[Report],
        now_ms: i64,
    ) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.report");
        self.put_reports(producer, pk, reports, now_ms, true)
    }

    fn put_reports(
        &self,
        producer: Producer,
        pk: CollectionPk,
        reports: &[Report],
        now_ms: i64,
        replaces: bool,
    ) -> Result<()> {
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        let mut since: HashMap<(String, Vec<u8>), i64> = HashMap::new();
        {
            let mut stmt = tx.prepare_cached(
                "SELECT code, path, since_ms FROM outstanding WHERE collection = ?1 AND producer = ?2",
            )?;
            let mut rows = stmt.query(params![pk, producer as i64])?;
            while let Some(r) = rows.next()? {
                since.insert((r.get(0)?, r.get(1)?), r.get(2)?);
            }
        }
        if since.is_empty() && reports.is_empty() {
            return Ok(());
        }
        if replaces {
            tx.execute(
                "DELETE FROM outstanding WHERE collection = ?1 AND producer = ?2",
                params![pk, producer as i64],
            )?;
        }
        let mut by_code: BTreeMap<Unsynced, BTreeMap<&[u8], &str>> = BTreeMap::new();
        for r in reports {
            let paths = by_code.entry(r.code).or_default();
            paths.entry(&r.path).or_insert(&r.detail);
        }
        let put = |code: Unsynced, path: &[u8], detail: &str, count: usize| {
            let key = (code.as_str().to_owned(), path.to_vec());
            let since = since.get(&key).copied().unwrap_or(now_ms);
            tx.prepare_cached(
                "INSERT OR REPLACE INTO outstanding VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                producer as i64,
                code.as_str(),
                pk,
                path,
                // Names that somebody else chose stand in it: made safe to look at once, for whoever reads the list.
                simsync_shell::visible(detail),
                since,
                i64::try_from(count).unwrap_or(i64::MAX)
            ])
        };
        for (code, paths) in by_code {
            let more = paths.len().saturating_sub(PATHS_MAX);
            for (path, detail) in paths.into_iter().take(PATHS_MAX) {
                put(code, path, detail, 1)?;
            }
            if more > 0 {
                put(code, b"", "", more)?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Adds to what a producer said of a collection.
    pub fn also_report(
        &self,
        producer: Producer,
        pk: CollectionPk,
        reports: &[Report],
        now_ms: i64,
    ) -> Result<()> {
        self.put_reports(producer, pk, reports, now_ms, false)
    }

    /// Folders of the collections of which nothing as a whole is outstanding: a sync that went well found them in place.
    pub fn roots_in_place(&self) -> Result<Vec<PathBuf>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(
            "SELECT root FROM collections WHERE root IS NOT NULL
             AND pk NOT IN (SELECT collection FROM outstanding WHERE producer = ?1)",
        )?;
        let rows = stmt.query_map([Producer::Collection as i64], |r| r.get::<_, String>(0))?;
        Ok(rows
            .map(|root| root.map(PathBuf::from))
            .collect::<rusqlite::Result<_>>()?)
    }

    /// The whole list, oldest first.
    pub fn outstanding(&self) -> Result<Vec<Outstanding>> {
        self.listed("true")
    }

    /// Of the list, what its owner has to decide.
    pub fn questions(&self) -> Result<Vec<Outstanding>> {
        let codes = Unsynced::ALL.iter().filter(|c| c.asks());
        let codes: Vec<String> = codes.map(|c| format!("'{}'", c.as_str())).collect();
        self.listed(&format!("code IN ({})", codes.join(", ")))
    }

    fn listed(&self, which: &str) -> Result<Vec<Outstanding>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(&format!(
            "SELECT producer, code, collection, path, detail, since_ms, count FROM outstanding
             WHERE {which} ORDER BY since_ms, collection, path"
        ))?;
        let mut rows = stmt.query([])?;
        let mut out = Vec::new();
        while let Some(r) = rows.next()? {
            let code: String = r.get(1)?;
            out.push(Outstanding {
                producer: producer(r.get(0)?)?,
                code: code
                    .parse()
                    .map_err(|_| damaged("code of an outstanding path"))?,
                collection: r.get(2)?,
                path: r.get(3)?,
                detail: r.get(4)?,
                since_ms: r.get(5)?,
                count: r.get::<_, i64>(6)?.unsigned_abs(),
            });
        }
        Ok(out)
    }

    /// The list in numbers.
    pub fn outstanding_summary(&self) -> Result<Summary> {
        let conn = self.lock();
        let mut stmt =
            conn.prepare_cached("SELECT code, sum(count) FROM outstanding GROUP BY code")?;
        let mut rows = stmt.query([])?;
        let mut out = Summary::default();
        while let Some(r) = rows.next()? {
            let code: String = r.get(0)?;
            let code: Unsynced = code
                .parse()
                .map_err(|_| damaged("code of an outstanding path"))?;
            out.add(code, r.get::<_, i64>(1)?.unsigned_abs());
        }
        Ok(out)
    }
}
