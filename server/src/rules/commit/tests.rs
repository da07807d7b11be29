//! Each refusal of a commit as a row: a commit that is accepted, and one change to it or to what it is judged by.

use simsync_card::ids::TerminalId;
use simsync_protocol::api::CommitAnswer;
use simsync_vault::commit::{CollectionRoot, PackRef};
use simsync_vault::ids::{ObjectId, PackId, VaultId};

use super::*;
use crate::rules::samples::{card as card_row, terminal as terminal_row};
use crate::store::types::{PackRow, SessionRow, TailRow, TerminalRow};
use crate::testing::{Seed, SoftCard, SoftTerminal, SoftVault};

const SERVER: ServerId = ServerId([1; 16]);
const OTHER: TerminalId = TerminalId([8; 32]);
const PACK: PackId = PackId([7; 16]);

struct Case {
    seed: Seed,
    vault: SoftVault,
    card: SoftCard,
    spare: CardId,
    by: SoftTerminal,
    files: CollectionId,
    grant: SessionRef,
    body: CommitBody,
    list: Option<(KeyObject, Vec<Wrap>)>,
    facts: Facts,
}

impl Case {
    /// The first commit, with its key object.
    fn first() -> Self {
        let seed = Seed::new();
        let (card, by) = (SoftCard::new(&seed), SoftTerminal::new(&seed));
        let vault = SoftVault::new(&seed);
        let files = CollectionId(seed.id());
        let entry = TerminalEntry {
            key: by.key.point(),
            label: "a".to_owned(),
            collections: vec![files],
        };
        let (list, wraps) = vault.next_list(&seed, &[&card], vec![entry]);
        let list = card.sign_key_object(list);
        let statement = card.statement(3, &by.id(), &Hash([9; 32]));
        let grant = SessionRef {
            card: card.id,
            n: 3,
        };
        let session = SessionRow {
            session: grant,
            terminal: by.id(),
            statement: statement.clone(),
            state: SessionState::Open,
            scope: Scope::Full,
        };
        let terminal = TerminalRow {
            terminal: by.id(),
            key: by.key.point(),
            ..terminal_row()
        };
        let facts = Facts {
            session: Some(session),
            cards: [(card.id, row_of(&card, 3))].into(),
            terminals: [(by.id(), terminal)].into(),
            ..Facts::default()
        };
        Self {
            body: vault.body(&by, &statement, Some(&list)),
            list: Some((list, wraps)),
            spare: CardId([0; 16]),
            seed,
            vault,
            card,
            by,
            files,
            grant,
            facts,
        }
    }

    /// One after the first.
    fn second() -> Self {
        let mut case = Self::first();
        let (list, _) = case.list.take().unwrap();
        let first = Commit::sign(case.body.clone(), &case.by.key);
        let head = HeadInfo {
            hash: first.hash(),
            sequence: 1,
            epoch: 1,
            list_number: 1,
        };
        let answer = CommitAnswer { head };
        case.vault.accept(&case.body, Some(list.clone()), &answer);
        (case.body.sequence, case.body.previous) = (2, head.hash);
        case.facts.head = Some((head, first));
        case.facts.key_object = Some(list);
        case
    }

    /// One with a key object that adds a spare card.
    fn with_spare() -> Self {
        let mut case = Self::second();
        let spare = SoftCard::new(&case.seed);
        let terminals = case
            .facts
            .key_object
            .as_ref()
            .unwrap()
            .body
            .terminals
            .clone();
        let cards = [&case.card, &spare];
        let (list, wraps) = case.vault.next_list(&case.seed, &cards, terminals);
        let list = case.card.sign_key_object(list);
        (case.body.list_number, case.body.list_hash) = (2, list.hash());
        case.facts.cards.insert(spare.id, row_of(&spare, 0));
        case.list = Some((list, wraps));
        case.spare = spare.id;
        case
    }

    /// One with a key object that leaves out its author.
    fn leaving() -> Self {
        let mut case = Self::second();
        let (list, wraps) = case.vault.next_list(&case.seed, &[&case.card], Vec::new());
        let list = case.card.sign_key_object(list);
        (case.body.list_number, case.body.list_hash) = (2, list.hash());
        case.list = Some((list, wraps));
        case
    }

    fn decide(&self) -> Result<Outcome, Refusal> {
        let commit = Commit::sign(self.body.clone(), &self.by.key);
        let list = self.list.as_ref();
        decide(
            &commit,
            list,
            &self.by.id(),
            &self.grant,
            &SERVER,
            &self.facts,
        )
    }

    fn card_row(&mut self) -> &mut CardRow {
        self.facts.cards.get_mut(&self.card.id).unwrap()
    }

    fn session(&mut self) -> &mut SessionRow {
        self.facts.session.as_mut().unwrap()
    }

    fn spare_row(&mut self) -> &mut CardRow {
        self.facts.cards.get_mut(&self.spare).unwrap()
    }

