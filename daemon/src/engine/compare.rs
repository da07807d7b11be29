//! Whether anything on disk differs from what was synced: without keys, without a session, without reading a file.

use super::scan::LocalState;
use super::{Engine, EngineError, now_ms};
use crate::outstanding::Producer;

impl Engine {
    /// Looks at every collection that is synced here.
    pub fn differs(&self) -> Result<bool, EngineError> {
        let mut differs = false;
        for c in self.store.collections()? {
            let Some(root) = &c.root else { continue };
            match self.scan(&c, root, false) {
                Ok(state) => {
                    self.store
                        .report(Producer::Scan, c.pk, &state.reports, now_ms())?;
                    differs |= state.differs();
                }
                Err(error) if error.of_one_collection().is_some() => differs = true,
                Err(error) => return Err(error),
            }
        }
        Ok(differs)
    }
}

impl LocalState {
    fn differs(&self) -> bool {
        let nodes = self.nodes.iter().map(|(path, node, _)| (path, Some(node)));
        let other = |path, node| self.rows.get(path).map(|r| &r.node) != node;
        // A file that was read while it was new is looked at once more at the next sync; it is the same all the same.
        let written = self.candidates.iter().any(|c| {
            let row = self.rows.get(&c.path);
            row.is_none_or(|r| !r.stat.same_content(&c.stat) || r.stat.mode != c.stat.mode)
        });
        !self.gone.is_empty() || written || nodes.into_iter().any(|(p, n)| other(p, n))
    }
}
