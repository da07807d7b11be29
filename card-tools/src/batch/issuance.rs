//! A desk with one or more readers: what happens to the card that is in one of them.

use std::path::PathBuf;

use parking_lot::{Mutex, MutexGuard};
use simsync_card::client::{Applet, CardError, Lifecycle, TransportSecret};
use simsync_card::ids::CardId;
use simsync_card::status::Status;
use simsync_globalplatform::cap::CapFile;
use simsync_globalplatform::install::{self, InstallRequest, Verdict, Wishes};
use simsync_globalplatform::session::Access;
use simsync_protocol::client::ClientError;

use super::journal::Step;
use super::round::{CardContent, Decision, Round};
use super::transport_key::{self, TransportKey};
use crate::error::ToolError;
use crate::issue::{self, Holder, Record, Registrar, Terms};
use crate::keys::host_challenge;
use crate::letter::{Format, Letter};
use crate::reader::Slot;

/// Where transport secrets come from.
#[derive(Debug)]
pub enum Secrets {
    /// One secret that the desk was given, for every card of the batch.
    One(TransportSecret),
    /// Each card's own, made from this key and from what identifies its chip.
    Derived(TransportKey),
}

/// How cards without the applet get it.
pub struct Installer<'a> {
    pub cap: CapFile,
    /// The card manager's keys.
    pub access: Access<'a>,
}

/// What all readers share.
pub struct Issuance<'a> {
    /// The people of the batch and their steps; one reader at a time reads or changes them.
    pub round: Mutex<Round>,
    /// The same for all cards.
    pub terms: Terms,
    /// Transport secrets.
    pub secrets: Secrets,
    /// Whether, and how, the applet is installed.
    pub installer: Option<Installer<'a>>,
    /// The letters' folder.
    pub letters: PathBuf,
    /// How letters are written.
    pub formats: Vec<Format>,
}

/// What happened to a card.
#[derive(Debug)]
pub enum Event {
    /// It is finished, and this person's.
    Done(usize),
    /// It was finished already.
    Finished(usize),
    /// It is for nobody, for this reason.
    Aside(String),
    /// The server refused this person.
    Refused(usize, String),
    /// It went wrong, and the same card is to be put in again.
    Again(usize, ToolError),
}

impl Issuance<'_> {
    /// The people, alone.
    pub fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock()
    }

    /// Does what is to be done with the card in `slot`. An error ends the whole batch: it would come again with each card, or
    /// cost more than one.
    pub fn serve<S: Slot>(
        &self,
        slot: &mut S,
        registrar: &mut impl Registrar,
        reader: &str,
        expected: Option<usize>,
    ) -> Result<Event, ToolError> {
        let content = match self.inspect(slot) {
            Ok(content) => content,
            // Pulled before anything began.
            Err(e) => return Ok(Event::Aside(e.to_string())),
        };
        let may_install = self.installer.is_some();
        let decision = self.round().decide(&content, expected, may_install);
        let n = match decision {
            Decision::Issue(n) => n,
            Decision::Note(n) => {
                let mut round = self.round();
                let noted = match round.person(n).card() {
                    Some(card) => round.note(n, Step::Done { card }, reader),
                    None => Ok(()),
                };
                round.release(n, None);
                return noted.map(|()| Event::Done(n));
            }
            Decision::Finished(n) => return Ok(Event::Finished(n)),
            Decision::Aside(why) => return Ok(Event::Aside(why)),
        };
        let result = self.work(slot, registrar, reader, n, &content);
        let (refused, event) = match result {
            Ok(_) => (None, Ok(Event::Done(n))),
            Err(e) => match weigh(&e) {
                Weight::Person => (Some(e.to_string()), Ok(Event::Refused(n, e.to_string()))),
                Weight::Card => (None, Ok(Event::Again(n, e))),
                Weight::Batch => (None, Err(e)),
            },
        };
        self.round().release(n, refused);
        event
    }

    fn inspect<S: Slot>(&self, slot: &mut S) -> Result<CardContent, ToolError> {
        match Applet::new(slot.take()?).select() {
            Ok(selected) => Ok(CardContent::Applet(selected)),
            Err(e @ (CardError::Transport { .. } | CardError::Version { .. })) => Err(e.into()),
            // Whatever a card without it answers to an unknown name.
            Err(_) => Ok(CardContent::Bare),
        }
    }

    fn work<S: Slot>(
        &self,
        slot: &mut S,
        registrar: &mut impl Registrar,
        reader: &str,
        n: usize,
        content: &CardContent,
    ) -> Result<(), ToolError> {
        let secret = match &self.secrets {
            Secrets::One(secret) => secret.clone(),
            Secrets::Derived(key) => key.secret(&transport_key::chip(&mut slot.take()?)?)?,
        };
        if let (CardContent::Bare, Some(installer)) = (content, &self.installer) {
            installer.install(slot, &secret)?;
        }
        let (subscriber, label, code) = {
            let mut round = self.round();
            if round.person(n).step.is_none() {
                round.note(n, Step::Begun, reader)?;
            }
            let p = round.person(n);
            (p.subscriber.clone(), p.label.clone(), p.code.clone())
        };
        let holder = Holder {
            subscriber: &subscriber,
            label: &label,
            code: &code,
        };
        let mut record = Noted {
            issuance: self,
            n,
            reader,
        };
        let issued = issue::issue(slot, &secret, &self.terms, holder, registrar, &mut record)?;
        self.round()
            .note(n, Step::Done { card: issued.card }, reader)
    }
}

