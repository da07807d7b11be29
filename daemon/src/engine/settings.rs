//! What the engine is told once.

use simsync_card::ids::ServerId;

use super::adapters::Adapters;
use crate::engine::vault::pack_cache::PackCache;
use crate::vouch::Vouches;

/// What the engine needs to know that does not change while the daemon runs.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where packs rest until they were applied.
    pub pack_cache: PackCache,
    /// Size at which a pack is sent, in bytes.
    pub pack_target: usize,
    /// Most items of a tail that is made here.
    pub tail_items: usize,
    /// This terminal's label, for names of kept-aside versions.
    pub label: String,
    /// The server that this terminal is paired at.
    pub server: Option<ServerId>,
    /// How collections are kept here.
    pub adapters: Adapters,
    /// What watchers vouch for.
    pub vouches: Vouches,
}
