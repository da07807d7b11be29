//! Where the server is that a terminal is to be paired at.

use simsync_card::ids::SubscriberId;
use simsync_protocol::api::{MovingTo, NonceAnswer};
use simsync_protocol::client::{Client, ClientError, Connection};

use crate::identity::Identity;

/// Where to pair: where the card says; but this terminal may know better, if it is paired with that server already, and
/// the card was in a drawer when the server moved.
pub async fn where_to_pair(
    identity: &Identity,
    subscriber: &SubscriberId,
    on_card: MovingTo,
) -> Result<(MovingTo, Connection, NonceAnswer), ClientError> {
    let pairing = identity.terminal().and_then(|t| t.pairing);
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

/// Connects without a certificate, and asks which server is there.
async fn reach(place: MovingTo) -> Result<(MovingTo, Connection, NonceAnswer), ClientError> {
    let client = Client::new(place.address.clone(), place.ca_pin);
    let conn = client.connect(None).await?;
    let answer = conn.nonce().await?;
    Ok((place, conn, answer))
}
