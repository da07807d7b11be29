//! The end of a session, however it comes.

use super::event::{Action, Work};
use super::state::{SessionPhase, State};

/// Whatever the session's phase: keys away first, then everything else.
pub(super) fn end_session(state: &mut State, actions: &mut Vec<Action>) {
    state.reopen_due = false;
    state.added.clear();
    match std::mem::take(&mut state.session) {
        SessionPhase::None | SessionPhase::Ejected { .. } => {}
        SessionPhase::Opening { again, .. } => {
            actions.push(Action::StopOpening);
            if again {
                actions.push(Action::Wipe);
                stop_work(state, actions);
                state.tail_due = true;
                state.again = false;
            }
        }
        SessionPhase::Open { .. } => {
            actions.push(Action::Wipe);
            stop_work(state, actions);
            state.tail_due = true;
            state.again = false;
        }
    }
}

/// A tail is never stopped: it takes no key and ends soon, and half of one would be taken for the whole.
pub(super) fn stop_work(state: &State, actions: &mut Vec<Action>) {
    if state.work.is_some_and(|w| w != Work::Tail) {
        actions.push(Action::StopWork);
    }
}