impl Installer<'_> {
    fn install<S: Slot>(&self, slot: &mut S, secret: &TransportSecret) -> Result<(), ToolError> {
        let wishes = Wishes::default();
        let prepared = install::prepare(&mut slot.take()?, self.cap.version(), wishes)?;
        match prepared.verdict {
            Verdict::Install { .. } => {}
            Verdict::Nothing(Lifecycle::Installed | Lifecycle::Personalised) => return Ok(()),
            Verdict::Nothing(_) => {
                return Err(ToolError::NoCard("the card is another one now".to_owned()));
            }
        }
        let order = InstallRequest {
            cap: &self.cap,
            access: self.access,
            secret,
            wishes,
        };
        install::perform(slot.take()?, &prepared, &order, &host_challenge(), |_| {})?;
        Ok(())
    }
}

/// Journal and letters of one card.
struct Noted<'d, 'a> {
    issuance: &'d Issuance<'a>,
    n: usize,
    reader: &'d str,
}

impl Record for Noted<'_, '_> {
    fn card(&mut self, card: &CardId) -> Result<(), ToolError> {
        let step = Step::Card { card: *card };
        self.issuance.round().note(self.n, step, self.reader)
    }

    fn letter(&mut self, letter: &Letter<'_>) -> Result<(), ToolError> {
        let files = {
            let round = self.issuance.round();
            round
                .person(self.n)
                .letters(&self.issuance.letters, &self.issuance.formats)
        };
        letter.write(&files).map_err(|e| {
            ToolError::Other(format!(
                "{e}; the card is not finished and nothing more is done. Make room, run it again, and put the same card in"
            ))
        })?;
        let mut round = self.issuance.round();
        match round.person(self.n).card() {
            Some(card) => round.note(self.n, Step::Letter { card }, self.reader),
            None => Err(ToolError::Other("the card was not noted".to_owned())),
        }
    }
}

enum Weight {
    /// This person gets no card in this run; the others do.
    Person,
    /// The same card again.
    Card,
    /// Nobody gets one until that is mended.
    Batch,
}

fn weigh(e: &ToolError) -> Weight {
    match e {
        ToolError::Server(ClientError::Problem(problem)) if is_personal(problem.code) => {
            Weight::Person
        }
        // A transport secret that is wrong, or used up: the next card would lose a try too.
        ToolError::Card(card) => match card.status() {
            Some(Status::Wrong { .. } | Status::Blocked(_)) => Weight::Batch,
            _ => Weight::Card,
        },
        ToolError::Manager(_) if e.exit_code() == 7 => Weight::Batch,
        ToolError::Manager(_) | ToolError::Transport(_) | ToolError::NoCard(_) => Weight::Card,
        _ => Weight::Batch,
    }
}

fn is_personal(code: simsync_protocol::problem::Code) -> bool {
    use simsync_protocol::problem::Code;
    matches!(
        code,
        Code::CodeRefused | Code::CardMismatch | Code::CardRevoked | Code::SubscriberInactive
    )
}
