//! A SIM that runs the applet, in a modem: over a logical channel that the modem opens (3GPP TS 27.007).
//!
//! `AT+CCHO` opens a channel and selects the applet on it, `AT+CGLA` carries APDUs, `AT+CCHC` closes it. The modem itself
//! puts the channel's number into the class byte (27.007, 8.45), so what is sent is what a reader would be sent; the card's
//! runtime leaves it there, which the applet knows of (docs/card.md).

mod at;
mod error;
mod port;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::apdu::MAX_ANSWER;
use crate::client::APPLET_AID;
use crate::pinpad::Control;
use crate::transport::{Transport, TransportError};
use at::{At, Refusal};
pub use error::ModemError;
use port::Port;
pub use port::Wire;

/// How long the modem may take for its answers.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// To the first command: whether it is a modem at all.
    pub greeting: Duration,
    /// To a command that the card has to answer. The slowest cards sign in less than a second.
    pub answer: Duration,
    /// To the closing of the channel, when the value is dropped.
    pub closing: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(3),
            answer: Duration::from_secs(15),
            closing: Duration::from_secs(2),
        }
    }
}

/// Longest answer that is taken from a card: data and status word.
const ANSWER_MAX: usize = MAX_ANSWER as usize + 2;

/// The applet on a logical channel. When it is dropped the channel is closed, and with it whatever a PIN opened.
pub struct ModemCard<W: Wire = Port> {
    at: At<W>,
    /// The modem's name for the channel.
    session: u32,
    deadlines: Deadlines,
    /// An exchange broke off: what comes next may be its answer.
    broken: bool,
    closed: bool,
}

impl ModemCard {
    /// Opens the modem's AT port and a channel to the applet on its SIM.
    pub fn open(device: &Path, deadlines: Deadlines) -> Result<Self, ModemError> {
        Self::open_after(device, deadlines, None)
    }

    /// The same, after a program that may have ended without closing its channel, which was called `left` ([`Self::session`]).
    /// The applet is on one channel at a time, so that one is closed where the modem does not give another.
    pub fn open_after(
        device: &Path,
        deadlines: Deadlines,
        left: Option<u32>,
    ) -> Result<Self, ModemError> {
        Self::on(Port::open(device)?, deadlines, left)
    }
}

impl<W: Wire> ModemCard<W> {
    /// The same, with a modem that is at the other end of this.
    pub fn on(wire: W, deadlines: Deadlines, left: Option<u32>) -> Result<Self, ModemError> {
        let mut at = At::new(wire);
        // Whatever another program left half typed ends here, with whatever answer.
        let _ = at.ask("AT", deadlines.greeting)?;
        // Without echo, so that a PIN comes back as seldom as can be.
        at.ask("ATE0", deadlines.greeting)?
            .map_err(|refusal| ModemError::Refused("ATE0", refusal.to_string()))?;
        // Errors by number. One that cannot do that says ERROR only.
        let _ = at.ask("AT+CMEE=1", deadlines.greeting)?;
        let open = format!("AT+CCHO=\"{}\"", hex::encode_upper(APPLET_AID));
        let mut opened = at.ask(&open, deadlines.answer)?;
        if let (Err(_), Some(left)) = (&opened, left) {
            // It may be gone with the SIM that it was on.
            let _ = at.ask(&format!("AT+CCHC={left}"), deadlines.answer)?;
            opened = at.ask(&open, deadlines.answer)?;
        }
        let session = match opened {
            Ok(lines) => session_id(&lines)?,
            Err(refusal) => return Err(why_no_channel(&mut at, &refusal, deadlines)),
        };
        Ok(Self {
            at,
            session,
            deadlines,
            broken: false,
            closed: false,
        })
    }

    /// The modem's name for the channel.
    pub fn session(&self) -> u32 {
        self.session
    }

    /// Closes the channel, and tells whether the modem did.
    pub fn close(mut self) -> Result<(), ModemError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ModemError> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        let close = format!("AT+CCHC={}", self.session);
        self.at
            .ask(&close, self.deadlines.closing)?
            .map_err(refused)?;
        Ok(())
    }

    /// Other deadlines from now on.
    pub fn set_deadlines(&mut self, deadlines: Deadlines) {
        self.deadlines = deadlines;
    }

    fn exchange(&mut self, apdu: &[u8]) -> Result<Vec<u8>, ModemError> {
        let hex = Zeroizing::new(hex::encode_upper(apdu));
        // Reserved at once: a text that grows leaves copies of a PIN behind.
        let mut command = Zeroizing::new(String::with_capacity(hex.len() + 40));
        let (session, length) = (self.session, hex.len());
        // Writing to a string does not fail.
        let _ = write!(*command, "AT+CGLA={session},{length},\"{}\"", *hex);
        let lines = self
            .at
            .ask(&command, self.deadlines.answer)?
            .map_err(refused)?;
        let mut answers = lines.iter().filter_map(|l| l.strip_prefix("+CGLA:"));
        match (answers.next(), answers.next()) {
            (Some(answer), None) => apdu_answer(answer),
            _ => Err(ModemError::Nonsense(
                "it gave no answer of the card, or two",
            )),
        }
    }
}

