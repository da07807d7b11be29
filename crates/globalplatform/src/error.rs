//! Why something on the way onto a card did not go: a sentence that says what happened and what to do.

use openssl::error::ErrorStack;
use simsync_card::transport::TransportError;

use crate::cap::CapError;
use crate::keys::{Diversification, KeyError, Scp};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum GpError {
    /// No answer came.
    #[error("the card could not be reached for {command}")]
    Transport {
        /// The command's name.
        command: &'static str,
        /// Why not.
        #[source]
        source: TransportError,
    },
    /// OpenSSL does not do what it always does.
    #[error("the cryptographic library failed")]
    Crypto(#[from] ErrorStack),
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A CAP file that is not taken.
    #[error(transparent)]
    Cap(#[from] CapError),
    /// Keys of a length that the card's protocol does not have.
    #[error(
        "the card speaks {scp}, whose keys {} bytes, and these have {length}; nothing was tried with them",
        match .scp { Scp::Scp02 => "have 16", Scp::Scp03 => "have 16, 24 or 32" }
    )]
    KeyLength {
        /// The card's protocol.
        scp: Scp,
        /// Bytes of each key given.
        length: usize,
    },
    /// A diversification of the other protocol.
    #[error(
        "the diversification {scheme} is one for {}, and the card speaks {scp}; nothing was tried with it",
        .scheme.scp()
    )]
    WrongDiversification {
        /// What was asked for.
        scheme: Diversification,
        /// The card's protocol.
        scp: Scp,
    },
    /// No issuer security domain was found.
    #[error(
        "no GlobalPlatform card manager answers on this card; is it a JavaCard, and is its card manager's AID one of the usual ones?"
    )]
    NoSecurityDomain,
    /// Life cycle CARD_LOCKED.
    #[error(
        "the card is locked (life cycle CARD_LOCKED); whoever holds its keys has to unlock it before anything is installed"
    )]
    Locked,
    /// Life cycle TERMINATED.
    #[error("the card is terminated, for good; take another one")]
    Terminated,
    /// 6A88 to INITIALIZE UPDATE.
    #[error("the card has no keys of version {0:02X}; `simsync-card lock-info` shows which it has")]
    NoSuchKeys(u8),
    /// The card's cryptogram does not verify. EXTERNAL AUTHENTICATE was not sent.
    #[error(
        "these are not the card's keys (version {key_version:02X}): its cryptogram does not verify. The card was not asked to check them, so no try was used up"
    )]
    WrongKeys {
        /// The key version that the card took.
        key_version: u8,
    },
    /// EXTERNAL AUTHENTICATE was refused. It is never repeated.
    #[error(
        "the card refused the authentication ({sw:04X}) although its own cryptogram was right; this may have cost one try and is not tried again. Find out why before you do: cards block after a few"
    )]
    AuthenticationRefused {
        /// The status word.
        sw: u16,
    },
    /// 6983: no tries left.
    #[error(
        "the card manager is blocked (6983): too many failed authentications. Stop here: no key opens it any more"
    )]
    Blocked,
    /// A protocol, or a variant of one, that is not spoken here.
    #[error(
        "the card wants {}, which this tool does not speak; it speaks SCP03 in S8 mode, and SCP02 with explicit initiation",
        protocol(*.scp, *.i)
    )]
    Unsupported {
        /// Number of the secure channel protocol.
        scp: u8,
        /// Its variant, if the card tells it.
        i: Option<u8>,
    },
    /// 6A84: the card has no room for what was to be loaded.
    #[error("the card has not enough memory: {wanted} bytes are wanted{}; delete what is not needed, or take another card", free_memory(*.free))]
    Memory {
        /// Bytes of what was to be loaded.
        wanted: usize,
        /// Persistent bytes that the card said to have.
        free: Option<u32>,
    },
    /// 6438: an imported package is missing in this version.
    #[error(
        "the card's Java Card is older than 3.0.4 (6438); the applet needs 3.0.4 or newer, take another card"
    )]
    TooOld,
    /// Any other refusal.
    #[error("the card refused {command} ({sw:04X}): {}", meaning(*.sw))]
    Refused {
        /// The command's name.
        command: &'static str,
        /// The status word.
        sw: u16,
    },
    /// An answer that is not what the specification says.
    #[error("the card's answer to {command} is malformed: {what}")]
    Answer {
        /// The command's name.
        command: &'static str,
        /// What is wrong with the answer, as a clause for the sentence above: "it does not end".
        what: &'static str,
    },
    /// An answer whose MAC or padding is wrong.
    #[error(
        "the card's answer to {command} was altered on its way, or does not come from the card; nothing more is sent"
    )]
    Altered {
        /// The command's name.
        command: &'static str,
    },
    /// After [`GpError::Altered`], or when no key would protect a secret.
    #[error("{0} is not sent: the channel to the card does not protect it")]
    Unprotected(&'static str),
    /// Data that no short command takes.
    #[error("{command} takes at most {most} bytes, not {length}")]
    TooLong {
        /// The command's name.
        command: &'static str,
        /// Most bytes.
        most: usize,
        /// Bytes given.
        length: usize,
    },
    /// An applet whose keys would die.
    #[error(
        "the card's applet holds keys of a card in use ({state}); deleting it destroys them for good. Say --destroy-keys if that is meant"
    )]
    InUse {
        /// What it says of itself.
        state: &'static str,
    },
    /// Another version of the applet stands there.
    #[error(
        "the card holds the applet in version {}.{} and the file has {}.{}; say --replace to delete the one and install the other",
        .there.0, .there.1, .here.0, .here.1
    )]
    OtherVersion {
        /// Major and minor on the card.
        there: (u8, u8),
        /// Major and minor in the file.
        here: (u8, u8),
    },
    /// Between looking and doing.
    #[error(
        "the card is not as it was a moment ago; was another one put in? Nothing was done; run the command again"
    )]
    OtherCard,
    /// Everything was answered with 9000, and yet.
    #[error(
        "the card accepted every step, but {0}; do not use it as it is, and try again with --replace"
    )]
    NotConfirmed(&'static str),
}

