//! The running daemon: events in, decisions by [`crate::core`], effects out.

mod backoff;
mod collections;
mod connecting;
mod ctx;
mod entering;
mod keeping;
mod key_objects;
mod leaving;
mod link;
mod lists;
mod looking;
mod moving;
mod opening;
mod orders;
mod pairing;
mod parts;
mod quiet;
mod rekey;
mod restoring;
mod slots;
mod spare;
mod status;

mod work;

use simsync_codes::Code;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

pub use ctx::{Ctx, StartError};
pub use parts::Parts;
use quiet::Quiet;

use crate::api::{Caller, Handle, Order, Request, Status};
use crate::card::{CardHandle, Modems, Watcher, watch as watch_cards, watch_modem};
use crate::core::{Action, Event, Policy, State, Timer, Unlock, Work, reduce};
use crate::database::View;
use crate::events::Events;
use crate::watch::data::Roots;
use crate::works::JobHandle;

/// What is not where it should be is looked at again after this time, and after twice as long each time that it did not help.
const MEND: Duration = Duration::from_secs(30);
/// Where not every folder can be watched, everything is looked at so much oftener, but not before this time.
const UNWATCHED_OFTENER: u32 = 5;
const LEAST: Duration = Duration::from_secs(60);
/// A card that another program holds is asked for again after this time.
const REOPEN: Duration = Duration::from_secs(5);
/// How long channels in modems may take to be closed at the end.
const CHANNELS: Duration = Duration::from_secs(3);

/// A daemon that was started.
pub struct Running {
    /// The way to it.
    pub handle: Handle,
    /// For watchers outside of it (inotify is within; logind and udev are beside): they send events here.
    pub events: mpsc::UnboundedSender<Event>,
    /// Folders of the collections, for the watcher of data.
    pub roots: watch::Receiver<Roots>,
    /// Ends when it stopped.
    pub task: tokio::task::JoinHandle<()>,
}

/// Starts a daemon: opens its files, watches readers, decides.
pub fn start(parts: Parts) -> Result<Running, StartError> {
    let (service, handle) = Service::open(parts)?;
    let (events, roots) = (service.ctx.events.sender(), service.ctx.roots.subscribe());
    // On a thread of its own: whatever the tasks of others wait for, the loop hears of a card that is pulled.
    let runtime = tokio::runtime::Handle::current();
    let task = tokio::task::spawn_blocking(move || runtime.block_on(service.run()));
    Ok(Running {
        handle,
        events,
        roots,
        task,
    })
}

struct Service {
    state: State,
    ctx: Arc<Ctx>,
    readers: Watcher,
    events: mpsc::UnboundedReceiver<Event>,
    requests: mpsc::Receiver<Request>,
    status: watch::Sender<Arc<Status>>,
    /// Orders that wait or run, by number.
    orders: HashMap<u64, (Order, JobHandle, Option<Caller>)>,
    timers: HashMap<Timer, tokio::task::JoinHandle<()>>,
    quiet: Quiet,
    opening: Option<tokio::task::JoinHandle<()>>,
    /// Told anew when it changed.
    view: View,
    link: Option<tokio::task::JoinHandle<()>>,
}

