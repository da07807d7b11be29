//! Pairing a terminal (flow 3) and undoing it (flow 5).

use simsync_codes::Code;
use std::collections::BTreeMap;
use std::sync::Arc;

use simsync_card::client::{Info, ListedTerminal, Pin, Puk};
use simsync_card::ids::Hash;
use simsync_card::sign::SecretKey;
use simsync_card::status::Status;
use simsync_card::text::{self, CardKeys};
use simsync_protocol::address::ServerAddress;
use simsync_protocol::api::{B64, MovingTo, PairRequest};
use simsync_protocol::tls::certificate_request;

use super::Ctx;
use crate::api::{Failure, PadPurpose, Secret, SecretKind};
use crate::card::OpenCard;
use crate::core::Event;
use crate::engine::{TrustedCard, fresh_rng};
use crate::identity::{Pairing, Terminal};
use crate::reasons::{card_reason, server_reason};
use crate::session;
use crate::session::CardPin;
use crate::session::card_ops::{self, CARD_DEADLINE};

pub(super) fn random<const N: usize>() -> [u8; N] {
    use rand_core::Rng;
    let mut out = [0; N];
    fresh_rng().fill_bytes(&mut out);
    out
}

/// What a card says of itself.
pub(super) struct CardView {
    pub(super) info: Info,
    pub(super) keys: CardKeys,
}

impl Ctx {
    /// Pairs this terminal with the card in `reader`. What was interrupted is finished by running it again.
    pub async fn pair(
        self: &Arc<Self>,
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
        let (mut pin, view) = self.read_card(reader).await?;
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
            self.set_conn(None);
            let done = self.enter_vault(reader, &mut pin, &p, &key, &label).await;
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
                self.set_conn(None);
                let done = self.enter_vault(reader, &mut pin, &p, &key, &label).await;
                (p, done)
            }
        };
        // Whatever happened, no key of the vault stays behind.
        self.sessions.wipe();
        let added = match entered {
            Err(f) if f.code == Code::TerminalRevoked => return Err(self.discard_revoked()),
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

    /// VERIFY (changing the PIN first if it must be), READ INFO, READ KEYS.
    pub(super) async fn read_card(&self, reader: &str) -> Result<(CardPin, CardView), Failure> {
        let mut tries = None;
        for attempt in 0..3 {
            let retry = attempt > 0;
            let mut pin = if self.is_pin_due(reader).await? {
                let pad = self.pins.pin_pad(reader);
                let hint = pad.and_then(|pad| session::hint(&pad, true));
                let old = self.pins.right_card_pin(reader, tries, hint).await?;
                // It was typed here: what follows needs no pad.
                self.first_pin_change(reader, old).await?.into()
            } else {
                self.pins.card_pin(tries, retry, reader).await?
            };
            let nonce: [u8; 32] = random();
            let read = self
                .pins
                .with_card_pin(reader, &mut pin, PadPurpose::Read, move |card, pin| {
                    card_ops::read(card, pin, &nonce)
                })
                .await;
            match read {
                Ok((info, signed)) => {
                    let keys = signed.of(&info.card, &nonce).map_err(|_| {
                        Failure::new(
                            Code::CardRefused,
                            "the card's keys are not signed as they must be; do not use this card",
                        )
                    })?;
                    return Ok((pin.proven(), CardView { info, keys }));
                }
                Err(e) => match e.tries_left() {
                    Some(left) => tries = Some(left),
                    None => return Err(e.into()),
                },
            }
        }
        Err(Failure::new(Code::PinIncorrect, "the card's PIN is wrong"))
    }

    /// SELECT, and whether the PIN must be changed first. A PIN that opened the session is not due, and if nothing comes of what
    /// is begun here, the session goes on.
    async fn is_pin_due(&self, reader: &str) -> Result<bool, Failure> {
        if self.sessions.is_in_session(reader) {
            return Ok(false);
        }
        let looked = self
            .sessions
            .card()
            .run(reader, CARD_DEADLINE, card_ops::look)
            .await;
        let selected = looked.map_err(|e| card_reason(&e))?;
        let selected = selected.ok_or_else(|| {
            Failure::new(
                Code::NoApplet,
                "the card in this reader is not a simsync card",
            )
        })?;
        Ok(selected.pin_due)
    }

    /// The first change of a PIN sets a new PUK too, which the owner is shown. The old PIN is known to be right, so nobody
    /// chooses and writes down anything for nothing.
    pub(super) async fn first_pin_change(&self, reader: &str, old: Pin) -> Result<Pin, Failure> {
        let new = self.new_card_pin(reader, &old).await?;
        let puk_text = Secret::new(new_puk());
        let puk = Puk::parse(puk_text.as_bytes())
            .map_err(|_| Failure::new(Code::Internal, "a PUK could not be made"))?;
        // Shown before it is set: if the owner never sees it, the old one still counts.
        self.person.show("puk", puk_text).await?;
        let n = new.clone();
        self.sessions
            .card()
            .run(reader, CARD_DEADLINE, move |card| {
                let mut applet = card_ops::transaction(card)?;
                applet.select()?;
                Ok(applet.change_first_pin(&old, &n, &puk)?)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        Ok(new)
    }

    /// A new PIN for the card. A change to the same one is none; the card would refuse it after the PUK was shown.
    pub(super) async fn new_card_pin(&self, reader: &str, old: &Pin) -> Result<Pin, Failure> {
        let mut retry = false;
        for _ in 0..3 {
            let new = self
                .pins
                .ask_card_pin(SecretKind::NewCardPin, None, retry, reader)
                .await?;
            if new != *old {
                return Ok(new);
            }
            retry = true;
        }
        Err(Failure::new(
            Code::PinFormat,
            "the new PIN is the old one; choose another",
        ))
    }

    /// The terminal's key: the present one, or a new one under a PIN that is chosen now.
    pub(super) async fn own_key(&self, info: &Info) -> Result<(Terminal, Arc<SecretKey>), Failure> {
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
                    self.forget_vault()?;
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
    pub(super) async fn join(
        &self,
        reader: &str,
        pin: &mut CardPin,
        info: &Info,
        card: TrustedCard,
        key: &Arc<SecretKey>,
        label: &str,
    ) -> Result<Pairing, Failure> {
        let place = self.where_to_pair(&info.subscriber, place_on(info)?).await;
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

    /// A revoked key is never accepted again: the next pairing makes a new one.
    pub(super) fn discard_revoked(&self) -> Failure {
        if let Err(failure) = self.forget_pairing() {
            return failure;
        }
        Failure::new(
            Code::TerminalRevoked,
            "this terminal's key was revoked and is discarded now; run `simsync pair` once more to pair with a new one",
        )
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

/// Eight digits.
pub(super) fn new_puk() -> String {
    use rand::RngExt;
    let mut rng = fresh_rng();
    (0..8)
        .map(|_| char::from(b'0' + rng.random_range(0..10u8)))
        .collect()
}
