//! A person with a card in software, two terminals with the real engine, the real server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simsync_card::ids::SubscriberId;
use simsync_server::testing::{Opened, Seed, SoftCard, SoftTerminal, TestServer};
use simsync_vault::ids::{CollectionId, VaultId};
use simsync_vault::keyobject::{KeyObject, KeyObjectBody, Recipient, TerminalEntry, Wrap};
use simsync_vault::keys::{KeyRing, VaultKey};
use simsync_vault::tail::TAIL_ITEMS_MAX;
use simsyncd::engine::{
    Adapters, Answer, Answers, Cancel, Engine, EngineConfig, EngineError, KeyCell, PackCache,
    Session, SyncOptions, SyncReport, TailReport, TrustedCard, fresh_rng,
};
use simsyncd::outstanding::questions;
use simsyncd::store::{CollectionPk, PackState, Store};
use simsyncd::vouch::Vouches;

pub const FILES: CollectionId = CollectionId([7; 16]);
/// A second one, that terminals may sync; each begins without it.
pub const NOTES: CollectionId = CollectionId([8; 16]);

pub struct Person {
    pub server: TestServer,
    #[allow(dead_code, reason = "the simulator asks the server about them")]
    pub subscriber: SubscriberId,
    pub card: SoftCard,
    pub vk: VaultKey,
    pub list: KeyObject,
    pub wraps: Vec<Wrap>,
}

pub struct Terminal {
    pub soft: SoftTerminal,
    pub dir: tempfile::TempDir,
    pub engine: Engine,
}

impl Terminal {
    pub fn new(
        dir: tempfile::TempDir,
        soft: SoftTerminal,
        label: &str,
        server: simsync_card::ids::ServerId,
    ) -> Self {
        for sub in ["data", "notes", "packs", "outbox"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let engine = engine_in(dir.path(), &soft, label, server);
        Self { soft, dir, engine }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.data().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.data().join(path)).ok()
    }

    pub fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
            for e in std::fs::read_dir(dir).unwrap().flatten() {
                let path = e.path();
                if e.file_name() == ".simsync-work" {
                    continue;
                }
                let relative = path.strip_prefix(root).unwrap().to_path_buf();
                if path.is_dir() {
                    out.insert(relative, None);
                    walk(root, &path, out);
                } else {
                    out.insert(relative, Some(std::fs::read(&path).unwrap()));
                }
            }
        }
        let mut out = BTreeMap::new();
        walk(&self.data(), &self.data(), &mut out);
        out
    }

    pub fn register(&self) {
        let store = &self.engine.store;
        store.put_collection(&FILES, "files", "Documents").unwrap();
        let pk = store.collections().unwrap()[0].pk;
        store
            .set_root(pk, Some(self.data().to_str().unwrap()))
            .unwrap();
    }

    /// Where [`NOTES`] are, once they are synced here.
    pub fn notes(&self) -> PathBuf {
        self.dir.path().join("notes")
    }

    /// Syncs [`NOTES`] from now on: every pack of theirs is wanted.
    pub async fn register_notes(&self, session: &Session) {
        let store = &self.engine.store;
        store.put_collection(&NOTES, "notes", "Notes").unwrap();
        let pk = self.pk(&NOTES);
        store
            .set_root(pk, Some(self.notes().to_str().unwrap()))
            .unwrap();
        for p in session.conn.packs(NOTES).await.unwrap().packs {
            if !store.has_pack(&p.id).unwrap() {
                store.add_pack(&p, PackState::Wanted, &[]).unwrap();
            }
        }
    }

    /// Row number of a collection.
    pub fn pk(&self, id: &CollectionId) -> CollectionPk {
        let all = self.engine.store.collections().unwrap();
        all.iter().find(|c| c.id == *id).unwrap().pk
    }

    /// An answer to what this terminal asks about one collection now: the first that it asks about, or else its files.
    pub fn answered(&self, answer: Answer) -> Answers {
        let store = &self.engine.store;
        let (collections, asked) = (store.collections().unwrap(), store.questions().unwrap());
        let is_asked = |pk: CollectionPk| asked.iter().any(|q| q.collection == pk);
        let first = collections.iter().find(|c| is_asked(c.pk));
        let of = first.or_else(|| collections.iter().find(|c| c.id == FILES));
        let of = of.unwrap();
        Answers {
            one: Some((of.id, answer)),
            asked: questions(&asked, of.pk),
            ..Answers::default()
        }
    }

    /// What is not where it should be: codes and paths.
    pub fn outstanding(&self) -> Vec<(&'static str, String)> {
        let rows = self.engine.store.outstanding().unwrap();
        let mut out: Vec<_> = rows
            .iter()
            .map(|r| {
                (
                    r.code.as_str(),
                    String::from_utf8_lossy(&r.path).into_owned(),
                )
            })
            .collect();
        out.sort();
        out
    }
}

