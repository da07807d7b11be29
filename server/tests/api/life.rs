//! The whole life of a vault, from the operator's first order to a merged tail.

use simsync_protocol::api::{ServerEvent, SessionState};
use simsync_server::testing::{World, put_all};

#[tokio::test]
async fn m19_the_whole_life_of_a_vault() {
    let mut w = World::new().await;

    // Terminal A uploads packs and commits them.
    let a = w.open_a().await;
    assert_eq!(a.answer.head, w.vault.head);
    let (one, one_bytes) = w.pack(w.files, 100_000);
    let (two, two_bytes) = w.pack(w.notes, 10);
    put_all(&a.connection, [one_bytes.clone(), two_bytes.clone()])
        .await
        .unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.roots = vec![w.root(w.files), w.root(w.notes)];
    body.roots.sort_by_key(|r| r.collection);
    body.packs_added = vec![one, two];
    body.closing = true;
    w.vault.commit(&a, &w.a, body).await.unwrap();

    // Terminal B hears of nothing but its own collection.
    let waiting = w.b.connect(&w.client()).await.unwrap();
    let mut events = waiting.events().await.unwrap();
    let hello = ServerEvent::Hello { head: w.vault.head };
    assert_eq!(events.next().await.unwrap(), Some(hello));
    assert_eq!(waiting.packs(w.files).await.unwrap().packs, [one]);
    let prefetched = waiting.fetch_packs(vec![one.id]).await.unwrap();
    assert_eq!(prefetched, std::slice::from_ref(&one_bytes));

    // The card moves to B, which reads and commits.
    let b = w.open_b().await;
    assert_eq!(b.answer.commits.len(), 2);
    assert_eq!(b.answer.key_objects.len(), 1);
    assert_eq!(b.answer.wraps.len(), 1);
    assert_eq!(b.answer.sessions[1].state, SessionState::Closed);
    let part = b.connection.fetch_range(one.id, 5, 10).await.unwrap();
    assert_eq!(part, one_bytes.bytes.slice(5..15));
    let mut body = w.vault.body(&w.b, &b.statement, None);
    let root = w.root(w.files);
    body.roots
        .iter_mut()
        .filter(|r| r.collection == w.files)
        .for_each(|r| *r = root);
    body.packs_dropped = vec![one.id];
    let answer = w.vault.commit(&b, &w.b, body).await.unwrap();
    let moved = events.next().await.unwrap();
    let expected = ServerEvent::HeadMoved {
        head: answer.head,
        terminal: w.b.id(),
    };
    assert_eq!(moved, Some(expected));
    assert!(waiting.packs(w.files).await.unwrap().packs.is_empty());

    // Yank: B delivers its tail by certificate alone.
    b.connection
        .narrow(simsync_protocol::api::Narrow::Removed)
        .await
        .unwrap();
    let (outbox, bytes) = w.pack(simsync_vault::ids::CollectionId::OUTBOX, 500);
    put_all(&b.connection, [bytes.clone()]).await.unwrap();
    let mut body = w.vault.tail(&b.statement);
    body.packs = vec![outbox];
    let tail = w.sign_tail(body, &w.b);
    let answer = b.connection.put_tail(tail.to_bytes()).await.unwrap();
    assert_eq!(answer.state, SessionState::TailDelivered);
    let delivered = ServerEvent::TailDelivered {
        session: b.session(),
        terminal: w.b.id(),
    };
    assert_eq!(events.next().await.unwrap(), Some(delivered));

    // A merges it.
    let a = w.open_a().await;
    assert_eq!(a.answer.tails.len(), 1);
    assert_eq!(a.answer.tails[0].0, tail.to_bytes());
    let fetched = a.connection.fetch_packs(vec![outbox.id]).await.unwrap();
    assert_eq!(fetched, [bytes]);
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.tails_merged = vec![b.session()];
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let left = a.connection.commits(0).await.unwrap();
    assert!(left.tails.is_empty());
    assert_eq!(left.commits.len(), 4);
    assert_eq!(w.known(&b).await.state, SessionState::Closed);
}
