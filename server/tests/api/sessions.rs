//! Sessions, grants, bindings (flow 4).

use simsync_protocol::api::{Narrow, OpenSessionRequest, ServerEvent};
use simsync_protocol::problem::Code;
use simsync_server::admin::AdminCommand;
use simsync_server::store::types::SubscriberState;
use simsync_server::testing::{SoftCard, World, put_all, refused};
use simsync_vault::commit::SessionRef;

fn request(
    statement: simsync_vault::statement::SessionStatement,
    nonce: simsync_protocol::api::Nonce,
) -> OpenSessionRequest {
    OpenSessionRequest {
        statement,
        nonce,
        known_sequence: 0,
        known_list: 0,
    }
}

#[tokio::test]
async fn m11_without_a_certificate_nothing_but_open_paths() {
    let w = World::new().await;
    let c = w.client().connect(None).await.unwrap();
    assert_eq!(c.health().await.unwrap().status, "ok");
    c.nonce().await.unwrap();
    refused(c.key_object().await, Code::CertificateRequired);
    refused(c.key_objects(0).await, Code::CertificateRequired);
    refused(c.commits(0).await, Code::CertificateRequired);
    refused(c.packs(w.files).await, Code::CertificateRequired);
    refused(c.fetch_packs(vec![]).await, Code::CertificateRequired);
    refused(c.narrow(Narrow::Removed).await, Code::CertificateRequired);
    let (_, pack) = w.pack(w.files, 10);
    refused(put_all(&c, [pack]).await, Code::CertificateRequired);
    refused(c.put_tail(vec![]).await, Code::CertificateRequired);
    refused(c.forget(vec![]).await, Code::CertificateRequired);
    refused(c.revoke_terminal(w.a.id()).await, Code::CertificateRequired);
    refused(c.events().await, Code::CertificateRequired);
}

#[tokio::test]
async fn m11_without_a_grant_nothing_is_written_and_the_chain_is_not_read() {
    let w = World::new().await;
    let c = w.a.connect(&w.client()).await.unwrap();
    c.key_object().await.unwrap();
    refused(c.commits(0).await, Code::GrantRequired);
    refused(c.commit(vec![], None).await, Code::GrantRequired);
    refused(c.forget(vec![]).await, Code::GrantRequired);
    refused(c.revoke_terminal(w.b.id()).await, Code::GrantRequired);
    refused(c.narrow(Narrow::Removed).await, Code::GrantRequired);
    let unknown = SessionRef {
        card: w.card.id,
        n: 1,
    };
    refused(c.tail(unknown).await, Code::GrantRequired);
    // But a terminal may give itself up: one that left the card opens no session any more.
    c.revoke_terminal(w.a.id()).await.unwrap();
    let again = w.a.connect(&w.client()).await.unwrap();
    refused(again.key_object().await, Code::TerminalRevoked);
    refused(again.revoke_terminal(w.a.id()).await, Code::TerminalRevoked);
}

#[tokio::test]
async fn m11_used_nonce_is_refused() {
    let w = World::new().await;
    let c = w.a.connect(&w.client()).await.unwrap();
    let (nonce, binding) = w.a.binding(&c).await.unwrap();
    let first = request(w.card.open_session(&w.a.id(), &binding), nonce);
    c.open_session(&first).await.unwrap();
    let second = request(w.card.open_session(&w.a.id(), &binding), nonce);
    refused(c.open_session(&second).await, Code::NonceRefused);
}

#[tokio::test]
async fn m11_a_nonce_is_used_up_by_a_refusal_too() {
    let w = World::new().await;
    let c = w.a.connect(&w.client()).await.unwrap();
    let (nonce, binding) = w.a.binding(&c).await.unwrap();
    let mut forged = request(w.card.open_session(&w.a.id(), &binding), nonce);
    forged.statement.n += 1;
    refused(c.open_session(&forged).await, Code::SignatureRefused);
    let right = request(w.card.open_session(&w.a.id(), &binding), nonce);
    refused(c.open_session(&right).await, Code::NonceRefused);
}

