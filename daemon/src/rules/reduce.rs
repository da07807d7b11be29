//! The rules.

use super::ended::{session_over, timer_fired, work_ended};
use super::event::{Action, Event, OpenFailure, Probed, Timer, Work};
use super::session_end::{end_session, stop_work};
use super::state::{CardPhase, Retries, Server, SessionPhase, State};
use super::{in_sync, presence};
use crate::api::Reason;
use crate::card::CardEvent;
use simsync_codes::Code;

/// What follows from an event. The state is changed in place.
pub fn reduce(state: &mut State, event: Event) -> Vec<Action> {
    let mut actions = Vec::new();
    let before = state.presence();
    match event {
        Event::Card(e) => card_event(state, e, &mut actions),
        Event::ReaderHint => actions.push(Action::ListReaders),
        Event::Probed { reader, result } => probed(state, reader, result, &mut actions),
        Event::OpeningStopped => {
            // It may have got as far as a session on the card, and keys: these go, that gets its tail.
            if matches!(
                state.session,
                SessionPhase::None | SessionPhase::Ejected { .. }
            ) {
                actions.push(Action::Wipe);
                state.tail_due = true;
            }
        }
        Event::Opened { reader, read_only } => opened(state, reader, read_only, &mut actions),
        Event::OpenFailed { reader, why } => open_failed(state, &reader, why, &mut actions),
        Event::WorkEnded { work, outcome } => work_ended(state, work, outcome, &mut actions),
        Event::SessionOver(reason) => session_over(state, reason, &mut actions),
        Event::SessionClosed => {
            if let SessionPhase::Open { reader, .. } = &state.session {
                state.session = SessionPhase::Ejected {
                    reader: reader.clone(),
                };
                state.tail_due = false;
                state.added.clear();
                actions.push(Action::Wipe);
                if state.dirty {
                    actions.push(Action::After(Timer::Quiet));
                }
            }
        }
        Event::DataChanged => {
            state.dirty = true;
            let ejected = matches!(state.session, SessionPhase::Ejected { .. });
            if ejected || (state.may_write() && state.policy.on_change) {
                actions.push(Action::After(Timer::Quiet));
            }
        }
        Event::Outstanding(summary) => in_sync::outstanding(state, summary, &mut actions),
        Event::SyncBegan => in_sync::sync_began(state),
        Event::SyncFailed => in_sync::sync_failed(state),
        Event::Compared { differs } => state.dirty |= differs,
        Event::CardTold(reason) => state.card_untold = reason,
        Event::WatchLimit(reached) => {
            state.watch_limit = reached;
            if reached && matches!(state.session, SessionPhase::Open { .. }) {
                actions.push(Action::After(Timer::Rescan));
            }
        }
        Event::HeadMoved => state.behind = true,
        Event::CardsNamed => {
            for (reader, card) in &mut state.readers {
                if matches!(card, Some(CardPhase::Unpaired)) {
                    *card = Some(CardPhase::Looking);
                    actions.push(Action::Probe(reader.clone()));
                }
            }
        }
        Event::Server(online) => server(state, online, &mut actions),
        Event::Revoked => {
            state.revoked = true;
            // It answers, and refuses.
            state.server = Server::Online;
            let reader = state.session_reader().map(str::to_owned);
            state.revoked_with = reader.and_then(|r| state.card_in(&r));
            end_session(state, &mut actions);
        }
        Event::TailsDelivered(all) => {
            state.tails_waiting = !all;
            if all {
                state.retries.tails = 0;
            } else {
                state.retries.tails = state.retries.tails.saturating_add(1);
                actions.push(Action::After(Timer::RetryTails));
            }
        }
        Event::Login { active, locked } => {
            (state.login_active, state.login_locked) = (active, locked);
        }
        Event::Sims(sims) => state.sims = sims,
        Event::AgentAppeared => {
            state.asker_came = true;
            if state.hold.as_ref().is_some_and(|r| r.code == Code::NoAgent) {
                state.hold = None;
            }
        }
        Event::ServerMoves(to) => state.server_moves = to,
        Event::CardForgot(reader) => state.forgot = Some(reader),
        Event::TerminalsAdded(labels) => state.added = labels,
        Event::CardsHeld(readers) => state.cards_held = readers,
        Event::Leaving => state.leaving = true,
        Event::Pairing(paired) => pairing(state, paired, &mut actions),
        Event::UnlockEnded(job) => state.unlocks.ended(job),
        Event::AskedInVain { of, at, why } => {
            if !asked_too_early(state, &why) {
                state.unlocks.in_vain(of.as_ref(), at.as_ref(), &why);
                state.next_is_asked = state.unlocks.stand();
            }
        }
        Event::UserUnlock(command) => {
            state.unlocks.command(command);
            state.hold = None;
            for (reader, card) in &mut state.readers {
                if matches!(card, Some(CardPhase::Failed(_))) {
                    *card = Some(CardPhase::Looking);
                    actions.push(Action::Probe(reader.clone()));
                }
            }
            // An operator may have let a suspended subscriber in again: the server decides anew.
            state.revoked = false;
            if let SessionPhase::Ejected { .. } = state.session {
                state.session = SessionPhase::None;
            }
            state.asker_came = true;
            // Somebody may have unblocked the card with its PUK: it is asked anew.
            for (reader, card) in &mut state.readers {
                if matches!(card, Some(CardPhase::Paired { tries: 0, .. })) {
                    *card = Some(CardPhase::Looking);
                    actions.push(Action::Probe(reader.clone()));
                }
            }
        }
        Event::UserCommand(id) => state.queue.push_back(id),
        Event::UserForgets(id) => {
            if state.work.is_some_and(|w| w != Work::Tail) {
                actions.push(Action::AbandonWork);
            }
            state.queue.push_front(id);
        }
        Event::Timer(timer) => timer_fired(state, timer, &mut actions),
        Event::Stop => {
            state.stopping = true;
            stop_work(state, &mut actions);
            end_session(state, &mut actions);
        }
    }
    presence::follow(state, &before, &mut actions);
    go_on(state, &mut actions);
    // Keys first, whatever else is to be done.
    actions.sort_by_key(|a| *a != Action::Wipe);
    actions
}

