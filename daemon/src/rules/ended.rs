//! What follows when work ends, and when time has passed.

use simsync_card::ids::CardId;

use super::event::{Action, Outcome, Timer, Work};
use super::session_end::end_session;
use super::state::{SessionPhase, State};
use crate::api::Reason;

pub(super) fn work_ended(
    state: &mut State,
    work: Work,
    outcome: Outcome,
    actions: &mut Vec<Action>,
) {
    if state.work == Some(work) {
        state.work = None;
    }
    if work == Work::Tail {
        state.tails_waiting = true;
        actions.push(Action::DeliverTails);
    }
    let is_sync = matches!(work, Work::Sync | Work::Command(_));
    match outcome {
        Outcome::Done => {
            state.last_error = None;
            state.retries.sync = 0;
        }
        Outcome::Aside => {}
        // Nobody knows what is in sync until it was done to its end.
        Outcome::Cancelled => state.dirty |= is_sync,
        Outcome::Later(reason) | Outcome::Failed(reason) => {
            state.last_error = Some(reason);
            state.dirty |= is_sync;
            if is_sync {
                state.retries.sync = state.retries.sync.saturating_add(1);
                actions.push(Action::After(Timer::RetrySync));
            }
        }
        Outcome::Distrusted(reason) => {
            state.last_error = Some(reason.clone());
            if let SessionPhase::Open { read_only, .. } = &mut state.session {
                *read_only = Some(reason);
            }
        }
        Outcome::SessionOver(reason) => session_over(state, reason, actions),
    }
}

/// The grant or session is over: with the card in, a new one is opened without the PIN.
pub(super) fn session_over(state: &mut State, reason: Reason, actions: &mut Vec<Action>) {
    state.last_error = Some(reason);
    if let SessionPhase::Open { reader, .. } = &state.session {
        let reader = reader.clone();
        match state.card_in(&reader) {
            Some(card) => open_again(state, reader, card, actions),
            // It is being looked at: the session ends, and the look says how to go on.
            None => end_session(state, actions),
        }
    }
}

/// The keys of the session before are here still.
pub(super) fn open_again(
    state: &mut State,
    reader: String,
    card: CardId,
    actions: &mut Vec<Action>,
) {
    state.session = SessionPhase::Opening {
        reader: reader.clone(),
        again: true,
    };
    state.reopen_due = false;
    (state.asker_came, state.next_is_asked) = (false, false);
    actions.push(Action::Open {
        reader,
        card,
        again: true,
    });
}

pub(super) fn timer_fired(state: &mut State, timer: Timer, actions: &mut Vec<Action>) {
    let open = matches!(state.session, SessionPhase::Open { .. });
    match timer {
        Timer::Quiet => {
            state.again |= state.dirty && state.may_write();
            state.compare_due |=
                state.dirty && matches!(state.session, SessionPhase::Ejected { .. });
        }
        Timer::Mend => {
            if state.outstanding.mendable > 0 {
                state.again |= state.may_write();
            }
        }
        Timer::RetryOpen => {
            if state.retry_open {
                state.hold = None;
            }
        }
        Timer::RetryTails => {
            if state.tails_waiting {
                actions.push(Action::DeliverTails);
            }
        }
        Timer::RetrySync => state.again |= state.may_write(),
        Timer::Reopen => {
            if let (SessionPhase::Opening { reader, .. }, true) = (&state.session, state.reopen_due)
            {
                let reader = reader.clone();
                match state.card_in(&reader) {
                    Some(card) => open_again(state, reader, card, actions),
                    None => end_session(state, actions),
                }
            }
        }
        Timer::Rescan => {
            if open {
                state.dirty = true;
                state.again |= state.may_write();
                actions.push(Action::Doubt);
                actions.push(Action::After(Timer::Rescan));
            }
        }
        Timer::Probe => {
            // Each stays what it is until the look tells more.
            actions.extend(state.cards_to_probe().map(|r| Action::Probe(r.to_owned())));
        }
        Timer::Renew => {
            if open {
                actions.push(Action::Renew);
                actions.push(Action::After(Timer::Renew));
            }
        }
    }
}
