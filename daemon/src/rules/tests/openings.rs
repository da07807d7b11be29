//! Openings that do not go as usual: stopped, repeated, cards that could not be talked to; and tails that are not stopped.

use simsync_codes::Code;
use std::collections::BTreeSet;

use super::*;

#[test]
fn b4_a_yank_while_a_session_is_opened_anew_wipes_the_one_before() {
    let over = || Outcome::SessionOver(Reason::new(Code::GrantRequired, "why"));
    let reopening = || {
        let mut s = paired_state();
        open(&mut s);
        let actions = end(&mut s, Work::Sync, over());
        let again = Action::Open {
            reader: R.into(),
            card: CardId([1; 16]),
            again: true,
        };
        assert_eq!(actions, [again]);
        s
    };
    let mut s = reopening();
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(
        actions,
        [
            Action::Wipe,
            Action::Forget(R.into()),
            Action::StopOpening,
            Action::Start(Work::Tail)
        ]
    );
    // Not opened again, with the card in: what was open is over, too.
    let mut s = reopening();
    let why = OpenFailure::NotGiven(Reason::new(Code::NoAgent, "why"));
    let reader = R.to_owned();
    let actions = reduce(&mut s, Event::OpenFailed { reader, why });
    assert_eq!(actions, [Action::Wipe, Action::Start(Work::Tail)]);
}

#[test]
fn b4_an_opening_that_was_stopped_leaves_no_keys_and_a_tail() {
    let mut s = paired_state();
    insert(&mut s);
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(actions, [Action::Forget(R.into()), Action::StopOpening]);
    assert_eq!(
        reduce(&mut s, Event::OpeningStopped),
        [Action::Wipe, Action::Start(Work::Tail)]
    );
    // The card is back before that: the new session holds everything.
    let mut s = paired_state();
    insert(&mut s);
    reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    insert(&mut s);
    assert_eq!(reduce(&mut s, Event::OpeningStopped), []);
}

#[test]
fn b4_a_tail_is_not_stopped_half_way() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(s.work, Some(Work::Tail));
    // In again, open, and out again while it is made: another one follows.
    insert(&mut s);
    let opened = Event::Opened {
        reader: R.into(),
        read_only: None,
    };
    reduce(&mut s, opened);
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(actions, [Action::Wipe, Action::Forget(R.into())]);
    let actions = end(&mut s, Work::Tail, Outcome::Done);
    assert!(actions.contains(&Action::Start(Work::Tail)), "{actions:?}");
    assert_eq!(reduce(&mut s, Event::Stop), []);
}

#[test]
fn a_card_that_could_not_be_talked_to_is_looked_at_again() {
    let mut s = paired_state();
    reduce(&mut s, Event::Card(CardEvent::CardInserted(R.into())));
    let probed = |result| Event::Probed {
        reader: R.into(),
        result,
    };
    let failed = || Probed::Failed(Reason::new(Code::CardBusy, "why"));
    assert_eq!(
        reduce(&mut s, probed(failed())),
        [Action::After(Timer::Probe)]
    );
    assert!(codes(&s).contains(&"card-busy".to_owned()));
    assert_eq!(
        reduce(&mut s, Event::Timer(Timer::Probe)),
        [Action::Probe(R.into())]
    );
    reduce(&mut s, probed(failed()));
    // The user does not have to wait for it.
    assert_eq!(reduce(&mut s, unlock()), [Action::Probe(R.into())]);
    assert_eq!(reduce(&mut s, Event::Timer(Timer::Probe)), []);
    let result = Probed::Paired {
        card: CardId([1; 16]),
        tries: 3,
        pin_must_change: false,
    };
    assert_eq!(
        reduce(&mut s, probed(result)),
        [Action::Open {
            reader: R.into(),
            card: CardId([1; 16]),
            again: false
        }]
    );
}

