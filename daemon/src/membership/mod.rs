//! Whose the vault is: terminals and cards that enter it, leave it and are taken out, with the key objects, slots and epochs
//! that say so.

mod enter;
mod epochs;
mod forget;
mod key_objects;
mod pairing;
mod restore;
mod sign;
mod slots;
mod spare;
mod unpair;

pub use enter::VaultEntry;
pub use epochs::Epochs;
pub use forget::Forgetter;
pub use pairing::Pairings;
pub use restore::Restorer;
pub use sign::KeyObjectSigner;
pub use slots::Slots;
pub use spare::Spares;
pub use unpair::Unpairer;