fn card_event(state: &mut State, event: CardEvent, actions: &mut Vec<Action>) {
    match event {
        CardEvent::ServiceUp => state.pcsc = Some(true),
        CardEvent::ServiceDown => state.pcsc = Some(false),
        CardEvent::ReaderAdded(reader) => {
            state.readers.entry(reader).or_default();
        }
        CardEvent::ReaderRemoved(reader) => {
            card_removed(state, &reader, actions);
            state.readers.remove(&reader);
        }
        CardEvent::CardInserted(reader) => {
            state
                .readers
                .insert(reader.clone(), Some(CardPhase::Looking));
            state.hold = None;
            state.forgot = None;
            actions.push(Action::Probe(reader));
        }
        CardEvent::CardRemoved(reader) => card_removed(state, &reader, actions),
    }
}

fn card_removed(state: &mut State, reader: &str, actions: &mut Vec<Action>) {
    if let Some(card) = state.readers.get_mut(reader)
        && card.take().is_none()
    {
        return;
    }
    actions.push(Action::Forget(reader.to_owned()));
    if state.forgot.as_deref() == Some(reader) {
        state.forgot = None;
    }
    // Pairing has the vault's keys, too, without a session of the usual kind.
    if state.session == SessionPhase::None && matches!(state.work, Some(Work::Command(_))) {
        actions.push(Action::Wipe);
        actions.push(Action::StopWork);
    }
    if state.session_reader() == Some(reader) {
        end_session(state, actions);
        state.hold = None;
        state.retry_open = false;
    }
}

fn probed(state: &mut State, reader: String, result: Probed, actions: &mut Vec<Action>) {
    if let Probed::Failed(_) = result {
        // Another program holds it, or it is on its way in: nobody else would say when that is over.
        actions.push(Action::After(Timer::Probe));
    }
    if let Probed::Paired { card, .. } = &result
        && state.revoked_with.is_some_and(|revoked| revoked != *card)
    {
        (state.revoked, state.revoked_with) = (false, None);
    }
    let phase = match result {
        Probed::Foreign => CardPhase::Foreign,
        Probed::Sim { iccid } => CardPhase::Sim { iccid },
        Probed::Unpaired => CardPhase::Unpaired,
        Probed::Failed(reason) => CardPhase::Failed(reason),
        Probed::Paired {
            card,
            tries,
            pin_must_change,
        } => CardPhase::Paired {
            card,
            tries,
            pin_must_change,
        },
    };
    // What the person was told to do is done, by another program.
    if let CardPhase::Paired {
        tries: 1..,
        pin_must_change,
        ..
    } = phase
        && state.hold.as_ref().is_some_and(|r| {
            r.code == Code::PinBlocked || (r.code == Code::PinMustChange && !pin_must_change)
        })
    {
        state.hold = None;
    }
    // It may have been removed while it was looked at.
    if let Some(slot @ Some(_)) = state.readers.get_mut(&reader) {
        *slot = Some(phase);
    }
}

fn opened(state: &mut State, reader: String, read_only: Option<Reason>, actions: &mut Vec<Action>) {
    if state.session_reader() != Some(&reader) {
        // The card went while it was opened: what was opened is void.
        actions.push(Action::Wipe);
        state.tail_due = true;
        return;
    }
    state.server = Server::Online;
    state.revoked = false;
    state.forgot = None;
    state.hold = None;
    state.retry_open = false;
    state.retries = Retries::default();
    state.card_untold = None;
    state.mends = 0;
    state.again |= state.policy.on_insertion && read_only.is_none();
    state.session = SessionPhase::Open { reader, read_only };
    actions.push(Action::After(Timer::Renew));
    actions.push(Action::After(Timer::Rescan));
}

/// Whether the card may have fewer tries left than it was seen with.
fn may_have_cost_a_try(reason: &Reason) -> bool {
    matches!(
        reason.code,
        Code::PinDeclined | Code::PinTimeout | Code::PinIncorrect | Code::PinBlocked
    )
}

