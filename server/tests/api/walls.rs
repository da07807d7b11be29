//! Checks that no other test holds: each of these goes red when its check is taken out.

use simsync_protocol::api::SessionState;
use simsync_protocol::problem::Code;
use simsync_server::admin::AdminCommand;
use simsync_server::testing::{Opened, SoftCard, SoftVault, World, put_all, refused};
use simsync_vault::commit::SessionRef;
use simsync_vault::ids::CollectionId;

async fn deliver(w: &World, opened: &Opened, by_a: bool, replaces: Vec<SessionRef>) -> Vec<u8> {
    let mut body = w.vault.tail(&opened.statement);
    body.replaces = replaces;
    let tail = w.sign_tail(body, if by_a { &w.a } else { &w.b }).to_bytes();
    opened.connection.put_tail(tail.clone()).await.unwrap();
    tail
}

#[tokio::test]
async fn w_8_a_commit_of_another_vault_is_refused_as_such() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.vault.0[0] ^= 1;
    let problem = refused(w.vault.commit(&a, &w.a, body).await, Code::ChainRefused);
    assert_eq!(problem.detail, "it belongs to another vault");
    // Nor with a key object of that vault.
    let (mut list, wraps) = w.vault.next_list(&w.seed, &[&w.card], w.entries());
    list.vault.0[0] ^= 1;
    let list = w.card.sign_key_object(list);
    let mut body = w.vault.body(&w.a, &a.statement, Some(&list));
    body.vault = list.body.vault;
    let sent = w.vault.commit_with(&a, &w.a, body, Some((list, wraps)));
    let problem = refused(sent.await, Code::ChainRefused);
    assert_eq!(problem.detail, "it belongs to another vault");
    assert_eq!(a.connection.commits(0).await.unwrap().head, w.vault.head);
}

#[tokio::test]
async fn w_8_a_key_object_names_no_card_that_was_revoked() {
    let mut w = World::new().await;
    let spare = SoftCard::new(&w.seed);
    let code = w.server.new_code(&w.subscriber).await;
    let enrolled = spare.enrol(&w.client(), &w.subscriber, &code).await;
    enrolled.unwrap();
    let a = w.open_a().await;
    let (list, wraps) = w.vault.next_list(&w.seed, &[&w.card, &spare], w.entries());
    let list = w.card.sign_key_object(list);
    let body = w.vault.body(&w.a, &a.statement, Some(&list));
    let sent = w.vault.commit_with(&a, &w.a, body, Some((list, wraps)));
    sent.await.unwrap();
    w.server
        .order(AdminCommand::CardRevoke { card: spare.id })
        .await;
    // The new epoch that is due now leaves it out.
    for (cards, refusal) in [(vec![&w.card, &spare], true), (vec![&w.card], false)] {
        let (mut list, wraps) = w.vault.next_list(&w.seed, &cards, w.entries());
        SoftVault::rekey(&w.seed, &mut list);
        let list = w.card.sign_key_object(list);
        let body = w.vault.body(&w.a, &a.statement, Some(&list));
        let sent = w.vault.commit_with(&a, &w.a, body, Some((list, wraps)));
        let sent = sent.await;
        if refusal {
            refused(sent, Code::CardRevoked);
        } else {
            sent.unwrap();
        }
    }
}

#[tokio::test]
async fn w_8_a_tail_is_for_a_session_of_its_own_terminal() {
    let w = World::new().await;
    let b = w.open_b().await;
    let a = w.a.connect(&w.client()).await.unwrap();
    // Whatever the card signed: the server knows the session as the other terminal's.
    let statement = w
        .card
        .statement(b.statement.n, &w.a.id(), &b.statement.binding);
    let tail = w.sign_tail(w.vault.tail(&statement), &w.a);
    refused(a.put_tail(tail.to_bytes()).await, Code::ChainRefused);
    assert_eq!(w.known(&b).await.state, SessionState::Open);
    assert!(b.connection.commits(0).await.unwrap().tails.is_empty());
}

#[tokio::test]
async fn w_8_a_settled_session_uploads_nothing_more() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let by_certificate = w.a.connect(&w.client()).await.unwrap();
    by_certificate.set_statement(Some(a.statement.clone()));
    let (_, pack) = w.pack(CollectionId::OUTBOX, 10);
    put_all(&by_certificate, [pack]).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.closing = true;
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let (named, pack) = w.pack(CollectionId::OUTBOX, 10);
    let put = put_all(&by_certificate, [pack]).await;
    refused(put, Code::GrantRequired);
    refused(
        by_certificate.pack_state(named.id).await,
        Code::GrantRequired,
    );
}

#[tokio::test]
async fn w_8_a_tail_takes_none_of_another_terminal_along() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let b = w.open_b().await;
    // The tail that it names is not here yet, so nobody can tell whose it will be.
    deliver(&w, &b, false, vec![a.session()]).await;
    let of_a = deliver(&w, &a, true, Vec::new()).await;
    let merging = w.open_a().await;
    let mut body = w.vault.body(&w.a, &merging.statement, None);
    body.tails_merged = vec![b.session()];
    w.vault.commit(&merging, &w.a, body).await.unwrap();
    let waiting = merging.connection.commits(0).await.unwrap().tails;
    let waiting: Vec<_> = waiting.into_iter().map(|t| t.0).collect();
    assert_eq!(waiting, [of_a]);
    assert_eq!(w.known(&a).await.state, SessionState::TailDelivered);
}

#[tokio::test]
async fn w_8_only_what_is_open_can_be_forgotten() {
    let mut w = World::new().await;
    let closed = w.open_a().await;
    let mut body = w.vault.body(&w.a, &closed.statement, None);
    body.closing = true;
    w.vault.commit(&closed, &w.a, body).await.unwrap();
    let a = w.open_a().await;
    let tail = deliver(&w, &a, true, Vec::new()).await;
    let b = w.open_b().await;
    let both = vec![closed.session(), a.session()];
    b.connection.forget(both).await.unwrap();
    assert_eq!(w.known(&closed).await.state, SessionState::Closed);
    assert_eq!(w.known(&a).await.state, SessionState::TailDelivered);
    // It still waits to be merged.
    let waiting = b.connection.commits(0).await.unwrap().tails;
    assert_eq!(waiting[0].0, tail);
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.tails_merged = vec![a.session()];
    w.vault.commit(&b, &w.b, body).await.unwrap();
}
