//! The D-Bus API: the service on any connection that it is handed.
//!
//! Manager and object manager at [`names::ROOT`]; readers, cards, terminals, collections and jobs below it. The XML of
//! every interface is in `daemon/dbus/`.

mod agents;
mod args;
mod card;
mod collection;
mod error;
mod job;
mod lines;
mod manager;
mod mirror;
pub mod names;
mod reader;
mod secret_fd;
mod terminal;
mod text;

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::task::JoinHandle;
use zbus::Connection;
use zbus::fdo::{DBusProxy, ObjectManager, RequestNameFlags};

pub use agents::{ASK_DEADLINE, BusAgents, kind_word};
pub use error::BusError;
pub use job::KEPT as JOB_KEPT;
pub use secret_fd::SECRET_MAX;

use crate::api::{Handle, Status};
use manager::Manager;
use mirror::{Object, Set};

/// The service, as it is offered on a connection. Dropping it leaves it running; [`BusService::task`] ends with the service or the connection.
pub struct BusService {
    /// Ends when the service stopped or the connection is gone.
    pub task: JoinHandle<()>,
}

/// Why the service cannot be offered on a bus.
#[derive(Debug, thiserror::Error)]
pub enum BusServiceError {
    /// Another daemon has the name.
    #[error(
        "{name} is taken on this bus: another simsyncd runs; stop it first, for example with `systemctl --user stop simsyncd`",
        name = names::BUS_NAME
    )]
    NameTaken,
    /// The bus failed.
    #[error("the bus cannot be used: {0}")]
    Bus(#[from] zbus::Error),
}

/// Whether another daemon has the name on this bus, before anything of ours is opened.
pub async fn name_is_taken(conn: &Connection) -> zbus::Result<bool> {
    let name = zbus::names::BusName::try_from(names::BUS_NAME)?;
    Ok(DBusProxy::new(conn).await?.name_has_owner(name).await?)
}

/// Offers the service on a connection: objects first, then, where there is a bus, the name.
pub async fn run_with_connection(
    conn: Connection,
    handle: Handle,
    agents: BusAgents,
) -> Result<BusService, BusServiceError> {
    let mut status = handle.status.clone();
    let first = status.borrow_and_update().clone();
    let mut asked = agents.shown();
    let server = conn.object_server();
    server.at(names::ROOT, ObjectManager).await?;
    let root = zbus::ObjectPath::from_static_str_unchecked(names::ROOT);
    let service = handle.clone();
    let manager = Manager::new(handle, agents.clone(), first.clone());
    let manager = Object::add(&conn, root.into(), manager).await?;
    let mut shown = Objects::new(&conn, manager);
    shown.show(&first).await?;
    let vanishing = if conn.is_bus() {
        // Before the name: nobody can register earlier than we would notice that they left.
        let bus = DBusProxy::new(&conn).await?;
        Some(bus.receive_name_owner_changed_with_args(&[(2, "")]).await?)
    } else {
        None
    };
    if conn.is_bus() {
        let flags = RequestNameFlags::DO_NOT_QUEUE;
        match conn.request_name_with_flags(names::BUS_NAME, flags).await {
            Ok(_) => {}
            Err(zbus::Error::NameTaken) => return Err(BusServiceError::NameTaken),
            Err(e) => return Err(e.into()),
        }
    }
    let watched = conn.clone();
    let watching = tokio::spawn(async move {
        if let Some(mut vanishing) = vanishing {
            while let Some(signal) = vanishing.next().await {
                if let Ok(args) = signal.args()
                    && let zbus::names::BusName::Unique(name) = args.name()
                {
                    agents.vanished(&name.to_owned().into());
                }
            }
        }
        watched.closed().await;
        agents.disconnected(&watched);
    });
    let task = tokio::spawn(async move {
        let mut jobs = Vec::new();
        loop {
            tokio::select! {
                changed = status.changed() => if changed.is_err() { break },
                // The watcher below keeps the sender.
                _ = asked.changed() => {}
                () = conn.closed() => {
                    tracing::error!("the bus connection ended");
                    break;
                }
            }
            let now = status.borrow_and_update().clone();
            asked.mark_unchanged();
            show_jobs(&conn, &service, &now, &mut jobs);
            if let Err(error) = shown.show(&now).await {
                tracing::warn!(%error, "the status cannot be told on the bus");
            }
        }
        watching.abort();
    });
    Ok(BusService { task })
}

/// Jobs that nobody ordered come onto the bus as soon as the status names them; ordered ones are there already.
fn show_jobs(conn: &Connection, service: &Handle, status: &Status, known: &mut Vec<u64>) {
    for id in status.jobs.iter().copied().filter(|id| !known.contains(id)) {
        let (conn, service) = (conn.clone(), service.clone());
        tokio::spawn(async move {
            // It may have ended meanwhile: then nobody can have seen it.
            let Ok(job) = service.job(id).await else {
                return;
            };
            if let Err(error) = job::serve(&conn, job).await {
                tracing::warn!(%error, "a job cannot be shown on the bus");
            }
        });
    }
    known.clone_from(&status.jobs);
}

/// Everything that mirrors the status.
struct Objects {
    manager: Object<Manager>,
    readers: Set<reader::Reader>,
    cards: Set<card::Card>,
    terminals: Set<terminal::Terminal>,
    collections: Set<collection::Collection>,
}

impl Objects {
    fn new(conn: &Connection, manager: Object<Manager>) -> Self {
        Self {
            manager,
            readers: Set::new(conn),
            cards: Set::new(conn),
            terminals: Set::new(conn),
            collections: Set::new(conn),
        }
    }

    async fn show(&mut self, status: &Arc<Status>) -> zbus::Result<()> {
        self.readers.show(reader::readers(status)).await?;
        self.cards.show(card::cards(status)).await?;
        self.terminals.show(terminal::terminals(status)).await?;
        self.collections
            .show(collection::collections(status))
            .await?;
        // Last: who waits for the manager's State finds the objects as they are then.
        self.manager.update(|m| m.show(status.clone())).await
    }
}
