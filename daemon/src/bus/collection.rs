//! A collection on the bus.

use zbus::{OwnedObjectPath, interface};

use super::mirror::{Mirrors, Shown};
use super::names::Kind;
use super::text::{carried, carried_or_empty};
use crate::api::{CollectionStatus, Status};

pub struct Collection(Shown<CollectionStatus>);

/// All collections of a status.
pub fn collections(status: &Status) -> Vec<(OwnedObjectPath, CollectionStatus)> {
    status
        .collections
        .iter()
        .map(|c| (Kind::Collection.path(&c.id), c.clone()))
        .collect()
}

impl Mirrors for Collection {
    type Model = CollectionStatus;

    fn new(model: CollectionStatus) -> Self {
        Self(Shown::new(model))
    }

    fn show(&self, model: CollectionStatus) {
        self.0.set(model);
    }
}

/// A collection of the vault, synced on this terminal or not.
#[interface(name = "org.simsync.SimSync1.Collection")]
impl Collection {
    /// Its ID.
    #[zbus(property)]
    async fn id(&self) -> String {
        carried(&self.0.get().id)
    }

    /// The attribute that it holds: files and so on.
    #[zbus(property)]
    async fn attribute(&self) -> String {
        carried(&self.0.get().attribute)
    }

    /// Its owner's name for it.
    #[zbus(property)]
    async fn name(&self) -> String {
        carried(&self.0.get().name)
    }

    /// Its folder on this terminal, or empty if it is not synced here.
    #[zbus(property)]
    async fn path(&self) -> String {
        carried_or_empty(self.0.get().path.as_ref())
    }

    /// Stands for what its owner has to decide (AnswerCollection), and changes with it; empty if there is nothing.
    #[zbus(property)]
    async fn question(&self) -> String {
        carried(&self.0.get().question)
    }
}