#[tokio::test]
async fn m11_an_old_nonce_is_refused() {
    let w = World::new().await;
    let c = w.a.connect(&w.client()).await.unwrap();
    let (nonce, binding) = w.a.binding(&c).await.unwrap();
    w.server.advance(121);
    let late = request(w.card.open_session(&w.a.id(), &binding), nonce);
    refused(c.open_session(&late).await, Code::NonceRefused);
}

#[tokio::test]
async fn m11_a_nonce_of_another_connection_is_refused() {
    let w = World::new().await;
    let (one, two) = (
        w.a.connect(&w.client()).await.unwrap(),
        w.a.connect(&w.client()).await.unwrap(),
    );
    let (nonce, binding) = w.a.binding(&one).await.unwrap();
    let stolen = request(w.card.open_session(&w.a.id(), &binding), nonce);
    refused(two.open_session(&stolen).await, Code::NonceRefused);
}

#[tokio::test]
async fn b3_relayed_session_is_refused() {
    let w = World::new().await;
    let (one, two) = (
        w.a.connect(&w.client()).await.unwrap(),
        w.a.connect(&w.client()).await.unwrap(),
    );
    // The card signed for the first connection; the second brings its own nonce.
    let (_, binding) = w.a.binding(&one).await.unwrap();
    let nonce = two.nonce().await.unwrap().nonce;
    let relayed = request(w.card.open_session(&w.a.id(), &binding), nonce);
    refused(two.open_session(&relayed).await, Code::BindingRefused);
}

#[tokio::test]
async fn b3_a_session_for_another_terminal_is_refused() {
    let w = World::new().await;
    let c = w.b.connect(&w.client()).await.unwrap();
    let (nonce, binding) = w.b.binding(&c).await.unwrap();
    let of_a = request(w.card.open_session(&w.a.id(), &binding), nonce);
    refused(c.open_session(&of_a).await, Code::BindingRefused);
}

#[tokio::test]
async fn m11_a_session_that_the_card_did_not_sign_is_refused() {
    let w = World::new().await;
    let c = w.a.connect(&w.client()).await.unwrap();
    let (nonce, binding) = w.a.binding(&c).await.unwrap();
    let forger = SoftCard::new(&w.seed);
    let mut forged = forger.open_session(&w.a.id(), &binding);
    forged.card = w.card.id;
    refused(
        c.open_session(&request(forged, nonce)).await,
        Code::SignatureRefused,
    );
}

#[tokio::test]
async fn m11_a_session_number_is_used_once_and_only_upwards() {
    let w = World::new().await;
    let opened = w.open_a().await;
    for n in [opened.statement.n, 1, 0] {
        let c = w.a.connect(&w.client()).await.unwrap();
        let (nonce, binding) = w.a.binding(&c).await.unwrap();
        let again = request(w.card.statement(n, &w.a.id(), &binding), nonce);
        refused(c.open_session(&again).await, Code::SessionNumberUsed);
    }
}

#[tokio::test]
async fn m9_a_terminal_that_is_not_paired_with_this_card_is_refused() {
    let w = World::new().await;
    let spare = SoftCard::new(&w.seed);
    let code = w.server.new_code(&w.subscriber).await;
    spare
        .enrol(&w.client(), &w.subscriber, &code)
        .await
        .unwrap();
    let tried = w.a.open(&w.client(), &spare).await.map(|_| ());
    refused(tried, Code::NotPaired);
}

#[tokio::test]
async fn b3_grant_on_another_connection_is_refused() {
    let w = World::new().await;
    let opened = w.open_a().await;
    opened.connection.commits(0).await.unwrap();
    for terminal in [&w.a, &w.b] {
        let elsewhere = terminal.connect(&w.client()).await.unwrap();
        elsewhere.set_grant(opened.connection.grant());
        refused(elsewhere.commits(0).await, Code::GrantRequired);
    }
    let made_up = simsync_protocol::api::Grant([7; 32]);
    opened.connection.set_grant(Some(made_up));
    refused(opened.connection.commits(0).await, Code::GrantRequired);
}

