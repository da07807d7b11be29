//! A card reader on the bus.

use zbus::{OwnedObjectPath, interface};

use super::mirror::{Mirrors, Shown};
use super::names::Kind;
use super::text::carried;
use crate::api::Status;

/// What a reader shows.
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderModel {
    name: String,
    card: OwnedObjectPath,
}

pub struct Reader(Shown<ReaderModel>);

/// All readers of a status.
pub fn readers(status: &Status) -> Vec<(OwnedObjectPath, ReaderModel)> {
    let card_of = |name: &str| {
        let present = status.cards.iter().any(|c| c.reader == name);
        // The bus knows no empty path; the root stands for none.
        if present {
            Kind::Card.path(name)
        } else {
            OwnedObjectPath::default()
        }
    };
    status
        .readers
        .iter()
        .map(|name| {
            let model = ReaderModel {
                name: name.clone(),
                card: card_of(name),
            };
            (Kind::Reader.path(name), model)
        })
        .collect()
}

impl Mirrors for Reader {
    type Model = ReaderModel;

    fn new(model: ReaderModel) -> Self {
        Self(Shown::new(model))
    }

    fn show(&self, model: ReaderModel) {
        self.0.set(model);
    }
}

/// A card reader that the smart card service knows.
#[interface(name = "org.simsync.SimSync1.Reader")]
impl Reader {
    /// Its name.
    #[zbus(property)]
    async fn name(&self) -> String {
        carried(&self.0.get().name)
    }

    /// The card that is in, or "/".
    #[zbus(property)]
    async fn card(&self) -> OwnedObjectPath {
        self.0.get().card.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CardStatus;

    #[test]
    fn a_reader_names_the_card_that_is_in() {
        let status = Status {
            readers: vec!["one".to_owned(), "two".to_owned()],
            cards: vec![CardStatus {
                reader: "two".to_owned(),
                state: simsync_codes::CardState::Paired,
                pin_tries: Some(3),
                pin_must_change: false,
                card: None,
                in_use: false,
            }],
            ..Status::default()
        };
        let all = readers(&status);
        assert_eq!(all[0].1.card.as_str(), "/");
        assert_eq!(all[1].1.card.as_str(), "/org/simsync/SimSync1/cards/two");
    }
}
