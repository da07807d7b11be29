//! Commits that end a card's record which nobody can prove.

use simsync_card::ids::{Hash, ServerId};
use simsync_protocol::problem::Code;
use simsync_server::testing::{Opened, SoftVault, World, refused};
use simsync_vault::commit::CommitBody;
use simsync_vault::keyobject::{KeyObject, Wrap};
use simsync_vault::restore::Restore;
use simsync_vault::succession::JUMP_MAX;

/// What the card's record says, and what the card signs.
struct End {
    server: ServerId,
    record: Hash,
    sequence: u64,
    epoch: u32,
    from: Hash,
}

impl End {
    /// As it has to be for the vault's next commit.
    fn of(w: &World, list: &KeyObject) -> Self {
        let head = w.vault.head.unwrap();
        Self {
            server: w.server.app().server,
            record: Hash([0xEE; 32]),
            sequence: head.sequence + 60_000,
            epoch: list.body.epoch,
            from: head.hash,
        }
    }

    fn sign(&self, w: &World) -> Restore {
        let hash = Restore::to_sign(
            &self.server,
            &self.record,
            self.sequence,
            &self.from,
            self.epoch,
        );
        Restore {
            server: self.server,
            head: self.record,
            sequence: self.sequence,
            sig: w.card.sign_restore(&hash),
        }
    }
}

/// What is wrong, what it is refused with, and how it becomes so.
type Wrong = (&'static str, Code, fn(&mut End));

/// The list that comes with it; a new epoch, if that is asked for.
fn list(w: &mut World, rekey: bool) -> (KeyObject, Vec<Wrap>) {
    let entries = w.entries();
    let (mut body, wraps) = w.vault.next_list(&w.seed, &[&w.card], entries);
    if rekey {
        SoftVault::rekey(&w.seed, &mut body);
    }
    (w.card.sign_key_object(body), wraps)
}

/// A commit that goes on from `end`.
fn body(w: &World, a: &Opened, end: &End, list: Option<&KeyObject>) -> CommitBody {
    let mut body = w.vault.body(&w.a, &a.statement, list);
    body.sequence = end.sequence + 1;
    body.restore = Some(end.sign(w));
    body.version = CommitBody::version_with(body.restore.as_ref());
    body
}

#[tokio::test]
async fn w_3_a_record_is_ended_with_a_new_epoch_and_nothing_else_may_jump() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    let changes: [Wrong; 6] = [
        ("another server", Code::ChainRefused, |e| {
            e.server = ServerId([9; 16]);
        }),
        ("another epoch", Code::SignatureRefused, |e| e.epoch += 1),
        ("another head", Code::SignatureRefused, |e| {
            e.from = Hash([1; 32]);
        }),
        ("below the head", Code::ChainRefused, |e| {
            e.sequence -= 60_001;
        }),
        ("too far", Code::ChainRefused, |e| {
            e.sequence = e.sequence - 60_000 + JUMP_MAX + 1;
        }),
        ("to the end of all numbers", Code::ChainRefused, |e| {
            e.sequence = u64::MAX - 1;
        }),
    ];
    for (what, code, change) in changes {
        println!("{what}");
        let with = list(&mut w, true);
        let mut end = End::of(&w, &with.0);
        change(&mut end);
        let body = body(&w, &a, &end, Some(&with.0));
        refused(w.vault.commit_with(&a, &w.a, body, Some(with)).await, code);
    }
    // A record that the signature does not name.
    let with = list(&mut w, true);
    let mut other = body(&w, &a, &End::of(&w, &with.0), Some(&with.0));
    other.restore.as_mut().unwrap().head = Hash([3; 32]);
    let tried = w.vault.commit_with(&a, &w.a, other, Some(with)).await;
    refused(tried, Code::SignatureRefused);
    // Not the number that follows it: not even read.
    let with = list(&mut w, true);
    let mut other = body(&w, &a, &End::of(&w, &with.0), Some(&with.0));
    other.sequence += 1;
    let tried = w.vault.commit_with(&a, &w.a, other, Some(with)).await;
    refused(tried, Code::ChainRefused);
    // Without a new list, and with one of the same epoch.
    let now = w.vault.key_object.clone().unwrap();
    let bare = body(&w, &a, &End::of(&w, &now), None);
    refused(w.vault.commit(&a, &w.a, bare).await, Code::ChainRefused);
    let with = list(&mut w, false);
    let same = body(&w, &a, &End::of(&w, &with.0), Some(&with.0));
    let tried = w.vault.commit_with(&a, &w.a, same, Some(with)).await;
    refused(tried, Code::ChainRefused);
    // Nor does an ordinary commit jump.
    let with = list(&mut w, true);
    let mut plain = body(&w, &a, &End::of(&w, &with.0), Some(&with.0));
    plain.restore = None;
    plain.version = CommitBody::version_with(None);
    let tried = w.vault.commit_with(&a, &w.a, plain, Some(with)).await;
    refused(tried, Code::ChainRefused);

    let before = w.vault.head.unwrap().sequence;
    assert_eq!(a.connection.commits(0).await.unwrap().head, w.vault.head);
    let with = list(&mut w, true);
    let right = body(&w, &a, &End::of(&w, &with.0), Some(&with.0));
    let done = w.vault.commit_with(&a, &w.a, right, Some(with)).await;
    assert_eq!(done.unwrap().head.sequence, before + 60_001);
    // It goes on by one from there, and is handed out as any other.
    let next = w.vault.body(&w.a, &a.statement, None);
    let done = w.vault.commit(&a, &w.a, next).await.unwrap();
    assert_eq!(done.head.sequence, before + 60_002);
    let handed = a.connection.commits(before).await.unwrap();
    assert_eq!(handed.commits.len(), 2);
}
