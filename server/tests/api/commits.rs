//! Commits: compare-and-set and the rules of the chain.

use simsync_card::ids::Hash;
use simsync_protocol::problem::Code;
use simsync_server::admin::AdminCommand;
use simsync_server::testing::{Opened, World, put_all, refused};
use simsync_vault::commit::{Commit, CommitBody};
use simsync_vault::ids::CollectionId;

/// Sends a changed commit, which must be refused; the head stays where it is.
async fn refuse_changed(
    w: &mut World,
    opened: &Opened,
    code: Code,
    change: impl FnOnce(&mut CommitBody),
) {
    let mut body = w.vault.body(&w.a, &opened.statement, None);
    change(&mut body);
    refused(w.vault.commit(opened, &w.a, body).await, code);
    let now = opened.connection.commits(0).await.unwrap();
    assert_eq!(now.head, w.vault.head);
}

#[tokio::test]
async fn m2_commits_follow_one_another_and_a_repeated_one_is_no_error() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let body = w.vault.body(&w.a, &a.statement, None);
    let commit = Commit::sign(body.clone(), &w.a.key);
    let first = w.vault.commit(&a, &w.a, body).await.unwrap();
    let again = a.connection.commit(commit.to_bytes(), None).await.unwrap();
    assert_eq!(first, again);
    let body = w.vault.body(&w.a, &a.statement, None);
    let second = w.vault.commit(&a, &w.a, body).await.unwrap();
    assert_eq!(second.head.sequence, 3);
    let again = a.connection.commit(commit.to_bytes(), None).await.unwrap();
    assert_eq!(again, second);
    assert_eq!(a.connection.commits(1).await.unwrap().commits.len(), 2);
    assert!(
        a.connection
            .commits(u64::MAX)
            .await
            .unwrap()
            .commits
            .is_empty()
    );
}

#[tokio::test]
async fn m4_a_commit_on_an_old_head_is_refused_with_the_present_one() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let body = w.vault.body(&w.a, &a.statement, None);
    let mut other = body.clone();
    other.metadata = vec![9; 16];
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let problem = refused(w.vault.commit(&a, &w.a, other).await, Code::HeadMoved);
    assert_eq!(problem.head, w.vault.head);
}

#[tokio::test]
async fn b2_sequence_epoch_vault_and_list_must_fit() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let w = &mut w;
    refuse_changed(w, &a, Code::ChainRefused, |b| b.sequence += 1).await;
    refuse_changed(w, &a, Code::ChainRefused, |b| b.epoch += 1).await;
    refuse_changed(w, &a, Code::ChainRefused, |b| b.vault.0[0] ^= 1).await;
    refuse_changed(w, &a, Code::ChainRefused, |b| b.list_hash = Hash([1; 32])).await;
    refuse_changed(w, &a, Code::ChainRefused, |b| b.list_number += 1).await;
    refuse_changed(w, &a, Code::ListMoved, |b| b.list_number = 0).await;
    refuse_changed(w, &a, Code::HeadMoved, |b| b.previous = Hash([1; 32])).await;
}

#[tokio::test]
async fn m11_a_commit_is_signed_by_the_terminal_that_sends_it() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let body = w.vault.body(&w.a, &a.statement, None);
    let forged = Commit::sign(body.clone(), &w.b.key);
    let tried = a.connection.commit(forged.to_bytes(), None).await;
    refused(tried, Code::SignatureRefused);
    // Another terminal's commit, rightly signed, by this terminal's session.
    let mut of_b = body;
    of_b.terminal = w.b.id();
    of_b.session.terminal = w.b.id();
    let of_b = Commit::sign(of_b, &w.b.key);
    let tried = a.connection.commit(of_b.to_bytes(), None).await;
    refused(tried, Code::SignatureRefused);
    let body = w.vault.body(&w.a, &a.statement, None);
    w.vault.commit(&a, &w.a, body).await.unwrap();
}

#[tokio::test]
async fn b3_a_commit_names_the_session_of_its_grant() {
    let mut w = World::new().await;
    let before = w.open_a().await;
    let a = w.open_a().await;
    let w = &mut w;
    let old = before.statement.clone();
    refuse_changed(w, &a, Code::ChainRefused, |b| b.session = old).await;
    refuse_changed(w, &a, Code::ChainRefused, |b| {
        b.session.binding = Hash([1; 32])
    })
    .await;
    refuse_changed(w, &a, Code::ChainRefused, |b| b.session.n += 1).await;
}

