//! Every refusal of commits, key objects, tails, session statements and key rings, one at a time: each case is right but for
//! the one thing that it is about, so taking that check away turns its test red.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{CARD, VAULT, card_sig, key_object, rng, statement, terminal};
use simsync_card::ids::{CardId, Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_card::text::{self, CardKeys, Domain};
use simsync_vault::commit::{CollectionRoot, Commit, CommitBody};
use simsync_vault::hpke::KemSecret;
use simsync_vault::ids::{CollectionId, ObjectId, VaultId};
use simsync_vault::keyobject::{
    KeyObject, KeyObjectBody, RECOVERY_ID, Recipient, TerminalEntry, Wrap,
};
use simsync_vault::keys::{KeyError, KeyRing, VaultKey};
use simsync_vault::signed::{BODY_MAX, FormatError, Signed};
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::{Tail, TailBody};

fn stranger() -> SecretKey {
    SecretKey::from_bytes(&[8; 32]).unwrap()
}

/// The card's word for a session of `key`'s terminal.
fn statement_for(key: &SecretKey) -> SessionStatement {
    let terminal = TerminalId::of(&key.point());
    let binding = Hash([8; 32]);
    SessionStatement {
        card: CARD,
        n: 3,
        terminal,
        binding,
        sig: card_sig().sign(&text::session(&CARD, 3, &terminal, &binding)),
    }
}

fn broken(result: Result<impl std::fmt::Debug, FormatError>, word: &str) {
    match result {
        Err(FormatError::Rule { why, .. }) if why.contains(word) => {}
        other => panic!("{word}: {other:?}"),
    }
}

fn unsigned(result: Result<impl std::fmt::Debug, FormatError>) {
    match result {
        Err(FormatError::Signature(_)) => {}
        other => panic!("{other:?}"),
    }
}

// Commits.

fn root(n: u8) -> CollectionRoot {
    CollectionRoot {
        collection: CollectionId([n; 16]),
        root: ObjectId([n; 32]),
    }
}

/// Read once, so that fields which later versions add need no mention here.
fn commit_body() -> CommitBody {
    let text = include_str!("golden/commit.hex").replace('\n', "");
    let body = Commit::from_bytes(&hex::decode(text).unwrap())
        .unwrap()
        .body;
    CommitBody {
        sequence: 1,
        previous: Hash::ZERO,
        roots: vec![root(4), root(5)],
        ..body
    }
}

fn read(body: CommitBody) -> Result<Commit, FormatError> {
    Commit::from_bytes(&Commit::sign(body, &terminal()).to_bytes())
}

#[test]
fn w_8_a_commits_session_is_its_own_terminals() {
    assert!(read(commit_body()).is_ok());
    // The card did open this session, but for another terminal.
    let mut body = commit_body();
    body.session = statement_for(&stranger());
    broken(read(body), "another terminal");
}

#[test]
fn w_8_a_commits_key_is_its_own_terminals() {
    let card = card_sig().point();
    let commit = read(commit_body()).unwrap();
    commit.verify(&terminal().point(), &card).unwrap();
    // Another paired terminal signs in this one's name; everything else is right.
    let forged = Commit::sign(commit_body(), &stranger());
    unsigned(forged.verify(&stranger().point(), &card));
    unsigned(forged.verify(&terminal().point(), &card));
}

#[test]
fn w_8_a_commits_session_is_signed_by_its_card() {
    let mut body = commit_body();
    body.session.n += 1;
    let commit = read(body).unwrap();
    unsigned(commit.verify(&terminal().point(), &card_sig().point()));
}

#[test]
fn w_8_a_commits_sequence_and_previous_hash_fit() {
    for (sequence, previous) in [
        (0, Hash::ZERO),
        (0, Hash([1; 32])),
        (1, Hash([1; 32])),
        (2, Hash::ZERO),
    ] {
        let body = CommitBody {
            sequence,
            previous,
            ..commit_body()
        };
        broken(read(body), "sequence");
    }
    let body = CommitBody {
        sequence: 2,
        previous: Hash([1; 32]),
        ..commit_body()
    };
    assert!(read(body).is_ok());
}

#[test]
fn w_8_a_commits_collections_are_sorted_and_named_once() {
    for roots in [vec![root(5), root(4)], vec![root(4), root(4)]] {
        let body = CommitBody {
            roots,
            ..commit_body()
        };
        broken(read(body), "sorted");
    }
}

#[test]
fn w_8_a_commit_answers_the_root_of_the_collection_asked_for() {
    let commit = read(commit_body()).unwrap();
    assert_eq!(commit.root(&CollectionId([5; 16])), Some(root(5).root));
    assert_eq!(commit.root(&CollectionId([6; 16])), None);
}

// What all signed bodies share.

#[test]
fn w_8_a_body_is_measured_before_it_is_read() {
    let fits = vec![1; BODY_MAX];
    let long = vec![1; BODY_MAX + 1];
    let damaged = |b: &[u8]| matches!(Commit::from_bytes(b), Err(FormatError::Damaged(_)));
    assert!(damaged(&fits));
    assert!(matches!(
        Commit::from_bytes(&long),
        Err(FormatError::TooLarge { max: BODY_MAX, .. })
    ));
}

#[test]
fn w_8_nothing_may_follow_a_body_and_its_version_is_known() {
    let signed = Commit::sign(commit_body(), &terminal()).signed;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut signed = signed.clone();
        change(&mut signed.body);
        Commit::from_bytes(&signed.to_bytes())
    };
    assert!(matches!(with(&|b| b.push(0)), Err(FormatError::Damaged(_))));
    assert!(matches!(with(&|b| b[0] = 0), Err(FormatError::Damaged(_))));
    assert!(matches!(with(&|b| b.clear()), Err(FormatError::Damaged(_))));
    assert!(matches!(
        with(&|b| b[0] = 0x7f),
        Err(FormatError::Newer { found: 0x7f, .. })
    ));
    let mut bytes = signed.to_bytes();
    bytes.push(0);
    assert!(matches!(
        Signed::from_bytes("a test", &bytes),
        Err(FormatError::Damaged("a test"))
    ));
}

