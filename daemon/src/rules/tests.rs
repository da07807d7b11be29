//! The rules as tables: what happened, what follows, and why nothing does.

use super::*;
use crate::api::Reason;
use crate::card::CardEvent;
use crate::config::{LoginPolicy, SimTrigger};
use simsync_card::ids::CardId;
use simsync_codes::Code;

const R: &str = "Reader 1";

fn policy() -> Policy {
    Policy {
        login: LoginPolicy::WhenKnown,
        on_insertion: true,
        on_change: true,
        on_head_moved: true,
        sim_trigger: SimTrigger::Off,
        presence_sims: Default::default(),
    }
}

fn paired_state() -> State {
    let mut s = State::new(policy());
    s.paired = true;
    for e in [CardEvent::ServiceUp, CardEvent::ReaderAdded(R.into())] {
        assert_eq!(reduce(&mut s, Event::Card(e)), []);
    }
    s
}

fn insert(s: &mut State) -> Vec<Action> {
    assert_eq!(
        reduce(s, Event::Card(CardEvent::CardInserted(R.into()))),
        [Action::Probe(R.into())]
    );
    let result = Probed::Paired {
        card: CardId([1; 16]),
        tries: 3,
        pin_must_change: false,
    };
    reduce(
        s,
        Event::Probed {
            reader: R.into(),
            result,
        },
    )
}

fn open(s: &mut State) {
    assert_eq!(
        insert(s),
        [Action::Open {
            reader: R.into(),
            card: CardId([1; 16]),
            again: false
        }]
    );
    let actions = reduce(
        s,
        Event::Opened {
            reader: R.into(),
            read_only: None,
        },
    );
    assert!(actions.contains(&Action::Start(Work::Sync)), "{actions:?}");
}

/// An order of somebody who has no agent.
fn unlock() -> Event {
    Event::UserUnlock(Unlock {
        job: 1,
        by: None,
        has_agent: false,
    })
}

fn end(s: &mut State, work: Work, outcome: Outcome) -> Vec<Action> {
    reduce(s, Event::WorkEnded { work, outcome })
}

fn codes(s: &State) -> Vec<String> {
    s.reasons().iter().map(|r| r.code.to_string()).collect()
}

#[test]
fn m14_insertion_and_removal_each_start_work() {
    let mut s = paired_state();
    assert_eq!(codes(&s), ["no-card"]);
    open(&mut s);
    assert_eq!(end(&mut s, Work::Sync, Outcome::Done), []);
    assert!(codes(&s).is_empty());
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(
        actions,
        [
            Action::Wipe,
            Action::Forget(R.into()),
            Action::Start(Work::Tail)
        ]
    );
    assert_eq!(
        end(&mut s, Work::Tail, Outcome::Done),
        [Action::DeliverTails]
    );
    assert_eq!(codes(&s), ["no-card", "tail-waiting"]);
    reduce(&mut s, Event::TailsDelivered(true));
    assert_eq!(codes(&s), ["no-card"]);
}

#[test]
fn b4_a_yank_wipes_before_anything_else_and_the_tail_waits_for_the_work_to_stop() {
    let mut s = paired_state();
    open(&mut s);
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(
        actions,
        [Action::Wipe, Action::Forget(R.into()), Action::StopWork]
    );
    let actions = end(&mut s, Work::Sync, Outcome::Cancelled);
    assert_eq!(actions, [Action::Start(Work::Tail)]);
}

#[test]
fn b4_a_reader_that_is_unplugged_is_a_yank() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    let actions = reduce(&mut s, Event::Card(CardEvent::ReaderRemoved(R.into())));
    assert!(actions.contains(&Action::Wipe));
    assert_eq!(codes(&s), ["no-reader"]);
}

#[test]
fn m7_an_unknown_card_starts_nothing() {
    let mut s = paired_state();
    reduce(&mut s, Event::Card(CardEvent::CardInserted(R.into())));
    let actions = reduce(
        &mut s,
        Event::Probed {
            reader: R.into(),
            result: Probed::Unpaired,
        },
    );
    assert_eq!(actions, []);
    assert!(codes(&s).contains(&"card-not-paired".to_owned()));
    assert_eq!(reduce(&mut s, unlock()), []);
    assert_eq!(reduce(&mut s, Event::Timer(Timer::RetryOpen)), []);
}

#[test]
fn m10_an_unpaired_terminal_opens_nothing() {
    let mut s = paired_state();
    s.paired = false;
    assert_eq!(insert(&mut s), []);
    assert!(codes(&s).contains(&"not-paired".to_owned()));
}

