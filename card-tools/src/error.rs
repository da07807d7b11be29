//! Failures, as people and scripts see them.

use simsync_card::client::CardError;
use simsync_card::modem::ModemError;
use simsync_card::status::{Pad, Status};
use simsync_card::transport::TransportError;
use simsync_globalplatform::error::GpError;
use simsync_protocol::client::ClientError;

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Wrong arguments, found out late.
    #[error("{0}")]
    Usage(String),
    /// No pcscd, or no reader.
    #[error("{0}")]
    Reader(String),
    /// No card of ours.
    #[error("{0}")]
    NoCard(String),
    /// What the card said.
    #[error("{}", card_sentence(.0))]
    Card(#[from] CardError),
    /// What the card manager said.
    #[error("{}", manager_sentence(.0))]
    Manager(#[from] GpError),
    /// What the reader said.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// What the server said.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
    /// The result said what failed.
    #[error("something is not as it must be")]
    Told,
}

/// The command's own cause says what happened and what to do.
fn card_sentence(e: &CardError) -> String {
    match (e.status(), e.transport()) {
        (Some(status @ Status::Pad(Pad::Refused)), _) => format!("{status}: --no-pin-pad"),
        (Some(status), _) => status.to_string(),
        (None, Some(transport)) => transport.to_string(),
        (None, None) => e.to_string(),
    }
}

fn manager_sentence(e: &GpError) -> String {
    e.transport()
        .map_or_else(|| e.to_string(), ToString::to_string)
}

impl ToolError {
    /// As documented in `--help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Reader(_) => 3,
            Self::NoCard(_) => 4,
            Self::Card(e) => match (e.status(), e.transport()) {
                (
                    Some(
                        Status::Wrong { .. }
                        | Status::Blocked(_)
                        | Status::PinMustBeChanged
                        | Status::Pad(Pad::Length | Pad::Differ),
                    ),
                    _,
                ) => 5,
                (None, Some(t)) => transport_code(t),
                _ => 1,
            },
            Self::Manager(e) => match e {
                GpError::Transport { source, .. } => transport_code(source),
                GpError::NoSecurityDomain => 4,
                GpError::WrongKeys { .. }
                | GpError::AuthenticationRefused { .. }
                | GpError::Blocked
                | GpError::NoSuchKeys(_)
                | GpError::Key(_)
                | GpError::KeyLength { .. }
                | GpError::WrongDiversification { .. } => 7,
                _ => 1,
            },
            Self::Transport(t) => transport_code(t),
            Self::Server(_) => 6,
            Self::Other(_) | Self::Told => 1,
        }
    }

    /// Stable, for scripts.
    pub fn code(&self) -> &'static str {
        match self.exit_code() {
            2 => "usage",
            3 => "no-reader",
            4 => "no-card",
            5 => "pin",
            6 => "server",
            7 => "keys",
            _ => "failed",
        }
    }
}

fn transport_code(t: &TransportError) -> u8 {
    match t {
        TransportError::Modem(m) => match m {
            ModemError::NoSim | ModemError::NoApplet(_) => 4,
            ModemError::Refused(..) | ModemError::Locked | ModemError::Broken => 1,
            _ => 3,
        },
        TransportError::ServiceGone | TransportError::ReaderGone => 3,
        TransportError::RemovedCard | TransportError::NoAnswer(_) | TransportError::BrokenOff => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_globalplatform::keys::Diversification;
    use simsync_globalplatform::keys::Scp;

    fn modem_errors() -> impl Iterator<Item = ToolError> {
        let device = || "/dev/ttyUSB2".to_owned();
        let cause = || "ERROR".to_owned();
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let errors = [
            ModemError::Open(device(), missing),
            ModemError::NoPort(device()),
            ModemError::Taken(device()),
            ModemError::Silent(std::time::Duration::from_secs(3)),
            ModemError::Gone,
            ModemError::Flood,
            ModemError::Nonsense("it is no text"),
            ModemError::Refused("the card's command", cause()),
            ModemError::NoSim,
            ModemError::Locked,
            ModemError::NoChannels(cause()),
            ModemError::NoApplet(cause()),
        ];
        errors.into_iter().map(|e| TransportError::from(e).into())
    }

    /// docs/errors.md has a row for each of the card manager's and a modem's errors, with its exit code and how its
    /// sentence begins.
    #[test]
    fn the_errors_of_card_manager_and_modem_are_those_of_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
        let text = std::fs::read_to_string(path).unwrap();
        let rows: Vec<(u8, Vec<&str>)> = text
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                let exit = cells.get(3)?.parse().ok()?;
                Some((exit, cells.get(4)?.split(" · ").collect()))
            })
            .collect();
        assert!(rows.len() > 14, "{}", rows.len());
        let errors = [
            GpError::WrongKeys { key_version: 1 },
            GpError::NoSuchKeys(1),
            GpError::KeyLength {
                scp: Scp::Scp02,
                length: 32,
            },
            GpError::WrongDiversification {
                scheme: Diversification::Emv,
                scp: Scp::Scp03,
            },
            GpError::AuthenticationRefused { sw: 0x6300 },
            GpError::Blocked,
            GpError::NoSecurityDomain,
            GpError::Locked,
            GpError::Terminated,
            GpError::Unsupported { scp: 1, i: None },
            GpError::Memory {
                wanted: 1,
                free: None,
            },
            GpError::TooOld,
            GpError::InUse { state: "enrolled" },
            GpError::OtherVersion {
                there: (1, 0),
                here: (1, 1),
            },
            GpError::OtherCard,
            GpError::Altered { command: "LOAD" },
            GpError::NotConfirmed("it is not there"),
            GpError::Refused {
                command: "LOAD",
                sw: 0x6985,
            },
        ];
        let errors = errors.into_iter().map(ToolError::from);
        for error in errors.chain(modem_errors()) {
            let sentence = error.to_string();
            let exit = error.exit_code();
            let begins = |b: &&str| {
                b.split('…').all(|part| sentence.contains(part.trim()))
                    && sentence.starts_with(b.split('…').next().unwrap_or_default().trim())
            };
            let found = rows
                .iter()
                .any(|(e, beginnings)| *e == exit && beginnings.iter().any(&begins));
            assert!(found, "exit {exit}: {sentence}");
        }
    }
}
