//! Agents: programs that can ask the person for a PIN, and answer with a file descriptor.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use zbus::message::Message;
use zbus::names::{OwnedUniqueName, UniqueName};
use zbus::{Connection, DynamicType, Fd, ObjectPath, OwnedObjectPath, Variant};

use super::args::OBJECT_PATH_MAX;
use super::error::{BusError, BusResult};
use super::names::{AGENT_INTERFACE, ERROR_PREFIX};
use super::secret_fd;
use crate::api::{
    AgentError, Agents, Failure, PadRequest, PadShown, Secret, SecretKind, SecretRequest,
};

mod pad;

/// How long a person may take.
pub const ASK_DEADLINE: Duration = Duration::from_secs(120);
/// How long an agent may take to withdraw a prompt.
const CANCEL_DEADLINE: Duration = Duration::from_secs(5);
/// Most agents at once.
const AGENTS_MAX: usize = 32;

#[derive(Clone)]
struct Agent {
    number: u64,
    conn: Connection,
    /// None without a bus in between.
    owner: Option<OwnedUniqueName>,
    path: OwnedObjectPath,
}

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    /// Oldest first.
    agents: Mutex<Vec<Agent>>,
    any: watch::Sender<bool>,
    on_appear: OnceLock<Box<dyn Fn() + Send + Sync>>,
    deadline: OnceLock<Duration>,
}

/// Agents that registered over D-Bus. Clones share them.
#[derive(Clone, Default)]
pub struct BusAgents(Arc<Inner>);

/// What one agent made of a call.
enum Answer<T> {
    Given(T),
    /// It cannot answer: the next one may.
    Next,
    Ended(AgentError),
}

impl BusAgents {
    /// Calls this whenever an agent registers. The first one set counts.
    pub fn on_appear(&self, callback: impl Fn() + Send + Sync + 'static) {
        // A second callback would be a mistake in main; the first stays.
        let _ = self.0.on_appear.set(Box::new(callback));
    }

    /// Another deadline than [`ASK_DEADLINE`], for tests.
    pub fn with_deadline(self, deadline: Duration) -> Self {
        let _ = self.0.deadline.set(deadline);
        self
    }

    fn deadline(&self) -> Duration {
        self.0.deadline.get().copied().unwrap_or(ASK_DEADLINE)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Agent>> {
        self.0.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the list, and tells those who look on whether anybody is left.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Agent>) -> T) -> T {
        let mut list = self.list();
        let out = change(&mut list);
        let any = !list.is_empty();
        self.0
            .any
            .send_if_modified(|known| std::mem::replace(known, any) != any);
        out
    }

    /// Whether anybody is registered, as it changes.
    pub(super) fn presence(&self) -> watch::Receiver<bool> {
        self.0.any.subscribe()
    }

    /// Registers an agent; once more makes it the newest.
    pub async fn register(
        &self,
        conn: &Connection,
        sender: Option<&UniqueName<'_>>,
        path: &ObjectPath<'_>,
    ) -> BusResult<()> {
        if path.len() > OBJECT_PATH_MAX {
            return Err(BusError::bad_argument(format!(
                "the agent's path must have at most {OBJECT_PATH_MAX} bytes"
            )));
        }
        let owner: Option<OwnedUniqueName> = sender.map(|s| s.to_owned().into());
        let agent = Agent {
            number: self.0.next.fetch_add(1, Ordering::Relaxed),
            conn: conn.clone(),
            owner: owner.clone(),
            path: path.to_owned().into(),
        };
        let entered = self.change(|list| {
            list.retain(|a| a.owner != owner || a.path.as_str() != path.as_str());
            let room = list.len() < AGENTS_MAX;
            if room {
                list.push(agent);
            }
            room
        });
        if !entered {
            return Err(Failure::new(
                "busy",
                format!("{AGENTS_MAX} agents are registered already; end one of them"),
            )
            .into());
        }
        // It may have vanished before it was in the list, and then nobody tells.
        if let Some(owner) = owner
            && conn.is_bus()
            && !has_owner(conn, &owner).await
        {
            self.vanished(&owner);
            return Ok(());
        }
        if let Some(callback) = self.0.on_appear.get() {
            callback();
        }
        Ok(())
    }

