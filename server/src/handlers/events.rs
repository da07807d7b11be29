//! Server-sent events.

use bytes::Bytes;
use futures_util::stream;
use simsync_card::ids::TerminalId;
use simsync_protocol::api::ServerEvent;
use simsync_protocol::problem::Problem;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;

use crate::app::App;
use crate::http::reply::{self, BodyError, OrProblem as _};
use crate::http::{Call, Reply};
use crate::net::shares::{Hold, Kind, Level};
use crate::store::events::Notice;
use crate::store::types::Peer;
use std::sync::Arc;

struct Stream {
    app: Arc<App>,
    peer: Peer,
    notices: Receiver<Notice>,
    stopping: watch::Receiver<bool>,
    /// Sent before anything else.
    first: Option<ServerEvent>,
    ended: bool,
    _place: Hold,
}

/// `GET /v1/events`.
pub async fn stream(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let place = call.conn.purse.try_take(Kind::Events);
    let place = place.map_err(Level::problem)?;
    // Subscribed before the state is read, so that nothing falls between.
    let notices = call.app.events().subscribe(&peer.subscriber);
    let first = hello(&call.app, &peer).await?;
    // A revocation between the first look and the subscription is seen here.
    call.peer().await?;
    let state = Stream {
        app: call.app.clone(),
        stopping: call.app.stopping.subscribe(),
        peer,
        notices,
        first: Some(first),
        ended: false,
        _place: place,
    };
    let pieces = stream::unfold(state, |mut s| async move {
        let event = s.next().await?;
        Some((piece(&event), s))
    });
    Ok(reply::ok("text/event-stream", reply::stream(pieces)))
}

async fn hello(app: &App, peer: &Peer) -> Result<ServerEvent, Problem> {
    let head = app
        .chain()
        .head(peer.subscriber.clone())
        .await
        .or_problem()?;
    Ok(ServerEvent::Hello { head })
}

fn piece(event: &ServerEvent) -> Result<Bytes, BodyError> {
    let value = serde_json::to_value(event)?;
    let name = value["event"].as_str().unwrap_or_default();
    Ok(Bytes::from(format!("event: {name}\ndata: {value}\n\n")))
}

impl Stream {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<ServerEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        while !self.ended {
            let notice = tokio::select! {
                notice = self.notices.recv() => notice,
                _ = self.stopping.wait_for(|s| *s) => {
                    self.ended = true;
                    return Some(ServerEvent::Shutdown);
                }
            };
            match notice {
                Ok(notice) => {
                    if let Some(event) = self.sort(notice, self.peer.terminal) {
                        return Some(event);
                    }
                }
                // Missed some: tell the state again.
                Err(RecvError::Lagged(_)) => return hello(&self.app, &self.peer).await.ok(),
                Err(RecvError::Closed) => self.ended = true,
            }
        }
        None
    }

    fn sort(&mut self, notice: Notice, own: TerminalId) -> Option<ServerEvent> {
        match notice {
            Notice::All(event) => Some(event),
            Notice::Only(terminal, event) => (terminal == own).then_some(event),
            Notice::End(terminal) => {
                self.ended |= terminal.is_none_or(|t| t == own);
                None
            }
        }
    }
}
