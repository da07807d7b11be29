//! Tails (flow 5).

use simsync_protocol::api::{Narrow, SessionState};
use simsync_protocol::problem::Code;
use simsync_server::admin::AdminCommand;
use simsync_server::testing::{Opened, SoftCard, World, put_all, refused};
use simsync_vault::commit::SessionRef;
use simsync_vault::ids::CollectionId;
use simsync_vault::tail::{Tail, TailBody};

async fn deliver(opened: &Opened, tail: &Tail) -> SessionState {
    let answer = opened.connection.put_tail(tail.to_bytes()).await;
    answer.unwrap().state
}

async fn refuse_changed(
    w: &World,
    opened: &Opened,
    code: Code,
    change: impl FnOnce(&mut TailBody),
) {
    let mut body = w.vault.tail(&opened.statement);
    change(&mut body);
    let tail = w.sign_tail(body, &w.a);
    refused(opened.connection.put_tail(tail.to_bytes()).await, code);
}

#[tokio::test]
async fn b4_a_session_has_exactly_one_tail() {
    let w = World::new().await;
    let a = w.open_a().await;
    let tail = w.sign_tail(w.vault.tail(&a.statement), &w.a);
    assert_eq!(deliver(&a, &tail).await, SessionState::TailDelivered);
    assert_eq!(deliver(&a, &tail).await, SessionState::TailDelivered);
    refuse_changed(&w, &a, Code::TailExists, |b| {
        b.items.push(simsync_card::ids::Hash([1; 32]))
    })
    .await;
    // Nothing but the tail is valid for that session now.
    refused(a.connection.commits(0).await, Code::GrantNarrowed);
    refused(
        w.a.renew(&a.connection, &w.card, a.statement.n).await,
        Code::GrantNarrowed,
    );
    let b = w.open_b().await;
    assert_eq!(b.answer.tails.len(), 1);
    let own = b
        .answer
        .sessions
        .iter()
        .find(|s| s.terminal == w.a.id())
        .unwrap();
    assert_eq!(own.state, SessionState::TailDelivered);
    assert_eq!(
        b.connection.tail(a.session()).await.unwrap().signed.0,
        tail.to_bytes()
    );
}

#[tokio::test]
async fn b4_a_tail_is_taken_after_newer_sessions_and_without_its_own() {
    let w = World::new().await;
    let a = w.open_a().await;
    let b = w.open_b().await;
    let tail = w.sign_tail(w.vault.tail(&a.statement), &w.a);
    assert_eq!(deliver(&a, &tail).await, SessionState::TailDelivered);
    b.connection.commits(0).await.unwrap();
    // A session that was opened at the card and never reached the server.
    let (_, binding) = w.a.binding(&a.connection).await.unwrap();
    let statement = w.card.open_session(&w.a.id(), &binding);
    let tail = w.sign_tail(w.vault.tail(&statement), &w.a);
    assert_eq!(deliver(&a, &tail).await, SessionState::TailDelivered);
    // The card has counted on, so B's session is over, and that number is used.
    refused(b.connection.commits(0).await, Code::SessionSuperseded);
    assert_eq!(w.open_b().await.answer.tails.len(), 2);
}

#[tokio::test]
async fn m11_a_tail_is_signed_by_its_terminal_and_its_card() {
    let w = World::new().await;
    let a = w.open_a().await;
    let c = &a.connection;
    let by_b = w.sign_tail(w.vault.tail(&a.statement), &w.b);
    refused(c.put_tail(by_b.to_bytes()).await, Code::SignatureRefused);
    refuse_changed(&w, &a, Code::SignatureRefused, |b| b.session.n += 1).await;
    refuse_changed(&w, &a, Code::SignatureRefused, |b| {
        b.session.binding.0[0] ^= 1
    })
    .await;
    // Delivered by another terminal than its own.
    let tail = w.sign_tail(w.vault.tail(&a.statement), &w.a);
    let b = w.b.connect(&w.client()).await.unwrap();
    refused(b.put_tail(tail.to_bytes()).await, Code::SignatureRefused);
    // A card of somebody else, and one that this terminal is not paired with.
    let stranger = SoftCard::new(&w.seed);
    let statement = stranger.statement(1, &w.a.id(), &a.statement.binding);
    let tail = w.sign_tail(w.vault.tail(&statement), &w.a);
    refused(c.put_tail(tail.to_bytes()).await, Code::CardMismatch);
    let code = w.server.new_code(&w.subscriber).await;
    stranger
        .enrol(&w.client(), &w.subscriber, &code)
        .await
        .unwrap();
    refused(c.put_tail(tail.to_bytes()).await, Code::NotPaired);
}

#[tokio::test]
async fn b4_a_tail_belongs_to_the_vault_and_its_packs_are_here() {
    let w = World::new().await;
    let a = w.open_a().await;
    let (missing, _) = w.pack(CollectionId::OUTBOX, 10);
    let (foreign, _) = w.pack(CollectionId(w.seed.id()), 10);
    refuse_changed(&w, &a, Code::ChainRefused, |b| b.vault.0[0] ^= 1).await;
    refuse_changed(&w, &a, Code::ChainRefused, |b| b.epoch = 2).await;
    refuse_changed(&w, &a, Code::ChainRefused, |b| b.epoch = 0).await;
    refuse_changed(&w, &a, Code::PackMissing, |b| b.packs = vec![missing]).await;
    refuse_changed(&w, &a, Code::CollectionRefused, |b| b.packs = vec![foreign]).await;
    let (here, pack) = w.pack(w.files, 10);
    put_all(&a.connection, [pack]).await.unwrap();
    let mut larger = here;
    larger.size += 1;
    refuse_changed(&w, &a, Code::PackMissing, |b| b.packs = vec![larger]).await;
    let own = a.session();
    refuse_changed(&w, &a, Code::ChainRefused, |b| b.replaces = vec![own]).await;
    let mut body = w.vault.tail(&a.statement);
    body.packs = vec![here];
    assert_eq!(
        deliver(&a, &w.sign_tail(body, &w.a)).await,
        SessionState::TailDelivered
    );
}

