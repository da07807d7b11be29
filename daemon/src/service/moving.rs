//! A server that moves: announced by itself, agreed to by the owner, found at its new address, and told to every card at its
//! next session. A terminal that was off all the time learns it from a card.

use simsync_codes::Code;
use std::collections::BTreeMap;

use simsync_card::ids::{CardId, SubscriberId};
use simsync_protocol::api::{MovingTo, NonceAnswer};
use simsync_protocol::client::{Client, ClientError, Connection};

use super::Ctx;
use super::orders::Done;
use super::pairing::random;
use crate::api::{Failure, PadPurpose, Reason};
use crate::core::Event;
use crate::engine::TrustedCard;
use crate::identity::Pairing;
use crate::session::CardPin;
use crate::session::card_ops;
use crate::session::card_ops::CARD_DEADLINE;

impl Ctx {
    /// What the server announces is news until the owner agreed to it.
    pub(super) fn hear_of_move(&self, pairing: &Pairing, to: Option<&MovingTo>) {
        let here =
            |to: &MovingTo| to.address.to_string() == pairing.server && to.ca_pin == pairing.ca_pin;
        let news = to.filter(|to| !here(to) && pairing.next_server.as_ref() != Some(*to));
        self.events.emit(Event::ServerMoves(news.cloned()));
    }

    /// The owner agrees to what was shown. The terminal looks for the server there when it does not answer any more where
    /// it was.
    pub(super) fn confirm_server(&self, to: &MovingTo) -> Done {
        self.identity
            .update_pairing(|p| p.next_server = Some(to.clone()))
            .map_err(|e| Failure::new(Code::CannotWrite, e.to_string()))?;
        self.events.emit(Event::ServerMoves(None));
        Ok(BTreeMap::from([(
            "server".to_owned(),
            to.address.to_string(),
        )]))
    }

    /// The server does not answer where it was; perhaps it is where it announced to be.
    pub(super) async fn connect_where_it_moved(
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
    async fn follow(&self, pairing: &Pairing, to: &MovingTo) -> Result<Connection, ClientError> {
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

    /// The server does not answer: perhaps the card, which the owner used elsewhere, knows where it is. The card proves
    /// with its keys that it is the one.
    pub(super) async fn connect_where_the_card_says(
        &self,
        reader: &str,
        pin: &CardPin,
        pairing: &Pairing,
        card: &TrustedCard,
    ) -> Option<Connection> {
        let (p, nonce) = (pin.clone(), random::<32>());
        let read = self
            .sessions
            .card()
            .run(reader, CARD_DEADLINE, move |c| {
                card_ops::read(c, &p, &nonce)
            })
            .await;
        let (info, signed) = read.ok()?;
        if signed.of(&card.id, &nonce).ok()? != card.keys || info.subscriber != pairing.subscriber {
            return None;
        }
        let to = MovingTo {
            address: info.server.parse().ok()?,
            ca_pin: info.ca_pin,
        };
        if to.address.to_string() == pairing.server && to.ca_pin == pairing.ca_pin {
            return None;
        }
        let found = self.follow(pairing, &to).await;
        if let Err(error) = &found {
            tracing::info!(%error, address = %to.address, "the server is not where the card says either");
        }
        // This card knows already.
        if found.is_ok() {
            self.identity.note_told(&card.id);
        }
        found.ok()
    }

    /// Where to pair: where the card says; but this terminal may know better, if it is paired with that server already, and
    /// the card was in a drawer when the server moved.
    pub(super) async fn where_to_pair(
        &self,
        subscriber: &SubscriberId,
        on_card: MovingTo,
    ) -> Result<(MovingTo, Connection, NonceAnswer), ClientError> {
        let pairing = self.identity.terminal().and_then(|t| t.pairing);
        let pairing = pairing.filter(|p| p.subscriber == *subscriber);
        let Some(pairing) = pairing else {
            return reach(on_card).await;
        };
        let at_card = reach(on_card.clone()).await;
        let is_ours = |answer: &NonceAnswer| answer.server == pairing.server_id;
        // Another server is what the card was made for: that is no move.
        let other = at_card.as_ref().is_ok_and(|(_, _, a)| !is_ours(a));
        let here = pairing.place();
        if other || (at_card.is_ok() && here.as_ref() == Some(&on_card)) {
            return at_card;
        }
        let own = here.into_iter().chain(pairing.next_server.clone());
        for place in own.filter(|place| *place != on_card) {
            match reach(place).await {
                Ok(found) if is_ours(&found.2) => return Ok(found),
                Ok((place, ..)) => {
                    tracing::warn!(address = %place.address, "another server than ours is there");
                }
                Err(error) => {
                    tracing::debug!(%error, "the server is not where this terminal has it")
                }
            }
        }
        at_card
    }

    /// After a session opened: the card is told where the server is now.
    pub(super) async fn tell_card(&self, reader: &str, card: &CardId, pin: Option<&CardPin>) {
        let (Ok((_, pairing)), Some(mut pin)) = (self.identity.pairing(), pin.cloned()) else {
            return;
        };
        if !pairing.has_news_for(card) {
            return;
        }
        let (server, ca_pin) = (pairing.server, pairing.ca_pin);
        let told = self
            .pins
            .with_card_pin(reader, &mut pin, PadPurpose::SetServer, move |c, pin| {
                card_ops::set_server(c, pin, &server, &ca_pin)
            })
            .await;
        match told {
            Ok(()) => self.identity.note_told(card),
            Err(e) => {
                let error = Reason::from(e).sentence;
                tracing::warn!(%error, "the card is told of the server's move next time");
            }
        }
    }
}

/// Connects without a certificate, and asks which server is there.
async fn reach(place: MovingTo) -> Result<(MovingTo, Connection, NonceAnswer), ClientError> {
    let client = Client::new(place.address.clone(), place.ca_pin);
    let conn = client.connect(None).await?;
    let answer = conn.nonce().await?;
    Ok((place, conn, answer))
}
