//! The reader's keys: pressed over a Unix socket, by a line each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

/// Longest line, in bytes.
const LINE_MAX: usize = 64;

/// What somebody pressed.
pub enum Pressed {
    /// Digits, and OK.
    Digits(Zeroizing<Vec<u8>>),
    /// The cancel key: the line `cancel`.
    Cancel,
    /// Nothing for too long.
    Nothing,
    /// Nothing, since the card was taken out.
    CardGone,
}

/// The socket on which keys are pressed.
pub struct Keys(UnixListener);

/// Waits for one of two things, and for the time.
enum Ready {
    Input,
    Card,
    TimedOut,
}

impl Keys {
    /// Puts the socket there; one that an earlier reader left goes.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        Ok(Self(UnixListener::bind(path)?))
    }

    /// Waits for a PIN, or whatever comes instead.
    pub fn wait(&self, card: &TcpStream, patience: Duration) -> std::io::Result<Pressed> {
        let end = Instant::now() + patience;
        loop {
            match ready(&self.0, card, end)? {
                Ready::Card => return Ok(Pressed::CardGone),
                Ready::TimedOut => return Ok(Pressed::Nothing),
                Ready::Input => {}
            }
            let (finger, _) = self.0.accept()?;
            // A finger that goes away without pressing anything is no finger.
            if let Some(pressed) = line(finger, card, end)? {
                return Ok(pressed);
            }
        }
    }
}

fn line(
    mut finger: UnixStream,
    card: &TcpStream,
    end: Instant,
) -> std::io::Result<Option<Pressed>> {
    if finger.write_all(b"ready\n").is_err() {
        return Ok(None);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(LINE_MAX));
    loop {
        match ready(&finger, card, end)? {
            Ready::Card => return Ok(Some(Pressed::CardGone)),
            Ready::TimedOut => return Ok(Some(Pressed::Nothing)),
            Ready::Input => {}
        }
        let mut byte = [0];
        match finger.read(&mut byte) {
            Ok(1) if byte != *b"\n" && text.len() < LINE_MAX => text.push(byte[0]),
            Ok(1) if byte == *b"\n" => return Ok(meant(&text)),
            _ => return Ok(None),
        }
    }
}

fn meant(text: &[u8]) -> Option<Pressed> {
    match text {
        b"cancel" => Some(Pressed::Cancel),
        b"timeout" => Some(Pressed::Nothing),
        _ => {
            let digits = text.strip_suffix(b" ok")?;
            digits
                .iter()
                .all(u8::is_ascii_digit)
                .then(|| Pressed::Digits(Zeroizing::new(digits.to_vec())))
        }
    }
}

fn ready(input: &impl AsFd, card: &TcpStream, end: Instant) -> std::io::Result<Ready> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Ready::TimedOut);
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [
            PollFd::new(card, PollFlags::IN),
            PollFd::new(input, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Ready::Card),
            Ok(_) if !fds[1].revents().is_empty() => return Ok(Ready::Input),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_digits_or_words() {
        assert!(matches!(meant(b"1234 ok"), Some(Pressed::Digits(d)) if *d == b"1234"));
        assert!(matches!(meant(b" ok"), Some(Pressed::Digits(d)) if d.is_empty()));
        assert!(matches!(meant(b"cancel"), Some(Pressed::Cancel)));
        assert!(matches!(meant(b"timeout"), Some(Pressed::Nothing)));
        for nothing in [&b""[..], b"1234", b"12a4 ok", b"cancel ok"] {
            assert!(meant(nothing).is_none(), "{nothing:?}");
        }
    }

    #[test]
    fn a_pad_waits_for_a_line_the_time_or_the_card() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let keys = Keys::open(&path).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let card = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other_end, _) = listener.accept().unwrap();
        let long = Duration::from_secs(60);
        // One that goes away, one that is nonsense, then a PIN.
        drop(UnixStream::connect(&path).unwrap());
        let mut fingers = Vec::new();
        for text in ["nonsense\n", "2468 ok\n"] {
            let mut finger = UnixStream::connect(&path).unwrap();
            finger.write_all(text.as_bytes()).unwrap();
            fingers.push(finger);
        }
        let pressed = keys.wait(&card, long).unwrap();
        assert!(matches!(pressed, Pressed::Digits(d) if *d == b"2468"));
        let mut told = String::new();
        for mut finger in fingers {
            finger.read_to_string(&mut told).unwrap();
        }
        assert_eq!(told, "ready\nready\n");
        let pressed = keys.wait(&card, Duration::ZERO).unwrap();
        assert!(matches!(pressed, Pressed::Nothing));
        drop(other_end);
        let pressed = keys.wait(&card, long).unwrap();
        assert!(matches!(pressed, Pressed::CardGone));
    }
}
