//! What the vault has: its chain of commits, its objects, its packs.

pub(super) mod chain;
pub(super) mod fetch;
pub(super) mod names;
pub(super) mod objects;
pub(super) mod pack_cache;
pub(super) mod pull;
