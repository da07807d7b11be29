//! The way to simsyncd.

use simsync_codes::Code;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zbus::message::Type;
use zbus::{Connection, DynamicType, MatchRule, MessageStream, OwnedObjectPath};

use crate::failure::{Failure, Outcome};
use crate::properties::{Properties, get};
use crate::snapshot::{Outstanding, Snapshot};

/// The daemon's name on the bus.
pub const BUS_NAME: &str = "org.simsync.SimSync1";
/// The manager's path.
pub const ROOT: &str = "/org/simsync/SimSync1";
/// The manager's interface.
pub const MANAGER: &str = "org.simsync.SimSync1.Manager";
/// The interface of jobs.
pub const JOB: &str = "org.simsync.SimSync1.Job";
/// How long an answer that needs no person may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to the daemon.
#[derive(Clone)]
pub struct Client {
    conn: Connection,
}

impl Client {
    /// Connects to the session bus, or to the bus at an address.
    pub async fn connect(address: Option<&str>) -> Outcome<Self> {
        let builder = match address {
            Some(address) => {
                let address = zbus::Address::try_from(address).map_err(|e| {
                    Failure::new(
                        Code::Usage,
                        format!("{address} is no bus address ({e}); take what dbus-daemon --print-address gave"),
                    )
                })?;
                zbus::connection::Builder::address(address)
            }
            None => zbus::connection::Builder::session(),
        };
        let conn = builder
            .method_timeout(ANSWER)
            // With an object from the start the builder waits until incoming calls are heard: the daemon may ask for a
            // PIN the very moment our agent is registered.
            .serve_at("/org/simsync", zbus::fdo::ObjectManager)
            .build()
            .await
            .map_err(|e| Failure::no_daemon(format!("no bus: {e}")))?;
        Ok(Self { conn })
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.conn
    }

    /// Calls a method of the manager.
    pub async fn call<B, R>(&self, method: &str, body: &B) -> Outcome<R>
    where
        B: serde::Serialize + DynamicType + Sync,
        R: for<'d> zbus::wire::DynamicDeserialize<'d> + 'static,
    {
        let reply = self
            .conn
            .call_method(Some(BUS_NAME), ROOT, Some(MANAGER), method, body)
            .await?;
        Ok(reply.body().deserialize()?)
    }

    /// All properties of an object.
    pub async fn properties(&self, path: &str, interface: &str) -> Outcome<Properties> {
        let reply = self
            .conn
            .call_method(
                Some(BUS_NAME),
                path,
                Some("org.freedesktop.DBus.Properties"),
                "GetAll",
                &(interface,),
            )
            .await?;
        Ok(reply.body().deserialize()?)
    }

    /// Everything that the daemon shows.
    pub async fn snapshot(&self) -> Outcome<Snapshot> {
        let manager = self.properties(ROOT, MANAGER).await?;
        let reply = self
            .conn
            .call_method(
                Some(BUS_NAME),
                ROOT,
                Some("org.freedesktop.DBus.ObjectManager"),
                "GetManagedObjects",
                &(),
            )
            .await?;
        let objects: zbus::fdo::ManagedObjects = reply.body().deserialize()?;
        let count = |name| get::<u64>(&manager, name);
        let outstanding = if count("NeedAttention") + count("TriedAgain") == 0 {
            Vec::new()
        } else {
            self.outstanding().await?
        };
        Ok(Snapshot::new(&manager, &objects, outstanding))
    }

    /// What is not where it should be.
    pub async fn outstanding(&self) -> Outcome<Vec<Outstanding>> {
        let entries: Vec<Properties> = self.call("Outstanding", &()).await?;
        Ok(entries.iter().map(Outstanding::new).collect())
    }

    /// Everything that the daemon signals below a path, and its leaving of the bus.
    pub async fn signals(&self, path: &str) -> Outcome<Signals> {
        let own = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(BUS_NAME)
            .path_namespace(path)
            .build()?;
        let owner = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, BUS_NAME)
            .build()?;
        let own = MessageStream::for_match_rule(own, &self.conn, None).await?;
        let owner = MessageStream::for_match_rule(owner, &self.conn, None).await?;
        let (tx, rx) = watch::channel(Seen::default());
        Ok(Signals {
            seen: rx,
            known: Seen::default(),
            task: tokio::spawn(drain(own, owner, tx)),
        })
    }

    /// Starts a job.
    pub async fn order<B>(&self, method: &str, body: &B) -> Outcome<OwnedObjectPath>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        self.call(method, body).await
    }
}

/// How many signals came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    changes: u64,
    owners: u64,
}

/// Takes signals as they come. A stream that nobody takes from holds up every answer on its connection.
async fn drain(mut own: MessageStream, mut owner: MessageStream, tx: watch::Sender<Seen>) {
    loop {
        tokio::select! {
            biased;
            message = owner.next() => match message {
                Some(_) => tx.send_modify(|s| s.owners += 1),
                None => return,
            },
            message = own.next() => match message {
                Some(_) => tx.send_modify(|s| s.changes += 1),
                None => return,
            },
        }
    }
}

/// What the daemon signals. Signals that came since the last look count as one.
pub struct Signals {
    seen: watch::Receiver<Seen>,
    known: Seen,
    task: JoinHandle<()>,
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a wait for signals ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Something changed.
    Changed,
    /// The daemon came to the bus, or left it.
    Owner,
    /// The bus is gone.
    Ended,
}

impl Signals {
    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        let known = self.known;
        let now = match self.seen.wait_for(|s| *s != known).await {
            Ok(seen) => *seen,
            Err(_) => return Signal::Ended,
        };
        self.known = now;
        if now.owners == known.owners {
            Signal::Changed
        } else {
            Signal::Owner
        }
    }
}
