//! Batches with cards in software: pulled at any command, the tool ended at any line of the journal or byte of it, no room
//! for letters; each person ends with exactly one card.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simsync_card::client::{Applet, Lifecycle, Pin, TransportSecret};
use simsync_card::ids::{CardId, Hash, SubscriberId};
use simsync_card::model::{Model, SoftChip};
use simsync_card::sign;
use simsync_card::text;
use simsync_card::transport::{Transport, TransportError};
use simsync_protocol::client::ClientError;
use simsync_protocol::people::{self, Person, Purpose};
use simsync_protocol::problem::{Code, Problem};

use super::issuance::{Event, Issuance, Secrets};
use super::journal::{Header, Journal};
use super::report;
use super::round::Round;
use crate::error::ToolError;
use crate::issue::{Introduction, Registrar, Terms};
use crate::letter::Format;
use crate::reader::Slot;

const SECRET: [u8; 16] = [0xA7; 16];
const CODES: [&str; 3] = [
    "AAAAA-00000-11111-22222-333330",
    "BBBBB-00000-11111-22222-333330",
    "CCCCC-00000-11111-22222-333330",
];
const BYTES: [u8; 32] = [9; 32];

/// A card in a reader, which may be pulled.
struct Held<'c> {
    card: &'c mut Model<SoftChip>,
    /// Commands until it is pulled, and whether that one is still done.
    pull: Option<(usize, bool)>,
    gone: bool,
}

struct Wire<'a, 'c>(&'a mut Held<'c>);

impl Transport for Wire<'_, '_> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let held = &mut *self.0;
        let done = match &mut held.pull {
            _ if held.gone => return Err(TransportError::RemovedCard),
            Some((0, done)) => {
                held.gone = true;
                *done
            }
            Some((left, _)) => {
                *left -= 1;
                true
            }
            None => true,
        };
        if !done {
            return Err(TransportError::RemovedCard);
        }
        let answer = held.card.transmit(apdu)?;
        if held.gone {
            return Err(TransportError::RemovedCard);
        }
        Ok(answer)
    }
}

impl<'c> Slot for Held<'c> {
    type Taken<'a>
        = Wire<'a, 'c>
    where
        Self: 'a;
    fn take(&mut self) -> Result<Wire<'_, 'c>, ToolError> {
        Ok(Wire(self))
    }
}

/// The server's rules about enrolment.
#[derive(Default)]
struct Office {
    cards: HashMap<CardId, SubscriberId>,
    used: HashMap<String, CardId>,
    /// The next answer is lost on the way.
    loses: bool,
    offline: bool,
}

fn refused(code: Code) -> ToolError {
    ClientError::Problem(Problem::new(code, "no")).into()
}

fn offline() -> ToolError {
    ClientError::Offline(std::io::ErrorKind::TimedOut.into()).into()
}

impl Registrar for Office {
    fn begin(&mut self) -> Result<[u8; 32], ToolError> {
        if self.offline {
            return Err(offline());
        }
        Ok(BYTES)
    }

    fn enrol(&mut self, card: &Introduction<'_>) -> Result<bool, ToolError> {
        let signed = text::enrol(&card.card, &card.keys, &BYTES);
        assert!(sign::verify(&card.keys.sig, &signed, &card.signature).is_ok());
        let used = self.used.get(card.holder.code);
        if used.is_some_and(|u| *u != card.card) {
            return Err(refused(Code::CodeRefused));
        }
        let already = match self.cards.get(&card.card) {
            Some(whose) if whose != card.holder.subscriber => {
                return Err(refused(Code::CardMismatch));
            }
            whose => whose.is_some(),
        };
        self.cards.insert(card.card, card.holder.subscriber.clone());
        self.used.insert(card.holder.code.to_owned(), card.card);
        if std::mem::take(&mut self.loses) {
            return Err(offline());
        }
        Ok(already)
    }
}

fn list() -> Vec<Person> {
    let mut text = "label,subscriber,code\n".to_owned();
    for (n, code) in CODES.iter().enumerate() {
        text.push_str(&format!("Person <{n}>,p{n},{code}\n"));
    }
    people::parse(text.as_bytes(), Purpose::Issue).unwrap()
}

