//! The server, as a desk sees it.

use std::time::{Duration, Instant};

use simsync_card::ids::Hash;
use simsync_card::text;
use simsync_protocol::address::ServerAddress;
use simsync_protocol::api::{EnrolRequest, Nonce};
use simsync_protocol::client::{Client, ClientError, Connection};
use simsync_protocol::problem::Code;
use tokio::runtime::Runtime;

use crate::error::ToolError;
use crate::issue::{Introduction, Registrar};

/// How long a server that is asked too often is waited for: it counts by the minute.
const PATIENCE: Duration = Duration::from_secs(130);
const PAUSE: Duration = Duration::from_secs(5);

/// A server by address and pin.
pub struct Server {
    runtime: Runtime,
    client: Client,
    begun: Option<(Connection, Nonce)>,
}

impl Server {
    /// Not connected yet.
    pub fn new(address: ServerAddress, ca_pin: Hash) -> Result<Self, ToolError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| ToolError::Other(e.to_string()))?;
        Ok(Self {
            runtime,
            client: Client::new(address, ca_pin),
            begun: None,
        })
    }

    async fn nonce(client: &Client) -> Result<(Connection, Nonce), ClientError> {
        let conn = client.connect(None).await?;
        let answer = conn.nonce().await?;
        Ok((conn, answer.nonce))
    }
}

fn is_busy(e: &ClientError) -> bool {
    matches!(e.code(), Some(Code::RateLimited | Code::Overloaded))
}

impl Registrar for Server {
    fn begin(&mut self) -> Result<[u8; 32], ToolError> {
        let end = Instant::now() + PATIENCE;
        let (conn, nonce) = loop {
            match self.runtime.block_on(Self::nonce(&self.client)) {
                Err(e) if is_busy(&e) && Instant::now() < end => {
                    tracing::info!("the server is asked too often; waiting");
                    std::thread::sleep(PAUSE);
                }
                other => break other?,
            }
        };
        let bytes = text::enrol_bytes(&conn.exporter(), &nonce.0);
        self.begun = Some((conn, nonce));
        Ok(bytes)
    }

    fn enrol(&mut self, card: &Introduction<'_>) -> Result<bool, ToolError> {
        let (conn, nonce) = self
            .begun
            .take()
            .ok_or_else(|| ToolError::Other("the server was not asked for a nonce".to_owned()))?;
        let answer = self.runtime.block_on(conn.enrol(&EnrolRequest {
            subscriber: card.holder.subscriber.clone(),
            code: card.holder.code.to_owned(),
            card: card.card,
            label: card.holder.label.to_owned(),
            keys: card.keys,
            nonce,
            signature: card.signature.clone(),
        }))?;
        Ok(answer.already)
    }
}
