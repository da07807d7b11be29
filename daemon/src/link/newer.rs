//! Key objects that the server has and this terminal has not.

use simsync_protocol::client::Connection;

use crate::database::Database;
use crate::engine::EngineError;
use crate::engines::Engines;
use crate::identity::Pairing;

/// Key objects may follow each other while they are fetched.
const ATTEMPTS: usize = 3;

/// Fetches key objects that are newer than the newest known one. Answers whether there were any.
pub async fn fetch_newer(
    database: &Database,
    engines: &Engines,
    pairing: &Pairing,
    conn: &Connection,
) -> Result<bool, EngineError> {
    let engine = engines.side_engine().ok_or(EngineError::Cancelled)?;
    let mut any = false;
    for _ in 0..ATTEMPTS {
        let known = database.stored(|s| s.witness())?.list_number;
        let objects = conn.key_objects(known).await?;
        let Some(last) = objects.key_objects.last() else {
            break;
        };
        let newest = conn.key_object().await?;
        // Else another one came in between, and the wraps are that one's.
        let fits = *last == newest.signed;
        engine.accept_key_objects(&pairing.card, &objects.key_objects, &newest.wraps)?;
        any = true;
        if fits {
            break;
        }
    }
    Ok(any)
}
