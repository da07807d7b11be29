//! What the status tells of the past: when things happened, and what the last removal left. For whoever measures.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::card::CardEvent;
use crate::engine::{TailReport, now_ms};
use crate::rules::Event;
use parking_lot::Mutex;

/// Times and numbers, in memory only.
#[derive(Debug, Default)]
pub struct Notes {
    /// Milliseconds since 1970, by name.
    marks: Mutex<BTreeMap<String, i64>>,
    last_tail: Mutex<BTreeMap<String, u64>>,
    /// Milliseconds since 1970; 0 if never.
    last_sync: AtomicI64,
}

impl Notes {
    /// Notes that this happened now.
    pub fn mark(&self, name: &str) {
        self.marks.lock().insert(name.to_owned(), now_ms());
    }

    /// When things happened since a card was put in last, in milliseconds since 1970.
    pub fn marks(&self) -> BTreeMap<String, i64> {
        self.marks.lock().clone()
    }

    /// Notes what a removal left.
    pub fn note_tail(&self, r: &TailReport) {
        let numbers = [
            ("items", r.items),
            ("referenced", r.referenced),
            ("left", r.left),
            ("bytes", r.bytes as usize),
        ];
        *self.last_tail.lock() = numbers.map(|(k, v)| (k.to_owned(), v as u64)).into();
    }

    /// What the last removal left.
    pub fn last_tail(&self) -> BTreeMap<String, u64> {
        self.last_tail.lock().clone()
    }

    /// A sync ended well.
    pub fn synced(&self) {
        self.mark("synced");
        self.last_sync.store(now_ms(), Ordering::Relaxed);
    }

    /// When the last sync ended well, in milliseconds since 1970, if one did.
    pub fn last_sync(&self) -> Option<i64> {
        Some(self.last_sync.load(Ordering::Relaxed)).filter(|t| *t != 0)
    }

    /// Notes the times that events bring.
    pub fn note(&self, event: &Event) {
        match event {
            Event::Card(CardEvent::CardInserted(_)) => {
                self.marks.lock().clear();
                self.mark("inserted");
            }
            Event::Card(CardEvent::CardRemoved(_)) => self.mark("removed"),
            Event::Opened { .. } => self.mark("opened"),
            Event::TailsDelivered(true) => self.mark("tail-delivered"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_of_what_happened_since_a_card_came() {
        let notes = Notes::default();
        assert_eq!(notes.last_sync(), None);
        notes.synced();
        notes.note(&Event::Card(CardEvent::CardInserted("reader".to_owned())));
        let marks: Vec<String> = notes.marks().into_keys().collect();
        assert_eq!(marks, ["inserted"]);
        // That a sync ended well is no mark: it is told for as long as the daemon runs.
        assert!(notes.last_sync().is_some());
        notes.note(&Event::Card(CardEvent::CardRemoved("reader".to_owned())));
        assert!(notes.marks().contains_key("removed"));
    }
}
