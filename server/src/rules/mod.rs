//! The server's rules as pure functions over facts that a store gathered in its transaction. No store repeats them.

pub mod commit;
pub mod enrolment;
pub mod facts;
pub mod forget;
pub mod grant;
pub mod keyobject;
pub mod pack;
pub mod pairing;
mod refusal;
pub mod revoke;
#[cfg(test)]
mod samples;
pub mod session;
pub mod subscriber;
pub mod tail;

pub use refusal::Refusal;
