//! A serial port, raw, with deadlines.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::termios::{
    OptionalActions, QueueSelector, Termios, ioctl_tiocexcl, ioctl_tiocnxcl, isatty, tcflush,
    tcgetattr, tcsetattr,
};

use super::error::ModemError;

/// What modems with a real serial line speak first; USB ones do not care.
const SPEED: u32 = 115_200;

/// What commands go into and answers come out of: a serial port, or what a test makes of it.
pub trait Wire {
    /// Throws away what came and was not read.
    fn flush(&self) -> Result<(), ModemError>;

    /// Writes all of it.
    fn write(&self, bytes: &[u8], end: Instant) -> Result<(), ModemError>;

    /// Reads what there is, at least one byte.
    fn read(&self, buffer: &mut [u8], end: Instant) -> Result<usize, ModemError>;
}

/// An open port; as it was before when it is dropped.
pub struct Port {
    fd: OwnedFd,
    before: Termios,
}

impl Port {
    /// Opens it for this program alone.
    pub fn open(device: &Path) -> Result<Self, ModemError> {
        let name = || device.display().to_string();
        // NONBLOCK: one that waits for a carrier would hold us up.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = open(device, flags, Mode::empty()).map_err(|error| match error {
            Errno::BUSY => ModemError::Taken(name()),
            error => ModemError::Open(name(), error.into()),
        })?;
        if !isatty(&fd) {
            return Err(ModemError::NoPort(name()));
        }
        let failed = |error: Errno| ModemError::Open(name(), error.into());
        ioctl_tiocexcl(&fd).map_err(failed)?;
        let before = tcgetattr(&fd).map_err(failed)?;
        let port = Self { fd, before };
        let mut raw = port.before.clone();
        raw.make_raw();
        // A speed that the port cannot have is no reason not to try.
        let _ = raw.set_speed(SPEED);
        tcsetattr(&port.fd, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(port)
    }

    fn wait(&self, what: PollFlags, end: Instant) -> Result<(), ModemError> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ModemError::Silent(Duration::ZERO));
            }
            let left = Timespec::try_from(left).map_err(|_| ModemError::Silent(left))?;
            let mut fds = [PollFd::new(&self.fd, what)];
            match poll(&mut fds, Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(e) => return Err(gone(&e)),
            }
        }
    }
}

impl Wire for Port {
    fn flush(&self) -> Result<(), ModemError> {
        tcflush(&self.fd, QueueSelector::IFlush).map_err(|e| gone(&e))
    }

    fn write(&self, mut bytes: &[u8], end: Instant) -> Result<(), ModemError> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.fd, bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, end)?,
                Err(Errno::INTR) => {}
                Err(e) => return Err(gone(&e)),
            }
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], end: Instant) -> Result<usize, ModemError> {
        loop {
            // Before each read: a modem that never stops talking is over at its time, too.
            self.wait(PollFlags::IN, end)?;
            match rustix::io::read(&self.fd, &mut *buffer) {
                Ok(0) => return Err(ModemError::Gone),
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(e) => return Err(gone(&e)),
            }
        }
    }
}

/// A port that fails once it was open is a modem that was taken away.
fn gone(error: &Errno) -> ModemError {
    tracing::debug!(%error, "the modem's port");
    ModemError::Gone
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.fd, OptionalActions::Now, &self.before);
        let _ = ioctl_tiocnxcl(&self.fd);
    }
}
