//! Several callers want the session open: the newest command is asked for, and one caller's answer is not another's.

use super::*;
use crate::api::Caller;
use simsync_codes::Code;

fn caller(name: &str) -> Caller {
    Caller(name.to_owned())
}

fn command(s: &mut State, job: u64, by: &str, has_agent: bool) -> Vec<Action> {
    let by = Some(caller(by));
    let command = Unlock { job, by, has_agent };
    reduce(s, Event::UserUnlock(command))
}

fn asked(s: &State) -> Option<&str> {
    s.unlocks.asked().map(|c| c.0.as_str())
}

/// What an opening tells when a person gave nothing.
fn in_vain(s: &mut State, of: Option<&str>, at: Option<&str>, code: &str) -> Vec<Action> {
    let why = Reason::new(code.parse().unwrap(), "why");
    let (of, at) = (of.map(caller), at.map(caller));
    let told = Event::AskedInVain {
        of,
        at,
        why: why.clone(),
    };
    assert_eq!(reduce(s, told), []);
    let why = OpenFailure::NotGiven(why);
    let reader = R.to_owned();
    reduce(s, Event::OpenFailed { reader, why })
}

fn probed(s: &mut State) -> Vec<Action> {
    let result = Probed::Paired {
        card: CardId([1; 16]),
        tries: 2,
        pin_must_change: false,
    };
    let reader = R.to_owned();
    reduce(s, Event::Probed { reader, result })
}

fn opens() -> Action {
    Action::Open {
        reader: R.into(),
        card: CardId([1; 16]),
        again: false,
    }
}

#[test]
fn f_g_the_newest_order_is_asked_for_and_the_same_callers_changes_nothing() {
    let mut s = paired_state();
    insert(&mut s);
    assert_eq!(asked(&s), None);
    assert_eq!(command(&mut s, 1, "first", true), []);
    assert_eq!(asked(&s), Some("first"));
    assert_eq!(command(&mut s, 2, "second", true), []);
    assert_eq!(asked(&s), Some("second"));
    assert_eq!(command(&mut s, 3, "second", true), []);
    assert_eq!(asked(&s), Some("second"));
    // Whoever cannot be asked takes nothing from those who can.
    assert_eq!(command(&mut s, 4, "none", false), []);
    assert_eq!(asked(&s), Some("second"));
    // Ended by their callers: the one before is asked for again.
    for job in [2, 3] {
        reduce(&mut s, Event::UnlockEnded(job));
    }
    assert_eq!(asked(&s), Some("first"));
    reduce(&mut s, Event::UnlockEnded(1));
    assert_eq!(asked(&s), Some("none"));
    reduce(&mut s, Event::UnlockEnded(4));
    assert_eq!(asked(&s), None);
}

#[test]
fn f_g_what_one_caller_answers_ends_its_own_orders_only() {
    for code in ["pin-declined", "pin-incorrect", "pin-timeout"] {
        let mut s = paired_state();
        insert(&mut s);
        command(&mut s, 1, "first", true);
        command(&mut s, 2, "second", true);
        command(&mut s, 3, "second", true);
        let actions = in_vain(&mut s, Some("second"), Some("second"), code);
        assert_eq!(actions, [Action::Probe(R.into())], "{code}");
        // Not before the card was looked at: a SELECT may not come between.
        assert!(matches!(s.readers[R], Some(CardPhase::Looking)));
        for job in [2, 3] {
            assert_eq!(s.unlocks.refusal(job).map(|r| r.code.as_str()), Some(code));
            reduce(&mut s, Event::UnlockEnded(job));
        }
        assert_eq!(s.unlocks.refusal(1), None);
        assert_eq!(probed(&mut s), [opens()]);
        assert_eq!(asked(&s), Some("first"));
        // It is the last one: now nobody is left to be asked.
        let actions = in_vain(&mut s, Some("first"), Some("first"), code);
        assert_eq!(actions, [Action::Probe(R.into())]);
        assert_eq!(probed(&mut s), []);
        assert_eq!(codes(&s), [code]);
    }
}

#[test]
fn f_g_a_question_that_leads_to_the_same_agent_is_asked_once() {
    let mut s = paired_state();
    insert(&mut s);
    // At the insertion the default agent was asked; its own program, and one that has none, ordered it meanwhile.
    command(&mut s, 1, "desktop", true);
    command(&mut s, 2, "none", false);
    in_vain(&mut s, None, Some("desktop"), "pin-declined");
    assert_eq!(probed(&mut s), []);
    assert_eq!(codes(&s), ["pin-declined"]);
    for job in [1, 2] {
        assert!(s.unlocks.refusal(job).is_some());
    }
}

#[test]
fn f_g_an_order_whose_agent_is_gone_leads_nowhere_twice() {
    let mut s = paired_state();
    insert(&mut s);
    command(&mut s, 1, "first", true);
    command(&mut s, 2, "gone", true);
    // Asked before the second one came: that counts as never asked.
    assert_eq!(in_vain(&mut s, Some("gone"), None, "no-agent"), [opens()]);
    assert_eq!(s.unlocks.refusal(2), None);
    assert_eq!(in_vain(&mut s, Some("gone"), None, "no-agent"), [opens()]);
    assert!(s.unlocks.refusal(2).is_some());
    assert_eq!(asked(&s), Some("first"));
    assert_eq!(in_vain(&mut s, Some("first"), None, "no-agent"), []);
    assert_eq!(codes(&s), ["no-agent"]);
}

#[test]
fn f_g_what_no_person_answered_ends_for_everybody() {
    let mut s = paired_state();
    insert(&mut s);
    command(&mut s, 1, "first", true);
    command(&mut s, 2, "second", true);
    let why = OpenFailure::Refused(Reason::new(Code::TerminalNotOnCard, "why"));
    let reader = R.to_owned();
    assert_eq!(
        reduce(&mut s, Event::OpenFailed { reader, why }),
        [Action::Wipe]
    );
    assert_eq!(codes(&s), ["terminal-not-on-card"]);
    assert!(s.unlocks.refusal(1).is_none() && s.unlocks.refusal(2).is_none());
}