/// Asked in vain just before somebody came: once more.
fn asked_too_early(state: &State, reason: &Reason) -> bool {
    reason.code == Code::NoAgent && state.asker_came
}

fn open_failed(state: &mut State, reader: &str, why: OpenFailure, actions: &mut Vec<Action>) {
    if state.session_reader() != Some(reader) {
        return;
    }
    let again = matches!(state.session, SessionPhase::Opening { again: true, .. });
    if again && matches!(&why, OpenFailure::Refused(reason) if reason.code == Code::CardBusy) {
        // The card forgot nothing by that: nobody has to type the PIN again.
        state.reopen_due = true;
        actions.push(Action::After(Timer::Reopen));
        return;
    }
    state.session = SessionPhase::None;
    if again {
        // The session before is over with that.
        actions.push(Action::Wipe);
        state.tail_due = true;
    } else if matches!(why, OpenFailure::Refused(_)) {
        // A new epoch may have been under way, with the keys at hand.
        actions.push(Action::Wipe);
    }
    match why {
        OpenFailure::NotGiven(reason) if asked_too_early(state, &reason) => {}
        // What one caller answered is not the answer of the next.
        OpenFailure::NotGiven(reason) if state.next_is_asked => {
            if may_have_cost_a_try(&reason) {
                // First, and by itself: a SELECT beside the next opening could undo what that has just opened.
                if let Some(card @ Some(_)) = state.readers.get_mut(reader) {
                    *card = Some(CardPhase::Looking);
                }
                actions.push(Action::Probe(reader.to_owned()));
            }
        }
        OpenFailure::NotGiven(reason) | OpenFailure::Refused(reason) => {
            if may_have_cost_a_try(&reason) {
                actions.push(Action::Probe(reader.to_owned()));
            }
            state.hold = Some(reason);
        }
        OpenFailure::Offline(reason) => {
            state.server = Server::Offline;
            state.hold = Some(reason);
            state.retry_open = true;
            state.retries.open = state.retries.open.saturating_add(1);
            actions.push(Action::After(Timer::RetryOpen));
        }
        OpenFailure::Gone => {
            state.hold = Some(Reason::new(
                Code::CardRemoved,
                "the card was removed; put it in again",
            ));
        }
    }
}

fn server(state: &mut State, online: bool, actions: &mut Vec<Action>) {
    let was = state.server;
    state.server = if online {
        Server::Online
    } else {
        Server::Offline
    };
    if online && was != Server::Online {
        state.retries = Retries::default();
        if state.tails_waiting {
            actions.push(Action::DeliverTails);
        }
        if state.retry_open {
            state.hold = None;
        }
        state.again |= state.may_write();
    }
}

fn pairing(state: &mut State, paired: bool, actions: &mut Vec<Action>) {
    state.paired = paired;
    state.leaving = false;
    state.revoked = false;
    state.hold = None;
    state.server_moves = None;
    // Pairing takes the card for sessions of its own. One that was open beside it is void, and the commit that ends the pairing
    // closes it.
    end_session(state, actions);
    state.tail_due = false;
    if !paired {
        state.tails_waiting = false;
    }
    // Cards are looked at with other eyes now.
    for (reader, card) in &mut state.readers {
        if card.is_some() {
            *card = Some(CardPhase::Looking);
            actions.push(Action::Probe(reader.clone()));
        }
    }
}

/// What can be started now, after whatever happened.
fn go_on(state: &mut State, actions: &mut Vec<Action>) {
    if state.stopping && state.work.is_none() && !state.tail_due {
        actions.push(Action::Exit);
        return;
    }
    if state.work.is_none() && state.tail_due {
        state.tail_due = false;
        return start(state, Work::Tail, actions);
    }
    if state.stopping {
        return;
    }
    // A card is opened when nothing else is: the checks of M6 and M7 come first, before anything leaves the terminal.
    if state.work.is_none_or(|w| w == Work::Tail)
        && let Some((reader, card)) = state.card_to_open().map(|(r, c)| (r.to_owned(), c))
    {
        state.session = SessionPhase::Opening {
            reader: reader.clone(),
            again: false,
        };
        (state.asker_came, state.next_is_asked) = (false, false);
        actions.push(Action::Open {
            reader,
            card,
            again: false,
        });
    }
    if state.work.is_some() {
        return;
    }
    if let Some(id) = state.queue.pop_front() {
        return start(state, Work::Command(id), actions);
    }
    if state.compare_due {
        state.compare_due = false;
        if matches!(state.session, SessionPhase::Ejected { .. }) {
            return start(state, Work::Compare, actions);
        }
    }
    if !state.may_write() || state.login_objection().is_some() {
        return;
    }
    if state.again {
        state.again = false;
        return start(state, Work::Sync, actions);
    }
    if state.behind && state.policy.on_head_moved {
        start(state, Work::Sync, actions);
    }
}

fn start(state: &mut State, work: Work, actions: &mut Vec<Action>) {
    match work {
        Work::Sync => {
            state.dirty = false;
            state.behind = false;
        }
        Work::Compare => state.dirty = false,
        Work::Tail | Work::Command(_) => {}
    }
    state.work = Some(work);
    actions.push(Action::Start(work));
}
