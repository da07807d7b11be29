//! Packs: durable, resumable, idempotent, and only where the terminal may.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use simsync_protocol::api::{BATCH_PACKS_MAX, Narrow, PACK_MAX};
use simsync_protocol::client::split_fetch;
use simsync_protocol::problem::{Code, Problem};
use simsync_server::config::Limits;
use simsync_server::store::blobs::BlobKey;
use simsync_server::testing::{Opened, World, put_all, refused};
use simsync_vault::ids::{CollectionId, PackId};

fn problem((status, body): (u16, Bytes), code: Code) {
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, problem.code), (code.status(), code), "{problem}");
}

/// Waits until a pack has `received` bytes.
async fn until_received(opened: &Opened, id: PackId, received: u64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let state = opened.connection.pack_state(id).await.unwrap();
        if state.received == received && !state.complete {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{state:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn m2_interrupted_upload_changes_nothing() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.files, 3 << 20);
    let path = format!(
        "/v1/packs/{}?collection={}&size={}&offset=0",
        named.id, w.files, named.size
    );
    let half = pack.bytes.slice(..2 << 20);
    let (connection, sent) = (a.connection.clone(), half.clone());
    let upload = tokio::spawn(async move { connection.raw(Method::PUT, &path, sent, true).await });
    // When all of it has been written aside, the connection breaks.
    wait_for_bytes(&w, named.id, half.len() as u64).await;
    upload.abort();
    until_received(&a, named.id, half.len() as u64).await;

    assert_eq!(a.connection.commits(0).await.unwrap().head, w.vault.head);
    refused(
        a.connection.fetch_packs(vec![named.id]).await,
        Code::NoSuchObject,
    );
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![named];
    refused(
        w.vault.commit(&a, &w.a, body.clone()).await,
        Code::PackMissing,
    );

    // It goes on where it stopped.
    let put = a
        .connection
        .put_pack(named.id, w.files, pack.bytes.clone(), half.len() as u64);
    assert!(put.await.unwrap().complete);
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let fetched = a.connection.fetch_packs(vec![named.id]).await.unwrap();
    assert_eq!(fetched, [pack]);
}

/// Waits until the server has so many bytes of an upload.
async fn wait_for_bytes(w: &World, pack: PackId, bytes: u64) {
    let key = BlobKey {
        subscriber: w.subscriber.clone(),
        pack,
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while w.server.app().blobs.sync_parts(key.clone()).await.unwrap() < bytes {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the upload does not arrive"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn m2_an_upload_that_stops_early_is_resumed() {
    let w = World::new().await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.files, 100);
    let path = |offset: u64| {
        format!(
            "/v1/packs/{}?collection={}&size=100&offset={offset}",
            named.id, w.files
        )
    };
    let c = &a.connection;
    assert_eq!(c.pack_state(named.id).await.unwrap().received, 0);
    let (status, _) = c
        .raw(Method::PUT, &path(0), pack.bytes.slice(..40), false)
        .await
        .unwrap();
    assert_eq!(status, 200);
    let state = c.pack_state(named.id).await.unwrap();
    assert_eq!((state.received, state.complete), (40, false));
    // Not beyond what is there; from before it is fine.
    let gap = c.put_pack(named.id, w.files, pack.bytes.clone(), 60).await;
    refused(gap, Code::BadRequest);
    let (status, _) = c
        .raw(Method::PUT, &path(20), pack.bytes.slice(20..50), false)
        .await
        .unwrap();
    assert_eq!(status, 200);
    assert_eq!(c.pack_state(named.id).await.unwrap().received, 50);
    let done = c
        .put_pack(named.id, w.files, pack.bytes.clone(), 50)
        .await
        .unwrap();
    assert!(done.complete);
    assert!(
        c.put_pack(named.id, w.files, pack.bytes.clone(), 0)
            .await
            .unwrap()
            .complete
    );
    assert_eq!(c.fetch_packs(vec![named.id]).await.unwrap(), [pack]);
}

#[tokio::test]
async fn m2_a_pack_is_uploaded_twice_without_harm_and_never_replaced() {
    let w = World::new().await;
    let a = w.open_a().await;
    let c = &a.connection;
    let packs: Vec<_> = (0..20).map(|n| w.pack(w.files, 100 + n).1).collect();
    put_all(c, packs.clone()).await.unwrap();
    put_all(c, packs.clone()).await.unwrap();
    // Other bytes of the same length: the pack is complete, so they are not even read.
    let mut other = packs[3].clone();
    other.bytes = w.seed.blob(103);
    put_all(c, [other.clone()]).await.unwrap();
    for offset in [50, 103, 1000] {
        let put = c.put_pack(other.id, w.files, other.bytes.clone(), offset);
        assert!(put.await.unwrap().complete, "from {offset}");
    }
    assert_eq!(
        c.fetch_packs(vec![other.id]).await.unwrap(),
        packs[3..4],
        "the first bytes stay"
    );
    for size in [5, 104] {
        other.bytes = w.seed.blob(size);
        refused(put_all(c, [other.clone()]).await, Code::PackExists);
    }
    let mut moved = packs[4].clone();
    moved.collection = w.notes;
    refused(put_all(c, [moved]).await, Code::PackExists);
    let ids = packs.iter().map(|p| p.id).collect();
    assert_eq!(c.fetch_packs(ids).await.unwrap(), packs);
}

#[tokio::test]
async fn m2_bytes_that_no_row_tells_of_are_not_replaced_either() {
    let w = World::new().await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.files, 100);
    // As a crash leaves them between the pack's place and its row.
    let key = || BlobKey {
        subscriber: w.subscriber.clone(),
        pack: named.id,
    };
    let blobs = &w.server.app().blobs;
    blobs.append(key(), 0, pack.bytes.clone()).await.unwrap();
    blobs.finish_parts(key(), 100).await.unwrap();
    let mut other = pack.clone();
    other.bytes = w.seed.blob(100);
    let put = put_all(&a.connection, [other]).await;
    refused(put, Code::PackExists);
    refused(
        a.connection.fetch_packs(vec![named.id]).await,
        Code::NoSuchObject,
    );
    put_all(&a.connection, [pack.clone()]).await.unwrap();
    let fetched = a.connection.fetch_packs(vec![named.id]).await.unwrap();
    assert_eq!(fetched, [pack]);
}

#[tokio::test]
async fn m12_packs_go_to_granted_collections_only() {
    let w = World::new().await;
    let b = w.open_b().await;
    for collection in [w.notes, CollectionId(w.seed.id())] {
        let (_, pack) = w.pack(collection, 10);
        let c = &b.connection;
        refused(put_all(c, [pack]).await, Code::CollectionRefused);
        refused(c.packs(collection).await, Code::CollectionRefused);
    }
}

#[tokio::test]
async fn m12_packs_come_from_granted_collections_only() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.notes, 10);
    put_all(&a.connection, [pack]).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![named];
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let b = w.open_b().await;
    let prefetch = w.b.connect(&w.client()).await.unwrap();
    for c in [&b.connection, &prefetch] {
        refused(c.fetch_packs(vec![named.id]).await, Code::CollectionRefused);
        refused(c.fetch_range(named.id, 0, 1).await, Code::CollectionRefused);
    }
}

