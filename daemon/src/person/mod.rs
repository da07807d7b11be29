//! The person: who asks them and is shown what, for whose command, by agents.

mod ask;
mod secrets;

pub use ask::{asking, on_behalf};
pub use secrets::Person;
