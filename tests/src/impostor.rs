//! Somebody who holds all that a terminal holds, its unsealed key and its certificate, and speaks to card and server
//! with programs of their own: no check of ours runs on that side.

use simsync_card::client::{Applet, CardError, OpenRequest, OpenedSession, Pin};
use simsync_card::ids::{CardId, Hash, Point, TerminalId};
use simsync_card::sign::{SecretKey, Sig};
use simsync_card::text;
use simsync_card::transport::Transport;
use simsync_protocol::api::{Nonce, OpenSessionRequest};
use simsync_protocol::problem::Code;
use simsync_protocol::tls::Identity;
use simsync_protocol::{Client, ClientError, Connection};
use simsync_vault::statement::SessionStatement;
use simsyncd::identity::{Pairing, Terminal as TerminalFile};

use crate::demo::Person;
use crate::rig::{Reader, Result, Server, Terminal};

/// What was copied from a terminal's disk and unsealed with its PIN.
pub struct Impostor {
    /// The terminal's private key.
    pub key: SecretKey,
    /// Certificate, card, server.
    pub pairing: Pairing,
}

fn text_of(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl Impostor {
    /// Copies a terminal that is paired.
    pub fn of(terminal: &Terminal, person: &Person) -> Result<Self> {
        let path = terminal.home.join("state/terminal.json");
        let file = TerminalFile::load(&path)
            .map_err(text_of)?
            .ok_or_else(|| format!("there is no {}", path.display()))?;
        let key = file.unseal(&person.terminal_pin).map_err(text_of)?;
        let pairing = file.pairing.ok_or("the terminal is not paired")?;
        Ok(Self { key, pairing })
    }

    /// The terminal's ID.
    pub fn id(&self) -> TerminalId {
        TerminalId::of(&self.key.point())
    }

    /// What it shows to the server.
    pub fn identity(&self) -> Identity {
        Identity {
            certificate: self.pairing.certificate.0.clone(),
            key: self.key.clone(),
        }
    }

    /// A client for the real server.
    pub fn client(&self, server: &Server) -> Result<Client> {
        let address = self.pairing.server.parse().map_err(text_of)?;
        let socket = ([127, 0, 0, 1], server.port).into();
        Ok(Client::new(address, self.pairing.ca_pin).with_socket(socket))
    }

    /// A connection with the terminal's certificate.
    pub async fn connect(&self, server: &Server) -> Result<Connection> {
        let client = self.client(server)?;
        client
            .connect(Some(&self.identity()))
            .await
            .map_err(text_of)
    }

    /// A nonce for this connection, and the binding to it.
    pub async fn binding(&self, connection: &Connection) -> Result<(Nonce, Hash)> {
        let answer = connection.nonce().await.map_err(text_of)?;
        let certificate = Hash::of(&self.pairing.certificate.0);
        let exporter = connection.exporter();
        let binding = text::binding(&exporter, &answer.server, &answer.nonce.0, &certificate);
        Ok((answer.nonce, binding))
    }

    /// What OPEN SESSION of this card is sent, over a challenge of it.
    pub fn signature(&self, card: &CardId, challenge: &[u8; 16], binding: &Hash) -> Sig {
        let text = text::terminal(card, challenge, binding, &self.hpke());
        self.key.sign(&text)
    }

    /// A point to agree on; what comes of it is not looked at.
    pub fn hpke(&self) -> Point {
        self.key.point()
    }

    /// SELECT, VERIFY, OPEN SESSION at a real card that accepts this terminal; the card's statement and its answer.
    pub fn open_at_card(
        &self,
        applet: &mut Applet<Reader>,
        card: &CardId,
        pin: &str,
        binding: &Hash,
    ) -> Result<(SessionStatement, OpenedSession)> {
        let opened = self
            .try_open_at_card(applet, card, pin, binding)
            .map_err(text_of)?;
        let statement = SessionStatement {
            card: *card,
            n: opened.n,
            terminal: self.id(),
            binding: *binding,
            sig: opened.sig.clone(),
        };
        Ok((statement, opened))
    }

    /// The same, with the card's refusal as it is.
    pub fn try_open_at_card<T: Transport>(
        &self,
        applet: &mut Applet<T>,
        card: &CardId,
        pin: &str,
        binding: &Hash,
    ) -> std::result::Result<OpenedSession, CardError> {
        let challenge = applet.select()?.challenge;
        if let Ok(pin) = Pin::parse(pin.as_bytes()) {
            applet.verify(&pin)?;
        }
        applet.open_session(&OpenRequest {
            terminal: self.id(),
            binding: *binding,
            hpke: self.hpke(),
            sig: &self.signature(card, &challenge, binding),
        })
    }
}

/// What `POST /v1/sessions` is sent by somebody who knows nothing yet.
pub fn opening(statement: &SessionStatement, nonce: Nonce) -> OpenSessionRequest {
    OpenSessionRequest {
        statement: statement.clone(),
        nonce,
        known_sequence: 0,
        known_list: 0,
    }
}

/// Runs what speaks to the server.
pub fn run<T>(what: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Runtime::new().map_err(text_of)?;
    Ok(runtime.block_on(what))
}

/// Panics unless the server refused with this code.
#[track_caller]
#[allow(clippy::panic, reason = "an assertion of tests")]
pub fn refused<T: std::fmt::Debug>(result: std::result::Result<T, ClientError>, code: Code) {
    match result {
        Err(e) if e.code() == Some(code) => {}
        other => panic!("expected a refusal {code:?}, got {other:?}"),
    }
}
