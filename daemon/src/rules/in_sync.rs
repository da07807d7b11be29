//! Whether everything is where it should be, as far as this terminal can tell.

use super::event::{Action, Timer, Work};
use super::state::{Server, SessionPhase, State};
use crate::api::Reason;
use crate::outstanding::Summary;
use simsync_codes::{Code, State as Word};

/// What changed until now, here or elsewhere, is seen by the sync that begins, also by one that a person ordered.
pub(super) fn sync_began(state: &mut State) {
    let behind = std::mem::take(&mut state.behind);
    state.dirty_before = std::mem::take(&mut state.dirty) || behind;
}

/// Nobody knows what is in sync until a sync was done to its end.
pub(super) fn sync_failed(state: &mut State) {
    state.dirty |= std::mem::take(&mut state.dirty_before);
}

/// What a sync or a tail left: looked at again by itself where that may help, less often each time that it did not.
pub(super) fn outstanding(state: &mut State, summary: Summary, actions: &mut Vec<Action>) {
    state.mends = if summary == state.outstanding {
        state.mends.saturating_add(1)
    } else {
        0
    };
    state.outstanding = summary;
    if summary.mendable > 0 && matches!(state.session, SessionPhase::Open { .. }) {
        actions.push(Action::After(Timer::Mend));
    }
}

impl State {
    /// Whether others wrote what this terminal takes only when it is told to.
    fn waits_to_take(&self) -> bool {
        self.behind && !self.policy.on_head_moved
    }

    /// The word for a session in which not everything is where it should be; none where it is.
    pub fn not_in_sync(&self) -> Option<Word> {
        let open = matches!(self.session, SessionPhase::Open { .. });
        if self.outstanding.person > 0 {
            Some(Word::Attention)
        } else if open && self.server == Server::Offline {
            Some(Word::Offline)
        } else if self.dirty
            || self.outstanding.waiting > 0
            || self.work == Some(Work::Compare)
            || (open && self.waits_to_take())
        {
            Some(Word::Pending)
        } else {
            None
        }
    }

    /// Whether work on our own account is about to begin.
    pub fn is_about_to_sync(&self) -> bool {
        self.again || (self.behind && self.policy.on_head_moved) || !self.queue.is_empty()
    }

    /// What is not where it should be, in a sentence for those that need a person and one for the others.
    pub(super) fn in_sync_reasons(&self) -> Vec<Reason> {
        let mut out = Vec::new();
        let Summary {
            person, waiting, ..
        } = self.outstanding;
        let verb = |n: u64| if n == 1 { "is" } else { "are" };
        let mut say = |code: Code, n: u64, what: &str| {
            if n > 0 {
                let sentence = format!(
                    "{n} of your files or folders {} not in sync {what}: `simsync status` lists them",
                    verb(n)
                );
                out.push(Reason::new(code, sentence));
            }
        };
        let needs = if person == 1 { "needs" } else { "need" };
        say(Code::Attention, person, &format!("and {needs} your help"));
        say(Code::Pending, waiting, "yet");
        let waits_to_give = self.dirty && !self.policy.on_change;
        if self.may_write() && (waits_to_give || self.waits_to_take()) {
            out.push(Reason::new(
                Code::WaitsForSync,
                "changes wait until you run `simsync sync`: this terminal's config.json says that nothing is synced by itself",
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, Outcome};
    use super::super::reduce::reduce;
    use super::super::state::Policy;
    use super::*;
    use crate::config::{LoginPolicy, SimTrigger};

    fn open(on_change: bool, on_head_moved: bool) -> State {
        let mut state = State::new(Policy {
            login: LoginPolicy::Off,
            on_insertion: true,
            on_change,
            on_head_moved,
            sim_trigger: SimTrigger::Off,
            presence_sims: Default::default(),
        });
        state.paired = true;
        state.server = Server::Online;
        state.session = SessionPhase::Open {
            reader: "R".to_owned(),
            read_only: None,
        };
        state
    }

    fn command(state: &mut State, id: u64) {
        reduce(state, Event::UserCommand(id));
        assert_eq!(state.work, Some(Work::Command(id)));
    }

    fn ended(state: &mut State, id: u64, outcome: Outcome) {
        let work = Work::Command(id);
        reduce(state, Event::WorkEnded { work, outcome });
    }

    #[test]
    fn f_c_an_ordered_sync_sees_what_changed_before_it() {
        let mut state = open(false, true);
        reduce(&mut state, Event::DataChanged);
        assert_eq!(state.not_in_sync(), Some(Word::Pending));
        let reasons = state.in_sync_reasons();
        assert_eq!(reasons[0].code, Code::WaitsForSync);
        // Given up: as it was.
        command(&mut state, 1);
        reduce(&mut state, Event::SyncBegan);
        reduce(&mut state, Event::SyncFailed);
        ended(&mut state, 1, Outcome::Aside);
        assert_eq!(state.not_in_sync(), Some(Word::Pending));
        // Done.
        command(&mut state, 2);
        reduce(&mut state, Event::SyncBegan);
        ended(&mut state, 2, Outcome::Done);
        assert_eq!(state.not_in_sync(), None);
        assert_eq!(state.in_sync_reasons(), []);
        // One that failed later brings nothing back that was done.
        command(&mut state, 3);
        reduce(&mut state, Event::SyncBegan);
        reduce(&mut state, Event::SyncFailed);
        ended(&mut state, 3, Outcome::Aside);
        assert_eq!(state.not_in_sync(), None);
        // What changes while it runs is another matter.
        command(&mut state, 4);
        reduce(&mut state, Event::SyncBegan);
        reduce(&mut state, Event::DataChanged);
        ended(&mut state, 4, Outcome::Done);
        assert_eq!(state.not_in_sync(), Some(Word::Pending));
    }

    #[test]
    fn f_c_what_others_wrote_is_pending_where_it_is_not_taken_by_itself() {
        let mut state = open(true, false);
        reduce(&mut state, Event::HeadMoved);
        assert!(!state.is_about_to_sync());
        assert_eq!(state.not_in_sync(), Some(Word::Pending));
        assert_eq!(state.in_sync_reasons()[0].code, Code::WaitsForSync);
        command(&mut state, 1);
        reduce(&mut state, Event::SyncBegan);
        ended(&mut state, 1, Outcome::Done);
        assert_eq!(state.not_in_sync(), None);
    }
}
