//! What the rules need to know, and the reasons that they give.

use simsync_codes::Code;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use simsync_card::ids::CardId;
use simsync_protocol::api::MovingTo;

use super::event::{Sims, Work};
use super::unlocks::Unlocks;
use crate::api::Reason;
use crate::config::{LoginPolicy, SimTrigger};
use crate::outstanding::Summary;

/// The owner's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The check of the login session (M6).
    pub login: LoginPolicy,
    /// Sync when the card comes.
    pub on_insertion: bool,
    /// Upload when data changes.
    pub on_change: bool,
    /// Download when another terminal wrote.
    pub on_head_moved: bool,
    /// What a registered SIM may set going.
    pub sim_trigger: SimTrigger,
    /// ICCIDs of the registered SIMs.
    pub presence_sims: BTreeSet<String>,
}

/// What is known of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardPhase {
    /// Not looked at yet.
    Looking,
    /// Not one of ours.
    Foreign,
    /// A SIM without our applet: presence, and no card of anybody's.
    Sim {
        /// ICCID: the number that is printed on the card.
        iccid: String,
    },
    /// Ours, but not this terminal's.
    Unpaired,
    /// This terminal's subscriber's.
    Paired {
        /// Which of the subscriber's cards it is.
        card: CardId,
        /// PIN tries left.
        tries: u8,
        /// The PIN must be changed first.
        pin_must_change: bool,
    },
    /// It could not be talked to.
    Failed(Reason),
}

/// How far the session has come. A terminal has one at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SessionPhase {
    /// No session is open, and none is being opened.
    #[default]
    None,
    /// Asking for the PIN, or opening.
    Opening {
        /// The card's reader.
        reader: String,
        /// A session was open before, and its keys are here still.
        again: bool,
    },
    /// The card and the server opened it.
    Open {
        /// The card's reader.
        reader: String,
        /// Nothing is written, and why.
        read_only: Option<Reason>,
    },
    /// Closed by `eject`: the card can be taken.
    Ejected {
        /// The card's reader.
        reader: String,
    },
}

/// Whether the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Server {
    /// Nobody tried.
    #[default]
    Unknown,
    /// It answered when it was last called.
    Online,
    /// It could not be reached when it was last called.
    Offline,
}

/// How often in a row something failed that is tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retries {
    /// Opening a session.
    pub open: u32,
    /// Syncs that failed one after the other.
    pub sync: u32,
    /// Delivering tails.
    pub tails: u32,
}

/// Everything that decisions hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The owner's rules.
    pub policy: Policy,
    /// This terminal is paired.
    pub paired: bool,
    /// Its owner undid that, and card and server are still to be told.
    pub leaving: bool,
    /// This terminal or its card was revoked.
    pub revoked: bool,
    /// The card that was in use when that was heard: with another one the server decides anew.
    pub revoked_with: Option<CardId>,
    /// pcscd answers; none before it was tried.
    pub pcsc: Option<bool>,
    /// Readers, and the card in each.
    pub readers: BTreeMap<String, Option<CardPhase>>,
    /// Whether a session is open, and in which reader its card is.
    pub session: SessionPhase,
    /// The reader whose card forgot its PIN in the middle of a session: another program's doing.
    pub forgot: Option<String>,
    /// Terminals that came since the last session before this one.
    pub added: Vec<String>,
    /// Readers whose card another program holds while we wait for it.
    pub cards_held: BTreeSet<String>,
    /// An opening anew failed because of that; the next try comes by itself.
    pub reopen_due: bool,
    /// Why no session was opened with the card that is in.
    pub hold: Option<Reason>,
    /// Opening is tried again by itself.
    pub retry_open: bool,
    /// Somebody who can be asked for the PIN came after the opening that runs had begun.
    pub asker_came: bool,
    /// Commands to open the session that stand.
    pub unlocks: Unlocks,
    /// What the opening that fails now was told was one caller's answer; others that ordered it were not asked yet.
    pub next_is_asked: bool,
    /// The login session is active; none if nobody can tell.
    pub login_active: Option<bool>,
    /// The login session is locked; none if nobody can tell.
    pub login_locked: Option<bool>,
    /// SIMs in modems; none if nobody can tell.
    pub sims: Option<Sims>,
    /// Whether the last call reached the server.
    pub server: Server,
    /// Where the server moves, if that is announced and not agreed to.
    pub server_moves: Option<MovingTo>,
    /// Work that runs now, one at a time; none if nothing runs.
    pub work: Option<Work>,
    /// Numbers of commands that wait for it to end, the next one first.
    pub queue: VecDeque<u64>,
    /// Data changed since the last sync began.
    pub dirty: bool,
    /// Something had changed before the sync that runs began: so it counts again, if that sync comes to nothing.
    pub dirty_before: bool,
    /// What is not where it should be.
    pub outstanding: Summary,
    /// How often in a row that was looked at again in vain.
    pub mends: u32,
    /// What failed and is tried again.
    pub retries: Retries,
    /// Folders have to be compared with what was synced, without a session.
    pub compare_due: bool,
    /// The card could not be told of the newest head.
    pub card_untold: Option<Reason>,
    /// There are more folders than may be watched.
    pub watch_limit: bool,
    /// Others wrote since the last sync began.
    pub behind: bool,
    /// Work on our own account has to be done again.
    pub again: bool,
    /// A session ended without a closing commit: its tail has to be made.
    pub tail_due: bool,
    /// Tails wait to be delivered.
    pub tails_waiting: bool,
    /// The last thing that went wrong.
    pub last_error: Option<Reason>,
    /// We were told to stop.
    pub stopping: bool,
}

