//! The running daemon: events in, decisions by [`crate::rules`], effects out.

mod admissible;
mod commands;
mod quiet;
mod rooms;
mod setup;
mod unlock;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simsync_codes::Code;
use tokio::sync::{mpsc, oneshot, watch};

use quiet::Quiet;
use rooms::Rooms;
pub use rooms::StartError;
pub use setup::Setup;

use crate::api::{Caller, Command, Handle, Request, Status};
use crate::backoff::Backoff;
use crate::card::{CardHandle, Modems, Watcher, watch as watch_cards, watch_modem};
use crate::config::Config;
use crate::database::View;
use crate::engine::SyncOptions;
use crate::events::Events;
use crate::rules::{Action, Event, Policy, State, Timer, Unlock, Work, reduce};
use crate::status;
use crate::vouch::Vouches;
use crate::watch::data::Roots;
use crate::works::JobHandle;

/// What is not where it should be is looked at again after this time, and after twice as long each time that it did not help.
const MEND: Duration = Duration::from_secs(30);
/// Where not every folder can be watched, everything is looked at so much oftener, but not before this time.
const UNWATCHED_OFTENER: u32 = 5;
const LEAST: Duration = Duration::from_secs(60);
/// What failed for the network's or the server's sake is tried again.
const RETRIES: Backoff = Backoff {
    first: Duration::from_secs(5),
    longest: Duration::from_secs(5 * 60),
};
/// A card that another program holds is asked for again after this time.
const REOPEN: Duration = Duration::from_secs(5);
/// How long channels in modems may take to be closed at the end.
const CHANNELS: Duration = Duration::from_secs(3);

/// A daemon that was started.
pub struct Running {
    /// Sends it requests and shows its status.
    pub handle: Handle,
    /// Watchers that `main` starts (folders, udev, logind, modems) send their events here. The service itself starts the watchers
    /// of cards.
    pub events: mpsc::UnboundedSender<Event>,
    /// Folders of the collections, for the watcher of data.
    pub roots: watch::Receiver<Roots>,
    /// Which folders are watched without a gap: the watcher of data keeps it, and engines read it.
    pub vouches: Vouches,
    /// Ends when it stopped.
    pub task: tokio::task::JoinHandle<()>,
}

/// Starts a daemon: opens its files, watches readers, decides.
pub fn start(parts: Setup) -> Result<Running, StartError> {
    let (service, handle) = Service::open(parts)?;
    let (events, roots) = (service.rooms.events.sender(), service.rooms.folders.roots());
    let vouches = service.rooms.folders.vouches().clone();
    // On a thread of its own: whatever the tasks of others wait for, the loop hears of a card that is pulled.
    let runtime = tokio::runtime::Handle::current();
    let task = tokio::task::spawn_blocking(move || runtime.block_on(service.run()));
    Ok(Running {
        handle,
        events,
        roots,
        vouches,
        task,
    })
}

struct Service {
    state: State,
    config: Config,
    rooms: Rooms,
    readers: Watcher,
    events: mpsc::UnboundedReceiver<Event>,
    requests: mpsc::Receiver<Request>,
    status: watch::Sender<Arc<Status>>,
    /// Commands that wait or run, by number.
    commands: HashMap<u64, (Command, JobHandle, Option<Caller>)>,
    timers: HashMap<Timer, tokio::task::JoinHandle<()>>,
    quiet: Quiet,
    opening: Option<tokio::task::JoinHandle<()>>,
    /// Told anew when it changed.
    view: View,
    link: Option<tokio::task::JoinHandle<()>>,
}

impl Service {
    /// Opens the files and watches readers.
    fn open(parts: Setup) -> Result<(Self, Handle), StartError> {
        let (events_tx, events_rx) = Events::channel();
        let (requests_tx, requests_rx) = mpsc::channel(64);
        let (status_tx, status_rx) = watch::channel(Arc::new(Status::default()));
        let Setup {
            paths,
            config,
            agents,
        } = parts;
        let card = CardHandle::new(Modems {
            devices: config.modems.clone(),
            notes: paths.channels.clone(),
        });
        let policy = Policy {
            login: config.login_session,
            on_insertion: config.sync_on_insertion,
            on_change: config.sync_on_change,
            on_head_moved: config.sync_on_head_moved,
            sim_trigger: config.sim_trigger,
            presence_sims: config.presence_sims.clone(),
        };
        let rooms = Rooms::open(&paths, &config, agents, card.clone(), events_tx.clone())?;
        rooms.folders.changed();
        let emit = events_tx.clone();
        let readers =
            watch_cards(move |e| emit.is_heard(Event::Card(e))).map_err(StartError::Thread)?;
        for device in card.modems().devices.clone() {
            let emit = events_tx.clone();
            let emit = move |e| emit.is_heard(Event::Card(e));
            tokio::spawn(watch_modem(card.clone(), device, emit));
        }
        let (mut held, emit) = (card.held(), events_tx.clone());
        tokio::spawn(async move {
            while held.changed().await.is_ok() {
                let readers = held.borrow_and_update().clone();
                if !emit.is_heard(Event::CardsHeld(readers)) {
                    return;
                }
            }
        });
        let mut state = State::new(policy);
        state.paired = rooms.identity.is_paired();
        state.leaving = rooms.identity.pairing().is_ok_and(|(_, p)| p.leaving);
        let unreadable = |source| StartError::Store {
            path: paths.database.display().to_string(),
            source,
        };
        state.tails_waiting = rooms.database.tails_waiting().map_err(unreadable)?;
        state.outstanding = rooms
            .database
            .stored(crate::store::Store::outstanding_summary)
            .map_err(unreadable)?;
        rooms.listener.may_prefetch(state.may_prefetch());
        let service = Self {
            state,
            view: rooms.database.view().clone(),
            config,
            rooms,
            readers,
            events: events_rx,
            requests: requests_rx,
            status: status_tx,
            commands: HashMap::new(),
            timers: HashMap::new(),
            quiet: Quiet::default(),
            opening: None,
            link: None,
        };
        let handle = Handle {
            requests: requests_tx,
            status: status_rx,
        };
        Ok((service, handle))
    }

