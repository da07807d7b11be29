//! Pairing a terminal (flow 3) and undoing it (flow 5).

use std::collections::BTreeMap;
use std::sync::Arc;

use simsync_card::client::{Info, ListedTerminal};
use simsync_card::ids::Hash;
use simsync_card::sign::SecretKey;
use simsync_card::status::Status;
use simsync_card::text;
use simsync_codes::Code;
use simsync_protocol::address::ServerAddress;
use simsync_protocol::api::{B64, MovingTo, PairRequest};
use simsync_protocol::tls::certificate_request;

use super::enter::VaultEntry;
use super::forget::Forgetter;
use crate::api::{Failure, PadPurpose, SecretKind};
use crate::card::OpenCard;
use crate::database::Database;
use crate::engine::{TrustedCard, fresh_rng};
use crate::events::Events;
use crate::identity::{Identity, Pairing, Terminal};
use crate::link::{ServerLink, where_to_pair};
use crate::person::Person;
use crate::reasons::server_reason;
use crate::rules::Event;
use crate::session::card_ops;
use crate::session::{CardAccess, CardPin, CardPins, CardSessions};

/// Pairs this terminal with the card that is in.
pub struct Pairings {
    pub(crate) identity: Arc<Identity>,
    pub(crate) database: Arc<Database>,
    pub(crate) person: Arc<Person>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) link: Arc<ServerLink>,
    pub(crate) access: Arc<CardAccess>,
    pub(crate) entering: Arc<VaultEntry>,
    pub(crate) forgetting: Arc<Forgetter>,
    pub(crate) events: Events,
}

impl Pairings {
    /// Pairs this terminal with the card in `reader`. What was interrupted is finished by running it again.
    pub async fn pair(
        &self,
        reader: &str,
        label: &str,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let told = self.identity.label_told(&self.database);
        let renames = !label.is_empty() && label != told;
        let label: String = if label.is_empty() {
            told
        } else {
            label.to_owned()
        };
        if label.trim().is_empty() {
            return Err(Failure::new(
                Code::BadArgument,
                "a terminal's label is not blank; choose a name",
            ));
        }
        if label.len() > 24 {
            return Err(Failure::new(
                Code::BadArgument,
                "a terminal's label has at most 24 bytes; choose a shorter one",
            ));
        }
        // 2. The card's PIN, and everything that the card says of itself.
        let (mut pin, view) = self.access.read_card(reader).await?;
        // 1. This terminal's key.
        let (terminal, key) = self.own_key(&view.info).await?;
        let card = TrustedCard {
            id: view.info.card,
            keys: view.keys,
        };
        // 3. to 7. The card takes the terminal in, then the server, then the vault.
        let known = terminal
            .pairing
            .clone()
            .filter(|p| p.card.id == card.id && p.subscriber == view.info.subscriber && !p.leaving)
            // Card and server are told of another label where they are told of the terminal.
            .filter(|_| !renames);
        let mut entered = None;
        if let Some(p) = known {
            self.link.forget();
            let done = self
                .entering
                .enter_vault(reader, &mut pin, &p, &key, &label)
                .await;
            // Somebody took this terminal off the card meanwhile: it is taken in once more.
            let is_off = |f: &Failure| f.code == Code::TerminalNotOnCard;
            if !done.as_ref().is_err_and(is_off) {
                entered = Some((p, done));
            }
        }
        let (pairing, entered) = match entered {
            Some(entered) => entered,
            None => {
                let on_card = place_on(&view.info)?;
                let mut p = self
                    .join(reader, &mut pin, &view.info, card, &key, &label)
                    .await?;
                let joined = self.identity.update_terminal(|t| {
                    // The same person's: what this terminal knows of vault and server stays.
                    if let Some(before) = &t.pairing {
                        p.goes_on_from(before, &on_card);
                    }
                    t.pairing = Some(p.clone());
                });
                joined.map_err(|e| self.identity.not_saved(&e))?;
                self.link.forget();
                let done = self
                    .entering
                    .enter_vault(reader, &mut pin, &p, &key, &label)
                    .await;
                (p, done)
            }
        };
        // Whatever happened, no key of the vault stays behind.
        self.sessions.wipe();
        let added = match entered {
            Err(f) if f.code == Code::TerminalRevoked => {
                return Err(self.forgetting.discard_revoked());
            }
            Err(f) => {
                // A session that was open beside it is over, too: the rules must not go on with it.
                self.events.emit(Event::Pairing(self.identity.is_paired()));
                return Err(f);
            }
            Ok(added) => added,
        };
        self.identity
            .update_pairing(|p| p.complete = true)
            .map_err(|e| self.identity.not_saved(&e))?;
        let mut result = BTreeMap::new();
        result.insert("subscriber".to_owned(), pairing.subscriber.to_string());
        result.insert("terminal".to_owned(), terminal.id().to_string());
        let same = self.others_called(&label);
        if !same.is_empty() {
            result.insert("same-label".to_owned(), same.join(" "));
        }
        result.insert("label".to_owned(), label);
        result.insert("server".to_owned(), pairing.server.clone());
        result.insert(
            "vault".to_owned(),
            if added { "made" } else { "joined" }.to_owned(),
        );
        self.events.emit(Event::Pairing(true));
        Ok(result)
    }

