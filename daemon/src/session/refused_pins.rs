//! Card PINs that a card refused. None of them is sent to that card again by itself: whoever answers for the person, a script
//! or a desktop's keyring, may give the same one at once and for ever, and three wrong ones block the card.
//!
//! They are kept in memory only, wiped when they are dropped, for as long as the card has the tries left that it had then. A
//! card whose tries changed had its PIN typed, changed or unblocked elsewhere; what is right there is not known here.

use simsync_codes::Code;
use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use simsync_card::client::Pin;
use simsync_card::ids::CardId;

use crate::api::Reason;
use crate::card::CardEvent;
use crate::rules::{Event, Probed};

/// Whose PIN it was: a card that is not known is the one in a reader until it is taken out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Card(CardId),
    Reader(String),
}

#[derive(Debug)]
struct Entry {
    pins: Vec<Pin>,
    tries_left: u8,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Whose, Entry>,
    cards: HashMap<String, CardId>,
}

impl Inner {
    fn whose(&self, reader: &str) -> Whose {
        match self.cards.get(reader) {
            Some(card) => Whose::Card(*card),
            None => Whose::Reader(reader.to_owned()),
        }
    }
}

/// What cards refused.
#[derive(Debug, Default)]
pub struct Refused(Mutex<Inner>);

impl Refused {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// Follows cards as they come, go and are looked at.
    pub fn note(&self, event: &Event) {
        let mut inner = self.lock();
        match event {
            Event::Probed {
                reader,
                result: Probed::Paired { card, tries, .. },
            } => {
                inner.cards.insert(reader.clone(), *card);
                let whose = Whose::Card(*card);
                if inner
                    .entries
                    .get(&whose)
                    .is_some_and(|e| e.tries_left != *tries)
                {
                    inner.entries.remove(&whose);
                }
            }
            Event::Card(CardEvent::CardRemoved(reader)) => {
                inner.cards.remove(reader);
                inner.entries.remove(&Whose::Reader(reader.clone()));
            }
            _ => {}
        }
    }

    /// The card refused a PIN.
    pub fn add(&self, reader: &str, pin: &Pin, left: u8) {
        let mut inner = self.lock();
        let whose = inner.whose(reader);
        let entry = inner.entries.entry(whose).or_insert(Entry {
            pins: Vec::new(),
            tries_left: left,
        });
        entry.tries_left = left;
        if !entry.pins.contains(pin) {
            entry.pins.push(pin.clone());
        }
    }

    /// How many tries the card had left when it refused this PIN; none if it did not.
    pub fn tries_left(&self, reader: &str, pin: &Pin) -> Option<u8> {
        let inner = self.lock();
        let entry = inner.entries.get(&inner.whose(reader))?;
        entry.pins.contains(pin).then_some(entry.tries_left)
    }

    /// The card took a PIN, or its tries changed.
    pub fn forget(&self, reader: &str) {
        let mut inner = self.lock();
        let whose = inner.whose(reader);
        inner.entries.remove(&whose);
    }
}

/// Why a PIN was not sent.
pub fn refused_before(tries_left: u8) -> Reason {
    Reason::new(
        Code::PinIncorrect,
        format!(
            "the card refused this PIN before, so it was not sent again; {tries_left} tries left"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: &str = "reader";

    fn pin(text: &str) -> Pin {
        Pin::parse(text.as_bytes()).unwrap()
    }

    fn probed(card: u8, tries: u8) -> Event {
        Event::Probed {
            reader: R.to_owned(),
            result: Probed::Paired {
                card: CardId([card; 16]),
                tries,
                pin_must_change: false,
            },
        }
    }

    fn removed() -> Event {
        Event::Card(CardEvent::CardRemoved(R.to_owned()))
    }

    #[test]
    fn f_g2_what_a_card_refused_is_known_until_something_changed_there() {
        let refused = Refused::default();
        refused.note(&probed(1, 3));
        assert_eq!(refused.tries_left(R, &pin("4711")), None);
        refused.add(R, &pin("4711"), 2);
        assert_eq!(refused.tries_left(R, &pin("4711")), Some(2));
        assert_eq!(refused.tries_left(R, &pin("4712")), None);
        refused.add(R, &pin("4712"), 1);
        assert_eq!(refused.tries_left(R, &pin("4711")), Some(1));
        // Taken out and put in again it is the same card; another one is not.
        refused.note(&removed());
        refused.note(&probed(2, 1));
        assert_eq!(refused.tries_left(R, &pin("4711")), None);
        refused.note(&removed());
        refused.note(&probed(1, 1));
        assert_eq!(refused.tries_left(R, &pin("4711")), Some(1));
        // Somebody unblocked it, or typed the right PIN elsewhere.
        refused.note(&probed(1, 3));
        assert_eq!(refused.tries_left(R, &pin("4711")), None);
    }

    #[test]
    fn f_g2_a_right_pin_ends_it_and_so_does_the_removal_of_a_card_that_is_not_known() {
        let refused = Refused::default();
        refused.add(R, &pin("4711"), 2);
        assert_eq!(refused.tries_left(R, &pin("4711")), Some(2));
        refused.note(&removed());
        assert_eq!(refused.tries_left(R, &pin("4711")), None);
        refused.add(R, &pin("4711"), 1);
        refused.forget(R);
        assert_eq!(refused.tries_left(R, &pin("4711")), None);
    }
}
