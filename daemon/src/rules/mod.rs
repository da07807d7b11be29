//! Every rule of the daemon, as one pure function: `(State, Event) -> Vec<Action>`, with the reasons in the state.
//!
//! No input or output, no clock: what time brings comes as an event.

mod ended;
mod event;
mod in_sync;
mod presence;
mod reduce;
mod session_end;
mod state;
mod unlocks;
mod word;

pub use event::{Action, Event, OpenFailure, Outcome, Probed, Sims, Timer, Work};
pub use presence::{SeenSim, SimPlace};
pub use reduce::reduce;
pub use state::{CardPhase, Policy, Server, SessionPhase, State, leaving};
pub use unlocks::{Unlock, Unlocks};

#[cfg(test)]
mod tests;
