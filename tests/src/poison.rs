//! A terminal's stolen key and a card that accepts it: what never was is written into the card's record.

use simsync_card::client::{Applet, CardError, HeadRecord, Slots};
use simsync_card::ids::Hash;
use simsync_card::status::Status;

use crate::demo::Person;
use crate::impostor::Impostor;
use crate::rig::{Result, Rig};

/// A hash of nothing.
pub fn bogus() -> Hash {
    Hash(rand::random())
}

/// What a terminal that the card accepts can write into it.
pub type Poison = fn(HeadRecord) -> Vec<HeadRecord>;

/// As far up as a few commands lead.
pub fn far_ahead(record: HeadRecord) -> Vec<HeadRecord> {
    (1..=60)
        .map(|step| HeadRecord {
            sequence: record.sequence + 1_024 * step,
            head: bogus(),
            ..record
        })
        .collect()
}

/// A state that the server will have one day, with another hash.
pub fn next_state(record: HeadRecord) -> Vec<HeadRecord> {
    vec![HeadRecord {
        sequence: record.sequence + 1,
        head: bogus(),
        ..record
    }]
}

/// Lists and epochs that nobody ever signed.
pub fn lists_and_epochs(record: HeadRecord) -> Vec<HeadRecord> {
    (1..=5)
        .map(|step| HeadRecord {
            epoch: record.epoch + step,
            sequence: record.sequence + u64::from(step),
            head: bogus(),
            list_number: record.list_number + 16 * step,
            list_hash: bogus(),
            ..record
        })
        .collect()
}

/// Opens a session with a terminal's stolen key, and writes into the card. An error also if the card took more than a step.
pub fn poison(rig: &mut Rig, person: &Person, thief: &Impostor, what: Poison) -> Result<()> {
    let text = |e: CardError| e.to_string();
    let mut applet = Applet::new(rig.bridge.lend(&person.card)?);
    let card = thief.pairing.card.id;
    let (_, opened) = thief.open_at_card(&mut applet, &card, &person.pin, &bogus())?;
    let record = opened.head.ok_or("the card has no record")?;
    // One command does not use up what the numbers have.
    for far in [
        HeadRecord {
            sequence: record.sequence + 60_000,
            head: bogus(),
            ..record
        },
        HeadRecord {
            list_number: record.list_number + 60_000,
            list_hash: bogus(),
            ..record
        },
    ] {
        match applet.put_head(&opened.token, &far, Slots::EMPTY) {
            Err(CardError::Refused {
                status: Status::BadData,
                ..
            }) => {}
            other => return Err(format!("the card took {far:?}: {other:?}")),
        }
    }
    for step in what(record) {
        applet
            .put_head(&opened.token, &step, Slots::EMPTY)
            .map_err(text)?;
    }
    Ok(())
}
