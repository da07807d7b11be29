//! A paired terminal that means harm: it has the vault's keys, signs what it likes, and speaks to the server itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use simsync_protocol::api::B64;
use simsync_vault::commit::{CollectionRoot, Commit, CommitBody, PackRef};
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::metadata::Metadata;
use simsync_vault::pack::PackBuilder;
use simsync_vault::seal::Kind;
use simsync_vault::tree::{Directory, Entry, FileEntry, chunk_id, directory_id};
use simsyncd::engine::{Session, fresh_rng};

use crate::rig::{FILES, Terminal};

/// What goes into the vault, sealed under whatever name.
pub struct Forger<'a> {
    pub terminal: &'a Terminal,
    pub session: &'a Session,
    objects: Vec<(Kind, ObjectId, Vec<u8>)>,
    /// Names under which something stands that does not open.
    broken: Vec<ObjectId>,
}

impl<'a> Forger<'a> {
    pub fn new(terminal: &'a Terminal, session: &'a Session) -> Self {
        Self {
            terminal,
            session,
            objects: Vec::new(),
            broken: Vec::new(),
        }
    }

    fn keys<T>(&self, step: impl FnOnce(&simsync_vault::keys::KeyRing) -> T) -> T {
        self.terminal.engine.keys.with(step).unwrap()
    }

    /// The ID that content has.
    pub fn id_of(&self, plain: &[u8]) -> ObjectId {
        self.keys(|k| chunk_id(k, plain))
    }

    /// Content under its own ID, or another one.
    pub fn chunk(&mut self, plain: &[u8], id: Option<ObjectId>) -> ObjectId {
        let id = id.unwrap_or_else(|| self.id_of(plain));
        self.objects.push((Kind::Chunk, id, plain.to_vec()));
        id
    }

    /// Something under the name of a chunk that no key opens.
    pub fn broken(&mut self, id: ObjectId) {
        self.broken.push(id);
    }

    /// A listing, as it is, however bad.
    pub fn listing(&mut self, entries: &[(&[u8], Entry)]) -> ObjectId {
        let listing = Directory {
            entries: entries
                .iter()
                .map(|(n, e)| (n.to_vec(), e.clone()))
                .collect::<BTreeMap<_, _>>(),
            ..Directory::default()
        };
        let bytes = postcard::to_stdvec(&listing).unwrap();
        let id = self.keys(|k| directory_id(k, &bytes));
        self.objects.push((Kind::Directory, id, bytes));
        id
    }

    /// A file of these chunks that claims to have this size.
    pub fn file(size: u64, chunks: &[ObjectId]) -> Entry {
        Entry::File(FileEntry {
            mode: 0o644,
            size,
            mtime: 1,
            mtime_nanos: 0,
            chunks: chunks.to_vec(),
        })
    }

    pub fn folder(id: ObjectId) -> Entry {
        Entry::Directory { mode: 0o755, id }
    }

    /// Everything so far as one pack of a collection, durable at the server.
    pub async fn pack(&mut self, collection: CollectionId) -> PackRef {
        let mut rng = fresh_rng();
        let mut builder = PackBuilder::new(collection, &mut rng);
        let pack = self.keys(|k| {
            for (kind, id, plain) in &self.objects {
                let sealed = k.seal(*kind, &id.0, plain, &mut rng).unwrap();
                builder.push(*kind, *id, plain.len(), &sealed);
            }
            for id in &self.broken {
                builder.push(Kind::Chunk, *id, 4, &[0; 60]);
            }
            builder.finish(k, &mut rng).unwrap()
        });
        self.objects.clear();
        self.broken.clear();
        let reference = pack.reference;
        let bytes = Bytes::from(pack.bytes);
        let conn = &self.session.conn;
        conn.put_pack(reference.id, collection, bytes, 0)
            .await
            .unwrap();
        reference
    }

    /// The body of a commit on top of the newest one, with nothing changed.
    pub fn body(&self) -> CommitBody {
        let store = &self.terminal.engine.store;
        let head = store.newest_commit().unwrap().unwrap();
        CommitBody {
            sequence: head.body.sequence + 1,
            previous: head.hash(),
            packs_added: Vec::new(),
            packs_dropped: Vec::new(),
            terminal: self.terminal.soft.id(),
            session: self.session.statement.clone(),
            closing: false,
            tails_merged: Vec::new(),
            restore: None,
            ..head.body
        }
    }

    /// Commits a root of the files, and perhaps metadata of its own making.
    pub async fn commit(&mut self, root: ObjectId, metadata: Option<Metadata>) {
        let pack = self.pack(FILES).await;
        let mut body = self.body();
        body.packs_added = vec![pack];
        let roots = body.roots.iter().filter(|r| r.collection != FILES).copied();
        let mut roots: Vec<CollectionRoot> = roots.collect();
        roots.push(CollectionRoot {
            collection: FILES,
            root,
        });
        roots.sort_by_key(|r| r.collection);
        body.roots = roots;
        if let Some(m) = metadata {
            body.metadata = self.keys(|k| m.seal(k, &mut fresh_rng()).unwrap());
        }
        self.send(body).await;
    }

    /// Signs and sends a commit, and notes it.
    pub async fn send(&self, body: CommitBody) {
        let commit = Commit::sign(body, &self.terminal.soft.key);
        self.session
            .conn
            .commit(commit.to_bytes(), None)
            .await
            .unwrap();
        let signed = [B64(commit.to_bytes())];
        self.terminal.engine.accept_commits(&signed).unwrap();
    }
}
