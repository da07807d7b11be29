//! Accepts connections and serves each until it ends or the server stops.

use std::future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use openssl::ssl::{Ssl, SslContext};
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time;
use tokio_openssl::SslStream;

use super::connection::Conn;
use super::limiter::ConnectionLimiter;
use super::shares::Kind;
use crate::app::App;
use crate::config::{FRAME, HEADERS, OPEN_WINDOWS, SEND_BUFFER, TERMINAL_WINDOWS};
use crate::http;

/// Between two pings on a silent connection.
const PING_EVERY: Duration = Duration::from_secs(60);
/// How long the answer to a ping may take.
const PING_WAIT: Duration = Duration::from_secs(20);

/// Tells connections apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The TLS context in use; replaced when the leaf is renewed.
#[derive(Clone)]
pub struct CurrentTls(Arc<RwLock<SslContext>>);

impl CurrentTls {
    /// Connections get this context until it is replaced.
    pub fn new(context: SslContext) -> Self {
        Self(Arc::new(RwLock::new(context)))
    }

    /// For connections from now on.
    pub fn replace(&self, context: SslContext) {
        *self.0.write() = context;
    }

    fn get(&self) -> SslContext {
        self.0.read().clone()
    }
}

/// Serves until [`App::stopping`] says so; then waits for requests in flight, within the limit.
pub async fn serve(app: Arc<App>, listener: TcpListener, tls: CurrentTls) {
    let limiter = ConnectionLimiter::new(
        app.limits.process.connections,
        app.limits.connections_per_address,
    );
    let mut stopping = app.stopping.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The sender lives in `app`, so this only ends when it is true.
            _ = stopping.wait_for(|s| *s) => break,
            Some(_) = connections.join_next() => continue,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Too many open files, most likely: let some connections end.
                tracing::warn!("a connection could not be accepted: {e}");
                time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = limiter.take(address.ip()) else {
            tracing::debug!(%address, "too many connections");
            continue;
        };
        let (app, tls) = (app.clone(), tls.get());
        connections.spawn(async move {
            if let Err(e) = connection(app, tcp, address, tls).await {
                tracing::debug!(%address, "connection ended: {e}");
            }
            drop(place);
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if time::timeout(app.limits.drain, all).await.is_err() {
        tracing::warn!("stopping with requests in flight");
    }
}

async fn connection(
    app: Arc<App>,
    tcp: TcpStream,
    address: SocketAddr,
    tls: SslContext,
) -> Result<(), BoxError> {
    tcp.set_nodelay(true)?;
    let mut stream = SslStream::new(Ssl::new(&tls)?, tcp)?;
    let anybody = app.shares.of_address(address.ip());
    let handshake = async {
        let _place = anybody
            .take_within(Kind::Handshake, app.limits.handshake)
            .await?;
        Pin::new(&mut stream).accept().await?;
        Ok::<_, BoxError>(())
    };
    time::timeout(app.limits.handshake, handshake).await??;
    let conn = Arc::new(Conn::new(stream.ssl(), address.ip(), &app.shares)?);
    let seat = conn.purse.connect(NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut seat = seat.map_err(|level| level.problem())?;
    let terminal = conn.certificate.is_some();
    let windows = if terminal {
        TERMINAL_WINDOWS
    } else {
        OPEN_WINDOWS
    };
    let limits = app.limits.clone();
    let mut stopping = app.stopping.subscribe();
    let about = conn.clone();
    let service = service_fn(move |request| {
        let (app, conn) = (app.clone(), conn.clone());
        async move { Ok::<_, std::convert::Infallible>(http::handle(app, conn, request).await) }
    });
    let mut served = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(windows.stream)
            .initial_connection_window_size(windows.connection)
            .max_concurrent_streams(windows.requests)
            .max_frame_size(FRAME)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEADERS)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let overdue = async {
        time::sleep(limits.first_request).await;
        if about.asked.load(Ordering::Relaxed) {
            future::pending::<()>().await;
        }
    };
    let too_long = async {
        time::sleep(limits.open_connection).await;
        if terminal {
            future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = served.as_mut() => return Ok(ended?),
        () = about.outbound.overdue(limits.answer_stall) => return Err("an answer is not taken".into()),
        () = seat.wanted() => return Err("a newer connection of this terminal takes its place".into()),
        () = overdue => return Err("nothing was asked".into()),
        () = too_long => served.as_mut().graceful_shutdown(),
        _ = stopping.wait_for(|s| *s) => served.as_mut().graceful_shutdown(),
    }
    Ok(time::timeout(limits.drain, served).await??)
}
