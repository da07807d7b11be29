//! The person: who asks them and is shown what, for whose command, by agents.

mod asking;
mod secrets;

pub use asking::{asking, on_behalf};
pub use secrets::Person;