impl State {
    /// At the start.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            paired: false,
            leaving: false,
            revoked: false,
            revoked_with: None,
            pcsc: None,
            readers: BTreeMap::new(),
            session: SessionPhase::None,
            forgot: None,
            added: Vec::new(),
            cards_held: BTreeSet::new(),
            reopen_due: false,
            hold: None,
            retry_open: false,
            asker_came: false,
            unlocks: Unlocks::default(),
            next_is_asked: false,
            login_active: None,
            login_locked: None,
            sims: None,
            server: Server::Unknown,
            server_moves: None,
            work: None,
            queue: VecDeque::new(),
            dirty: false,
            dirty_before: false,
            outstanding: Summary::default(),
            mends: 0,
            retries: Retries::default(),
            compare_due: false,
            card_untold: None,
            watch_limit: false,
            behind: false,
            again: false,
            tail_due: false,
            tails_waiting: false,
            last_error: None,
            stopping: false,
        }
    }

    /// The reader of the session's card, whatever the session's phase.
    pub fn session_reader(&self) -> Option<&str> {
        match &self.session {
            SessionPhase::None => None,
            SessionPhase::Opening { reader, .. }
            | SessionPhase::Open { reader, .. }
            | SessionPhase::Ejected { reader } => Some(reader),
        }
    }

    /// Whether a session is open and may write.
    pub fn may_write(&self) -> bool {
        matches!(
            self.session,
            SessionPhase::Open {
                read_only: None,
                ..
            }
        )
    }

    /// A paired card that no session uses, and its reader.
    pub fn free_card(&self) -> Option<(&str, CardId)> {
        if self.session != SessionPhase::None {
            return None;
        }
        self.readers.iter().find_map(|(reader, card)| match card {
            Some(CardPhase::Paired {
                card, tries: 1.., ..
            }) => Some((reader.as_str(), *card)),
            _ => None,
        })
    }

    /// The free card that is opened as soon as no work is in the way, and its reader.
    pub fn card_to_open(&self) -> Option<(&str, CardId)> {
        let blocked = !self.paired
            || self.leaving
            || self.revoked
            || self.hold.is_some()
            || self.login_objection().is_some();
        if blocked { None } else { self.free_card() }
    }

    /// Readers of cards that another program may change for the better: those that could not be talked to, that are blocked,
    /// or whose PIN must be changed. A session's card is not among them.
    pub fn cards_to_probe(&self) -> impl Iterator<Item = &str> {
        let in_use = self.session_reader();
        self.readers.iter().filter_map(move |(reader, card)| {
            let waits = match card {
                Some(CardPhase::Failed(_)) => true,
                Some(CardPhase::Paired {
                    tries,
                    pin_must_change,
                    ..
                }) => (*tries == 0 || *pin_must_change) && in_use != Some(reader.as_str()),
                _ => false,
            };
            waits.then_some(reader.as_str())
        })
    }

    /// The paired card in this reader.
    pub fn card_in(&self, reader: &str) -> Option<CardId> {
        match self.readers.get(reader) {
            Some(Some(CardPhase::Paired { card, .. })) => Some(*card),
            _ => None,
        }
    }

    /// M6: what the login session has against it.
    pub fn login_objection(&self) -> Option<Reason> {
        let known_bad = if self.login_active == Some(false) {
            Some(Reason::new(
                Code::SessionInactive,
                "your login session is not the active one; switch to it",
            ))
        } else if self.login_locked == Some(true) {
            Some(Reason::new(
                Code::SessionLocked,
                "your login session is locked; unlock the screen",
            ))
        } else {
            None
        };
        let unknown = self.login_active.is_none() || self.login_locked.is_none();
        match self.policy.login {
            LoginPolicy::Off => None,
            LoginPolicy::WhenKnown => known_bad,
            LoginPolicy::Required if known_bad.is_none() && unknown => Some(Reason::new(
                Code::SessionUnknown,
                "it cannot be told whether your login session is active and unlocked (no logind), and the policy requires it",
            )),
            LoginPolicy::Required => known_bad,
        }
    }

    /// Why nothing happens, or what is in the way. Empty when a session is open and all is well.
    pub fn reasons(&self) -> Vec<Reason> {
        let mut out = Vec::new();
        let mut say = |code: Code, sentence: &str| out.push(Reason::new(code, sentence));
        if self.pcsc == Some(false) {
            say(
                Code::NoPcscd,
                "the smart card service does not answer; start pcscd",
            );
        } else if self.readers.is_empty() {
            say(Code::NoReader, "no card reader is connected; plug one in");
        }
        if !self.paired {
            say(
                Code::NotPaired,
                "this terminal is not paired; put a card in and run `simsync pair`",
            );
        }
        if self.leaving {
            let reason = leaving();
            say(reason.code, &reason.sentence);
        }
        if self.revoked {
            say(
                Code::Revoked,
                "this terminal or its card was revoked; ask the operator, or pair again with `simsync pair`",
            );
        }
        if let Some(reason) = self.login_objection() {
            out.push(reason);
        }
        for card in self.readers.values().flatten() {
            match card {
                CardPhase::Unpaired if self.paired => out.push(Reason::new(
                    Code::CardNotPaired,
                    "not paired with this card: it belongs to somebody else or to another pairing",
                )),
                CardPhase::Failed(reason) => out.push(reason.clone()),
                CardPhase::Paired { tries: 0, .. } => out.push(Reason::new(
                    Code::PinBlocked,
                    "the card's PIN is blocked; unblock it with the PUK: `simsync-card pin unblock`",
                )),
                CardPhase::Paired { pin_must_change: true, .. } if self.session == SessionPhase::None => out.push(
                    Reason::new(Code::PinMustChange, "the card's PIN must be changed first; run `simsync pin change`"),
                ),
                _ => {}
            }
        }
        if self.reopen_due || !self.cards_held.is_empty() {
            out.push(Reason::new(
                Code::CardBusy,
                "another program holds the card, and simsync waits for it; close that program, or wait",
            ));
        }
        match &self.session {
            SessionPhase::None => {
                if let Some(reason) = &self.hold {
                    out.push(reason.clone());
                } else if self.paired && self.free_card().is_none() && !self.readers.is_empty() {
                    out.push(Reason::new(Code::NoCard, "no card of yours is in; put it in"));
                }
            }
            SessionPhase::Opening { reader, .. } => {
                if !self.reopen_due && !self.cards_held.contains(reader) {
                    out.push(Reason::new(Code::WaitingForPin, "waiting for the PIN"));
                }
            }
            SessionPhase::Open { read_only, .. } => out.extend(read_only.clone()),
            SessionPhase::Ejected { .. } if self.dirty => out.push(Reason::new(
                Code::ChangedSinceEject,
                "files changed after the session was closed: they are uploaded at the next session; you can take the card, or run `simsync unlock` now",
            )),
            SessionPhase::Ejected { .. } if !self.outstanding.is_empty() => {
                out.push(Reason::new(
                    Code::Ejected,
                    "the session is closed; you can take the card now, but some of your files are not in sync",
                ));
            }
            SessionPhase::Ejected { .. } => {
                out.push(Reason::new(
                    Code::Ejected,
                    "everything is uploaded; you can take the card now",
                ));
            }
        }
        out.extend(self.in_sync_reasons());
        out.extend(self.card_untold.clone());
        if self.watch_limit {
            out.push(Reason::new(
                Code::WatchLimit,
                "there are more folders than may be watched: changes in some are found by a look every few minutes only; raise fs.inotify.max_user_watches and max_user_instances (`simsync doctor` says how)",
            ));
        }
        if self.forgot.is_some() {
            out.push(Reason::new(
                Code::CardReset,
                "another program reset the card, or used another application on it, and the card forgot your PIN: type it again with `simsync unlock`",
            ));
        }
        if self.server == Server::Offline {
            out.push(Reason::new(
                Code::Offline,
                "the server cannot be reached; changes wait here until it can",
            ));
        }
        if !self.added.is_empty() {
            out.push(Reason::new(
                Code::TerminalsAdded,
                format!(
                    "paired with your cards since your last session here: {}; if that was not you, run `simsync terminals remove` and change the PIN",
                    self.added.join(", ")
                ),
            ));
        }
        if let Some(to) = &self.server_moves {
            out.push(Reason::new(
                Code::ServerMoves,
                format!(
                    "the server announces that it moves to {}; ask its operator whether that is so, then run `simsync server confirm`",
                    to.address
                ),
            ));
        }
        if self.tails_waiting {
            out.push(Reason::new(
                Code::TailWaiting,
                "changes of the last session wait, sealed, to be delivered to the server",
            ));
        }
        out.extend(self.presence_reason());
        out
    }
}

/// Why a terminal that is being unpaired does nothing else.
pub fn leaving() -> Reason {
    Reason::new(
        Code::Leaving,
        "this terminal was unpaired, and that was interrupted; put your card in and run `simsync unpair` once more, or `simsync pair` to stay",
    )
}
