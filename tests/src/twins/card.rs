//! The real applet as a process on pipes, on a memory whose power can be cut; one card after another.

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use simsync_card::apdu::{self, Response};

use crate::rig::{Guarded, Result, repository};

/// Which of the two transmission protocols the card believes to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// T=0: bytes (ISO 7816-3).
    T0,
    /// T=1: blocks (ISO 7816-3).
    T1,
}

/// No card answers more: data and status word.
const ANSWER_MAX: u16 = 258;

/// The process (`org.simsync.bridge.fault.Main`); it ends with this.
pub struct FaultyCard {
    input: ChildStdin,
    output: ChildStdout,
    _process: Guarded,
}

impl FaultyCard {
    /// Starts it, without a card yet.
    pub fn start() -> Result<Self> {
        let jar = repository().join("javacard-applet/target/simsync-bridge.jar");
        if !jar.is_file() {
            return Err("the bridge is not built: run `make build` first".to_owned());
        }
        let mut command = Command::new("java");
        command
            // Its warnings would come in between the answers.
            .args(["-Xlog:disable", "-Xlog:all=warning:stderr"])
            .args(["-XX:+UseSerialGC", "-Xshare:auto", "-cp"])
            .arg(&jar)
            .arg("org.simsync.bridge.fault.Main")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Guarded::spawn("the simulator", command)?;
        let (input, output) = (process.stdin(), process.stdout());
        Ok(Self {
            input: input.ok_or("the simulator has no input")?,
            output: output.ok_or("the simulator has no output")?,
            _process: process,
        })
    }

    /// Another card: the one before is thrown away.
    pub fn blank(&mut self, protocol: Protocol, secret: &[u8; 16]) -> Result<()> {
        let protocol = match protocol {
            Protocol::T0 => 0,
            Protocol::T1 => 1,
        };
        self.ask(b'N', &[&[protocol][..], secret].concat())
            .map(drop)
    }

    /// Power off and on.
    pub fn reset(&mut self) -> Result<()> {
        self.ask(b'R', &[]).map(drop)
    }

    /// At the next command the power goes at this write (0 is its first), when so many tenths of that are done.
    pub fn cut_next(&mut self, write: u16, tenths: u8) -> Result<()> {
        let [high, low] = write.to_be_bytes();
        self.ask(b'C', &[high, low, tenths]).map(drop)
    }

    /// What the card answers; nothing if the power went.
    pub fn transmit(&mut self, command: &apdu::Command) -> Result<Option<Response>> {
        let answer = self.ask(b'A', &command.encode())?;
        if answer.is_empty() {
            return Ok(None);
        }
        Response::decode(&answer)
            .map(Some)
            .map_err(|e| format!("{command}: {e}"))
    }

    fn ask(&mut self, letter: u8, data: &[u8]) -> Result<Vec<u8>> {
        let mut exchange = || -> std::io::Result<Vec<u8>> {
            let length = u16::try_from(data.len()).map_err(std::io::Error::other)?;
            let mut message = vec![letter];
            message.extend_from_slice(&length.to_be_bytes());
            message.extend_from_slice(data);
            self.input.write_all(&message)?;
            let mut length = [0; 2];
            self.output.read_exact(&mut length)?;
            let length = u16::from_be_bytes(length);
            if length > ANSWER_MAX {
                return Err(std::io::Error::other("it says what is no answer"));
            }
            let mut answer = vec![0; length.into()];
            self.output.read_exact(&mut answer)?;
            Ok(answer)
        };
        exchange().map_err(|e| format!("the simulator: {e}"))
    }
}
