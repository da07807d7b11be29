//! What a terminal believes of commits, lists and tails: each rule with something that breaks nothing else.

use simsync_card::ids::{CardId, Hash};
use simsync_card::sign::SecretKey;
use simsync_card::text::CardKeys;
use simsync_protocol::api::{B64, Narrow};
use simsync_vault::commit::{CollectionRoot, Commit, CommitBody, PackRef};
use simsync_vault::head::Verdict;
use simsync_vault::ids::{CollectionId, ObjectId, PackId, VaultId};
use simsync_vault::item::{Change, Content, Item, ItemContext, item_hash};
use simsync_vault::keyobject::KeyObjectBody;
use simsync_vault::tail::{Tail, TailBody};
use simsync_vault::tree::FileEntry;
use simsyncd::engine::{EngineError, TrustedCard, fresh_rng};

use crate::forger::Forger;
use crate::rig::{FILES, NOTES, Person, Terminal, close, sync};

fn stranger() -> SecretKey {
    SecretKey::from_bytes(&[0x51; 32]).unwrap()
}

fn signed(body: CommitBody, key: &SecretKey) -> B64 {
    B64(Commit::sign(body, key).to_bytes())
}

/// What is wrong, why it is refused, and how it becomes so.
type Wrong = (&'static str, &'static str, fn(&mut CommitBody));

