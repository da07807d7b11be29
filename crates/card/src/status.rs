//! The applet's status words as typed errors, each with a sentence: what happened, what to do.

/// Which secret a command asks for; it makes the sentence say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// The owner's PIN.
    Pin,
    /// The owner's PUK.
    Puk,
    /// The operator's transport secret.
    Transport,
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pin => "PIN",
            Self::Puk => "PUK",
            Self::Transport => "transport secret",
        })
    }
}

impl Secret {
    fn when_blocked(self) -> &'static str {
        match self {
            Self::Pin => "unblock it with the PUK",
            Self::Puk => "the card can only be terminated and replaced",
            Self::Transport => "the applet can only be deleted and installed again",
        }
    }
}

/// Why the card refused a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Status {
    /// 63CX: a wrong PIN, PUK or transport secret.
    #[error("wrong {secret}; {tries_left} tries left")]
    Wrong {
        /// What was wrong.
        secret: Secret,
        /// How often it may be tried now.
        tries_left: u8,
    },
    /// 6983: no tries left.
    #[error("the {0} is blocked; {way_out}", way_out = .0.when_blocked())]
    Blocked(Secret),
    /// 6982: PIN not verified, not directly verified, token void, or a signature that does not verify.
    #[error(
        "the card has not granted this; verify the PIN again, and check that this terminal is the one paired"
    )]
    RightMissing,
    /// 6984: the card has its first PIN still, which the owner must change.
    #[error("the PIN must be changed before anything else; change it")]
    PinMustBeChanged,
    /// 6985: not in this lifecycle, no challenge, contactless refused.
    #[error(
        "the card does not do this now; check that it is personalised and enrolled, and in a reader with contacts"
    )]
    NotNow,
    /// 6A80: field lengths, a point not on the curve, a head record that goes backwards.
    #[error(
        "the card does not accept these values; a head record may go neither backwards nor too far ahead"
    )]
    BadData,
    /// 6A81: the card agrees with points that are not on the curve.
    #[error("this card model is not safe to use; take another one")]
    Unusable,
    /// 6A82: no such terminal or slot; for SELECT, no such applet.
    #[error("the card has nothing of this name; pair the terminal, or install the applet")]
    NotFound,
    /// 6A84: all slots taken, or the session counter at its end.
    #[error("the card is full; remove a terminal that is no longer used")]
    Full,
    /// 6581: both copies of a record are damaged.
    #[error("the card's memory is damaged; use the spare card")]
    MemoryDamaged,
    /// 6700, 6882, 6884, 6A86, 6D00, 6E00, 6986: another applet or none is selected, or this side speaks another version.
    #[error(
        "the card does not know this command ({0:04X}); another program may have selected its own applet, or the versions differ"
    )]
    NotUnderstood(u16),
    /// The reader's own word about its PIN pad.
    #[error(transparent)]
    Pad(Pad),
    /// A status word that the applet never answers.
    #[error(
        "the card answered {0:04X}, which the applet never does; take it out and put it in again"
    )]
    Unexpected(u16),
}

/// Why a reader's PIN pad gave the card nothing (PC/SC part 10); no try was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Pad {
    /// 6400: nobody typed in time.
    #[error("nobody typed the PIN on the reader in time; try again")]
    TimedOut,
    /// 6401: the cancel key.
    #[error("the PIN entry was cancelled on the reader")]
    Cancelled,
    /// 6402: the new PIN and its repetition.
    #[error(
        "the two new PINs that were typed on the reader differ; nothing was changed, try again"
    )]
    Differ,
    /// 6403, and the card's 6A80: too short or too long.
    #[error("a card PIN has 4 to 8 digits; no try was used up, type it again")]
    Length,
    /// 6B80: the reader does not take a PIN of this kind.
    #[error("the reader's PIN pad cannot be used with this card; do without it")]
    Refused,
}

impl Status {
    /// The meaning of a status word other than 9000 that came by way of a reader's PIN pad: the reader's own, or the card's.
    pub fn of_pad(sw: u16) -> Self {
        Self::Pad(match sw {
            0x6400 => Pad::TimedOut,
            0x6401 => Pad::Cancelled,
            0x6402 => Pad::Differ,
            0x6403 | 0x6A80 => Pad::Length,
            0x6B80 => Pad::Refused,
            of_the_card => return Self::of(of_the_card, Secret::Pin),
        })
    }

    /// The meaning of a status word other than 9000, for a command that asks for this secret.
    pub fn of(sw: u16, secret: Secret) -> Self {
        match sw {
            0x63C0..=0x63CF => Self::Wrong {
                secret,
                tries_left: sw.to_be_bytes()[1] & 0x0F,
            },
            0x6581 => Self::MemoryDamaged,
            0x6982 => Self::RightMissing,
            0x6983 => Self::Blocked(secret),
            0x6984 => Self::PinMustBeChanged,
            0x6985 => Self::NotNow,
            0x6A80 => Self::BadData,
            0x6A81 => Self::Unusable,
            0x6A82 => Self::NotFound,
            0x6A84 => Self::Full,
            0x6700 | 0x6882 | 0x6884 | 0x6986 | 0x6A86 | 0x6D00 | 0x6E00 => Self::NotUnderstood(sw),
            other => Self::Unexpected(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_word_of_the_contract_has_its_meaning() {
        let known = [
            0x63C0, 0x63C9, 0x6581, 0x6700, 0x6882, 0x6884, 0x6982, 0x6983, 0x6984, 0x6985, 0x6A80,
            0x6A81, 0x6A82, 0x6A84, 0x6A86, 0x6D00, 0x6E00, 0x6986,
        ];
        for sw in known {
            assert!(!matches!(
                Status::of(sw, Secret::Pin),
                Status::Unexpected(_)
            ));
        }
        for sw in [0x6F00, 0x6400, 0x63D0, 0x63BF, 0x0000, 0xFFFF] {
            assert_eq!(Status::of(sw, Secret::Pin), Status::Unexpected(sw));
        }
    }

    #[test]
    fn a_pin_pad_has_words_of_its_own() {
        for (sw, pad) in [
            (0x6400, Pad::TimedOut),
            (0x6401, Pad::Cancelled),
            (0x6402, Pad::Differ),
            (0x6403, Pad::Length),
            (0x6A80, Pad::Length),
            (0x6B80, Pad::Refused),
        ] {
            assert_eq!(Status::of_pad(sw), Status::Pad(pad));
            assert!(!matches!(Status::of(sw, Secret::Pin), Status::Pad(_)));
        }
        for sw in [0x63C1, 0x6983, 0x6984, 0x6985, 0x6D00, 0x6F00, 0x6404] {
            assert_eq!(Status::of_pad(sw), Status::of(sw, Secret::Pin));
        }
        assert_eq!(
            Status::of_pad(0x6401).to_string(),
            "the PIN entry was cancelled on the reader"
        );
    }

    #[test]
    fn sentences_name_the_secret() {
        assert_eq!(
            Status::of(0x63C2, Secret::Pin).to_string(),
            "wrong PIN; 2 tries left"
        );
        assert_eq!(
            Status::of(0x6983, Secret::Pin).to_string(),
            "the PIN is blocked; unblock it with the PUK"
        );
        assert!(
            Status::of(0x6983, Secret::Puk)
                .to_string()
                .contains("replaced")
        );
        assert!(
            Status::of(0x63C1, Secret::Transport)
                .to_string()
                .starts_with("wrong transport secret")
        );
    }
}
