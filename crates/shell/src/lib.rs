//! The person at a shell: hidden prompts, and text from elsewhere made safe to look at.
//!
//! The command lines and the daemon share this crate, so that no program has rules of its own for either.
#![forbid(unsafe_code)]

mod quiet;
mod signals;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tty;
pub mod visible;

pub use quiet::Silence;
pub use signals::Interrupt;
pub use tty::{Secret, Tty};
pub use visible::{
    VisibleLines, cut, visible, visible_bytes, visible_json, visible_path, visible_text,
};
