//! Who gets which card. One round is one run of the tool; readers share it.
//!
//! A card without an owner (blank, or personalised when the answer was lost) goes to the next person whose card the server
//! cannot know yet. From the moment that the server may know a card, only that card goes on for its person.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use simsync_card::client::{Lifecycle, Selected};
use simsync_card::ids::{CardId, SubscriberId};
use simsync_protocol::people::Person;
use zeroize::Zeroizing;

use super::journal::{Entry, Journal, Step};
use super::pace::Pace;
use crate::error::ToolError;
use crate::letter::Format;

/// Somebody who is to have a card.
pub struct Recipient {
    /// ID from the list of people; the journal names the person by it.
    pub subscriber: SubscriberId,
    /// The card's label.
    pub label: String,
    /// The enrolment code.
    pub code: Zeroizing<String>,
    /// The last step that is durable.
    pub step: Option<Step>,
    /// The reader and time of the first and the last step.
    pub reader: String,
    /// When it was begun, in seconds since 1970.
    pub begun: Option<u64>,
    /// When the last step was, the same.
    pub last: Option<u64>,
    /// Why there is no card in this run, if the server refused.
    pub refused: Option<String>,
    /// A reader works on the card.
    busy: bool,
    /// A reader waits for a card for this person.
    expected: bool,
}

/// What SELECT says of a card that was put in.
#[derive(Debug, Clone)]
pub enum CardContent {
    /// It has no applet.
    Bare,
    /// The applet answered this.
    Applet(Selected),
}

/// What is to be done with a card. A person who is named is this reader's until [`Round::release`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Issue it to this person.
    Issue(usize),
    /// It was finished and nobody noted it: note it.
    Note(usize),
    /// It is this person's, and finished.
    Finished(usize),
    /// It is for nobody here, for this reason.
    Aside(String),
}

/// All people, and the journal.
pub struct Round {
    people: Vec<Recipient>,
    journal: Journal,
    started: Option<Instant>,
    finished_here: usize,
    stop: Option<ToolError>,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

impl Round {
    /// People of a list, as far as the journal says they are.
    pub fn new(
        list: Vec<Person>,
        journal: Journal,
        entries: Vec<Entry>,
    ) -> Result<Self, ToolError> {
        let mut people = Vec::with_capacity(list.len());
        for person in list {
            let (Some(subscriber), Some(code)) = (person.subscriber, person.code) else {
                let line = person.line;
                return Err(ToolError::Usage(format!("line {line} lacks ID or code")));
            };
            people.push(Recipient {
                subscriber,
                label: person.label,
                code,
                step: None,
                reader: String::new(),
                begun: None,
                last: None,
                refused: None,
                busy: false,
                expected: false,
            });
        }
        let at: HashMap<SubscriberId, usize> = people
            .iter()
            .enumerate()
            .map(|(n, p)| (p.subscriber.clone(), n))
            .collect();
        for entry in entries {
            let Some(person) = at.get(&entry.person).and_then(|n| people.get_mut(*n)) else {
                return Err(ToolError::Usage(format!(
                    "the journal knows {}, who is not in the list: it is the journal of another list, or a line was removed",
                    entry.person
                )));
            };
            if !entry.step.may_follow(person.step.as_ref()) {
                return Err(ToolError::Usage(format!(
                    "the journal contradicts itself about {}; ask before going on",
                    entry.person
                )));
            }
            person.note(&entry);
        }
        Ok(Self {
            people,
            journal,
            started: None,
            finished_here: 0,
            stop: None,
        })
    }

    #[cfg(test)]
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// All of them.
    pub fn people(&self) -> &[Recipient] {
        &self.people
    }

    /// The person at place `n` of the list; panics beyond its end.
    pub fn person(&self, n: usize) -> &Recipient {
        &self.people[n]
    }

    /// Whether there is nothing more to do in this run.
    pub fn is_over(&self) -> bool {
        self.stop.is_some()
            || self
                .people
                .iter()
                .all(|p| p.is_done() || p.refused.is_some())
    }

    /// Ends the run; the first reason counts.
    pub fn stop(&mut self, why: ToolError) {
        self.stop.get_or_insert(why);
    }

    /// Why it was ended.
    pub fn take_stop(&mut self) -> Option<ToolError> {
        self.stop.take()
    }

