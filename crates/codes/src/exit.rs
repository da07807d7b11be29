//! What a process ends with.

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
