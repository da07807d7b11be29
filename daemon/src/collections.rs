//! Collections on this terminal: added, removed, and the owner's answers to questions about them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simsync_codes::Code;
use simsync_vault::ids::CollectionId;
use simsync_vault::keyobject::KeyObjectBody;

use crate::api::Failure;
use crate::database::Database;
use crate::engine::{EngineError, SyncOptions};
use crate::identity::Identity;
use crate::membership::KeyObjectSigner;
use crate::outstanding::{Report, question_of, questions};
use crate::reasons::{engine_reason, server_reason};
use crate::session::CardSessions;
use crate::store::Collection;
use crate::works::{Done, Folders, JobHandle, Syncs, report_values};

/// Adds and removes collections.
pub struct Collections {
    pub(crate) identity: Arc<Identity>,
    pub(crate) database: Arc<Database>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) signing: Arc<KeyObjectSigner>,
    pub(crate) syncs: Arc<Syncs>,
    pub(crate) folders: Arc<Folders>,
    /// The folder of our own files.
    pub(crate) own_files: PathBuf,
}

impl Collections {
    /// Syncs a folder here from now on, as a new collection or as one of the vault, and syncs it once. The vault's list is signed
    /// first: the server lets a terminal write only what that names.
    pub async fn add_collection(
        &self,
        attribute: &str,
        name: &str,
        path: &str,
        job: &JobHandle,
    ) -> Done {
        let bad = |s: &str| Failure::new(Code::BadArgument, s);
        if attribute != "files" {
            return Err(bad("only the attribute `files` can be synced so far"));
        }
        let name = name.trim();
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            return Err(bad("a collection's name has 1 to 200 characters"));
        }
        let root = self.usable_root(path)?;
        let store = |e: crate::store::StoreError| Failure::new(Code::Store, e.to_string());
        let known = self.database.stored(|s| s.collections()).map_err(store)?;
        let found = known
            .iter()
            .find(|c| c.id.to_string() == name || c.name == name);
        let id = match found {
            Some(c) if c.root.is_some() => {
                return Err(Failure::new(
                    Code::AlreadySynced,
                    format!("{} is synced here already", c.name),
                ));
            }
            Some(c) => c.id,
            None => {
                use rand_core::Rng;
                let mut id = [0; 16];
                crate::engine::fresh_rng().fill_bytes(&mut id);
                CollectionId(id)
            }
        };
        let own = self.identity.terminal_id();
        // The list first: the server lets a terminal write only what its key object names.
        let add = |body: &mut KeyObjectBody| {
            for t in body.terminals.iter_mut().filter(|t| Some(t.id()) == own) {
                if !t.collections.contains(&id) {
                    t.collections.push(id);
                    t.collections.sort_unstable();
                }
            }
            Ok(Vec::new())
        };
        self.signing
            .commit_key_object(add, SyncOptions::default(), Some(job))
            .await?;
        if found.is_none() {
            self.database
                .stored(|s| s.put_collection(&id, attribute, name))
                .map_err(store)?;
        }
        let pk = self
            .database
            .stored(|s| s.collections())
            .map_err(store)?
            .into_iter()
            .find(|c| c.id == id)
            .map(|c| c.pk)
            .ok_or_else(|| Failure::new(Code::Store, "the collection was not written down"))?;
        self.database
            .stored(|s| s.set_root(pk, Some(&root)))
            .map_err(store)?;
        self.want_history(&id).await?;
        self.folders.changed();
        let synced = self.syncs.run_sync(SyncOptions::default(), Some(job)).await;
        let report = synced.map_err(|e| match e {
            // From here on it is a collection of this terminal, whoever stops its first sync.
            EngineError::Cancelled => Failure::new(
                Code::Cancelled,
                format!("stopped; {name} is synced here from now on, and the next sync goes on with it (`simsync collections remove` takes it back)"),
            ),
            e => Failure::from(engine_reason(&e)),
        })?;
        let mut values = report_values(&report);
        values.insert("id".to_owned(), id.to_string());
        Ok(values)
    }

    /// Packs of a collection that this terminal did not sync until now.
    async fn want_history(&self, id: &CollectionId) -> Result<(), Failure> {
        let conn = self.sessions.session().map(|s| s.conn);
        let conn = conn.ok_or_else(|| Failure::new(Code::Locked, "no session is open"))?;
        let packs = match conn.packs(*id).await {
            Ok(answer) => answer.packs,
            Err(e) => return Err(server_reason(&e).into()),
        };
        for p in packs {
            let known = self.database.stored(|s| s.has_pack(&p.id)).unwrap_or(false);
            if !known {
                self.database
                    .stored(|s| s.add_pack(&p, crate::store::PackState::Wanted, &[]))
                    .map_err(|e| Failure::new(Code::Store, e.to_string()))?;
            }
        }
        Ok(())
    }

    fn usable_root(&self, path: &str) -> Result<String, Failure> {
        let bad = |s: String| Failure::new(Code::BadArgument, s);
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(bad(
                "a collection's folder is named by its absolute path".to_owned()
            ));
        }
        let real =
            std::fs::canonicalize(&path).map_err(|e| bad(format!("{}: {e}", path.display())))?;
        if !real.is_dir() {
            return Err(bad(format!("{} is not a folder", real.display())));
        }
        let overlaps = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
        let state = &self.own_files;
        let state = std::fs::canonicalize(state).unwrap_or_else(|_| state.clone());
        if overlaps(&state, &real) {
            return Err(bad(format!(
                "{} holds simsync's own files; choose another folder",
                real.display()
            )));
        }
        let others = self
            .database
            .stored(|s| s.collections())
            .map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        if let Some(c) = others
            .iter()
            .find(|c| c.root.as_deref().is_some_and(|r| overlaps(r, &real)))
        {
            return Err(bad(format!(
                "{} overlaps with {}, which is synced already",
                real.display(),
                c.name
            )));
        }
        real.to_str()
            .map(str::to_owned)
            .ok_or_else(|| bad("the path of a collection's folder must be valid UTF-8".to_owned()))
    }

    /// Syncs a collection here no more; its folder stays. Answers `left`: files that were not uploaded.
    pub async fn remove_collection(&self, which: &str, job: &JobHandle) -> Done {
        let store = |e: crate::store::StoreError| Failure::new(Code::Store, e.to_string());
        let c = self.synced_collection(which)?;
        // What was written here goes up first, as far as that is possible: what is in the way may be why it is removed.
        let report = self
            .syncs
            .run_sync(SyncOptions::default(), Some(job))
            .await
            .map_err(|e| Failure::from(engine_reason(&e)))?;
        let left = self
            .database
            .stored(|s| s.outstanding())
            .map_err(store)?
            .iter()
            .filter(|o| o.collection == c.pk)
            .map(|o| o.count)
            .sum::<u64>();
        tracing::info!(
            collection = c.name,
            left,
            published = report.published,
            "removed"
        );
        let (own, id) = (self.identity.terminal_id(), c.id);
        let remove = |body: &mut KeyObjectBody| {
            for t in body.terminals.iter_mut().filter(|t| Some(t.id()) == own) {
                t.collections.retain(|x| *x != id);
            }
            Ok(Vec::new())
        };
        let options = SyncOptions {
            key_object: Some(self.signing.sign_key_object(remove).await?),
            ..SyncOptions::default()
        };
        self.database
            .stored(|s| s.set_root(c.pk, None))
            .map_err(store)?;
        self.folders.changed();
        self.syncs
            .run_sync(options, None)
            .await
            .map_err(|e| Failure::from(engine_reason(&e)))?;
        self.folders.tell_outstanding();
        Ok(BTreeMap::from([("left".to_owned(), left.to_string())]))
    }

    /// The collection of an answer, and the questions that it is to. A yes to deletions is to what was shown, and to no other.
    pub fn asked(
        &self,
        which: &str,
        deleted: bool,
        shown: &str,
    ) -> Result<(CollectionId, Vec<Report>), Failure> {
        let collection = self.synced_collection(which)?;
        let rows = self.database.stored(|s| s.questions());
        let rows = rows.map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        let open = questions(&rows, collection.pk);
        if deleted && question_of(&open) != shown {
            return Err(Failure::new(
                Code::QuestionChanged,
                format!(
                    "what is missing in {} is not what it was when you were asked; look again with `simsync status`, and answer then",
                    collection.name
                ),
            ));
        }
        Ok((collection.id, open))
    }

    /// A collection that is synced here, by its name or ID.
    fn synced_collection(&self, which: &str) -> Result<Collection, Failure> {
        let all = self.database.stored(|s| s.collections());
        let all = all.map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        all.into_iter()
            .find(|c| c.root.is_some() && (c.name == which || c.id.to_string() == which))
            .ok_or_else(|| {
                Failure::new(
                    Code::NoSuchCollection,
                    format!("{which} is not synced here; `simsync collections list` shows what is"),
                )
            })
    }
}
