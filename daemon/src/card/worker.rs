//! The threads that talk to cards, one a reader. Their calls block: without time-out while another program holds a card, and
//! while a person types at the reader's own keys. So everybody else waits for them with a deadline, and one reader's wait is
//! no other's.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pcsc::{Context, Scope};
use simsync_card::client::CardError as ClientError;
use simsync_card::pcsc::PcscCard;
use simsync_card::pinpad::PinPad;
use simsync_card::transport::TransportError;
use tokio::sync::oneshot;

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
        matches!(
            self.transport(),
            Some(
                TransportError::RemovedCard
                    | TransportError::ReaderGone
                    | TransportError::ServiceGone
                    | TransportError::NoAnswer(_)
                    | TransportError::BrokenOff
            )
        )
    }
}

/// The connection to one card. It stays while the card is in, so that the PIN stays verified.
pub struct OpenCard<'a> {
    card: &'a mut PcscCard,
    wanted: &'a dyn Fn() -> bool,
    note_pad: &'a dyn Fn(Option<PinPad>),
}

impl<'a> OpenCard<'a> {
    /// The card, for a transaction.
    pub fn card(&mut self) -> &mut PcscCard {
        self.card
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

type Pads = Arc<Mutex<HashMap<String, PinPad>>>;

/// One reader's.
struct Worker {
    reader: String,
    context: Option<Context>,
    card: Option<PcscCard>,
    pads: Pads,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            job(&mut self);
        }
    }

    fn card(&mut self) -> Result<&mut PcscCard, TransportError> {
        let card = match self.card.take() {
            Some(card) => card,
            None => self.connect()?,
        };
        Ok(self.card.insert(card))
    }

    fn connect(&mut self) -> Result<PcscCard, TransportError> {
        let name = CString::new(self.reader.as_str()).map_err(|_| TransportError::ReaderGone)?;
        let context = match &self.context {
            Some(c) => c.clone(),
            None => {
                let c = Context::establish(Scope::User)?;
                self.context = Some(c.clone());
                c
            }
        };
        match PcscCard::connect(&context, &name) {
            Err(TransportError::ServiceGone) => {
                // The context outlived its pcscd: a new one, once.
                self.context = None;
                let fresh = Context::establish(Scope::User)?;
                self.context = Some(fresh.clone());
                PcscCard::connect(&fresh, &name)
            }
            other => other,
        }
    }

    fn forget(&mut self) {
        self.card = None;
    }
}

/// Sends work to the card threads. Clones share them; they end with the last one.
#[derive(Clone, Default)]
pub struct CardHandle {
    /// By reader. A thread is started with its first work and stays: readers are few.
    threads: Arc<Mutex<HashMap<String, Sender<Job>>>>,
    pads: Pads,
}

impl std::fmt::Debug for CardHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardHandle")
    }
}

impl CardHandle {
    fn send(&self, reader: &str, job: Job) -> Result<(), CardError> {
        let mut threads = lock(&self.threads);
        if let Some(thread) = threads.get(reader) {
            return thread.send(job).map_err(|_| CardError::Gone);
        }
        let (jobs, rx) = std::sync::mpsc::channel();
        let worker = Worker {
            reader: reader.to_owned(),
            context: None,
            card: None,
            pads: self.pads.clone(),
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
                    Some(pad) => lock(&pads).insert(name.clone(), pad),
                    None => lock(&pads).remove(&name),
                };
            };
            let result = match worker.card() {
                Ok(card) => work(&mut OpenCard {
                    card,
                    wanted: &wanted,
                    note_pad: &note_pad,
                }),
                Err(e) => Err(e.into()),
            };
            if let Err(error) = &result
                && error.is_removal()
            {
                worker.forget();
            }
            let _ = tx.send(result);
        });
        self.send(reader, job)?;
        match tokio::time::timeout(deadline, rx).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CardError::Gone),
            Err(_) => Err(CardError::Busy),
        }
    }

    /// The PIN pad of a reader, as it said when a card of ours was looked at first.
    pub fn pin_pad(&self, reader: &str) -> Option<PinPad> {
        lock(&self.pads).get(reader).copied()
    }

    /// Drops the connection to a card: it was removed, or its session is over and the PIN state must go.
    pub fn disconnect(&self, reader: &str) {
        let known = lock(&self.threads).get(reader).cloned();
        // Without a thread there is no connection.
        if let Some(thread) = known {
            let _ = thread.send(Box::new(Worker::forget));
        }
    }
}
