//! A vault as the server sees it: chain, key objects, tails. What is sealed in it is random.

use bytes::Bytes;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{B64, CommitAnswer, HeadInfo, NewKeyObject, SessionInfo};
use simsync_protocol::batch::Pack;
use simsync_protocol::{Client, ClientError};
use simsync_vault::commit::{CollectionRoot, Commit, CommitBody, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, ObjectId, PackId, VaultId};
use simsync_vault::keyobject::{
    KEY_OBJECT_VERSION, KeyObject, KeyObjectBody, Recipient, TerminalEntry, Wrap,
};
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::{TAIL_VERSION, Tail, TailBody};

use crate::config::Limits;

use super::{Opened, Seed, SoftCard, SoftTerminal, TestServer};

/// What a terminal that follows the chain knows.
pub struct SoftVault {
    /// ID, drawn from the seed.
    pub id: VaultId,
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// The key object in force.
    pub key_object: Option<KeyObject>,
    /// Roots after the newest commit.
    pub roots: Vec<CollectionRoot>,
}

impl SoftVault {
    /// Before its first commit.
    pub fn new(seed: &Seed) -> Self {
        Self {
            id: VaultId(seed.id()),
            head: None,
            key_object: None,
            roots: Vec::new(),
        }
    }

    /// A key object that may follow the one in force: same epoch, for these cards and terminals.
    pub fn next_list(
        &self,
        seed: &Seed,
        cards: &[&SoftCard],
        terminals: Vec<TerminalEntry>,
    ) -> (KeyObjectBody, Vec<Wrap>) {
        let before = self.key_object.as_ref().map(|k| (&k.body, k.hash()));
        let wraps: Vec<Wrap> = cards.iter().map(|c| wrap(seed, c.id)).collect();
        let recipients = cards.iter().zip(&wraps).map(|(card, wrap)| Recipient {
            id: card.id,
            keys: card.keys(),
            wrap_hash: wrap.hash(),
        });
        let body = KeyObjectBody {
            version: KEY_OBJECT_VERSION,
            vault: self.id,
            list_number: before.map_or(0, |(b, _)| b.list_number) + 1,
            epoch: before.map_or(1, |(b, _)| b.epoch),
            recipients: recipients.collect(),
            check: before.map_or_else(|| Hash(seed.bytes()), |(b, _)| b.check),
            outbox_key: before.map_or_else(|| seed.key().point(), |(b, _)| b.outbox_key),
            previous_key: before.map_or_else(Vec::new, |(b, _)| b.previous_key.clone()),
            terminals,
            flags: 0,
            previous: before.map_or(Hash::ZERO, |(_, hash)| hash),
            signer: cards[0].id,
        };
        (body, wraps)
    }

    /// Makes a key object the first of a new epoch.
    pub fn rekey(seed: &Seed, body: &mut KeyObjectBody) {
        body.epoch += 1;
        body.check = Hash(seed.bytes());
        body.outbox_key = seed.key().point();
        body.previous_key = seed.blob(64).to_vec();
    }

    /// A commit that may follow: no changes. `list` is the key object that it is the first to name.
    pub fn body(
        &self,
        terminal: &SoftTerminal,
        statement: &SessionStatement,
        list: Option<&KeyObject>,
    ) -> CommitBody {
        let list = list.or(self.key_object.as_ref()).expect("a key object");
        CommitBody {
            version: CommitBody::version_with(None),
            vault: self.id,
            epoch: list.body.epoch,
            sequence: self.head.map_or(0, |h| h.sequence) + 1,
            previous: self.head.map_or(Hash::ZERO, |h| h.hash),
            roots: self.roots.clone(),
            packs_added: Vec::new(),
            packs_dropped: Vec::new(),
            list_number: list.body.list_number,
            list_hash: list.hash(),
            terminal: terminal.id(),
            session: statement.clone(),
            closing: false,
            tails_merged: Vec::new(),
            metadata: vec![0; 16],
            restore: None,
        }
    }

    /// Notes that a commit was accepted.
    pub fn accept(&mut self, body: &CommitBody, list: Option<KeyObject>, answer: &CommitAnswer) {
        self.head = Some(answer.head);
        self.roots = body.roots.clone();
        if list.is_some() {
            self.key_object = list;
        }
    }

    /// Sends a commit, signed by `terminal`, and notes it if it was accepted.
    pub async fn commit(
        &mut self,
        opened: &Opened,
        terminal: &SoftTerminal,
        body: CommitBody,
    ) -> Result<CommitAnswer, ClientError> {
        self.commit_with(opened, terminal, body, None).await
    }

    /// As [`Self::commit`], with the key object that the commit is the first to name.
    pub async fn commit_with(
        &mut self,
        opened: &Opened,
        terminal: &SoftTerminal,
        body: CommitBody,
        list: Option<(KeyObject, Vec<Wrap>)>,
    ) -> Result<CommitAnswer, ClientError> {
        let commit = Commit::sign(body.clone(), &terminal.key);
        let (list, new) = match list {
            None => (None, None),
            Some((list, wraps)) => {
                let signed = B64(list.to_bytes());
                (Some(list), Some(NewKeyObject { signed, wraps }))
            }
        };
        let answer = opened.connection.commit(commit.to_bytes(), new).await?;
        self.accept(&body, list, &answer);
        Ok(answer)
    }

    /// A tail of a session, with nothing in it.
    pub fn tail(&self, statement: &SessionStatement) -> TailBody {
        TailBody {
            version: TAIL_VERSION,
            vault: self.id,
            epoch: self.key_object.as_ref().map_or(1, |k| k.body.epoch),
            session: statement.clone(),
            parent: self.head.map_or(Hash::ZERO, |h| h.hash),
            items: Vec::new(),
            packs: Vec::new(),
            replaces: Vec::new(),
        }
    }
}

