//! Another program at the card of a terminal.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{Guarded, Result, Terminal, program, wait_for};

/// It ends with its owner.
pub struct Other(Guarded);

impl Other {
    /// Starts `other-program` and waits until it has done, or has got, what it wants.
    pub fn start(terminal: &Terminal, what: &str) -> Result<Self> {
        let mut command: Command = terminal.inside(&program("other-program")?);
        command
            .arg(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut other = Guarded::spawn("other-program", command)?;
        let out = other.stdout().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .map_err(|e| e.to_string())?;
        if line == "done\n" {
            Ok(Self(other))
        } else {
            Err(format!("{what} on {}: {line:?}", terminal.name))
        }
    }

    /// It lets the card go and ends.
    pub fn finish(mut self) -> Result<()> {
        drop(self.0.stdin());
        wait_for("the other program to end", super::DEADLINE, || {
            (!self.0.is_running()).then_some(())
        })
    }
}
