//! Exit codes: the one table, from the codes of failures.

/// What a process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// It failed for a reason that has no code of its own here.
    Failed = 1,
    /// The command line, or an argument on it, is wrong.
    Usage = 2,
    /// simsyncd cannot be reached.
    NoDaemon = 3,
    /// Terminal and card are not paired with each other, or no longer.
    NotPaired = 4,
    /// A PIN is wrong, blocked or not usable.
    Pin = 5,
    /// No card, no reader, or the card was removed.
    NoCard = 6,
    /// The server cannot be reached, or said no.
    Server = 7,
    /// Somebody said no, or nobody answered.
    Declined = 8,
    /// A guard refused, or the owner has to decide something first.
    Guard = 9,
    /// It was done, but not everything is where it should be.
    Partial = 10,
    /// The server, or the card's record, is not what it was: nothing is written.
    ReadOnly = 11,
}

/// Every exit code with what it means, for help and manual.
pub const MEANINGS: &[(Exit, &str)] = &[
    (Exit::Ok, "all went well"),
    (Exit::Failed, "it failed, for a reason that is not below"),
    (Exit::Usage, "the command line or an argument is wrong"),
    (Exit::NoDaemon, "simsyncd cannot be reached"),
    (
        Exit::NotPaired,
        "terminal and card are not paired with each other, or no longer",
    ),
    (Exit::Pin, "a PIN is wrong, blocked or not usable"),
    (Exit::NoCard, "no card, no reader, or the card was removed"),
    (Exit::Server, "the server cannot be reached, or refused"),
    (
        Exit::Declined,
        "declined or cancelled, or nobody gave the PIN",
    ),
    (
        Exit::Guard,
        "a guard refused, or you have to decide something first",
    ),
    (
        Exit::Partial,
        "it was done, but some of your files are not in sync: `simsync status` lists what is not",
    ),
    (
        Exit::ReadOnly,
        "the server does not show what was seen before: nothing is written",
    ),
];

/// Codes that do not end with [`Exit::Failed`].
const TABLE: &[(Exit, &[&str])] = &[
    (
        Exit::Usage,
        &[
            "bad-argument",
            "no-such-collection",
            "no-such-terminal",
            "no-such-card",
            "no-such-job",
            "no-server-move",
            "nothing-to-accept",
            "usage",
        ],
    ),
    (Exit::NoDaemon, &["no-daemon", "stopping"]),
    (
        Exit::NotPaired,
        &[
            "not-paired",
            "card-not-paired",
            "card-not-in-vault",
            "pairing-incomplete",
            "revoked",
            "terminal-revoked",
            "card-revoked",
            "terminal-not-on-card",
            "subscriber-inactive",
        ],
    ),
    (
        Exit::Pin,
        &[
            "pin-incorrect",
            "pin-blocked",
            "pin-format",
            "pins-differ",
            "pin-pad-refused",
            "terminal-pin-incorrect",
            "terminal-pin-short",
            "terminal-key",
        ],
    ),
    (
        Exit::NoCard,
        &[
            "no-card",
            "no-reader",
            "no-pcscd",
            "no-applet",
            "card-removed",
            "no-new-card",
            "card-not-ready",
        ],
    ),
    (
        Exit::Server,
        &[
            "offline",
            "grant",
            "bad-address",
            "certificate-required",
            "rate-limited",
            "overloaded",
            "storage-full",
            "shutting-down",
            "server-refused",
            "signature-refused",
            "nonce-refused",
            "binding-refused",
            "collection-refused",
            "chain-refused",
            "code-refused",
            "card-mismatch",
        ],
    ),
    (
        Exit::Declined,
        &[
            "declined",
            "pin-declined",
            "pin-timeout",
            "no-agent",
            "cancelled",
        ],
    ),
    (
        Exit::Guard,
        &[
            "leaving",
            "locked",
            "busy",
            "card-full",
            "card-in-use",
            "terminal-in-use",
            "already-paired",
            "already-synced",
            "pin-must-change",
            "question-changed",
            "rekey-required",
            "review-waiting",
            "rule",
            "server-moves",
            "server-not-trusted",
            "session-inactive",
            "session-locked",
            "session-unknown",
        ],
    ),
    (
        Exit::ReadOnly,
        &[
            "record-unproven",
            "rolled-back",
            "server-forked",
            "server-rolled-back",
        ],
    ),
];

/// What a failure with this code ends with.
pub fn exit_of(code: &str) -> Exit {
    TABLE
        .iter()
        .find(|(_, codes)| codes.contains(&code))
        .map_or(Exit::Failed, |(exit, _)| *exit)
}

/// The table as help and manual show it.
pub fn help() -> String {
    let mut out = String::from("Exit codes:\n");
    for (exit, meaning) in MEANINGS {
        out.push_str(&format!("  {}  {meaning}\n", *exit as u8));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_exit() {
        let mut all: Vec<&str> = TABLE.iter().flat_map(|(_, c)| c.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(exit_of("pin-blocked"), Exit::Pin);
        assert_eq!(exit_of("anything"), Exit::Failed);
    }

    #[test]
    fn every_exit_is_explained_in_order() {
        for (i, (exit, _)) in MEANINGS.iter().enumerate() {
            assert_eq!(*exit as usize, i);
        }
        assert!(help().contains("5  a PIN is wrong"));
    }
}