#[tokio::test]
async fn b4_a_tail_is_merged_once() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let tail = w.sign_tail(w.vault.tail(&a.statement), &w.a);
    deliver(&a, &tail).await;
    let b = w.open_b().await;
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.tails_merged = vec![SessionRef {
        n: 99,
        ..a.session()
    }];
    refused(w.vault.commit(&b, &w.b, body).await, Code::NoSuchObject);
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.tails_merged = vec![a.session()];
    w.vault.commit(&b, &w.b, body).await.unwrap();
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.tails_merged = vec![a.session()];
    refused(w.vault.commit(&b, &w.b, body).await, Code::TailMerged);
    assert_eq!(deliver(&a, &tail).await, SessionState::Closed);
}

#[tokio::test]
async fn b4_a_tail_that_replaces_another_is_merged_with_it() {
    let mut w = World::new().await;
    let first = w.open_a().await;
    deliver(&first, &w.sign_tail(w.vault.tail(&first.statement), &w.a)).await;
    let second = w.open_a().await;
    let mut body = w.vault.tail(&second.statement);
    body.replaces = vec![first.session()];
    deliver(&second, &w.sign_tail(body, &w.a)).await;
    // Not somebody else's.
    let b = w.open_b().await;
    let mut body = w.vault.tail(&b.statement);
    body.replaces = vec![first.session()];
    let tail = w.sign_tail(body, &w.b);
    refused(
        b.connection.put_tail(tail.to_bytes()).await,
        Code::ChainRefused,
    );

    assert_eq!(b.answer.tails.len(), 2);
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.tails_merged = vec![second.session()];
    w.vault.commit(&b, &w.b, body).await.unwrap();
    assert!(b.connection.commits(0).await.unwrap().tails.is_empty());
    for opened in [&first, &second] {
        assert_eq!(w.known(opened).await.state, SessionState::Closed);
    }
}

#[tokio::test]
async fn b4_a_terminal_merges_its_own_tail_when_the_card_comes_back() {
    let mut w = World::new().await;
    let first = w.open_a().await;
    deliver(&first, &w.sign_tail(w.vault.tail(&first.statement), &w.a)).await;
    let back = w.open_a().await;
    let mut body = w.vault.body(&w.a, &back.statement, None);
    body.tails_merged = vec![first.session()];
    w.vault.commit(&back, &w.a, body).await.unwrap();
    let found = w.own_sessions(w.a.id(), None).await;
    assert!(found.iter().all(|s| s.session != first.session()));
}

#[tokio::test]
async fn b4_a_tail_for_a_closed_session_is_no_error_and_does_nothing() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.closing = true;
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let tail = w.sign_tail(w.vault.tail(&a.statement), &w.a);
    assert_eq!(deliver(&a, &tail).await, SessionState::Closed);
    assert!(w.open_b().await.answer.tails.is_empty());
}

#[tokio::test]
async fn b8_a_revoked_terminals_tail_is_quarantined() {
    let w = World::new().await;
    let a = w.open_a().await;
    a.connection.narrow(Narrow::Removed).await.unwrap();
    let terminal = w.a.id();
    w.server
        .order(AdminCommand::TerminalRevoke { terminal })
        .await;
    let (named, pack) = w.pack(CollectionId::OUTBOX, 10);
    put_all(&a.connection, [pack]).await.unwrap();
    let mut body = w.vault.tail(&a.statement);
    body.packs = vec![named];
    let tail = w.sign_tail(body, &w.a);
    assert_eq!(deliver(&a, &tail).await, SessionState::Quarantined);
    let b = w.open_b().await;
    assert!(b.answer.tails.is_empty());
    let shown = b
        .answer
        .sessions
        .iter()
        .find(|s| s.terminal == terminal)
        .unwrap();
    assert_eq!(shown.state, SessionState::Quarantined);
    // The owner looks at it, and gives it up.
    let found = b.connection.tail(a.session()).await.unwrap();
    assert_eq!(
        (found.signed.0, found.state),
        (tail.to_bytes(), SessionState::Quarantined)
    );
    b.connection.forget(vec![a.session()]).await.unwrap();
    assert_eq!(
        b.connection.tail(a.session()).await.unwrap().state,
        SessionState::Forgotten
    );
}

#[tokio::test]
async fn b2_a_forgotten_sessions_tail_still_comes_in() {
    let w = World::new().await;
    let a = w.open_a().await;
    let b = w.open_b().await;
    b.connection.forget(vec![a.session()]).await.unwrap();
    assert_eq!(w.known(&a).await.state, SessionState::Forgotten);
    let unknown = SessionRef {
        n: 99,
        ..a.session()
    };
    refused(b.connection.forget(vec![unknown]).await, Code::NoSuchObject);
    let tail = w.sign_tail(w.vault.tail(&a.statement), &w.a);
    assert_eq!(deliver(&a, &tail).await, SessionState::TailDelivered);
}
