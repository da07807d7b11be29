//! What a SIM without our applet means: presence, and nothing that needs a key.
//!
//! Its number can be read by anybody and copied onto another card. So it opens no session, asks for no PIN, and is no card
//! of the subscriber's (M7), wherever it is. A registered one starts what any terminal does without a card anyway, and
//! stops it when it goes.

use simsync_codes::Code;
use std::collections::{BTreeMap, BTreeSet};

use super::event::Action;
use super::state::{CardPhase, SessionPhase, State};
use crate::api::Reason;
use crate::config::SimTrigger;

/// Where a SIM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimPlace {
    /// In a modem of this name.
    Modem(String),
    /// In a card reader of this name.
    Reader(String),
}

impl std::fmt::Display for SimPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Modem(name) => write!(f, "modem {name}"),
            Self::Reader(name) => write!(f, "reader {name}"),
        }
    }
}

/// A SIM without the applet that is in a modem or a reader now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenSim {
    /// Its number, digits only.
    pub iccid: String,
    /// Which modem or reader holds it.
    pub place: SimPlace,
    /// The owner registered it.
    pub registered: bool,
}

/// What is compared before and after an event.
pub(super) struct Presence {
    registered: BTreeSet<String>,
    may_prefetch: bool,
}

impl State {
    /// Every SIM that is in, by its number; one that is seen in two places counts as the modem's.
    pub fn seen_sims(&self) -> Vec<SeenSim> {
        let in_readers = self.readers.iter().filter_map(|(reader, card)| match card {
            Some(CardPhase::Sim { iccid }) => Some((iccid, SimPlace::Reader(reader.clone()))),
            _ => None,
        });
        let in_modems = self.sims.iter().flatten();
        let in_modems = in_modems.map(|(iccid, modem)| (iccid, SimPlace::Modem(modem.clone())));
        let all: BTreeMap<&String, SimPlace> = in_readers.chain(in_modems).collect();
        all.into_iter()
            .map(|(iccid, place)| SeenSim {
                iccid: iccid.clone(),
                place,
                registered: self.policy.presence_sims.contains(iccid),
            })
            .collect()
    }

    /// The registered SIMs that are in, where they count.
    fn counting_sims(&self) -> Vec<SeenSim> {
        let mut sims = self.seen_sims();
        sims.retain(|s| s.registered && self.policy.sim_trigger == SimTrigger::TriggerOnly);
        sims
    }

    /// Whether ciphertext may be fetched ahead. Where nobody can tell which SIMs are in, it is as if the owner had
    /// registered none.
    pub fn may_prefetch(&self) -> bool {
        self.policy.sim_trigger == SimTrigger::Off
            || self.policy.presence_sims.is_empty()
            || self.sims.is_none()
            || !self.counting_sims().is_empty()
    }

    pub(super) fn presence(&self) -> Presence {
        Presence {
            registered: self.counting_sims().into_iter().map(|s| s.iccid).collect(),
            may_prefetch: self.may_prefetch(),
        }
    }

    /// What a SIM does now, or why it does not. With a session open it does nothing, so there is nothing to say.
    pub(super) fn presence_reason(&self) -> Option<Reason> {
        if !self.paired || matches!(self.session, SessionPhase::Open { .. }) {
            return None;
        }
        if let Some(sim) = self.counting_sims().first() {
            return Some(Reason::new(
                Code::SimPresent,
                format!(
                    "a registered SIM is in {}: what needs no key is done ahead; it never unlocks, that takes your card and \
                     its PIN",
                    sim.place
                ),
            ));
        }
        (!self.may_prefetch()).then(|| {
            Reason::new(
                Code::SimAbsent,
                "no registered SIM is in: nothing is fetched ahead until one is put in, or your card",
            )
        })
    }
}

/// What follows from SIMs that came or went: never more than work without keys.
pub(super) fn follow(state: &State, before: &Presence, actions: &mut Vec<Action>) {
    let now = state.presence();
    let came = now.registered.difference(&before.registered).count() > 0;
    if came && state.paired && !state.revoked && !state.stopping {
        actions.push(Action::Prefetch(true));
        if state.tails_waiting {
            actions.push(Action::DeliverTails);
        }
    } else if now.may_prefetch != before.may_prefetch {
        actions.push(Action::Prefetch(now.may_prefetch));
    }
}