    /// How many are done.
    pub fn done(&self) -> usize {
        self.people.iter().filter(|p| p.is_done()).count()
    }

    /// The person for whom a reader waits next: a blank card would go there. None: all who are left have cards of their own.
    pub fn expect(&mut self, before: Option<usize>) -> Option<usize> {
        self.forget(before);
        let free = |p: &Recipient| p.takes_any_card() && !p.expected;
        let begun = |p: &Recipient| free(p) && p.step == Some(Step::Begun);
        let next = self
            .people
            .iter()
            .position(begun)
            .or_else(|| self.people.iter().position(free));
        if let Some(n) = next {
            self.people[n].expected = true;
        }
        next
    }

    /// A reader does not wait for this person's card any more.
    pub fn forget(&mut self, expected: Option<usize>) {
        if let Some(n) = expected {
            self.people[n].expected = false;
        }
    }

    /// Labels of those whose cards were begun and are waited for.
    pub fn awaited(&self) -> Vec<&Recipient> {
        let begun = |p: &&Recipient| !p.is_done() && p.refused.is_none() && p.card().is_some();
        self.people.iter().filter(begun).collect()
    }

    /// What to do with a card. `may_install`: cards without the applet are taken.
    pub fn decide(
        &mut self,
        content: &CardContent,
        expected: Option<usize>,
        may_install: bool,
    ) -> Decision {
        self.started.get_or_insert_with(Instant::now);
        let decision = self.judge(content, expected, may_install);
        if let Decision::Issue(n) | Decision::Note(n) = decision {
            self.people[n].busy = true;
        }
        decision
    }

    fn judge(&self, content: &CardContent, expected: Option<usize>, may_install: bool) -> Decision {
        let aside = |why: &str| Decision::Aside(why.to_owned());
        let selected = match content {
            CardContent::Bare if may_install => return self.next(expected, false),
            CardContent::Bare => {
                return aside(
                    "it has no simsync applet; put it aside, or use --install with the card manager's keys",
                );
            }
            CardContent::Applet(selected) => selected,
        };
        let own = self.people.iter().position(|p| {
            p.card()
                .is_some_and(|card| selected.is_card_of(&card, &p.subscriber))
        });
        match (selected.lifecycle, own) {
            (Lifecycle::Installed, _) => self.next(expected, false),
            (Lifecycle::Personalised, None) => self.next(expected, true),
            (Lifecycle::Personalised, Some(n)) if self.people[n].is_done() => aside(
                "the journal says that it is finished, the card says that it is not; put it aside",
            ),
            (Lifecycle::Personalised, Some(n)) => match &self.people[n] {
                p if p.busy => aside("another reader works for the same person"),
                p if p.refused.is_some() => aside("the server refused it in this run"),
                _ => Decision::Issue(n),
            },
            (Lifecycle::Enrolled, Some(n)) => match self.people[n].step {
                Some(Step::Done { .. }) => Decision::Finished(n),
                Some(Step::Letter { .. }) => Decision::Note(n),
                _ => aside("it is finished, but the journal knows of no letter; put it aside"),
            },
            (Lifecycle::Enrolled, None) => {
                aside("it is in use, and none of this list; put it aside")
            }
            (Lifecycle::Terminated, _) => aside("it was terminated; put it aside"),
        }
    }

    /// For a card without an owner. `half`: it was personalised, perhaps for another list, unless somebody of this one waits
    /// for an answer of PERSONALISE that was lost.
    fn next(&self, expected: Option<usize>, half: bool) -> Decision {
        let fits = |p: &Recipient| p.takes_any_card() && (!half || p.step == Some(Step::Begun));
        let first = expected.filter(|n| fits(&self.people[*n]));
        let unexpected = || self.people.iter().position(|p| fits(p) && !p.expected);
        let any = || self.people.iter().position(fits);
        match first.or_else(unexpected).or_else(any) {
            Some(n) => Decision::Issue(n),
            None if half => Decision::Aside(
                "it was begun for somebody else; finish it with its own list, or wipe it: simsync-card install --replace"
                    .to_owned(),
            ),
            None => Decision::Aside(
                "nobody is left for a blank card: those who wait have cards that were begun for them"
                    .to_owned(),
            ),
        }
    }

