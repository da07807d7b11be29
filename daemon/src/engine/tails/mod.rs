//! What no commit holds when the card is pulled, and how it comes into the vault later.

pub(super) mod builder;
pub(super) mod delivery;
pub(super) mod items;
pub(super) mod merge;
pub(super) mod rebase;
pub(super) mod tail;
pub(super) mod unheard;