#[tokio::test]
async fn b7_by_certificate_alone_own_committed_packs_are_read_and_nothing_is_written() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.files, 10);
    let (waiting, other) = w.pack(w.files, 10);
    put_all(&a.connection, [pack.clone(), other]).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![named];
    body.closing = true;
    w.vault.commit(&a, &w.a, body).await.unwrap();

    let c = w.b.connect(&w.client()).await.unwrap();
    assert_eq!(c.packs(w.files).await.unwrap().packs, [named]);
    assert_eq!(c.fetch_packs(vec![named.id]).await.unwrap(), [pack]);
    refused(c.fetch_packs(vec![waiting.id]).await, Code::GrantRequired);
    let (_, mine) = w.pack(w.files, 10);
    refused(put_all(&c, [mine]).await, Code::GrantRequired);
    let (_, outbox) = w.pack(CollectionId::OUTBOX, 10);
    refused(put_all(&c, [outbox]).await, Code::GrantRequired);
}

#[tokio::test]
async fn b4_packs_of_a_tail_come_by_certificate_for_an_unsettled_session() {
    let w = World::new().await;
    let a = w.open_a().await;
    a.connection.narrow(Narrow::Removed).await.unwrap();
    let c = w.a.connect(&w.client()).await.unwrap();
    let (named, outbox) = w.pack(CollectionId::OUTBOX, 10);
    put_all(&c, [outbox]).await.unwrap();
    assert!(c.pack_state(named.id).await.unwrap().complete);
    let (_, files) = w.pack(w.files, 10);
    refused(put_all(&c, [files]).await, Code::CollectionRefused);
    refused(c.fetch_packs(vec![named.id]).await, Code::GrantRequired);
}

#[tokio::test]
async fn b4_a_statement_lets_the_tail_of_a_session_in_that_the_server_never_saw() {
    let w = World::new().await;
    let c = w.b.connect(&w.client()).await.unwrap();
    let (_, outbox) = w.pack(CollectionId::OUTBOX, 10);
    refused(put_all(&c, [outbox.clone()]).await, Code::GrantRequired);
    let (_, binding) = w.b.binding(&c).await.unwrap();
    let statement = w.card.open_session(&w.b.id(), &binding);
    let mut forged = statement.clone();
    forged.n += 1;
    c.set_statement(Some(forged));
    refused(put_all(&c, [outbox.clone()]).await, Code::SignatureRefused);
    c.set_statement(Some(w.card.open_session(&w.a.id(), &binding)));
    refused(put_all(&c, [outbox.clone()]).await, Code::SignatureRefused);
    c.set_statement(Some(statement));
    put_all(&c, [outbox]).await.unwrap();
}

