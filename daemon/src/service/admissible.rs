//! Commands before they run: what they are called, and what can be refused before anything starts.

use simsync_codes::Code;

use crate::api::{Command, Failure};
use crate::rules::{CardPhase, SessionPhase, State, leaving};

/// The job's kind.
pub fn kind(command: &Command) -> &'static str {
    match command {
        Command::Unlock => "unlock",
        Command::Pair { .. } => "pair",
        Command::Unpair => "unpair",
        Command::ForgetPairing => "forget-pairing",
        Command::Sync { .. } => "sync",
        Command::Eject => "eject",
        Command::AddCollection { .. } => "add-collection",
        Command::AnswerCollection { .. } => "answer-collection",
        Command::RemoveCollection { .. } => "remove-collection",
        Command::ChangeCardPin => "change-card-pin",
        Command::ChangeTerminalPin => "change-terminal-pin",
        Command::Forget { .. } => "forget",
        Command::AddCard => "add-card",
        Command::ConfirmServer { .. } => "confirm-server",
        Command::AcceptRestored => "accept-restored",
        Command::RemoveCard { .. } => "remove-card",
        Command::RemoveTerminal { .. } => "remove-terminal",
    }
}

/// What can be refused before anything starts.
pub fn admissible(command: &Command, state: &State) -> Result<(), Failure> {
    let has_card = state.readers.values().any(Option::is_some);
    let need_card = || {
        if has_card {
            Ok(())
        } else if state.readers.is_empty() {
            Err(Failure::new(
                Code::NoReader,
                "no card reader is connected; plug one in",
            ))
        } else {
            Err(Failure::new(Code::NoCard, "no card is in; put it in"))
        }
    };
    let need_pairing = || {
        if state.paired {
            Ok(())
        } else {
            Err(Failure::new(
                Code::NotPaired,
                "this terminal is not paired; put a card in and run `simsync pair`",
            ))
        }
    };
    let need_session = || match &state.session {
        SessionPhase::Open {
            read_only: Some(r), ..
        } => Err(Failure::from(r.clone())),
        SessionPhase::Open { .. } => Ok(()),
        _ => {
            need_pairing()?;
            need_card()?;
            let foreign = !state
                .readers
                .values()
                .flatten()
                .any(|c| matches!(c, CardPhase::Paired { .. }));
            Err(if foreign {
                Failure::new(
                    Code::CardNotPaired,
                    "not paired with this card; put yours in",
                )
            } else {
                Failure::new(
                    Code::Locked,
                    "no session is open; run `simsync unlock` and give the PIN",
                )
            })
        }
    };
    match command {
        Command::Unlock if state.leaving => Err(leaving().into()),
        Command::Unlock => {
            need_pairing()?;
            need_card()
        }
        Command::ForgetPairing => need_pairing(),
        // Begun before: no session opens any more, and none is needed.
        Command::Unpair if state.leaving => need_card(),
        // The new card is read; or, if all cards in are known, one of them signs.
        Command::AddCard => {
            need_pairing()?;
            need_card()?;
            let cards = state.readers.values().flatten();
            if cards.into_iter().any(|c| *c == CardPhase::Unpaired) {
                Ok(())
            } else {
                need_session()
            }
        }
        Command::Pair { .. } | Command::ChangeCardPin => need_card(),
        Command::ChangeTerminalPin => need_pairing(),
        Command::ConfirmServer { to } => {
            need_pairing()?;
            if state.server_moves.as_ref() == Some(to) {
                Ok(())
            } else {
                Err(Failure::new(
                    Code::NoServerMove,
                    "the server announces no such move; `simsync server show` tells what it announces",
                ))
            }
        }
        Command::AcceptRestored => match &state.session {
            SessionPhase::Open {
                read_only: Some(r), ..
            } if r.code != Code::RecordUnproven => Err(Failure::from(r.clone())),
            SessionPhase::Open { read_only, .. } => {
                if read_only.is_some() || state.card_untold.is_some() {
                    Ok(())
                } else {
                    Err(Failure::new(
                        Code::NothingToAccept,
                        "the card's record and the server agree; there is nothing to accept",
                    ))
                }
            }
            _ => need_session(),
        },
        Command::Unpair
        | Command::Sync { .. }
        | Command::Eject
        | Command::AddCollection { .. }
        | Command::AnswerCollection { .. }
        | Command::RemoveCollection { .. }
        | Command::RemoveCard { .. }
        | Command::RemoveTerminal { .. }
        | Command::Forget { .. } => need_session(),
    }
}
