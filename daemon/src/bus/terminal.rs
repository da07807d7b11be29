//! A terminal of the person, on the bus.

use zbus::{OwnedObjectPath, interface};

use super::mirror::{Mirrors, Shown};
use super::names::Kind;
use super::text::carried;
use crate::api::{Status, TerminalStatus};

pub struct Terminal(Shown<TerminalStatus>);

/// All terminals of a status.
pub fn terminals(status: &Status) -> Vec<(OwnedObjectPath, TerminalStatus)> {
    status
        .terminals
        .iter()
        .map(|t| (Kind::Terminal.path(&t.id), t.clone()))
        .collect()
}

impl Mirrors for Terminal {
    type Model = TerminalStatus;

    fn new(model: TerminalStatus) -> Self {
        Self(Shown::new(model))
    }

    fn show(&self, model: TerminalStatus) {
        self.0.set(model);
    }
}

/// A terminal that is paired with the person's cards.
#[interface(name = "org.simsync.SimSync1.Terminal")]
impl Terminal {
    /// Its ID.
    #[zbus(property)]
    async fn id(&self) -> String {
        carried(&self.0.get().id)
    }

    /// What its owner calls it.
    #[zbus(property)]
    async fn label(&self) -> String {
        carried(&self.0.get().label)
    }

    /// It is this one.
    #[zbus(property)]
    async fn own(&self) -> bool {
        self.0.get().own
    }

    /// Names of the collections that it syncs.
    #[zbus(property)]
    async fn collections(&self) -> Vec<String> {
        self.0
            .get()
            .collections
            .iter()
            .map(|c| carried(c))
            .collect()
    }

    /// It has not finished uploading, or the server hides it, as the card says.
    #[zbus(property)]
    async fn unfinished(&self) -> bool {
        self.0.get().unfinished
    }
}
