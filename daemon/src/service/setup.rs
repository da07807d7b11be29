//! What a daemon is started with.

use std::sync::Arc;

use crate::api::Agents;
use crate::config::Config;
use crate::paths::Paths;

/// What a daemon is started with.
pub struct Setup {
    /// Where things are.
    pub paths: Paths,
    /// What the owner set.
    pub config: Config,
    /// Who asks for PINs.
    pub agents: Arc<dyn Agents>,
}
