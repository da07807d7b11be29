//! The connection that waits on the server's events while the terminal's key is unsealed, and fetches ciphertext ahead of
//! the card (B7).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use simsync_protocol::api::{HeadInfo, PACK_MAX, ServerEvent};
use simsync_protocol::client::{ClientError, Connection, split_fetch};
use simsync_protocol::problem::Code as ServerCode;
use tokio::sync::watch;

use super::connection::ServerLink;
use super::newer::fetch_newer;
use crate::backoff::Backoff;
use crate::database::Database;
use crate::engine::PackCache;
use crate::engines::Engines;
use crate::events::Events;
use crate::identity::Identity;
use crate::rules::Event;
use crate::session::CardSessions;

/// Between two tries to connect; doubles up to the maximum.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(60),
};

/// Listens to the server while no card is in, too.
pub struct Listener {
    link: Arc<ServerLink>,
    sessions: Arc<CardSessions>,
    identity: Arc<Identity>,
    database: Arc<Database>,
    engines: Arc<Engines>,
    events: Events,
    /// Where ciphertext is kept that is fetched ahead of the card. None: it never is.
    ahead: Option<PathBuf>,
    /// Whether it may be now. Each change is also the word to do it.
    prefetching: watch::Sender<bool>,
}

impl Listener {
    /// Ciphertext is fetched ahead of the card into this folder; none: never.
    pub fn new(
        link: Arc<ServerLink>,
        sessions: Arc<CardSessions>,
        identity: Arc<Identity>,
        database: Arc<Database>,
        engines: Arc<Engines>,
        events: Events,
        ahead: Option<PathBuf>,
    ) -> Self {
        Self {
            link,
            sessions,
            identity,
            database,
            engines,
            events,
            ahead,
            prefetching: watch::Sender::new(true),
        }
    }

    /// Whether ciphertext may be fetched ahead of the card from now on; if so, it is.
    pub fn may_prefetch(&self, may: bool) {
        self.prefetching.send_replace(may);
    }

