//! More than one card of a person.

use super::*;
use simsync_codes::Code;

#[test]
fn one_session_at_a_time_and_the_second_card_waits() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    let second = "Reader 2";
    reduce(&mut s, Event::Card(CardEvent::ReaderAdded(second.into())));
    reduce(&mut s, Event::Card(CardEvent::CardInserted(second.into())));
    let result = Probed::Paired {
        card: CardId([2; 16]),
        tries: 3,
        pin_must_change: false,
    };
    assert_eq!(
        reduce(
            &mut s,
            Event::Probed {
                reader: second.into(),
                result
            }
        ),
        []
    );
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert!(actions.contains(&Action::Start(Work::Tail)), "{actions:?}");
}

#[test]
fn m7_a_card_that_a_newer_key_object_names_is_looked_at_again() {
    let mut s = paired_state();
    reduce(&mut s, Event::Card(CardEvent::CardInserted(R.into())));
    let unpaired = Event::Probed {
        reader: R.into(),
        result: Probed::Unpaired,
    };
    assert_eq!(reduce(&mut s, unpaired), []);
    assert!(codes(&s).contains(&"card-not-paired".to_owned()));
    assert_eq!(reduce(&mut s, Event::CardsNamed), [Action::Probe(R.into())]);
    // One that is known stays as it is.
    let mut s = paired_state();
    open(&mut s);
    assert_eq!(reduce(&mut s, Event::CardsNamed), []);
}

#[test]
fn b8_after_a_card_was_revoked_another_one_is_asked_without_the_users_word() {
    let mut s = paired_state();
    open(&mut s);
    let actions = reduce(&mut s, Event::Revoked);
    assert!(actions.contains(&Action::Wipe), "{actions:?}");
    end(&mut s, Work::Sync, Outcome::Cancelled);
    end(&mut s, Work::Tail, Outcome::Done);
    reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(insert(&mut s), []);
    assert!(codes(&s).contains(&"revoked".to_owned()));
    reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));

    let spare = CardId([2; 16]);
    reduce(&mut s, Event::Card(CardEvent::CardInserted(R.into())));
    let probed = Event::Probed {
        reader: R.into(),
        result: Probed::Paired {
            card: spare,
            tries: 3,
            pin_must_change: false,
        },
    };
    let open = Action::Open {
        reader: R.into(),
        card: spare,
        again: false,
    };
    assert_eq!(reduce(&mut s, probed), [open]);
    assert!(!codes(&s).contains(&"revoked".to_owned()));
}

#[test]
fn a_session_that_is_over_while_its_card_is_looked_at_ends() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    s.readers.insert(R.into(), Some(CardPhase::Looking));
    let over = Outcome::SessionOver(Reason::new(Code::GrantRequired, "why"));
    let actions = end(&mut s, Work::Sync, over);
    assert!(actions.contains(&Action::Wipe), "{actions:?}");
    assert!(actions.contains(&Action::Start(Work::Tail)), "{actions:?}");
    assert_eq!(s.session, SessionPhase::None);
}

#[test]
fn f_g2_a_blocked_card_is_looked_at_until_another_program_unblocked_it() {
    let mut s = paired_state();
    insert(&mut s);
    let probed = |s: &mut State, tries, pin_must_change| {
        let result = Probed::Paired {
            card: CardId([1; 16]),
            tries,
            pin_must_change,
        };
        let reader = R.into();
        reduce(s, Event::Probed { reader, result })
    };
    let open = Action::Open {
        reader: R.into(),
        card: CardId([1; 16]),
        again: false,
    };
    for (code, tries, due) in [("pin-blocked", 0, false), ("pin-must-change", 3, true)] {
        let why = OpenFailure::Refused(Reason::new(code.parse().unwrap(), "why"));
        let reader: String = R.into();
        reduce(&mut s, Event::OpenFailed { reader, why });
        assert_eq!(probed(&mut s, tries, due), [], "{code}");
        assert!(codes(&s).contains(&code.to_owned()));
        assert_eq!(s.cards_to_probe().collect::<Vec<_>>(), [R], "{code}");
        // Nobody has to say so.
        let again = reduce(&mut s, Event::Timer(Timer::Probe));
        assert_eq!(again, [Action::Probe(R.into())], "{code}");
        assert_eq!(
            probed(&mut s, 3, false),
            std::slice::from_ref(&open),
            "{code}"
        );
        assert!(!codes(&s).contains(&code.to_owned()));
        assert_eq!(s.cards_to_probe().next(), None);
    }
}

#[test]
fn f_g3_a_session_that_is_open_while_the_terminal_is_paired_again_is_over() {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    let actions = reduce(&mut s, Event::Pairing(true));
    assert!(actions.contains(&Action::Wipe), "{actions:?}");
    assert!(actions.contains(&Action::Probe(R.into())), "{actions:?}");
    assert_eq!(s.session, SessionPhase::None);
    assert!(!actions.contains(&Action::Start(Work::Tail)), "{actions:?}");
}
