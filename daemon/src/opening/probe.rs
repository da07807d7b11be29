//! The first look at a card: what it is, and whose.

use std::sync::Arc;

use simsync_card::client::Selected;

use crate::card::CardError;
use crate::config::SimTrigger;
use crate::events::Events;
use crate::identity::Identity;
use crate::membership::Slots;
use crate::person::Person;
use crate::reasons::card_reason;
use crate::rules::{Event, Probed};
use crate::session::card_ops::CARD_DEADLINE;
use crate::session::{CardSessions, card_ops};

/// Looks at cards as they come.
pub struct CardProbe {
    pub(crate) identity: Arc<Identity>,
    pub(crate) person: Arc<Person>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) events: Events,
    /// Whether a card without our applet may count as a SIM.
    pub(crate) sim_trigger: SimTrigger,
}

impl CardProbe {
    /// SELECT, and whose card it is.
    pub fn begin(self: Arc<Self>, reader: String) {
        tokio::spawn(async move {
            let probed = self.select(&reader).await;
            let result = match probed {
                Ok(None) => self.probe_for_sim(&reader).await,
                Ok(Some(selected)) => {
                    let card = self
                        .identity
                        .terminal()
                        .and_then(|t| t.pairing)
                        .and_then(|p| {
                            // M7: the subscriber that this terminal stored, and every card of its newest key object.
                            let cards = self.slots.known_cards(&p);
                            cards
                                .into_iter()
                                .find(|c| selected.is_card_of(c, &p.subscriber))
                        });
                    match card {
                        Some(card) => Probed::Paired {
                            card,
                            tries: selected.pin_tries,
                            pin_must_change: selected.pin_due,
                        },
                        None => Probed::Unpaired,
                    }
                }
                Err(e) => Probed::Failed(card_reason(&e)),
            };
            self.events.emit(Event::Probed { reader, result });
        });
    }

    /// A card without our applet may be a SIM, which is presence. Asked only where SIMs count: the questions change what
    /// another program selected on a card that is none of ours.
    async fn probe_for_sim(&self, reader: &str) -> Probed {
        if self.sim_trigger == SimTrigger::Off {
            return Probed::Foreign;
        }
        let read = self
            .sessions
            .card()
            .run(reader, CARD_DEADLINE, card_ops::read_sim);
        match read.await {
            Ok(Some(iccid)) => Probed::Sim { iccid },
            // Not every card takes a SIM's commands well; that it is none of ours is known.
            Ok(None) | Err(_) => Probed::Foreign,
        }
    }

    /// SELECT; where somebody is there to give the PIN at once, the card is kept for a moment.
    async fn select(&self, reader: &str) -> Result<Option<Selected>, CardError> {
        if !self.identity.is_paired() || !self.person.can_be_asked() || self.sessions.is_open() {
            return self
                .sessions
                .card()
                .run(reader, CARD_DEADLINE, card_ops::probe)
                .await;
        }
        let (probed_tx, probed_rx) = tokio::sync::oneshot::channel();
        let (go_on, held) = std::sync::mpsc::channel();
        self.sessions.hold(reader, go_on);
        let (card, name) = (self.sessions.card().clone(), reader.to_owned());
        let run = tokio::spawn(async move {
            card.run(&name, CARD_DEADLINE, move |c| {
                card_ops::probe_and_hold(c, probed_tx, &held)
            })
            .await
        });
        match probed_rx.await {
            Ok(result) => result,
            // It ended before it could look.
            Err(_) => Err(match run.await {
                Ok(Err(e)) => e,
                _ => CardError::Gone,
            }),
        }
    }
}
