//! Key objects: who signs them, whom they may name, what goes with them.

use simsync_protocol::problem::Code;
use simsync_server::testing::{
    Opened, Seed, SoftCard, SoftTerminal, SoftVault, TestServer, World, refused,
};
use simsync_vault::keyobject::{
    FLAG_REKEY_REQUIRED, KeyObject, KeyObjectBody, TerminalEntry, Wrap,
};

async fn send(
    w: &mut World,
    opened: &Opened,
    list: KeyObject,
    wraps: Vec<Wrap>,
) -> Result<simsync_protocol::api::CommitAnswer, simsync_protocol::ClientError> {
    let body = w.vault.body(&w.a, &opened.statement, Some(&list));
    w.vault
        .commit_with(opened, &w.a, body, Some((list, wraps)))
        .await
}

/// Sends a key object that was changed before the card signed it.
async fn refuse_signed(
    w: &mut World,
    opened: &Opened,
    code: Code,
    change: impl FnOnce(&mut KeyObjectBody, &mut Vec<Wrap>),
) {
    let (mut body, mut wraps) = w.vault.next_list(&w.seed, &[&w.card], w.entries());
    change(&mut body, &mut wraps);
    let list = w.card.sign_key_object(body);
    refused(send(w, opened, list, wraps).await, code);
    let now = opened.connection.key_object().await.unwrap();
    assert_eq!(
        now.signed.0,
        w.vault.key_object.as_ref().unwrap().to_bytes()
    );
}

#[tokio::test]
async fn b1_a_key_object_that_no_card_of_the_list_signed_is_refused() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let mut forger = SoftCard::new(&w.seed);
    forger.id = w.card.id;
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card], w.entries());
    let list = forger.sign_key_object(body);
    refused(send(&mut w, &a, list, wraps).await, Code::SignatureRefused);
    refuse_signed(&mut w, &a, Code::SignatureRefused, |b, _| {
        b.signer.0[0] ^= 1
    })
    .await;
}

#[tokio::test]
async fn b1_a_key_object_follows_the_one_before() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let w = &mut w;
    refuse_signed(w, &a, Code::ChainRefused, |b, _| b.list_number += 1).await;
    refuse_signed(w, &a, Code::ChainRefused, |b, _| b.previous.0[0] ^= 1).await;
    refuse_signed(w, &a, Code::ChainRefused, |b, _| b.vault.0[0] ^= 1).await;
    refuse_signed(w, &a, Code::ChainRefused, |b, _| b.check.0[0] ^= 1).await;
    refuse_signed(w, &a, Code::ChainRefused, |b, _| {
        (b.epoch, b.previous_key) = (3, vec![1; 64]);
    })
    .await;
    refuse_signed(w, &a, Code::ListMoved, |b, _| {
        (b.list_number, b.previous) = (1, simsync_card::ids::Hash::ZERO);
    })
    .await;
}

#[tokio::test]
async fn b1_the_wraps_are_the_ones_that_the_card_signed() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let w = &mut w;
    refuse_signed(w, &a, Code::ChainRefused, |_, wraps| wraps.clear()).await;
    refuse_signed(w, &a, Code::ChainRefused, |_, wraps| {
        wraps[0].ciphertext[0] ^= 1
    })
    .await;
    refuse_signed(w, &a, Code::ChainRefused, |_, wraps| {
        wraps.push(wraps[0].clone())
    })
    .await;
    refuse_signed(w, &a, Code::ChainRefused, |b, wraps| {
        wraps[0].ciphertext = vec![0; 1000];
        b.recipients[0].wrap_hash = wraps[0].hash();
    })
    .await;
}

#[tokio::test]
async fn w_8_each_recipient_has_a_wrap_and_none_is_larger_than_wraps_are() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let spare = SoftCard::new(&w.seed);
    let code = w.server.new_code(&w.subscriber).await;
    let enrolled = spare.enrol(&w.client(), &w.subscriber, &code).await;
    enrolled.unwrap();
    // As many as there are recipients, each as it was signed, and one recipient goes without.
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card, &spare], w.entries());
    let list = w.card.sign_key_object(body);
    let twice = vec![wraps[0].clone(), wraps[0].clone()];
    refused(send(&mut w, &a, list, twice).await, Code::ChainRefused);
    let of_size = |body: &mut KeyObjectBody, wraps: &mut Vec<Wrap>, size: usize| {
        wraps[0].ciphertext = vec![7; size];
        body.recipients[0].wrap_hash = wraps[0].hash();
    };
    refuse_signed(&mut w, &a, Code::ChainRefused, |b, wraps| {
        of_size(b, wraps, 257)
    })
    .await;
    let (mut body, mut wraps) = w.vault.next_list(&w.seed, &[&w.card], w.entries());
    of_size(&mut body, &mut wraps, 256);
    let list = w.card.sign_key_object(body);
    send(&mut w, &a, list, wraps).await.unwrap();
}

#[tokio::test]
async fn m9_a_key_object_names_enrolled_cards_and_paired_terminals_only() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let stranger = SoftTerminal::new(&w.seed);
    let entry = TerminalEntry {
        key: stranger.key.point(),
        label: "stranger".to_owned(),
        collections: vec![],
    };
    refuse_signed(&mut w, &a, Code::NotPaired, |b, _| b.terminals.push(entry)).await;

    let spare = SoftCard::new(&w.seed);
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card, &spare], w.entries());
    let list = w.card.sign_key_object(body);
    refused(send(&mut w, &a, list, wraps).await, Code::CardMismatch);
    let code = w.server.new_code(&w.subscriber).await;
    spare
        .enrol(&w.client(), &w.subscriber, &code)
        .await
        .unwrap();
    // Other keys than the card enrolled with.
    let mut double = SoftCard::new(&w.seed);
    double.id = spare.id;
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card, &double], w.entries());
    let list = w.card.sign_key_object(body);
    refused(send(&mut w, &a, list, wraps).await, Code::CardMismatch);
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card, &spare], w.entries());
    let list = w.card.sign_key_object(body);
    send(&mut w, &a, list, wraps).await.unwrap();
}

