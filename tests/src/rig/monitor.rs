//! A terminal's status as it changes, by `simsync monitor`: asking again and again would cost the processor that is
//! measured.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Guarded, Result, program};

/// How often a condition is asked for without news.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Shows every status of the daemon on this bus to `look`, as `simsync monitor` tells it, until `look` is content or the time is over. Asked
/// now and then without news, too: it may look at other things.
pub fn follow(
    bus: &str,
    deadline: Duration,
    mut condition: impl FnMut(&Value) -> bool,
) -> Result<Option<Value>> {
    let end = Instant::now() + deadline;
    let mut monitor = Monitor::start(bus)?;
    let mut last = None;
    while Instant::now() < end {
        match monitor.lines.recv_timeout(LOOK_AGAIN) {
            Ok(status) => last = Some(status),
            Err(RecvTimeoutError::Timeout) => {}
            // The daemon is not there, or not yet.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::park_timeout(LOOK_AGAIN);
                monitor = Monitor::start(bus)?;
                continue;
            }
        }
        if let Some(status) = last.as_ref().filter(|s| condition(s)) {
            return Ok(Some(status.clone()));
        }
    }
    Ok(None)
}

/// `simsync monitor`, read as it speaks.
struct Monitor {
    lines: Receiver<Value>,
    _process: Guarded,
}

impl Monitor {
    fn start(bus: &str) -> Result<Self> {
        let mut command = Command::new(program("simsync")?);
        command
            .arg("--bus")
            .arg(bus)
            .args(["--json", "monitor"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Guarded::spawn("simsync monitor", command)?;
        let out = process.stdout().ok_or("no output")?;
        let (tx, lines) = std::sync::mpsc::channel();
        // Ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(std::io::Result::ok) {
                let status = serde_json::from_str::<Value>(&line)
                    .ok()
                    .and_then(|mut v| v.get_mut("status").map(Value::take));
                if status.is_some_and(|s| tx.send(s).is_err()) {
                    return;
                }
            }
        });
        Ok(Self {
            lines,
            _process: process,
        })
    }
}