#[tokio::test]
async fn m12_roots_change_in_granted_collections_only() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let (files, notes) = (w.root(w.files), w.root(w.notes));
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.roots = vec![files, notes];
    body.roots.sort_by_key(|r| r.collection);
    w.vault.commit(&a, &w.a, body).await.unwrap();

    let b = w.open_b().await;
    let foreign = w.root(CollectionId(w.seed.id()));
    let changed = w.root(w.notes);
    let full = w.vault.roots.clone();
    for roots in [
        vec![files],
        [vec![files], vec![changed]].concat(),
        [full.clone(), vec![foreign]].concat(),
        vec![],
    ] {
        let mut body = w.vault.body(&w.b, &b.statement, None);
        body.roots = roots;
        body.roots.sort_by_key(|r| r.collection);
        refused(
            w.vault.commit(&b, &w.b, body).await,
            Code::CollectionRefused,
        );
    }
    // Its own collection it may change, and leaves the other's root as it is.
    let new = w.root(w.files);
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.roots
        .iter_mut()
        .filter(|r| r.collection == w.files)
        .for_each(|r| *r = new);
    w.vault.commit(&b, &w.b, body).await.unwrap();
}

#[tokio::test]
async fn m12_packs_are_added_and_dropped_in_granted_collections_only() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.notes, 10);
    put_all(&a.connection, [pack]).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![named];
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let (waiting, pack) = w.pack(w.notes, 10);
    put_all(&a.connection, [pack]).await.unwrap();

    let b = w.open_b().await;
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.packs_added = vec![waiting];
    refused(
        w.vault.commit(&b, &w.b, body).await,
        Code::CollectionRefused,
    );
    let mut body = w.vault.body(&w.b, &b.statement, None);
    body.packs_dropped = vec![named.id];
    refused(
        w.vault.commit(&b, &w.b, body).await,
        Code::CollectionRefused,
    );
}

#[tokio::test]
async fn m2_a_commit_needs_all_its_packs_as_it_names_them() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let (missing, _) = w.pack(w.files, 10);
    let (here, pack) = w.pack(w.files, 10);
    let (outbox, in_outbox) = w.pack(CollectionId::OUTBOX, 10);
    put_all(&a.connection, [pack, in_outbox]).await.unwrap();
    let mut larger = here;
    larger.size += 1;
    let mut elsewhere = here;
    elsewhere.collection = w.notes;
    let w = &mut w;
    refuse_changed(w, &a, Code::PackMissing, |b| {
        b.packs_added = vec![here, missing]
    })
    .await;
    refuse_changed(w, &a, Code::ChainRefused, |b| {
        b.packs_added = vec![here, here]
    })
    .await;
    refuse_changed(w, &a, Code::ChainRefused, |b| b.packs_added = vec![larger]).await;
    refuse_changed(w, &a, Code::ChainRefused, |b| {
        b.packs_added = vec![elsewhere]
    })
    .await;
    refuse_changed(w, &a, Code::CollectionRefused, |b| {
        b.packs_added = vec![outbox]
    })
    .await;
    refuse_changed(w, &a, Code::ChainRefused, |b| {
        b.packs_dropped = vec![missing.id]
    })
    .await;
    refuse_changed(w, &a, Code::ChainRefused, |b| {
        b.packs_dropped = vec![here.id]
    })
    .await;

    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![here];
    w.vault.commit(&a, &w.a, body).await.unwrap();
    refuse_changed(w, &a, Code::ChainRefused, |b| b.packs_added = vec![here]).await;
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_dropped = vec![here.id];
    w.vault.commit(&a, &w.a, body).await.unwrap();
    refuse_changed(w, &a, Code::PackDropped, |b| b.packs_added = vec![here]).await;
    refuse_changed(w, &a, Code::ChainRefused, |b| {
        b.packs_dropped = vec![here.id]
    })
    .await;
}

#[tokio::test]
async fn b4_nothing_follows_a_closing_commit_in_its_session() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.closing = true;
    w.vault.commit(&a, &w.a, body).await.unwrap();
    refuse_changed(&mut w, &a, Code::ChainRefused, |_| {}).await;
    let own = w.own_sessions(w.a.id(), None).await;
    assert!(own.iter().all(|s| s.session.n > a.statement.n));
    let ended = w.a.renew(&a.connection, &w.card, a.statement.n).await;
    refused(ended, Code::GrantRequired);
}

#[tokio::test]
async fn b4_a_closing_commit_closes_earlier_sessions_of_its_terminal_only() {
    let mut w = World::new().await;
    let of_b = w.open_b().await;
    let early = w.open_a().await;
    let a = w.open_a().await;
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.closing = true;
    w.vault.commit(&a, &w.a, body).await.unwrap();
    use simsync_protocol::api::SessionState::{Closed, Open};
    for (opened, state) in [(&early, Closed), (&a, Closed), (&of_b, Open)] {
        assert_eq!(w.known(opened).await.state, state);
    }
    let latest = w.known(&a).await;
    assert_eq!(latest.last_commit, w.vault.head.map(|h| h.hash));
}

