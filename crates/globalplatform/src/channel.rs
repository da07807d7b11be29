//! A secure channel: commands are wrapped, answers unwrapped, in the one or the other protocol.

use simsync_card::apdu::{Command, MAX_DATA, Response};

use crate::error::GpError;
use crate::keys::Scp;
use crate::scp02::Scp02;
use crate::scp03::Scp03;
use crate::secure_messaging::{Level, MAC};

/// An open channel's state on this side.
pub(crate) enum Channel {
    Scp02(Scp02),
    Scp03(Scp03),
}

impl Channel {
    pub(crate) fn scp(&self) -> Scp {
        match self {
            Self::Scp02(_) => Scp::Scp02,
            Self::Scp03(_) => Scp::Scp03,
        }
    }

    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Scp02(c) => c.level(),
            Self::Scp03(c) => c.level(),
        }
    }

    /// EXTERNAL AUTHENTICATE for this channel, MAC included.
    pub(crate) fn external_authenticate(&mut self) -> Result<Command, GpError> {
        match self {
            Self::Scp02(c) => c.external_authenticate(),
            Self::Scp03(c) => c.external_authenticate(),
        }
    }

    /// The command as it goes to the card.
    pub(crate) fn wrap(
        &mut self,
        name: &'static str,
        command: &Command,
    ) -> Result<Command, GpError> {
        let most = max_data(self.scp(), self.level());
        if command.data().len() > most {
            return Err(GpError::TooLong {
                command: name,
                most,
                length: command.data().len(),
            });
        }
        match self {
            Self::Scp02(c) => c.wrap(command),
            Self::Scp03(c) => c.wrap(command),
        }
    }

    /// What the card answered to the command wrapped last; none if it was altered.
    pub(crate) fn unwrap(&mut self, response: Response) -> Result<Option<Response>, GpError> {
        match self {
            // No answer of SCP02 is protected at the levels that are asked for here.
            Self::Scp02(_) => Ok(Some(response)),
            Self::Scp03(c) => c.unwrap(response),
        }
    }
}

/// The most data that a command takes: 255 bytes less the MAC, less padding to whole blocks.
pub(crate) fn max_data(scp: Scp, level: Level) -> usize {
    let room = MAX_DATA - MAC;
    if !level.encrypts_commands() {
        return room;
    }
    let block = match scp {
        Scp::Scp02 => crate::crypto::DES_BLOCK,
        Scp::Scp03 => crate::crypto::AES_BLOCK,
    };
    // Padding takes one byte at least.
    room / block * block - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_data_still_fits_after_wrapping() {
        for scp in [Scp::Scp02, Scp::Scp03] {
            assert_eq!(max_data(scp, Level::new(1)), 247);
            let most = max_data(scp, Level::new(3));
            assert_eq!(most, 239);
            assert!(crate::crypto::padded(&vec![0; most], 16).len() + MAC <= MAX_DATA);
            assert!(crate::crypto::padded(&vec![0; most + 1], 16).len() + MAC > MAX_DATA);
        }
    }
}