impl<W: Wire> Transport for ModemCard<W> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        if self.broken {
            return Err(ModemError::Broken.into());
        }
        let answer = self.exchange(apdu);
        // A refusal is an answer; after anything else nobody knows whose answer comes next.
        self.broken = !matches!(
            answer,
            Ok(_) | Err(ModemError::Refused(..) | ModemError::NoSim | ModemError::Locked)
        );
        Ok(answer?)
    }
}

/// No modem has keys of its own for a PIN.
impl<W: Wire> Control for ModemCard<W> {
    fn features(&mut self) -> Result<Vec<u8>, TransportError> {
        Err(TransportError::Unsupported)
    }

    fn control(&mut self, _: u32, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        Err(TransportError::Unsupported)
    }
}

impl<W: Wire> Drop for ModemCard<W> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::debug!(%error, "the logical channel is left to the modem");
        }
    }
}

/// `+CCHO: 1`, or the number alone, as older versions of 27.007 have it.
fn session_id(lines: &[Zeroizing<String>]) -> Result<u32, ModemError> {
    let number = |line: &Zeroizing<String>| {
        let text = line.strip_prefix("+CCHO:").unwrap_or(line);
        text.trim().parse::<u32>().ok()
    };
    lines
        .iter()
        .find_map(number)
        .filter(|session| *session != 0)
        .ok_or(ModemError::Nonsense(
            "it opened a channel and did not name it",
        ))
}

/// `+CGLA: 4,"9000"`, with or without quotes: the length counts hexadecimal digits.
fn apdu_answer(text: &str) -> Result<Vec<u8>, ModemError> {
    let bad = ModemError::Nonsense;
    let (length, hex) = text
        .split_once(',')
        .ok_or(bad("its answer to AT+CGLA has no length"))?;
    let hex = hex.trim().trim_matches('"');
    if length.trim().parse() != Ok(hex.len()) {
        return Err(bad("the length that it gives is not that of the answer"));
    }
    if hex.len() > 2 * ANSWER_MAX {
        return Err(bad("the card's answer is too long"));
    }
    let bytes = hex::decode(hex).map_err(|_| bad("the card's answer is not in hexadecimal"))?;
    if bytes.len() < 2 {
        return Err(bad("the card's answer has no status word"));
    }
    Ok(bytes)
}

/// What a modem says no to, as far as 27.007 (9.2) gives it a number.
fn refused(refusal: Refusal) -> ModemError {
    match refusal.code {
        Some(10) => ModemError::NoSim,
        // SIM PIN, PUK, PIN2, PUK2 required.
        Some(11 | 12 | 17 | 18) => ModemError::Locked,
        _ => ModemError::Refused("the card's command", refusal.to_string()),
    }
}

/// Whether the modem has no channels to give, or the SIM no applet.
fn why_no_channel<W: Wire>(at: &mut At<W>, refusal: &Refusal, deadlines: Deadlines) -> ModemError {
    match refused(*refusal) {
        ModemError::Refused(..) => {}
        known => return known,
    }
    match at.ask("AT+CCHO=?", deadlines.answer) {
        Ok(Ok(_)) => ModemError::NoApplet(refusal.to_string()),
        Ok(Err(_)) => ModemError::NoChannels(refusal.to_string()),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_as_they_may_be_written_and_not_otherwise() {
        for (text, bytes) in [
            (" 4,\"9000\"", Some(vec![0x90, 0x00])),
            (" 4,9000", Some(vec![0x90, 0x00])),
            ("6,\"01900a\"", Some(vec![0x01, 0x90, 0x0A])),
            ("4,\"90\"", None),
            ("2,\"90\"", None),
            ("0,\"\"", None),
            ("5,\"90000\"", None),
            ("4,\"90 0\"", None),
            ("4,\"9g00\"", None),
            ("9000", None),
            ("-4,9000", None),
            ("", None),
        ] {
            assert_eq!(apdu_answer(text).ok(), bytes, "{text}");
        }
        let longest = format!("{},\"{}\"", 2 * ANSWER_MAX, "90".repeat(ANSWER_MAX));
        assert_eq!(apdu_answer(&longest).unwrap().len(), ANSWER_MAX);
        let longer = format!("{},\"{}\"", 2 * ANSWER_MAX + 2, "90".repeat(ANSWER_MAX + 1));
        assert!(apdu_answer(&longer).is_err());
    }

    #[test]
    fn a_channel_has_a_name_that_is_a_number() {
        let lines = |texts: &[&str]| -> Vec<Zeroizing<String>> {
            texts
                .iter()
                .map(|t| Zeroizing::new(t.to_string()))
                .collect()
        };
        for (texts, session) in [
            (&["+CCHO: 1"][..], Some(1)),
            (&["2"], Some(2)),
            (&["+CREG: 1", "+CCHO:257"], Some(257)),
            (&["+CCHO: 0"], None),
            (&["+CCHO: one"], None),
            (&["+CREG: 1"], None),
            (&[], None),
        ] {
            assert_eq!(session_id(&lines(texts)).ok(), session, "{texts:?}");
        }
    }
}
