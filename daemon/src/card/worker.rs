//! The thread that talks to cards. Its calls block, without time-out when another program holds a card, so everybody else
//! waits for it with a deadline.

use std::collections::HashMap;
use std::ffi::CString;
use std::time::Duration;

use pcsc::{Context, Scope};
use simsync_card::client::CardError as ClientError;
use simsync_card::pcsc::PcscCard;
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
}

impl OpenCard<'_> {
    /// The card, for a transaction.
    pub fn card(&mut self) -> &mut PcscCard {
        self.card
    }
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

#[derive(Default)]
struct Worker {
    context: Option<Context>,
    cards: HashMap<String, PcscCard>,
}

impl Worker {
    fn card(&mut self, reader: &str) -> Result<&mut PcscCard, TransportError> {
        if !self.cards.contains_key(reader) {
            let name = CString::new(reader).map_err(|_| TransportError::ReaderGone)?;
            let context = match &self.context {
                Some(c) => c.clone(),
                None => {
                    let c = Context::establish(Scope::User)?;
                    self.context = Some(c.clone());
                    c
                }
            };
            let card = match PcscCard::connect(&context, &name) {
                Ok(card) => card,
                Err(TransportError::ServiceGone) => {
                    // The context outlived its pcscd: a new one, once.
                    self.context = None;
                    let fresh = Context::establish(Scope::User)?;
                    self.context = Some(fresh.clone());
                    PcscCard::connect(&fresh, &name)?
                }
                Err(e) => return Err(e),
            };
            self.cards.insert(reader.to_owned(), card);
        }
        self.cards.get_mut(reader).ok_or(TransportError::ReaderGone)
    }

    fn forget(&mut self, reader: &str) {
        self.cards.remove(reader);
    }
}

/// Sends work to the card thread.
#[derive(Clone)]
pub struct CardHandle(std::sync::mpsc::Sender<Job>);

impl std::fmt::Debug for CardHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardHandle")
    }
}

impl CardHandle {
    /// Starts the thread. It ends when the last handle is dropped.
    pub fn start() -> std::io::Result<Self> {
        let (tx, rx) = std::sync::mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("pcsc".to_owned())
            .spawn(move || {
                let mut worker = Worker::default();
                while let Ok(job) = rx.recv() {
                    job(&mut worker);
                }
            })?;
        Ok(Self(tx))
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
        let reader = reader.to_owned();
        let job: Job = Box::new(move |worker| {
            // Nobody waits any longer: a command that nobody knows of must not reach the card.
            if tx.is_closed() {
                return;
            }
            let result = match worker.card(&reader) {
                Ok(card) => work(&mut OpenCard { card }),
                Err(e) => Err(e.into()),
            };
            if let Err(error) = &result
                && error.is_removal()
            {
                worker.forget(&reader);
            }
            let _ = tx.send(result);
        });
        self.0.send(job).map_err(|_| CardError::Gone)?;
        match tokio::time::timeout(deadline, rx).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CardError::Gone),
            Err(_) => Err(CardError::Busy),
        }
    }

    /// Drops the connection to a card: it was removed, or its session is over and the PIN state must go.
    pub fn disconnect(&self, reader: &str) {
        let reader = reader.to_owned();
        let _ = self.0.send(Box::new(move |worker| worker.forget(&reader)));
    }
}
