//! What can happen, and what can be ordered.

use std::collections::{BTreeMap, BTreeSet};

use simsync_card::ids::CardId;
use simsync_protocol::api::MovingTo;

use super::unlocks::Unlock;
use crate::api::{Caller, Reason};
use crate::card::CardEvent;
use crate::outstanding::Summary;

/// SIMs in modems: the ICCID of each, and what its modem is called.
pub type Sims = BTreeMap<String, String>;

/// What a SELECT showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// No applet of ours.
    Foreign,
    /// No applet of ours: a SIM, which is presence and no more.
    Sim {
        /// Its number, digits only.
        iccid: String,
    },
    /// Our applet, but not of this terminal's subscriber (M7), or the terminal is paired with nobody.
    Unpaired,
    /// A card of this terminal's subscriber.
    Paired {
        /// The card that is meant.
        card: CardId,
        /// PIN tries left.
        tries: u8,
        /// The PIN must be changed first.
        pin_must_change: bool,
    },
    /// It could not be talked to.
    Failed(Reason),
}

/// Why a session was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenFailure {
    /// The person said no, or nobody could be asked: wait for the user.
    NotGiven(Reason),
    /// The card, the terminal's key or the server refused: wait for the user or another card.
    Refused(Reason),
    /// The server cannot be reached: tried again by itself.
    Offline(Reason),
    /// The card went away meanwhile; its removal is reported too.
    Gone,
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done to its end: an error of earlier work is over.
    Done,
    /// Stopped on our own command.
    Cancelled,
    /// It may work later by itself.
    Later(Reason),
    /// Somebody has to do something.
    Failed(Reason),
    /// A witness contradicts the server (B2).
    Distrusted(Reason),
    /// The grant or session is over; with the card in, a new session is opened without the PIN.
    SessionOver(Reason),
    /// It was no sync, or whoever ordered it was wrong or said no: that tells nothing of what is in sync.
    Aside,
}

/// Work that runs; one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A sync on the daemon's own account.
    Sync,
    /// Sealing what is left, after a removal.
    Tail,
    /// Comparing folders with what was synced, without a session.
    Compare,
    /// Something that the user ordered, by its number.
    Command(u64),
}

/// What comes back after a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Data was quiet long enough.
    Quiet,
    /// Open the session anew with a card that another program held.
    Reopen,
    /// Try to open a session again: the server could not be reached.
    RetryOpen,
    /// Try a sync again that failed.
    RetrySync,
    /// Try to deliver tails again.
    RetryTails,
    /// Look at everything.
    Rescan,
    /// Renew the grant.
    Renew,
    /// Look again at cards that could not be talked to.
    Probe,
    /// Look again at what is not where it should be: it may have mended.
    Mend,
}