#[test]
fn w_8_a_body_has_one_form_only() {
    // The length of the body, and the epoch within it, with an idle byte at their end.
    let commit = Commit::sign(commit_body(), &terminal());
    let bytes = commit.to_bytes();
    let idle = |bytes: &[u8], at: usize| {
        let mut out = bytes.to_vec();
        out[at] |= 0x80;
        out.insert(at + 1, 0);
        out
    };
    assert!(bytes[0] & 0x80 != 0 && bytes[1] & 0x80 == 0);
    assert!(matches!(
        Commit::from_bytes(&idle(&bytes, 1)),
        Err(FormatError::Damaged(_))
    ));
    let mut signed = commit.signed;
    let epoch = 1 + 16;
    assert_eq!(u32::from(signed.body[epoch]), commit.body.epoch);
    signed.body = idle(&signed.body, epoch);
    assert!(matches!(
        Commit::from_bytes(&signed.to_bytes()),
        Err(FormatError::Damaged(_))
    ));
}

#[test]
fn w_8_a_session_statement_holds_for_its_own_values_only() {
    let card = card_sig().point();
    statement().verify(&card).unwrap();
    assert!(statement().verify(&terminal().point()).is_err());
    let change: [&dyn Fn(&mut SessionStatement); 4] = [
        &|s| s.card.0[0] ^= 1,
        &|s| s.n += 1,
        &|s| s.terminal.0[0] ^= 1,
        &|s| s.binding.0[0] ^= 1,
    ];
    for (i, change) in change.iter().enumerate() {
        let mut changed = statement();
        change(&mut changed);
        assert!(changed.verify(&card).is_err(), "{i}");
    }
}

// Tails.

fn tail_body() -> TailBody {
    TailBody {
        version: 1,
        vault: VAULT,
        epoch: 1,
        session: statement(),
        parent: Hash([3; 32]),
        items: vec![],
        packs: vec![],
        replaces: vec![],
    }
}

#[test]
fn w_8_a_tail_needs_its_own_terminal_and_its_card() {
    let (own, card) = (terminal().point(), card_sig().point());
    let tail = Tail::sign(tail_body(), &terminal());
    tail.verify(&own, &card).unwrap();
    assert_eq!(
        (tail.session().card, tail.session().n),
        (CARD, statement().n)
    );
    let forged = Tail::sign(tail_body(), &stranger());
    unsigned(forged.verify(&stranger().point(), &card));
    unsigned(forged.verify(&own, &card));
    let mut body = tail_body();
    body.session.n += 1;
    unsigned(Tail::sign(body, &terminal()).verify(&own, &card));
}

// Key objects.