    /// Other terminals of the person with this label, by the beginnings of their IDs.
    fn others_called(&self, label: &str) -> Vec<String> {
        let list = self.database.newest_list().ok().flatten();
        let own = self.identity.terminal_id();
        let all = list.iter().flat_map(|l| &l.body.terminals);
        all.filter(|t| t.label == label && Some(t.id()) != own)
            .map(|t| t.id().short())
            .collect()
    }

    /// The terminal's key: the present one, or a new one under a PIN that is chosen now.
    async fn own_key(&self, info: &Info) -> Result<(Terminal, Arc<SecretKey>), Failure> {
        if let Some(t) = self.identity.terminal() {
            let other = t
                .pairing
                .as_ref()
                .is_some_and(|p| p.subscriber != info.subscriber);
            if other {
                return Err(Failure::new(
                    Code::AlreadyPaired,
                    "this account is paired with another subscriber; run `simsync unpair` first",
                ));
            }
            let key = self.person.unsealed_key(&self.identity, &t).await?;
            return Ok((t, key));
        }
        let mut retry = false;
        for _ in 0..3 {
            let pin = self
                .person
                .ask(SecretKind::NewTerminalPin, None, retry, None)
                .await?;
            let made =
                tokio::task::spawn_blocking(move || Terminal::create(&pin, &mut fresh_rng())).await;
            match made {
                Ok(Ok((terminal, key))) => {
                    self.forgetting.forget_vault()?;
                    self.identity
                        .set_terminal(Some(terminal.clone()))
                        .map_err(|e| self.identity.not_saved(&e))?;
                    self.identity.set_key(Some(key));
                    let key = self
                        .identity
                        .key()
                        .ok_or_else(|| Failure::new(Code::Internal, "the key is gone"))?;
                    return Ok((terminal, key));
                }
                Ok(Err(_)) => retry = true,
                Err(_) => {
                    return Err(Failure::new(
                        Code::Internal,
                        "making the terminal's key failed",
                    ));
                }
            }
        }
        Err(Failure::new(
            Code::TerminalPinShort,
            format!(
                "a terminal PIN has {} characters or more",
                crate::identity::TERMINAL_PIN_MIN
            ),
        ))
    }

    /// ADD TERMINAL at the card, `POST /pair` at the server.
    async fn join(
        &self,
        reader: &str,
        pin: &mut CardPin,
        info: &Info,
        card: TrustedCard,
        key: &Arc<SecretKey>,
        label: &str,
    ) -> Result<Pairing, Failure> {
        let place = where_to_pair(&self.identity, &info.subscriber, place_on(info)?).await;
        let (place, conn, nonce) = place.map_err(|e| server_reason(&e))?;
        let csr = certificate_request(key, &info.subscriber).map_err(|e| {
            Failure::new(
                Code::Internal,
                format!("the certificate request cannot be made: {e}"),
            )
        })?;
        let binding = text::binding(
            &conn.exporter(),
            &nonce.server,
            &nonce.nonce.0,
            &Hash::of(&csr),
        );
        let (point, l) = (key.point(), label.to_owned());
        let add = move |card: &mut OpenCard<'_>, pin: &CardPin| {
            let wanted = card.wanted();
            let mut applet = card_ops::ours(card)?;
            pin.verify(&mut applet, wanted)?;
            match applet.add_terminal(&point, &l, &binding) {
                Err(e) if e.status() == Some(Status::Full) => Ok(Err(applet.terminals()?)),
                other => Ok(Ok(other?)),
            }
        };
        let added = self
            .pins
            .with_card_pin(reader, pin, PadPurpose::AddTerminal, add)
            .await?
            .map_err(|there| card_full(&there))?;
        let request = PairRequest {
            subscriber: info.subscriber.clone(),
            card: info.card,
            nonce: nonce.nonce,
            label: label.to_owned(),
            statement: added.sig,
            csr: B64(csr),
            attributes: vec!["files".to_owned()],
        };
        let answer = conn.pair(&request).await.map_err(|e| server_reason(&e))?;
        Ok(Pairing {
            subscriber: info.subscriber.clone(),
            card,
            label: Some(label.to_owned()),
            server: place.address.to_string(),
            ca_pin: place.ca_pin,
            server_id: nonce.server,
            certificate: answer.certificate,
            complete: false,
            leaving: false,
            known_cards: Vec::new(),
            next_server: None,
            told_cards: None,
        })
    }
}

/// Where a card says that the server is.
fn place_on(info: &Info) -> Result<MovingTo, Failure> {
    let address: ServerAddress = info.server.parse().map_err(|e| {
        Failure::new(
            Code::BadAddress,
            format!("the server's address on the card is not usable: {e}"),
        )
    })?;
    let ca_pin = info.ca_pin;
    Ok(MovingTo { address, ca_pin })
}

/// No slot is free: the owner decides which terminal goes.
fn card_full(there: &[ListedTerminal]) -> Failure {
    let names: Vec<String> = there
        .iter()
        .map(|t| format!("{} ({})", t.label, t.terminal.short()))
        .collect();
    Failure::new(
        Code::CardFull,
        format!(
            "the card holds {} terminals, as many as it can: {}; take one off that you no longer use (`simsync terminals remove` on another terminal, or `simsync-card terminal remove`), then pair again",
            there.len(),
            names.join(", ")
        ),
    )
}
