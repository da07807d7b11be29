//! When the owner stops waiting for sessions and their tails (flow 6).

use std::collections::{HashMap, HashSet};

use simsync_protocol::api::SessionState;
use simsync_vault::commit::SessionRef;

use super::refusal::Refusal;

/// A session that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// The session that its owner gives up.
    pub session: SessionRef,
    /// Its quarantined tail is given up with it.
    pub tail: bool,
}

/// What is to be forgotten of `list`, where the store has these `states` for what it knows of it. Open sessions are no
/// longer waited for; quarantined tails are given up. Everything else stays as it is.
pub fn decide(
    list: &[SessionRef],
    states: &HashMap<SessionRef, SessionState>,
) -> Result<Vec<Forgotten>, Refusal> {
    let (mut plan, mut seen) = (Vec::new(), HashSet::new());
    for session in list {
        let state = states.get(session).ok_or(Refusal::NoSession(*session))?;
        let tail = match state {
            SessionState::Open => false,
            SessionState::Quarantined => true,
            SessionState::TailDelivered | SessionState::Closed | SessionState::Forgotten => {
                continue;
            }
        };
        if seen.insert(*session) {
            plan.push(Forgotten {
                session: *session,
                tail,
            });
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::samples::CARD;

    fn session(n: u32) -> SessionRef {
        SessionRef { card: CARD, n }
    }

    #[test]
    fn open_sessions_and_quarantined_tails_are_given_up() {
        for (state, tail) in [
            (SessionState::Open, Some(false)),
            (SessionState::Quarantined, Some(true)),
            (SessionState::TailDelivered, None),
            (SessionState::Closed, None),
            (SessionState::Forgotten, None),
        ] {
            let states = [(session(1), state)].into();
            let then = tail.map(|tail| Forgotten {
                session: session(1),
                tail,
            });
            let plan = decide(&[session(1)], &states);
            assert_eq!(plan, Ok(then.into_iter().collect()), "{state:?}");
        }
    }

    #[test]
    fn what_is_named_twice_is_forgotten_once_and_what_is_unknown_refuses_all() {
        let states = [(session(1), SessionState::Open)].into();
        let plan = decide(&[session(1), session(1)], &states).unwrap();
        assert_eq!(plan.len(), 1);
        let unknown = decide(&[session(1), session(2)], &states);
        assert_eq!(unknown, Err(Refusal::NoSession(session(2))));
    }
}