/// The engine of a terminal whose files are in this folder.
pub fn engine_in(
    dir: &Path,
    soft: &SoftTerminal,
    label: &str,
    server: simsync_card::ids::ServerId,
) -> Engine {
    Engine {
        store: Arc::new(Store::open(&dir.join("state.db")).unwrap()),
        config: Arc::new(EngineConfig {
            pack_cache: PackCache::new(dir.join("packs")),
            pack_target: 64 << 10,
            tail_items: TAIL_ITEMS_MAX,
            label: label.to_owned(),
            server: Some(server),
            adapters: Adapters::default(),
            vouches: Vouches::default(),
        }),
        key: Arc::new(soft.key.clone()),
        keys: KeyCell::default(),
        cancel: Cancel::default(),
        progress: Arc::default(),
        runtime: tokio::runtime::Handle::current(),
    }
}

/// What a terminal does once the server took the session that the card opened.
pub fn enter(
    engine: &Engine,
    card: TrustedCard,
    ring: KeyRing,
    opened: Opened,
) -> Result<Session, EngineError> {
    let Opened {
        connection,
        statement,
        answer,
    } = opened;
    engine.accept_key_objects(&card, &answer.key_objects, &answer.wraps)?;
    engine.accept_commits(&answer.commits)?;
    engine.store.add_session(&statement)?;
    let generation = engine.keys.generation();
    engine.keys.put(Box::new(ring), generation)?;
    Ok(Session {
        statement,
        conn: connection,
        card,
    })
}

impl Person {
    /// Both terminals may sync both collections.
    pub async fn new() -> (Self, Terminal, Terminal) {
        Self::with(&[FILES, NOTES]).await
    }

    /// A may sync these collections only.
    pub async fn with(of_a: &[CollectionId]) -> (Self, Terminal, Terminal) {
        let terminals = [("A", of_a), ("B", &[FILES, NOTES][..])];
        let server = TestServer::start().await;
        let (person, terminals) = Self::found(&Seed::new(), server, &terminals).await;
        let [a, b] = <[Terminal; 2]>::try_from(terminals).ok().unwrap();
        (person, a, b)
    }

    /// A card, and terminals that may sync these collections; the first one makes the vault.
    pub async fn found(
        seed: &Seed,
        server: TestServer,
        terminals: &[(&str, &[CollectionId])],
    ) -> (Self, Vec<Terminal>) {
        Self::found_in(seed, server, terminals, || tempfile::tempdir().unwrap()).await
    }