    /// Another key object was in force all along.
    fn in_force(&mut self, change: impl FnOnce(&mut simsync_vault::keyobject::KeyObjectBody)) {
        let mut body = self.facts.key_object.take().unwrap().body;
        change(&mut body);
        let list = self.card.sign_key_object(body);
        self.body.list_hash = list.hash();
        self.facts.key_object = Some(list);
    }

    fn root(&mut self, collection: CollectionId) {
        self.body.roots.push(CollectionRoot {
            collection,
            root: ObjectId::ZERO,
        });
    }

    /// The server has this pack in this status.
    fn pack(&mut self, collection: CollectionId, status: PackStatus) -> PackRef {
        let pack = PackRef {
            id: PACK,
            collection,
            size: 10,
        };
        let row = PackRow {
            pack,
            status,
            received: 10,
            hash: None,
            terminal: self.by.id(),
        };
        self.facts.packs = [(PACK, row)].into();
        pack
    }

    fn add(&mut self, status: PackStatus) {
        let pack = self.pack(self.files, status);
        self.body.packs_added.push(pack);
    }

    fn tail(&mut self, status: TailStatus) {
        let session = SessionRef { n: 2, ..self.grant };
        let row = TailRow {
            session,
            terminal: OTHER,
            hash: Hash([4; 32]),
            status,
            replaces: Vec::new(),
        };
        self.facts.tails = [(session, row)].into();
        self.body.tails_merged = vec![session];
    }
}

fn row_of(card: &SoftCard, last_n: u32) -> CardRow {
    CardRow {
        card: card.id,
        keys: card.keys(),
        last_n,
        ..card_row()
    }
}

type Row = (fn(&mut Case), fn(&Case) -> Refusal);

fn check(case: fn() -> Case, rows: &[Row]) {
    for (number, (change, why)) in rows.iter().enumerate() {
        let mut case = case();
        change(&mut case);
        assert_eq!(case.decide(), Err(why(&case)), "row {number}");
    }
}

