//! Packs on their way up, one by one and resumable.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use simsync_protocol::api::{PACK_MAX, PackState, SessionState};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};

use crate::app::App;
use crate::config::UPLOAD_MEMORY;
use crate::http::input::Pieces;
use crate::http::reply::{self, OrProblem as _, refuse};
use crate::http::{Call, Reply};
use crate::net::connection::Conn;
use crate::net::shares::{Hold, Kind};
use crate::store::blobs::BlobKey;
use crate::store::types::{BeginPack, CompletePacks, PackRow, PackStatus, Peer};

/// Bytes of an upload that are written at once.
const PIECE: usize = 1 << 20;
/// Progress of an upload is made durable after so many bytes.
const CHECKPOINT: u64 = 8 << 20;

/// Who uploads, and what they may.
struct Writer {
    peer: Peer,
    collections: HashSet<CollectionId>,
    /// No vault yet: the collections are not known to the server before the first commit.
    any: bool,
}

async fn writer(call: &Call) -> Result<Writer, Problem> {
    let (peer, revoked) = {
        let peer = call.any_peer().await?;
        let revoked = peer.terminal_state == crate::store::types::KeyState::Revoked;
        (peer, revoked)
    };
    let grant = if revoked {
        None
    } else {
        call.grant_opt(&peer).await?
    };
    let app = &call.app;
    let (collections, any) = match grant {
        Some(_) => {
            let rights = app
                .chain()
                .rights(peer.subscriber.clone(), peer.terminal)
                .await;
            let rights = rights.or_problem()?;
            (rights.collections.into_iter().collect(), !rights.vault)
        }
        // By certificate alone: packs of own unsettled sessions, also of a terminal that was revoked.
        None => {
            own_unsettled(call, &peer).await?;
            (HashSet::new(), false)
        }
    };
    Ok(Writer {
        peer,
        collections,
        any,
    })
}

/// A session of this terminal is not settled yet: one that is known, or one that the request's statement proves.
async fn own_unsettled(call: &Call, peer: &Peer) -> Result<(), Problem> {
    let app = &call.app;
    let waits = |state: SessionState| {
        matches!(
            state,
            SessionState::Open
                | SessionState::Forgotten
                | SessionState::TailDelivered
                | SessionState::Quarantined
        )
    };
    let required = || {
        Problem::new(
            Code::GrantRequired,
            "this needs an open session, or the statement of one that is not settled yet",
        )
    };
    let (sub, terminal) = (peer.subscriber.clone(), peer.terminal);
    let Some(statement) = call.statement()? else {
        let own = app
            .sessions()
            .own_sessions(sub, terminal, None)
            .await
            .or_problem()?;
        return own
            .iter()
            .any(|s| waits(s.state))
            .then_some(())
            .ok_or_else(required);
    };
    let card = app
        .pairings()
        .card(sub.clone(), statement.card)
        .await
        .or_problem()?;
    let Some(card) = card else {
        return refuse(Code::CardMismatch, "the card is not one of this subscriber");
    };
    if statement.terminal != terminal || statement.verify(&card.keys.sig).is_err() {
        return refuse(
            Code::SignatureRefused,
            "the statement is not one of this card for this terminal",
        );
    }
    let session = SessionRef {
        card: statement.card,
        n: statement.n,
    };
    let known = app
        .sessions()
        .own_sessions(sub, terminal, Some(session))
        .await
        .or_problem()?;
    match known.first() {
        Some(s) if !waits(s.state) => Err(required()),
        _ => Ok(()),
    }
}

impl Writer {
    async fn check(&self, app: &App, pack: &PackRef) -> Result<(), Problem> {
        if pack.collection == CollectionId::OUTBOX {
            let (subscriber, terminal) = (self.peer.subscriber.clone(), self.peer.terminal);
            // One that is resumed counts once.
            let beside = app
                .packs()
                .outbox_bytes_beside(subscriber, terminal, pack.id);
            let used = beside.await.or_problem()?;
            if pack.size > app.limits.outbox_bytes.saturating_sub(used) {
                return refuse(
                    Code::StorageFull,
                    "too much waits to be merged for this terminal: put its card in and sync",
                );
            }
            return Ok(());
        }
        if self.any || self.collections.contains(&pack.collection) {
            return Ok(());
        }
        refuse(
            Code::CollectionRefused,
            format!(
                "collection {} is not one that this terminal may write to now",
                pack.collection
            ),
        )
    }

    fn key(&self, pack: PackId) -> BlobKey {
        BlobKey {
            subscriber: self.peer.subscriber.clone(),
            pack,
        }
    }
}

/// A place among the uploads, and the memory that this one takes.
async fn place(conn: &Conn) -> Result<(Hold, Hold), Problem> {
    let place = conn.purse.take(Kind::Upload).await?;
    let memory = conn.purse.take(Kind::Memory(UPLOAD_MEMORY)).await?;
    Ok((place, memory))
}

fn parse_id(id: &str) -> Result<PackId, Problem> {
    id.parse()
        .map_err(|e| Problem::new(Code::BadRequest, format!("{e}")))
}