    /// The same, of terminals in such folders.
    pub async fn found_in(
        seed: &Seed,
        server: TestServer,
        terminals: &[(&str, &[CollectionId])],
        folder: impl Fn() -> tempfile::TempDir,
    ) -> (Self, Vec<Terminal>) {
        let client = server.client();
        let (subscriber, code) = server.add_subscriber("anna").await;
        let card = SoftCard::new(seed);
        card.enrol(&client, &subscriber, &code).await.unwrap();
        let id = server.app().server;
        let (mut made, mut entries) = (Vec::new(), Vec::new());
        for (label, collections) in terminals {
            let mut soft = SoftTerminal::new(seed);
            soft.pair(&client, &subscriber, &card).await.unwrap();
            entries.push(TerminalEntry {
                key: soft.key.point(),
                label: (*label).to_owned(),
                collections: collections.to_vec(),
            });
            made.push(Terminal::new(folder(), soft, label, id));
        }
        let mut rng = fresh_rng();
        let vault = VaultId(seed.id());
        let vk = VaultKey::generate(&mut rng);
        let wrap = vk
            .wrap(&vault, 1, &card.id, &card.keys().kem, &mut rng)
            .unwrap();
        let list = card.sign_key_object(KeyObjectBody {
            version: 1,
            vault,
            list_number: 1,
            epoch: 1,
            recipients: vec![Recipient {
                id: card.id,
                keys: card.keys(),
                wrap_hash: wrap.hash(),
            }],
            check: vk.check(),
            outbox_key: vk.outbox().1,
            previous_key: Vec::new(),
            terminals: entries,
            flags: 0,
            previous: simsync_card::ids::Hash::ZERO,
            signer: card.id,
        });
        let person = Self {
            server,
            subscriber,
            card,
            vk,
            list,
            wraps: vec![wrap],
        };
        let session = person.open(&made[0]).await;
        let options = SyncOptions {
            key_object: Some((person.list.clone(), person.wraps.clone())),
            ..SyncOptions::default()
        };
        sync_with(&made[0], &session, options).await.unwrap();
        for terminal in &made {
            terminal.register();
        }
        (person, made)
    }

    /// What a terminal believes of the card.
    pub fn trusted(&self) -> TrustedCard {
        TrustedCard {
            id: self.card.id,
            keys: self.card.keys(),
        }
    }

    /// The same, and the keys that it opens.
    pub fn opens(&self) -> (TrustedCard, KeyRing) {
        let card = self.trusted();
        let ring = KeyRing::new(self.vk.clone(), std::slice::from_ref(&self.list)).unwrap();
        (card, ring)
    }

    /// The card is put in and the PIN typed.
    pub async fn open(&self, t: &Terminal) -> Session {
        let client = self.server.client();
        let opened = t.soft.open(&client, &self.card).await.unwrap();
        let (card, ring) = self.opens();
        enter(&t.engine, card, ring, opened).unwrap()
    }

    /// The card is pulled: keys away, tail made and, with network, delivered.
    pub async fn yank(&self, t: &Terminal, session: &Session, network: bool) -> TailReport {
        t.engine.keys.wipe();
        let _ = session
            .conn
            .narrow(simsync_protocol::api::Narrow::Removed)
            .await;
        session.conn.set_grant(None);
        let engine = Engine {
            cancel: Cancel::default(),
            ..t.engine.clone()
        };
        let outbox = t.dir.path().join("outbox");
        let statement = session.statement.clone();
        let report = tokio::task::spawn_blocking(move || engine.make_tail(&statement, &outbox))
            .await
            .unwrap()
            .unwrap();
        if network {
            self.deliver(t).await;
        }
        report
    }

    pub async fn deliver(&self, t: &Terminal) {
        let conn = t.soft.connect(&self.server.client()).await.unwrap();
        let engine = Engine {
            cancel: Cancel::default(),
            ..t.engine.clone()
        };
        let outbox = t.dir.path().join("outbox");
        tokio::task::spawn_blocking(move || engine.deliver_tails(&conn, &outbox))
            .await
            .unwrap()
            .unwrap();
    }
}

pub async fn sync_with(
    t: &Terminal,
    session: &Session,
    options: SyncOptions,
) -> Result<SyncReport, EngineError> {
    let (engine, session) = (t.engine.clone(), session.clone());
    tokio::task::spawn_blocking(move || engine.sync(&session, options, None))
        .await
        .unwrap()
}

pub async fn sync(t: &Terminal, session: &Session) -> SyncReport {
    sync_with(t, session, SyncOptions::default()).await.unwrap()
}

pub async fn close(t: &Terminal, session: &Session) -> SyncReport {
    let options = SyncOptions {
        closing: true,
        ..SyncOptions::default()
    };
    let report = sync_with(t, session, options).await.unwrap();
    t.engine.keys.wipe();
    report
}
