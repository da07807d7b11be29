//! Agents: programs that can ask the person for a PIN, and answer with a file descriptor.

use simsync_codes::Code;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use zbus::message::Message;
use zbus::names::{OwnedUniqueName, UniqueName};
use zbus::{Connection, DynamicType, Fd, ObjectPath, OwnedObjectPath, Variant};

use super::args::OBJECT_PATH_MAX;
use super::error::{BusError, BusResult};
use super::names::{AGENT_INTERFACE, ERROR_PREFIX};
use super::secret_fd;
use crate::api::{
    AgentError, Agents, Caller, Failure, PadRequest, PadShown, Secret, SecretKind, SecretRequest,
};

mod pad;

/// How long a person may take.
pub const ASK_DEADLINE: Duration = Duration::from_secs(120);
/// How long an agent may take to withdraw a prompt.
const CANCEL_DEADLINE: Duration = Duration::from_secs(5);
/// Most agents of one program.
const AGENTS_OF_ONE: usize = 4;
/// Most agents at once.
const AGENTS_MAX: usize = 1_024;

#[derive(Clone)]
struct Agent {
    number: u64,
    conn: Connection,
    /// None without a bus in between.
    owner: Option<OwnedUniqueName>,
    path: OwnedObjectPath,
    /// The process that it belongs to, where the bus tells.
    process: Option<u32>,
    /// It asked to be the one for prompts that nobody's command leads to.
    is_default: bool,
}

impl Agent {
    fn caller(&self) -> Caller {
        caller(&self.conn, self.owner.as_ref().map(|o| o.as_ref()).as_ref())
    }
}

/// Whoever speaks to us over this connection.
pub(super) fn caller(conn: &Connection, sender: Option<&UniqueName<'_>>) -> Caller {
    Caller(match sender {
        Some(name) => name.to_string(),
        // Nobody else is on a connection without a bus.
        None => conn.server_guid().to_string(),
    })
}

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    /// Oldest first.
    agents: Mutex<Vec<Agent>>,
    shown: watch::Sender<Shown>,
    on_appear: OnceLock<Box<dyn Fn() + Send + Sync>>,
    deadline: OnceLock<Duration>,
}

/// What is shown of the agents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Whether anybody is registered.
    pub(super) any: bool,
    /// The program that prompts go to which nobody's command leads to; empty if there is none.
    pub(super) default: String,
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
    /// Calls this whenever a default agent registers. The first one set counts.
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
        self.0.agents.lock()
    }

    /// Changes the list, and tells those who look on.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Agent>) -> T) -> T {
        let mut list = self.list();
        let out = change(&mut list);
        let default = list.iter().find(|a| a.is_default);
        let now = Shown {
            any: !list.is_empty(),
            default: default.map(program).unwrap_or_default(),
        };
        self.0.shown.send_if_modified(|known| {
            *known != now && {
                *known = now;
                true
            }
        });
        out
    }

    /// What is shown of the agents, as it changes.
    pub(super) fn shown(&self) -> watch::Receiver<Shown> {
        self.0.shown.subscribe()
    }

    /// Registers an agent; once more makes it the newest of its program's. Of those that ask to be the default the first one
    /// is it, for as long as it is there.
    pub async fn register(
        &self,
        conn: &Connection,
        sender: Option<&UniqueName<'_>>,
        path: &ObjectPath<'_>,
        is_default: bool,
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
            process: process_of(conn, owner.as_ref()).await,
            is_default,
        };
        let entered = self.change(|list| {
            let is_here = |a: &&mut Agent| a.owner == owner && a.path.as_str() == path.as_str();
            if let Some(before) = list.iter_mut().find(is_here)
                && before.is_default
                && is_default
            {
                // It keeps its place before those that wait for it.
                *before = agent;
                return Ok(());
            }
            list.retain(|a| a.owner != owner || a.path.as_str() != path.as_str());
            let same = |a: &&Agent| match (a.process, agent.process) {
                (Some(one), Some(other)) => one == other,
                _ => a.owner == agent.owner,
            };
            let own = list.iter().filter(same).count();
            if own >= AGENTS_OF_ONE {
                return Err(format!(
                    "this program has {own} agents registered already; end one of them"
                ));
            }
            if list.len() >= AGENTS_MAX {
                return Err(format!(
                    "{AGENTS_MAX} agents are registered already; end one of them"
                ));
            }
            list.push(agent);
            Ok(())
        });
        entered.map_err(|sentence| Failure::new(Code::Busy, sentence))?;
        // It may have vanished before it was in the list, and then nobody tells.
        if let Some(owner) = owner
            && conn.is_bus()
            && !has_owner(conn, &owner).await
        {
            self.vanished(&owner);
            return Ok(());
        }
        if let (Some(callback), true) = (self.0.on_appear.get(), is_default) {
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

    /// Who is asked, in this order: the caller's own agents, the newest first, then the default one.
    fn asked(&self, by: Option<&Caller>) -> Vec<Agent> {
        let list = self.list();
        let own = |a: &&Agent| by.is_some_and(|by| a.caller() == *by);
        let mut out: Vec<Agent> = list.iter().rev().filter(own).cloned().collect();
        let default = list.iter().find(|a| a.is_default);
        out.extend(default.filter(|a| !own(a)).cloned());
        out
    }

    fn drop_agent(&self, agent: &Agent) {
        self.change(|list| list.retain(|a| a.number != agent.number));
    }

    async fn request(
        &self,
        by: Option<&Caller>,
        request: &SecretRequest,
    ) -> Result<Secret, AgentError> {
        for agent in self.asked(by) {
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

    async fn show_all(
        &self,
        by: Option<&Caller>,
        what: &'static str,
        secret: &Secret,
    ) -> Result<(), AgentError> {
        let until = tokio::time::Instant::now() + self.deadline();
        for agent in self.asked(by) {
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

/// The process behind a name on the bus.
async fn process_of(conn: &Connection, owner: Option<&OwnedUniqueName>) -> Option<u32> {
    let owner = owner.filter(|_| conn.is_bus())?;
    let bus = zbus::fdo::DBusProxy::new(conn).await.ok()?;
    let name = owner.as_ref().into();
    bus.get_connection_unix_process_id(name).await.ok()
}

/// How an agent's program is named to the owner.
fn program(agent: &Agent) -> String {
    let Some(process) = agent.process else {
        return agent.caller().0;
    };
    let exe = std::fs::read_link(format!("/proc/{process}/exe"));
    let name = exe.map_or_else(|_| String::new(), |p| format!(" ({})", p.display()));
    super::text::carried(&format!("process {process}{name}"))
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
    fn ask(
        &self,
        by: Option<Caller>,
        request: SecretRequest,
    ) -> BoxFuture<'_, Result<Secret, AgentError>> {
        Box::pin(async move { self.request(by.as_ref(), &request).await })
    }

    fn show(
        &self,
        by: Option<Caller>,
        what: &'static str,
        secret: Secret,
    ) -> BoxFuture<'_, Result<(), AgentError>> {
        Box::pin(async move { self.show_all(by.as_ref(), what, &secret).await })
    }

    fn show_pad(
        &self,
        by: Option<Caller>,
        request: PadRequest,
    ) -> BoxFuture<'_, Result<PadShown, AgentError>> {
        Box::pin(async move { self.show_pad_message(by.as_ref(), &request).await })
    }

    fn first(&self, by: Option<&Caller>) -> Option<Caller> {
        self.asked(by).first().map(Agent::caller)
    }
}