/// What the rules are told: of cards, the server, work, the person and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Readers and cards.
    Card(CardEvent),
    /// udev saw a reader come or go: a hint to look at pcscd.
    ReaderHint,
    /// An opening that was to stop has ended, wherever it had got to.
    OpeningStopped,
    /// A card was looked at.
    Probed {
        /// Name of the reader that held the card.
        reader: String,
        /// Whether it is one of ours and whose, or why nobody could tell.
        result: Probed,
    },
    /// The readers whose card another program holds while somebody here waits for it.
    CardsHeld(BTreeSet<String>),
    /// A session is open.
    Opened {
        /// Name of the reader that holds the session's card.
        reader: String,
        /// The server is not trusted: nothing is written.
        read_only: Option<Reason>,
    },
    /// No session was opened.
    OpenFailed {
        /// Name of the reader whose card was to open it.
        reader: String,
        /// The reason, and whether another try may help.
        why: OpenFailure,
    },
    /// The work that ran has ended, well or not.
    WorkEnded {
        /// The work that ended.
        work: Work,
        /// What follows from it: nothing, another try, or somebody has to act.
        outcome: Outcome,
    },
    /// The grant or session is over; with the card in, a new one is opened without the PIN.
    SessionOver(Reason),
    /// The user's command closed the session: the card can be taken.
    SessionClosed,
    /// Something in a collection changed.
    DataChanged,
    /// A sync begins to look at everything, whoever ordered it.
    SyncBegan,
    /// It came to nothing: what had changed before it may wait still.
    SyncFailed,
    /// What is not where it should be, as a sync or a tail left it.
    Outstanding(Summary),
    /// Folders were compared with what was synced: whether anything differs.
    Compared {
        /// Something does.
        differs: bool,
    },
    /// The card was told of the newest head, or (a reason) it was not.
    CardTold(Option<Reason>),
    /// Whether there are more folders than may be watched.
    WatchLimit(bool),
    /// Another terminal committed, or delivered a tail.
    HeadMoved,
    /// A newer key object is known: it may name other cards.
    CardsNamed,
    /// The server answers, or does not.
    Server(bool),
    /// This terminal or its card was revoked.
    Revoked,
    /// All tails are delivered, or (false) some still wait.
    TailsDelivered(bool),
    /// The login session.
    Login {
        /// Active; none if nobody can tell.
        active: Option<bool>,
        /// Locked; none if nobody can tell.
        locked: Option<bool>,
    },
    /// The SIMs in modems now; none if nobody can tell.
    Sims(Option<Sims>),
    /// Somebody who can ask for a PIN is there.
    AgentAppeared,
    /// The server's operator announces that it moves, and the owner has not agreed yet; none: nothing is announced.
    ServerMoves(Option<MovingTo>),
    /// Labels of terminals that were paired with the person's cards since the last session here.
    TerminalsAdded(Vec<String>),
    /// The card in this reader forgot the PIN that opened the session.
    CardForgot(String),
    /// The owner unpairs this terminal: the vault names it no more.
    Leaving,
    /// Paired or unpaired.
    Pairing(bool),
    /// The user asks to open the session.
    UserUnlock(Unlock),
    /// Whoever gave such a command has heard how it went, or waits no longer; by the number of the job.
    UnlockEnded(u64),
    /// An opening, which fails for that, asked a person and got nothing.
    AskedInVain {
        /// Who ordered the opening; none if it began by itself.
        of: Option<Caller>,
        /// Whose agent was asked.
        at: Option<Caller>,
        /// Why nothing came of it: the PIN was declined, late or wrong, or nobody could ask.
        why: Reason,
    },
    /// The user orders something that runs as work.
    UserCommand(u64),
    /// The same, and nothing that runs is worth waiting for: this terminal forgets its pairing.
    UserForgets(u64),
    /// A timer went off.
    Timer(Timer),
    /// Stop in good order.
    Stop,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask PC/SC for readers now, not at its next notification.
    ListReaders,
    /// SELECT, and compare the pseudonym.
    Probe(String),
    /// Ask for what is missing and open a session.
    Open {
        /// Name of the reader that holds the card.
        reader: String,
        /// The card that the probe found in the reader.
        card: CardId,
        /// The PIN is verified already: only a new session number is needed.
        again: bool,
    },
    /// Stop asking and opening.
    StopOpening,
    /// Start work.
    Start(Work),
    /// Stop the work that runs.
    StopWork,
    /// The same, without waiting for what it waits for.
    AbandonWork,
    /// Wipe the vault's keys, drop the card and the grant; tell the server `removed`.
    Wipe,
    /// Deliver tails that wait.
    DeliverTails,
    /// Whether ciphertext may be fetched ahead; where it may, now is the time to look.
    Prefetch(bool),
    /// The card is out: drop the connection to it.
    Forget(String),
    /// Renew the grant.
    Renew,
    /// Look at everything at the next sync, whoever vouches for what.
    Doubt,
    /// Come back later.
    After(Timer),
    /// End the daemon.
    Exit,
}
