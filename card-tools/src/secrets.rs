//! Secrets from a prompt without echo or a descriptor, and secrets that are made here.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rand::RngExt;
use simsync_card::client::{Pin, Puk};
use simsync_shell::{Interrupt, Tty};
use zeroize::Zeroizing;

use crate::error::ToolError;

/// Longest secret that is read, in bytes.
const MAX: u64 = 256;

/// A copy of a descriptor that the caller opened for us.
pub fn duplicate(fd: i32) -> Result<std::fs::File, ToolError> {
    // By way of /proc, so that no number is trusted to be an open descriptor of ours.
    let path = format!("/proc/self/fd/{fd}");
    std::fs::OpenOptions::new()
        .read(true)
        .open(&path)
        .map_err(|e| ToolError::Usage(format!("descriptor {fd} cannot be read: {e}")))
}

/// Reads a secret up to the first line's end, from a descriptor or a prompt.
pub fn read(fd: Option<i32>, prompt: &str) -> Result<Zeroizing<String>, ToolError> {
    let mut text = Zeroizing::new(String::new());
    match fd {
        Some(fd) => {
            duplicate(fd)?
                .take(MAX)
                .read_to_string(&mut text)
                .map_err(|e| {
                    ToolError::Usage(format!("descriptor {fd} cannot be read as text: {e}"))
                })?;
        }
        None => {
            let tty = Tty::controlling(Arc::default(), Interrupt::Ends).map_err(|e| {
                ToolError::Usage(format!(
                    "{prompt}: there is no terminal to ask on ({e}); use the option that names a descriptor"
                ))
            })?;
            text = tty
                .hidden(&format!("{prompt}: "))
                .ok_or_else(|| ToolError::Usage(format!("{prompt}: nothing was given")))?;
        }
    }
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or("").trim().to_owned(),
    ))
}

/// Shows a secret: on the terminal, or written to a descriptor.
pub fn show(fd: Option<i32>, what: &str, secret: &str) -> Result<(), ToolError> {
    use std::io::Write;
    let Some(fd) = fd else {
        eprintln!("{what}: {secret}");
        return Ok(());
    };
    let path = format!("/proc/self/fd/{fd}");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(|e| ToolError::Usage(format!("descriptor {fd} cannot be written: {e}")))?;
    writeln!(file, "{secret}")
        .map_err(|e| ToolError::Other(format!("{what} cannot be written: {e}")))
}

/// Reads a PIN and checks its format; another format is a usage error.
pub fn pin(fd: Option<i32>, prompt: &str) -> Result<Pin, ToolError> {
    let text = read(fd, prompt)?;
    Pin::parse(text.as_bytes()).map_err(|e| ToolError::Usage(e.to_string()))
}

/// Reads a PUK and checks its format; another format is a usage error.
pub fn puk(fd: Option<i32>) -> Result<Puk, ToolError> {
    let text = read(fd, "PUK")?;
    Puk::parse(text.as_bytes()).map_err(|e| ToolError::Usage(e.to_string()))
}

/// Random digits.
pub fn digits(n: usize) -> Zeroizing<String> {
    let mut rng = rand::rng();
    Zeroizing::new(
        (0..n)
            .map(|_| char::from(b'0' + rng.random_range(0..10u8)))
            .collect(),
    )
}

/// Makes a written file durable.
pub fn sync_dir(dir: BorrowedFd<'_>) -> std::io::Result<()> {
    rustix::fs::fsync(dir.as_fd()).map_err(std::io::Error::from)
}
