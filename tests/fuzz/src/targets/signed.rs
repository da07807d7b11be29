//! What is signed: commits, key objects, tails, session statements.

use simsync_card::ids::Hash;
use simsync_vault::commit::Commit;
use simsync_vault::keyobject::KeyObject;
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::{TAIL_ITEMS_MAX, Tail, TailBody};

use super::common::golden;
use super::vectors::{VAULT, card_sig, statement as right_statement, terminal};

const COMMIT: &str = include_str!("../../../../crates/vault/tests/golden/commit.hex");
const KEY_OBJECT: &str = include_str!("../../../../crates/vault/tests/golden/key-object.hex");
const TAIL: &str = include_str!("../../../../crates/vault/tests/golden/tail.hex");

pub fn commit(bytes: &[u8]) -> bool {
    let Ok(commit) = Commit::from_bytes(bytes) else {
        return false;
    };
    assert!(commit.to_bytes() == bytes, "written otherwise than read");
    let again = Commit::sign(commit.body.clone(), &terminal());
    assert!(again.signed.body == commit.signed.body, "another body");
    assert_eq!(commit.hash(), Hash::of(&commit.signed.body));
    for root in &commit.body.roots {
        assert_eq!(commit.root(&root.collection), Some(root.root));
    }
    let _ = commit.verify(&terminal().point(), &card_sig().point());
    true
}

pub fn commits() -> Vec<Vec<u8>> {
    vec![golden(COMMIT)]
}

pub fn key_object(bytes: &[u8]) -> bool {
    let Ok(object) = KeyObject::from_bytes(bytes) else {
        return false;
    };
    assert!(object.to_bytes() == bytes, "written otherwise than read");
    let again = KeyObject::from_parts(object.body.clone(), object.signed.sig.clone());
    assert!(again == object, "another body");
    for recipient in &object.body.recipients {
        assert_eq!(object.body.recipient(&recipient.id), Some(recipient));
    }
    for entry in &object.body.terminals {
        assert_eq!(object.body.terminal(&entry.id()), Some(entry));
    }
    if let Ok(first) = KeyObject::from_bytes(&golden(KEY_OBJECT)) {
        let card = &first.body.recipients[0];
        let _ = object.verify_first(&card.id, &card.keys);
        let _ = object.verify_next(&first);
        let _ = first.verify_next(&object);
    }
    true
}

pub fn key_objects() -> Vec<Vec<u8>> {
    vec![golden(KEY_OBJECT)]
}

pub fn tail(bytes: &[u8]) -> bool {
    let Ok(tail) = Tail::from_bytes(bytes) else {
        return false;
    };
    assert!(tail.to_bytes() == bytes, "written otherwise than read");
    let again = Tail::sign(tail.body.clone(), &terminal());
    assert!(again.signed.body == tail.signed.body, "another body");
    assert!(tail.body.items.len() <= TAIL_ITEMS_MAX);
    assert_eq!(tail.session().n, tail.body.session.n);
    let _ = tail.verify(&terminal().point(), &card_sig().point());
    true
}

pub fn tails() -> Vec<Vec<u8>> {
    let many = TailBody {
        version: 1,
        vault: VAULT,
        epoch: 1,
        session: right_statement(),
        parent: Hash::ZERO,
        items: vec![Hash([1; 32]); 300],
        packs: vec![],
        replaces: vec![],
    };
    vec![golden(TAIL), Tail::sign(many, &terminal()).to_bytes()]
}

/// As the server gets it in a header: JSON.
pub fn statement(bytes: &[u8]) -> bool {
    let Ok(statement) = serde_json::from_slice::<SessionStatement>(bytes) else {
        return false;
    };
    let again = serde_json::to_vec(&statement).unwrap_or_default();
    assert_eq!(serde_json::from_slice(&again).ok(), Some(statement.clone()));
    let _ = statement.verify(&card_sig().point());
    true
}

pub fn statements() -> Vec<Vec<u8>> {
    vec![serde_json::to_vec(&right_statement()).unwrap_or_default()]
}