    /// Notes a step durably.
    pub fn note(&mut self, n: usize, step: Step, reader: &str) -> Result<(), ToolError> {
        let person = &mut self.people[n];
        if person.step == Some(step) {
            return Ok(());
        }
        if !step.may_follow(person.step.as_ref()) {
            return Err(ToolError::Other(format!(
                "the card of {} is not the one that was begun; put it aside",
                person.subscriber
            )));
        }
        let entry = Entry {
            person: person.subscriber.clone(),
            step,
            reader: reader.to_owned(),
            at: now(),
        };
        self.journal.append(&entry)?;
        person.note(&entry);
        if person.is_done() {
            self.finished_here += 1;
        }
        Ok(())
    }

    /// A reader is done with this person's card, or it went wrong.
    pub fn release(&mut self, n: usize, refused: Option<String>) {
        self.people[n].busy = false;
        self.people[n].refused = refused;
    }

    /// How fast this run goes on; what earlier runs finished says nothing of it.
    pub fn pace(&self) -> Option<Pace> {
        self.pace_at(Instant::now())
    }

    fn pace_at(&self, now: Instant) -> Option<Pace> {
        let elapsed = now.saturating_duration_since(self.started?);
        Pace::of(self.finished_here, self.people.len() - self.done(), elapsed)
    }

    /// How far it is, for people.
    pub fn progress(&self) -> String {
        self.progress_at(Instant::now())
    }

    fn progress_at(&self, now: Instant) -> String {
        let count = format!("{} of {}", self.done(), self.people.len());
        match self.pace_at(now) {
            Some(pace) => format!("({count}; {pace})"),
            None => format!("({count})"),
        }
    }
}

impl Recipient {
    fn note(&mut self, entry: &Entry) {
        self.step = Some(entry.step);
        self.reader.clone_from(&entry.reader);
        self.begun.get_or_insert(entry.at);
        self.last = Some(entry.at);
    }

    /// The card that is this person's.
    pub fn card(&self) -> Option<CardId> {
        self.step.and_then(|s| s.card())
    }

    /// Whether nothing is left to be done for this person.
    pub fn is_done(&self) -> bool {
        matches!(self.step, Some(Step::Done { .. }))
    }

    /// The server knows no card of this person, and nobody works for it.
    fn takes_any_card(&self) -> bool {
        self.card().is_none() && !self.busy && self.refused.is_none()
    }

    /// Where the letter goes. The subscriber's ID has no characters that mean something in a path.
    pub fn letters(&self, folder: &std::path::Path, formats: &[Format]) -> Vec<(Format, PathBuf)> {
        let place = |f: &Format| {
            let name = format!("letter-{}.{}", self.subscriber, f.extension());
            (*f, folder.join(name))
        };
        formats.iter().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::Header;
    use super::*;
    use simsync_card::ids::Hash;
    use std::time::Duration;

    #[test]
    fn progress_counts_everybody_and_the_pace_this_run_alone() {
        let dir = tempfile::tempdir().unwrap();
        let header = Header::new("server.example", Hash([1; 32]));
        let person = |n: u64| Person {
            line: n + 2,
            label: format!("Person {n}"),
            subscriber: Some(format!("p{n}").parse().unwrap()),
            code: Some(Zeroizing::new("x".to_owned())),
        };
        let round = || {
            let (journal, entries) = Journal::open(&dir.path().join("journal"), &header).unwrap();
            Round::new((0..6).map(person).collect(), journal, entries).unwrap()
        };
        let finish = |round: &mut Round, n: u8| {
            let card = CardId([n; 16]);
            let steps = [Step::Begun, Step::Card { card }, Step::Letter { card }];
            for step in steps.into_iter().chain([Step::Done { card }]) {
                round.note(n.into(), step, "reader").unwrap();
            }
        };
        let mut earlier = round();
        finish(&mut earlier, 0);
        finish(&mut earlier, 1);
        drop(earlier);

        let mut round = round();
        let start = Instant::now();
        assert_eq!(round.progress_at(start), "(2 of 6)");
        round.started = Some(start);
        let later = start + Duration::from_secs(90);
        assert_eq!(round.progress_at(later), "(2 of 6)");
        finish(&mut round, 2);
        assert_eq!(round.progress_at(later), "(3 of 6; 40 an hour, 5 min left)");
        let left = round.pace_at(later).unwrap().left;
        assert_eq!(left, Duration::from_secs(270));
    }
}
