//! One connection to the server that the pairing names, kept while it lives; and where the server moved to.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use simsync_codes::Code;
use simsync_protocol::address::ServerAddress;
use simsync_protocol::api::MovingTo;
use simsync_protocol::client::{Client, ClientError, Connection};
use simsync_protocol::tls;

use crate::api::Failure;
use crate::events::Events;
use crate::identity::{Identity, Pairing};
use crate::rules::Event;
use crate::session::Prepared;

/// The connection to this terminal's server.
pub struct ServerLink {
    identity: Arc<Identity>,
    events: Events,
    conn: Mutex<Option<Connection>>,
}

impl ServerLink {
    /// None is made before somebody needs it.
    pub fn new(identity: Arc<Identity>, events: Events) -> Self {
        Self {
            identity,
            events,
            conn: Mutex::default(),
        }
    }

    fn conn(&self) -> MutexGuard<'_, Option<Connection>> {
        self.conn.lock()
    }

    /// Keeps a connection in the place of the one before.
    pub fn keep(&self, conn: Connection) {
        *self.conn() = Some(conn);
    }

    /// Forgets the connection: the next who needs one makes it anew.
    pub fn forget(&self) {
        *self.conn() = None;
    }

    /// The client and identity that a pairing gives.
    fn client(&self, pairing: &Pairing) -> Result<(Client, tls::Identity), ClientError> {
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
        let living = self.conn().clone().filter(|c| !c.is_closed());
        if let Some(conn) = living {
            return Ok(conn);
        }
        self.connect_anew(pairing).await
    }

    /// A new connection, which takes the place of the one before.
    pub async fn connect_anew(&self, pairing: &Pairing) -> Result<Connection, ClientError> {
        let (client, identity) = self.client(pairing)?;
        let conn = match client.connect(Some(&identity)).await {
            Ok(conn) => conn,
            Err(e) if e.is_transient() => self.connect_where_it_moved(pairing, e).await?,
            Err(e) => return Err(e),
        };
        self.keep(conn.clone());
        Ok(conn)
    }

    /// A nonce for a session on the connection, with what the card is to sign of both. Tells the rules if the server announces that
    /// it moves; another server than the paired one is refused.
    pub async fn prepare(&self, pairing: &Pairing) -> Result<Prepared, ClientError> {
        let mut conn = self.connect(pairing).await?;
        let answer = match conn.nonce().await {
            Ok(answer) => answer,
            // The connection died unseen, perhaps with the server: a new one, once.
            Err(e) if e.is_transient() => {
                self.forget();
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

    /// What the server announces is news until the owner agreed to it.
    fn hear_of_move(&self, pairing: &Pairing, to: Option<&MovingTo>) {
        let here =
            |to: &MovingTo| to.address.to_string() == pairing.server && to.ca_pin == pairing.ca_pin;
        let news = to.filter(|to| !here(to) && pairing.next_server.as_ref() != Some(*to));
        self.events.emit(Event::ServerMoves(news.cloned()));
    }

    /// The owner agrees to what was shown. The terminal looks for the server there when it does not answer any more where
    /// it was.
    pub fn agree_to_move(&self, to: &MovingTo) -> Result<(), Failure> {
        self.identity
            .update_pairing(|p| p.next_server = Some(to.clone()))
            .map_err(|e| Failure::new(Code::CannotWrite, e.to_string()))?;
        self.events.emit(Event::ServerMoves(None));
        Ok(())
    }

    /// The server does not answer where it was; perhaps it is where it announced to be.
    async fn connect_where_it_moved(
        &self,
        pairing: &Pairing,
        unreachable: ClientError,
    ) -> Result<Connection, ClientError> {
        match &pairing.next_server {
            // The first failure says more, if it is in neither place.
            Some(to) => self
                .follow(pairing, to)
                .await
                .map_err(|e| if e.is_transient() { unreachable } else { e }),
            None => Err(unreachable),
        }
    }

    /// Connects to the server at another address; if it is the same server, that is its address from now on.
    pub async fn follow(
        &self,
        pairing: &Pairing,
        to: &MovingTo,
    ) -> Result<Connection, ClientError> {
        let (_, identity) = self.client(pairing)?;
        let client = Client::new(to.address.clone(), to.ca_pin);
        let conn = client.connect(Some(&identity)).await?;
        if conn.nonce().await?.server != pairing.server_id {
            return Err(ClientError::Protocol(format!(
                "the server at {} is another one than this terminal was paired with",
                to.address
            )));
        }
        self.identity
            .update_pairing(|p| p.moved(to))
            .map_err(|e| ClientError::Protocol(format!("the new address cannot be kept: {e}")))?;
        tracing::info!(address = %to.address, "the server has moved");
        Ok(conn)
    }
}
