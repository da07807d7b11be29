//! From a card in a reader to an open session.

mod again;
mod looking;
mod news;
mod openings;

pub use looking::Looking;
pub use news::CardNews;
pub use openings::Openings;
