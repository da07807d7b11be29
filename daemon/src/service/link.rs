//! The connection that waits on the server's events while the terminal's key is unsealed, and fetches ciphertext ahead of
//! the card (B7).

use std::sync::Arc;
use std::time::Duration;

use simsync_protocol::api::{HeadInfo, PACK_MAX, ServerEvent};
use simsync_protocol::client::{ClientError, Connection, split_fetch};
use simsync_protocol::problem::Code as ServerCode;

use super::Ctx;
use crate::core::Event;
use crate::engine::PackCache;

/// Between two tries to connect; doubles up to the maximum.
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Keeps the connection until it is aborted or this terminal is refused for good.
pub async fn keep(ctx: Arc<Ctx>) {
    let mut pause = BACKOFF;
    loop {
        match listen(&ctx, &mut pause).await {
            Ok(()) => {}
            Err(e) if is_refusal(&e) => {
                tracing::warn!(error = %e, "the server refuses this terminal");
                ctx.events.emit(Event::Revoked);
                return;
            }
            Err(e) => tracing::info!(error = %e, "no connection to the server"),
        }
        ctx.events.emit(Event::Server(false));
        // A SIM that comes is a reason not to wait.
        let mut prefetching = ctx.prefetching.subscribe();
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(BACKOFF_MAX),
            _ = prefetching.changed() => pause = BACKOFF,
        }
    }
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

async fn listen(ctx: &Arc<Ctx>, pause: &mut Duration) -> Result<(), ClientError> {
    let Ok((_, pairing)) = ctx.identity.pairing() else {
        return Ok(());
    };
    let conn = ctx.connect(&pairing).await?;
    let mut events = conn.events().await?;
    *pause = BACKOFF;
    ctx.events.emit(Event::Server(true));
    let own = ctx.identity.terminal_id();
    let mut prefetching = ctx.prefetching.subscribe();
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            _ = prefetching.changed() => {
                if *prefetching.borrow_and_update() {
                    prefetch(ctx, &conn).await;
                }
                continue;
            }
        };
        let Some(event) = event else {
            return Ok(());
        };
        match event {
            ServerEvent::Hello { head } => {
                let known = ctx
                    .database
                    .stored(|s| s.witness())
                    .map_or(0, |w| w.sequence);
                if head.is_some_and(|h| h.sequence > known) {
                    ctx.events.emit(Event::HeadMoved);
                    fetch_list(ctx, &conn, head).await;
                    prefetch(ctx, &conn).await;
                }
            }
            ServerEvent::HeadMoved { terminal, head } if Some(terminal) != own => {
                ctx.events.emit(Event::HeadMoved);
                fetch_list(ctx, &conn, Some(head)).await;
                prefetch(ctx, &conn).await;
            }
            ServerEvent::TailDelivered { terminal, .. } if Some(terminal) != own => {
                ctx.events.emit(Event::HeadMoved)
            }
            ServerEvent::HeadMoved { .. } | ServerEvent::TailDelivered { .. } => {}
            ServerEvent::Revoked => {
                ctx.events.emit(Event::Revoked);
                return Ok(());
            }
            ServerEvent::RekeyRequired => ctx.events.emit(Event::HeadMoved),
            ServerEvent::Shutdown => return Ok(()),
        }
    }
}

/// Fetches the newest key object with its wraps before a card comes (B7): it may name a card that is in already. With a
/// session open the sync itself fetches.
async fn fetch_list(ctx: &Arc<Ctx>, conn: &Connection, head: Option<HeadInfo>) {
    let known = ctx
        .database
        .stored(|s| s.witness())
        .map_or(0, |w| w.list_number);
    let Ok((_, pairing)) = ctx.identity.pairing() else {
        return;
    };
    if ctx.sessions.is_open() || head.is_none_or(|h| h.list_number <= known) {
        return;
    }
    match ctx.fetch_list(&pairing, conn).await {
        Ok(true) => ctx.events.emit(Event::CardsNamed),
        Ok(false) => {}
        Err(e) => tracing::warn!(error = %e, "the newest key object"),
    }
}

/// Fetches the ciphertext of this terminal's collections before a card asks for it. Nothing here can be opened without the
/// card. With a session open the sync itself fetches.
async fn prefetch(ctx: &Arc<Ctx>, conn: &Connection) {
    if !ctx.config.prefetch || ctx.sessions.is_open() {
        return;
    }
    let mut may = ctx.prefetching.subscribe();
    tokio::select! {
        biased;
        _ = may.wait_for(|may| !may) => tracing::debug!("no prefetch: no registered SIM is in"),
        done = try_prefetch(ctx, conn) => if let Err(e) = done {
            tracing::info!(error = %e, "prefetch");
        },
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

async fn try_prefetch(ctx: &Arc<Ctx>, conn: &Connection) -> Result<(), ClientError> {
    let Ok(collections) = ctx.database.stored(|s| s.collections()) else {
        return Ok(());
    };
    let cache = PackCache::new(&ctx.paths.packs);
    let mut room = prefetch_left(cache.free(), cache.held());
    for c in collections.iter().filter(|c| c.root.is_some()) {
        let live = conn.packs(c.id).await?.packs;
        let missing: Vec<_> = live
            .into_iter()
            .filter(|p| !ctx.database.stored(|s| s.has_pack(&p.id)).unwrap_or(true))
            .filter(|p| cache.open(p).is_none())
            .take_while(|p| {
                let fits = p.size <= PACK_MAX && p.size <= room;
                room = room.saturating_sub(p.size);
                fits
            })
            .collect();
        for ids in split_fetch(missing) {
            if ctx.sessions.is_open() {
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
