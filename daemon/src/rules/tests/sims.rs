//! SIMs without our applet: what a registered one starts and stops, and what no SIM ever does.

use super::*;
use crate::rules::{SimPlace, Sims};

const MINE: &str = "8901000000000000801";
const OTHER: &str = "8901000000000000802";

fn sims_state() -> State {
    let mut s = paired_state();
    s.policy.sim_trigger = SimTrigger::TriggerOnly;
    s.policy.presence_sims = [MINE.to_owned()].into();
    s
}

fn seen(list: &[&str]) -> Event {
    let sims: Sims = list
        .iter()
        .map(|i| (i.to_string(), "E1750".to_owned()))
        .collect();
    Event::Sims(Some(sims))
}

/// A SIM in the reader, looked at.
fn sim_in_reader(s: &mut State, iccid: &str) -> Vec<Action> {
    let looks = reduce(s, Event::Card(CardEvent::CardInserted(R.into())));
    assert!(looks.contains(&Action::Probe(R.into())), "{looks:?}");
    let result = Probed::Sim {
        iccid: iccid.to_owned(),
    };
    let reader = R.into();
    reduce(s, Event::Probed { reader, result })
}

/// Everything that needs a key, or asks for one.
fn needs_a_key(action: &Action) -> bool {
    matches!(
        action,
        Action::Open { .. } | Action::Start(_) | Action::Renew | Action::Probe(_)
    )
}

#[test]
fn m14_a_modem_sim_triggers_and_never_unlocks() {
    let mut s = sims_state();
    // Nobody can tell yet: as without SIMs.
    assert!(s.may_prefetch());
    assert_eq!(reduce(&mut s, seen(&[])), [Action::Prefetch(false)]);
    assert_eq!(codes(&s), ["no-card", "sim-absent"]);
    assert_eq!(reduce(&mut s, seen(&[MINE])), [Action::Prefetch(true)]);
    assert_eq!(codes(&s), ["no-card", "sim-present"]);
    let said = s.reasons().pop().unwrap().sentence;
    assert!(
        said.contains("modem E1750") && said.contains("never unlocks"),
        "{said}"
    );
    // Told twice, or under another name, it is no second insertion.
    assert_eq!(reduce(&mut s, seen(&[MINE])), []);
    let named = [(MINE.to_owned(), "EM12".to_owned())].into();
    assert_eq!(reduce(&mut s, Event::Sims(Some(named))), []);
    assert_eq!(s.session, SessionPhase::None);
    assert_eq!(reduce(&mut s, seen(&[])), [Action::Prefetch(false)]);
    // And whatever the user says, there is no card that could be opened.
    reduce(&mut s, seen(&[MINE]));
    for event in [
        unlock(),
        Event::AgentAppeared,
        Event::Server(true),
        Event::HeadMoved,
        Event::DataChanged,
        Event::Timer(Timer::RetryOpen),
        Event::Timer(Timer::RetrySync),
        Event::Timer(Timer::RetryTails),
        Event::Timer(Timer::Rescan),
    ] {
        let actions = reduce(&mut s, event.clone());
        assert!(!actions.iter().any(needs_a_key), "{event:?}: {actions:?}");
        assert_eq!(s.session, SessionPhase::None);
        assert!(s.free_card().is_none());
    }
}

#[test]
fn m14_a_sim_that_is_not_registered_or_not_wanted_starts_nothing() {
    // Policy, registered, what is seen, what follows.
    let none: &[&str] = &[];
    for (trigger, registered, before, now) in [
        (SimTrigger::Off, vec![MINE], none, vec![MINE]),
        (SimTrigger::TriggerOnly, vec![], none, vec![MINE]),
        (SimTrigger::TriggerOnly, vec![MINE], none, vec![OTHER]),
        (SimTrigger::TriggerOnly, vec![MINE], &[OTHER], vec![]),
        (
            SimTrigger::TriggerOnly,
            vec![MINE],
            &[MINE],
            vec![MINE, OTHER],
        ),
    ] {
        let mut s = paired_state();
        s.policy.sim_trigger = trigger;
        s.policy.presence_sims = registered.iter().map(|i| i.to_string()).collect();
        reduce(&mut s, seen(before));
        assert_eq!(
            reduce(&mut s, seen(&now)),
            [],
            "{trigger:?} {registered:?} {now:?}"
        );
        assert_eq!(s.seen_sims().len(), now.len());
    }
    // It is shown as what it is.
    let mut s = sims_state();
    reduce(&mut s, seen(&[MINE, OTHER]));
    let shown: Vec<_> = s
        .seen_sims()
        .into_iter()
        .map(|s| (s.iccid, s.registered))
        .collect();
    assert_eq!(shown, [(MINE.to_owned(), true), (OTHER.to_owned(), false)]);
}

