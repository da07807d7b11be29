//! Sealed tails go to the server.

use std::path::Path;

use bytes::Bytes;
use simsync_protocol::client::Connection;
use simsync_vault::ids::CollectionId;
use simsync_vault::tail::Tail;

use super::tail::pack_file;
use super::{Engine, EngineError};

impl Engine {
    /// Delivers every tail that waits. By certificate alone: the tail's own statement is the proof.
    pub fn deliver_tails(&self, conn: &Connection, outbox: &Path) -> Result<usize, EngineError> {
        let mut delivered = 0;
        for own in self.store.own_sessions()? {
            let Some(bytes) = own.tail.as_ref().filter(|_| !own.delivered) else {
                continue;
            };
            let tail = Tail::from_bytes(bytes)?;
            conn.set_statement(Some(own.statement.clone()));
            for p in tail
                .body
                .packs
                .iter()
                .filter(|p| p.collection == CollectionId::OUTBOX)
            {
                let path = pack_file(outbox, &p.id);
                let data = std::fs::read(&path).map_err(EngineError::io(&path))?;
                let state = self.net(conn.pack_state(p.id)).ok();
                if !state.is_some_and(|s| s.complete) {
                    self.net(conn.put_pack(p.id, p.collection, Bytes::from(data), 0))?;
                }
            }
            self.net(conn.put_tail(bytes.clone()))?;
            self.store.set_delivered(&own.session())?;
            for p in &tail.body.packs {
                let _ = std::fs::remove_file(pack_file(outbox, &p.id));
            }
            delivered += 1;
        }
        Ok(delivered)
    }
}