    async fn run(mut self) {
        self.publish();
        self.keep_link();
        loop {
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => {
                        if self.handle(event) {
                            break;
                        }
                    }
                    None => break,
                },
                request = self.requests.recv() => match request {
                    Some(request) => {
                        if self.request(request) {
                            break;
                        }
                    }
                    None => break,
                },
                () = self.view.changed() => {}
            }
            self.keep_link();
            self.keep_probing();
            self.publish();
        }
        for (_, timer) in self.timers.drain() {
            timer.abort();
        }
        for task in [self.opening.take(), self.link.take()]
            .into_iter()
            .flatten()
        {
            task.abort();
        }
        self.rooms.sessions.card().close_channels(CHANNELS).await;
        self.publish();
    }

    fn publish(&self) {
        let status = Arc::new(self.rooms.overview.status(&self.state));
        self.status.send_if_modified(|old| {
            let changed = **old != *status;
            *old = status;
            changed
        });
    }

    /// Answers whether the daemon is to end.
    fn handle(&mut self, event: Event) -> bool {
        tracing::debug!(?event);
        if event == Event::Timer(Timer::Quiet) {
            self.quiet = Quiet::default();
        }
        self.rooms.pins.note(&event);
        self.rooms.sessions.note(&event);
        self.rooms.notes.note(&event);
        if let Event::WorkEnded {
            work: Work::Command(id),
            ..
        } = &event
        {
            self.commands.remove(id);
        }
        let mut exit = false;
        let actions = reduce(&mut self.state, event);
        // Before what follows from it: an opening that begins asks by this.
        self.rooms.person.note_unlocks(&self.state.unlocks);
        for action in actions {
            tracing::debug!(?action);
            exit |= self.act(action);
        }
        exit
    }

    fn act(&mut self, action: Action) -> bool {
        match action {
            Action::ListReaders => self.readers.poll_now(),
            Action::Probe(reader) => self.rooms.probe.clone().begin(reader),
            Action::Open {
                reader,
                card,
                again,
            } => {
                let opening = self.rooms.opening.clone();
                self.opening = Some(tokio::spawn(async move {
                    opening.open_session(reader, card, again).await
                }));
            }
            Action::StopOpening => {
                if let Some(task) = self.opening.take() {
                    task.abort();
                    let events = self.rooms.events.clone();
                    tokio::spawn(async move {
                        // Stopped at its next pause: only then is it certain what it left.
                        let _ = task.await;
                        events.emit(Event::OpeningStopped);
                    });
                }
            }
            Action::Start(work) => self.start(work),
            Action::StopWork => self.rooms.works.stop(),
            Action::AbandonWork => self.rooms.works.abandon(),
            Action::Wipe => self.rooms.sessions.wipe(),
            Action::DeliverTails => self.rooms.tails.clone().deliver(),
            Action::Prefetch(may) => {
                self.rooms.listener.may_prefetch(may);
            }
            Action::Forget(reader) => self.rooms.sessions.card().disconnect(&reader),
            Action::Renew => self.rooms.renewal.clone().renew(),
            Action::Doubt => self.rooms.folders.vouches().doubt(),
            Action::After(timer) => self.after(timer),
            Action::Exit => return true,
        }
        false
    }

    fn start(&mut self, work: Work) {
        match work {
            Work::Sync => {
                let options = SyncOptions {
                    // Nobody ordered this one, so nobody is there to review it: give only, and say so.
                    upload_only: self.config.confirm_downloads,
                    ..SyncOptions::default()
                };
                self.rooms.syncs.clone().start(work, options);
            }
            Work::Tail => self.rooms.tails.clone().start(),
            Work::Compare => self.rooms.syncs.clone().start_compare(),
            Work::Command(id) => match self.commands.get(&id) {
                Some((command, job, by)) => {
                    let commands = self.rooms.commands.clone();
                    commands.start(id, command.clone(), job.clone(), by.clone());
                }
                None => {
                    let outcome = crate::rules::Outcome::Cancelled;
                    self.rooms.events.emit(Event::WorkEnded { work, outcome });
                }
            },
        }
    }

    fn after(&mut self, timer: Timer) {
        let config = &self.config;
        let rescan = Duration::from_secs(config.rescan_interval_s);
        let delay = match timer {
            Timer::Quiet => self.quiet.wait(Instant::now(), config.change_delay()),
            Timer::Reopen => REOPEN,
            Timer::RetryOpen => RETRIES.delay(self.state.retries.open),
            Timer::RetrySync => RETRIES.delay(self.state.retries.sync),
            Timer::RetryTails => RETRIES.delay(self.state.retries.tails),
            Timer::Rescan if self.state.watch_limit => (rescan / UNWATCHED_OFTENER).max(LEAST),
            Timer::Rescan => rescan,
            Timer::Mend => MEND
                .saturating_mul(1 << self.state.mends.min(8))
                .min(rescan),
            Timer::Probe => Duration::from_secs(2),
            Timer::Renew => Duration::from_secs(simsync_protocol::api::GRANT_SECONDS / 2),
        };
        let events = self.rooms.events.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            events.emit(Event::Timer(timer));
        });
        // The newest one counts: that is what makes a debounce.
        if let Some(old) = self.timers.insert(timer, task) {
            old.abort();
        }
    }

    /// Nobody says when another program unblocked a card or changed its first PIN: it is looked at while it waits for that.
    fn keep_probing(&mut self) {
        let pending = self
            .timers
            .get(&Timer::Probe)
            .is_some_and(|t| !t.is_finished());
        if !pending && self.state.cards_to_probe().next().is_some() {
            self.after(Timer::Probe);
        }
    }

    /// One connection waits on the server's events while the key is unsealed.
    fn keep_link(&mut self) {
        let wanted =
            self.state.paired && !self.state.revoked && self.rooms.identity.key().is_some();
        let running = self.link.as_ref().is_some_and(|t| !t.is_finished());
        if wanted && !running {
            self.link = Some(tokio::spawn(self.rooms.listener.clone().keep()));
        } else if !wanted && let Some(task) = self.link.take() {
            task.abort();
        }
    }

    /// Answers whether the daemon is to end.
    fn request(&mut self, request: Request) -> bool {
        match request {
            Request::Command(command, by, reply) => {
                let _ = reply.send(self.command(command, by));
            }
            Request::Log(limit, reply) => {
                self.answer(reply, move |rooms| status::log(&rooms.database, limit));
            }
            Request::Conflicts(reply) => {
                self.answer(reply, |rooms| status::conflicts(&rooms.database));
            }
            Request::Outstanding(reply) => {
                self.answer(reply, |rooms| status::outstanding(&rooms.database));
            }
            Request::Job(id, reply) => {
                let _ = reply.send(self.rooms.works.jobs().job(id).ok_or_else(|| {
                    crate::api::Failure::new(Code::NoSuchJob, format!("the job {id} has ended"))
                }));
            }
            Request::Cards(reply) => self.answer(reply, |rooms| rooms.spares.vault_cards()),
            Request::Stop => return self.handle(Event::Stop),
        }
        false
    }

    /// Answers beside the loop: it takes a look into the database.
    fn answer<T: Send + 'static>(
        &self,
        reply: oneshot::Sender<T>,
        look: impl FnOnce(&Rooms) -> T + Send + 'static,
    ) {
        self.view.refresh();
        let rooms = self.rooms.clone();
        // Whoever asked may be gone.
        tokio::task::spawn_blocking(move || reply.send(look(&rooms)).is_ok());
    }

    fn command(
        &mut self,
        command: Command,
        by: Option<Caller>,
    ) -> Result<crate::api::Job, crate::api::Failure> {
        admissible::admissible(&command, &self.state)?;
        let job = self
            .rooms
            .works
            .jobs()
            .command(admissible::kind(&command), by.as_ref())?;
        let public = job.public();
        let id = job.id();
        if command == Command::Unlock {
            // Opening is not work: it waits for a person. The status tells how it went, also when nothing follows.
            let agent = by.as_ref().and_then(|by| self.rooms.person.agent_of(by));
            let command = Unlock {
                job: id,
                has_agent: agent.is_some() && agent == by,
                by,
            };
            self.handle(Event::UserUnlock(command));
            self.publish();
            let (commands, status) = (self.rooms.person.unlocks(), self.status.subscribe());
            let (database, events) = (self.rooms.database.clone(), self.rooms.events.clone());
            unlock::watch_unlock(job, commands, status, database, events);
        } else {
            let event = match command {
                Command::ForgetPairing => Event::UserForgets(id),
                _ => Event::UserCommand(id),
            };
            self.commands.insert(id, (command, job, by));
            self.handle(event);
        }
        Ok(public)
    }
}

#[cfg(test)]
mod tests;
