//! Somebody between a card and a reader, who passes on what both say and changes what they like.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;

use super::{DEADLINE, Reader, Result, wait_for};

/// Commands of the virtual reader that are no APDU; of these the card answers one.
const ATR_WANTED: [u8; 1] = [4];

/// A card that is in a reader by way of this; out again when it is dropped.
pub struct Relay {
    to_reader: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Puts a card that was lent into the reader at `port`. `change` gets each command and the card's answer, and says what
    /// the reader is given.
    pub fn start(
        card: Reader,
        port: u16,
        mut change: impl FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Result<Self> {
        let to_reader = wait_for("the reader", DEADLINE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })?;
        to_reader.set_nodelay(true).map_err(|e| e.to_string())?;
        let mut reader = to_reader.try_clone().map_err(|e| e.to_string())?;
        let mut card = card.into_stream();
        let thread = std::thread::spawn(move || {
            // It ends when either of them goes.
            while let Ok(message) = receive(&mut reader) {
                if send(&mut card, &message).is_err() {
                    return;
                }
                if message.len() <= 1 && message != ATR_WANTED {
                    continue;
                }
                let Ok(answer) = receive(&mut card) else {
                    return;
                };
                let answer = if message.len() == 1 {
                    answer
                } else {
                    change(&message, answer)
                };
                if send(&mut reader, &answer).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            to_reader,
            thread: Some(thread),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.to_reader.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// 2 bytes of length, then the message.
fn receive(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    from.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    from.read_exact(&mut message)?;
    Ok(message)
}

fn send(to: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let too_long = |_| std::io::Error::from(ErrorKind::InvalidInput);
    let length = u16::try_from(message.len()).map_err(too_long)?;
    to.write_all(&[&length.to_be_bytes()[..], message].concat())
}
