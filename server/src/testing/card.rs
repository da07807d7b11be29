//! A card and a terminal in software, and what they do with the server.

use std::sync::atomic::{AtomicU32, Ordering};

use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_card::sign::{SecretKey, Sig};
use simsync_card::text::{self, CardKeys};
use simsync_protocol::api::{
    B64, EnrolAnswer, EnrolRequest, Nonce, OpenSessionRequest, PairRequest, RenewRequest,
    SessionAnswer,
};
use simsync_protocol::tls::{Identity, certificate_request};
use simsync_protocol::{Client, ClientError, Connection};
use simsync_vault::commit::SessionRef;
use simsync_vault::keyobject::{KeyObject, KeyObjectBody};
use simsync_vault::statement::SessionStatement;

use super::Seed;
use crate::store::types::Known;

/// Signs what a real card signs, without a PIN.
pub struct SoftCard {
    /// ID, drawn from the seed.
    pub id: CardId,
    sig: SecretKey,
    kem: SecretKey,
    n: AtomicU32,
}

impl SoftCard {
    /// A card as it leaves the operator's desk, not enrolled yet.
    pub fn new(seed: &Seed) -> Self {
        Self {
            id: CardId(seed.id()),
            sig: seed.key(),
            kem: seed.key(),
            n: AtomicU32::new(0),
        }
    }

    /// Its public keys.
    pub fn keys(&self) -> CardKeys {
        CardKeys {
            sig: self.sig.point(),
            kem: self.kem.point(),
        }
    }

    /// Its secret keys SIG and KEM, for a card that answers APDUs.
    pub fn secret_keys(&self) -> (&SecretKey, &SecretKey) {
        (&self.sig, &self.kem)
    }

    /// Signature "enrol".
    pub fn sign_enrol(&self, bytes: &[u8; 32]) -> Sig {
        self.sig.sign(&text::enrol(&self.id, &self.keys(), bytes))
    }

    /// Signature "pair".
    pub fn sign_pair(&self, terminal: &TerminalId, binding: &Hash) -> Sig {
        self.sig.sign(&text::pair(&self.id, terminal, binding))
    }

    /// OPEN SESSION: counts up and signs.
    pub fn open_session(&self, terminal: &TerminalId, binding: &Hash) -> SessionStatement {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        self.statement(n, terminal, binding)
    }

    /// A session statement of any number.
    pub fn statement(&self, n: u32, terminal: &TerminalId, binding: &Hash) -> SessionStatement {
        let sig = self
            .sig
            .sign(&text::session(&self.id, n, terminal, binding));
        SessionStatement {
            card: self.id,
            n,
            terminal: *terminal,
            binding: *binding,
            sig,
        }
    }

    /// Signature "renew".
    pub fn sign_renew(&self, n: u32, terminal: &TerminalId, binding: &Hash) -> Sig {
        self.sig.sign(&text::renew(&self.id, n, terminal, binding))
    }

    /// Signature "restore" over 32 bytes.
    pub fn sign_restore(&self, hash: &Hash) -> Sig {
        self.sig
            .sign(&text::Domain::Restore.text(&self.id, &[&hash.0]))
    }

    /// SIGN "keyobject".
    pub fn sign_key_object(&self, body: KeyObjectBody) -> KeyObject {
        let (_, hash) = body.to_sign();
        let text = text::Domain::KeyObject.text(&self.id, &[&hash.0]);
        KeyObject::from_parts(body, self.sig.sign(&text))
    }

    /// Enrols at the server.
    pub async fn enrol(
        &self,
        client: &Client,
        subscriber: &SubscriberId,
        code: &str,
    ) -> Result<EnrolAnswer, ClientError> {
        let connection = client.connect(None).await?;
        let nonce = connection.nonce().await?.nonce;
        let request = self.enrol_request(&connection, nonce, subscriber, code);
        connection.enrol(&request).await
    }

    /// What [`Self::enrol`] sends.
    pub fn enrol_request(
        &self,
        connection: &Connection,
        nonce: Nonce,
        subscriber: &SubscriberId,
        code: &str,
    ) -> EnrolRequest {
        EnrolRequest {
            subscriber: subscriber.clone(),
            code: code.to_owned(),
            card: self.id,
            label: "card".to_owned(),
            keys: self.keys(),
            nonce,
            signature: self.sign_enrol(&text::enrol_bytes(&connection.exporter(), &nonce.0)),
        }
    }
}

