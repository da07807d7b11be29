//! Asking for PINs, and unsealing the terminal's key.

use simsync_codes::Code;
use std::sync::Arc;

use simsync_card::client::Pin;
use simsync_card::sign::SecretKey;

use super::Ctx;
use super::refused_pins::refused_before;
use crate::api::{AgentError, Reason, Secret, SecretKind, SecretRequest};
use crate::identity::{Terminal, UnsealError};

/// Wrong terminal PINs before giving up; the key's own cost (Argon2id) is what slows a thief.
const TERMINAL_PIN_TRIES: u32 = 3;

/// Said to a person whose PIN was not sent.
const REFUSED_BEFORE: &str = "The card refused this PIN before; it was not sent again.";

/// A reason for an agent that gave nothing.
pub fn agent_reason(e: AgentError) -> Reason {
    let code = match e {
        AgentError::NoAgent => Code::NoAgent,
        AgentError::Declined => Code::PinDeclined,
        AgentError::TimedOut => Code::PinTimeout,
    };
    Reason::new(code, e.to_string())
}

impl Ctx {
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

    async fn ask_saying(
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
        self.ask_whom_it_asks(request).await
    }

    /// Asks for the card's PIN; what cannot be one is asked for again without costing a try.
    pub async fn ask_card_pin(
        &self,
        kind: SecretKind,
        tries: Option<u8>,
        retry: bool,
        reader: &str,
    ) -> Result<Pin, Reason> {
        self.ask_card_pin_saying(kind, tries, retry, reader, None)
            .await
    }

    /// The same, with a sentence on why the reader's PIN pad is of no use for it.
    pub async fn ask_card_pin_saying(
        &self,
        kind: SecretKind,
        mut tries: Option<u8>,
        mut retry: bool,
        reader: &str,
        mut hint: Option<&str>,
    ) -> Result<Pin, Reason> {
        let mut why = Reason::new(Code::PinFormat, "a card PIN has 4 to 8 digits or letters");
        for _ in 0..3 {
            let asked = self.ask_saying(kind, tries, retry, Some(reader), hint);
            let text = asked.await?;
            retry = true;
            let Ok(pin) = Pin::parse(text.as_bytes()) else {
                continue;
            };
            if kind != SecretKind::CardPin {
                return Ok(pin);
            }
            let Some(left) = self.is_refused(reader, &pin).await else {
                return Ok(pin);
            };
            (tries, hint) = (Some(left), Some(REFUSED_BEFORE));
            why = refused_before(left);
        }
        Err(why)
    }

    /// The terminal's key: unsealed already, or with the PIN that is asked for.
    pub async fn unsealed_key(&self, terminal: &Terminal) -> Result<Arc<SecretKey>, Reason> {
        if let Some(key) = self.key() {
            return Ok(key);
        }
        let key = self.unseal_asking(terminal).await?;
        self.set_key(Some(key));
        self.key()
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
}