#[tokio::test]
async fn m9_a_terminal_outside_the_key_object_commits_nothing() {
    let mut w = World::new().await;
    let mut c = simsync_server::testing::SoftTerminal::new(&w.seed);
    c.pair(&w.client(), &w.subscriber, &w.card).await.unwrap();
    let opened = c.open(&w.client(), &w.card).await.unwrap();
    let body = w.vault.body(&c, &opened.statement, None);
    refused(w.vault.commit(&opened, &c, body).await, Code::NotPaired);
}

#[tokio::test]
async fn b8_after_an_operators_revocation_only_a_new_epoch_is_written() {
    let mut w = World::new().await;
    let terminal = w.b.id();
    w.server
        .order(AdminCommand::TerminalRevoke { terminal })
        .await;
    let a = w.open_a().await;
    assert!(a.answer.rekey_required);
    // Who makes the new epoch is told what to leave out.
    let due = a.connection.key_object().await.unwrap();
    assert_eq!(
        (due.revoked.terminals, due.revoked.cards),
        (vec![terminal], vec![])
    );
    refuse_changed(&mut w, &a, Code::RekeyRequired, |_| {}).await;
    // A key object of the same epoch is not enough.
    let mut entries = w.entries();
    entries.truncate(1);
    let (same, wraps) = w.vault.next_list(&w.seed, &[&w.card], entries.clone());
    let same = w.card.sign_key_object(same);
    let body = w.vault.body(&w.a, &a.statement, Some(&same));
    let tried = w
        .vault
        .commit_with(&a, &w.a, body, Some((same, wraps)))
        .await;
    refused(tried, Code::RekeyRequired);
    // A new epoch that still names the revoked terminal, neither.
    let (mut named, wraps) = w.vault.next_list(&w.seed, &[&w.card], w.entries());
    simsync_server::testing::SoftVault::rekey(&w.seed, &mut named);
    let named = w.card.sign_key_object(named);
    let body = w.vault.body(&w.a, &a.statement, Some(&named));
    let tried = w
        .vault
        .commit_with(&a, &w.a, body, Some((named, wraps)))
        .await;
    refused(tried, Code::TerminalRevoked);

    let (mut list, wraps) = w.vault.next_list(&w.seed, &[&w.card], entries);
    simsync_server::testing::SoftVault::rekey(&w.seed, &mut list);
    let list = w.card.sign_key_object(list);
    let body = w.vault.body(&w.a, &a.statement, Some(&list));
    w.vault
        .commit_with(&a, &w.a, body, Some((list, wraps)))
        .await
        .unwrap();
    let now = a.connection.key_object().await.unwrap();
    assert!(!now.rekey_required && now.revoked == Default::default());
    let body = w.vault.body(&w.a, &a.statement, None);
    w.vault.commit(&a, &w.a, body).await.unwrap();
}

#[tokio::test]
async fn m13_another_subscriber_sees_nothing_of_it() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.files, 10);
    put_all(&a.connection, [pack.clone()]).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![named];
    w.vault.commit(&a, &w.a, body).await.unwrap();

    let client = w.client();
    let (bob, code) = w.server.add_subscriber("Bob").await;
    let card = simsync_server::testing::SoftCard::new(&w.seed);
    card.enrol(&client, &bob, &code).await.unwrap();
    let mut terminal = simsync_server::testing::SoftTerminal::new(&w.seed);
    terminal.pair(&client, &bob, &card).await.unwrap();
    let opened = terminal.open(&client, &card).await.unwrap();
    let c = &opened.connection;
    assert_eq!(opened.answer.head, None);
    assert!(opened.answer.commits.is_empty() && opened.answer.sessions.len() == 1);
    refused(c.key_object().await, Code::NoVault);
    refused(c.packs(w.files).await, Code::CollectionRefused);
    refused(c.fetch_packs(vec![named.id]).await, Code::NoSuchObject);
    refused(c.fetch_range(named.id, 0, 1).await, Code::NoSuchObject);
    assert!(!c.pack_state(named.id).await.unwrap().complete);
    refused(c.tail(a.session()).await, Code::NoSuchObject);
    refused(c.forget(vec![a.session()]).await, Code::NoSuchObject);
    refused(c.revoke_terminal(w.a.id()).await, Code::NoSuchObject);
    let sessions = w.server.app().sessions();
    let (of_bob, of_alice) = (terminal.id(), w.a.id());
    for (subscriber, terminal) in [(&bob, of_bob), (&bob, of_alice), (&w.subscriber, of_bob)] {
        let own = sessions.own_sessions(subscriber.clone(), terminal, Some(a.session()));
        assert!(own.await.unwrap().is_empty());
    }
    // Packs of the same name do not meet.
    let mut same = pack;
    same.bytes = w.seed.blob(10);
    put_all(c, [same]).await.unwrap();
}
