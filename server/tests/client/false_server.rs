//! A server that answers what a test tells it: the right certificate, and any status, headers and body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::ssl::{Ssl, SslContext};
use parking_lot::Mutex;
use simsync_card::ids::Hash;
use simsync_protocol::client::Timeouts;
use simsync_protocol::{Client, ClientError, Connection, ServerAddress};
use simsync_server::ca;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_openssl::SslStream;

type Broken = Box<dyn std::error::Error + Send + Sync>;
type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;

/// Deadlines short enough for tests, and a limit for a call as a whole: all of them, several times over.
pub const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    request: Duration::from_millis(1500),
    idle: Duration::from_millis(1000),
};
pub const DEADLINE: Duration = Duration::from_secs(40);

/// How a body goes on.
#[derive(Clone)]
pub enum Body {
    /// These bytes.
    Whole(Bytes),
    /// These bytes, then these others again and again, as fast as they are taken.
    Endless(Bytes, Bytes),
    /// These bytes, then these others again and again, slowly.
    Drips(Bytes, Bytes),
    /// These bytes, then silence.
    Hangs(Bytes),
    /// These bytes, then the stream is reset.
    Breaks(Bytes),
    /// These bytes, then the connection is cut.
    Cut(Bytes),
}

/// What every request but health is answered with.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    /// The headers never come.
    pub silent: bool,
}

impl Answer {
    pub fn new(status: u16, body: Body) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            silent: false,
        }
    }

    pub fn whole(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, Body::Whole(body.into()))
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn silence() -> Self {
        Self {
            silent: true,
            ..Self::whole(200, "")
        }
    }
}

/// Listens until it is dropped.
pub struct FalseServer {
    answer: Arc<Mutex<Answer>>,
    /// Bytes of bodies that were taken over the wire, or wait in the windows of HTTP/2.
    given: Arc<AtomicU64>,
    address: ServerAddress,
    ca_pin: Hash,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FalseServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FalseServer {
    pub async fn start(answer: Answer) -> Self {
        let authority = ca::new_ca("localhost").unwrap();
        let leaf = ca::new_leaf(&authority, "localhost").unwrap();
        let tls = simsync_server::net::tls::context(&authority.certificate, &leaf).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(answer));
        let given = Arc::new(AtomicU64::new(0));
        let (shared, counted) = (answer.clone(), given.clone());
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(tcp, tls.clone(), shared.clone(), counted.clone()));
            }
        });
        Self {
            answer,
            given,
            address: ServerAddress::new("localhost", port).unwrap(),
            ca_pin: ca::pin(&authority).unwrap(),
            task,
        }
    }

    /// Another answer from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    /// How many bytes of bodies were given since this was asked last.
    pub fn given(&self) -> u64 {
        self.given.swap(0, Ordering::Relaxed)
    }

    pub async fn connect(&self) -> Connection {
        let client = Client::new(self.address.clone(), self.ca_pin).with_timeouts(TIMEOUTS);
        client.connect(None).await.unwrap()
    }
}

/// After a bad answer the next call on the connection gets a good one, or is told that the connection is gone.
pub async fn usable_or_closed(c: &Connection, tried: &str) {
    let health = tokio::time::timeout(DEADLINE, c.health()).await;
    let health = health.unwrap_or_else(|_| panic!("{tried}: the connection hangs"));
    assert!(
        health.is_ok() || matches!(health, Err(ClientError::Offline(_))),
        "{tried}: {health:?}"
    );
}

async fn serve(tcp: TcpStream, tls: SslContext, answer: Arc<Mutex<Answer>>, given: Arc<AtomicU64>) {
    let mut tls = SslStream::new(Ssl::new(&tls).unwrap(), tcp).unwrap();
    if Pin::new(&mut tls).accept().await.is_err() {
        return;
    }
    let (cut, mut is_cut) = watch::channel(false);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let answer = match request.uri().path() {
            "/v1/health" => Answer::whole(200, r#"{"version":"1","status":"ok"}"#),
            _ => answer.lock().clone(),
        };
        let (given, cut) = (given.clone(), cut.clone());
        async move {
            if answer.silent {
                std::future::pending::<()>().await;
            }
            let pieces = pieces(answer.body, cut).inspect(move |piece| {
                let length = piece.as_ref().map_or(0, Bytes::len);
                given.fetch_add(length as u64, Ordering::Relaxed);
            });
            let body: UnsyncBoxBody<Bytes, Broken> =
                StreamBody::new(pieces.map(|p| p.map(Frame::data))).boxed_unsync();
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
            for (name, value) in answer.headers {
                let value = value.parse().unwrap();
                response.headers_mut().append(name, value);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service);
    tokio::select! {
        _ = connection => {}
        _ = is_cut.wait_for(|cut| *cut) => {}
    }
}

fn pieces(body: Body, cut: watch::Sender<bool>) -> Pieces {
    let once = |bytes: Bytes| stream::iter([Ok(bytes)]);
    match body {
        Body::Whole(bytes) => once(bytes).boxed(),
        Body::Endless(first, more) => once(first)
            .chain(stream::repeat_with(move || Ok(more.clone())))
            .boxed(),
        Body::Drips(first, more) => {
            let clock = tokio::time::interval(Duration::from_millis(20));
            let drops = stream::unfold(clock, move |mut clock| {
                let more = more.clone();
                async move {
                    clock.tick().await;
                    Some((Ok(more), clock))
                }
            });
            once(first).chain(drops).boxed()
        }
        Body::Hangs(bytes) => once(bytes).chain(stream::pending()).boxed(),
        Body::Breaks(bytes) => once(bytes)
            .chain(stream::iter([Err("broken".into())]))
            .boxed(),
        Body::Cut(bytes) => {
            let end = stream::once(async move {
                cut.send_replace(true);
                std::future::pending().await
            });
            once(bytes).chain(end).boxed()
        }
    }
}
