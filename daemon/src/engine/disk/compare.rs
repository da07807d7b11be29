//! Whether anything on disk differs from what was synced: without keys, without a session, without reading a file.

use super::places::Places;
use crate::engine::EngineError;
use crate::engine::clock::now_ms;
use crate::outstanding::Producer;
use crate::store::Store;

/// Looks at every collection that is synced here.
pub fn differs(store: &Store, places: &Places) -> Result<bool, EngineError> {
    let mut differs = false;
    for c in store.collections()? {
        let Some(root) = &c.root else { continue };
        match places.scan(&c, root, false) {
            Ok(state) => {
                store.report(Producer::Scan, c.pk, &state.reports, now_ms())?;
                differs |= state.differs();
                state.rows.check()?;
            }
            Err(error) if error.of_one_collection().is_some() => differs = true,
            Err(error) => return Err(error),
        }
    }
    Ok(differs)
}
