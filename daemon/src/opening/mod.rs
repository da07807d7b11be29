//! From a card in a reader to an open session.

mod again;
mod news;
mod openings;
mod probe;

pub use news::CardNews;
pub use openings::Openings;
pub use probe::CardProbe;
