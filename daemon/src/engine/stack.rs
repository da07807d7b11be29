//! Work with the vault's keys that leaves nothing of them on the stack: a thread that waits for other work, perhaps for ever,
//! overwrites nothing of what it called before.

use std::hint::black_box;

use simsync_vault::keyobject::KeyObject;
use simsync_vault::keys::{KeyError, KeyRing, VaultKey};
use simsync_vault::seal::ForgetsPlaintext;

/// More of the stack than any work with keys takes, in bytes; an eighth of what a thread has.
const STACK: usize = 256 * 1024;

/// Does the work, and overwrites the stack that it took.
pub fn leaving_nothing<T>(work: impl FnOnce() -> T) -> T {
    let out = below(work);
    overwrite_stack();
    out
}

/// In a frame of its own, below the caller's.
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    let _forgets = ForgetsPlaintext::hold();
    work()
}

/// Where that frame was.
#[inline(never)]
fn overwrite_stack() {
    black_box(&mut [0_u8; STACK]);
}

/// All keys that this one and the key objects lead to, in memory that is overwritten when it is freed.
pub fn key_ring(newest: VaultKey, objects: &[KeyObject]) -> Result<Box<KeyRing>, KeyError> {
    leaving_nothing(|| KeyRing::new(newest, objects).map(Box::new))
}
