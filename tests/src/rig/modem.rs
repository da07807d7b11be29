//! A modem that is no real one, on a pseudo-terminal: AT commands on one side (ITU-T V.250, 3GPP TS 27.007), a UICC with one
//! logical channel on the other. `crates/card` takes this file for its own tests, too.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::ioctl_tiocnxcl;
use simsync_card::transport::Transport;

/// How it behaves from now on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Manner {
    /// It lets the card answer, and says nothing else.
    #[default]
    Good,
    /// It echoes although it was told not to, and says in between what nobody asked for.
    Chatty,
    /// It answers AT+CGLA with these bytes, whatever the card says.
    Says(Vec<u8>),
    /// It answers AT+CGLA with nothing.
    Silent,
    /// It is gone with the next AT+CGLA.
    Leaves,
    /// Each command that needs the SIM ends with this.
    Refuses(&'static str),
    /// It does not close its channel.
    Deaf,
    /// It has no logical channels.
    Without,
    /// It lets the host's bytes through, and never a word of its own.
    Dead,
}

/// What a test sees of it, and sets.
#[derive(Default)]
struct Shared {
    manner: Manner,
    card: Option<Box<dyn Transport + Send>>,
    classes: BTreeSet<u8>,
    is_open: bool,
}

type Locked = Arc<Mutex<Shared>>;

fn lock(shared: &Locked) -> MutexGuard<'_, Shared> {
    shared.lock()
}

