//! The loop, without a card: what it does while everything else hangs.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use simsync_card::ids::CardId;
use tokio::sync::oneshot;

use super::*;
use crate::api::{AgentError, Agents, PadRequest, PadShown, Secret, SecretRequest};
use crate::card::CardEvent;
use crate::engine::some_keys;
use crate::paths::Paths;
use crate::rules::{CardPhase, SessionPhase};

const READER: &str = "reader 0";
/// Long enough for any machine; what hangs here hangs for ever.
const DEADLINE: Duration = Duration::from_secs(30);

struct Nobody;

impl Agents for Nobody {
    fn ask(
        &self,
        _: Option<Caller>,
        _: SecretRequest,
    ) -> BoxFuture<'_, Result<Secret, AgentError>> {
        Box::pin(async { Err(AgentError::NoAgent) })
    }

    fn show(
        &self,
        _: Option<Caller>,
        _: &'static str,
        _: Secret,
    ) -> BoxFuture<'_, Result<(), AgentError>> {
        Box::pin(async { Err(AgentError::NoAgent) })
    }

    fn show_pad(
        &self,
        _: Option<Caller>,
        _: PadRequest,
    ) -> BoxFuture<'_, Result<PadShown, AgentError>> {
        Box::pin(async { Err(AgentError::NoAgent) })
    }

    fn first(&self, _: Option<&Caller>) -> Option<Caller> {
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b4_a_removal_waits_for_nothing() {
    let home = tempfile::tempdir().unwrap();
    let parts = Setup {
        paths: Paths::below(home.path()),
        config: crate::config::Config::default(),
        agents: Arc::new(Nobody),
    };
    let (mut service, handle) = Service::open(parts).unwrap();
    // A session is open, a sync runs.
    let card = CardPhase::Paired {
        card: CardId([1; 16]),
        tries: 3,
        pin_must_change: false,
    };
    service.state.paired = true;
    service.state.readers.insert(READER.to_owned(), Some(card));
    service.state.session = SessionPhase::Open {
        reader: READER.to_owned(),
        read_only: None,
    };
    service.state.work = Some(Work::Sync);
    let rooms = service.rooms.clone();
    rooms
        .sessions
        .keys()
        .put(some_keys(), rooms.sessions.keys().generation())
        .unwrap();
    let runtime = tokio::runtime::Handle::current();
    let task = tokio::task::spawn_blocking(move || runtime.block_on(service.run()));

    // The database hangs, this terminal's file hangs in the middle of being written, and so do all who want something of them.
    let (let_go, hangs) = mpsc::channel::<()>();
    let (is_held, held) = oneshot::channel();
    let holder = rooms.clone();
    let disk = std::thread::spawn(move || {
        holder.database.stored(|store| {
            let _database = store.hang();
            let _file = holder.identity.hang();
            is_held.send(()).unwrap();
            let _ = hangs.recv();
        });
    });
    held.await.unwrap();
    for _ in 0..16 {
        let (a, b) = (rooms.clone(), rooms.clone());
        tokio::spawn(async move { a.identity.label(&a.database) });
        tokio::spawn(async move { b.identity.update_terminal(|_| ()) });
    }
    let (reply, log) = oneshot::channel();
    handle.requests.send(Request::Log(10, reply)).await.unwrap();
    for event in [
        Event::DataChanged,
        Event::HeadMoved,
        Event::Server(true),
        Event::Card(CardEvent::CardRemoved(READER.to_owned())),
    ] {
        rooms.events.emit(event);
    }
    let began = Instant::now();
    while rooms.sessions.keys().with(|_| ()).is_ok() {
        assert!(began.elapsed() < DEADLINE, "the keys are here still");
        std::thread::yield_now();
    }
    // And everybody is told, while it hangs still.
    let mut status = handle.status.clone();
    let told = status.wait_for(|s| s.cards.is_empty() && s.marks.contains_key("wiped"));
    tokio::time::timeout(DEADLINE, told).await.unwrap().unwrap();
    assert!(!disk.is_finished());
    let_go.send(()).unwrap();
    disk.join().unwrap();
    log.await.unwrap().unwrap();

    // The sync that was stopped ends, and so does the daemon.
    let (work, outcome) = (Work::Sync, crate::rules::Outcome::Cancelled);
    rooms.events.emit(Event::WorkEnded { work, outcome });
    rooms.events.emit(Event::Stop);
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
}