#[tokio::test]
async fn b8_a_card_that_was_taken_out_commits_nothing_more() {
    let mut w = World::new().await;
    let spare = SoftCard::new(&w.seed);
    let code = w.server.new_code(&w.subscriber).await;
    spare
        .enrol(&w.client(), &w.subscriber, &code)
        .await
        .unwrap();
    w.a.pair(&w.server.client(), &w.subscriber, &spare)
        .await
        .unwrap();
    let a = w.open_a().await;
    let (body, wraps) = w.vault.next_list(&w.seed, &[&w.card, &spare], w.entries());
    let list = w.card.sign_key_object(body);
    send(&mut w, &a, list, wraps).await.unwrap();
    // The spare takes the main card out.
    let with_spare = w.a.open(&w.client(), &spare).await.unwrap();
    let (mut body, wraps) = w.vault.next_list(&w.seed, &[&spare], w.entries());
    SoftVault::rekey(&w.seed, &mut body);
    let list = spare.sign_key_object(body);
    send(&mut w, &with_spare, list, wraps).await.unwrap();
    let body = w.vault.body(&w.a, &a.statement, None);
    refused(w.vault.commit(&a, &w.a, body).await, Code::CardRevoked);
}

#[tokio::test]
async fn b1_the_first_commit_brings_the_first_key_object_signed_by_its_only_card() {
    let (seed, server) = (Seed::new(), TestServer::start().await);
    let client = server.client();
    let (alice, code) = server.add_subscriber("Alice").await;
    let (card, other) = (SoftCard::new(&seed), SoftCard::new(&seed));
    card.enrol(&client, &alice, &code).await.unwrap();
    let code = server.new_code(&alice).await;
    other.enrol(&client, &alice, &code).await.unwrap();
    let mut terminal = SoftTerminal::new(&seed);
    terminal.pair(&client, &alice, &card).await.unwrap();
    let opened = terminal.open(&client, &card).await.unwrap();
    refused(opened.connection.key_object().await, Code::NoVault);
    let mut vault = SoftVault::new(&seed);
    let entry = TerminalEntry {
        key: terminal.key.point(),
        label: "a".to_owned(),
        collections: vec![],
    };
    let (list, wraps) = vault.next_list(&seed, &[&card], vec![entry.clone()]);
    let list = card.sign_key_object(list);

    let body = vault.body(&terminal, &opened.statement, Some(&list));
    let alone = vault.commit(&opened, &terminal, body.clone()).await;
    refused(alone, Code::ChainRefused);
    for cards in [vec![&other], vec![&card, &other]] {
        let (bad, bad_wraps) = vault.next_list(&seed, &cards, vec![entry.clone()]);
        let bad = cards[0].sign_key_object(bad);
        let body = vault.body(&terminal, &opened.statement, Some(&bad));
        let tried = vault
            .commit_with(&opened, &terminal, body, Some((bad, bad_wraps)))
            .await;
        refused(tried, Code::SignatureRefused);
    }
    vault
        .commit_with(&opened, &terminal, body, Some((list, wraps)))
        .await
        .unwrap();
    assert_eq!(
        opened
            .connection
            .key_objects(0)
            .await
            .unwrap()
            .key_objects
            .len(),
        1
    );
    assert!(
        opened
            .connection
            .key_objects(1)
            .await
            .unwrap()
            .key_objects
            .is_empty()
    );
}

#[tokio::test]
async fn b8_a_terminal_may_take_itself_out_and_asks_for_a_new_epoch() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let mut entries = w.entries();
    entries.remove(0);
    let (mut body, wraps) = w.vault.next_list(&w.seed, &[&w.card], entries.clone());
    body.flags = FLAG_REKEY_REQUIRED;
    let list = w.card.sign_key_object(body);
    let mut body = w.vault.body(&w.a, &a.statement, Some(&list));
    let not_the_last =
        w.vault
            .commit_with(&a, &w.a, body.clone(), Some((list.clone(), wraps.clone())));
    refused(not_the_last.await, Code::NotPaired);
    body.closing = true;
    let last = w.vault.commit_with(&a, &w.a, body, Some((list, wraps)));
    last.await.unwrap();
    a.connection.revoke_terminal(w.a.id()).await.unwrap();
    refused(a.connection.commits(0).await, Code::TerminalRevoked);

    let b = w.open_b().await;
    assert!(b.answer.rekey_required);
    let body = w.vault.body(&w.b, &b.statement, None);
    refused(w.vault.commit(&b, &w.b, body).await, Code::RekeyRequired);
    let (mut body, wraps) = w.vault.next_list(&w.seed, &[&w.card], entries);
    SoftVault::rekey(&w.seed, &mut body);
    let list = w.card.sign_key_object(body);
    let body = w.vault.body(&w.b, &b.statement, Some(&list));
    w.vault
        .commit_with(&b, &w.b, body, Some((list, wraps)))
        .await
        .unwrap();
    assert!(!b.connection.key_object().await.unwrap().rekey_required);
}
