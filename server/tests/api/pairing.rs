//! Enrolling cards and pairing terminals (flows 2 and 3).

use openssl::nid::Nid;
use openssl::x509::X509;
use simsync_card::ids::Hash;
use simsync_protocol::api::{B64, PairingsRequest, TerminalPairing};
use simsync_protocol::problem::Code;
use simsync_server::admin::AdminCommand;
use simsync_server::store::types::SubscriberState;
use simsync_server::testing::{Seed, SoftCard, SoftTerminal, TestServer, World, refused};

#[tokio::test]
async fn m18_enrolling_is_idempotent_and_a_code_is_for_one_card() {
    let (seed, server) = (Seed::new(), TestServer::start().await);
    let client = server.client();
    let (alice, code) = server.add_subscriber("Alice").await;
    let card = SoftCard::new(&seed);
    let sloppy = code.to_lowercase().replace('-', " ");
    assert!(!card.enrol(&client, &alice, &sloppy).await.unwrap().already);
    server.advance(48 * 3600);
    assert!(card.enrol(&client, &alice, &code).await.unwrap().already);
    let other = SoftCard::new(&seed);
    refused(other.enrol(&client, &alice, &code).await, Code::CodeRefused);
}

#[tokio::test]
async fn m9_wrong_old_and_replaced_codes_are_refused() {
    let (seed, server) = (Seed::new(), TestServer::start().await);
    let client = server.client();
    let (alice, first) = server.add_subscriber("Alice").await;
    let (bob, of_bob) = server.add_subscriber("Bob").await;
    let card = SoftCard::new(&seed);
    for wrong in ["", "hello", of_bob.as_str(), &"0".repeat(26)] {
        refused(card.enrol(&client, &alice, wrong).await, Code::CodeRefused);
    }
    let nobody = "nobody".parse().unwrap();
    refused(
        card.enrol(&client, &nobody, &first).await,
        Code::CodeRefused,
    );
    let second = server.new_code(&alice).await;
    refused(card.enrol(&client, &alice, &first).await, Code::CodeRefused);
    server.advance(24 * 3600);
    refused(
        card.enrol(&client, &alice, &second).await,
        Code::CodeRefused,
    );
    let third = server.new_code(&alice).await;
    card.enrol(&client, &alice, &third).await.unwrap();
    let code = server.new_code(&bob).await;
    refused(card.enrol(&client, &bob, &code).await, Code::CardMismatch);
}

#[tokio::test]
async fn m9_enrolment_of_an_inactive_subscriber_is_refused() {
    let (seed, server) = (Seed::new(), TestServer::start().await);
    let (alice, code) = server.add_subscriber("Alice").await;
    let card = SoftCard::new(&seed);
    for state in [SubscriberState::Suspended, SubscriberState::Removed] {
        let id = alice.clone();
        server
            .order(AdminCommand::SubscriberSet { id, state })
            .await;
        let tried = card.enrol(&server.client(), &alice, &code).await;
        refused(tried, Code::SubscriberInactive);
    }
    let id = alice.clone();
    let back = AdminCommand::SubscriberSet {
        id,
        state: SubscriberState::Active,
    };
    assert!(server.try_order(back).await.is_err());
}

#[tokio::test]
async fn m11_an_enrolment_without_the_cards_signature_is_refused() {
    let (seed, server) = (Seed::new(), TestServer::start().await);
    let client = server.client();
    let (alice, code) = server.add_subscriber("Alice").await;
    let (card, other) = (SoftCard::new(&seed), SoftCard::new(&seed));
    let connection = client.connect(None).await.unwrap();
    let nonce = connection.nonce().await.unwrap().nonce;
    let mut request = card.enrol_request(&connection, nonce, &alice, &code);
    request.keys.kem = other.keys().kem;
    refused(connection.enrol(&request).await, Code::SignatureRefused);
    let request = card.enrol_request(&connection, nonce, &alice, &code);
    refused(connection.enrol(&request).await, Code::NonceRefused);

    // Signed on one connection, sent on another.
    let elsewhere = client.connect(None).await.unwrap();
    let nonce = elsewhere.nonce().await.unwrap().nonce;
    let request = card.enrol_request(&connection, nonce, &alice, &code);
    refused(elsewhere.enrol(&request).await, Code::SignatureRefused);
}

#[tokio::test]
async fn m9_a_card_id_with_other_keys_is_refused() {
    let (seed, server) = (Seed::new(), TestServer::start().await);
    let (alice, code) = server.add_subscriber("Alice").await;
    let card = SoftCard::new(&seed);
    card.enrol(&server.client(), &alice, &code).await.unwrap();
    let mut double = SoftCard::new(&seed);
    double.id = card.id;
    let code = server.new_code(&alice).await;
    let tried = double.enrol(&server.client(), &alice, &code).await;
    refused(tried, Code::CardMismatch);
}

