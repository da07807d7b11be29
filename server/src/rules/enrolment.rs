//! When a card is enrolled by a code (flow 2). A code is good for one card, until it expires or another takes its place.

use simsync_card::ids::CardId;

use super::pairing::own_card;
use super::refusal::Refusal;
use super::subscriber;
use crate::store::types::{CardRow, Enrol, Seconds, SubscriberState};

/// An enrolment code as the store has it. One that another took the place of is not there any more.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// When it ends, if no card used it.
    pub expires: Seconds,
    /// The card that used it, if any; only this card may show it again.
    pub used_by: Option<CardId>,
}

/// What a store must find out, in the transaction that will also write.
#[derive(Debug, Default)]
pub struct Facts {
    /// The code of this hash, if it is one of this subscriber's.
    pub code: Option<Code>,
    /// State of the subscriber that is named, if there is one.
    pub subscriber: Option<SubscriberState>,
    /// The card of this ID, whoever's it is.
    pub card: Option<CardRow>,
}

/// What happens with the card.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to write: this very card was enrolled before, and did not learn of it.
    Already,
    /// It is enrolled, and the code is used up by it.
    New,
}

/// What becomes of the request, from the facts alone.
pub fn decide(p: &Enrol, facts: &Facts) -> Result<Outcome, Refusal> {
    let code = facts.code.ok_or(Refusal::CodeRefused)?;
    match code.used_by {
        Some(card) if card != p.card => return Err(Refusal::CodeRefused),
        None if code.expires <= p.now => return Err(Refusal::CodeRefused),
        _ => {}
    }
    subscriber::active(facts.subscriber)?;
    let Some(card) = &facts.card else {
        return Ok(Outcome::New);
    };
    if card.subscriber != p.subscriber || card.keys != p.keys {
        return Err(Refusal::OtherCardEnrolled);
    }
    own_card(Some(card)).map(|_| Outcome::Already)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::samples::{CARD, alice, bob, card, revoked_card};
    use simsync_card::ids::Hash;

    fn enrol(now: Seconds) -> Enrol {
        Enrol {
            subscriber: alice(),
            code: Hash([7; 32]),
            card: CARD,
            label: "card".to_owned(),
            keys: card().keys,
            now,
        }
    }

    fn facts(used_by: Option<CardId>) -> Facts {
        Facts {
            code: Some(Code {
                expires: 100,
                used_by,
            }),
            subscriber: Some(SubscriberState::Active),
            card: None,
        }
    }

    #[test]
    fn a_code_is_good_for_one_card_and_for_a_time() {
        let other = CardId([8; 16]);
        let rows = [
            (99, facts(None), Ok(Outcome::New)),
            (100, facts(None), Err(Refusal::CodeRefused)),
            (99, facts(Some(other)), Err(Refusal::CodeRefused)),
            (99, Facts::default(), Err(Refusal::CodeRefused)),
            // The answer may have been lost: the very card hears it again, however late.
            (
                1000,
                Facts {
                    card: Some(card()),
                    ..facts(Some(CARD))
                },
                Ok(Outcome::Already),
            ),
        ];
        for (now, facts, then) in rows {
            assert_eq!(decide(&enrol(now), &facts), then, "{now} {facts:?}");
        }
    }

    #[test]
    fn whose_id_is_taken_or_who_is_not_active_is_not_enrolled() {
        let other_keys = CardRow {
            keys: simsync_card::text::CardKeys {
                kem: card().keys.sig,
                ..card().keys
            },
            ..card()
        };
        let of_bob = CardRow {
            subscriber: bob(),
            ..card()
        };
        let taken = |card| Facts {
            card: Some(card),
            ..facts(None)
        };
        let of_nobody = |subscriber| Facts {
            subscriber,
            ..facts(None)
        };
        let rows = [
            (taken(other_keys), Refusal::OtherCardEnrolled),
            (taken(of_bob), Refusal::OtherCardEnrolled),
            (taken(revoked_card()), Refusal::CardRevoked),
            (of_nobody(None), Refusal::SubscriberInactive),
            (
                of_nobody(Some(SubscriberState::Suspended)),
                Refusal::SubscriberInactive,
            ),
            (
                of_nobody(Some(SubscriberState::Removed)),
                Refusal::SubscriberInactive,
            ),
        ];
        for (facts, why) in rows {
            assert_eq!(decide(&enrol(1), &facts), Err(why), "{facts:?}");
        }
    }
}
