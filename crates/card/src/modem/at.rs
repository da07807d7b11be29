//! Questions and answers of a modem, one at a time (ITU-T V.250, 3GPP TS 27.007).

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::error::ModemError;
use super::port::{Port, Wire};

/// Longest line: an echo of the longest AT+CGLA, which is longer than any answer.
const LINE_MAX: usize = 1024;
/// Lines that may come before the final one: unsolicited ones among them.
const LINES_MAX: usize = 64;

/// How a modem says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The number of `+CME ERROR`, if it gives one.
    pub code: Option<u32>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(code) = self.code else {
            return f.write_str("ERROR");
        };
        write!(f, "+CME ERROR {code}")?;
        // 3GPP TS 27.007, 9.2.
        let meaning = match code {
            3 => "operation not allowed",
            4 => "operation not supported",
            13 => "SIM failure",
            14 => "SIM busy",
            15 => "SIM wrong",
            20 => "memory full",
            22 => "not found",
            50 => "incorrect parameters",
            100 => "unknown error",
            _ => return Ok(()),
        };
        write!(f, ", {meaning}")
    }
}

/// A line as it is understood.
enum Line {
    Ok,
    Refused(Refusal),
    Other(Zeroizing<String>),
}

/// The modem, asked one thing at a time.
pub struct At<W = Port> {
    port: W,
    /// Bytes that came and are no whole line yet.
    rest: Zeroizing<Vec<u8>>,
}

impl<W: Wire> At<W> {
    pub fn new(port: W) -> Self {
        // Reserved at once: a vector that grows leaves copies behind.
        let rest = Zeroizing::new(Vec::with_capacity(2 * LINE_MAX));
        Self { port, rest }
    }

    /// Sends a command and waits for its final line; answers the lines before it without the echo. Lines that nobody asked
    /// for may be among them.
    pub fn ask(
        &mut self,
        command: &str,
        deadline: Duration,
    ) -> Result<Result<Vec<Zeroizing<String>>, Refusal>, ModemError> {
        let end = Instant::now() + deadline;
        let late = |error| match error {
            ModemError::Silent(_) => ModemError::Silent(deadline),
            other => other,
        };
        // What came unasked before this command is no answer to it.
        self.rest.clear();
        self.port.flush()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(command.len() + 1));
        bytes.extend_from_slice(command.as_bytes());
        bytes.push(b'\r');
        self.port.write(&bytes, end).map_err(late)?;
        let mut lines = Vec::new();
        loop {
            match self.line(end).map_err(late)? {
                Line::Ok => return Ok(Ok(lines)),
                Line::Refused(refusal) => return Ok(Err(refusal)),
                Line::Other(line) if *line == command => {}
                Line::Other(_) if lines.len() == LINES_MAX => return Err(ModemError::Flood),
                Line::Other(line) => lines.push(line),
            }
        }
    }

    /// The next line that is not empty.
    fn line(&mut self, end: Instant) -> Result<Line, ModemError> {
        loop {
            if let Some(at) = self.rest.iter().position(|b| matches!(b, b'\r' | b'\n')) {
                let line = text(&self.rest[..at]);
                self.rest.drain(..=at);
                match line {
                    Some(line) if line.is_empty() => continue,
                    Some(line) => return Ok(understood(line)),
                    None => return Err(ModemError::Nonsense("it is no text")),
                }
            }
            if self.rest.len() > LINE_MAX {
                return Err(ModemError::Flood);
            }
            let mut piece = Zeroizing::new([0; LINE_MAX]);
            let count = self.port.read(&mut *piece, end)?;
            self.rest.extend_from_slice(&piece[..count]);
        }
    }
}

fn text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.is_ascii()
        .then(|| Zeroizing::new(text.trim().to_owned()))
}

fn understood(line: Zeroizing<String>) -> Line {
    let refused = |code| Line::Refused(Refusal { code });
    if let Some(code) = line.strip_prefix("+CME ERROR:") {
        return refused(code.trim().parse().ok());
    }
    match line.as_str() {
        "OK" => Line::Ok,
        "ERROR" | "COMMAND NOT SUPPORT" | "NO CARRIER" => refused(None),
        text if text.starts_with("+CMS ERROR:") => refused(None),
        _ => Line::Other(line),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    /// A modem that says this, piece by piece, and then nothing more.
    struct Says(RefCell<VecDeque<Vec<u8>>>);

    impl Wire for Says {
        fn flush(&self) -> Result<(), ModemError> {
            Ok(())
        }

        fn write(&self, _: &[u8], _: Instant) -> Result<(), ModemError> {
            Ok(())
        }

        fn read(&self, buffer: &mut [u8], _: Instant) -> Result<usize, ModemError> {
            let piece = self.0.borrow_mut().pop_front();
            let piece = piece.ok_or(ModemError::Silent(Duration::ZERO))?;
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    /// How many lines came before the final one.
    fn ask(pieces: &[&str]) -> Result<usize, ModemError> {
        let pieces = pieces.iter().map(|p| p.as_bytes());
        let pieces = pieces.flat_map(|p| p.chunks(LINE_MAX).map(<[u8]>::to_vec));
        let mut at = At::new(Says(RefCell::new(pieces.collect())));
        let answer = at.ask("AT+X", Duration::from_secs(1))?;
        Ok(answer.map_or(usize::MAX, |lines| lines.len()))
    }

    #[test]
    fn w_8_so_much_is_listened_to_and_no_more() {
        let flood = |pieces: &[&str]| matches!(ask(pieces), Err(ModemError::Flood));
        // Lines: the echo is none of them, and empty ones are none.
        let lines = |n: usize| format!("AT+X\r\n\r\n{}OK\r\n", "+Y: 1\r\n".repeat(n));
        assert_eq!(ask(&[&lines(0)]).unwrap(), 0);
        assert_eq!(ask(&[&lines(LINES_MAX)]).unwrap(), LINES_MAX);
        assert!(flood(&[&lines(LINES_MAX + 1)]));
        // The longest line, and one byte more.
        let long = "Y".repeat(LINE_MAX);
        assert_eq!(ask(&[&long, "\r\nOK\r\n"]).unwrap(), 1);
        assert!(flood(&[&long, "Y", "\r\nOK\r\n"]));
        // A refusal is an answer; an answer without its end is none.
        assert_eq!(ask(&["+Y: 1\r\nERROR\r\n"]).unwrap(), usize::MAX);
        assert!(matches!(ask(&["+Y: 1\r\n"]), Err(ModemError::Silent(_))));
    }
}
