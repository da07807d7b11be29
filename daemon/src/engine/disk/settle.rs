//! What is on disk as the commit says that this terminal sent last.

use super::places::Places;
use crate::engine::EngineError;
use crate::store::Store;

/// If the chain has the commit that this terminal sent last, its rows say so from now on: an answer that was not heard changes
/// nothing.
pub fn settle_sent(store: &Store, places: &Places) -> Result<(), EngineError> {
    let Some(hash) = store.sent()? else {
        return Ok(());
    };
    let Some(commit) = store.commit_of(&hash)? else {
        return Ok(());
    };
    places.rows_change(&store.sent_paths()?)?;
    store.settle_sent()?;
    let session = &commit.body.session;
    if commit.body.closing {
        store.close_sessions(&session.card, session.n)?;
    } else if session.n > 1 {
        // Everything of earlier sessions is in this commit; their tails are named in it.
        store.close_sessions(&session.card, session.n - 1)?;
    }
    Ok(())
}
