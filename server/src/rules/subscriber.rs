//! What becomes of a subscriber: added, suspended, resumed, removed; and when it gets another code.

use simsync_card::ids::SubscriberId;

use super::refusal::Refusal;
use crate::store::types::SubscriberState;

/// Only an active one enrols cards and pairs terminals. `None`: there is none of this ID.
pub fn active(state: Option<SubscriberState>) -> Result<(), Refusal> {
    match state {
        Some(SubscriberState::Active) => Ok(()),
        _ => Err(Refusal::SubscriberInactive),
    }
}

/// Whether one can be added where the store has this state for its ID. An ID is never used again.
pub fn add(sub: &SubscriberId, there: Option<SubscriberState>) -> Result<(), Refusal> {
    match there {
        None => Ok(()),
        Some(_) => Err(Refusal::SubscriberExists(sub.clone())),
    }
}

/// Whether one gets another enrolment code, which ends every unused one before it. A suspended one does: its owner can
/// use it once the operator resumes.
pub fn new_code(sub: &SubscriberId, state: Option<SubscriberState>) -> Result<(), Refusal> {
    match state {
        None => Err(Refusal::NoSubscriber(sub.clone())),
        Some(SubscriberState::Removed) => Err(Refusal::SubscriberRemoved(sub.clone())),
        Some(_) => Ok(()),
    }
}

/// What is to be written, beside the new state.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// All grants end, and nobody listens to its events any longer.
    pub ends: bool,
}

/// From one state to another. A removed one stays removed.
pub fn change(
    sub: &SubscriberId,
    from: Option<SubscriberState>,
    to: SubscriberState,
) -> Result<Plan, Refusal> {
    match from {
        None => Err(Refusal::NoSubscriber(sub.clone())),
        Some(SubscriberState::Removed) if to != SubscriberState::Removed => {
            Err(Refusal::RemovedForGood(sub.clone()))
        }
        Some(_) => Ok(Plan {
            ends: to != SubscriberState::Active,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::SubscriberState::{Active, Removed, Suspended};
    use super::*;
    use crate::rules::samples::alice;

    #[test]
    fn only_an_active_one_lets_cards_and_terminals_in() {
        for (state, then) in [
            (None, Err(Refusal::SubscriberInactive)),
            (Some(Active), Ok(())),
            (Some(Suspended), Err(Refusal::SubscriberInactive)),
            (Some(Removed), Err(Refusal::SubscriberInactive)),
        ] {
            assert_eq!(active(state), then, "{state:?}");
        }
    }

    #[test]
    fn an_id_is_used_once() {
        assert_eq!(add(&alice(), None), Ok(()));
        for state in [Active, Suspended, Removed] {
            let then = Err(Refusal::SubscriberExists(alice()));
            assert_eq!(add(&alice(), Some(state)), then, "{state:?}");
        }
    }

    #[test]
    fn who_is_not_removed_gets_another_code() {
        for (state, then) in [
            (None, Err(Refusal::NoSubscriber(alice()))),
            (Some(Active), Ok(())),
            (Some(Suspended), Ok(())),
            (Some(Removed), Err(Refusal::SubscriberRemoved(alice()))),
        ] {
            assert_eq!(new_code(&alice(), state), then, "{state:?}");
        }
    }

    #[test]
    fn a_removed_one_stays_removed() {
        let (goes_on, ends) = (Ok(Plan { ends: false }), Ok(Plan { ends: true }));
        let for_good = Err(Refusal::RemovedForGood(alice()));
        for (from, to, then) in [
            (None, Active, &Err(Refusal::NoSubscriber(alice()))),
            (Some(Active), Active, &goes_on),
            (Some(Active), Suspended, &ends),
            (Some(Active), Removed, &ends),
            (Some(Suspended), Active, &goes_on),
            (Some(Suspended), Suspended, &ends),
            (Some(Suspended), Removed, &ends),
            (Some(Removed), Active, &for_good),
            (Some(Removed), Suspended, &for_good),
            (Some(Removed), Removed, &ends),
        ] {
            assert_eq!(&change(&alice(), from, to), then, "{from:?} to {to:?}");
        }
    }
}