#[test]
fn m6_the_login_session_must_be_active_and_unlocked() {
    for (active, locked, policy, code) in [
        (
            Some(false),
            Some(false),
            LoginPolicy::WhenKnown,
            Some("session-inactive"),
        ),
        (
            Some(true),
            Some(true),
            LoginPolicy::WhenKnown,
            Some("session-locked"),
        ),
        (None, None, LoginPolicy::WhenKnown, None),
        (None, None, LoginPolicy::Required, Some("session-unknown")),
        (Some(true), Some(false), LoginPolicy::Required, None),
        (Some(false), Some(true), LoginPolicy::Off, None),
    ] {
        let mut s = paired_state();
        s.policy.login = policy;
        reduce(&mut s, Event::Login { active, locked });
        let opens = insert(&mut s).contains(&Action::Open {
            reader: R.into(),
            card: CardId([1; 16]),
            again: false,
        });
        assert_eq!(opens, code.is_none(), "{active:?} {locked:?} {policy:?}");
        if let Some(code) = code {
            assert!(codes(&s).contains(&code.to_owned()));
            let actions = reduce(
                &mut s,
                Event::Login {
                    active: Some(true),
                    locked: Some(false),
                },
            );
            assert_eq!(
                actions,
                [Action::Open {
                    reader: R.into(),
                    card: CardId([1; 16]),
                    again: false
                }]
            );
        }
    }
}

#[test]
fn m6_locking_the_screen_stops_syncs_until_it_is_unlocked() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    reduce(
        &mut s,
        Event::Login {
            active: Some(true),
            locked: Some(true),
        },
    );
    assert_eq!(reduce(&mut s, Event::HeadMoved), []);
    let actions = reduce(
        &mut s,
        Event::Login {
            active: Some(true),
            locked: Some(false),
        },
    );
    assert_eq!(actions, [Action::Start(Work::Sync)]);
}

#[test]
fn m1_changed_data_is_uploaded_after_it_was_quiet() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    assert_eq!(
        reduce(&mut s, Event::DataChanged),
        [Action::After(Timer::Quiet)]
    );
    assert_eq!(
        reduce(&mut s, Event::Timer(Timer::Quiet)),
        [Action::Start(Work::Sync)]
    );
    // What changes meanwhile is not forgotten.
    reduce(&mut s, Event::DataChanged);
    assert_eq!(reduce(&mut s, Event::Timer(Timer::Quiet)), []);
    assert_eq!(
        end(&mut s, Work::Sync, Outcome::Done),
        [Action::Start(Work::Sync)]
    );
}

#[test]
fn a_declined_pin_waits_for_the_user() {
    let mut s = paired_state();
    insert(&mut s);
    let why = OpenFailure::NotGiven(Reason::new(Code::PinDeclined, "the PIN was not given"));
    assert_eq!(
        reduce(
            &mut s,
            Event::OpenFailed {
                reader: R.into(),
                why
            }
        ),
        // A wrong one may have been tried before: how many tries are left is read anew.
        [Action::Probe(R.into())]
    );
    assert_eq!(codes(&s), ["pin-declined"]);
    assert_eq!(reduce(&mut s, Event::Timer(Timer::RetryOpen)), []);
    assert_eq!(
        reduce(&mut s, unlock()),
        [Action::Open {
            reader: R.into(),
            card: CardId([1; 16]),
            again: false
        }]
    );
}

#[test]
fn m5_a_blocked_card_is_asked_anew_on_the_users_word() {
    let mut s = paired_state();
    insert(&mut s);
    let probed = |s: &mut State, tries| {
        let result = Probed::Paired {
            card: CardId([1; 16]),
            tries,
            pin_must_change: false,
        };
        let reader = R.into();
        reduce(s, Event::Probed { reader, result })
    };
    let why = OpenFailure::Refused(Reason::new(Code::PinBlocked, "the card's PIN is blocked"));
    let reader: String = R.into();
    let actions = reduce(&mut s, Event::OpenFailed { reader, why });
    assert_eq!(actions, [Action::Wipe, Action::Probe(R.into())]);
    assert_eq!(probed(&mut s, 0), []);
    assert!(codes(&s).contains(&"pin-blocked".to_owned()));
    // Unblocked by another program meanwhile, or not.
    assert_eq!(reduce(&mut s, unlock()), [Action::Probe(R.into())]);
    assert_eq!(probed(&mut s, 0), []);
    assert_eq!(reduce(&mut s, unlock()), [Action::Probe(R.into())]);
    let open = Action::Open {
        reader: R.into(),
        card: CardId([1; 16]),
        again: false,
    };
    assert_eq!(probed(&mut s, 3), [open]);
}

#[test]
fn who_comes_while_nobody_was_asked_is_asked() {
    let mut s = paired_state();
    insert(&mut s);
    let failed = || Event::OpenFailed {
        reader: R.into(),
        why: OpenFailure::NotGiven(Reason::new(Code::NoAgent, "nobody is there")),
    };
    // The first try began before there was anybody; its failure is not the answer to who came meanwhile.
    assert_eq!(reduce(&mut s, unlock()), []);
    let open = Action::Open {
        reader: R.into(),
        card: CardId([1; 16]),
        again: false,
    };
    assert_eq!(reduce(&mut s, failed()), [open]);
    assert_eq!(reduce(&mut s, failed()), []);
    assert_eq!(codes(&s), ["no-agent"]);
}