#[tokio::test]
async fn m9_pairing_is_idempotent_and_the_certificate_names_subscriber_and_terminal() {
    let mut w = World::new().await;
    let before = w.a.certificate.clone().unwrap();
    w.a.pair(&w.server.client(), &w.subscriber, &w.card)
        .await
        .unwrap();
    assert_eq!(w.a.certificate.clone().unwrap(), before);
    let certificate = X509::from_der(&before).unwrap();
    let subject = |nid: Nid| {
        let entry = certificate
            .subject_name()
            .entries_by_nid(nid)
            .next()
            .unwrap();
        entry.data().to_string().unwrap()
    };
    assert_eq!(subject(Nid::ORGANIZATIONNAME), w.subscriber.as_str());
    assert_eq!(subject(Nid::COMMONNAME), w.a.id().to_string());
}

#[tokio::test]
async fn m9_server_refuses_another_subscribers_card() {
    let w = World::new().await;
    let client = w.client();
    let (bob, code) = w.server.add_subscriber("Bob").await;
    let bobs = SoftCard::new(&w.seed);
    bobs.enrol(&client, &bob, &code).await.unwrap();
    let mut terminal = SoftTerminal::new(&w.seed);
    let tried = terminal.pair(&client, &w.subscriber, &bobs).await;
    refused(tried, Code::CardMismatch);
    refused(
        terminal.pair(&client, &bob, &w.card).await,
        Code::CardMismatch,
    );
    // A terminal of Alice opens a session with Bob's card.
    refused(
        w.a.open(&client, &bobs).await.map(|_| ()),
        Code::CardMismatch,
    );
    // A terminal's key is one subscriber's.
    let mut again = SoftTerminal::new(&w.seed);
    again.key = w.a.key.clone();
    refused(again.pair(&client, &bob, &bobs).await, Code::NotPaired);
}

#[tokio::test]
async fn b3_a_pairing_signed_for_another_connection_is_refused() {
    let w = World::new().await;
    let client = w.client();
    let terminal = SoftTerminal::new(&w.seed);
    let (one, two) = (
        client.connect(None).await.unwrap(),
        client.connect(None).await.unwrap(),
    );
    let mut request = terminal
        .pair_request(&one, &w.subscriber, &w.card)
        .await
        .unwrap();
    request.nonce = two.nonce().await.unwrap().nonce;
    refused(two.pair(&request).await, Code::SignatureRefused);
}

#[tokio::test]
async fn m11_a_used_nonce_is_refused_when_pairing() {
    let w = World::new().await;
    let terminal = SoftTerminal::new(&w.seed);
    let connection = w.client().connect(None).await.unwrap();
    let request = terminal
        .pair_request(&connection, &w.subscriber, &w.card)
        .await
        .unwrap();
    connection.pair(&request).await.unwrap();
    refused(connection.pair(&request).await, Code::NonceRefused);
}

#[tokio::test]
async fn m11_a_request_that_does_not_prove_its_key_is_refused() {
    let w = World::new().await;
    let (terminal, other) = (SoftTerminal::new(&w.seed), SoftTerminal::new(&w.seed));
    let connection = w.client().connect(None).await.unwrap();
    let request = terminal
        .pair_request(&connection, &w.subscriber, &w.card)
        .await
        .unwrap();
    let mut broken = request.clone();
    let last = broken.csr.0.len() - 1;
    broken.csr.0[last] ^= 1;
    refused(connection.pair(&broken).await, Code::SignatureRefused);
    // Another terminal's request with this one's statement.
    let mut swapped = terminal
        .pair_request(&connection, &w.subscriber, &w.card)
        .await
        .unwrap();
    swapped.csr = other
        .pair_request(&connection, &w.subscriber, &w.card)
        .await
        .unwrap()
        .csr;
    refused(connection.pair(&swapped).await, Code::SignatureRefused);
    let mut nonsense = terminal
        .pair_request(&connection, &w.subscriber, &w.card)
        .await
        .unwrap();
    nonsense.csr = B64(vec![0; 100]);
    refused(connection.pair(&nonsense).await, Code::SignatureRefused);
}

#[tokio::test]
async fn b8_a_revoked_terminals_key_is_never_accepted_again() {
    let mut w = World::new().await;
    let terminal = w.b.id();
    w.server
        .order(AdminCommand::TerminalRevoke { terminal })
        .await;
    let tried = w.b.pair(&w.server.client(), &w.subscriber, &w.card).await;
    refused(tried, Code::TerminalRevoked);
}

