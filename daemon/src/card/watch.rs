//! Readers and cards as PC/SC reports them, turned into events.
//!
//! The watching thread has a context of its own, so that a removal is seen even while another program's transaction
//! keeps the talking thread waiting.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use pcsc::{Context, Error, PNP_NOTIFICATION, ReaderState, Scope, State};

/// What happened at the readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardEvent {
    /// pcscd answers.
    ServiceUp,
    /// pcscd does not answer (any longer): every card is as good as gone.
    ServiceDown,
    /// A reader is there.
    ReaderAdded(String),
    /// A reader is gone.
    ReaderRemoved(String),
    /// A card is in the reader of this name.
    CardInserted(String),
    /// The reader of this name has no card any more.
    CardRemoved(String),
}

/// A periodic look, since events can be missed.
const LOOK: Duration = Duration::from_secs(2);
/// Between two tries to reach pcscd.
const RETRY: Duration = Duration::from_millis(500);

/// The watching thread, to be told that looking now is worth while.
pub struct Watcher {
    context: Arc<Mutex<Option<Context>>>,
    thread: Thread,
}

impl Watcher {
    /// Looks at once, instead of at the next notification or the next try.
    pub fn poll_now(&self) {
        let context = self.context.lock();
        if let Some(context) = context.as_ref() {
            // Nothing to cancel is as good: it is looking, then.
            let _ = context.cancel();
        }
        self.thread.unpark();
    }
}

/// Starts the watching thread. It ends when `emit` answers false.
pub fn watch(emit: impl Fn(CardEvent) -> bool + Send + 'static) -> std::io::Result<Watcher> {
    let shared = Arc::new(Mutex::new(None));
    let context = shared.clone();
    let thread = std::thread::Builder::new()
        .name("pcsc-watch".to_owned())
        .spawn(move || {
            // None: nobody listens any longer, which is how it ends.
            let _: Option<()> = keep_watching(&emit, &shared);
        })?;
    Ok(Watcher {
        context,
        thread: thread.thread().clone(),
    })
}

fn keep_watching(emit: &dyn Fn(CardEvent) -> bool, shared: &Mutex<Option<Context>>) -> Option<()> {
    let say = |event| if emit(event) { Some(()) } else { None };
    let share = |context| *shared.lock() = context;
    let mut told_down = false;
    loop {
        if let Ok(context) = Context::establish(Scope::User) {
            say(CardEvent::ServiceUp)?;
            told_down = false;
            let mut known = BTreeMap::new();
            share(Some(context.clone()));
            run(&context, &mut known, emit)?;
            share(None);
            // Everything that was known is gone until pcscd tells otherwise.
            for (reader, slot) in known {
                if slot.present {
                    say(CardEvent::CardRemoved(reader.clone()))?;
                }
                say(CardEvent::ReaderRemoved(reader))?;
            }
        }
        if !std::mem::replace(&mut told_down, true) {
            say(CardEvent::ServiceDown)?;
        }
        std::thread::park_timeout(RETRY);
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    present: bool,
    /// Upper 16 bits of the event state: counts insertions and removals.
    count: u32,
    state: State,
}

/// Watches until pcscd fails (`Some`) or nobody listens any longer (`None`).
fn run(
    context: &Context,
    known: &mut BTreeMap<String, Slot>,
    emit: &dyn Fn(CardEvent) -> bool,
) -> Option<()> {
    loop {
        let names: Vec<CString> = match context.list_readers_owned() {
            Ok(names) => names,
            Err(Error::NoReadersAvailable) => Vec::new(),
            Err(_) => return Some(()),
        };
        let mut states: Vec<ReaderState> =
            vec![ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)];
        for name in &names {
            let state = known.get(&text(name)).map_or(State::UNAWARE, |s| s.state);
            states.push(ReaderState::new(name.clone(), state));
        }
        for gone in known
            .keys()
            .filter(|k| !names.iter().any(|n| text(n) == **k))
            .cloned()
            .collect::<Vec<_>>()
        {
            let slot = known.remove(&gone);
            if slot.is_some_and(|s| s.present) && !emit(CardEvent::CardRemoved(gone.clone())) {
                return None;
            }
            if !emit(CardEvent::ReaderRemoved(gone)) {
                return None;
            }
        }
        match context.get_status_change(LOOK, &mut states) {
            Ok(()) | Err(Error::Timeout | Error::Cancelled) => {}
            // A reader went between listing and looking.
            Err(Error::UnknownReader | Error::ReaderUnavailable) => continue,
            Err(_) => return Some(()),
        }
        for state in states.iter().skip(1) {
            note(text(state.name()), state, known, emit)?;
        }
    }
}

fn note(
    reader: String,
    state: &ReaderState,
    known: &mut BTreeMap<String, Slot>,
    emit: &dyn Fn(CardEvent) -> bool,
) -> Option<()> {
    let now = state.event_state();
    let slot = Slot {
        // A mute one too: that it does not respond is told when it is looked at, and it is looked at again.
        present: now.contains(State::PRESENT),
        count: state.event_count(),
        state: now,
    };
    let before = known.insert(reader.clone(), slot);
    let say = |event| if emit(event) { Some(()) } else { None };
    if before.is_none() {
        say(CardEvent::ReaderAdded(reader.clone()))?;
    }
    let was_present = before.is_some_and(|b| b.present);
    // In, out and in again between two looks: the counter tells.
    let swapped = was_present && slot.present && before.is_some_and(|b| b.count != slot.count);
    if was_present && (!slot.present || swapped) {
        say(CardEvent::CardRemoved(reader.clone()))?;
    }
    if slot.present && (!was_present || swapped) {
        say(CardEvent::CardInserted(reader))?;
    }
    Some(())
}

fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}