    /// Takes an agent back.
    pub fn unregister(
        &self,
        sender: Option<&UniqueName<'_>>,
        path: &ObjectPath<'_>,
    ) -> BusResult<()> {
        let owner: Option<OwnedUniqueName> = sender.map(|s| s.to_owned().into());
        let left = self.change(|list| {
            let before = list.len();
            list.retain(|a| a.owner != owner || a.path.as_str() != path.as_str());
            list.len() < before
        });
        if !left {
            return Err(BusError::bad_argument(
                "no agent is registered at this path by you",
            ));
        }
        Ok(())
    }

    /// A program left the bus: its agents are gone.
    pub fn vanished(&self, owner: &OwnedUniqueName) {
        self.change(|list| list.retain(|a| a.owner.as_ref() != Some(owner)));
    }

    /// A connection without a bus in between ended.
    pub fn disconnected(&self, conn: &Connection) {
        let guid = conn.server_guid();
        self.change(|list| {
            list.retain(|a| a.owner.is_some() || a.conn.server_guid() != guid);
        });
    }

    fn newest_first(&self) -> Vec<Agent> {
        self.list().iter().rev().cloned().collect()
    }

    fn drop_agent(&self, agent: &Agent) {
        self.change(|list| list.retain(|a| a.number != agent.number));
    }

    async fn request(&self, request: &SecretRequest) -> Result<Secret, AgentError> {
        for agent in self.newest_first() {
            match self.request_of(&agent, request).await {
                Answer::Given(secret) => return Ok(secret),
                Answer::Next => {}
                Answer::Ended(error) => return Err(error),
            }
        }
        Err(AgentError::NoAgent)
    }

    async fn request_of(&self, agent: &Agent, request: &SecretRequest) -> Answer<Secret> {
        let deadline = self.deadline();
        let until = tokio::time::Instant::now() + deadline;
        let prompt = Prompt::new(agent);
        let details = details(request, deadline);
        let reply = match self.call(agent, until, "RequestPin", &(details,)).await {
            Answer::Given(reply) => reply,
            Answer::Next => {
                prompt.over();
                return Answer::Next;
            }
            Answer::Ended(error) => {
                if error != AgentError::TimedOut {
                    prompt.over();
                }
                return Answer::Ended(error);
            }
        };
        let fd = match reply.body().deserialize::<Fd<'_>>().map(OwnedFd::try_from) {
            Ok(Ok(fd)) => fd,
            _ => {
                prompt.over();
                tracing::warn!(agent = %agent.path, "an agent answered without a descriptor");
                return Answer::Next;
            }
        };
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let secret = secret_fd::read(fd, left).await;
        match secret {
            Ok(secret) => {
                prompt.over();
                Answer::Given(secret)
            }
            Err(secret_fd::SecretError::TimedOut) => Answer::Ended(AgentError::TimedOut),
            Err(error) => {
                prompt.over();
                tracing::warn!(agent = %agent.path, %error, "an agent gave nothing that could be a PIN");
                Answer::Ended(AgentError::Declined)
            }
        }
    }

    async fn show_all(&self, what: &'static str, secret: &Secret) -> Result<(), AgentError> {
        let until = tokio::time::Instant::now() + self.deadline();
        for agent in self.newest_first() {
            let pipe = match secret_fd::filled_pipe(secret) {
                Ok(pipe) => pipe,
                Err(error) => {
                    tracing::error!(%error, "a secret cannot be handed to an agent");
                    return Err(AgentError::Declined);
                }
            };
            let prompt = Prompt::new(&agent);
            let reply = self
                .call(&agent, until, "ShowSecret", &(what, Fd::from(pipe)))
                .await;
            prompt.over();
            match reply {
                Answer::Given(reply) => {
                    let noted = reply.body().deserialize::<bool>().unwrap_or(false);
                    return if noted {
                        Ok(())
                    } else {
                        Err(AgentError::Declined)
                    };
                }
                Answer::Next => {}
                Answer::Ended(error) => return Err(error),
            }
        }
        Err(AgentError::NoAgent)
    }

    async fn call<B>(
        &self,
        agent: &Agent,
        until: tokio::time::Instant,
        method: &str,
        body: &B,
    ) -> Answer<Message>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        let owner = agent.owner.as_ref().map(|o| o.as_ref());
        let call = agent
            .conn
            .call_method(owner, &agent.path, Some(AGENT_INTERFACE), method, body);
        let error = match tokio::time::timeout_at(until, call).await {
            Err(_) => return Answer::Ended(AgentError::TimedOut),
            Ok(Ok(reply)) => return Answer::Given(reply),
            Ok(Err(error)) => error,
        };
        let name = match &error {
            zbus::Error::MethodError(name, ..) => name.as_str(),
            _ => "",
        };
        match name.strip_prefix(ERROR_PREFIX) {
            Some(".Declined") => Answer::Ended(AgentError::Declined),
            Some(".NotMine") => Answer::Next,
            _ => {
                tracing::info!(agent = %agent.path, %error, "an agent cannot be asked");
                if agent.conn.is_closed() {
                    self.drop_agent(agent);
                }
                Answer::Next
            }
        }
    }
}