    /// Keeps the connection until it is aborted or this terminal is refused for good.
    pub async fn keep(self: Arc<Self>) {
        let mut failures = 0;
        loop {
            match self.listen(&mut failures).await {
                Ok(()) => {}
                Err(e) if is_refusal(&e) => {
                    tracing::warn!(error = %e, "the server refuses this terminal");
                    self.events.emit(Event::Revoked);
                    return;
                }
                Err(e) => tracing::info!(error = %e, "no connection to the server"),
            }
            self.events.emit(Event::Server(false));
            // A SIM that comes is a reason not to wait.
            let mut prefetching = self.prefetching.subscribe();
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep(BACKOFF.delay(failures)) => {}
                _ = prefetching.changed() => failures = 0,
            }
        }
    }

    async fn listen(&self, failures: &mut u32) -> Result<(), ClientError> {
        let Ok((_, pairing)) = self.identity.pairing() else {
            return Ok(());
        };
        let conn = self.link.connect(&pairing).await?;
        let mut events = conn.events().await?;
        *failures = 0;
        self.events.emit(Event::Server(true));
        let own = self.identity.terminal_id();
        let mut prefetching = self.prefetching.subscribe();
        loop {
            let event = tokio::select! {
                event = events.next() => event?,
                _ = prefetching.changed() => {
                    if *prefetching.borrow_and_update() {
                        self.prefetch(&conn).await;
                    }
                    continue;
                }
            };
            let Some(event) = event else {
                return Ok(());
            };
            match event {
                ServerEvent::Hello { head } => {
                    let known = self
                        .database
                        .stored(|s| s.witness())
                        .map_or(0, |w| w.sequence);
                    if head.is_some_and(|h| h.sequence > known) {
                        self.events.emit(Event::HeadMoved);
                        self.fetch_list(&conn, head).await;
                        self.prefetch(&conn).await;
                    }
                }
                ServerEvent::HeadMoved { terminal, head } if Some(terminal) != own => {
                    self.events.emit(Event::HeadMoved);
                    self.fetch_list(&conn, Some(head)).await;
                    self.prefetch(&conn).await;
                }
                ServerEvent::TailDelivered { terminal, .. } if Some(terminal) != own => {
                    self.events.emit(Event::HeadMoved)
                }
                ServerEvent::HeadMoved { .. } | ServerEvent::TailDelivered { .. } => {}
                ServerEvent::Revoked => {
                    self.events.emit(Event::Revoked);
                    return Ok(());
                }
                ServerEvent::RekeyRequired => self.events.emit(Event::HeadMoved),
                ServerEvent::Shutdown => return Ok(()),
            }
        }
    }

    /// Fetches the newest key object with its wraps before a card comes (B7): it may name a card that is in already. With a
    /// session open the sync itself fetches.
    async fn fetch_list(&self, conn: &Connection, head: Option<HeadInfo>) {
        let known = self
            .database
            .stored(|s| s.witness())
            .map_or(0, |w| w.list_number);
        let Ok((_, pairing)) = self.identity.pairing() else {
            return;
        };
        if self.sessions.is_open() || head.is_none_or(|h| h.list_number <= known) {
            return;
        }
        match fetch_newer(&self.database, &self.engines, &pairing, conn).await {
            Ok(true) => self.events.emit(Event::CardsNamed),
            Ok(false) => {}
            Err(e) => tracing::warn!(error = %e, "the newest key object"),
        }
    }

    /// Fetches the ciphertext of this terminal's collections before a card asks for it. Nothing here can be opened without the
    /// card. With a session open the sync itself fetches.
    async fn prefetch(&self, conn: &Connection) {
        let Some(packs) = self.ahead.as_deref().filter(|_| !self.sessions.is_open()) else {
            return;
        };
        let mut may = self.prefetching.subscribe();
        tokio::select! {
            biased;
            _ = may.wait_for(|may| !may) => tracing::debug!("no prefetch: no registered SIM is in"),
            done = self.try_prefetch(packs, conn) => if let Err(e) = done {
                tracing::info!(error = %e, "prefetch");
            },
        }
    }

    async fn try_prefetch(&self, packs: &Path, conn: &Connection) -> Result<(), ClientError> {
        let Ok(collections) = self.database.stored(|s| s.collections()) else {
            return Ok(());
        };
        let cache = PackCache::new(packs);
        let mut room = prefetch_left(cache.free(), cache.held());
        for c in collections.iter().filter(|c| c.root.is_some()) {
            let live = conn.packs(c.id).await?.packs;
            let missing: Vec<_> = live
                .into_iter()
                .filter(|p| !self.database.stored(|s| s.has_pack(&p.id)).unwrap_or(true))
                .filter(|p| cache.open(p).is_none())
                .take_while(|p| {
                    let fits = p.size <= PACK_MAX && p.size <= room;
                    room = room.saturating_sub(p.size);
                    fits
                })
                .collect();
            for ids in split_fetch(missing) {
                if self.sessions.is_open() {
                    return Ok(());
                }
                for pack in conn.fetch_packs(ids).await? {
                    if let Err(e) = cache.keep(&pack.id, &pack.bytes) {
                        tracing::warn!(error = %e, "prefetch");
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Most that is fetched ahead, in bytes: the list of packs is the server's word alone, and nothing of it can be opened before
/// the card comes.
const PREFETCH_MAX: u64 = 2 << 30;
/// Of what is free on the disk, so much is for this.
const PREFETCH_PART: u64 = 4;

fn prefetch_left(free: u64, held: u64) -> u64 {
    PREFETCH_MAX.saturating_sub(held).min(free / PREFETCH_PART)
}

fn is_refusal(e: &ClientError) -> bool {
    matches!(
        e.code(),
        Some(
            ServerCode::TerminalRevoked
                | ServerCode::NotPaired
                | ServerCode::SubscriberInactive
                | ServerCode::CardRevoked
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_2_what_is_fetched_ahead_leaves_the_disk_to_others() {
        assert_eq!(prefetch_left(100 << 30, 0), PREFETCH_MAX);
        assert_eq!(prefetch_left(100 << 30, PREFETCH_MAX + 1), 0);
        assert_eq!(prefetch_left(400, 0), 100);
        assert_eq!(prefetch_left(0, 0), 0);
    }
}