/// A terminal: its key and, when it is paired, its certificate.
pub struct SoftTerminal {
    /// The key that its certificate names.
    pub key: SecretKey,
    /// Its certificate, DER.
    pub certificate: Option<Vec<u8>>,
}

/// An open session and the connection that it is bound to.
pub struct Opened {
    /// The connection; it holds the grant.
    pub connection: Connection,
    /// The card's statement.
    pub statement: SessionStatement,
    /// What the server answered.
    pub answer: SessionAnswer,
}

impl Opened {
    /// Card and number.
    pub fn session(&self) -> SessionRef {
        SessionRef {
            card: self.statement.card,
            n: self.statement.n,
        }
    }
}

impl SoftTerminal {
    /// Not paired yet.
    pub fn new(seed: &Seed) -> Self {
        Self {
            key: seed.key(),
            certificate: None,
        }
    }

    /// ID of the terminal: the hash of its key.
    pub fn id(&self) -> TerminalId {
        TerminalId::of(&self.key.point())
    }

    /// What it shows to the server.
    pub fn identity(&self) -> Identity {
        Identity {
            certificate: self.certificate.clone().expect("the terminal is paired"),
            key: self.key.clone(),
        }
    }

    /// Connects with its certificate.
    pub async fn connect(&self, client: &Client) -> Result<Connection, ClientError> {
        client.connect(Some(&self.identity())).await
    }

    /// The binding of a connection with its certificate; also the nonce in it.
    pub async fn binding(&self, connection: &Connection) -> Result<(Nonce, Hash), ClientError> {
        let answer = connection.nonce().await?;
        let certificate = Hash::of(&self.identity().certificate);
        let exporter = connection.exporter();
        let binding = text::binding(&exporter, &answer.server, &answer.nonce.0, &certificate);
        Ok((answer.nonce, binding))
    }

    /// What [`Self::pair`] sends.
    pub async fn pair_request(
        &self,
        connection: &Connection,
        subscriber: &SubscriberId,
        card: &SoftCard,
    ) -> Result<PairRequest, ClientError> {
        let csr = certificate_request(&self.key, subscriber).unwrap();
        let answer = connection.nonce().await?;
        let exporter = connection.exporter();
        let binding = text::binding(&exporter, &answer.server, &answer.nonce.0, &Hash::of(&csr));
        Ok(PairRequest {
            subscriber: subscriber.clone(),
            card: card.id,
            nonce: answer.nonce,
            label: "terminal".to_owned(),
            statement: card.sign_pair(&self.id(), &binding),
            csr: B64(csr),
            attributes: vec!["files".to_owned()],
        })
    }

    /// Pairs with a card; keeps the certificate.
    pub async fn pair(
        &mut self,
        client: &Client,
        subscriber: &SubscriberId,
        card: &SoftCard,
    ) -> Result<(), ClientError> {
        let connection = client.connect(None).await?;
        let request = self.pair_request(&connection, subscriber, card).await?;
        self.certificate = Some(connection.pair(&request).await?.certificate.0);
        Ok(())
    }

    /// Opens a session on a new connection, as a terminal that knows nothing yet.
    pub async fn open(&self, client: &Client, card: &SoftCard) -> Result<Opened, ClientError> {
        let connection = self.connect(client).await?;
        let nothing = Known {
            sequence: 0,
            list: 0,
        };
        self.open_on(connection, card, nothing).await
    }

    /// Opens a session on this connection; what the terminal knows is not answered again.
    pub async fn open_on(
        &self,
        connection: Connection,
        card: &SoftCard,
        known: Known,
    ) -> Result<Opened, ClientError> {
        let (nonce, binding) = self.binding(&connection).await?;
        let statement = card.open_session(&self.id(), &binding);
        let request = OpenSessionRequest {
            statement: statement.clone(),
            nonce,
            known_sequence: known.sequence,
            known_list: known.list,
        };
        let answer = connection.open_session(&request).await?;
        Ok(Opened {
            connection,
            statement,
            answer,
        })
    }

    /// Renews a session on this connection.
    pub async fn renew(
        &self,
        connection: &Connection,
        card: &SoftCard,
        n: u32,
    ) -> Result<SessionAnswer, ClientError> {
        let (nonce, binding) = self.binding(connection).await?;
        let request = RenewRequest {
            session: SessionRef { card: card.id, n },
            nonce,
            signature: card.sign_renew(n, &self.id(), &binding),
            known_sequence: 0,
            known_list: 0,
        };
        connection.renew(&request).await
    }
}
