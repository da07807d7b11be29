//! The way to the server that a pairing names: one connection, kept while it lives, and nonces on it.

use simsync_protocol::address::ServerAddress;
use simsync_protocol::client::{Client, ClientError, Connection};
use simsync_protocol::tls;

use super::Ctx;
use crate::identity::Pairing;
use crate::session::Prepared;

impl Ctx {
    /// The client and identity that a pairing gives.
    pub fn client(&self, pairing: &Pairing) -> Result<(Client, tls::Identity), ClientError> {
        let address: ServerAddress = pairing
            .server
            .parse()
            .map_err(|e| ClientError::Protocol(format!("the stored server address: {e}")))?;
        let key = self
            .identity
            .key()
            .ok_or_else(|| ClientError::Protocol("the terminal's key is sealed".to_owned()))?;
        let identity = tls::Identity {
            certificate: pairing.certificate.0.clone(),
            key: (*key).clone(),
        };
        Ok((Client::new(address, pairing.ca_pin), identity))
    }

    /// The living connection, or a new one.
    pub async fn connect(&self, pairing: &Pairing) -> Result<Connection, ClientError> {
        if let Some(conn) = self.conn() {
            return Ok(conn);
        }
        self.connect_anew(pairing).await
    }

    /// A new connection, which takes the place of the one before.
    pub(super) async fn connect_anew(&self, pairing: &Pairing) -> Result<Connection, ClientError> {
        let (client, identity) = self.client(pairing)?;
        let conn = match client.connect(Some(&identity)).await {
            Ok(conn) => conn,
            Err(e) if e.is_transient() => self.connect_where_it_moved(pairing, e).await?,
            Err(e) => return Err(e),
        };
        self.set_conn(Some(conn.clone()));
        Ok(conn)
    }

    pub(super) async fn prepare(&self, pairing: &Pairing) -> Result<Prepared, ClientError> {
        let mut conn = self.connect(pairing).await?;
        let answer = match conn.nonce().await {
            Ok(answer) => answer,
            // The connection died unseen, perhaps with the server: a new one, once.
            Err(e) if e.is_transient() => {
                self.set_conn(None);
                conn = self.connect(pairing).await?;
                conn.nonce().await?
            }
            Err(e) => return Err(e),
        };
        self.hear_of_move(pairing, answer.moving.as_ref());
        if answer.server != pairing.server_id {
            return Err(ClientError::Protocol(
                "it is another server than the one that this terminal was paired with".to_owned(),
            ));
        }
        Ok(Prepared::new(conn, &answer, &pairing.certificate.0))
    }
}
