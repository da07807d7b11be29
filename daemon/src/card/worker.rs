//! The threads that talk to cards, one a reader. Their calls block: without time-out while another program holds a card, and
//! while a person types at the reader's own keys. So everybody else waits for them with a deadline, and one reader's wait is
//! no other's.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use parking_lot::Mutex;
use pcsc::{Context, Scope};
use simsync_card::client::CardError as ClientError;
use simsync_card::connection::{Connection, Taken};
use simsync_card::pcsc::PcscCard;
use simsync_card::pinpad::PinPad;
use simsync_card::transport::TransportError;
use tokio::sync::{Notify, oneshot, watch};

use super::port::{Modems, Port, reader_name};
use super::turns::{self, Turns};

/// Why a piece of work with a card gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The card or its reader said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The reader said no outside of a command.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The card did not answer in time: another program holds it.
    #[error("the card does not answer: another program holds it; close it, or wait")]
    Busy,
    /// The caller gave up meanwhile.
    #[error("nobody waits for the card's answer any longer")]
    Unwanted,
    /// Our own thread ended.
    #[error("the card thread ended; restart simsyncd")]
    Gone,
}

impl CardError {
    /// What the reader said, if it was the reader.
    pub fn transport(&self) -> Option<&TransportError> {
        match self {
            Self::Client(e) => e.transport(),
            Self::Transport(e) => Some(e),
            _ => None,
        }
    }

    /// Whether the card (or its reader, or pcscd) is gone.
    pub fn is_removal(&self) -> bool {
        match self.transport() {
            Some(
                TransportError::RemovedCard
                | TransportError::ReaderGone
                | TransportError::ServiceGone
                | TransportError::NoAnswer(_)
                | TransportError::BrokenOff,
            ) => true,
            Some(TransportError::Modem(e)) => e.is_absence(),
            _ => false,
        }
    }

    /// Whether the connection to the card is of no use any more: a modem's channel isn't after any failure.
    fn ends_the_connection(&self) -> bool {
        self.is_removal() || matches!(self.transport(), Some(TransportError::Modem(_)))
    }
}

/// The connection to one card. It stays while the card is in, so that the PIN stays verified.
pub struct OpenCard<'a> {
    card: &'a mut Connection,
    losses: u64,
    reader: &'a str,
    turns: &'a Turns,
    wanted: &'a dyn Fn() -> bool,
    note_pad: &'a dyn Fn(Option<PinPad>),
}

impl<'a> OpenCard<'a> {
    /// Takes the card for a transaction; a reset by another program is over then.
    pub fn begin(&mut self) -> Result<Taken<'_>, TransportError> {
        let card = &mut *self.card;
        self.turns.wait(self.reader, || card.begin())
    }

    /// How many connections of this reader were lost before this one.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// Whether somebody waits for the outcome still: asked after a person took their time.
    pub fn wanted(&self) -> &'a dyn Fn() -> bool {
        self.wanted
    }

    /// Where the reader's PIN pad is noted, once a card of ours is in: see [`CardHandle::pin_pad`].
    pub fn note_pad(&self) -> &'a dyn Fn(Option<PinPad>) {
        self.note_pad
    }
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// PC/SC does not say when a card is free again that another program had for itself alone: it is tried.
const AGAIN: Duration = Duration::from_millis(100);

type Pads = Arc<Mutex<HashMap<String, PinPad>>>;

/// How the cards of one reader are reached.
enum Way {
    Reader(Option<Context>),
    Modem(Port),
}

impl Way {
    fn connect(&mut self, reader: &str) -> Result<Connection, TransportError> {
        let known = match self {
            Self::Reader(context) => context,
            Self::Modem(port) => return Ok(Connection::Modem(Box::new(port.connect()?))),
        };
        let name = CString::new(reader).map_err(|_| TransportError::ReaderGone)?;
        let context = match known {
            Some(c) => c.clone(),
            None => known.insert(Context::establish(Scope::User)?).clone(),
        };
        let card = match PcscCard::connect(&context, &name) {
            Err(TransportError::ServiceGone) => {
                // The context outlived its pcscd: a new one, once.
                *known = None;
                let fresh = known.insert(Context::establish(Scope::User)?);
                PcscCard::connect(fresh, &name)
            }
            other => other,
        };
        card.map(Connection::Reader)
    }

    fn end(&self, card: Connection) {
        match (self, card) {
            (Self::Modem(port), Connection::Modem(card)) => port.close(*card),
            // Dropped, it is reset.
            (_, card) => drop(card),
        }
    }
}

/// What the thread of one reader owns: only this thread talks to the card.
struct Worker {
    reader: String,
    way: Way,
    card: Option<Connection>,
    losses: u64,
    lost: Arc<Notify>,
    pads: Pads,
    turns: Arc<Turns>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            job(&mut self);
        }
    }

    /// The card, also if another program has it for itself alone: then as soon as that is over, while it is `wanted`.
    fn card(&mut self, wanted: impl Fn() -> bool) -> Result<&mut Connection, TransportError> {
        let card = match self.card.take() {
            Some(card) => card,
            None => match self.way.connect(&self.reader) {
                Err(TransportError::SharingViolation) => {
                    let turns = self.turns.clone();
                    turns.wait(&self.reader, || {
                        loop {
                            std::thread::park_timeout(AGAIN);
                            match self.way.connect(&self.reader) {
                                Err(TransportError::SharingViolation) if wanted() => {}
                                connected => return connected,
                            }
                        }
                    })?
                }
                connected => connected?,
            },
        };
        Ok(self.card.insert(card))
    }

    fn forget(&mut self) {
        if let Some(card) = self.card.take() {
            self.way.end(card);
        }
    }

    /// The connection failed, which whoever watches the reader may want to know.
    fn lose(&mut self) {
        if self.card.is_some() {
            self.losses += 1;
            self.forget();
            self.lost.notify_one();
        }
    }
}