#[test]
fn offline_is_tried_again_by_itself() {
    let mut s = paired_state();
    insert(&mut s);
    let why = OpenFailure::Offline(Reason::new(Code::Offline, "no server"));
    assert_eq!(
        reduce(
            &mut s,
            Event::OpenFailed {
                reader: R.into(),
                why
            }
        ),
        [Action::After(Timer::RetryOpen)]
    );
    assert_eq!(
        reduce(&mut s, Event::Timer(Timer::RetryOpen)),
        [Action::Open {
            reader: R.into(),
            card: CardId([1; 16]),
            again: false
        }]
    );
}

#[test]
fn b2_a_distrusted_server_makes_everything_read_only() {
    let mut s = paired_state();
    open(&mut s);
    let reason = Reason::new(Code::ServerRolledBack, "the server is behind the card");
    end(&mut s, Work::Sync, Outcome::Distrusted(reason));
    assert_eq!(codes(&s), ["server-rolled-back"]);
    assert_eq!(reduce(&mut s, Event::DataChanged), []);
    assert_eq!(
        reduce(&mut s, Event::Timer(Timer::Rescan)),
        [Action::Doubt, Action::After(Timer::Rescan)]
    );
    assert_eq!(reduce(&mut s, Event::HeadMoved), []);
}

#[test]
fn a_session_that_is_over_is_opened_again_without_the_pin() {
    let mut s = paired_state();
    open(&mut s);
    let actions = end(
        &mut s,
        Work::Sync,
        Outcome::SessionOver(Reason::new(Code::GrantRequired, "ended")),
    );
    assert_eq!(
        actions,
        [Action::Open {
            reader: R.into(),
            card: CardId([1; 16]),
            again: true
        }]
    );
}

#[test]
fn eject_then_removal_makes_no_tail() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    assert_eq!(
        reduce(&mut s, Event::UserCommand(7)),
        [Action::Start(Work::Command(7))]
    );
    assert_eq!(reduce(&mut s, Event::SessionClosed), [Action::Wipe]);
    end(&mut s, Work::Command(7), Outcome::Done);
    assert_eq!(codes(&s), ["ejected"]);
    assert_eq!(
        reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into()))),
        [Action::Forget(R.into())]
    );
}

#[test]
fn a_card_that_goes_while_it_is_opened_leaves_nothing_open() {
    let mut s = paired_state();
    insert(&mut s);
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(actions, [Action::Forget(R.into()), Action::StopOpening]);
    let actions = reduce(
        &mut s,
        Event::Opened {
            reader: R.into(),
            read_only: None,
        },
    );
    assert_eq!(actions, [Action::Wipe, Action::Start(Work::Tail)]);
    assert_eq!(s.session, SessionPhase::None);
}

#[test]
fn what_was_refused_is_tried_again_on_the_users_word_only() {
    let mut s = paired_state();
    reduce(&mut s, Event::Revoked);
    assert_eq!(insert(&mut s), []);
    assert!(codes(&s).contains(&"revoked".to_owned()));
    let open = Action::Open {
        reader: R.into(),
        card: CardId([1; 16]),
        again: false,
    };
    assert_eq!(reduce(&mut s, unlock()), [open]);
}

#[test]
fn b4_a_yank_while_pairing_wipes_too() {
    let mut s = paired_state();
    s.paired = false;
    insert(&mut s);
    assert_eq!(
        reduce(&mut s, Event::UserCommand(1)),
        [Action::Start(Work::Command(1))]
    );
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(
        actions,
        [Action::Wipe, Action::Forget(R.into()), Action::StopWork]
    );
}

#[test]
fn stop_ends_the_session_makes_the_tail_and_exits() {
    let mut s = paired_state();
    open(&mut s);
    assert_eq!(
        reduce(&mut s, Event::Stop),
        [Action::Wipe, Action::StopWork, Action::StopWork]
    );
    assert_eq!(
        end(&mut s, Work::Sync, Outcome::Cancelled),
        [Action::Start(Work::Tail)]
    );
    assert!(end(&mut s, Work::Tail, Outcome::Done).contains(&Action::Exit));
}

#[test]
fn m14_a_hint_of_udev_makes_pcsc_look_and_nothing_else() {
    let mut s = paired_state();
    let before = s.clone();
    assert_eq!(reduce(&mut s, Event::ReaderHint), [Action::ListReaders]);
    assert_eq!(s, before);
}

mod cards;
mod openings;
mod sims;
mod truth;
mod unlocks;