#[test]
fn m14_a_registered_sim_delivers_what_waits_and_only_where_the_terminal_is_paired() {
    for (paired, revoked, stopping, wanted) in [
        (
            true,
            false,
            false,
            vec![Action::Prefetch(true), Action::DeliverTails],
        ),
        (false, false, false, vec![Action::Prefetch(true)]),
        (true, true, false, vec![Action::Prefetch(true)]),
        (
            true,
            false,
            true,
            vec![Action::Prefetch(true), Action::Exit],
        ),
    ] {
        let mut s = sims_state();
        reduce(&mut s, seen(&[]));
        (s.paired, s.revoked, s.stopping) = (paired, revoked, stopping);
        s.tails_waiting = true;
        let actions = reduce(&mut s, seen(&[MINE]));
        assert_eq!(actions, wanted, "{paired} {revoked} {stopping}");
    }
}

#[test]
fn m7_a_sim_in_the_reader_is_no_card_of_the_subscribers() {
    let mut s = sims_state();
    reduce(&mut s, seen(&[]));
    assert_eq!(sim_in_reader(&mut s, MINE), [Action::Prefetch(true)]);
    assert_eq!(codes(&s), ["no-card", "sim-present"]);
    let seen = s.seen_sims();
    assert_eq!(seen[0].place, SimPlace::Reader(R.into()));
    assert!(s.free_card().is_none());
    assert_eq!(reduce(&mut s, unlock()), []);
    assert_eq!(s.session, SessionPhase::None);
    // One that nobody registered starts nothing there either.
    let mut s = sims_state();
    reduce(&mut s, super::sims::seen(&[]));
    assert_eq!(sim_in_reader(&mut s, OTHER), []);
    assert_eq!(codes(&s), ["no-card", "sim-absent"]);
}

#[test]
fn m14_a_sim_that_goes_is_never_the_cards_removal() {
    let mut s = sims_state();
    reduce(&mut s, seen(&[MINE]));
    open(&mut s);
    end(&mut s, Work::Sync, Outcome::Done);
    assert!(codes(&s).is_empty(), "{:?}", codes(&s));
    // Neither keys nor work of the card's session are touched.
    assert_eq!(reduce(&mut s, seen(&[])), [Action::Prefetch(false)]);
    assert!(matches!(s.session, SessionPhase::Open { .. }));
    assert_eq!(reduce(&mut s, Event::Sims(None)), [Action::Prefetch(true)]);
    assert!(matches!(s.session, SessionPhase::Open { .. }));
    // And the card's removal is one, with the SIM still in.
    reduce(&mut s, seen(&[MINE]));
    let actions = reduce(&mut s, Event::Card(CardEvent::CardRemoved(R.into())));
    let wanted = [
        Action::Wipe,
        Action::Forget(R.into()),
        Action::Start(Work::Tail),
    ];
    assert_eq!(actions, wanted);
    assert!(codes(&s).contains(&"sim-present".to_owned()));
}

#[test]
fn m14_without_anybody_who_can_tell_it_is_as_without_sims() {
    let mut s = sims_state();
    reduce(&mut s, seen(&[]));
    assert!(!s.may_prefetch());
    assert_eq!(reduce(&mut s, Event::Sims(None)), [Action::Prefetch(true)]);
    assert_eq!(codes(&s), ["no-card"]);
    // A card that is ours opens as ever.
    reduce(&mut s, seen(&[MINE]));
    open(&mut s);
}