fn accepted(case: &Case) -> Plan {
    match case.decide() {
        Ok(Outcome::Accept(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_commit_moves_the_head_and_the_same_one_again_does_not() {
    let first = accepted(&Case::first());
    assert_eq!((first.head.sequence, first.head.list_number), (1, 1));
    let mut case = Case::second();
    case.add(PackStatus::Complete);
    case.tail(TailStatus::Waiting);
    case.root(case.files);
    let plan = accepted(&case);
    assert_eq!(plan.merged, case.body.tails_merged);
    assert_eq!(plan.closed, [(case.body.tails_merged[0], OTHER)]);
    case.body.closing = true;
    let closed = accepted(&case).closed;
    assert!(closed.contains(&(case.grant, case.by.id())));
    let (head, _) = case.facts.head.clone().unwrap();
    case.facts.known = true;
    assert_eq!(case.decide(), Ok(Outcome::Repeated(head)));
}

#[test]
fn a_commit_is_of_the_cards_newest_session_and_its_grant() {
    let superseded: fn(&Case) -> Refusal = |_| Refusal::SessionSuperseded;
    check(
        Case::second,
        &[
            (|c| c.body.terminal = OTHER, |_| Refusal::CommitOfOther),
            (
                |c| c.facts.session = None,
                |_| Refusal::CommitSessionUnknown,
            ),
            (|c| c.grant.n = 2, |_| Refusal::CommitSessionOther),
            (
                |c| c.session().statement.binding = Hash([1; 32]),
                |_| Refusal::CommitSessionOther,
            ),
            (|c| c.facts.cards.clear(), |_| Refusal::NotTheirCard),
            (
                |c| c.card_row().state = KeyState::Revoked,
                |_| Refusal::CardRevoked,
            ),
            (
                |c| c.session().state = SessionState::Closed,
                |_| Refusal::SessionClosed,
            ),
            (
                |c| c.session().state = SessionState::TailDelivered,
                superseded,
            ),
            (
                |c| c.session().state = SessionState::Quarantined,
                superseded,
            ),
            (|c| c.session().state = SessionState::Forgotten, superseded),
            (|c| c.card_row().last_n = 4, superseded),
            (
                |c| c.session().scope = Scope::Nothing,
                |_| Refusal::CardGone,
            ),
            (
                |c| c.facts.rekey_required = true,
                |_| Refusal::RekeyRequired,
            ),
        ],
    );
}

#[test]
fn a_commit_follows_the_head_and_names_the_key_object_in_force() {
    check(
        Case::second,
        &[
            (
                |c| c.body.previous = Hash([1; 32]),
                |c| Refusal::HeadMoved(c.facts.head.as_ref().map(|(h, _)| *h)),
            ),
            (|c| c.body.vault = VaultId([1; 16]), |_| Refusal::OtherVault),
            (|c| c.body.list_number = 0, |_| Refusal::ListMoved(1)),
            (|c| c.body.list_number = 2, |_| Refusal::ListOther),
            (|c| c.body.list_hash = Hash([1; 32]), |_| Refusal::ListOther),
            (
                |c| c.body.epoch = 2,
                |_| Refusal::EpochOther { commit: 2, list: 1 },
            ),
            (
                |c| c.in_force(|k| k.terminals.clear()),
                |_| Refusal::NotInKeyObject,
            ),
            (
                |c| c.in_force(|k| k.recipients.clear()),
                |_| Refusal::NoRecipient,
            ),
        ],
    );
    let mut jumps = Case::second();
    jumps.body.sequence = 3;
    assert!(matches!(jumps.decide(), Err(Refusal::Format(_))));
}

#[test]
fn b8_a_terminal_that_leaves_says_its_last_word_and_closes() {
    let mut case = Case::leaving();
    assert_eq!(case.decide(), Err(Refusal::NotInKeyObject));
    case.body.closing = true;
    let closed = accepted(&case).closed;
    assert_eq!(closed, [(case.grant, case.by.id())]);
}

#[test]
fn m12_roots_and_packs_are_of_the_terminals_collections() {
    const NOT_ITS: CollectionId = CollectionId([5; 16]);
    check(
        Case::second,
        &[
            (|c| c.root(NOT_ITS), |_| Refusal::CollectionOther(NOT_ITS)),
            (
                |c| {
                    c.in_force(|k| k.terminals[0].collections.push(CollectionId::OUTBOX));
                    c.root(CollectionId::OUTBOX);
                },
                |_| Refusal::OutboxRoot,
            ),
            (
                |c| {
                    let pack = c.pack(NOT_ITS, PackStatus::Complete);
                    c.body.packs_added = vec![pack];
                },
                |_| Refusal::PackOfOther(PACK),
            ),
            (
                |c| {
                    c.pack(NOT_ITS, PackStatus::Committed);
                    c.body.packs_dropped = vec![PACK];
                },
                |_| Refusal::PackOfOther(PACK),
            ),
        ],
    );
}

#[test]
fn a_commit_adds_what_is_durable_and_drops_what_is_live() {
    let missing: fn(&Case) -> Refusal = |_| Refusal::PackMissing(PACK);
    let twice: fn(&Case) -> Refusal = |_| Refusal::PackTwice(PACK);
    let not_live: fn(&Case) -> Refusal = |_| Refusal::PackNotLive(PACK);
    check(
        Case::second,
        &[
            (|c| c.add(PackStatus::Uploading), missing),
            (
                |c| {
                    c.add(PackStatus::Complete);
                    c.facts.packs.clear();
                },
                missing,
            ),
            (
                |c| c.add(PackStatus::Dropped),
                |_| Refusal::PackDropped(PACK),
            ),
            (
                |c| c.add(PackStatus::Committed),
                |_| Refusal::PackCommitted(PACK),
            ),
            (
                |c| {
                    c.add(PackStatus::Complete);
                    c.body.packs_added[0].size = 11;
                },
                |_| Refusal::PackOther(PACK),
            ),
            (
                |c| {
                    c.add(PackStatus::Complete);
                    c.add(PackStatus::Complete);
                },
                twice,
            ),
            (
                |c| {
                    c.add(PackStatus::Complete);
                    c.body.packs_dropped = vec![PACK];
                },
                twice,
            ),
            (|c| c.body.packs_dropped = vec![PACK], not_live),
            (
                |c| {
                    c.pack(c.files, PackStatus::Complete);
                    c.body.packs_dropped = vec![PACK];
                },
                not_live,
            ),
        ],
    );
}

#[test]
fn a_commit_merges_tails_that_wait() {
    check(
        Case::second,
        &[
            (
                |c| {
                    c.tail(TailStatus::Waiting);
                    c.facts.tails.clear();
                },
                |c| Refusal::NoTail(c.body.tails_merged[0]),
            ),
            (
                |c| c.tail(TailStatus::Merged),
                |c| Refusal::TailMerged(c.body.tails_merged[0]),
            ),
        ],
    );
}

#[test]
fn a_key_object_names_enrolled_cards_and_paired_terminals_and_brings_its_wraps() {
    check(
        Case::first,
        &[(|c| c.list = None, |_| Refusal::FirstListMissing)],
    );
    assert_eq!(accepted(&Case::with_spare()).head.list_number, 2);
    check(
        Case::with_spare,
        &[
            (
                |c| c.list.as_mut().unwrap().1.clear(),
                |_| Refusal::WrapsOther,
            ),
            (
                |c| c.list.as_mut().unwrap().1[0].ciphertext.push(0),
                |_| Refusal::WrapsOther,
            ),
            (
                |c| {
                    c.facts.cards.remove(&c.spare);
                },
                |c| Refusal::RecipientUnknown(c.spare),
            ),
            (
                |c| c.spare_row().state = KeyState::Revoked,
                |c| Refusal::RecipientRevoked(c.spare),
            ),
            (
                |c| c.spare_row().keys = card_row().keys,
                |c| Refusal::RecipientKeys(c.spare),
            ),
            (
                |c| c.facts.terminals.clear(),
                |c| Refusal::EntryUnknown(c.by.id()),
            ),
            (
                |c| {
                    let id = c.by.id();
                    c.facts.terminals.get_mut(&id).unwrap().state = KeyState::Revoked;
                },
                |c| Refusal::EntryRevoked(c.by.id()),
            ),
        ],
    );
}
