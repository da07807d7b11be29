//! A server in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use simsync_card::ids::{Hash, SubscriberId};
use simsync_protocol::problem::Problem;
use simsync_protocol::{Client, ServerAddress};
use tempfile::TempDir;

use crate::admin::{self, AdminCommand, Outcome};
use crate::app::{App, system_clock};
use crate::config::Limits;
use crate::home::Home;
use crate::server::{self, Running};

/// A server on a free port of 127.0.0.1, in a folder that goes with it, for host `localhost`.
pub struct TestServer {
    dir: TempDir,
    home: Home,
    limits: Limits,
    ahead: Arc<AtomicU64>,
    running: Option<Running>,
}

impl TestServer {
    /// Starts one that tests on one address do not run into limits of.
    pub async fn start() -> Self {
        Self::start_with(Self::roomy()).await
    }

    /// Limits that tests on one address do not run into.
    pub fn roomy() -> Limits {
        Limits {
            open_per_minute: 1_000_000,
            ..Limits::default()
        }
    }

    /// Starts one with these limits.
    pub async fn start_with(limits: Limits) -> Self {
        Self::start_in(TempDir::new().unwrap(), limits).await
    }

    /// Starts one in this folder, which goes with it.
    pub async fn start_in(dir: TempDir, limits: Limits) -> Self {
        let host: ServerAddress = "localhost".parse().unwrap();
        let home = Home::init(&dir.path().join("server"), &host, "127.0.0.1:0").unwrap();
        let mut server = Self {
            dir,
            home,
            limits,
            ahead: Arc::default(),
            running: None,
        };
        server.run().await;
        server
    }

    async fn run(&mut self) {
        let (ahead, clock) = (self.ahead.clone(), system_clock());
        let clock = Arc::new(move || clock() + ahead.load(Ordering::Relaxed));
        let listen = "127.0.0.1:0";
        let running = server::start(&self.home, listen, self.limits.clone(), clock).await;
        self.running = Some(running.unwrap());
    }

    /// Stops politely and starts again, on another port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// Stops politely.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Lets the server's clock run ahead.
    pub fn advance(&self, seconds: u64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    /// What its requests share.
    pub fn app(&self) -> &Arc<App> {
        &self.running().app
    }

    /// Where it listens.
    pub fn socket(&self) -> SocketAddr {
        self.running().address
    }

    /// `localhost:PORT`, as a card would carry it.
    pub fn address(&self) -> ServerAddress {
        ServerAddress::new("localhost", self.socket().port()).unwrap()
    }

    /// Fingerprint of its CA, as cards carry it.
    pub fn ca_pin(&self) -> Hash {
        self.home.ca_pin().unwrap()
    }

    /// The folder that it serves from.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// Its settings and CA.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// A folder that goes with it, for whatever a test wants to put beside it.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// A new client with its address and CA, which connects to its socket.
    pub fn client(&self) -> Client {
        Client::new(self.address(), self.ca_pin()).with_socket(self.socket())
    }

    /// An operator's order.
    pub async fn try_order(&self, order: AdminCommand) -> Result<Outcome, Problem> {
        let app = self.app();
        admin::execute(app.store(), order, app.now()).await
    }

    /// An operator's order that must succeed.
    pub async fn order(&self, order: AdminCommand) -> Outcome {
        self.try_order(order).await.unwrap()
    }

    /// A new subscriber and its enrolment code.
    pub async fn add_subscriber(&self, label: &str) -> (SubscriberId, String) {
        let order = AdminCommand::SubscriberAdd {
            label: label.to_owned(),
            id: None,
        };
        self.code_of(order).await
    }

    /// Another enrolment code.
    pub async fn new_code(&self, id: &SubscriberId) -> String {
        let order = AdminCommand::SubscriberCode { id: id.clone() };
        self.code_of(order).await.1
    }

    async fn code_of(&self, order: AdminCommand) -> (SubscriberId, String) {
        match self.order(order).await {
            Outcome::Code {
                subscriber, code, ..
            } => (subscriber, code),
            other => panic!("no code: {other:?}"),
        }
    }
}