/// Signed by the card that it names as its signer.
fn signed(body: KeyObjectBody, key: &SecretKey) -> KeyObject {
    let (_, hash) = body.to_sign();
    let sig = key.sign(&Domain::KeyObject.text(&body.signer, &[&hash.0]));
    KeyObject::from_parts(body, sig)
}

fn first() -> KeyObject {
    key_object(&VaultKey::generate(&mut rng())).0
}

fn card_keys() -> CardKeys {
    first().body.recipients[0].keys
}

/// Another recipient with the keys of `n`.
fn recipient(id: CardId, n: u8) -> Recipient {
    Recipient {
        id,
        keys: CardKeys {
            sig: SecretKey::from_bytes(&[n; 32]).unwrap().point(),
            kem: KemSecret::derive(&[n; 32]).1,
        },
        wrap_hash: Hash([n; 32]),
    }
}

/// One that follows [`first`], in the same epoch.
fn second() -> KeyObjectBody {
    let first = first();
    KeyObjectBody {
        list_number: 2,
        previous: first.hash(),
        ..first.body
    }
}

fn read_keys(body: KeyObjectBody) -> Result<KeyObject, FormatError> {
    KeyObject::from_bytes(&signed(body, &card_sig()).to_bytes())
}

#[test]
fn w_8_a_key_objects_numbers_fit_each_other() {
    let body = || first().body;
    assert!(read_keys(body()).is_ok());
    assert!(read_keys(second()).is_ok());
    for (list_number, previous) in [
        (0, Hash::ZERO),
        (0, Hash([1; 32])),
        (1, Hash([1; 32])),
        (2, Hash::ZERO),
    ] {
        let body = KeyObjectBody {
            list_number,
            previous,
            ..body()
        };
        broken(read_keys(body), "list number");
    }
    for (epoch, previous_key) in [(0, vec![]), (0, vec![1]), (1, vec![1]), (2, vec![])] {
        let body = KeyObjectBody {
            epoch,
            previous_key,
            ..body()
        };
        broken(read_keys(body), "epoch");
    }
}

#[test]
fn w_8_a_key_object_names_recipients_and_terminals_once() {
    let mut body = first().body;
    body.recipients.clear();
    broken(read_keys(body), "recipients");
    let mut body = first().body;
    body.recipients.push(recipient(CARD, 9));
    broken(read_keys(body), "recipients");
    let mut body = first().body;
    let again = TerminalEntry {
        label: "again".to_owned(),
        ..body.terminals[0].clone()
    };
    body.terminals.push(again);
    broken(read_keys(body), "terminal");
}

#[test]
fn w_8_a_first_key_object_is_its_only_cards() {
    let check = |change: &dyn Fn(&mut KeyObjectBody)| {
        let mut body = first().body;
        change(&mut body);
        signed(body, &card_sig()).verify_first(&CARD, &card_keys())
    };
    check(&|_| {}).unwrap();
    // The recovery code may be there beside it.
    check(&|b| b.recipients.push(recipient(RECOVERY_ID, 9))).unwrap();
    unsigned(check(&|b| b.list_number = 2));
    unsigned(check(&|b| b.recipients.clear()));
    unsigned(check(&|b| {
        b.recipients.push(recipient(CardId([9; 16]), 9));
    }));
    unsigned(check(&|b| b.recipients[0].id = CardId([9; 16])));
    unsigned(check(&|b| {
        b.recipients[0].keys.kem = recipient(CARD, 9).keys.kem;
    }));
    unsigned(check(&|b| b.signer = CardId([9; 16])));
    unsigned(signed(first().body, &stranger()).verify_first(&CARD, &card_keys()));
}

#[test]
fn w_8_a_key_object_follows_the_one_before() {
    let check = |change: &dyn Fn(&mut KeyObjectBody)| {
        let mut body = second();
        change(&mut body);
        signed(body, &card_sig()).verify_next(&first())
    };
    check(&|_| {}).unwrap();
    check(&|b| b.epoch = 2).unwrap();
    broken(check(&|b| b.vault = VaultId([9; 16])), "another vault");
    broken(check(&|b| b.list_number = 3), "follow");
    broken(check(&|b| b.list_number = 1), "follow");
    broken(check(&|b| b.previous = Hash([9; 32])), "follow");
    broken(check(&|b| b.epoch = 3), "epoch");
    broken(check(&|b| b.epoch = 0), "epoch");
    broken(check(&|b| b.check = Hash([9; 32])), "within an epoch");
    broken(
        check(&|b| b.outbox_key = stranger().point()),
        "within an epoch",
    );
    // With the epoch the keys change.
    check(&|b| {
        b.epoch = 2;
        b.check = Hash([9; 32]);
    })
    .unwrap();
}