/// A prompt that is open at an agent. Dropped before it is over, it is withdrawn.
struct Prompt(Option<Agent>);

impl Prompt {
    fn new(agent: &Agent) -> Self {
        Self(Some(agent.clone()))
    }

    fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        let (Some(agent), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(cancel(agent));
    }
}

async fn cancel(agent: Agent) {
    let owner = agent.owner.as_ref().map(|o| o.as_ref());
    let call = agent
        .conn
        .call_method(owner, &agent.path, Some(AGENT_INTERFACE), "Cancel", &());
    // An agent that does not withdraw its prompt gets no answer taken from it anyway.
    let _ = tokio::time::timeout(CANCEL_DEADLINE, call).await;
}

async fn has_owner(conn: &Connection, name: &OwnedUniqueName) -> bool {
    let Ok(bus) = zbus::fdo::DBusProxy::new(conn).await else {
        return true;
    };
    bus.name_has_owner(name.as_ref().into())
        .await
        .unwrap_or(true)
}

/// The word for a kind of secret.
pub fn kind_word(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::CardPin => "card-pin",
        SecretKind::NewCardPin => "new-card-pin",
        SecretKind::TerminalPin => "terminal-pin",
        SecretKind::NewTerminalPin => "new-terminal-pin",
    }
}

/// What an agent is told: what is asked for, and what the person should know.
fn details(request: &SecretRequest, deadline: Duration) -> HashMap<&'static str, Variant<'static>> {
    let seconds = u32::try_from(deadline.as_secs()).unwrap_or(u32::MAX);
    let mut out = HashMap::from([
        ("kind", Variant::from(kind_word(request.kind))),
        ("retry", Variant::from(request.retry)),
        ("seconds", Variant::from(seconds)),
    ]);
    if let Some(tries) = request.tries_left {
        out.insert("tries_left", Variant::from(u32::from(tries)));
    }
    if let Some(reader) = &request.reader {
        out.insert("reader", Variant::from(super::text::carried(reader)));
    }
    if let Some(hint) = &request.hint {
        out.insert("hint", Variant::from(hint.clone()));
    }
    out
}

impl Agents for BusAgents {
    fn ask(&self, request: SecretRequest) -> BoxFuture<'_, Result<Secret, AgentError>> {
        Box::pin(async move { self.request(&request).await })
    }

    fn show(&self, what: &'static str, secret: Secret) -> BoxFuture<'_, Result<(), AgentError>> {
        Box::pin(async move { self.show_all(what, &secret).await })
    }

    fn show_pad(&self, request: PadRequest) -> BoxFuture<'_, Result<PadShown, AgentError>> {
        Box::pin(async move { self.show_pad_message(&request).await })
    }

    fn any(&self) -> bool {
        !self.list().is_empty()
    }
}
