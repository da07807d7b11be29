//! The person: asked for secrets, shown what was made, and how the terminal's key is unsealed with their PIN.

use std::sync::Arc;

use simsync_card::sign::SecretKey;
use simsync_codes::Code;
use tokio::sync::watch;

use super::ask::{self, OpeningAsks, asker, unless_stopped};
use crate::api::{
    AgentError, Agents, Caller, Failure, PadRequest, PadShown, Reason, Secret, SecretKind,
    SecretRequest,
};
use crate::engine::fresh_rng;
use crate::identity::{Identity, Terminal, UnsealError};
use crate::reasons::agent_reason;
use crate::rules::Unlocks;

/// Wrong terminal PINs before giving up; the key's own cost (Argon2id) is what slows a thief.
const TERMINAL_PIN_TRIES: u32 = 3;

/// The person, as far as agents reach them.
pub struct Person {
    agents: Arc<dyn Agents>,
    /// Commands to open the session, as the rules know them.
    unlocks: watch::Sender<Unlocks>,
}

impl Person {
    /// Whom these agents reach.
    pub fn new(agents: Arc<dyn Agents>) -> Self {
        Self {
            agents,
            unlocks: watch::Sender::default(),
        }
    }

    /// Takes over which commands to open the session stand.
    pub fn note_unlocks(&self, now: &Unlocks) {
        self.unlocks.send_if_modified(|known| {
            let changed = known != now;
            known.clone_from(now);
            changed
        });
    }

    /// Commands to open the session, as they come and go.
    pub fn unlocks(&self) -> watch::Receiver<Unlocks> {
        self.unlocks.subscribe()
    }

    /// The agent that an order of this caller leads to.
    pub fn agent_of(&self, by: &Caller) -> Option<Caller> {
        self.agents.first(Some(by))
    }

    /// Whether there is anybody who an opening could ask now.
    pub fn can_be_asked(&self) -> bool {
        self.agents.any(self.unlocks.borrow().asked())
    }

    /// Whom an opening that begins now asks.
    pub fn opening_asks(&self) -> Arc<OpeningAsks> {
        OpeningAsks::new(self.unlocks(), self.agents.clone())
    }

    /// Shows what was made, under a name that agents know, and waits until the person has seen it.
    pub async fn show(&self, what: &'static str, made: Secret) -> Result<(), Reason> {
        unless_stopped(self.agents.show(asker(), what, made))
            .await?
            .map_err(agent_reason)
    }

    /// Tells the person to type the PIN on the reader. None: nobody is there who could.
    pub async fn show_pad(&self, request: PadRequest) -> Result<Option<PadShown>, Reason> {
        match self.agents.show_pad(asker(), request).await {
            Ok(shown) => Ok(Some(shown)),
            Err(AgentError::NoAgent) => Ok(None),
            Err(e) => Err(agent_reason(e)),
        }
    }

    /// Asks for one secret.
    pub async fn ask(
        &self,
        kind: SecretKind,
        tries_left: Option<u8>,
        retry: bool,
        reader: Option<&str>,
    ) -> Result<Secret, Reason> {
        self.ask_saying(kind, tries_left, retry, reader, None).await
    }

    /// The same, with a sentence on why it is typed here and not on the reader.
    pub async fn ask_saying(
        &self,
        kind: SecretKind,
        tries_left: Option<u8>,
        retry: bool,
        reader: Option<&str>,
        hint: Option<&str>,
    ) -> Result<Secret, Reason> {
        let request = SecretRequest {
            kind,
            tries_left,
            retry,
            reader: reader.map(str::to_owned),
            hint: hint.map(str::to_owned),
        };
        ask::ask(&*self.agents, request).await
    }

    /// The terminal's key: unsealed already, or with the PIN that is asked for.
    pub async fn unsealed_key(
        &self,
        identity: &Identity,
        terminal: &Terminal,
    ) -> Result<Arc<SecretKey>, Reason> {
        if let Some(key) = identity.key() {
            return Ok(key);
        }
        let key = self.unseal_asking(terminal).await?;
        identity.set_key(Some(key));
        identity
            .key()
            .ok_or_else(|| Reason::new(Code::Internal, "the key is gone"))
    }

    /// The same, with the PIN in any case; asked for again while it is wrong.
    pub async fn unseal_asking(&self, terminal: &Terminal) -> Result<SecretKey, Reason> {
        for attempt in 0..TERMINAL_PIN_TRIES {
            let pin = self
                .ask(SecretKind::TerminalPin, None, attempt > 0, None)
                .await?;
            let sealed = terminal.clone();
            let result = tokio::task::spawn_blocking(move || sealed.unseal(&pin)).await;
            match result {
                Ok(Ok(key)) => return Ok(key),
                Ok(Err(UnsealError::WrongPin | UnsealError::TooShort)) => {}
                Ok(Err(e)) => return Err(Reason::new(Code::TerminalKey, e.to_string())),
                Err(_) => {
                    return Err(Reason::new(
                        Code::Internal,
                        "unsealing the terminal's key failed",
                    ));
                }
            }
        }
        Err(Reason::new(
            Code::TerminalPinIncorrect,
            "the terminal PIN is wrong",
        ))
    }

    /// Seals the terminal's key under a new PIN.
    pub async fn change_terminal_pin(&self, identity: &Identity) -> Result<(), Failure> {
        let mut terminal = identity
            .terminal()
            .ok_or_else(|| Failure::new(Code::NotPaired, "this terminal is not paired"))?;
        let key = self.unseal_asking(&terminal).await?;
        let new = self
            .ask(SecretKind::NewTerminalPin, None, false, None)
            .await?;
        let (resealed, result) = tokio::task::spawn_blocking(move || {
            let r = terminal.reseal(&key, &new, &mut fresh_rng());
            (terminal, r)
        })
        .await
        .map_err(|_| Failure::new(Code::Internal, "sealing failed"))?;
        result.map_err(|e| Failure::new(Code::TerminalPinShort, e.to_string()))?;
        identity
            .update_terminal(|t| t.key = resealed.key)
            .map_err(|e| Failure::new(Code::CannotWrite, e.to_string()))?;
        Ok(())
    }
}
