//! The server's rules as pure functions over facts that a store gathered in its transaction. No store repeats them.

pub mod commit;
pub mod facts;
pub mod keyobject;
mod refusal;
pub mod tail;

pub use refusal::Refusal;