/// The modem; it is unplugged when this is dropped.
pub struct Modem {
    device: PathBuf,
    shared: Locked,
    /// Its other end is watched by the thread: closed, the modem is unplugged.
    plug: Option<OwnedFd>,
    other: OwnedFd,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Modem {
    /// With a SIM in it that is this card.
    pub fn start(card: impl Transport + Send + 'static) -> std::io::Result<Self> {
        let modem = Self::empty()?;
        modem.put_in(card);
        Ok(modem)
    }

    /// Without a SIM.
    pub fn empty() -> std::io::Result<Self> {
        // Nothing of it is for the programs that a test starts: they would keep it plugged in.
        let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&host)?;
        unlockpt(&host)?;
        let name = ptsname(&host, Vec::new())?;
        let device = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())).to_path_buf();
        // Held open: without anybody at the other end reading fails.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let other = rustix::fs::open(&device, flags, Mode::empty())?;
        let held = other.try_clone()?;
        let (unplugged, plug) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let shared = Locked::default();
        let firmware = Firmware {
            shared: shared.clone(),
            echoes: true,
        };
        let thread = std::thread::spawn(move || {
            firmware.run(&host, &unplugged);
            drop(held);
        });
        Ok(Self {
            device,
            shared,
            plug: Some(plug),
            other,
            thread: Some(thread),
        })
    }

    /// Its AT port.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Changes how it behaves.
    pub fn behave(&self, manner: Manner) {
        lock(&self.shared).manner = manner;
    }

    /// The class bytes of what the applet was sent, without SELECT, which is the card's own.
    pub fn classes(&self) -> BTreeSet<u8> {
        lock(&self.shared).classes.clone()
    }

    /// Whether its channel is open.
    pub fn is_open(&self) -> bool {
        lock(&self.shared).is_open
    }

    /// Puts a SIM in.
    pub fn put_in(&self, card: impl Transport + Send + 'static) {
        lock(&self.shared).card = Some(Box::new(card));
    }

    /// Takes the SIM out, whatever it is doing.
    pub fn take_out(&self) {
        let mut shared = lock(&self.shared);
        shared.card = None;
        shared.is_open = false;
    }

    /// What the kernel does when the last program that had the port open is gone; here this modem has it open all the time.
    pub fn free_port(&self) -> std::io::Result<()> {
        Ok(ioctl_tiocnxcl(&self.other)?)
    }

    /// Takes it away.
    pub fn unplug(&mut self) {
        self.plug = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Modem {
    fn drop(&mut self) {
        self.unplug();
    }
}

/// The channel's number on the card, and the modem's name for it: two things.
const CHANNEL: u8 = 1;
const SESSION: &str = "7";

/// What it does with a command.
enum Reply {
    Text(String),
    Raw(Vec<u8>),
    Nothing,
    Gone,
}

fn text(lines: &str) -> Reply {
    Reply::Text(lines.to_owned())
}

struct Firmware {
    shared: Locked,
    echoes: bool,
}

impl Firmware {
    fn run(mut self, host: &OwnedFd, unplugged: &OwnedFd) {
        let mut line = Vec::new();
        loop {
            let mut fds = [
                PollFd::new(host, PollFlags::IN),
                PollFd::new(unplugged, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !fds[1].revents().is_empty() {
                return;
            }
            let mut byte = [0];
            match rustix::io::read(host, &mut byte) {
                Ok(1) => {}
                _ => return,
            }
            if byte[0] != b'\r' {
                line.push(byte[0]);
                continue;
            }
            let command = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            let reply = match self.answer(&command) {
                Reply::Gone => return,
                Reply::Nothing => continue,
                Reply::Raw(bytes) => bytes,
                Reply::Text(lines) => self.said(&command, &lines),
            };
            if write_all(host, &reply).is_err() {
                return;
            }
        }
    }

    /// Each line between CR LF, as V.250 has it; the echo first.
    fn said(&self, command: &str, lines: &str) -> Vec<u8> {
        let chatty = lock(&self.shared).manner == Manner::Chatty;
        let mut out = String::new();
        if self.echoes || chatty {
            out.push_str(&format!("{command}\r"));
        }
        for line in lines.lines() {
            if chatty {
                out.push_str("\r\n+CREG: 1\r\n\r\n^RSSI: 17\r\n");
            }
            out.push_str(&format!("\r\n{line}\r\n"));
        }
        out.into_bytes()
    }

    fn answer(&mut self, command: &str) -> Reply {
        let manner = lock(&self.shared).manner.clone();
        if manner == Manner::Dead {
            return Reply::Nothing;
        }
        match command.split_once('=').unwrap_or((command, "")) {
            ("ATE0", _) => {
                let reply = self.said(command, "OK");
                self.echoes = false;
                Reply::Raw(reply)
            }
            ("AT", _) | ("AT+CMEE", _) => text("OK"),
            ("AT+CCHO" | "AT+CGLA" | "AT+CCHC", _) if manner == Manner::Without => text("ERROR"),
            ("AT+CCHO", "?") => text("OK"),
            // SIM not inserted.
            ("AT+CCHO" | "AT+CGLA" | "AT+CCHC", _) if lock(&self.shared).card.is_none() => {
                text("+CME ERROR: 10")
            }
            ("AT+CCHO" | "AT+CGLA", rest) => match manner {
                Manner::Refuses(how) => text(how),
                _ if command.starts_with("AT+CCHO") => self.open(rest),
                Manner::Says(bytes) => Reply::Raw(bytes),
                Manner::Silent => Reply::Nothing,
                Manner::Leaves => Reply::Gone,
                _ => self.carry(rest),
            },
            ("AT+CCHC", _) if manner == Manner::Deaf => text("ERROR"),
            ("AT+CCHC", SESSION) => {
                lock(&self.shared).is_open = false;
                // The card's runtime deselects the applet: selecting another one does the same.
                self.tell(&[0x00, 0xA4, 0x04, 0x00, 0x05, 0xF1, b'n', b'o', b'n', b'e']);
                text("+CCHC\nOK")
            }
            _ => text("ERROR"),
        }
    }

    /// MANAGE CHANNEL, and SELECT on the channel.
    fn open(&self, name: &str) -> Reply {
        if lock(&self.shared).is_open {
            // Memory full: no channel is free.
            return text("+CME ERROR: 20");
        }
        let Some(aid) = unhex(name.trim_matches('"')) else {
            return text("+CME ERROR: 50");
        };
        let mut select = vec![0x00, 0xA4, 0x04, 0x00, aid.len() as u8];
        select.extend_from_slice(&aid);
        select.push(0x00);
        let sw = self.tell(&select);
        if !sw.is_some_and(|answer| answer.ends_with(&[0x90, 0x00])) {
            return text("+CME ERROR: 22");
        }
        lock(&self.shared).is_open = true;
        text(&format!("+CCHO: {SESSION}\nOK"))
    }

    /// `7,10,"0084000010"`: the session, how many digits, the command.
    fn carry(&self, arguments: &str) -> Reply {
        let parts: Vec<&str> = arguments.split(',').collect();
        let [SESSION, length, hex] = parts[..] else {
            return text("+CME ERROR: 50");
        };
        let hex = hex.trim_matches('"');
        let apdu = unhex(hex).filter(|a| length.parse() == Ok(hex.len()) && a.len() >= 4);
        let (Some(apdu), true) = (apdu, lock(&self.shared).is_open) else {
            return text("+CME ERROR: 50");
        };
        match self.tell(&self.on_the_channel(apdu)) {
            Some(answer) => {
                let hex: String = answer.iter().map(|b| format!("{b:02X}")).collect();
                text(&format!("+CGLA: {},\"{hex}\"\nOK", hex.len()))
            }
            None => text("+CME ERROR: 13"),
        }
    }

    /// What the card answers, if it is in and does.
    fn tell(&self, apdu: &[u8]) -> Option<Vec<u8>> {
        lock(&self.shared).card.as_mut()?.transmit(apdu).ok()
    }

    /// The modem puts the channel into the class (27.007, 8.45). The card's runtime takes SELECT by name for itself, which
    /// the simulator does on its only channel; everything else it hands to the applet with the class as it came.
    fn on_the_channel(&self, mut apdu: Vec<u8>) -> Vec<u8> {
        let is_select = apdu[1] == 0xA4 && apdu[2] == 0x04;
        if !is_select {
            apdu[0] |= CHANNEL;
            lock(&self.shared).classes.insert(apdu[0]);
        }
        apdu
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let count = rustix::io::write(to, bytes)?;
        bytes = &bytes[count..];
    }
    Ok(())
}
