//! One running server: listener, leaf renewal, the operator's socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time;

use crate::admin::socket;
use crate::app::{App, Clock};
use crate::config::Limits;
use crate::home::{Home, HomeError};
use crate::http::refusals;
use crate::net::listener::{self, CurrentTls};
use crate::net::tls;

/// How often the age of the leaf is looked at.
const LEAF_CHECK: Duration = Duration::from_secs(24 * 3600);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The server's folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// OpenSSL refuses the certificate or its key.
    #[error("TLS cannot be set up")]
    Tls(#[from] openssl::error::ErrorStack),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(String, #[source] io::Error),
}

/// A server that runs until [`Running::stop`].
pub struct Running {
    /// What its requests share.
    pub app: Arc<App>,
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
    /// Released last: nobody else serves this folder meanwhile.
    _lock: std::fs::File,
}

/// Starts to serve `home` on `listen`.
pub async fn start(
    home: &Home,
    listen: &str,
    limits: Limits,
    clock: Clock,
) -> Result<Running, StartError> {
    let lock = home.lock()?;
    let store = home.store()?;
    let blobs = home.blobs()?;
    let server = home.settings.server;
    let app = Arc::new(App::new(
        store,
        blobs,
        home.ca.clone(),
        server,
        limits,
        clock,
    ));
    let (leaf, _) = home.leaf()?;
    let current = CurrentTls::new(tls::context(&home.ca.certificate, &leaf)?);
    let at = |e| StartError::Listen(listen.to_owned(), e);
    let listener = TcpListener::bind(listen).await.map_err(at)?;
    let address = listener.local_addr().map_err(at)?;
    let admin = socket::listen(&home.admin_socket())
        .map_err(|e| StartError::Listen(home.admin_socket().display().to_string(), e))?;
    let helpers = vec![
        tokio::spawn(socket::serve(app.clone(), admin)),
        tokio::spawn(renew_leaf(home.clone(), current.clone())),
        tokio::spawn(write_refusals(app.clone())),
    ];
    let serving = tokio::spawn(listener::serve(app.clone(), listener, current));
    Ok(Running {
        app,
        address,
        serving,
        helpers,
        _lock: lock,
    })
}

impl Running {
    /// Stops: event streams are told, requests in flight are waited for, within the limit.
    pub async fn stop(self) {
        self.app.stopping.send_replace(true);
        for helper in &self.helpers {
            helper.abort();
        }
        if let Err(e) = self.serving.await {
            tracing::error!("serving ended badly: {e}");
        }
        refusals::write_counted(&self.app).await;
    }
}

async fn write_refusals(app: Arc<App>) {
    let mut every = time::interval(app.limits.audit_window);
    every.tick().await;
    loop {
        every.tick().await;
        refusals::write_counted(&app).await;
    }
}

async fn renew_leaf(home: Home, current: CurrentTls) {
    let mut every = time::interval(LEAF_CHECK);
    every.tick().await;
    loop {
        every.tick().await;
        match home.leaf() {
            Ok((_, false)) => {}
            Ok((leaf, true)) => match tls::context(&home.ca.certificate, &leaf) {
                Ok(context) => {
                    current.replace(context);
                    tracing::info!("the server's certificate was renewed");
                }
                Err(e) => tracing::error!("the new certificate cannot be used: {e}"),
            },
            Err(e) => tracing::error!("the server's certificate cannot be renewed: {e}"),
        }
    }
}