#[tokio::test]
async fn b3_a_grant_ends_after_thirty_minutes_unless_renewed() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let n = opened.statement.n;
    w.server.advance(29 * 60);
    w.a.renew(&opened.connection, &w.card, n).await.unwrap();
    w.server.advance(29 * 60);
    opened.connection.commits(0).await.unwrap();
    w.server.advance(2 * 60);
    refused(opened.connection.commits(0).await, Code::GrantRequired);
    let late = w.a.renew(&opened.connection, &w.card, n).await;
    refused(late, Code::GrantRequired);
}

#[tokio::test]
async fn b3_a_restart_voids_grants_and_renew_regains_them() {
    let mut w = World::new().await;
    let opened = w.open_a().await;
    w.server.restart().await;
    let c = w.a.connect(&w.client()).await.unwrap();
    c.set_grant(opened.connection.grant());
    refused(c.commits(0).await, Code::GrantRequired);
    let answer = w.a.renew(&c, &w.card, opened.statement.n).await.unwrap();
    assert_eq!(answer.head, w.vault.head);
    c.commits(0).await.unwrap();
}

#[tokio::test]
async fn b3_renew_is_checked_like_the_session() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let (c, n) = (&opened.connection, opened.statement.n);
    let forger = {
        let mut forger = SoftCard::new(&w.seed);
        forger.id = w.card.id;
        forger
    };
    refused(w.a.renew(c, &forger, n).await, Code::SignatureRefused);
    // Signed for another connection.
    let two = w.a.connect(&w.client()).await.unwrap();
    let (_, binding) = w.a.binding(c).await.unwrap();
    let relayed = simsync_protocol::api::RenewRequest {
        session: opened.session(),
        nonce: two.nonce().await.unwrap().nonce,
        signature: w.card.sign_renew(n, &w.a.id(), &binding),
        known_sequence: 0,
        known_list: 0,
    };
    refused(two.renew(&relayed).await, Code::SignatureRefused);
    refused(two.renew(&relayed).await, Code::NonceRefused);
    // Another terminal's session.
    let b = w.b.connect(&w.client()).await.unwrap();
    refused(w.b.renew(&b, &w.card, n).await, Code::GrantRequired);
    // A session that was never opened.
    refused(w.a.renew(c, &w.card, n + 1).await, Code::GrantRequired);
}

#[tokio::test]
async fn b4_a_removed_card_ends_the_grant_for_good() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let (c, grant) = (&opened.connection, opened.connection.grant());
    c.narrow(Narrow::Removed).await.unwrap();
    assert_eq!(c.grant(), None);
    c.set_grant(grant);
    refused(c.commits(0).await, Code::GrantNarrowed);
    refused(c.commit(vec![], None).await, Code::GrantNarrowed);
    refused(c.narrow(Narrow::Removed).await, Code::GrantNarrowed);
    refused(
        w.a.renew(c, &w.card, opened.statement.n).await,
        Code::GrantNarrowed,
    );
}

#[tokio::test]
async fn b3_a_newer_session_of_the_card_ends_the_older_one() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let b = w.open_b().await;
    refused(a.connection.commits(0).await, Code::SessionSuperseded);
    let body = w.vault.body(&w.a, &a.statement, None);
    refused(
        w.vault.commit(&a, &w.a, body).await,
        Code::SessionSuperseded,
    );
    let n = a.statement.n;
    refused(
        w.a.renew(&a.connection, &w.card, n).await,
        Code::SessionSuperseded,
    );
    let body = w.vault.body(&w.b, &b.statement, None);
    w.vault.commit(&b, &w.b, body).await.unwrap();
}

