//! Whom the work at hand asks. A command asks its caller. An opening asks the caller of the newest command, also where that one
//! comes while the question stands: the question moves there, as long as nobody has answered it.

use std::sync::Arc;

use parking_lot::Mutex;
use simsync_codes::Code;
use tokio::sync::watch;

use crate::api::{Agents, Caller, Reason, Secret, SecretRequest};
use crate::reasons::agent_reason;
use crate::rules::Unlocks;

tokio::task_local! {
    static ASKS: Asks;
}

/// Whose command the work at hand is done for.
#[derive(Clone)]
enum Asks {
    /// Changes when nobody may be waited for any more.
    Command(Option<Caller>, watch::Receiver<()>),
    Opening(Arc<OpeningAsks>),
}

/// Does work for a caller; none: nobody's command leads to it. Once `stops` changes it waits for no person any more.
pub async fn on_behalf<T>(
    by: Option<Caller>,
    stops: watch::Receiver<()>,
    work: impl Future<Output = T>,
) -> T {
    ASKS.scope(Asks::Command(by, stops), work).await
}

/// Waits for a person, unless the command that leads to it was stopped, since it began: its card was removed, or it was
/// cancelled. What comes after a removal must not wait for whoever left a prompt open.
pub async fn unless_stopped<T>(person: impl Future<Output = T>) -> Result<T, Reason> {
    let stopped = async {
        if let Ok(Asks::Command(_, mut stops)) = ASKS.try_with(Clone::clone)
            && stops.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        () = stopped => Err(Reason::new(
            Code::Cancelled,
            "stopped: the card was removed or the work was cancelled",
        )),
        answer = person => Ok(answer),
    }
}

/// Opens a session for whoever orders that.
pub async fn asking<T>(asks: Arc<OpeningAsks>, work: impl Future<Output = T>) -> T {
    ASKS.scope(Asks::Opening(asks), work).await
}

/// Asks whom the work at hand asks.
pub async fn ask(agents: &dyn Agents, request: SecretRequest) -> Result<Secret, Reason> {
    match ASKS.try_with(Clone::clone) {
        Ok(Asks::Opening(asks)) => asks.ask(request).await,
        Ok(Asks::Command(by, _)) => unless_stopped(agents.ask(by, request))
            .await?
            .map_err(agent_reason),
        Err(_) => agents.ask(None, request).await.map_err(agent_reason),
    }
}

/// Whose agents are asked now, and are shown what is made.
pub fn asker() -> Option<Caller> {
    match ASKS.try_with(Clone::clone).ok()? {
        Asks::Command(by, _) => by,
        Asks::Opening(asks) => asks.turn().0,
    }
}

/// For whose command, and whose agent that leads to.
type Turn = (Option<Caller>, Option<Caller>);

/// Whom one opening asks.
pub struct OpeningAsks {
    commands: watch::Receiver<Unlocks>,
    agents: Arc<dyn Agents>,
    turns: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    last: Option<Turn>,
    /// Whose agent gave the last answer.
    gave: Option<Caller>,
}

impl OpeningAsks {
    /// Whom an opening that begins now asks.
    pub fn new(commands: watch::Receiver<Unlocks>, agents: Arc<dyn Agents>) -> Arc<Self> {
        Arc::new(Self {
            commands,
            agents,
            turns: Mutex::default(),
        })
    }

    /// Who was asked last, if anybody was.
    pub fn last(&self) -> Option<Turn> {
        self.turns().last.clone()
    }

    fn turns(&self) -> parking_lot::MutexGuard<'_, Turns> {
        self.turns.lock()
    }

    fn turn(&self) -> Turn {
        let of = self.commands.borrow().asked().cloned();
        let at = self.agents.first(of.as_ref());
        self.turns().last = Some((of.clone(), at.clone()));
        (of, at)
    }

    async fn ask(&self, request: SecretRequest) -> Result<Secret, Reason> {
        // Seen before the first turn is taken: a command in between is not missed.
        let mut commands = self.commands.clone();
        commands.mark_unchanged();
        loop {
            let (of, at) = self.turn();
            let request = SecretRequest {
                // What was wrong was another's.
                retry: request.retry && self.turns().gave == at,
                ..request.clone()
            };
            tokio::select! {
                biased;
                given = self.agents.ask(of, request) => {
                    if given.is_ok() {
                        self.turns().gave = at;
                    }
                    return given.map_err(agent_reason);
                }
                // Dropped, the question that stands is withdrawn.
                () = self.taken_over(&mut commands, at.as_ref()) => {
                    tracing::info!("another caller wants the session open, and is asked");
                }
            }
        }
    }

    /// Ends when a command counts that leads to another agent. One that leads to the same, or to none, takes nothing over; nor
    /// does it when nobody's command stands any more.
    async fn taken_over(&self, commands: &mut watch::Receiver<Unlocks>, at: Option<&Caller>) {
        while commands.changed().await.is_ok() {
            let of = commands.borrow_and_update().asked().cloned();
            let other = of.and_then(|of| self.agents.first(Some(&of)));
            if other.is_some() && other.as_ref() != at {
                return;
            }
        }
        // Nobody orders any more.
        std::future::pending().await
    }
}