fn blank() -> Model<SoftChip> {
    Model::soft(SECRET)
}

struct World {
    dir: tempfile::TempDir,
    cards: Vec<Model<SoftChip>>,
    office: Office,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("letters")).unwrap();
        Self {
            dir,
            cards: (0..CODES.len()).map(|_| blank()).collect(),
            office: Office::default(),
        }
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn open(path: &Path) -> Result<Round, ToolError> {
        let (journal, entries) = Journal::open(path, &header())?;
        Round::new(list(), journal, entries)
    }

    /// The tool is started.
    fn issuance(&self, room: bool) -> Issuance<'static> {
        let letters = if room { "letters" } else { "no-such-folder" };
        Issuance {
            round: Mutex::new(Self::open(&self.journal()).unwrap()),
            terms: Terms {
                server: "sync.example.org".to_owned(),
                ca_pin: Hash([3; 32]),
                contactless: false,
                keep_pin: true,
            },
            secrets: Secrets::One(TransportSecret::new(SECRET)),
            installer: None,
            letters: self.dir.path().join(letters),
            formats: vec![Format::Text, Format::Html],
        }
    }

    fn put_in(
        &mut self,
        issuance: &Issuance<'_>,
        card: usize,
        pull: Option<(usize, bool)>,
    ) -> Result<Event, ToolError> {
        let expected = issuance.round().expect(None);
        let mut held = Held {
            card: &mut self.cards[card],
            pull,
            gone: false,
        };
        let event = issuance.serve(&mut held, &mut self.office, "reader", expected);
        issuance.round().forget(expected);
        self.cards[card].reset();
        event
    }

    /// In the end everybody has exactly one card, which the letter opens, and no secret is where it must not be.
    fn check(&mut self) {
        let round = Self::open(&self.journal()).unwrap();
        assert_eq!(round.done(), CODES.len());
        let people: Vec<(SubscriberId, CardId)> = round
            .people()
            .iter()
            .map(|p| (p.subscriber.clone(), p.card().unwrap()))
            .collect();
        let mut notes = std::fs::read_to_string(self.journal()).unwrap();
        notes.push_str(&String::from_utf8(report::csv(&round).unwrap()).unwrap());
        assert_eq!(self.office.cards.len(), CODES.len(), "cards at the server");
        for (subscriber, id) in &people {
            assert_eq!(self.office.cards.get(id), Some(subscriber));
            let place = self
                .dir
                .path()
                .join(format!("letters/letter-{subscriber}.txt"));
            let letter = std::fs::read_to_string(place).unwrap();
            let field = |name: &str| {
                let line = letter.lines().find_map(|l| l.strip_prefix(name));
                line.unwrap().trim().to_owned()
            };
            let pin = Pin::parse(field("PIN ").as_bytes()).unwrap();
            let mut own = 0;
            for card in &mut self.cards {
                let mut applet = Applet::new(&mut *card);
                let selected = applet.select().unwrap();
                if !selected.is_card_of(id, subscriber) {
                    continue;
                }
                own += 1;
                assert_eq!(selected.lifecycle, Lifecycle::Enrolled);
                applet.verify(&pin).unwrap();
            }
            assert_eq!(own, 1, "cards of {subscriber}");
            assert!(!notes.contains(&field("PUK ")), "{notes}");
        }
        for secret in CODES.into_iter().chain([hex::encode(SECRET).as_str()]) {
            assert!(!notes.contains(secret), "{notes}");
        }
    }
}

fn header() -> Header {
    Header::new("sync.example.org", Hash([3; 32]))
}

fn finish(world: &mut World) {
    let issuance = world.issuance(true);
    for round in 0.. {
        for card in 0..world.cards.len() {
            world.put_in(&issuance, card, None).unwrap();
        }
        if issuance.round().is_over() {
            return;
        }
        assert!(round < 9, "it does not end");
        world.cards.push(blank());
    }
}