#[test]
fn w_8_a_key_object_is_signed_by_a_card_of_the_list_before() {
    // A newcomer cannot let itself in.
    let id = CardId([9; 16]);
    let mut body = second();
    body.recipients.push(recipient(id, 8));
    body.signer = id;
    unsigned(signed(body, &stranger()).verify_next(&first()));
    unsigned(signed(second(), &stranger()).verify_next(&first()));
}

#[test]
fn w_8_a_key_object_names_the_very_wrap() {
    let (object, wrap, _) = key_object(&VaultKey::generate(&mut rng()));
    assert!(object.names(&wrap));
    let mut other = wrap.clone();
    other.ciphertext[0] ^= 1;
    assert!(!object.names(&other));
    let mut other = wrap.clone();
    other.recipient = CardId([9; 16]);
    assert!(!object.names(&other));
    assert_eq!(object.body.terminal(&TerminalId([9; 32])), None);
    let entry = &object.body.terminals[0];
    assert_eq!(object.body.terminal(&entry.id()), Some(entry));
}

// Keys.

#[test]
fn w_8_a_wrap_opens_only_as_the_signed_one_and_for_the_right_key() {
    let vk = VaultKey::generate(&mut rng());
    let (object, wrap, kem) = key_object(&vk);
    VaultKey::unwrap_with_key(&object, &wrap, &kem).unwrap();
    let mut foreign = wrap.clone();
    foreign.ciphertext[0] ^= 1;
    let by_card = |w: &Wrap| VaultKey::unwrap_with_card(&object, w, &[0; 32]).unwrap_err();
    assert_eq!(by_card(&foreign), KeyError::ForeignWrap);
    assert!(matches!(by_card(&wrap), KeyError::Unwrap(_)));
    let by_key = |o: &KeyObject, w: &Wrap| VaultKey::unwrap_with_key(o, w, &kem).unwrap_err();
    assert_eq!(by_key(&object, &foreign), KeyError::ForeignWrap);
    // What is wrapped is another key than the one whose check value was signed.
    let mut body = object.body.clone();
    body.check = Hash([9; 32]);
    assert_eq!(by_key(&signed(body, &card_sig()), &wrap), KeyError::Check);
}

#[test]
fn w_8_a_key_ring_reaches_back_through_every_epoch() {
    let mut r = rng();
    let (vk1, vk2) = (VaultKey::generate(&mut r), VaultKey::generate(&mut r));
    let (first, ..) = key_object(&vk1);
    let next = |previous_key: Vec<u8>| {
        let body = KeyObjectBody {
            list_number: 2,
            epoch: 2,
            previous: first.hash(),
            check: vk2.check(),
            previous_key,
            ..first.body.clone()
        };
        signed(body, &card_sig())
    };
    let sealed = vk2.seal_previous(&vk1, &VAULT, 2, &mut r).unwrap();
    let ring = KeyRing::new(vk2.clone(), &[next(sealed.clone()), first.clone()]).unwrap();
    assert_eq!(ring.epoch(), 2);
    assert_eq!(ring.vault(), &VAULT);
    assert!(ring.outbox(1).is_some() && ring.outbox(2).is_some() && ring.outbox(3).is_none());
    let why = |key: &VaultKey, objects: &[KeyObject]| {
        KeyRing::new(key.clone(), objects).map(drop).unwrap_err()
    };
    assert_eq!(why(&vk2, &[]), KeyError::Chain(0));
    assert_eq!(why(&vk1, &[next(sealed.clone())]), KeyError::Check);
    let mut damaged = sealed;
    damaged[40] ^= 1;
    assert_eq!(why(&vk2, &[next(damaged)]), KeyError::Chain(1));
    let mut skipping = next(vec![]).body;
    skipping.epoch = 3;
    skipping.previous_key = vk2.seal_previous(&vk1, &VAULT, 3, &mut r).unwrap();
    // The object of epoch 2 is not at hand.
    assert_eq!(
        why(&vk2, &[signed(skipping, &card_sig())]),
        KeyError::Chain(2)
    );
}