#[tokio::test]
async fn b8_a_revoked_card_pairs_nothing() {
    let w = World::new().await;
    w.server
        .order(AdminCommand::CardRevoke { card: w.card.id })
        .await;
    let mut terminal = SoftTerminal::new(&w.seed);
    let tried = terminal.pair(&w.client(), &w.subscriber, &w.card).await;
    refused(tried, Code::CardRevoked);
    let code = w.server.new_code(&w.subscriber).await;
    let tried = w.card.enrol(&w.client(), &w.subscriber, &code).await;
    refused(tried, Code::CardRevoked);
}

#[tokio::test]
async fn m9_the_audit_log_holds_and_keeps_no_secret() {
    let w = World::new().await;
    let code = w.server.new_code(&w.subscriber).await;
    let outcome = w.server.order(AdminCommand::Audit).await;
    let simsync_server::admin::Outcome::Audit {
        entries, broken, ..
    } = outcome
    else {
        panic!("no audit log");
    };
    assert_eq!(broken, None);
    let actions: Vec<_> = entries.iter().map(|e| e.action.as_str()).collect();
    for action in [
        "subscriber-added",
        "card-enrolled",
        "terminal-paired",
        "code-added",
    ] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    let text = format!("{entries:?}");
    assert!(!text.contains(&code));
    assert_ne!(entries[0].hash, Hash::ZERO);
}

#[tokio::test]
async fn b8_a_spare_card_accepts_the_terminals_of_the_key_object() {
    let mut w = World::new().await;
    let client = w.client();
    let spare = SoftCard::new(&w.seed);
    let code = w.server.new_code(&w.subscriber).await;
    spare.enrol(&client, &w.subscriber, &code).await.unwrap();
    let c = w.b.connect(&client).await.unwrap();
    let request = |binding: Hash, terminal| PairingsRequest {
        card: spare.id,
        pairings: vec![TerminalPairing {
            terminal,
            statement: spare.sign_pair(&terminal, &binding),
        }],
    };
    let old = w.vault.key_object.as_ref().unwrap().hash();
    refused(
        c.post_pairings(&request(old, w.b.id())).await,
        Code::CardMismatch,
    );

    let a = w.open_a().await;
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card, &spare], w.entries());
    let list = w.card.sign_key_object(body);
    let body = w.vault.body(&w.a, &a.statement, Some(&list));
    let binding = list.hash();
    w.vault
        .commit_with(&a, &w.a, body, Some((list, wraps)))
        .await
        .unwrap();
    refused(
        c.post_pairings(&request(old, w.b.id())).await,
        Code::SignatureRefused,
    );
    let stranger = SoftTerminal::new(&w.seed);
    refused(
        c.post_pairings(&request(binding, stranger.id())).await,
        Code::NotPaired,
    );
    refused(w.b.open(&client, &spare).await.map(|_| ()), Code::NotPaired);
    for _ in 0..2 {
        c.post_pairings(&request(binding, w.b.id())).await.unwrap();
    }
    w.b.open(&client, &spare).await.unwrap();
    refused(w.a.open(&client, &spare).await.map(|_| ()), Code::NotPaired);
}

#[tokio::test]
async fn b8_an_owner_revokes_a_lost_card_and_a_session_never_its_own() {
    let mut w = World::new().await;
    let client = w.client();
    let spare = SoftCard::new(&w.seed);
    let code = w.server.new_code(&w.subscriber).await;
    spare.enrol(&client, &w.subscriber, &code).await.unwrap();
    let a = w.open_a().await;
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card, &spare], w.entries());
    let list = w.card.sign_key_object(body);
    let body = w.vault.body(&w.a, &a.statement, Some(&list));
    w.vault
        .commit_with(&a, &w.a, body, Some((list, wraps)))
        .await
        .unwrap();
    refused(a.connection.revoke_card(w.card.id).await, Code::BadRequest);
    // By certificate alone nobody revokes anything.
    let c = w.b.connect(&client).await.unwrap();
    refused(c.revoke_card(spare.id).await, Code::GrantRequired);
    let strangers = World::new().await;
    refused(
        a.connection.revoke_card(strangers.card.id).await,
        Code::NoSuchObject,
    );

    // It is named still: a new epoch is due after it.
    a.connection.revoke_card(spare.id).await.unwrap();
    let answer = a.connection.key_object().await.unwrap();
    assert!(answer.rekey_required);
    assert_eq!(answer.revoked.cards, [spare.id]);
    let request = PairingsRequest {
        card: spare.id,
        pairings: Vec::new(),
    };
    refused(c.post_pairings(&request).await, Code::CardRevoked);
}
