//! A server that moved, and the cards: each is told at its next session. A terminal that was off all the time learns it from one.

use std::sync::Arc;

use simsync_card::ids::CardId;
use simsync_protocol::api::MovingTo;
use simsync_protocol::client::Connection;

use crate::api::{PadPurpose, Reason};
use crate::engine::TrustedCard;
use crate::identity::{Identity, Pairing};
use crate::link::ServerLink;
use crate::session::card_ops::CARD_DEADLINE;
use crate::session::{CardPin, CardPins, CardSessions, card_ops, random};

/// Tells cards where the server is, and learns it from them.
pub struct CardNews {
    pub(crate) identity: Arc<Identity>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) link: Arc<ServerLink>,
}

impl CardNews {
    /// The server does not answer: perhaps the card, which the owner used elsewhere, knows where it is. The card proves
    /// with its keys that it is the one.
    pub async fn connect_where_the_card_says(
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
        let found = self.link.follow(pairing, &to).await;
        if let Err(error) = &found {
            tracing::info!(%error, address = %to.address, "the server is not where the card says either");
        }
        // This card knows already.
        if found.is_ok() {
            self.identity.note_told(&card.id);
        }
        found.ok()
    }

    /// After a session opened: the card is told where the server is now.
    pub async fn tell_card(&self, reader: &str, card: &CardId, pin: Option<&CardPin>) {
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