impl Service {
    /// Opens the files and watches readers.
    fn open(parts: Parts) -> Result<(Self, Handle), StartError> {
        let (events_tx, events_rx) = Events::channel();
        let (requests_tx, requests_rx) = mpsc::channel(64);
        let (status_tx, status_rx) = watch::channel(Arc::new(Status::default()));
        let card = CardHandle::new(Modems {
            devices: parts.config.modems.clone(),
            notes: parts.paths.channels.clone(),
        });
        let policy = Policy {
            login: parts.config.login_session,
            on_insertion: parts.config.sync_on_insertion,
            on_change: parts.config.sync_on_change,
            on_head_moved: parts.config.sync_on_head_moved,
            sim_trigger: parts.config.sim_trigger,
            presence_sims: parts.config.presence_sims.clone(),
        };
        let ctx = Ctx::open(parts, card, events_tx.clone())?;
        ctx.collections_changed();
        let emit = events_tx.clone();
        let readers =
            watch_cards(move |e| emit.is_heard(Event::Card(e))).map_err(StartError::Thread)?;
        for device in ctx.sessions.card().modems().devices.clone() {
            let emit = events_tx.clone();
            let emit = move |e| emit.is_heard(Event::Card(e));
            tokio::spawn(watch_modem(ctx.sessions.card().clone(), device, emit));
        }
        let (mut held, emit) = (ctx.sessions.card().held(), events_tx.clone());
        tokio::spawn(async move {
            while held.changed().await.is_ok() {
                let readers = held.borrow_and_update().clone();
                if !emit.is_heard(Event::CardsHeld(readers)) {
                    return;
                }
            }
        });
        let mut state = State::new(policy);
        state.paired = ctx.identity.is_paired();
        state.leaving = ctx.identity.pairing().is_ok_and(|(_, p)| p.leaving);
        let unreadable = |source| StartError::Store {
            path: ctx.paths.database.display().to_string(),
            source,
        };
        state.tails_waiting = ctx.database.tails_waiting().map_err(unreadable)?;
        state.outstanding = ctx
            .database
            .stored(crate::store::Store::outstanding_summary)
            .map_err(unreadable)?;
        ctx.prefetching.send_replace(state.may_prefetch());
        let service = Self {
            state,
            view: ctx.database.view().clone(),
            ctx,
            readers,
            events: events_rx,
            requests: requests_rx,
            status: status_tx,
            orders: HashMap::new(),
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
            self.keep_looking();
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
        self.ctx.sessions.card().close_channels(CHANNELS).await;
        self.publish();
    }

    fn publish(&self) {
        let status = Arc::new(self.ctx.status(&self.state));
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
        self.ctx.note(&event);
        if let Event::WorkEnded {
            work: Work::Order(id),
            ..
        } = &event
        {
            self.orders.remove(id);
        }
        let mut exit = false;
        let actions = reduce(&mut self.state, event);
        // Before what follows from it: an opening that begins asks by this.
        self.ctx.person.note_unlocks(&self.state.unlocks);
        for action in actions {
            tracing::debug!(?action);
            exit |= self.act(action);
        }
        exit
    }

    fn act(&mut self, action: Action) -> bool {
        match action {
            Action::LookForReaders => self.readers.look_now(),
            Action::Look(reader) => self.ctx.clone().look(reader),
            Action::Open {
                reader,
                card,
                again,
            } => {
                let ctx = self.ctx.clone();
                self.opening = Some(tokio::spawn(async move {
                    ctx.open_session(reader, card, again).await
                }));
            }
            Action::StopOpening => {
                if let Some(task) = self.opening.take() {
                    task.abort();
                    let events = self.ctx.events.clone();
                    tokio::spawn(async move {
                        // Stopped at its next pause: only then is it certain what it left.
                        let _ = task.await;
                        events.emit(Event::OpeningStopped);
                    });
                }
            }
            Action::Start(work) => self.start(work),
            Action::StopWork => self.ctx.works.stop(),
            Action::AbandonWork => self.ctx.works.abandon(),
            Action::Wipe => self.ctx.sessions.wipe(),
            Action::DeliverTails => self.ctx.clone().deliver_tails(),
            Action::Prefetch(may) => {
                self.ctx.prefetching.send_replace(may);
            }
            Action::Forget(reader) => self.ctx.sessions.card().disconnect(&reader),
            Action::Renew => self.ctx.clone().renew(),
            Action::After(timer) => self.after(timer),
            Action::Exit => return true,
        }
        false
    }

    fn start(&mut self, work: Work) {
        match work {
            Work::Sync => self.ctx.clone().start_sync(work),
            Work::Tail => self.ctx.clone().start_tail(),
            Work::Compare => self.ctx.clone().start_compare(),
            Work::Order(id) => match self.orders.get(&id) {
                Some((order, job, by)) => {
                    let ctx = self.ctx.clone();
                    ctx.start_order(id, order.clone(), job.clone(), by.clone());
                }
                None => {
                    let outcome = crate::core::Outcome::Cancelled;
                    self.ctx.events.emit(Event::WorkEnded { work, outcome });
                }
            },
        }
    }

    fn after(&mut self, timer: Timer) {
        let config = &self.ctx.config;
        let rescan = Duration::from_secs(config.rescan_interval_s);
        let delay = match timer {
            Timer::Quiet => self.quiet.wait(Instant::now(), config.change_delay()),
            Timer::Reopen => REOPEN,
            Timer::RetryOpen => backoff::delay(self.state.retries.open),
            Timer::RetrySync => backoff::delay(self.state.retries.sync),
            Timer::RetryTails => backoff::delay(self.state.retries.tails),
            Timer::Rescan if self.state.watch_limit => (rescan / UNWATCHED_OFTENER).max(LEAST),
            Timer::Rescan => rescan,
            Timer::Mend => MEND
                .saturating_mul(1 << self.state.mends.min(8))
                .min(rescan),
            Timer::Look => Duration::from_secs(2),
            Timer::Renew => Duration::from_secs(simsync_protocol::api::GRANT_SECONDS / 2),
        };
        let events = self.ctx.events.clone();
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
    fn keep_looking(&mut self) {
        let pending = self
            .timers
            .get(&Timer::Look)
            .is_some_and(|t| !t.is_finished());
        if !pending && self.state.cards_to_look_at().next().is_some() {
            self.after(Timer::Look);
        }
    }

    /// One connection waits on the server's events while the key is unsealed.
    fn keep_link(&mut self) {
        let wanted = self.state.paired && !self.state.revoked && self.ctx.identity.key().is_some();
        let running = self.link.as_ref().is_some_and(|t| !t.is_finished());
        if wanted && !running {
            self.link = Some(tokio::spawn(link::keep(self.ctx.clone())));
        } else if !wanted && let Some(task) = self.link.take() {
            task.abort();
        }
    }

    /// Answers whether the daemon is to end.
    fn request(&mut self, request: Request) -> bool {
        match request {
            Request::Order(order, by, reply) => {
                let _ = reply.send(self.order(order, by));
            }
            Request::Log(limit, reply) => self.answer(reply, move |ctx| ctx.log(limit)),
            Request::Conflicts(reply) => self.answer(reply, Ctx::conflicts),
            Request::Outstanding(reply) => self.answer(reply, Ctx::outstanding),
            Request::Job(id, reply) => {
                let _ = reply.send(self.ctx.jobs.job(id).ok_or_else(|| {
                    crate::api::Failure::new(Code::NoSuchJob, format!("the job {id} has ended"))
                }));
            }
            Request::Cards(reply) => self.answer(reply, Ctx::vault_cards),
            Request::Stop => return self.handle(Event::Stop),
        }
        false
    }

    /// Answers beside the loop: it takes a look into the database.
    fn answer<T: Send + 'static>(
        &self,
        reply: oneshot::Sender<T>,
        look: impl FnOnce(&Ctx) -> T + Send + 'static,
    ) {
        let ctx = self.ctx.clone();
        // Whoever asked may be gone.
        tokio::task::spawn_blocking(move || reply.send(look(&ctx)).is_ok());
    }

    fn order(
        &mut self,
        order: Order,
        by: Option<Caller>,
    ) -> Result<crate::api::Job, crate::api::Failure> {
        orders::admissible(&order, &self.state)?;
        let job = self.ctx.jobs.order(orders::kind(&order), by.as_ref())?;
        let public = job.public();
        let id = job.id();
        if order == Order::Unlock {
            // Opening is not work: it waits for a person. The status tells how it went, also when nothing follows.
            let agent = by.as_ref().and_then(|by| self.ctx.person.agent_of(by));
            let order = Unlock {
                job: id,
                has_agent: agent.is_some() && agent == by,
                by,
            };
            self.handle(Event::UserUnlock(order));
            self.publish();
            self.ctx.clone().watch_unlock(job, self.status.subscribe());
        } else {
            let event = match order {
                Order::ForgetPairing => Event::UserForgets(id),
                _ => Event::UserOrder(id),
            };
            self.orders.insert(id, (order, job, by));
            self.handle(event);
        }
        Ok(public)
    }
}

#[cfg(test)]
mod tests;
