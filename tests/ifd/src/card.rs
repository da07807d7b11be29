//! The card's end of the reader: one TCP connection at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const ATR_WANTED: u8 = 4;
/// Longest answer to reset, in bytes (ISO 7816-3).
const ATR_MAX: usize = 33;
/// How long a card may take for an answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the card's power line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    Off,
    On,
    Reset,
}

/// A slot, and the card in it.
pub struct Slot {
    listener: TcpListener,
    card: Option<TcpStream>,
}

impl Slot {
    /// Waits for cards at this port.
    pub fn open(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            card: None,
        })
    }

    /// Whether a card is in; takes a new one in.
    pub fn is_present(&mut self) -> bool {
        if self.card.as_ref().is_some_and(is_gone) {
            self.card = None;
        }
        if self.card.is_none() {
            self.card = self.accept().ok();
        }
        self.card.is_some()
    }

    fn accept(&self) -> std::io::Result<TcpStream> {
        let (card, _) = self.listener.accept()?;
        card.set_nonblocking(false)?;
        card.set_nodelay(true)?;
        card.set_read_timeout(Some(DEADLINE))?;
        card.set_write_timeout(Some(DEADLINE))?;
        Ok(card)
    }

    /// The card's connection, to be waited on: a card says nothing unasked, so what there is to read is its end.
    pub fn card(&self) -> Option<&TcpStream> {
        self.card.as_ref()
    }

    /// Changes its power; answers the answer to reset, empty without power.
    pub fn power(&mut self, power: Power) -> std::io::Result<Vec<u8>> {
        let code = match power {
            Power::Off => POWER_OFF,
            Power::On => POWER_ON,
            Power::Reset => RESET,
        };
        self.say(&[code])?;
        if power == Power::Off {
            return Ok(Vec::new());
        }
        self.say(&[ATR_WANTED])?;
        let atr = self.hear()?;
        if atr.len() > ATR_MAX {
            return Err(std::io::Error::from(ErrorKind::InvalidData));
        }
        Ok(atr)
    }

    /// One command and its answer.
    pub fn exchange(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>> {
        self.say(command)?;
        self.hear()
    }

    fn stream(&mut self) -> std::io::Result<&mut TcpStream> {
        self.card
            .as_mut()
            .ok_or_else(|| std::io::Error::from(ErrorKind::NotConnected))
    }

    fn say(&mut self, message: &[u8]) -> std::io::Result<()> {
        let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
        // One write: two would wait for each other's acknowledgement.
        let mut framed = zeroize::Zeroizing::new(length.to_be_bytes().to_vec());
        framed.extend_from_slice(message);
        self.stream()?.write_all(&framed)
    }

    fn hear(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.stream()?.read_exact(&mut length)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        self.stream()?.read_exact(&mut answer)?;
        Ok(answer)
    }
}

fn is_gone(card: &TcpStream) -> bool {
    let peeked = card
        .set_nonblocking(true)
        .and_then(|()| card.peek(&mut [0]));
    let gone = match peeked {
        Ok(n) => n == 0,
        Err(e) => e.kind() != ErrorKind::WouldBlock,
    };
    gone || card.set_nonblocking(false).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_comes_answers_and_goes() {
        let mut slot = Slot::open(0).unwrap();
        assert!(!slot.is_present());
        assert!(slot.power(Power::On).is_err());
        let mut card = TcpStream::connect(slot.listener.local_addr().unwrap()).unwrap();
        let end = std::time::Instant::now() + DEADLINE;
        while !slot.is_present() {
            assert!(std::time::Instant::now() < end);
        }
        // Answers before it is asked: what it is asked is looked at after.
        card.write_all(&[0, 2, 0x3B, 0x00, 0, 2, 0x90, 0x00])
            .unwrap();
        assert_eq!(slot.power(Power::On).unwrap(), [0x3B, 0x00]);
        assert_eq!(slot.exchange(&[0, 0xA4, 4, 0]).unwrap(), [0x90, 0x00]);
        let mut asked = [0; 12];
        card.read_exact(&mut asked).unwrap();
        assert_eq!(asked, [0, 1, 1, 0, 1, 4, 0, 4, 0, 0xA4, 4, 0]);
        assert!(slot.is_present());
        drop(card);
        assert!(!slot.is_present());
    }
}
