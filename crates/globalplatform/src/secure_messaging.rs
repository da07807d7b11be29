//! What both protocols make of a command: what is protected, and how it is put together again.

use simsync_card::apdu::{Command, MAX_DATA};

use crate::error::GpError;

/// Secure messaging in the class byte (GPCS 11.1.4).
pub(crate) const SECURE_MESSAGING: u8 = 0x04;
/// Bytes of a MAC on a command or an answer.
pub(crate) const MAC: usize = 8;

/// What a channel protects, as P1 of EXTERNAL AUTHENTICATE says it (GPCS table E-9, Amd D table 7-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(u8);

impl Level {
    pub(crate) const C_MAC: u8 = 0x01;
    pub(crate) const C_DECRYPTION: u8 = 0x02;
    pub(crate) const R_MAC: u8 = 0x10;
    pub(crate) const R_ENCRYPTION: u8 = 0x20;

    pub(crate) fn new(byte: u8) -> Self {
        Self(byte)
    }

    /// The level as P1 of EXTERNAL AUTHENTICATE.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Whether commands are encrypted.
    pub fn encrypts_commands(self) -> bool {
        self.0 & Self::C_DECRYPTION != 0
    }

    /// Whether answers carry a MAC.
    pub fn authenticates_answers(self) -> bool {
        self.0 & Self::R_MAC != 0
    }

    /// Whether answers are encrypted.
    pub fn encrypts_answers(self) -> bool {
        self.0 & Self::R_ENCRYPTION != 0
    }
}

/// As the specification names them.
impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (Self::C_MAC, "C-MAC"),
            (Self::C_DECRYPTION, "C-DECRYPTION"),
            (Self::R_MAC, "R-MAC"),
            (Self::R_ENCRYPTION, "R-ENCRYPTION"),
        ];
        let set: Vec<&str> = names
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        f.write_str(&set.join(", "))
    }
}

/// Class byte with secure messaging, instruction, P1, P2, and a length: what a MAC is made over first.
pub(crate) fn header(command: &Command, length: usize) -> Result<[u8; 5], GpError> {
    let [cla, ins, p1, p2] = command.header();
    let length = u8::try_from(length).map_err(|_| GpError::TooLong {
        command: "a wrapped command",
        most: MAX_DATA,
        length,
    })?;
    Ok([cla | SECURE_MESSAGING, ins, p1, p2, length])
}

/// The command put together again with other data, with the answer that it wanted.
pub(crate) fn rebuilt(command: &Command, data: &[u8], mac: &[u8; MAC]) -> Result<Command, GpError> {
    let [cla, ins, p1, p2] = command.header();
    let bytes = zeroize::Zeroizing::new([data, mac].concat());
    let wrapped = Command::new(cla | SECURE_MESSAGING, ins, p1, p2)
        .with_data(&bytes)
        .and_then(|c| match command.expected() {
            Some(length) => c.expecting(length),
            None => Ok(c),
        });
    wrapped.map_err(|_| GpError::TooLong {
        command: "a wrapped command",
        most: MAX_DATA,
        length: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names() {
        assert_eq!(
            Level::new(0x33).to_string(),
            "C-MAC, C-DECRYPTION, R-MAC, R-ENCRYPTION"
        );
        assert!(!Level::new(0x01).encrypts_commands());
        assert!(Level::new(0x13).authenticates_answers() && !Level::new(0x13).encrypts_answers());
    }
}