impl GpError {
    /// What happened on the way to the card, if it was that.
    pub fn transport(&self) -> Option<&TransportError> {
        match self {
            Self::Transport { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn protocol(scp: u8, i: Option<u8>) -> String {
    let name = format!("SCP{scp:02X}");
    match i {
        Some(i) => format!("{name} i={i:02X}"),
        None => name,
    }
}

fn free_memory(free: Option<u32>) -> String {
    free.map_or_else(
        || ", and the card does not tell what is free".to_owned(),
        |bytes| format!(", {bytes} are free"),
    )
}

/// GPCS 11.1.3 and the commands' own tables.
fn meaning(sw: u16) -> &'static str {
    match sw {
        0x6283 => "the card or the application is locked",
        0x6400 => "it gives no reason",
        0x6581 => "its memory fails; take another card",
        0x6700 => "wrong length",
        0x6882 => "it does not speak this kind of secure messaging",
        0x6982 => {
            "the channel is not open any more; if this was the first command in it, the key ENC is not the card's"
        }
        0x6985 => "its state does not allow it; something else on the card may depend on it",
        0x6A80 => {
            "it does not accept the data; is the file the right one for this card, and is the applet not there already?"
        }
        0x6A81 => "it does not have this function",
        0x6A82 => "it has no such application",
        0x6A84 => "it has not enough memory",
        0x6A86 => "it does not know these parameters",
        0x6A88 => "it has nothing of this name",
        0x6D00 | 0x6E00 => {
            "it does not know this command; was another application selected meanwhile?"
        }
        _ => "a status word without a common meaning; `simsync-card -vv` shows every command",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_what_to_do() {
        for (error, words) in [
            (GpError::WrongKeys { key_version: 1 }, "no try was used up"),
            (
                GpError::AuthenticationRefused { sw: 0x6300 },
                "not tried again",
            ),
            (GpError::Blocked, "Stop here"),
            (GpError::TooOld, "older than 3.0.4"),
            (
                GpError::Memory {
                    wanted: 12_000,
                    free: Some(900),
                },
                "12000 bytes are wanted, 900 are free",
            ),
            (
                GpError::Memory {
                    wanted: 1,
                    free: None,
                },
                "does not tell",
            ),
            (
                GpError::Unsupported {
                    scp: 2,
                    i: Some(0x1A),
                },
                "SCP02 i=1A",
            ),
            (GpError::Unsupported { scp: 1, i: None }, "SCP01,"),
            (
                GpError::KeyLength {
                    scp: Scp::Scp02,
                    length: 32,
                },
                "have 16 bytes, and these have 32",
            ),
            (
                GpError::Refused {
                    command: "LOAD",
                    sw: 0x6985,
                },
                "refused LOAD (6985)",
            ),
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
