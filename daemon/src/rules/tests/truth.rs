//! Nothing is called in sync that is not.

use super::*;
use crate::outstanding::{Summary, Unsynced};
use simsync_codes::Code;

fn summary(codes: &[Unsynced]) -> Summary {
    let mut out = Summary::default();
    for code in codes {
        out.add(*code, 1);
    }
    out
}

fn synced() -> State {
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    assert_eq!(s.word().as_str(), "synced");
    s
}

fn ejected() -> State {
    let mut s = synced();
    reduce(&mut s, Event::UserCommand(1));
    reduce(&mut s, Event::SessionClosed);
    end(&mut s, Work::Command(1), Outcome::Done);
    assert_eq!(s.word().as_str(), "closed");
    s
}

#[test]
fn f_c_the_state_says_what_is_outstanding_and_looks_again_less_and_less_often() {
    let mut s = synced();
    for (codes, word, mends) in [
        (&[Unsynced::Changing][..], "pending", true),
        (&[Unsynced::Changing, Unsynced::Special], "attention", true),
        (&[Unsynced::Special], "attention", false),
        (&[], "synced", false),
    ] {
        let actions = reduce(&mut s, Event::Outstanding(summary(codes)));
        assert_eq!(s.word().as_str(), word, "{codes:?}");
        assert_eq!(
            actions.contains(&Action::After(Timer::Mend)),
            mends,
            "{codes:?}"
        );
    }
    let full = summary(&[Unsynced::DiskFull]);
    for n in 0..3 {
        reduce(&mut s, Event::Outstanding(full));
        assert_eq!(s.mends, n);
        let actions = reduce(&mut s, Event::Timer(Timer::Mend));
        let sync = Action::Start(Work::Sync);
        assert_eq!(actions, [sync]);
        end(&mut s, Work::Sync, Outcome::Done);
    }
    assert_eq!(codes(&s), ["attention"]);
}

#[test]
fn f_c_what_was_not_done_to_its_end_is_not_in_sync() {
    let why = || Reason::new(Code::CannotWrite, "no");
    for outcome in [
        Outcome::Cancelled,
        Outcome::Later(why()),
        Outcome::Failed(why()),
    ] {
        let mut s = synced();
        reduce(&mut s, Event::DataChanged);
        assert_eq!(s.word().as_str(), "pending", "nobody looked yet");
        reduce(&mut s, Event::Timer(Timer::Quiet));
        assert_eq!(s.word().as_str(), "syncing");
        let actions = end(&mut s, Work::Sync, outcome.clone());
        assert_eq!(s.word().as_str(), "pending", "{outcome:?}");
        let again = actions.contains(&Action::After(Timer::RetrySync));
        assert_eq!(again, outcome != Outcome::Cancelled, "{actions:?}");
    }
    let mut s = synced();
    reduce(&mut s, Event::Server(false));
    assert_eq!(s.word().as_str(), "offline");
}

#[test]
fn f_c_what_a_caller_did_wrong_is_nobody_elses_error_and_mends_none() {
    let mut s = synced();
    reduce(&mut s, Event::UserCommand(1));
    end(&mut s, Work::Command(1), Outcome::Aside);
    assert_eq!((s.last_error.clone(), s.word().as_str()), (None, "synced"));
    let why = Reason::new(Code::CannotWrite, "no");
    reduce(&mut s, Event::DataChanged);
    reduce(&mut s, Event::Timer(Timer::Quiet));
    end(&mut s, Work::Sync, Outcome::Failed(why.clone()));
    reduce(&mut s, Event::UserCommand(2));
    end(&mut s, Work::Command(2), Outcome::Aside);
    assert_eq!(
        (s.last_error.clone(), s.word().as_str()),
        (Some(why), "pending")
    );
}

#[test]
fn f_c_a_file_saved_after_eject_is_seen_and_said() {
    let mut s = ejected();
    assert_eq!(
        reduce(&mut s, Event::DataChanged),
        [Action::After(Timer::Quiet)]
    );
    assert_eq!(
        (s.word().as_str(), codes(&s)),
        ("pending", vec!["changed-since-eject".to_owned()])
    );
    for differs in [false, true] {
        reduce(&mut s, Event::DataChanged);
        let actions = reduce(&mut s, Event::Timer(Timer::Quiet));
        assert_eq!(actions, [Action::Start(Work::Compare)]);
        assert_eq!(
            s.word().as_str(),
            "pending",
            "not before the look has ended"
        );
        reduce(&mut s, Event::Compared { differs });
        end(&mut s, Work::Compare, Outcome::Aside);
        assert_eq!(
            s.word().as_str(),
            if differs { "pending" } else { "closed" }
        );
    }
    // A command to open waits for that look, and says so: its caller would be told that nothing came of it.
    reduce(&mut s, Event::DataChanged);
    reduce(&mut s, Event::Timer(Timer::Quiet));
    assert_eq!(s.work, Some(Work::Compare));
    assert_eq!(reduce(&mut s, unlock()), []);
    assert_eq!(s.word().as_str(), "opening");
    assert!(matches!(
        end(&mut s, Work::Compare, Outcome::Aside)[..],
        [Action::Open { .. }]
    ));
    // What is out of reach is said, too.
    let mut s = ejected();
    reduce(&mut s, Event::Outstanding(summary(&[Unsynced::Unreadable])));
    assert_eq!(s.word().as_str(), "attention");
    assert_eq!(codes(&s), ["ejected", "attention"]);
}

#[test]
fn f_c_a_card_that_was_not_told_is_named_until_a_session_makes_up_for_it() {
    let mut s = ejected();
    let why = Reason::new(Code::CardNotTold, "not told");
    reduce(&mut s, Event::CardTold(Some(why)));
    assert!(codes(&s).contains(&"card-not-told".to_owned()));
    reduce(&mut s, unlock());
    reduce(
        &mut s,
        Event::Opened {
            reader: R.into(),
            read_only: None,
        },
    );
    assert!(!codes(&s).contains(&"card-not-told".to_owned()));
}

#[test]
fn f_c_who_is_revoked_is_not_offline() {
    let mut s = synced();
    reduce(&mut s, Event::Server(false));
    reduce(&mut s, Event::Revoked);
    assert!(codes(&s).contains(&"revoked".to_owned()));
    assert!(!codes(&s).contains(&"offline".to_owned()));
}

#[test]
fn f_g_whoever_forgets_the_pairing_waits_for_no_work_but_a_tail() {
    let mut s = paired_state();
    open(&mut s);
    reduce(&mut s, Event::UserCommand(1));
    // It comes before what was ordered earlier, and what runs is given up.
    assert_eq!(reduce(&mut s, Event::UserForgets(2)), [Action::AbandonWork]);
    let actions = end(&mut s, Work::Sync, Outcome::Cancelled);
    assert_eq!(actions, [Action::Start(Work::Command(2))]);
    // A tail waits for nobody, and half of one would be taken for the whole.
    let mut s = paired_state();
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    assert_eq!(reduce(&mut s, Event::UserForgets(3)), []);
    let actions = end(&mut s, Work::Tail, Outcome::Done);
    assert!(
        actions.contains(&Action::Start(Work::Command(3))),
        "{actions:?}"
    );
}
