//! A reader that a test plays itself: past pcscd and every daemon, the card is told the test's own bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use simsync_card::apdu::Command;
use simsync_card::transport::{Transport, TransportError};

use super::{DEADLINE, Result};

/// One card in it. The virtual reader's protocol: 2 bytes of length, then an APDU.
pub struct Reader {
    card: TcpStream,
}

impl Reader {
    /// Listens, lets `insert` put a card in at that port, and takes it.
    pub(super) fn receive(insert: impl FnOnce(u16) -> Result<()>) -> Result<Self> {
        let io = |e: std::io::Error| format!("the test's own reader: {e}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(io)?;
        insert(listener.local_addr().map_err(io)?.port())?;
        // The bridge connected before it said so: nothing to wait for.
        listener.set_nonblocking(true).map_err(io)?;
        let card = accept(&listener).map_err(io)?;
        card.set_nonblocking(false).map_err(io)?;
        card.set_nodelay(true).map_err(io)?;
        card.set_read_timeout(Some(DEADLINE)).map_err(io)?;
        Ok(Self { card })
    }

    /// The connection to the card itself.
    pub(super) fn into_stream(self) -> TcpStream {
        self.card
    }

    /// Sends a command as it is; answers data and status word as they came.
    pub fn raw(&mut self, command: &Command) -> Result<(Vec<u8>, u16)> {
        let mut answer = self
            .transmit(&command.encode())
            .map_err(|e| e.to_string())?;
        let Some(at) = answer.len().checked_sub(2) else {
            return Err(format!("the card answered {} bytes", answer.len()));
        };
        let sw = answer.split_off(at);
        Ok((answer, u16::from_be_bytes([sw[0], sw[1]])))
    }
}

fn accept(listener: &TcpListener) -> std::io::Result<TcpStream> {
    let end = Instant::now() + DEADLINE;
    loop {
        match listener.accept() {
            Ok((card, _)) => return Ok(card),
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            Err(e) => return Err(e),
        }
    }
}

impl Transport for Reader {
    fn transmit(&mut self, apdu: &[u8]) -> std::result::Result<Vec<u8>, TransportError> {
        let mut exchange = || -> std::io::Result<Vec<u8>> {
            let length = u16::try_from(apdu.len()).map_err(std::io::Error::other)?;
            let mut message = length.to_be_bytes().to_vec();
            message.extend_from_slice(apdu);
            self.card.write_all(&message)?;
            let mut length = [0; 2];
            self.card.read_exact(&mut length)?;
            let mut answer = vec![0; u16::from_be_bytes(length).into()];
            self.card.read_exact(&mut answer)?;
            Ok(answer)
        };
        exchange().map_err(|e| TransportError::Other(Box::new(e)))
    }
}
