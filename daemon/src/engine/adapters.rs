//! Which adapter keeps a collection on this terminal: by its attribute.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simsync_sync::adapter::Adapter;
use simsync_sync::folders::Folders;

/// Adapters by attribute. What has none of its own is a folder.
#[derive(Debug, Clone, Default)]
pub struct Adapters(BTreeMap<String, Arc<dyn Adapter>>);

impl Adapters {
    /// Collections of this attribute are kept so from now on.
    #[must_use]
    pub fn with(mut self, attribute: &str, adapter: Arc<dyn Adapter>) -> Self {
        self.0.insert(attribute.to_owned(), adapter);
        self
    }

    /// The adapter of an attribute.
    pub fn of(&self, attribute: &str) -> &dyn Adapter {
        self.0.get(attribute).map_or(&Folders, |a| &**a)
    }

    /// What is watched for a collection of this attribute.
    pub fn watched(&self, attribute: &str, root: &Path) -> PathBuf {
        self.of(attribute).watched(root)
    }
}