/// Sends work to the card threads. Clones share them; they end with the last one.
#[derive(Clone, Default)]
pub struct CardHandle {
    /// By reader. A thread is started with its first work and stays: readers are few.
    threads: Arc<Mutex<HashMap<String, Sender<Job>>>>,
    /// Told when a connection is lost, by reader.
    lost: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
    modems: Arc<Modems>,
    pads: Pads,
    turns: Arc<Turns>,
}

impl std::fmt::Debug for CardHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardHandle")
    }
}

impl CardHandle {
    /// For readers of PC/SC, and these modems.
    pub fn new(modems: Modems) -> Self {
        Self {
            modems: Arc::new(modems),
            ..Self::default()
        }
    }

    /// The modems that are simsync's.
    pub fn modems(&self) -> &Modems {
        &self.modems
    }

    /// Told whenever the connection to the card in this reader is lost.
    pub fn lost(&self, reader: &str) -> Arc<Notify> {
        self.lost
            .lock()
            .entry(reader.to_owned())
            .or_default()
            .clone()
    }

    /// The readers whose card another program holds while somebody here waits for it.
    pub fn held(&self) -> watch::Receiver<BTreeSet<String>> {
        self.turns.held()
    }

    fn send(&self, reader: &str, job: Job) -> Result<(), CardError> {
        let mut threads = self.threads.lock();
        if let Some(thread) = threads.get(reader) {
            return thread.send(job).map_err(|_| CardError::Gone);
        }
        let (jobs, rx) = std::sync::mpsc::channel();
        let way = match Port::find(&self.modems, reader) {
            Some(port) => Way::Modem(port),
            None => Way::Reader(None),
        };
        let worker = Worker {
            reader: reader.to_owned(),
            way,
            card: None,
            losses: 0,
            lost: self.lost(reader),
            pads: self.pads.clone(),
            turns: self.turns.clone(),
        };
        let started = std::thread::Builder::new()
            .name("pcsc".to_owned())
            .spawn(move || worker.run(&rx));
        if let Err(error) = started {
            tracing::error!(%error, "a card thread cannot be started");
            return Err(CardError::Gone);
        }
        jobs.send(job).map_err(|_| CardError::Gone)?;
        threads.insert(reader.to_owned(), jobs);
        Ok(())
    }

    /// Runs `work` with the card in `reader`, connecting first if needed. Waits at most `deadline`; work that is under way
    /// then goes on, but nobody gets its result.
    pub async fn run<T: Send + 'static>(
        &self,
        reader: &str,
        deadline: Duration,
        work: impl FnOnce(&mut OpenCard<'_>) -> Result<T, CardError> + Send + 'static,
    ) -> Result<T, CardError> {
        let (tx, rx) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            // Nobody waits any longer: a command that nobody knows of must not reach the card.
            if tx.is_closed() {
                return;
            }
            let wanted = || !tx.is_closed();
            let (pads, name) = (worker.pads.clone(), worker.reader.clone());
            let note_pad = |pad| {
                // Another reader may have come under the same name.
                match pad {
                    Some(pad) => pads.lock().insert(name.clone(), pad),
                    None => pads.lock().remove(&name),
                };
            };
            let (turns, reader) = (worker.turns.clone(), worker.reader.clone());
            let losses = worker.losses;
            let result = match worker.card(wanted) {
                Ok(card) => work(&mut OpenCard {
                    card,
                    losses,
                    reader: &reader,
                    turns: &turns,
                    wanted: &wanted,
                    note_pad: &note_pad,
                }),
                Err(e) => Err(e.into()),
            };
            if let Err(error) = &result
                && error.ends_the_connection()
            {
                worker.lose();
            }
            let _ = tx.send(result);
        });
        self.send(reader, job)?;
        let answer = async {
            let mut rx = rx;
            let mut checks = tokio::time::interval(turns::LONG / 2);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut rx => return answer,
                    _ = checks.tick() => self.turns.note_long(reader),
                }
            }
        };
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CardError::Gone),
            Err(_) => Err(CardError::Busy),
        }
    }

    /// The PIN pad of a reader, as it said when a card of ours was looked at first.
    pub fn pin_pad(&self, reader: &str) -> Option<PinPad> {
        self.pads.lock().get(reader).copied()
    }

    /// Drops the connection to a card: it was removed, or its session is over and the PIN state must go.
    pub fn disconnect(&self, reader: &str) {
        let known = self.threads.lock().get(reader).cloned();
        // Without a thread there is no connection.
        if let Some(thread) = known {
            let _ = thread.send(Box::new(Worker::forget));
        }
    }

    /// Closes the channels in modems: nobody else does when this process ends. Waits at most `deadline`.
    pub async fn close_channels(&self, deadline: Duration) {
        let readers: Vec<String> = self.modems.devices.iter().map(|d| reader_name(d)).collect();
        let closed = async {
            for reader in readers {
                let known = self.threads.lock().get(&reader).cloned();
                let (tx, rx) = oneshot::channel::<()>();
                let job: Job = Box::new(|worker| {
                    worker.forget();
                    drop(tx);
                });
                if known.is_some_and(|thread| thread.send(job).is_ok()) {
                    let _ = rx.await;
                }
            }
        };
        if tokio::time::timeout(deadline, closed).await.is_err() {
            tracing::info!("a modem does not close its channel in time");
        }
    }
}