fn wrap(seed: &Seed, recipient: CardId) -> Wrap {
    Wrap {
        recipient,
        enc: seed.key().point(),
        ciphertext: seed.blob(48).to_vec(),
    }
}

/// A subscriber with a card, two terminals and a vault with two collections: `files` of both, `notes` of the first only.
pub struct World {
    /// Where random values come from.
    pub seed: Seed,
    /// The server, in this process.
    pub server: TestServer,
    /// ID of the one subscriber.
    pub subscriber: SubscriberId,
    /// The subscriber's card.
    pub card: SoftCard,
    /// First terminal.
    pub a: SoftTerminal,
    /// Second terminal.
    pub b: SoftTerminal,
    /// The vault after its first commit.
    pub vault: SoftVault,
    /// Both terminals' collection.
    pub files: CollectionId,
    /// The first terminal's collection.
    pub notes: CollectionId,
}

impl World {
    /// Enrols, pairs both terminals, makes the first commit by the first one.
    pub async fn new() -> Self {
        Self::on(TestServer::start().await).await
    }

    /// As [`Self::new`], on a server with these limits, but without any on open paths.
    pub async fn with_limits(limits: Limits) -> Self {
        let limits = Limits {
            open_per_minute: 1_000_000,
            ..limits
        };
        Self::on(TestServer::start_with(limits).await).await
    }

    async fn on(server: TestServer) -> Self {
        let seed = Seed::new();
        let client = server.client();
        let (subscriber, code) = server.add_subscriber("Alice").await;
        let card = SoftCard::new(&seed);
        card.enrol(&client, &subscriber, &code).await.unwrap();
        let (mut a, mut b) = (SoftTerminal::new(&seed), SoftTerminal::new(&seed));
        a.pair(&client, &subscriber, &card).await.unwrap();
        b.pair(&client, &subscriber, &card).await.unwrap();
        let (files, notes) = (CollectionId(seed.id()), CollectionId(seed.id()));
        let mut world = Self {
            vault: SoftVault::new(&seed),
            seed,
            server,
            subscriber,
            card,
            a,
            b,
            files,
            notes,
        };
        world.first_commit().await;
        world
    }

    async fn first_commit(&mut self) {
        let opened = self.a.open(&self.client(), &self.card).await.unwrap();
        let (body, wraps) = self
            .vault
            .next_list(&self.seed, &[&self.card], self.entries());
        let list = self.card.sign_key_object(body);
        let body = self.vault.body(&self.a, &opened.statement, Some(&list));
        self.vault
            .commit_with(&opened, &self.a, body, Some((list, wraps)))
            .await
            .unwrap();
    }

    /// Both terminals' entries in the key object.
    pub fn entries(&self) -> Vec<TerminalEntry> {
        let entry = |t: &SoftTerminal, label: &str, mut collections: Vec<CollectionId>| {
            collections.sort_unstable();
            TerminalEntry {
                key: t.key.point(),
                label: label.to_owned(),
                collections,
            }
        };
        vec![
            entry(&self.a, "a", vec![self.files, self.notes]),
            entry(&self.b, "b", vec![self.files]),
        ]
    }

    /// A client for the server.
    pub fn client(&self) -> Client {
        self.server.client()
    }

    /// A session of the first terminal.
    pub async fn open_a(&self) -> Opened {
        self.a.open(&self.client(), &self.card).await.unwrap()
    }

    /// A session of the second terminal.
    pub async fn open_b(&self) -> Opened {
        self.b.open(&self.client(), &self.card).await.unwrap()
    }

    /// What the server's store knows of a terminal's sessions: those that are not closed, or `one` in any state.
    pub async fn own_sessions(
        &self,
        terminal: TerminalId,
        one: Option<SessionRef>,
    ) -> Vec<SessionInfo> {
        let sessions = self.server.app().sessions();
        let own = sessions.own_sessions(self.subscriber.clone(), terminal, one);
        own.await.unwrap()
    }

    /// What the server's store knows of a session that was opened.
    pub async fn known(&self, opened: &Opened) -> SessionInfo {
        let one = Some(opened.session());
        let own = self.own_sessions(opened.statement.terminal, one).await;
        own.first().expect("the server knows it").clone()
    }

    /// A pack with random bytes.
    pub fn pack(&self, collection: CollectionId, len: usize) -> (PackRef, Pack) {
        let (id, bytes) = (PackId(self.seed.id()), self.seed.blob(len));
        pack(id, collection, bytes)
    }

    /// A root with a random hash.
    pub fn root(&self, collection: CollectionId) -> CollectionRoot {
        CollectionRoot {
            collection,
            root: ObjectId(self.seed.bytes()),
        }
    }

    /// Card and number of a statement.
    pub fn session(&self, statement: &SessionStatement) -> SessionRef {
        SessionRef {
            card: statement.card,
            n: statement.n,
        }
    }

    /// A tail with this body, signed with the terminal's key.
    pub fn sign_tail(&self, body: TailBody, by: &SoftTerminal) -> Tail {
        Tail::sign(body, &by.key)
    }
}

fn pack(id: PackId, collection: CollectionId, bytes: Bytes) -> (PackRef, Pack) {
    let named = PackRef {
        id,
        collection,
        size: bytes.len() as u64,
    };
    let pack = Pack {
        id,
        collection,
        bytes,
    };
    (named, pack)
}