#[tokio::test]
async fn m19_a_terminal_leaves_only_so_much_in_the_outbox() {
    let limits = Limits {
        outbox_bytes: 100,
        ..Limits::default()
    };
    let w = World::with_limits(limits).await;
    let a = w.open_a().await;
    let (_, one) = w.pack(CollectionId::OUTBOX, 90);
    put_all(&a.connection, [one]).await.unwrap();
    let (_, over) = w.pack(CollectionId::OUTBOX, 11);
    refused(put_all(&a.connection, [over]).await, Code::StorageFull);
    // Just as much as there is room for; broken off, it goes on.
    let (named, just) = w.pack(CollectionId::OUTBOX, 10);
    let path = format!(
        "/v1/packs/{}?collection={}&size=10&offset=0",
        named.id,
        CollectionId::OUTBOX
    );
    let begun = just.bytes.slice(..4);
    let begun = a.connection.raw(Method::PUT, &path, begun, false).await;
    assert_eq!(begun.unwrap().0, 200);
    let put = a
        .connection
        .put_pack(named.id, CollectionId::OUTBOX, just.bytes, 4);
    assert!(put.await.unwrap().complete);
}

#[tokio::test]
async fn m19_pack_parameters_are_checked() {
    let w = World::new().await;
    let a = w.open_a().await;
    let c = &a.connection;
    let (id, files) = (PackId(w.seed.id()), w.files);
    for (path, code) in [
        (
            format!("/v1/packs/zz?collection={files}&size=1&offset=0"),
            Code::BadRequest,
        ),
        (format!("/v1/packs/{id}?size=1&offset=0"), Code::BadRequest),
        (
            format!("/v1/packs/{id}?collection={files}&size=-1&offset=0"),
            Code::BadRequest,
        ),
        (
            format!("/v1/packs/{id}?collection={files}&size=0&offset=0"),
            Code::TooLarge,
        ),
        (
            format!(
                "/v1/packs/{id}?collection={files}&size={}&offset=0",
                PACK_MAX + 1
            ),
            Code::TooLarge,
        ),
        (
            format!(
                "/v1/packs/{id}?collection={files}&size={}&offset=0",
                u64::MAX
            ),
            Code::TooLarge,
        ),
        (
            format!("/v1/packs/{id}?collection={files}&size=1&offset=0"),
            Code::TooLarge,
        ),
    ] {
        let answer = c
            .raw(Method::PUT, &path, Bytes::from_static(b"two"), false)
            .await
            .unwrap();
        problem(answer, code);
    }
    refused(c.fetch_range(id, 0, 1).await, Code::NoSuchObject);
    let there = w.server.app().blobs.list(w.subscriber.clone()).await;
    assert!(there.unwrap().is_empty());
    let (named, pack) = w.pack(files, 10);
    put_all(c, [pack.clone()]).await.unwrap();
    refused(c.fetch_range(named.id, 10, 1).await, Code::BadRequest);
    assert_eq!(
        c.fetch_range(named.id, 9, 100).await.unwrap(),
        pack.bytes.slice(9..)
    );
    let whole = c
        .raw(
            Method::GET,
            &format!("/v1/packs/{}", named.id),
            Bytes::new(),
            false,
        )
        .await;
    assert_eq!(whole.unwrap(), (200, pack.bytes));
}

#[tokio::test]
async fn m3_large_and_many_packs_come_back_whole_and_in_order() {
    let w = World::new().await;
    let a = w.open_a().await;
    let c = &a.connection;
    let sizes = [5 << 20, 1, (1 << 20) - 40, 1 << 20, (1 << 20) + 1, 300];
    let packs: Vec<_> = sizes.iter().map(|s| w.pack(w.files, *s)).collect();
    let bytes: Vec<_> = packs.iter().map(|(_, p)| p.clone()).collect();
    put_all(c, bytes.clone()).await.unwrap();
    let lists = split_fetch(packs.iter().map(|(n, _)| *n));
    assert_eq!(lists.len(), 1);
    assert_eq!(c.fetch_packs(lists[0].clone()).await.unwrap(), bytes);
    let reversed: Vec<_> = packs.iter().rev().map(|(n, _)| n.id).collect();
    let mut stream = c.fetch_stream(reversed).await.unwrap();
    for pack in bytes.iter().rev() {
        assert_eq!(stream.next().await.unwrap().as_ref(), Some(pack));
    }
    assert_eq!(stream.next().await.unwrap(), None);
    // More than one answer may hold.
    let many: Vec<_> = std::iter::repeat_n(packs[0].0.id, 13).collect();
    refused(c.fetch_packs(many).await, Code::TooLarge);
    let many: Vec<_> = std::iter::repeat_n(packs[1].0.id, BATCH_PACKS_MAX + 1).collect();
    refused(c.fetch_packs(many).await, Code::TooLarge);
}