#[tokio::test]
async fn b8_a_revoked_terminal_is_out_at_once() {
    let w = World::new().await;
    let opened = w.open_b().await;
    let c = &opened.connection;
    let mut events = c.events().await.unwrap();
    assert!(matches!(
        events.next().await,
        Ok(Some(ServerEvent::Hello { .. }))
    ));
    let terminal = w.b.id();
    w.server
        .order(AdminCommand::TerminalRevoke { terminal })
        .await;
    assert_eq!(events.next().await.unwrap(), Some(ServerEvent::Revoked));
    assert_eq!(events.next().await.unwrap(), None);
    refused(c.commits(0).await, Code::TerminalRevoked);
    refused(c.key_object().await, Code::TerminalRevoked);
    refused(c.events().await, Code::TerminalRevoked);
    let again = w.b.open(&w.client(), &w.card).await.map(|_| ());
    refused(again, Code::TerminalRevoked);
}

#[tokio::test]
async fn b8_a_revoked_card_is_out_at_once() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let c = &opened.connection;
    let mut events = c.events().await.unwrap();
    events.next().await.unwrap();
    w.server
        .order(AdminCommand::CardRevoke { card: w.card.id })
        .await;
    assert_eq!(events.next().await.unwrap(), Some(ServerEvent::Revoked));
    assert_eq!(
        events.next().await.unwrap(),
        Some(ServerEvent::RekeyRequired)
    );
    refused(c.commits(0).await, Code::CardRevoked);
    refused(
        w.a.renew(c, &w.card, opened.statement.n).await,
        Code::CardRevoked,
    );
    let again = w.a.open(&w.client(), &w.card).await.map(|_| ());
    refused(again, Code::CardRevoked);
    // The terminal itself is still one of the person's.
    c.key_object().await.unwrap();
}

/// A terminal that ejected through a newer session, because its card forgot the first one, has no card to lose.
#[tokio::test]
async fn b8_a_revoked_card_is_no_matter_of_the_terminal_that_ejected_it() {
    let w = World::new().await;
    let forgotten = w.open_a().await;
    let newest = w.open_a().await;
    let mut events = newest.connection.events().await.unwrap();
    events.next().await.unwrap();
    newest.connection.narrow(Narrow::Removed).await.unwrap();
    w.server
        .order(AdminCommand::CardRevoke { card: w.card.id })
        .await;
    assert_eq!(
        events.next().await.unwrap(),
        Some(ServerEvent::RekeyRequired)
    );
    refused(forgotten.connection.commits(0).await, Code::CardRevoked);
}

#[tokio::test]
async fn m13_a_suspended_subscriber_is_out_at_once() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let mut events = opened.connection.events().await.unwrap();
    events.next().await.unwrap();
    let set = |state| AdminCommand::SubscriberSet {
        id: w.subscriber.clone(),
        state,
    };
    w.server.order(set(SubscriberState::Suspended)).await;
    assert_eq!(events.next().await.unwrap(), None);
    refused(opened.connection.commits(0).await, Code::SubscriberInactive);
    refused(
        opened.connection.key_object().await,
        Code::SubscriberInactive,
    );
    w.server.order(set(SubscriberState::Active)).await;
    opened.connection.key_object().await.unwrap();
    refused(opened.connection.commits(0).await, Code::GrantNarrowed);
    w.open_a().await;
}

#[tokio::test]
async fn b8_the_owner_revokes_a_terminal_from_another_one() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let c = &opened.connection;
    c.revoke_terminal(w.b.id()).await.unwrap();
    let b = w.b.connect(&w.client()).await.unwrap();
    refused(b.key_object().await, Code::TerminalRevoked);
    // It was still in the key object, so a new epoch is due.
    assert!(c.key_object().await.unwrap().rekey_required);
    let nobody = simsync_card::ids::TerminalId([1; 32]);
    refused(c.revoke_terminal(nobody).await, Code::NoSuchObject);
}

#[tokio::test]
async fn m19_event_streams_are_told_of_a_shutdown() {
    let mut w = World::new().await;
    let c = w.a.connect(&w.client()).await.unwrap();
    let mut events = c.events().await.unwrap();
    events.next().await.unwrap();
    w.server.stop().await;
    assert_eq!(events.next().await.unwrap(), Some(ServerEvent::Shutdown));
    assert_eq!(events.next().await.unwrap(), None);
}
