//! Secrets that come and go by file descriptor.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use crate::api::Secret;

/// Longest secret that is read, in bytes.
pub const SECRET_MAX: usize = 256;
/// How long one wait lasts before it is looked whether the answer is still wanted.
const SLICE: Duration = Duration::from_millis(200);

/// Why nothing usable came.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// More than [`SECRET_MAX`] bytes.
    #[error("more than {SECRET_MAX} bytes came")]
    TooLong,
    /// Nothing but the end.
    #[error("nothing came")]
    Empty,
    /// Not UTF-8.
    #[error("what came is no text")]
    NoText,
    /// No end within the deadline.
    #[error("the end did not come in time")]
    TimedOut,
    /// Nobody waits for it any longer.
    #[error("it is no longer wanted")]
    Unwanted,
    /// The descriptor cannot be read.
    #[error("the descriptor cannot be read")]
    Io(#[source] std::io::Error),
}

/// Tells the reading thread that nobody waits any longer.
struct Interest(Arc<AtomicBool>);

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads a secret up to the end of the file, within the deadline. One line break at the end is not part of it.
/// Dropping the future ends the reading.
pub async fn read(fd: OwnedFd, deadline: Duration) -> Result<Secret, SecretError> {
    let dropped = Arc::new(AtomicBool::new(false));
    let interest = Interest(dropped.clone());
    let until = Instant::now() + deadline;
    // A file or memfd cannot be waited for with epoll: a thread reads.
    let reading = tokio::task::spawn_blocking(move || read_blocking(fd, until, &dropped));
    // What says that it can be read may block all the same: a terminal that waits for more bytes, a file of another program's.
    let result = tokio::time::timeout(deadline, reading).await;
    drop(interest);
    match result {
        Ok(result) => result.unwrap_or(Err(SecretError::Unwanted)),
        Err(_) => Err(SecretError::TimedOut),
    }
}

fn read_blocking(fd: OwnedFd, until: Instant, dropped: &AtomicBool) -> Result<Secret, SecretError> {
    let mut file = std::fs::File::from(fd);
    // One byte more than allowed, to see that there is more.
    let mut buffer = Zeroizing::new([0u8; SECRET_MAX + 1]);
    let mut filled = 0;
    loop {
        wait_readable(&file, until, dropped)?;
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                ) => {}
            Err(e) => return Err(SecretError::Io(e)),
        }
        if filled > SECRET_MAX {
            return Err(SecretError::TooLong);
        }
    }
    let text = std::str::from_utf8(&buffer[..filled]).map_err(|_| SecretError::NoText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err(SecretError::Empty);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

fn wait_readable(
    file: &std::fs::File,
    until: Instant,
    dropped: &AtomicBool,
) -> Result<(), SecretError> {
    loop {
        if dropped.load(Ordering::Relaxed) {
            return Err(SecretError::Unwanted);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SecretError::TimedOut);
        }
        let slice = left.min(SLICE);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(slice.subsec_nanos()),
        };
        let mut fds = [PollFd::new(file, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(SecretError::Io(e.into())),
        }
    }
}

/// A pipe that holds a secret, written and closed on our side: what the other side reads ends after it.
pub fn filled_pipe(secret: &Secret) -> std::io::Result<OwnedFd> {
    let (reader, mut writer) = std::io::pipe()?;
    // Less than a pipe holds: the write cannot block.
    if secret.len() > 4096 {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    writer.write_all(secret.as_bytes())?;
    Ok(reader.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn pipe_with(data: &[u8]) -> OwnedFd {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(data).unwrap();
        reader.into()
    }

    #[tokio::test]
    async fn a_pipe_and_a_file_are_read_to_the_end() {
        assert_eq!(&*read(pipe_with(b"1234"), SOON).await.unwrap(), "1234");
        assert_eq!(&*read(pipe_with(b"1234\n"), SOON).await.unwrap(), "1234");
        let longest = "x".repeat(SECRET_MAX);
        let secret = read(pipe_with(longest.as_bytes()), SOON).await.unwrap();
        assert_eq!(*secret, longest);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abcd").unwrap();
        let fd = std::fs::File::open(file.path()).unwrap().into();
        assert_eq!(&*read(fd, SOON).await.unwrap(), "abcd");
        let back = filled_pipe(&Zeroizing::new("words".to_owned())).unwrap();
        assert_eq!(&*read(back, SOON).await.unwrap(), "words");
    }

    #[tokio::test]
    async fn what_is_no_secret_is_refused() {
        let long = vec![b'1'; SECRET_MAX + 1];
        let result = read(pipe_with(&long), SOON).await;
        assert!(matches!(result, Err(SecretError::TooLong)));
        let result = read(pipe_with(b""), SOON).await;
        assert!(matches!(result, Err(SecretError::Empty)));
        let result = read(pipe_with(&[0xff, 0xfe]), SOON).await;
        assert!(matches!(result, Err(SecretError::NoText)));
    }

    #[tokio::test]
    async fn a_writer_that_never_ends_runs_into_the_deadline() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let result = read(reader.into(), Duration::from_millis(30)).await;
        assert!(matches!(result, Err(SecretError::TimedOut)));
    }

    #[tokio::test]
    async fn w_5_what_says_that_it_can_be_read_and_blocks_runs_into_the_deadline() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use rustix::termios::{OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = std::fs::File::open(name.to_str().unwrap()).unwrap();
        // Ready at the first byte, and a read waits for the second, 25.5 s long.
        let mut settings = tcgetattr(&terminal).unwrap();
        settings.make_raw();
        settings.special_codes[SpecialCodeIndex::VMIN] = 2;
        settings.special_codes[SpecialCodeIndex::VTIME] = 255;
        tcsetattr(&terminal, OptionalActions::Now, &settings).unwrap();
        rustix::io::write(&master, b"1").unwrap();
        let result = read(terminal.into(), Duration::from_millis(300)).await;
        assert!(matches!(result, Err(SecretError::TimedOut)));
        // That ends the read, too.
        drop(master);
    }
}