/// How far an upload is: what the database and the blob store agree on.
async fn progress(app: &App, writer: &Writer, row: &PackRow) -> Result<PackState, Problem> {
    if row.status != PackStatus::Uploading {
        return Ok(PackState {
            received: row.pack.size,
            complete: true,
        });
    }
    let received = match row.received {
        0 => 0,
        noted => {
            let key = writer.key(row.pack.id);
            noted.min(app.blobs.sync_parts(key).await.or_problem()?)
        }
    };
    Ok(PackState {
        received,
        complete: false,
    })
}

/// `GET /v1/packs/{id}/state`.
pub async fn state(call: &mut Call, id: &str) -> Reply {
    let id = parse_id(id)?;
    let writer = writer(call).await?;
    let rows = call
        .app
        .packs()
        .packs(writer.peer.subscriber.clone(), vec![id])
        .await
        .or_problem()?;
    let state = match rows.first() {
        Some(row) => progress(&call.app, &writer, row).await?,
        None => PackState {
            received: 0,
            complete: false,
        },
    };
    reply::json(&state)
}

/// `PUT /v1/packs/{id}`: one pack, from an offset on.
pub async fn one(call: &mut Call, id: &str) -> Reply {
    let pack = PackRef {
        id: parse_id(id)?,
        collection: call.param("collection")?,
        size: call.param("size")?,
    };
    let offset: u64 = call.param("offset")?;
    if pack.size == 0 || pack.size > PACK_MAX {
        return refuse(Code::TooLarge, format!("a pack has 1 to {PACK_MAX} bytes"));
    }
    let writer = writer(call).await?;
    writer.check(&call.app, &pack).await?;
    let upload = Upload {
        app: call.app.clone(),
        conn: call.conn.clone(),
        writer,
        pack,
        body: call.pieces()?,
    };
    // A task of its own: when the connection breaks, what arrived is still written down.
    let state = tokio::spawn(upload.run(offset)).await;
    reply::json(&state.map_err(|e| reply::internal(&e))??)
}

/// One pack on its way.
struct Upload {
    app: Arc<App>,
    conn: Arc<Conn>,
    writer: Writer,
    pack: PackRef,
    body: Pieces,
}

impl Upload {
    async fn run(mut self, offset: u64) -> Result<PackState, Problem> {
        let app = self.app.clone();
        let _place = place(&self.conn).await?;
        let row = app
            .packs()
            .begin_pack(BeginPack {
                subscriber: self.writer.peer.subscriber.clone(),
                pack: self.pack,
                terminal: self.writer.peer.terminal,
                now: app.now(),
            })
            .await
            .or_problem()?;
        let state = progress(&app, &self.writer, &row).await?;
        if state.complete {
            return Ok(state);
        }
        if offset > state.received {
            return refuse(
                Code::BadRequest,
                format!(
                    "{} bytes of this pack are here: go on from there",
                    state.received
                ),
            );
        }
        if offset < state.received {
            // What lies behind is written again, so it no longer counts.
            self.note(offset).await?;
        }
        let received = self.receive(offset).await?;
        if received == self.pack.size {
            self.complete().await?;
        }
        Ok(PackState {
            received,
            complete: received == self.pack.size,
        })
    }

    /// Writes the body behind `offset`; what arrived is kept, however the body ends. Answers how much is there.
    async fn receive(&mut self, offset: u64) -> Result<u64, Problem> {
        let (mut at, mut saved, mut buffer) = (offset, offset, BytesMut::new());
        let ended = loop {
            let piece = match self.body.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            };
            let room = self.pack.size - at - buffer.len() as u64;
            if piece.len() as u64 > room {
                break refuse(Code::TooLarge, "more bytes than the pack's size says");
            }
            buffer.extend_from_slice(&piece);
            if buffer.len() >= PIECE {
                at = self.append(at, &mut buffer).await?;
            }
            if at - saved >= CHECKPOINT {
                saved = self.checkpoint().await?;
            }
        };
        at = self.append(at, &mut buffer).await?;
        if at < self.pack.size || ended.is_err() {
            self.checkpoint().await?;
        }
        ended.map(|()| at)
    }

    async fn append(&self, at: u64, buffer: &mut BytesMut) -> Result<u64, Problem> {
        let bytes = buffer.split().freeze();
        let end = at + bytes.len() as u64;
        let key = self.writer.key(self.pack.id);
        self.app.blobs.append(key, at, bytes).await.or_problem()?;
        Ok(end)
    }

    async fn checkpoint(&self) -> Result<u64, Problem> {
        let key = self.writer.key(self.pack.id);
        let durable = self.app.blobs.sync_parts(key).await.or_problem()?;
        self.note(durable).await?;
        Ok(durable)
    }

    async fn note(&self, received: u64) -> Result<(), Problem> {
        let subscriber = self.writer.peer.subscriber.clone();
        self.app
            .packs()
            .pack_progress(subscriber, self.pack.id, received, self.app.now())
            .await
            .or_problem()
    }

    async fn complete(&self) -> Result<(), Problem> {
        let key = self.writer.key(self.pack.id);
        let hash = self
            .app
            .blobs
            .finish_parts(key, self.pack.size)
            .await
            .or_problem()?;
        self.app
            .packs()
            .complete_packs(CompletePacks {
                subscriber: self.writer.peer.subscriber.clone(),
                terminal: self.writer.peer.terminal,
                packs: vec![(self.pack, hash)],
                now: self.app.now(),
            })
            .await
            .or_problem()
    }
}