/// Whether a terminal refuses to believe it, for this reason.
fn refuses(t: &Terminal, what: &str, commits: &[B64], why: &str) {
    let before = t.engine.store.witness().unwrap();
    let error = t.engine.accept_commits(commits).expect_err(what);
    assert!(error.to_string().contains(why), "{what}: {error}");
    assert_eq!(t.engine.store.witness().unwrap(), before, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_a_commit_is_believed_only_as_its_key_object_says() {
    let (person, a, b) = Person::with(&[FILES]).await;
    let s = person.open(&a).await;
    let good = Forger::new(&a, &s).body();
    let of_b = b.soft.key.point();
    let changes: [Wrong; 7] = [
        ("another vault", "another vault or epoch", |c| {
            c.vault = VaultId([9; 16]);
        }),
        ("another epoch", "another vault or epoch", |c| c.epoch += 1),
        ("a list that nobody signed", "that nobody signed", |c| {
            c.list_hash = Hash([9; 32]);
        }),
        ("a list to come", "that nobody signed", |c| {
            c.list_number += 1
        }),
        ("a card that is none", "under a card", |c| {
            c.session.card = CardId([9; 16]);
        }),
        ("another's collection", "does not sync", |c| {
            c.roots.push(CollectionRoot {
                collection: NOTES,
                root: ObjectId([1; 32]),
            });
            c.roots.sort_by_key(|r| r.collection);
        }),
        ("packs of another's collection", "brings packs", |c| {
            c.packs_added.push(PackRef {
                id: PackId([1; 16]),
                collection: NOTES,
                size: 1,
            });
        }),
    ];
    for (what, why, change) in changes {
        let mut body = good.clone();
        change(&mut body);
        refuses(&a, what, &[signed(body, &a.soft.key)], why);
    }
    // By a terminal that is none, by another's key, in another's name.
    let mut body = good.clone();
    body.terminal = simsync_card::ids::TerminalId::of(&stranger().point());
    body.session.terminal = body.terminal;
    refuses(
        &a,
        "stranger",
        &[signed(body, &stranger())],
        "a terminal that",
    );
    refuses(
        &a,
        "key",
        &[signed(good.clone(), &b.soft.key)],
        "not signed",
    );
    let mut body = good.clone();
    body.session.terminal = simsync_card::ids::TerminalId::of(&of_b);
    refuses(
        &a,
        "session",
        &[signed(body, &a.soft.key)],
        "another terminal's",
    );
    let mut body = good.clone();
    body.session.n += 1;
    refuses(&a, "statement", &[signed(body, &a.soft.key)], "not signed");
    // Not on top of what is known.
    for change in [
        |c: &mut CommitBody| c.previous = Hash([1; 32]),
        |c: &mut CommitBody| c.sequence += 1,
    ] {
        let mut body = good.clone();
        change(&mut body);
        let refused = a.engine.accept_commits(&[signed(body, &a.soft.key)]);
        assert!(
            matches!(refused, Err(EngineError::Head(Verdict::Fork { .. }))),
            "{refused:?}"
        );
    }
    // All of these were one thing away from this.
    a.engine
        .accept_commits(&[signed(good, &a.soft.key)])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_no_commit_takes_a_collection_away_that_its_terminal_does_not_sync() {
    let (person, a, b) = Person::with(&[FILES]).await;
    let s = person.open(&b).await;
    b.register_notes(&s).await;
    std::fs::write(b.notes().join("n"), "1").unwrap();
    close(&b, &s).await;
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let good = Forger::new(&a, &s).body();
    let mut body = good.clone();
    body.roots.retain(|r| r.collection != NOTES);
    assert_ne!(body.roots, good.roots);
    let commits = [signed(body, &a.soft.key)];
    refuses(
        &a,
        "without another's collection",
        &commits,
        "does not sync",
    );
    a.engine
        .accept_commits(&[signed(good, &a.soft.key)])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_a_terminal_that_a_list_leaves_out_says_one_last_thing_at_most() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&b).await;
    sync(&b, &s).await;
    let without_b = person.card.sign_key_object(KeyObjectBody {
        list_number: 2,
        previous: person.list.hash(),
        terminals: person.list.body.terminals[..1].to_vec(),
        flags: simsync_vault::keyobject::FLAG_REKEY_REQUIRED,
        ..person.list.body.clone()
    });
    let objects = [B64(without_b.to_bytes())];
    for t in [&a, &b] {
        t.engine.accept_key_objects(&s.card, &objects, &[]).unwrap();
    }
    a.engine
        .accept_commits(&s.conn.commits(0).await.unwrap().commits)
        .unwrap();
    let mut body = Forger::new(&b, &s).body();
    (body.list_number, body.list_hash) = (2, without_b.hash());
    let commits = [signed(body.clone(), &b.soft.key)];
    refuses(&a, "it goes on", &commits, "does not name");
    // Leaving of its own accord is its last word.
    body.closing = true;
    let last = [signed(body, &b.soft.key)];
    a.engine.accept_commits(&last).unwrap();
    let mut more = Forger::new(&a, &s).body();
    more.terminal = b.soft.id();
    more.closing = true;
    let commits = [signed(more, &b.soft.key)];
    refuses(&a, "once more", &commits, "does not name");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_the_list_number_never_falls_along_the_chain() {
    let (person, a, _b) = Person::new().await;
    let s = person.open(&a).await;
    let next = |before: &simsync_vault::keyobject::KeyObject| {
        person.card.sign_key_object(KeyObjectBody {
            list_number: before.body.list_number + 1,
            previous: before.hash(),
            ..before.body.clone()
        })
    };
    let second = next(&person.list);
    let objects = [B64(second.to_bytes())];
    a.engine.accept_key_objects(&s.card, &objects, &[]).unwrap();
    let mut first = Forger::new(&a, &s).body();
    first.list_number = 2;
    first.list_hash = second.hash();
    let first = Commit::sign(first, &a.soft.key);
    let mut back = Forger::new(&a, &s).body();
    back.sequence += 1;
    back.previous = first.hash();
    let commits = [B64(first.to_bytes()), signed(back.clone(), &a.soft.key)];
    refuses(&a, "an older list", &commits, "the list number falls");
    back.list_number = 2;
    back.list_hash = second.hash();
    let commits = [B64(first.to_bytes()), signed(back, &a.soft.key)];
    a.engine.accept_commits(&commits).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_the_servers_head_is_the_one_that_was_verified() {
    let (person, a, _b) = Person::new().await;
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let own = a.engine.store.witness().unwrap();
    let check = |sequence, hash| a.engine.check_head(Some((sequence, hash)));
    check(own.sequence, own.head).unwrap();
    check(own.sequence + 1, Hash([1; 32])).unwrap();
    let other = check(own.sequence, Hash([1; 32]));
    assert!(matches!(
        other,
        Err(EngineError::Head(Verdict::Fork { .. }))
    ));
    let older = check(own.sequence - 1, own.head);
    assert!(matches!(
        older,
        Err(EngineError::Head(Verdict::RolledBack { .. }))
    ));
    let none = a.engine.check_head(None);
    assert!(matches!(
        none,
        Err(EngineError::Head(Verdict::RolledBack { .. }))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_a_list_that_names_other_keys_for_this_card_is_not_the_owners() {
    let (person, _a, b) = Person::new().await;
    let keys = person.card.keys();
    let other = stranger().point();
    for wrong in [
        CardKeys { sig: other, ..keys },
        CardKeys { kem: other, ..keys },
    ] {
        let card = TrustedCard {
            id: person.card.id,
            keys: wrong,
        };
        let objects = [B64(person.list.to_bytes())];
        let error = b
            .engine
            .accept_key_objects(&card, &objects, &person.wraps)
            .unwrap_err();
        assert!(
            error.to_string().contains("other keys for this card"),
            "{error}"
        );
        assert!(b.engine.store.key_objects().unwrap().is_empty());
    }
}

/// What somebody who knows no secret at all can seal: the outbox key is in the list.
fn item(person: &Person, session: &simsyncd::engine::Session, path: &str) -> Vec<u8> {
    let item = Item {
        version: simsync_vault::item::ITEM_VERSION,
        collection: FILES,
        path: path.as_bytes().to_vec(),
        base: None,
        change: Change::File {
            entry: FileEntry {
                mode: 0o644,
                size: 6,
                mtime: 1,
                mtime_nanos: 0,
                chunks: Vec::new(),
            },
            content: Content::Inline(b"forged".to_vec()),
        },
    };
    let context = ItemContext {
        vault: person.list.body.vault,
        epoch: 1,
        card: session.statement.card,
        n: session.statement.n,
        index: 0,
    };
    let outbox = &person.list.body.outbox_key;
    item.seal(outbox, &context, &mut fresh_rng()).unwrap()
}

/// A tail of A's session with these items in the server's pack, and these hashes signed by A.
async fn tail(
    person: &Person,
    a: &Terminal,
    s: &simsyncd::engine::Session,
    given: &[u8],
    hashes: Vec<Hash>,
) -> Tail {
    let mut pack = u32::try_from(given.len()).unwrap().to_be_bytes().to_vec();
    pack.extend_from_slice(given);
    let id = PackId(rand_id());
    let size = pack.len() as u64;
    let outbox = CollectionId::OUTBOX;
    s.conn.put_pack(id, outbox, pack.into(), 0).await.unwrap();
    let body = TailBody {
        version: 1,
        vault: person.list.body.vault,
        epoch: 1,
        session: s.statement.clone(),
        parent: a.engine.store.witness().unwrap().head,
        items: hashes,
        packs: vec![PackRef {
            id,
            collection: outbox,
            size,
        }],
        replaces: Vec::new(),
    };
    Tail::sign(body, &a.soft.key)
}

fn rand_id() -> [u8; 16] {
    use rand_core::Rng;
    let mut id = [0; 16];
    fresh_rng().fill_bytes(&mut id);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_a_tail_holds_what_its_terminal_signed_and_nothing_else() {
    let (person, a, b) = Person::new().await;
    for what in ["another item", "one more", "none signed"] {
        let sa = person.open(&a).await;
        sync(&a, &sa).await;
        let (own, other) = (item(&person, &sa, "own"), item(&person, &sa, "other"));
        let right = item_hash(&own);
        let (given, hashes) = match what {
            "another item" => (&other, vec![right]),
            "one more" => (&own, vec![right, right]),
            _ => (&own, vec![]),
        };
        let tail = tail(&person, &a, &sa, given, hashes).await;
        sa.conn.narrow(Narrow::Removed).await.unwrap();
        sa.conn.put_tail(tail.to_bytes()).await.unwrap();
        let sb = person.open(&b).await;
        let report = sync(&b, &sb).await;
        assert_eq!(report.tails, 0, "{what}");
        assert_eq!(report.outstanding.all(), 1, "{what}");
        assert_eq!((b.read("own"), b.read("other")), (None, None), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w_8_a_tail_is_of_this_vault_and_by_a_terminal_and_card_of_it() {
    let (person, a, b) = Person::new().await;
    let sa = person.open(&a).await;
    sync(&a, &sa).await;
    let good = TailBody {
        version: 1,
        vault: person.list.body.vault,
        epoch: 1,
        session: sa.statement.clone(),
        parent: a.engine.store.witness().unwrap().head,
        items: Vec::new(),
        packs: Vec::new(),
        replaces: Vec::new(),
    };
    let read = |body: TailBody, key: &SecretKey| {
        let tail = Tail::sign(body, key);
        a.engine.read_tails(&[B64(tail.to_bytes())]).unwrap().len()
    };
    assert_eq!(read(good.clone(), &a.soft.key), 1);
    assert_eq!(read(good.clone(), &b.soft.key), 0, "another's key");
    let mut of_other = good.clone();
    of_other.vault = VaultId([9; 16]);
    assert_eq!(read(of_other, &a.soft.key), 0, "another vault");
    let mut never = good.clone();
    never.session.n += 1;
    assert_eq!(read(never, &a.soft.key), 0, "a session that never was");
    let mut card = good;
    card.session.card = CardId([9; 16]);
    assert_eq!(read(card, &a.soft.key), 0, "a card that is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_what_is_set_aside_of_a_tail_names_its_terminal() {
    let (person, a, b) = Person::new().await;
    for (what, path, sentence) in [
        ("one item", ".simsync-work/x", "simsync's own"),
        ("the whole tail", "good", "what A sealed"),
    ] {
        let sa = person.open(&a).await;
        sync(&a, &sa).await;
        let given = item(&person, &sa, path);
        let hash = if path == "good" {
            Hash([1; 32])
        } else {
            item_hash(&given)
        };
        let tail = tail(&person, &a, &sa, &given, vec![hash]).await;
        sa.conn.narrow(Narrow::Removed).await.unwrap();
        sa.conn.put_tail(tail.to_bytes()).await.unwrap();
        let sb = person.open(&b).await;
        sync(&b, &sb).await;
        let rows = b.engine.store.outstanding().unwrap();
        let details = rows.iter().map(|r| r.detail.as_str());
        let details: Vec<&str> = details.filter(|d| d.contains(sentence)).collect();
        let [detail] = details[..] else {
            panic!("{what}: {rows:?}")
        };
        let named = detail.ends_with("; from terminal \"A\"");
        assert_eq!(named, what == "one item", "{detail}");
    }
}