/// At each command, before it and after it.
#[test]
fn a_card_that_is_pulled_at_any_command_goes_on_when_it_comes_again() {
    let mut longest = 0;
    for done in [false, true] {
        for n in 0.. {
            let mut world = World::new();
            let issuance = world.issuance(true);
            let event = world.put_in(&issuance, 0, Some((n, done))).unwrap();
            if let Event::Done(_) = event {
                longest = longest.max(n);
                break;
            }
            assert!(n < 20, "{event:?}");
            drop(issuance);
            finish(&mut world);
            world.check();
            // No card was lost on the way.
            assert_eq!(world.cards.len(), CODES.len(), "pulled at {n}");
        }
    }
    // SELECT, SELECT, PERSONALISE, GENERATE KEYS, SELECT, ENROLLED.
    assert_eq!(longest, 6);
}

#[test]
fn whatever_happens_each_person_ends_with_one_card() {
    let seed = match std::env::var("SIMSYNC_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => rand::random::<u64>(),
    };
    println!("SIMSYNC_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..40 {
        let mut world = World::new();
        for _ in 0..rng.random_range(1..6) {
            world.office.offline = rng.random_range(0..8) == 0;
            let issuance = world.issuance(rng.random_range(0..6) != 0);
            if rng.random_bool(0.5) {
                let (lines, bytes) = (rng.random_range(0..8), rng.random_range(0..90));
                issuance.round().journal().crash_after(lines, bytes);
            }
            for _ in 0..rng.random_range(1..8) {
                let card = rng.random_range(0..world.cards.len());
                let pull = rng
                    .random_bool(0.6)
                    .then(|| (rng.random_range(0..7), rng.random_bool(0.5)));
                world.office.loses = rng.random_range(0..8) == 0;
                if let Err(e) = world.put_in(&issuance, card, pull) {
                    // The tool ended.
                    assert!(!e.to_string().is_empty());
                    break;
                }
            }
        }
        world.office.offline = false;
        world.office.loses = false;
        finish(&mut world);
        world.check();
    }
}

#[test]
fn a_journal_that_is_cut_at_any_byte_is_read_up_to_its_last_whole_line() {
    let mut world = World::new();
    finish(&mut world);
    let whole = std::fs::read(world.journal()).unwrap();
    let lines = whole.iter().filter(|b| **b == b'\n').count();
    assert_eq!(lines, 1 + 4 * CODES.len());
    let path = world.dir.path().join("cut");
    let mut steps = 0;
    for end in 0..=whole.len() {
        std::fs::write(&path, &whole[..end]).unwrap();
        let (journal, entries) = Journal::open(&path, &header()).unwrap();
        let expected = whole[..end].iter().filter(|b| **b == b'\n').count();
        assert_eq!(entries.len(), expected.saturating_sub(1), "cut at {end}");
        steps = steps.max(entries.len());
        let next = entries.last().cloned();
        let mut round = Round::new(list(), journal, entries).unwrap();
        // What comes next is a line of its own.
        if next.is_none() {
            round.note(1, super::journal::Step::Begun, "r").unwrap();
            drop(round);
            assert_eq!(Journal::open(&path, &header()).unwrap().1.len(), 1);
        }
    }
    assert_eq!(steps, 4 * CODES.len());
}

#[test]
fn journals_of_others_are_refused() {
    let mut world = World::new();
    finish(&mut world);
    let whole = std::fs::read_to_string(world.journal()).unwrap();
    let path = world.dir.path().join("other");
    let open = |text: &str| {
        std::fs::write(&path, text).unwrap();
        World::open(&path).map(|_| ()).unwrap_err().to_string()
    };
    for (text, words) in [
        (whole.replace("\"begun\"", "\"begum\""), "damaged at line 2"),
        (
            whole.replace("sync.example.org", "other.example.org"),
            "belongs to a batch for the server other",
        ),
        (whole.replace("\"version\":1", "\"version\":2"), "version 2"),
        (whole.replace("\"p1\"", "\"q1\""), "who is not in the list"),
        (
            whole.replace("\"step\":\"letter\"", "\"step\":\"begun\""),
            "contradicts itself",
        ),
        ("label\nAlice\n".to_owned(), "no journal"),
        ("no line end".to_owned(), "no journal"),
    ] {
        let told = open(&text);
        assert!(told.contains(words), "{words}: {told}");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text,
            "it is left alone"
        );
    }
    // One program at a time.
    let issuance = world.issuance(true);
    let told = Journal::open(&world.journal(), &header()).unwrap_err();
    assert!(told.to_string().contains("another simsync-card"), "{told}");
    drop(issuance);
}

