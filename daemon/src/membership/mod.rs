//! Whose the vault is: terminals and cards that enter it, leave it and are taken out, with the key objects, slots and epochs
//! that say so.

mod entering;
mod epochs;
mod forgetting;
mod key_objects;
mod leaving;
mod pairing;
mod restoring;
mod signing;
mod slots;
mod spare;

pub use entering::Entering;
pub use epochs::Epochs;
pub use forgetting::Forgetting;
pub use leaving::Leaving;
pub use pairing::Pairings;
pub use restoring::Restoring;
pub use signing::Signing;
pub use slots::Slots;
pub use spare::Spares;
