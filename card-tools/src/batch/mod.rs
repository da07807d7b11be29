//! Cards for many people: who gets which card, in several readers at once, and never two for one.

pub mod issuance;
pub mod journal;
pub mod pace;
pub mod report;
pub mod round;
pub mod slots;
pub mod transport_key;

#[cfg(test)]
mod tests;