#[test]
fn cards_that_are_for_nobody_are_put_aside() {
    let mut world = World::new();
    let issuance = world.issuance(true);
    // Another list's: half provisioned.
    let mut other = World::new();
    let others = other.issuance(true);
    other.put_in(&others, 0, Some((3, true))).unwrap();
    world.cards.push(other.cards[0].clone());
    // A stranger's, in use.
    other.put_in(&others, 1, None).unwrap();
    world.cards.push(other.cards[1].clone());
    for (card, words) in [(3, "begun for somebody else"), (4, "in use")] {
        match world.put_in(&issuance, card, None).unwrap() {
            Event::Aside(why) => assert!(why.contains(words), "{why}"),
            event => panic!("{event:?}"),
        }
    }
    // A card that was begun, then a blank one: that one is the next person's, and the first keeps hers.
    let event = world.put_in(&issuance, 0, Some((5, false))).unwrap();
    assert!(matches!(event, Event::Again(0, _)), "{event:?}");
    assert!(matches!(
        world.put_in(&issuance, 1, None).unwrap(),
        Event::Done(1)
    ));
    assert!(matches!(
        world.put_in(&issuance, 1, None).unwrap(),
        Event::Finished(1)
    ));
    assert!(matches!(
        world.put_in(&issuance, 2, None).unwrap(),
        Event::Done(2)
    ));
    world.cards.push(blank());
    match world.put_in(&issuance, 5, None).unwrap() {
        Event::Aside(why) => assert!(why.contains("nobody is left for a blank card"), "{why}"),
        event => panic!("{event:?}"),
    }
    assert!(!issuance.round().is_over());
    assert!(matches!(
        world.put_in(&issuance, 0, None).unwrap(),
        Event::Done(0)
    ));
    assert!(issuance.round().is_over());
}

#[test]
fn what_ends_the_batch_and_what_one_person() {
    let mut world = World::new();
    // No room for letters: the card is not finished, and nobody else's is begun.
    let issuance = world.issuance(false);
    let told = world.put_in(&issuance, 0, None).unwrap_err().to_string();
    assert!(
        told.contains("not finished") && told.contains("Make room"),
        "{told}"
    );
    let selected = Applet::new(&mut world.cards[0]).select().unwrap();
    assert_eq!(selected.lifecycle, Lifecycle::Personalised);
    drop(issuance);
    // Of a wrong transport secret one try is lost, not one of each card.
    let mut issuance = world.issuance(true);
    issuance.secrets = Secrets::One(TransportSecret::new([1; 16]));
    let told = world.put_in(&issuance, 1, None).unwrap_err();
    assert_eq!(told.exit_code(), 5, "{told}");
    drop(issuance);
    // A code that is used up is one person's trouble.
    world
        .office
        .used
        .insert(CODES[1].to_owned(), CardId([8; 16]));
    let issuance = world.issuance(true);
    let event = world.put_in(&issuance, 1, None).unwrap();
    assert!(matches!(event, Event::Refused(1, _)), "{event:?}");
    assert!(matches!(
        world.put_in(&issuance, 2, None).unwrap(),
        Event::Done(2)
    ));
    assert!(matches!(
        world.put_in(&issuance, 0, None).unwrap(),
        Event::Done(0)
    ));
    assert!(issuance.round().is_over());
    // With another code the next run ends well, with the card that was begun.
    world.office.used.remove(CODES[1]);
    drop(issuance);
    finish(&mut world);
    world.check();
    assert_eq!(world.cards.len(), CODES.len());
}

#[test]
fn readers_side_by_side_take_different_people() {
    let world = World::new();
    let issuance = world.issuance(true);
    let mut round = issuance.round();
    let (a, b, c) = (round.expect(None), round.expect(None), round.expect(None));
    assert_eq!((a, b, c), (Some(0), Some(1), Some(2)));
    assert_eq!(round.expect(None), None);
    round.forget(b);
    assert_eq!(round.expect(None), Some(1));
}