#[test]
fn an_agent_that_comes_while_nobody_was_there_is_asked() {
    let mut s = paired_state();
    let opening = [Action::Open {
        reader: R.into(),
        card: CardId([1; 16]),
        again: false,
    }];
    assert_eq!(insert(&mut s), opening);
    let nobody = || Event::OpenFailed {
        reader: R.into(),
        why: OpenFailure::NotGiven(Reason::new(Code::NoAgent, "why")),
    };
    // It asked in vain, the agent came, and only then its failure is heard of.
    assert_eq!(reduce(&mut s, Event::AgentAppeared), []);
    assert_eq!(reduce(&mut s, nobody()), opening);
    // The next one counts.
    assert_eq!(reduce(&mut s, nobody()), []);
    assert_eq!(codes(&s), ["no-agent"]);
}

#[test]
fn a_terminal_that_is_leaving_opens_nothing_until_it_is_paired_anew() {
    let mut s = paired_state();
    open(&mut s);
    reduce(&mut s, Event::Leaving);
    reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(insert(&mut s), []);
    assert!(codes(&s).contains(&"leaving".to_owned()));
    // Who pairs it again stays.
    assert_eq!(
        reduce(&mut s, Event::Pairing(true)),
        [Action::Probe(R.into())]
    );
    assert!(!s.leaving && !codes(&s).contains(&"leaving".to_owned()));
}

#[test]
fn what_another_program_did_to_the_card_is_told_until_it_is_over() {
    let told = |s: &State| codes(s).contains(&"card-reset".to_owned());
    let over: [fn(&mut State); 2] = [
        |s| {
            reduce(s, Event::Card(CardEvent::CardRemoved(R.into())));
        },
        |s| {
            let opened = Event::Opened {
                reader: R.into(),
                read_only: None,
            };
            reduce(s, opened);
        },
    ];
    for over in over {
        let mut s = paired_state();
        open(&mut s);
        reduce(&mut s, Event::CardForgot(R.into()));
        assert!(told(&s));
        over(&mut s);
        assert!(!told(&s));
    }
}

#[test]
fn m5_a_card_that_another_program_holds_ends_no_session() {
    let busy = || OpenFailure::Refused(Reason::new(Code::CardBusy, "why"));
    let failed = || Event::OpenFailed {
        reader: R.into(),
        why: busy(),
    };
    let again = || Action::Open {
        reader: R.into(),
        card: CardId([1; 16]),
        again: true,
    };
    let mut s = paired_state();
    open(&mut s);
    let over = Outcome::SessionOver(Reason::new(Code::GrantRequired, "why"));
    assert_eq!(end(&mut s, Work::Sync, over), [again()]);
    // As long as it lasts: the keys stay, and nobody is asked for anything.
    for _ in 0..3 {
        assert_eq!(reduce(&mut s, failed()), [Action::After(Timer::Reopen)]);
        assert_eq!(codes(&s), ["card-busy"]);
        assert_eq!(reduce(&mut s, Event::Timer(Timer::Reopen)), [again()]);
        assert_eq!(codes(&s), ["waiting-for-pin"]);
        // The try that runs is the only one.
        assert_eq!(reduce(&mut s, Event::Timer(Timer::Reopen)), []);
    }
    // It is told of while the card is waited for, too.
    reduce(&mut s, Event::CardsHeld([R.to_owned()].into()));
    assert_eq!(codes(&s), ["card-busy"]);
    reduce(&mut s, Event::CardsHeld(BTreeSet::new()));
    reduce(&mut s, failed());
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(
        actions,
        [
            Action::Wipe,
            Action::Forget(R.into()),
            Action::StopOpening,
            Action::Start(Work::Tail)
        ]
    );
    assert_eq!(reduce(&mut s, Event::Timer(Timer::Reopen)), []);
    assert!(!codes(&s).contains(&"card-busy".to_owned()));

    // A first opening has no keys to keep: its owner is told.
    let mut s = paired_state();
    insert(&mut s);
    assert_eq!(reduce(&mut s, failed()), [Action::Wipe]);
    assert_eq!(codes(&s), ["card-busy"]);
}
