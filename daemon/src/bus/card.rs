//! A card in a reader, on the bus.

use zbus::{OwnedObjectPath, interface};

use super::mirror::{Mirrors, Shown};
use super::names::Kind;
use super::text::{carried, carried_or_empty};
use crate::api::{CardStatus, Status};

pub struct Card(Shown<CardStatus>);

/// All cards of a status.
pub fn cards(status: &Status) -> Vec<(OwnedObjectPath, CardStatus)> {
    status
        .cards
        .iter()
        .map(|c| (Kind::Card.path(&c.reader), c.clone()))
        .collect()
}

impl Mirrors for Card {
    type Model = CardStatus;

    fn new(model: CardStatus) -> Self {
        Self(Shown::new(model))
    }

    fn show(&self, model: CardStatus) {
        self.0.set(model);
    }
}

/// A card that is in a reader.
#[interface(name = "org.simsync.SimSync1.Card")]
impl Card {
    /// The reader that it is in.
    #[zbus(property)]
    async fn reader(&self) -> OwnedObjectPath {
        Kind::Reader.path(&self.0.get().reader)
    }

    /// That reader's name.
    #[zbus(property)]
    async fn reader_name(&self) -> String {
        carried(&self.0.get().reader)
    }

    /// looking, foreign (no applet of ours), sim (a SIM, without it), unpaired, paired, blocked or failed.
    #[zbus(property)]
    async fn state(&self) -> String {
        self.0.get().state.as_str().to_owned()
    }

    /// PIN tries left, or -1 while unknown.
    #[zbus(property)]
    async fn pin_tries(&self) -> i32 {
        self.0.get().pin_tries.map_or(-1, i32::from)
    }

    /// The PIN must be changed before anything else.
    #[zbus(property)]
    async fn pin_must_change(&self) -> bool {
        self.0.get().pin_must_change
    }

    /// The card's ID, or empty while unknown.
    #[zbus(property)]
    async fn id(&self) -> String {
        carried_or_empty(self.0.get().card.as_ref())
    }

    /// It carries the open session.
    #[zbus(property)]
    async fn in_use(&self) -> bool {
        self.0.get().in_use
    }
}
