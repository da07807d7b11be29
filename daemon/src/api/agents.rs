//! Who asks the person: what for, and what may come of it.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret that was asked for; zeroized when dropped.
pub type Secret = Zeroizing<String>;

/// What an agent is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretKind {
    /// The card's PIN as it is now.
    CardPin,
    /// A new card PIN (the present one must be changed, or the owner wants to).
    NewCardPin,
    /// The PIN that unseals this terminal's key.
    TerminalPin,
    /// A PIN chosen for this terminal.
    NewTerminalPin,
}

/// What is known to somebody who has to type a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRequest {
    /// Which PIN, and whether a new one is to be chosen.
    pub kind: SecretKind,
    /// Tries left, when known.
    pub tries_left: Option<u8>,
    /// The last one was wrong.
    pub retry: bool,
    /// The reader in which the card is.
    pub reader: Option<String>,
    /// Why the PIN is not typed on the reader, which could do it otherwise: a sentence.
    pub hint: Option<String>,
}

/// What a PIN is typed on the reader for: each time it is typed opens one thing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadPurpose {
    /// To open the session.
    Open,
    /// To enter the vault, while pairing.
    Enter,
    /// To read whose card it is.
    Read,
    /// To write this terminal onto the card.
    AddTerminal,
    /// To take a terminal off the card.
    RemoveTerminal,
    /// To sign the list of terminals, cards and collections.
    Sign,
    /// To end a record of the card that nobody can prove.
    EndRecord,
    /// To write the server's new address onto the card.
    SetServer,
    /// To change the PIN: the present one, and the new one twice.
    Change,
}

impl PadPurpose {
    /// As agents are told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Enter => "enter",
            Self::Read => "read",
            Self::AddTerminal => "add-terminal",
            Self::RemoveTerminal => "remove-terminal",
            Self::Sign => "sign",
            Self::EndRecord => "end-record",
            Self::SetServer => "set-server",
            Self::Change => "change",
        }
    }
}

/// What is known to somebody who has to type the PIN on the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PadRequest {
    /// Name of the reader on whose keys the PIN is typed.
    pub reader: String,
    /// What this entry opens; the next one is asked for anew.
    pub purpose: PadPurpose,
    /// Tries left, when known.
    pub tries_left: Option<u8>,
    /// The last one was wrong.
    pub retry: bool,
    /// How long the reader waits for the first key, in seconds.
    pub seconds: u32,
}

/// What stands at an agent. Dropped, it is withdrawn some time soon.
pub trait Message: Send {
    /// Withdraws it; ends when it is gone, so that the next one is not taken for it.
    fn withdraw(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A message that stands at an agent, until it is withdrawn or dropped.
pub struct PadShown {
    declined: BoxFuture<'static, ()>,
    message: Box<dyn Message>,
}

impl PadShown {
    /// A message, and what ends when the person does not want to.
    pub fn new(
        declined: impl Future<Output = ()> + Send + 'static,
        message: impl Message + 'static,
    ) -> Self {
        Self {
            declined: Box::pin(declined),
            message: Box::new(message),
        }
    }

    /// Takes it down.
    pub async fn withdraw(self) {
        self.message.withdraw().await;
    }

    /// Waits until the person does not want to, for ever if that does not come. It comes once.
    pub async fn declined(&mut self) {
        (&mut self.declined).await;
    }
}

/// Whose command something is asked for. Nothing that it needs, and no secret that it makes, goes to another program's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

/// Why an agent gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// Nobody is registered who could ask.
    #[error(
        "nobody is there to ask for the PIN: run `simsync unlock`, or start the desktop prompt"
    )]
    NoAgent,
    /// The person said no.
    #[error("the PIN was not given")]
    Declined,
    /// No answer in time.
    #[error("the PIN was not given in time")]
    TimedOut,
}

/// Somebody who can ask the person: the agents of the caller whose command it is, then the default agent; where nobody gave a
/// command, the default agent alone.
pub trait Agents: Send + Sync {
    /// Asks for a secret. Dropping the future cancels the prompt.
    fn ask(
        &self,
        by: Option<Caller>,
        request: SecretRequest,
    ) -> BoxFuture<'_, Result<Secret, AgentError>>;
    /// Shows a secret that was made (a new PUK, the recovery code) and answers once it was taken note of.
    fn show(
        &self,
        by: Option<Caller>,
        what: &'static str,
        secret: Secret,
    ) -> BoxFuture<'_, Result<(), AgentError>>;
    /// Tells the person to type the PIN on the reader. [`AgentError::NoAgent`]: nobody can tell; ask for the PIN instead.
    fn show_pad(
        &self,
        by: Option<Caller>,
        request: PadRequest,
    ) -> BoxFuture<'_, Result<PadShown, AgentError>>;
    /// Whose agent is asked first for an order of this caller; none if there is nobody.
    fn first(&self, by: Option<&Caller>) -> Option<Caller>;
    /// Whether there is anybody to be asked.
    fn any(&self, by: Option<&Caller>) -> bool {
        self.first(by).is_some()
    }
}
