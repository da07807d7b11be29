//! From an address and a pin to a connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use simsync_card::ids::Hash;
use tokio::net::TcpStream;
use tokio::time;
use tokio_openssl::SslStream;

use super::{ClientError, Connection, Shared, Timeouts};
use crate::address::ServerAddress;
use crate::tls::{self, Identity, Verdict};

/// Receive window of one stream; sized for a fast line over a long way.
const STREAM_WINDOW: u32 = 8 << 20;
/// Receive window of the connection.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest frame that we take.
const FRAME: u32 = 1 << 20;
/// What may wait to be sent on one stream.
const SEND_BUFFER: usize = 4 << 20;
/// Between two pings on a silent connection.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long the answer to a ping may take.
const PING_WAIT: Duration = Duration::from_secs(15);

/// A server, known by its address and the pin of its CA.
#[derive(Debug, Clone)]
pub struct Client {
    address: ServerAddress,
    ca_pin: Hash,
    socket: Option<SocketAddr>,
    timeouts: Timeouts,
}

impl Client {
    /// `ca_pin` is the SHA-256 of the CA's public key info, as a card carries it.
    pub fn new(address: ServerAddress, ca_pin: Hash) -> Self {
        Self {
            address,
            ca_pin,
            socket: None,
            timeouts: Timeouts::default(),
        }
    }

    /// Connects to this socket address instead of asking for the host's; the host is verified all the same.
    pub fn with_socket(mut self, socket: SocketAddr) -> Self {
        self.socket = Some(socket);
        self
    }

    /// With other deadlines than the default ones.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The server's address.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Opens a connection: with `identity` as that terminal, without it for enrolling and pairing.
    pub async fn connect(&self, identity: Option<&Identity>) -> Result<Connection, ClientError> {
        time::timeout(self.timeouts.connect, self.handshake(identity))
            .await
            .map_err(|_| ClientError::timed_out("connecting"))?
    }

    async fn handshake(&self, identity: Option<&Identity>) -> Result<Connection, ClientError> {
        let (ssl, verdict) =
            tls::client_ssl(&self.address, &self.ca_pin, identity).map_err(ClientError::tls)?;
        let tcp = self.tcp().await.map_err(ClientError::Offline)?;
        tcp.set_nodelay(true).map_err(ClientError::Offline)?;
        let mut stream = SslStream::new(ssl, tcp).map_err(ClientError::tls)?;
        if let Err(e) = Pin::new(&mut stream).connect().await {
            return Err(self.refusal(verdict.get(), e));
        }
        if stream.ssl().selected_alpn_protocol() != Some(b"h2") {
            return Err(ClientError::Protocol("it does not speak HTTP/2".into()));
        }
        let exporter = tls::exporter(stream.ssl()).map_err(ClientError::tls)?;
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::http)?;
        tokio::spawn(async move {
            if let Err(e) = driver.await {
                tracing::debug!("the connection to the server ended: {e}");
            }
        });
        Ok(Connection(Arc::new(Shared {
            sender,
            authority: self.address.to_string(),
            exporter,
            timeouts: self.timeouts,
            grant: Mutex::default(),
            statement: Mutex::default(),
        })))
    }

    /// The first socket address of the host that answers.
    async fn tcp(&self) -> io::Result<TcpStream> {
        if let Some(socket) = self.socket {
            return TcpStream::connect(socket).await;
        }
        TcpStream::connect((self.address.host(), self.address.port())).await
    }

    fn refusal(&self, verdict: Option<Verdict>, error: openssl::ssl::Error) -> ClientError {
        match verdict {
            Some(Verdict::Pin) => ClientError::PinMismatch,
            Some(Verdict::Host) => ClientError::HostMismatch(self.address.host().to_owned()),
            Some(Verdict::Other(why)) => ClientError::Tls(format!(
                "{} (check this machine's clock)",
                why.error_string()
            )),
            None => match error.into_io_error() {
                Ok(io) => ClientError::Offline(io),
                Err(e) if e.ssl_error().is_some() => ClientError::Tls(e.to_string()),
                Err(e) => ClientError::Offline(io::Error::new(io::ErrorKind::UnexpectedEof, e)),
            },
        }
    }
}
